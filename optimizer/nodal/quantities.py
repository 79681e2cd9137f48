"""Canonical quantities: what each order gets at the canonical prices, in whole Wh, whatever way a solver went.

Orders better than the price of their node are served in full and worse ones not at all. What is left to decide are
the orders at the price of their zone: the limits that bind say how much they take or give together, as much as possible
is traded between them, and the declared rule rations the longer side. Only where that breaks another limit, or where
the limits leave the shares of zones open, does a small program decide, solved cold so that it always decides alike.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from market.auctions.network import NOISE, Network, State
from market.auctions.uniform import fill_margin
from market.book import OrderBook
from market.errors import InfeasibleClearing
from market.rules import MarketRules
from market.units import BoolArray, FloatArray, IntArray
from optimizer.errors import Infeasible, Unproven
from optimizer.nodal.marginal import by_program, in_whole_numbers
from optimizer.nodal.prices import NEAR_MICRO, NEAR_WH, Zones
from optimizer.solver.asked import Asked

MOST_SEARCHED = 5
"""Most zones whose shares are rounded to whole Wh by trying what is near; more are left to a program."""


def accepted_wh(
    network: Network,
    book: OrderBook,
    solved_wh: FloatArray,
    zones: Zones,
    rules: MarketRules,
    asked: Asked,
) -> tuple[IntArray, State]:
    """Energy of each order that is accepted, and the grid under it, within all limits. [Wh]

    Args:
        network: The grid.
        book: The orders.
        solved_wh: Any optimal allocation; what zones of a tree take together is the same in all of them. [Wh]
        zones: Canonical prices.
        rules: Uses `rationing` and `seed`.
        asked: Answers to programs.

    Raises:
        Unproven: No allocation is optimal at these prices.
    """
    at, pinned = zones.of_node[book.node], zones.hi - zones.lo <= NEAR_MICRO
    above = book.limit_micro_per_kwh - zones.lo[at]
    # Inside an interval of prices, bids from its upper end and offers up to its lower end are better than any of them.
    whole = (above > NEAR_MICRO) == (book.side > 0)
    marginal = pinned[at] & (np.abs(above) <= NEAR_MICRO)
    accepted: IntArray = book.energy_wh * (whole > marginal)
    try:
        filled = _filled(network, book, solved_wh, zones, accepted, marginal, rules)
    except InfeasibleClearing as unfit:
        raise Unproven(f"the solver's allocation is not optimal: {unfit}") from None
    if filled is not None:
        state = network.state(network.load(book, filled))
        if network.fits(state) and zones.pays(state.load_wh):
            return filled, state
    try:
        found = by_program(network, book, zones, accepted, marginal, filled, asked)
        found = in_whole_numbers(network, book, zones, asked) if found is None else found
    except Infeasible as unfit:
        raise Unproven(f"no allocation is optimal at the prices found: {unfit}") from None
    return found, network.state(network.load(book, found))


def _filled(
    network: Network,
    book: OrderBook,
    solved_wh: FloatArray,
    zones: Zones,
    accepted: IntArray,
    marginal: BoolArray,
    rules: MarketRules,
) -> IntArray | None:
    """Serve the marginal orders of each price zone; None where limits do not say how much each zone has."""
    rows = marginal.nonzero()[0]
    if not len(rows):
        if np.dot(book.side, accepted) != 0:
            raise Unproven("the solver's allocation is not optimal: nobody at the price balances the others")
        return accepted
    zone = zones.joined[book.node]
    if zones.duals is None:
        # What zones of a tree have is what full lines bring them, in every optimal allocation.
        size = int(zone.max()) + 1
        net = np.bincount(zone, book.side * (solved_wh - accepted), size)
        totals = np.rint(net).astype(np.int64)
        if np.abs(net - totals).max() > NEAR_WH * 10:
            raise Unproven("the solver's allocation is not optimal: a zone takes what no full line brings")
        shares = {name: int(totals[name]) for name in sorted(set(zone[rows].tolist()))}
        if int(totals.sum()) != sum(shares.values()):
            raise Unproven("the solver's allocation is not optimal: nobody at the price balances a zone")
    else:
        names, place = np.unique(zone[rows], return_inverse=True)
        load = network.load(book, accepted)
        found = _totals(network, book, zones.active, load, rows, place, len(names))
        if found is None:
            return None
        shares = dict(zip(names.tolist(), found.tolist(), strict=True))
    served = accepted.copy()
    at = zone[rows]
    for name, total in shares.items():
        fill_margin(book, rows[at == name], served, -total, abs(total), rules)
    return served


def _totals(
    network: Network,
    book: OrderBook,
    active: IntArray,
    load: FloatArray,
    rows: IntArray,
    zone: IntArray,
    count: int,
) -> IntArray | None:
    """What the marginal orders of each zone take together, less what they give, in whole Wh; None where it is open."""
    node = np.zeros(count, dtype=np.int64)
    node[zone] = book.node[rows]
    coefficients = network.rows(active)
    size = np.abs(coefficients).max(axis=1, initial=1e-300)
    left = (network.bounds(active) - coefficients @ load) / size
    system = np.vstack((np.ones(count), coefficients[:, node] / size[:, None]))
    goal = np.concatenate(([-load.sum()], left))
    exact, _, rank, _ = np.linalg.lstsq(system, goal, rcond=1e-9)
    if rank < count:
        return None
    if np.abs(system @ exact - goal).max() > NEAR_WH * 10:
        raise Unproven("the solver's allocation is not optimal: orders at the price cannot fill what binds")
    side, energy = book.side[rows], book.energy_wh[rows]
    most = np.bincount(zone, energy * (side > 0), count).astype(np.float64)
    least = -np.bincount(zone, energy * (side < 0), count).astype(np.float64)
    return _whole(system, goal, np.clip(exact, least, most), least, most)


def _whole(
    system: FloatArray, goal: FloatArray, exact: FloatArray, least: FloatArray, most: FloatArray
) -> IntArray | None:
    """Whole totals near the exact ones that balance and pass no limit, as near to the limits as there are any."""
    near = np.rint(exact)
    are_whole = np.abs(exact - near).max() <= NEAR_WH and near.sum() == goal[0]
    if are_whole and (system[1:] @ near <= goal[1:] + NOISE).all():
        return near.astype(np.int64)
    if len(exact) > MOST_SEARCHED:
        return None
    base = np.floor(exact)
    for offsets in ((0, 1), (-1, 0, 1, 2)):
        tried = base + np.array(list(product(offsets, repeat=len(exact))))
        left = goal[1:] - tried @ system[1:].T
        fit = (tried.sum(axis=1) == goal[0]) & (left >= -NOISE).all(axis=1)
        fit &= ((tried >= least) & (tried <= most)).all(axis=1)
        if fit.any():
            tried, left = tried[fit], left[fit].sum(axis=1)
            far = np.abs(tried - exact).sum(axis=1)
            best = np.lexsort((*tried.T, np.round(far, 6), np.round(left, 6)))[0]
            found: IntArray = tried[best].astype(np.int64)
            return found
    return None
