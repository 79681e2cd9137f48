"""Matching of the highest-priced offer with the highest-priced bids first, as Grid Singularity's exchange does it.

Offers come in descending order of their limit, and each takes the bids in descending order as long as they pay it.
Orders of the same limit are served in reverse order of arrival. An order never meets one of its own participant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from market.auctions.merit_order import row_order
from market.book import OrderBook
from market.clearing import Trades
from market.units import BoolArray, IntArray, side_by_side

MayTrade = Callable[[int, int], bool]
"""Whether the bid of a row may meet the offer of a row."""


def highest_limit_first(book: OrderBook, side: int) -> IntArray:
    """Rows of one side with energy: the highest limit first, then the latest arrival, then the last row."""
    rows = ((book.side == side) & (book.energy_wh > 0)).nonzero()[0]
    rising = row_order(book.limit_micro_per_kwh[rows], book.sequence[rows])
    falling: IntArray = rows[rising[::-1]]
    return falling


class Facing(NamedTuple):
    """Two sides by falling limit.

    Args:
        bids: Places of the bids in the columns that were sorted.
        asks: Places of the offers.
        paying: For each offer, the number of leading bids with a limit at or above its own.
    """

    bids: IntArray
    asks: IntArray
    paying: IntArray


def facing(limit: IntArray, is_buy: BoolArray, *ties: IntArray) -> Facing:
    """Sort both sides at once: the highest limit first, equal ones by falling `ties`, then the last first."""
    # Of equal limits the bids come first, so that exactly the bids that pay it precede an offer.
    places = row_order((limit << 1) | is_buy, *ties)[::-1]
    buys = is_buy[places]
    bid_at, ask_at = buys.nonzero()[0], (~buys).nonzero()[0]
    return Facing(places[bid_at], places[ask_at], ask_at - np.arange(len(ask_at)))


def match_highest_first(book: OrderBook) -> Trades:
    """Match all orders of a book; every trade is priced at the limit of its bid."""
    sides = facing(book.limit_micro_per_kwh, book.side > 0, book.sequence)
    buys = np.zeros(int(book.participant.max(initial=-1)) + 1, dtype=np.bool_)
    buys[book.participant[sides.bids]] = True
    if buys[book.participant[sides.asks]].any():  # somebody on both sides, whose orders pass each other over
        left_wh = book.energy_wh.tolist()
        return trades_of(book, match_pairs(book, sides.bids.tolist(), sides.asks.tolist(), left_wh))
    buy, sell, energy_wh = match_all(sides, book.energy_wh)
    return Trades(buy, sell, energy_wh, book.limit_micro_per_kwh[buy])


def match_all(sides: Facing, energy_wh: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Match two sides where no bid is ever skipped.

    The bids are then used up in their order. With E the energy of the offers so far and P that of all bids that
    pay the current offer, the bids used up after it are min(used + energy, P), which unrolls to
    E + min(0, running minimum of P - E).

    Args:
        sides: Bids and offers.
        energy_wh: Of every place. [Wh]

    Returns:
        Place of the bid, place of the offer and energy of each trade. [Wh]
    """
    bid_wh = energy_wh[sides.bids]
    demand = np.zeros(len(bid_wh) + 1, dtype=np.int64)
    np.cumsum(bid_wh, out=demand[1:])
    offered = np.cumsum(energy_wh[sides.asks])
    used = offered + np.minimum(np.minimum.accumulate(demand[sides.paying] - offered), 0)
    sold_wh = used.copy()
    sold_wh[1:] -= used[:-1]
    sellers = (sold_wh > 0).nonzero()[0]
    buyers = int(demand.searchsorted(used[-1:].sum()))  # all behind them find no offer
    buy, sell, traded_wh = side_by_side(bid_wh[:buyers], sold_wh[sellers])
    return sides.bids[buy], sides.asks[sellers[sell]], traded_wh


def match_pairs(
    book: OrderBook, bids: list[int], asks: list[int], left_wh: list[int], may_trade: MayTrade | None = None
) -> list[tuple[int, int, int]]:
    """Match bids and offers in the order given, one pair after the other.

    Args:
        book: Orders of one interval. Not changed.
        bids: Rows of bids, highest-priced first.
        asks: Rows of offers, highest-priced first.
        left_wh: Energy left of each row of the book; what trades is taken off. [Wh]
        may_trade: What else a pair must fulfil.

    Returns:
        Row of the bid, row of the offer and energy of each trade. [Wh]
    """
    limit, who = book.limit_micro_per_kwh.tolist(), book.participant.tolist()
    pairs: list[tuple[int, int, int]] = []

    def meet(bid: int, ask: int) -> bool:
        if who[bid] == who[ask] or not (may_trade is None or may_trade(bid, ask)):
            return False
        energy_wh = min(left_wh[bid], left_wh[ask])
        if energy_wh:
            left_wh[bid] -= energy_wh
            left_wh[ask] -= energy_wh
            pairs.append((bid, ask, energy_wh))
        return True

    passed: list[int] = []  # bids that an earlier offer skipped; higher than all bids still to come
    coming = 0
    for ask in asks:
        if passed:
            for bid in passed:
                meet(bid, ask)
            passed = [bid for bid in passed if left_wh[bid]]
        while left_wh[ask] and coming < len(bids) and limit[bids[coming]] >= limit[ask]:
            bid = bids[coming]
            if not meet(bid, ask):
                passed.append(bid)
            elif left_wh[bid]:
                break
            coming += 1
    return pairs


def trades_of(book: OrderBook, pairs: Iterable[tuple[int, int, int]]) -> Trades:
    """Price pairs at the limit of the bid."""
    columns = np.array([*pairs], dtype=np.int64).reshape(-1, 3).T
    buy, sell, energy_wh = columns[0].copy(), columns[1].copy(), columns[2].copy()
    return Trades(buy, sell, energy_wh, book.limit_micro_per_kwh[buy])
