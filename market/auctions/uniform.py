"""The uniform-price call auction in closed form: its price interval by weighted selection, then who trades.

Turn every bid into a fixed demand plus an offer of the same energy at the same limit: nothing about the
market changes, and only offers are left to serve the total demand Q. With F(p) = energy of ALL orders with
limit <= p, the market clearing (Walrasian) prices are {p : F(p-) <= Q <= F(p)}. So

    lo = the first limit at which F reaches Q,    hi = the first limit at which F passes Q,

which is a weighted selection, not a sort: a large book is narrowed to a bracket, and only the bracket is
sorted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from market.auctions.rationing import ration
from market.book import OrderBook
from market.clearing import Clearing, PriceInterval, certify, no_trade
from market.errors import InfeasibleClearing
from market.rules import MarketRules
from market.units import PPM, BoolArray, IntArray

SORT_BELOW = 8_192
"""Books up to this many orders are sorted whole: such a sort costs less than the passes of a bracket."""

_GOLDEN = 0.6180339887498949


def clear_exact(book: OrderBook, rules: MarketRules) -> Clearing:
    """Clear at one price: maximum welfare, maximum volume, the margin rationed by the declared rule.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `k_ppm`, `rationing` and `seed`.
    """
    accepted = best_allocation(book, rules)
    return nothing_trades(book) if accepted is None else at_one_price(book, *accepted, rules)


class Allocation(NamedTuple):
    """What the prices lo..hi accept.

    Args:
        accepted_wh: Per order. [Wh]
        welfare_nano: Sum of accepted energy times limit, buys minus sells. [nano]
        lo: Lowest market clearing price. [micro-currency/kWh]
        hi: Highest market clearing price. [micro-currency/kWh]
    """

    accepted_wh: IntArray
    welfare_nano: int
    lo: int
    hi: int


def best_allocation(book: OrderBook, rules: MarketRules) -> Allocation | None:
    """What `clear_exact` accepts, without a proof: for those who prove it otherwise. None where nothing trades."""
    interval = _select(book, book.side > 0)
    return None if interval is None else _allocation(book, *interval, rules)


def walrasian_interval(book: OrderBook) -> tuple[int, int] | None:
    """Return the lowest and the highest price that clears the market, or None where nothing can trade.

    Orders without energy are ignored. [micro-currency/kWh]
    """
    is_buy = book.side > 0
    interval = _select(book, is_buy)
    if interval is None:
        return None
    lo, hi = interval
    live, limit = book.energy_wh > 0, book.limit_micro_per_kwh
    # What trades is bid at hi or above and offered at lo or below.
    crossing = (is_buy & live & (limit >= hi)).any() and (~is_buy & live & (limit <= lo)).any()
    return interval if crossing else None


class Optimum(NamedTuple):
    """The efficient clearing of a book in short.

    Args:
        welfare_nano: Largest welfare at stated limits. [nano]
        traded_wh: Largest volume at that welfare. [Wh]
        price_micro_per_kwh: Middle of the market clearing prices; None where nothing can trade. [micro/kWh]
    """

    welfare_nano: int
    traded_wh: int
    price_micro_per_kwh: int | None


def optimum(book: OrderBook) -> Optimum:
    """What `clear_exact` reaches on a book, without its allocation: half the time.

    Welfare is the value of the dual problem at a market clearing price, see `market.clearing.certify`.
    """
    interval = walrasian_interval(book)
    if interval is None:
        return Optimum(0, 0, None)
    lo, hi = interval
    energy, limit, is_buy = book.energy_wh, book.limit_micro_per_kwh, book.side > 0
    gain = np.maximum(book.side * (limit - lo), 0)
    bought, sold = energy[is_buy & (limit >= hi)].sum(), energy[~is_buy & (limit <= lo)].sum()
    price = PriceInterval.at(lo, hi, PPM // 2).price
    return Optimum(int(np.dot(gain, energy)), min(int(bought), int(sold)), price)


def fill(book: OrderBook, lo: int, hi: int, rules: MarketRules) -> Clearing:
    """Accept the largest volume that a price interval supports, and certify it.

    Bids above and offers below the interval are accepted whole. Where lo == hi the orders at that price are
    marginal: the short side of them is accepted whole and the long side is rationed.

    Args:
        book: Orders of one interval. Not changed.
        lo: Lowest market clearing price. [micro-currency/kWh]
        hi: Highest market clearing price. [micro-currency/kWh]
        rules: Uses `k_ppm`, `rationing` and `seed`.

    Raises:
        InfeasibleClearing: [lo, hi] is not the price interval of this book.
    """
    accepted = _allocation(book, lo, hi, rules)
    return nothing_trades(book) if accepted is None else at_one_price(book, *accepted, rules)


def _allocation(book: OrderBook, lo: int, hi: int, rules: MarketRules) -> Allocation | None:
    """The largest volume that a price interval supports; None where that is none. As `fill`, which says more."""
    limit, energy, side = book.limit_micro_per_kwh, book.energy_wh, book.side
    is_buy = side > 0
    whole = (limit > lo) == is_buy  # bids above lo, offers at or below lo
    pinned = lo == hi
    if pinned:
        marginal = limit == lo
        whole = whole > marginal
    accepted: IntArray = energy * whole
    signed: IntArray = accepted * side
    bought = int(accepted.dot(is_buy))
    sold = int(np.add.reduce(accepted)) - bought
    excess, volume = bought - sold, max(bought, sold)
    welfare = int(np.dot(signed, limit))
    if pinned:
        rows = marginal.nonzero()[0]
        volume = fill_margin(book, rows, accepted, excess, volume, rules)
        welfare -= lo * excess  # the marginal orders, all at this limit, make up for the excess
    elif excess:
        raise InfeasibleClearing(
            f"[{lo}, {hi}] is not the price interval of this book: at it {excess} Wh too much are bought"
        )
    return Allocation(accepted, welfare, lo, hi) if volume else None


def at_one_price(
    book: OrderBook, accepted_wh: IntArray, welfare_nano: int, lo: int, hi: int, rules: MarketRules
) -> Clearing:
    """Make the certified clearing of an allocation that the prices lo..hi support.

    Args:
        book: Orders of one interval. Not changed.
        accepted_wh: Per order; becomes read-only. [Wh]
        welfare_nano: Sum of accepted energy times limit, buys minus sells. [nano]
        lo: Lowest market clearing price. [micro-currency/kWh]
        hi: Highest market clearing price. [micro-currency/kWh]
        rules: Uses `k_ppm`.
    """
    price = PriceInterval.at(lo, hi, rules.k_ppm)
    prices = np.empty_like(accepted_wh)
    prices.fill(price.price)
    accepted_wh.setflags(write=False)
    prices.setflags(write=False)
    bare = Clearing(accepted_wh, prices, (price,), 0, welfare_nano)
    return Clearing(accepted_wh, prices, (price,), 0, welfare_nano, None, certify(book, bare, lo))


def fill_margin(
    book: OrderBook, rows: IntArray, accepted: IntArray, excess: int, volume: int, rules: MarketRules
) -> int:
    """Serve the orders at a pinned price, in place, and return the traded volume. [Wh]

    Args:
        rows: The marginal orders of both sides.
        accepted: Per order; the marginal rows hold 0 and are written. [Wh]
        excess: Bought minus sold so far. [Wh]
        volume: The larger of bought and sold so far. [Wh]
    """
    if len(rows) == 1:  # the usual case: one order, partly filled, balances all others
        row = int(rows[0])
        if excess * int(book.side[row]) > 0 or abs(excess) > int(book.energy_wh[row]):
            raise InfeasibleClearing(
                f"the order of row {row} alone cannot make up for {excess} Wh bought too much"
            )
        accepted[row] = abs(excess)
        return volume
    is_buy = book.side[rows] > 0
    bids, asks = rows[is_buy], rows[~is_buy]
    bought, sold = (volume, volume - excess) if excess > 0 else (volume + excess, volume)
    room_bids, room_asks = int(book.energy_wh[bids].sum()), int(book.energy_wh[asks].sum())
    total = min(bought + room_bids, sold + room_asks)
    if total < volume:
        raise InfeasibleClearing(
            f"the orders at the price cannot balance the {bought} Wh bought and {sold} Wh sold without them"
        )
    for side_rows, room, take in ((bids, room_bids, total - bought), (asks, room_asks, total - sold)):
        if take == room:
            accepted[side_rows] = book.energy_wh[side_rows]
        elif take:
            accepted[side_rows] = ration(book.energy_wh[side_rows], take, book.sequence[side_rows], rules)
    return total


def nothing_trades(book: OrderBook) -> Clearing:
    """The empty clearing, certified by a price at which indeed nobody wants to trade."""
    live = book.energy_wh > 0
    bids = book.limit_micro_per_kwh[live & (book.side > 0)]
    asks = book.limit_micro_per_kwh[live & (book.side < 0)]
    price = int(bids.max()) if len(bids) else int(asks.min()) if len(asks) else 0
    nothing = no_trade(book)
    return replace(nothing, certificate=certify(book, nothing, price))


def _select(book: OrderBook, is_buy: BoolArray) -> tuple[int, int] | None:
    """Limits at which the joint curve reaches and passes the demand; None for a one-sided book."""
    limit, energy = book.limit_micro_per_kwh, book.energy_wh
    demand, total = int(energy.dot(is_buy)), int(np.add.reduce(energy))
    if not 0 < demand < total:
        return None
    if len(limit) > SORT_BELOW:
        inside = _select_in_bracket(limit, energy, demand, total)
        if inside is not None:
            return inside
    return _select_by_sort(limit, energy, demand, total)


def _select_by_sort(limit: IntArray, energy: IntArray, target: int, total: int) -> tuple[int, int]:
    """Sort limit and energy as one number each where both fit into 63 bits: twice as fast as finding an order first."""
    least, most, bits = int(limit[limit.argmin()]), int(limit[limit.argmax()]), total.bit_length()
    if max(-least, most).bit_length() + bits > 63:
        order = np.argsort(limit)
        curve = np.cumsum(energy[order])
        lo, hi = order[curve.searchsorted(target, "left")], order[curve.searchsorted(target, "right")]
        return int(limit[lo]), int(limit[hi])
    packed = (limit << bits) | energy
    packed.sort()
    curve = (packed & ((1 << bits) - 1)).cumsum()
    lo, hi = packed[curve.searchsorted(target, "left")], packed[curve.searchsorted(target, "right")]
    return int(lo) >> bits, int(hi) >> bits


def _select_in_bracket(limit: IntArray, energy: IntArray, target: int, total: int) -> tuple[int, int] | None:
    """Guess two limits that enclose the answer from a sample, and sort only between; None if the guess fails.

    A failed guess costs time, never correctness: the answer counts only if F(a-) < target < F(b).
    """
    n = len(limit)
    size = min(n, 8 * int(np.sqrt(n)))
    # Steps of the golden ratio: a fixed stride would see only bids where bids and offers alternate.
    rows = np.arange(size) * max(1, int(n * _GOLDEN)) % n
    order = rows[np.argsort(limit[rows])]
    curve = np.cumsum(energy[order])
    share, margin = target / total, 2.0 / np.sqrt(size)  # about four standard deviations of a sampled share
    below, above = curve.searchsorted(np.array([share - margin, share + margin]) * curve[-1])
    a = int(limit[order[max(0, int(below) - 1)]])
    b = int(limit[order[min(size - 1, int(above))]])
    base = int((energy * (limit < a)).sum())
    if base >= target:
        return None
    inside = np.flatnonzero((limit >= a) & (limit <= b))
    weight = energy[inside]
    bracketed = int(weight.sum())
    if base + bracketed <= target:
        return None
    if a == b:
        return a, a
    return _select_by_sort(limit[inside], weight, target - base, bracketed)
