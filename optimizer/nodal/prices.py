"""Canonical prices of nodes, computed from the orders and the limits that bind, never read from a dual of a solver.

The optimal dual prices are all (price of a reference, prices mu >= 0 of binding limits) at which every order wants what
it got: each node's price lies between the bounds lo and hi that its own orders set. Which optimal allocation the bounds
are read from makes no difference. Two rules choose one point of that set:

- Where prices of lines of a tree are enough, full lines cut it into zones. A line that is full towards a zone makes the
  price there at least that before it. Two sweeps carry the bounds along these inequalities, and lo + k (hi - lo) in
  every zone keeps all of them, for any k: the k rule of one market, zone by zone.
- Else the prices nearest to the price without limits, by the sum of squares over nodes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.auctions.nearest import NotFound, nearest
from market.auctions.network import Network, State
from market.auctions.nodal_proof import Duals
from market.book import OrderBook
from market.units import PPM, BoolArray, FloatArray, IntArray
from optimizer.errors import Unproven
from optimizer.nodal.support import ranges, smallest_distance
from optimizer.solver.asked import Asked

NEAR_WH = 1e-3
"""Up to here a quantity is whole or nothing, and a limit binds: far above a solver's noise, far below 1 Wh. [Wh]"""
NEAR_MICRO = 1e-3
"""Up to here a price is that of a limit; limits are whole. [micro-currency/kWh]"""


class Support(NamedTuple):
    """All supporting prices: a reference plus columns y, one row per zone, with constraints y >= least.

    Args:
        reference: [micro-currency/kWh]
        columns: Coefficients of each zone.
        constraints: One a row.
        least: Of each constraint.
        lowest: Lowest limit of the book, where nothing bounds a price from below. [micro-currency/kWh]
        highest: Highest limit of the book. [micro-currency/kWh]
    """

    reference: int
    columns: FloatArray
    constraints: FloatArray
    least: FloatArray
    lowest: int
    highest: int

    def intervals(self, price: IntArray, asked: Asked) -> tuple[IntArray, IntArray]:
        """The lowest and highest whole supporting price of each zone, the chosen one included. [micro-currency/kWh]"""
        lo, hi = ranges(self.columns, self.constraints, self.least, asked)
        lo = np.where(np.isinf(lo), self.lowest, np.ceil(lo + self.reference - NEAR_MICRO))
        hi = np.where(np.isinf(hi), self.highest, np.floor(hi + self.reference + NEAR_MICRO))
        return np.minimum(lo, price).astype(np.int64), np.maximum(hi, price).astype(np.int64)


class Zones(NamedTuple):
    """Nodes of one price each.

    Args:
        of_node: Zone of each node.
        lo: Lowest optimal price of each zone. [micro-currency/kWh]
        hi: Highest optimal price of each zone. [micro-currency/kWh]
        price: The chosen one of each zone. [micro-currency/kWh]
        duals: Prices of limits behind the chosen ones; None where only lines of a tree have one.
        active: Of limits, those whose price is above 0, as `Network.room` numbers them.
        joined: Zone of each node where those are one of which limits only say what they take together.
        support: All prices of which these are chosen; None for zones of a tree, which have their intervals.
    """

    of_node: IntArray
    lo: FloatArray
    hi: FloatArray
    price: FloatArray
    duals: Duals | None
    active: IntArray
    joined: IntArray
    support: Support | None = None

    def whole(self, load_wh: FloatArray) -> IntArray:
        """Prices in whole micro: the nearest; where the operator would then have to add money, in its favour.

        Bounds of orders are whole, so that rounding to whole micro never leaves them.

        Args:
            load_wh: Net consumption of each node. [Wh]
        """
        nearest_whole = np.rint(self.price)
        if self.support is not None and float(nearest_whole[self.of_node] @ load_wh) < 0:
            takes = np.bincount(self.of_node, load_wh, len(self.price)) > 0
            nearest_whole = np.where(takes, np.ceil(self.price), np.floor(self.price))
        return nearest_whole.astype(np.int64)

    def pays(self, load_wh: FloatArray) -> bool:
        """Whether buyers pay at least what sellers get.

        At an optimal allocation in fractions they do, as every limit with a price is full. Whole Wh may leave such a
        limit so much room that energy goes only where its price is lower.

        Args:
            load_wh: Net consumption of each node. [Wh]
        """
        return float(self.whole(load_wh)[self.of_node] @ load_wh) >= 0


