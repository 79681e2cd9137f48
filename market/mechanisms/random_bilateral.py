"""Random bilateral trade: buyers and sellers meet at random; a pair that suits trades at the middle of its limits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.auctions.highest_bid_first import facing, match_all
from market.book import OrderBook
from market.clearing import Clearing, Trades, no_trade, of_trades
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import SEED
from market.rules import MarketRules
from market.units import IntArray

ROUNDS = 8
"""Meetings of each order at most; a bound, because a buyer of much energy would need one for each of its sellers."""


class _Crowd(NamedTuple):
    """The orders of one side that may still trade, in the order of their places.

    Args:
        rows: Rows of the book.
        limit: Limits. [micro-currency/kWh]
        left_wh: What is left of each; changes in place. [Wh]
    """

    rows: IntArray
    limit: IntArray
    left_wh: IntArray

    def at(self, places: IntArray) -> _Crowd:
        """Those at some places, in that order."""
        return _Crowd(self.rows.take(places), self.limit.take(places), self.left_wh.take(places))


_Pairs = tuple[IntArray, IntArray, IntArray]
"""Rows of bids, rows of offers, energies. [Wh]"""


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Let the orders that can still trade meet at random in some rounds; then match those that are left.

    All take their places at random. In a round the larger side moves on by a random number of places, and every
    order of the smaller side meets the one opposite.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `seed`.
    """
    # Raw words of the bit generator: unlike the methods of Generator, numpy keeps them equal for ever.
    generator = np.random.PCG64(rules.seed)
    rows = (book.energy_wh > 0).nonzero()[0]
    rows = rows[_shuffled(generator, len(rows))]
    all_orders, is_buy = (
        _Crowd(rows, book.limit_micro_per_kwh[rows], book.energy_wh[rows]),
        book.side[rows] > 0,
    )
    bids, asks = all_orders.at(is_buy.nonzero()[0]), all_orders.at((~is_buy).nonzero()[0])
    pairs: list[_Pairs] = []
    for _ in range(ROUNDS):
        if not (len(bids.rows) and len(asks.rows)):
            break
        bids, asks, met = _round(bids, asks, generator)
        pairs.append(met)
    pairs.append(_rest(bids, asks))
    buy, sell, energy_wh = (np.concatenate(column) for column in zip(*pairs, strict=True))
    if not len(energy_wh):
        return no_trade(book)
    bid, ask = book.limit_micro_per_kwh[buy], book.limit_micro_per_kwh[sell]
    return of_trades(book, Trades(buy, sell, energy_wh, bid - ((bid - ask) >> 1)))  # the middle, half up


def _round(bids: _Crowd, asks: _Crowd, generator: np.random.PCG64) -> tuple[_Crowd, _Crowd, _Pairs]:
    """Send home who cannot trade, let the others meet, and take off what they trade."""
    buyers = ((bids.left_wh > 0) & (bids.limit >= asks.limit.min())).nonzero()[0]
    sellers = ((asks.left_wh > 0) & (asks.limit <= bids.limit.max())).nonzero()[0]
    count, places = sorted((len(buyers), len(sellers)))
    steps = (generator.random_raw() * places) >> 64
    if len(sellers) == places:
        sellers = np.concatenate((sellers[steps:], sellers[:steps]))
    else:
        buyers = np.concatenate((buyers[steps:], buyers[:steps]))
    bids, asks = bids.at(buyers), asks.at(sellers)
    energy_wh = np.minimum(bids.left_wh[:count], asks.left_wh[:count])
    energy_wh *= bids.limit[:count] >= asks.limit[:count]
    bids.left_wh[:count] -= energy_wh
    asks.left_wh[:count] -= energy_wh
    met = (energy_wh > 0).nonzero()[0]
    return bids, asks, (bids.rows[met], asks.rows[met], energy_wh[met])


def _rest(bids: _Crowd, asks: _Crowd) -> _Pairs:
    """Match what is left, the highest-priced first, so that nobody is left who could trade."""
    rows, limit, left_wh = (np.concatenate(column) for column in zip(bids, asks, strict=True))
    open_places = (left_wh > 0).nonzero()[0]
    sides = facing(limit[open_places], open_places < len(bids.rows))
    buy, sell, energy_wh = match_all(sides, left_wh[open_places])
    rows = rows[open_places]
    return rows[buy], rows[sell], energy_wh


RANDOM_BILATERAL = MECHANISMS.register(
    Mechanism(
        "random_bilateral",
        clear,
        Promises(source="random meetings without a market design, after p2p_random of PyMarket"),
        (SEED,),
    )
)


def _shuffled(generator: np.random.PCG64, count: int) -> IntArray:
    """The numbers below `count` in random order."""
    number = np.uint64((1 << count.bit_length()) - 1)
    tickets = generator.random_raw(count) & ~number
    tickets |= np.arange(count, dtype=np.uint64)
    tickets.sort()
    drawn: IntArray = (tickets & number).astype(np.int64)
    return drawn
