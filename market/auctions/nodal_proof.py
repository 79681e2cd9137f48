"""Prove a clearing on a grid with numpy alone: flows, voltages, limits, and that no feasible clearing has more welfare.

For any price p of a reference node and any prices mu >= 0 of limits a z <= b, the node prices lambda = p + sum mu a
bound the welfare of every feasible clearing from above by

    sum over orders of energy x max(0, side x (limit - lambda)) + sum over limits of mu x b.

A clearing that reaches its own bound is optimal, whoever found it. On a tree with limits of lines only, the second sum
is the limit of each line times the difference of the prices at its ends, and all of it is whole numbers.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np

from market.auctions import loss_proof
from market.auctions.losses import carried, of_orders, sent_wh
from market.auctions.nearest import NotFound, nonnegative
from market.auctions.network import Network, State, network_of
from market.book import OrderBook
from market.certificate import NodalPrices
from market.clearing import Clearing, check_feasible
from market.errors import InfeasibleClearing
from market.grid import NO_LIMIT, Grid
from market.units import PPM, FloatArray, IntArray

SLACK_MICRO = 0.1
"""What arithmetic may add to the error of rounding a price. [micro-currency/kWh]"""
PRICED_WH = 4.0
"""Room that rounding to whole Wh may leave at a limit with a price, as energy of the node that moves it most. [Wh]"""
FULL_WH = (2.0, 1.0, 0.5)
"""Room of the limits that may have a price, tried one after the other: where limits are of a few Wh, `PRICED_WH` takes
limits for full that are not, and their prices leave a gap. Any prices that explain those of nodes are a proof. [Wh]"""
MOVED_WH = 2.0
"""What rounding may move in all of orders that are not at the price of their node. [Wh]"""
FLOW_WH = 1e-3
"""How far a stated flow may be from the recomputed one. [Wh]"""


class Duals(NamedTuple):
    """Prices of the grid: of a reference, and of limits.

    Args:
        reference: [micro-currency/kWh]
        limits: As `Network.room` numbers them.
        price: Of each of these limits, at least 0. [micro-currency/kWh per unit of the limit in Wh]
    """

    reference: float
    limits: IntArray
    price: FloatArray


def check(book: OrderBook, grid: Grid, clearing: Clearing) -> NodalPrices:
    """Recompute the proof of a clearing from the book and the clearing, without a solver.

    Args:
        book: The orders.
        grid: The grid on which they were cleared.
        clearing: With a price for every node in its certificate, and the figures that nodal_price gives as `details`.

    Returns:
        The proof; whether it `holds` says whether the clearing is feasible and optimal.

    Raises:
        InfeasibleClearing: The clearing breaks a rule of the market, or states a price, flow, voltage or rent that is
            not what the book and the grid give.
    """
    check_feasible(book, clearing)
    network = network_of(grid)
    price = _dual_prices(grid, book, clearing)
    if grid.lines.lose:
        return loss_proof.check(network, book, clearing, price)
    state = network.state(network.load(book, clearing.accepted_wh))
    _refuse_wrong_figures(network, clearing, state)
    if network.tree is not None and not network.has_voltages:
        _refuse_wrong_intervals(network, book, clearing, state)
    else:
        _refuse_passed_orders(network, book, clearing)
    welfare = int(np.dot(book.side * clearing.accepted_wh, book.limit_micro_per_kwh))
    if welfare != clearing.welfare_nano:
        raise InfeasibleClearing(f"a welfare of {clearing.welfare_nano} nano; the orders have {welfare}")
    return proof(network, book, state, welfare, price)


def proof(
    network: Network,
    book: OrderBook,
    state: State,
    welfare_nano: int,
    price_micro_per_kwh: IntArray,
    duals: Duals | None = None,
    fits: bool = False,
) -> NodalPrices:
    """The certificate of a clearing at prices of nodes.

    Args:
        network: The grid.
        book: The orders.
        state: The grid under what is accepted.
        welfare_nano: Of what is accepted. [nano]
        price_micro_per_kwh: Of each node.
        duals: The prices of limits behind them. None where only lines of a tree have one, or to find them here.
        fits: Whether the state is computed from what is accepted, which balances, and known to pass no limit.

    Raises:
        InfeasibleClearing: No prices of limits explain those of the nodes.
    """
    if fits:
        residual, over = np.zeros(len(price_micro_per_kwh), dtype=np.int64), 0
    else:
        residual, over = _residual_wh(network, state), network.overload_wh(state)

    held = bool((network.room(state) < network.per_wh - network.noise).any())

    def at(duals: Duals) -> NodalPrices:
        rows = network.rows(duals.limits)
        explained = duals.reference + duals.price @ rows
        return NodalPrices(
            price_micro_per_kwh,
            _gap(network, book, welfare_nano, duals, explained),
            _rounding_nano(book, price_micro_per_kwh, explained, duals.price * _size(rows), held),
            residual,
            over,
        )

    if duals is not None:
        return at(duals)
    gap = _whole_gap(network, book, welfare_nano, price_micro_per_kwh)
    if gap == 0 or (network.tree is not None and not network.has_voltages and gap is not None):
        return NodalPrices(price_micro_per_kwh, gap, 0, residual, over)
    found = at(fit(network, state, price_micro_per_kwh))
    for room_wh in FULL_WH:
        if found.holds:
            break
        fewer = _fit(network, state, price_micro_per_kwh, room_wh)
        if _unexplained(network, fewer, price_micro_per_kwh) is None:
            found = at(fewer)
    return found


def proof_at_one_price(
    book: OrderBook, nodes: int, price_micro_per_kwh: int, welfare_nano: int
) -> NodalPrices:
    """The certificate of a balanced clearing at one price, within all limits, of which none has a price."""
    gain = np.maximum(book.side * (book.limit_micro_per_kwh - price_micro_per_kwh), 0)
    prices, residual = np.empty(nodes, dtype=np.int64), np.zeros(nodes, dtype=np.int64)
    prices.fill(price_micro_per_kwh)
    return NodalPrices(prices, int(np.dot(gain, book.energy_wh)) - welfare_nano, 0, residual, 0)


def fit(network: Network, state: State, price_micro_per_kwh: IntArray) -> Duals:
    """The prices of limits that explain prices of nodes best; any give a bound, and these a close one.

    Raises:
        InfeasibleClearing: No prices of limits explain those of the nodes.
    """
    # Rounding to whole Wh leaves a limit that has a price a little below where it binds; further only where the
    # rounding of many nodes adds up.
    near = _fit(network, state, price_micro_per_kwh, PRICED_WH)
    if _unexplained(network, near, price_micro_per_kwh) is None:
        return near
    duals = _fit(network, state, price_micro_per_kwh, 2.0 + 2.0 * len(state.load_wh))
    worst = _unexplained(network, duals, price_micro_per_kwh)
    if worst is not None:
        raise InfeasibleClearing(
            f"prices of nodes that no limit explains; that of node {worst!r} is furthest off"
        )
    return duals


def _fit(network: Network, state: State, price_micro_per_kwh: IntArray, room_wh: float) -> Duals:
    """The prices that explain best, of limits that have no more room than this. [Wh]"""
    limits = np.flatnonzero(network.room(state) <= network.per_wh * room_wh + network.noise)
    rows = network.rows(limits)
    size = np.maximum(_size(rows), 1e-300)
    steep = (rows / size[:, None]).T
    middle, price = steep.mean(axis=0, keepdims=True), price_micro_per_kwh.astype(np.float64)
    try:
        multiple = nonnegative(steep - middle, price - price.mean())
    except NotFound:
        multiple = np.zeros(len(limits))
    reference = float(price.mean() - (middle @ multiple)[0])
    return Duals(reference, limits, multiple / size)


def _size(rows: FloatArray) -> FloatArray:
    """What 1 Wh moves of each limit at most."""
    size: FloatArray = np.abs(rows).max(axis=1, initial=0.0)
    return size


def _unexplained(network: Network, duals: Duals, price_micro_per_kwh: IntArray) -> str | None:
    """The node furthest off, where the explained prices are further from the stated ones than whole micro are.

    Prices before rounding are explained, and the nearest explained ones are at most as far in sum of squares.
    """
    off = price_micro_per_kwh - (duals.reference + duals.price @ network.rows(duals.limits))
    if float(off @ off) <= len(off) * (1.0 + SLACK_MICRO):
        return None
    return network.grid.nodes.names[int(np.abs(off).argmax())]


def _rounding_nano(
    book: OrderBook,
    price_micro_per_kwh: IntArray,
    explained: FloatArray,
    at_limits: FloatArray,
    held: bool,
) -> int:
    """What whole units may cost. [nano]

    Whole Wh leave room at each limit at its own price, and move orders that are not at the price of their node. Whole
    micro move the price away from the orders that are at it, however much of them is accepted.

    Args:
        book: The orders.
        price_micro_per_kwh: Of each node.
        explained: By the prices of limits. [micro-currency/kWh]
        at_limits: Price of each limit for the most that 1 Wh moves of it. [micro-currency/kWh]
        held: Whether a limit, with a price or without, has no room for one more Wh.
    """
    every = np.concatenate((price_micro_per_kwh, book.limit_micro_per_kwh))
    span = int(every.max()) - int(every.min())
    priced = at_limits[at_limits > 1e-9 * max(1.0, float(at_limits.max(initial=0.0)))]
    room = PRICED_WH * float(np.minimum(priced, span).sum()) + MOVED_WH * span * (held or bool(len(priced)))
    at_price = np.abs(book.limit_micro_per_kwh - price_micro_per_kwh[book.node]) <= 1
    apart = np.abs(book.limit_micro_per_kwh - explained[book.node])
    return ceil(room + float((apart * book.energy_wh)[at_price].sum()))


def _whole_gap(network: Network, book: OrderBook, welfare_nano: int, price: IntArray) -> int | None:
    """The gap in whole numbers where lines of a tree alone have prices; None where prices are not of that kind."""
    lines = network.grid.lines
    step = np.abs(price[lines.end] - price[lines.start])
    apart = step.nonzero()[0]
    limit_wh = lines.limit_wh[apart]
    if len(apart) and (network.tree is None or int(limit_wh.min()) == NO_LIMIT):
        return None
    gain = np.maximum(book.side * (book.limit_micro_per_kwh - price[book.node]), 0)
    return int(np.dot(gain, book.energy_wh)) + int(np.dot(step[apart], limit_wh)) - welfare_nano


def _gap(network: Network, book: OrderBook, welfare_nano: int, duals: Duals, price: FloatArray) -> int:
    """Bound minus welfare in whole nano, at the explained prices; a gap below what floats distinguish is 0."""
    gain = np.maximum(book.side * (book.limit_micro_per_kwh - price[book.node]), 0.0)
    bound = float(gain @ book.energy_wh) + float(duals.price @ network.bounds(duals.limits))
    gap = bound - welfare_nano
    noise = 1.0 + 1e-11 * (abs(bound) + float(np.abs(price).max()) * float(book.energy_wh.sum()))
    return 0 if abs(gap) <= noise else round(gap)


def _residual_wh(network: Network, state: State) -> IntArray:
    """Of each node, what flows in minus what flows out and what it takes. [Wh]"""
    lines, n = network.grid.lines, len(state.load_wh)
    came = np.bincount(lines.end, state.flow_wh, n) - np.bincount(lines.start, state.flow_wh, n)
    rest = came - state.load_wh
    size = np.abs(rest)
    found: IntArray = np.where(size <= FLOW_WH * (1 + len(lines)), 0, np.sign(rest) * np.ceil(size)).astype(
        np.int64
    )
    return found


def _dual_prices(grid: Grid, book: OrderBook, clearing: Clearing) -> IntArray:
    """The price of every node, also of those where nothing is traded.

    Raises:
        InfeasibleClearing: A node or order has another price.
    """
    stated = clearing.certificate
    if not isinstance(stated, NodalPrices) or stated.price_micro_per_kwh.shape != (len(grid.nodes),):
        raise InfeasibleClearing("no certificate with a price for each node of the grid")
    if len(clearing.node_price) != len(grid.nodes):
        raise InfeasibleClearing(f"{len(clearing.node_price)} prices for {len(grid.nodes)} nodes")
    price = stated.price_micro_per_kwh
    for node, found in enumerate(clearing.node_price):
        if found is not None and not found.lo <= found.price == int(price[node]) <= found.hi:
            raise InfeasibleClearing(
                f"node {grid.nodes.names[node]!r} has {found}, and {int(price[node])} micro/kWh in the certificate"
            )
    wrong = (clearing.price_micro_per_kwh != price[book.node]) & (clearing.accepted_wh > 0)
    if wrong.any():
        rows = np.flatnonzero(wrong)[:5].tolist()
        raise InfeasibleClearing(f"another price than that of its node in rows {rows}")
    return price


def _refuse_wrong_intervals(network: Network, book: OrderBook, clearing: Clearing, state: State) -> None:
    """Raise where the price interval of a node is not what orders and full lines of a tree leave.

    A clearing at one price has one interval, which may be narrower where a line happens to be just full.
    """
    known = [(node, one) for node, one in enumerate(clearing.node_price) if one is not None]
    found = carried(network, sent_wh(state.flow_wh), of_orders(network, book, clearing.accepted_wh))
    differ = len({one.price for _, one in known}) > 1
    for node, stated in known:
        lo, hi = round(float(found.lo[node])), round(float(found.hi[node]))
        within = (lo, hi) == (stated.lo, stated.hi) if differ else lo <= stated.lo and stated.hi <= hi
        if not within:
            raise InfeasibleClearing(
                f"node {network.grid.nodes.names[node]!r} has prices from {stated.lo} to {stated.hi}; orders and lines"
                f" leave {lo} to {hi}"
            )


def _refuse_passed_orders(network: Network, book: OrderBook, clearing: Clearing) -> None:
    """Raise where the limit of an order lies inside the price interval of its node, but not at the price.

    At the prices of one interval every order wants the same; in a mesh or at a voltage the ends themselves would take
    two programs a node.
    """
    for node, stated in enumerate(clearing.node_price):
        if stated is None:
            continue
        limit = book.limit_micro_per_kwh[(book.node == node) & (book.energy_wh > 0)]
        inside = limit[(limit > stated.lo) & (limit < stated.hi)]
        passed = inside[np.abs(inside - stated.price) > 1]
        if len(passed):
            raise InfeasibleClearing(
                f"node {network.grid.nodes.names[node]!r} has prices from {stated.lo} to {stated.hi}, past an order at"
                f" {int(passed[0])}"
            )


def _refuse_wrong_figures(network: Network, clearing: Clearing, state: State) -> None:
    """Raise where a stated flow, voltage or rent is not what the book and the grid give."""
    details = clearing.details
    flow = np.asarray(details.get("line_flow_wh", state.flow_wh), dtype=np.float64)
    # A NaN is not near.
    if flow.shape != state.flow_wh.shape or not (np.abs(flow - state.flow_wh) <= FLOW_WH).all():
        raise InfeasibleClearing("a flow of a line is not what the accepted orders and the grid give")
    if state.v_ppm is not None:
        v = np.asarray(details.get("v_squared", state.v_ppm / PPM), dtype=np.float64)
        if v.shape != state.v_ppm.shape or not (np.abs(v * PPM - state.v_ppm) <= FLOW_WH).all():
            raise InfeasibleClearing("a voltage of a node is not what the accepted orders and the grid give")
    rent = details.get("congestion_rent_nano", clearing.operator_surplus_nano)
    if rent != clearing.operator_surplus_nano:
        raise InfeasibleClearing(
            f"a congestion rent of {rent} nano; buyers pay {clearing.operator_surplus_nano} more than sellers get"
        )