class Bounds(NamedTuple):
    """What each order says about the price at its node, and the range of all limits."""

    raises: BoolArray
    lowers: BoolArray
    lowest: int
    highest: int


def bounds_of(book: OrderBook, energy_wh: FloatArray) -> Bounds:
    """Which orders bound the price from below (a bid not served in full, an offer that sells), and which from above."""
    some, not_all = energy_wh > NEAR_WH, energy_wh < book.energy_wh - NEAR_WH
    is_buy = book.side > 0
    live = book.limit_micro_per_kwh[book.energy_wh > 0]
    return Bounds(
        np.where(is_buy, not_all, some), np.where(is_buy, some, not_all), int(live.min()), int(live.max())
    )


def zones_of(
    network: Network,
    book: OrderBook,
    energy_wh: FloatArray,
    state: State,
    k_ppm: int,
    reference: int,
    asked: Asked,
) -> Zones:
    """The canonical prices of an optimal allocation.

    Args:
        network: The grid.
        book: The orders.
        energy_wh: Accepted energy of each, optimal. [Wh]
        state: The grid under it.
        k_ppm: Of the zones of a tree.
        reference: The price without limits. [micro-currency/kWh]
        asked: Answers to programs.

    Raises:
        Unproven: No prices support the allocation, so it is not optimal.
    """
    room = network.room(state)
    near = NEAR_WH * network.per_wh + network.noise
    binding = (room <= near).nonzero()[0]
    if (room[binding] < -near[binding]).any():
        raise Unproven("the solver's allocation breaks a limit of the grid")
    lines = 2 * len(network.grid.lines)
    found = bounds_of(book, energy_wh)
    if network.tree is not None:
        # Whether voltages need a price at all is the same for every optimal allocation; whether they bind is not.
        by_lines = _zones_of_tree(network, book, found, binding[binding < lines], k_ppm)
        if by_lines is not None:
            return by_lines
    return _nearest_prices(network, book, found, binding, reference, asked)


