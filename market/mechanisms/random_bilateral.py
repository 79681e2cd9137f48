"""Random bilateral trade: buyers and sellers meet at random; a pair that suits trades at the middle of its limits."""

from __future__ import annotations

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing, Trades, no_trade, of_trades
from market.mechanism import Mechanism, Promises, register
from market.parameters import SEED
from market.rules import MarketRules
from market.units import IntArray


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Let the orders that can still trade meet at random, round after round, until no pair is left that suits.

    In a round every order of the smaller side meets one of the larger side. The best order of the smaller side suits
    whomever it meets, so every round has a trade, and every trade serves an order in full: the rounds come to an end.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `seed`.
    """
    # Raw words of the bit generator: unlike the methods of Generator, numpy keeps them equal for ever.
    lottery = np.random.PCG64(rules.seed)
    live, is_buy = book.energy_wh > 0, book.side > 0
    bids, asks = (live & is_buy).nonzero()[0], (live & ~is_buy).nonzero()[0]
    left_wh = book.energy_wh.copy()
    rounds: list[tuple[IntArray, IntArray, IntArray]] = []
    while True:
        bids, asks = _can_trade(book.limit_micro_per_kwh, bids, asks)
        if not len(bids):
            break
        buy, sell = bids, asks
        if len(bids) <= len(asks):
            sell = asks[_draw(lottery, len(asks), len(bids))]
        else:
            buy = bids[_draw(lottery, len(bids), len(asks))]
        suits = (book.limit_micro_per_kwh[buy] >= book.limit_micro_per_kwh[sell]).nonzero()[0]
        buy, sell = buy[suits], sell[suits]
        energy_wh = np.minimum(left_wh[buy], left_wh[sell])
        left_wh[buy] -= energy_wh
        left_wh[sell] -= energy_wh
        rounds.append((buy, sell, energy_wh))
        bids, asks = bids[left_wh[bids] > 0], asks[left_wh[asks] > 0]
    if not rounds:
        return no_trade(book)
    buy, sell, energy_wh = (np.concatenate(column) for column in zip(*rounds, strict=True))
    bid, ask = book.limit_micro_per_kwh[buy], book.limit_micro_per_kwh[sell]
    return of_trades(book, Trades(buy, sell, energy_wh, bid - (bid - ask) // 2))  # the middle, half up


RANDOM_BILATERAL = register(
    Mechanism(
        "random_bilateral",
        clear,
        Promises(source="random meetings without a market design, after p2p_random of PyMarket"),
        (SEED,),
    )
)


def _can_trade(limit: IntArray, bids: IntArray, asks: IntArray) -> tuple[IntArray, IntArray]:
    """The bids that could pay the lowest offer, and the offers that the highest bid could pay."""
    if not (len(bids) and len(asks)):
        return bids[:0], asks[:0]
    bid, ask = limit[bids], limit[asks]
    return bids[bid >= ask.min()], asks[ask <= bid.max()]


def _draw(lottery: np.random.PCG64, total: int, count: int) -> IntArray:
    """Draw `count` of `total` numbers without repetition, in random order."""
    number = np.uint64((1 << total.bit_length()) - 1)
    tickets = lottery.random_raw(total) & ~number
    tickets |= np.arange(total, dtype=np.uint64)
    tickets.sort()
    drawn: IntArray = (tickets[:count] & number).astype(np.int64)
    return drawn
