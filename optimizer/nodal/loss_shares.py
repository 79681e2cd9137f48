"""Who is served at the prices of a grid with losses, in whole Wh, whatever way a solver went to these prices.

Orders better than the price of their node are served in full and worse ones not at all. Nodes whose prices the losses
of lines tie to each other share what is left. A kWh of one node is worth more or less than one of another, so orders at
the price are counted by what they pay: the side that offers less is served in full, the other by the declared rule.
Where lines do not carry that, a small program finds the most that can be bought, nearest to these shares; it is solved
cold, so that it always decides alike.

Only then quantities are rounded: what a node takes up to a whole Wh, what it gives down to one. The lines carry what
they carried before, and the less than 1 Wh that is then missing at a node is what rounding takes off the posted losses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.auctions.losses import NEAR_SENT_WH, Prices, flows, sent_wh
from market.auctions.network import Network
from market.auctions.rationing import in_turn, ration, turns
from market.auctions.zones import zones_of
from market.book import OrderBook
from market.rules import MarketRules
from market.units import BoolArray, FloatArray, IntArray
from optimizer.errors import Infeasible, Unproven
from optimizer.models import nodal_losses
from optimizer.solver.session import Session

NEAR_MICRO = 1e-4
"""Up to here a price is that of a limit, or the one to which a line ties it. [micro-currency/kWh]"""
BOUGHT = 1_000.0
"""In the program, what a Wh bought at the price counts, where one by the rule counts 1 more; a Wh sold costs 1 or 2."""
BID, OFFER = 0, 1


class _Ways(NamedTuple):
    """Of each line, by its start and by its end: bounds of what is sent, shape (2, lines). [Wh]"""

    least: FloatArray
    most: FloatArray


class _Marginal(NamedTuple):
    """The orders at the price.

    Args:
        rows: Of the book.
        side: BID or OFFER, of each.
        node: Of each.
        energy: Of each. [Wh]
        load: What the other orders of each node take. [Wh]
    """

    rows: IntArray
    side: IntArray
    node: IntArray
    energy: IntArray
    load: FloatArray

    def by_node(self, values: FloatArray | IntArray, nodes: int) -> FloatArray:
        """Sums of values of orders, by side and node, shape (2, nodes)."""
        sums = np.bincount(self.side * nodes + self.node, values, 2 * nodes)
        return sums.reshape(2, nodes).astype(np.float64)


def accepted_at(
    network: Network, book: OrderBook, found: Prices, price: FloatArray, rules: MarketRules
) -> tuple[IntArray, FloatArray]:
    """Energy of each order that is accepted, and what it sends into each line. [Wh]

    Args:
        network: A tree with losses.
        book: With limits of at least 0.
        found: Lowest and highest price of each node that fit an optimal allocation.
        price: The chosen one of each node, before rounding. [micro-currency/kWh]
        rules: Uses `rationing` and `seed`.

    Raises:
        Unproven: No allocation is optimal at these prices.
    """
    lo, hi, limit = found.lo[book.node], found.hi[book.node], book.limit_micro_per_kwh
    # Inside an interval of prices, bids from its upper end and offers up to its lower end are better than any of them.
    whole = (limit > lo + NEAR_MICRO) == (book.side > 0)
    at_price = (hi - lo <= NEAR_MICRO) & (np.abs(limit - lo) <= NEAR_MICRO) & (book.energy_wh > 0)
    accepted: IntArray = book.energy_wh * (whole & ~at_price)
    rows = at_price.nonzero()[0]
    marginal = _Marginal(
        rows,
        (book.side[rows] < 0).astype(np.int64),
        book.node[rows],
        book.energy_wh[rows],
        network.load(book, accepted),
    )
    ways = _ways(network, price)
    wanted, served_first = _wanted(network, book, marginal, ways, price, rules)
    flow = _carried(network, ways, marginal.load + wanted[BID] - wanted[OFFER])
    if flow is None:
        wanted = _by_program(network, book, marginal, ways, np.floor(wanted + NEAR_SENT_WH))
        load = marginal.load + wanted[BID] - wanted[OFFER]
        flow = _carried(network, ways, load)
        if flow is None:
            raise Unproven("the solver's allocation is not optimal: lines do not carry what orders want")
    total = _in_whole_wh(wanted)
    for side in (BID, OFFER):
        for node in np.unique(marginal.node[marginal.side == side]).tolist():
            own = (marginal.side == side) & (marginal.node == node)
            take = min(int(total[side, node]), int(marginal.energy[own].sum()))
            accepted[rows[own]] = _split(book, marginal, own, take, served_first, rules)
    return accepted, flow


def _ways(network: Network, price: FloatArray) -> _Ways:
    """What prices say of each way through a line: nothing where they do not pay for it, all where they pay more."""
    lines = network.grid.lines
    ends = price[np.stack((lines.start, lines.end))]
    gain = lines.arriving * ends[::-1] - ends
    limit = np.tile(network.limit_wh, (2, 1))
    most = np.where(gain < -NEAR_MICRO, 0.0, limit)
    least = np.where(gain > NEAR_MICRO, limit, 0.0)
    if np.isinf(least).any():
        raise Unproven("the solver's allocation is not optimal: a line without a limit has a price")
    return _Ways(least, most)


def _wanted(
    network: Network, book: OrderBook, marginal: _Marginal, ways: _Ways, price: FloatArray, rules: MarketRules
) -> tuple[FloatArray, IntArray | None]:
    """What marginal orders of each node should take and give, shape (2, nodes), and who is first, if anybody. [Wh]"""
    lines, nodes = network.grid.lines, len(network.grid.nodes)
    full = marginal.by_node(marginal.energy, nodes)
    free = (ways.most > 0) & (ways.least < ways.most)
    tied = free[0] | free[1]
    zone = zones_of(network, tied)
    # At the prices of a zone its lines earn nothing, so that what is paid in it balances.
    pays = price * marginal.load
    forced = np.where(tied, 0.0, ways.least)
    pays += np.bincount(lines.start, price[lines.start] * forced[0], nodes)
    pays += np.bincount(lines.end, price[lines.end] * forced[1], nodes)
    pays -= np.bincount(lines.end, price[lines.end] * lines.arriving * forced[0], nodes)
    pays -= np.bincount(lines.start, price[lines.start] * lines.arriving * forced[1], nodes)
    first = None
    if rules.rationing != "pro_rata" and len(marginal.rows):
        first = turns(marginal.energy, book.sequence[marginal.rows], rules)
    share = full.copy()
    for name in np.unique(zone[marginal.node]).tolist():
        inside = zone == name
        worth = price * full * inside
        offered, over = float(worth[OFFER].sum()), float(pays[inside].sum())
        bought = min(float(worth[BID].sum()), offered - over)
        for side, value in ((BID, bought), (OFFER, bought + over)):
            if value < float(worth[side].sum()) * (1 - 1e-12):
                own = (marginal.side == side) & inside[marginal.node]
                share[side, inside] = _rationed(marginal, own, price, value, first, nodes)[inside]
    return share, first


def _rationed(
    marginal: _Marginal, own: BoolArray, price: FloatArray, value: float, first: IntArray | None, nodes: int
) -> FloatArray:
    """What orders of one side of a zone get that is worth a value, by node; at most one of these not whole. [Wh]"""
    energy, per_wh = marginal.energy * own, price[marginal.node]
    if first is not None:
        turn = first[own[first]]
        worth = (energy * per_wh)[turn]
        before = np.cumsum(worth) - worth
        got = np.zeros(len(energy))
        got[turn] = np.clip(value - before, 0.0, worth) / np.maximum(per_wh[turn], 1e-9)
        return np.bincount(marginal.node, got, nodes).astype(np.float64)
    of_node = np.bincount(marginal.node, energy, nodes).astype(np.float64)
    got = np.rint(of_node * max(0.0, value) / float((of_node * price).sum()))
    last = int(of_node.argmax())
    got[last] += (value - float((got * price).sum())) / price[last]
    if not 0 <= got[last] <= of_node[last]:
        got[last] = np.clip(got[last], 0.0, of_node[last])  # the program finds the rest
    return got


def _carried(network: Network, ways: _Ways, load: FloatArray) -> FloatArray | None:
    """What a load sends into the lines; None where it does not balance, or not in ways that the prices say. [Wh]"""
    near = NEAR_SENT_WH * (1.0 + 1e-6 * float(np.abs(load).max(initial=0.0)))
    flow, rest = flows(network, load)
    flow = np.where(np.abs(flow) <= near, 0.0, flow)
    sent = sent_wh(flow)
    if abs(rest) > near or (sent < ways.least - near).any() or (sent > ways.most + near).any():
        return None
    kept = np.clip(sent, ways.least, ways.most)
    found: FloatArray = kept[0] - kept[1]
    return found


def _by_program(
    network: Network, book: OrderBook, marginal: _Marginal, ways: _Ways, wanted: FloatArray
) -> FloatArray:
    """The most that marginal orders can buy in the ways that prices say, nearest to what they should, by side and node.

    Raises:
        Unproven: The marginal orders cannot balance the others.
    """
    nodes = len(network.grid.nodes)
    full = marginal.by_node(marginal.energy, nodes)
    kept = np.minimum(wanted, full)
    turn = np.full((2, nodes), len(marginal.rows))
    arrival = np.empty(len(marginal.rows), dtype=np.int64)
    arrival[np.lexsort((marginal.rows, book.sequence[marginal.rows]))] = np.arange(len(marginal.rows))
    np.minimum.at(turn, (marginal.side, marginal.node), arrival)
    early = 0.5 * (1.0 - turn / max(1, len(marginal.rows)))
    # Of each node: what the others take, then what marginal bids and offers should have, and the rest of each.
    cost = np.zeros((nodes, 5))
    cost[:, 1], cost[:, 2] = -(BOUGHT + 1.0 + early[BID]), -(BOUGHT + early[BID])
    cost[:, 3], cost[:, 4] = -(1.0 - early[OFFER]), -(2.0 - early[OFFER])
    upper = np.column_stack((marginal.load, kept[BID], (full - kept)[BID], np.zeros(nodes), np.zeros(nodes)))
    lower = np.column_stack((marginal.load, np.zeros((nodes, 2)), -kept[OFFER], -(full - kept)[OFFER]))
    model = nodal_losses.compiled(network, np.full(nodes, 5, dtype=np.int64))
    none = np.zeros(2 * len(network.grid.lines))
    try:
        found = Session(model).answer(
            np.concatenate((cost.ravel(), none)),
            np.concatenate((lower.ravel(), ways.least.ravel())),
            np.concatenate((upper.ravel(), ways.most.ravel())),
        )
    except Infeasible:
        raise Unproven(
            "the solver's allocation is not optimal: orders at the price cannot balance the others"
        ) from None
    taken = found[: 5 * nodes].reshape(nodes, 5)
    return np.stack((taken[:, 1] + taken[:, 2], -(taken[:, 3] + taken[:, 4])))


def _in_whole_wh(wanted: FloatArray) -> IntArray:
    """What nodes give rounded down and what they take up, so that less than 1 Wh of it is missing at a node. [Wh]"""
    near = np.rint(wanted)
    exact = np.where(np.abs(wanted - near) <= NEAR_SENT_WH, near, wanted)
    given = np.floor(exact[OFFER])
    # Where a node does both in parts, it first takes less by what it gives less.
    taken = np.ceil(np.maximum(exact[BID] - (exact[OFFER] - given), 0.0) - NEAR_SENT_WH)
    return np.stack((taken, given)).astype(np.int64)


def _split(
    book: OrderBook,
    marginal: _Marginal,
    own: BoolArray,
    take: int,
    first: IntArray | None,
    rules: MarketRules,
) -> IntArray:
    """Share whole Wh of a node over its orders of one side: those who are first in the zone are first here too."""
    energy = marginal.energy[own]
    if first is None:
        return ration(energy, take, book.sequence[marginal.rows[own]], rules)
    return in_turn(marginal.energy, take, first[own[first]])[own]
