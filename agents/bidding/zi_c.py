"""Zero intelligence, constrained: a limit by lot that never loses money, the benchmark of all bidding strategies."""

from __future__ import annotations

import numpy as np

from agents.bidding import Bids, Strategy, register
from market.random import WordArray, whole_between
from market.settlement.tariff import IntervalPrices
from market.units import IntArray


def bid(expected_net_wh: IntArray, prices: IntervalPrices, lots: WordArray) -> Bids:
    """Order the expected energy at a limit drawn evenly between the feed-in price and the outside price.

    A buyer draws between the lowest sensible price and its own limit, a seller between its own limit and the highest
    sensible price, so that neither can lose. Where grid fees close the gap, both stand at their limits.

    Source: Gode, Sunder, Journal of Political Economy 101 (1993), 119-137, section II.

    Args:
        expected_net_wh: Expected import minus export per home. [Wh]
        prices: Outside prices of the interval.
        lots: One random word per home.

    Returns:
        One order per home.
    """
    buys = expected_net_wh > 0
    cap, floor = prices.buy_cap_micro_per_kwh, prices.feed_in_micro_per_kwh
    if cap <= floor:
        limit = np.where(buys, cap, floor)
    else:
        size = len(expected_net_wh)
        limit = whole_between(lots, np.full(size, floor), np.full(size, cap))
    return Bids(np.where(buys, 1, -1).astype(np.int8), np.abs(expected_net_wh), limit)


ZI_C = register(
    Strategy("zi_c", bid, "expected energy at a limit drawn by lot between feed-in and outside price")
)
