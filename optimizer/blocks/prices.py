"""The price of each interval: the supporting prices nearest to a stated point of the price intervals."""

from __future__ import annotations

import numpy as np

from market.auctions.nearest import NotFound, nearest
from market.horizon import Horizon
from market.orders import NONE, Flexible
from market.units import PPM, BoolArray, FloatArray, IntArray
from optimizer.blocks.whole import planned_of
from optimizer.fleet.response import batteries_of, best_response, surplus
from optimizer.models.multi_interval import HorizonModel

ROUNDS = 200
"""Rounds of alternatives of flows and storages, at most."""
RELATIVE = 1e-9
INSIDE = 1e-5
"""How far between its bounds a column must be to tie prices; less may be noise."""


def nearest_prices(
    horizon: Horizon,
    model: HorizonModel,
    x: FloatArray,
    row_price: FloatArray,
    box: tuple[IntArray, IntArray],
    wanted: FloatArray,
    no_discharge: BoolArray,
) -> FloatArray | None:
    """The prices nearest to the wanted ones, by least squares, at which no accepted order would do something else.

    Accepted lumps must not lose, with those below them; flows and storages must not gain by another plan. Those are
    found as they are needed: each round adds, for each flow and storage that would rather do something else, that.

    Args:
        horizon: The orders.
        model: Its program.
        x: The clearing before rounding.
        row_price: Row prices that support it.
        box: Lowest and highest price of each interval, by its simple orders. [micro-currency/kWh]
        wanted: Inside the box. [micro-currency/kWh]
        no_discharge: Intervals in which storages do not discharge.

    Returns:
        None where floats find no such point; row prices that are a little off lead to none.
    """
    lo, hi = box[0].astype(np.float64), box[1].astype(np.float64)
    start = np.clip(-row_price[: horizon.intervals], lo, hi)
    ways = directions(horizon, model, x, lo < hi)
    if not ways.shape[1]:
        return start
    plan = planned_of(horizon, model, x)
    coefficients, bounds = _of_lumps(horizon, plan[0], x[model.share])
    rows, most = list(coefficients), list(bounds)
    seen = _Alternatives(horizon, model, x, plan, no_discharge)
    for _ in range(ROUNDS):
        limits = np.array(rows).reshape(-1, len(lo)), np.array(most)
        price = project(wanted, start, ways, lo, hi, *limits)
        if price is None:
            return None
        more = seen.better(price)
        if not more:
            return price
        rows += [row for row, _ in more]
        most += [bound for _, bound in more]
    return None


def directions(horizon: Horizon, model: HorizonModel, x: FloatArray, free: BoolArray) -> FloatArray:
    """Ways in which supporting prices can differ, orthonormal columns by interval.

    An energy of a storage or flow between its bounds ties the price of its interval to the value of what is stored, and
    a content between empty and full ties that value to the next interval's. What is tied together moves together, or
    not at all: where one of its prices is pinned by its simple orders.

    Args:
        horizon: The orders.
        model: Its program.
        x: The clearing before rounding.
        free: Intervals whose simple orders leave a choice.
    """
    ties: dict[int, list[tuple[int, float]]] = {t: [] for t in range(horizon.intervals)}
    pinned = set(np.flatnonzero(~free).tolist())
    for one, other, ratio in _ties_of(horizon, model, x, pinned):
        ties.setdefault(one, []).append((other, ratio))
        ties.setdefault(other, []).append((one, 1 / ratio))
    found, seen = [], set[int]()
    for t in np.flatnonzero(free).tolist():
        if t in seen:
            continue
        moves, queue = {t: 1.0}, [t]
        while queue:
            node = queue.pop()
            for other, ratio in ties[node]:
                if other not in moves:
                    moves[other] = moves[node] * ratio
                    queue.append(other)
        seen |= moves.keys()
        if not pinned & moves.keys():
            way = np.zeros(horizon.intervals)
            prices = [node for node in moves if node < horizon.intervals]
            way[prices] = [moves[node] for node in prices]
            found.append(way / np.sqrt(way @ way))
    return np.array(found).reshape(-1, horizon.intervals).T