def _zones_of_tree(
    network: Network, book: OrderBook, bounds: Bounds, binding: IntArray, k_ppm: int
) -> Zones | None:
    """Cut the tree at full lines, and carry the bounds of each zone along them: exact, in whole numbers.

    None where prices of lines alone do not support the allocation.
    """
    zone, before, rises, falls = _cut(network, binding)
    at = zone[book.node]
    lo = np.full(len(before), bounds.lowest, dtype=np.int64)
    hi = np.full(len(before), bounds.highest, dtype=np.int64)
    limit = book.limit_micro_per_kwh
    np.maximum.at(lo, at[bounds.raises], limit[bounds.raises])
    np.minimum.at(hi, at[bounds.lowers], limit[bounds.lowers])
    least, most = lo.tolist(), hi.tolist()
    for child in [*range(len(before) - 1, 0, -1), *range(1, len(before))]:
        parent = before[child]
        if rises[child] and not falls[child]:
            least[child] = max(least[child], least[parent])
            most[parent] = min(most[parent], most[child])
        elif falls[child] and not rises[child]:
            least[parent] = max(least[parent], least[child])
            most[child] = min(most[child], most[parent])
    if any(a > b for a, b in zip(least, most, strict=True)):
        return None
    price = [a + ((b - a) * k_ppm + PPM // 2) // PPM for a, b in zip(least, most, strict=True)]
    bottom, top, chosen = np.array((least, most, price), dtype=np.float64)
    # Across a full line whose ends have the same prices a zone goes on: nothing says what that line carries.
    joined, apart = list(range(len(before))), np.zeros(len(before), dtype=bool)
    for child in range(1, len(before)):
        parent = before[child]
        if least[child] == least[parent] and most[child] == most[parent]:
            joined[child] = joined[parent]
        else:
            apart[child] = True
    of_child = zone[network.deeper[binding % len(network.grid.lines)]]
    return Zones(zone, bottom, top, chosen, None, binding[apart[of_child]], np.array(joined)[zone])


def _cut(network: Network, binding: IntArray) -> tuple[IntArray, list[int], list[bool], list[bool]]:
    """Zone of each node, and of each zone the one before it and whether its price is at least or at most that one's."""
    tree, count = network.tree, len(network.grid.lines)
    assert tree is not None
    full: dict[int, list[bool]] = {}
    for limit in binding.tolist():
        place = int(network.line_place[limit % count])
        inwards = (limit < count) == (tree.towards[place] > 0)
        full.setdefault(place, [False, False])[0 if inwards else 1] = True
    zone_at = np.zeros(len(tree.order), dtype=np.int64)
    before, rises, falls = [-1], [False], [False]
    for place in sorted(full):
        before.append(int(zone_at[place]))
        zone_at[place : int(tree.end[place])] = len(before) - 1
        rises.append(full[place][0])
        falls.append(full[place][1])
    zone = np.empty_like(zone_at)
    zone[tree.order] = zone_at
    return zone, before, rises, falls


def _nearest_prices(
    network: Network, book: OrderBook, bounds: Bounds, binding: IntArray, reference: int, asked: Asked
) -> Zones:
    """The supporting prices with the smallest sum of squared distances from the reference."""
    limits, rows = _merged(network, binding)
    zone, columns = _alike(rows)
    count = len(columns)
    lo, hi = np.full(count, -np.inf), np.full(count, np.inf)
    at, limit = zone[book.node], book.limit_micro_per_kwh.astype(np.float64)
    np.maximum.at(lo, at[bounds.raises], limit[bounds.raises])
    np.minimum.at(hi, at[bounds.lowers], limit[bounds.lowers])
    if (lo > hi).any():
        raise Unproven("the solver's allocation is not optimal: no prices support it")
    weight = np.sqrt(np.bincount(zone, minlength=count))
    below, above = np.isfinite(lo), np.isfinite(hi)
    signs = np.eye(columns.shape[1])[1:]
    constraints = np.vstack((columns[below], -columns[above], signs))
    least = np.concatenate((lo[below] - reference, reference - hi[above], np.zeros(len(signs))))
    try:
        found = nearest(columns * weight[:, None], constraints, least)
    except (NotFound, np.linalg.LinAlgError):
        found = smallest_distance(columns, constraints, least, asked)
    price = reference + columns @ found
    whole = np.rint(price)
    price = np.clip(np.where(np.abs(price - whole) <= NEAR_MICRO, whole, price), lo, hi)
    if (np.abs(price - reference - columns @ found) > 2 * NEAR_MICRO).any():
        raise Unproven("the prices nearest to that without limits do not support the allocation")
    mu = _netted(rows, np.maximum(found[1:], 0.0))
    active = mu > 1e-9 * max(1.0, float(mu.max(initial=0.0)))
    size = np.abs(network.rows(limits)).max(axis=1, initial=1e-300)
    duals = Duals(reference + float(found[0]), limits, mu / size)
    support = Support(reference, columns, constraints, least, bounds.lowest, bounds.highest)
    joined = zone if active.all() else _alike(rows[active])[0]
    return Zones(zone, price, price, price, duals, limits[active], joined, support)


def _netted(rows: FloatArray, mu: FloatArray) -> FloatArray:
    """Prices of limits, less what those of opposite limits, as of the two ways of an open line, have in common.

    Only the difference of two opposite ones moves a price. What they have in common may be any number, beside which all
    other prices would look like 0.
    """
    place = {row.tobytes(): i for i, row in enumerate(np.round(rows, 9) + 0.0)}
    opposite = np.array([place.get(row.tobytes(), -1) for row in np.round(-rows, 9) + 0.0], dtype=np.int64)
    common = np.where(opposite >= 0, np.minimum(mu, mu[opposite]), 0.0)
    netted: FloatArray = mu - common
    return netted


def _merged(network: Network, binding: IntArray) -> tuple[IntArray, FloatArray]:
    """Binding limits without those that are multiples of others, and their rows with a largest coefficient of 1."""
    rows = network.rows(binding)
    size = np.abs(rows).max(axis=1, initial=0.0)
    use = size > 1e-12
    rows, binding = rows[use] / size[use, None], binding[use]
    rows[np.abs(rows) < 1e-9] = 0.0  # a solver drops such coefficients, and says so as an error
    first = np.unique(np.round(rows, 9), axis=0, return_index=True)[1]
    first.sort()
    return binding[first], rows[first]


def _alike(rows: FloatArray) -> tuple[IntArray, FloatArray]:
    """Zone of each node with equal coefficients in all rows, and these of each zone, with 1 for the reference first."""
    zone = np.zeros(rows.shape[1], dtype=np.int64)
    for row in np.round(rows, 9):
        value = np.unique(row, return_inverse=True)[1]
        zone = np.unique(zone * len(row) + value, return_inverse=True)[1].astype(np.int64)
    first = np.unique(zone, return_index=True)[1]
    return zone, np.column_stack((np.ones(len(first)), rows.T[first]))