def _ties_of(
    horizon: Horizon, model: HorizonModel, x: FloatArray, pinned: set[int]
) -> list[tuple[int, int, float]]:
    """Pairs of nodes, the second of which moves by a ratio of the first: intervals, then values of stored energy."""
    found: list[tuple[int, int, float]] = []
    node = horizon.intervals
    for f, one in enumerate(horizon.flows):
        inside = _between(x[model.flow[f]], 0.0, float(one.terms.power_wh))
        found += [(int(t) + one.terms.first, node, 1.0) for t in np.flatnonzero(inside)]
        if _between(x[model.share[[one.lump]]], 0.0, 1.0)[0] and not one.terms.least_wh:
            pinned.add(node)
        node += 1
    for s, unit in enumerate(horizon.stores):
        terms = unit.terms
        full = _between(x[model.content[s]], 0.0, float(terms.capacity_wh))
        part = node + np.concatenate(([0], np.cumsum(~full[:-1])))
        for columns, most, ratio in (
            (model.charge[s], terms.charge_wh, PPM / terms.charge_ppm),
            (model.discharge[s], terms.discharge_wh, terms.discharge_ppm / PPM),
        ):
            at = np.flatnonzero(_between(x[columns], 0.0, float(most)))
            found += [(int(t) + terms.first, int(part[t]), ratio) for t in at]
        if _between(x[model.content[s][-1:]], float(terms.final_wh), float(terms.capacity_wh))[0]:
            pinned.add(int(part[-1]))  # worth what is left
        node = int(part[-1]) + 1
    return found


def _between(x: FloatArray, least: float, most: float) -> BoolArray:
    found: BoolArray = (x > least + INSIDE) & (x < most - INSIDE)
    return found


def _of_lumps(
    horizon: Horizon, energy: FloatArray, share: FloatArray
) -> tuple[list[FloatArray], list[float]]:
    """Energy times price of each accepted lump, with those below it, is at most its value."""
    lumps = horizon.lumps
    value = lumps.value_nano * share
    energy = energy.copy()
    for j in below_first(lumps.parent):
        if lumps.parent[j] != NONE:
            value[lumps.parent[j]] += value[j]
            energy[lumps.parent[j]] += energy[j]
    accepted = np.flatnonzero((share > 1e-9) & lumps.profile_wh.any(axis=1))
    rows, most = [energy[j] for j in accepted], [float(value[j]) for j in accepted]
    for j in accepted:
        alone = lumps.parent[j] == NONE and not (lumps.parent == j).any()
        if alone and share[j] < 1 - 1e-6:  # served in part: neither loses nor gains
            rows.append(-energy[j])
            most.append(-float(value[j]))
    return rows, most


def below_first(parent: IntArray) -> IntArray:
    """Lumps in an order in which children come before parents."""
    depth, above = np.zeros(len(parent), dtype=np.int64), parent.copy()
    while (above != NONE).any():
        depth += above != NONE
        above = np.where(above == NONE, NONE, parent[above])
    found: IntArray = np.argsort(-depth, kind="stable")
    return found


class _Alternatives:
    """What flows and storages would rather do, as bounds on prices."""

    def __init__(
        self,
        horizon: Horizon,
        model: HorizonModel,
        x: FloatArray,
        plan: tuple[FloatArray, ...],
        no_discharge: BoolArray,
    ) -> None:
        self._flows, self._flow_plan = horizon.flows, plan[1]
        self._limit = [horizon.lumps.value_nano[one.lump] / one.energy_wh for one in horizon.flows]
        self._fleet = (
            batteries_of(horizon.stores, horizon.intervals, no_discharge) if horizon.stores else None
        )
        self._in, self._out = np.zeros((2, len(horizon.stores), horizon.intervals))
        for s, unit in enumerate(horizon.stores):
            window = slice(unit.terms.first, unit.terms.last + 1)
            self._in[s, window], self._out[s, window] = x[model.charge[s]], x[model.discharge[s]]

    def better(self, price: FloatArray) -> list[tuple[FloatArray, float]]:
        """Rows a and bounds b: a x price <= b says that one of them would not gain by what it prefers now."""
        found = []
        for f, one in enumerate(self._flows):
            if one.terms.least_wh and np.abs(self._flow_plan[f]).sum() < 1e-6:
                continue  # rejected, as a block may be though it would gain
            other = best_flow(one.side, one.energy_wh, one.terms.power_wh, self._limit[f], price, one.terms)
            # The plan is worth at least the other: (plan - other) x price is at most the difference of their values.
            row = self._flow_plan[f] - other
            bound = self._limit[f] * float(row.sum()) * one.side
            if row @ price > bound + self._tolerance(price, np.abs(row)):
                found.append((row, bound))
        if self._fleet is None:
            return found
        fleet = self._fleet
        other_in, other_out = best_response(fleet, price)
        zero = np.zeros_like(price)
        rows = (self._in - self._out) - (other_in - other_out)
        bounds = surplus(fleet, zero, self._in, self._out) - surplus(fleet, zero, other_in, other_out)
        allowed = np.array([self._tolerance(price, np.abs(row)) for row in rows])
        worse = np.flatnonzero(rows @ price > bounds + allowed)
        return found + [(rows[s], float(bounds[s])) for s in worse]

    @staticmethod
    def _tolerance(price: FloatArray, energy: FloatArray) -> float:
        return 1.0 + RELATIVE * float(energy @ np.abs(price)) + 1e-3 * float(energy.sum())


def best_flow(
    side: int, energy_wh: int, power_wh: int, limit: float, price: FloatArray, terms: Flexible
) -> FloatArray:
    """Energies of an interruptible order that are best for it at these prices, bought positive. [Wh]

    Args:
        side: +1 buys, -1 sells.
        energy_wh: Of the order. [Wh]
        power_wh: Most of it in an interval. [Wh]
        limit: Its value; of a seller minus its cost. [micro/kWh]
        price: By interval. [micro/kWh]
        terms: Its first and last interval.
    """
    first, last = terms.first, terms.last
    gain = limit - side * price[first : last + 1]
    best = np.argsort(-gain, kind="stable")
    left = np.clip(energy_wh - power_wh * np.arange(len(best)), 0, power_wh) * (gain[best] > 0)
    found = np.zeros(len(price))
    found[first + best] = side * left
    return found


def project(
    wanted: FloatArray,
    start: FloatArray,
    ways: FloatArray,
    lo: FloatArray,
    hi: FloatArray,
    rows: FloatArray,
    most: FloatArray,
) -> FloatArray | None:
    """The point nearest to a wanted one among start + ways x steps, with lo <= point <= hi and rows x point <= most.

    Args:
        wanted: Anywhere.
        start: A point.
        ways: Orthonormal columns.
        lo: Least of each coordinate.
        hi: Most of each coordinate.
        rows: Coefficients.
        most: Highest value of each row.

    Returns:
        The point, None where there is none.
    """
    moves = np.abs(ways).sum(axis=1) > 0
    g = np.concatenate((-rows @ ways, ways[moves], -ways[moves]))
    h = np.concatenate((rows @ start - most, (lo - start)[moves], (start - hi)[moves]))
    scale = np.sqrt((g**2).sum(axis=1))
    live = scale > 1e-9 * max(1.0, float(scale.max(initial=0.0)))
    g, h = g[live] / scale[live, None], h[live] / scale[live]
    aim = ways.T @ (wanted - start)
    h = h - g @ aim
    step = np.zeros(len(aim))
    if (h > 1e-9).any():
        try:
            step = nearest(np.eye(len(aim)), g, h)
        except NotFound:
            return None
    found: FloatArray = np.clip(start + ways @ (aim + step), lo, hi)
    return found
