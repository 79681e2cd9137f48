"""Bid the expected energy at the price of the outside option: the reference against which regret is measured."""

from __future__ import annotations

import numpy as np

from agents.bidding import Bids, Strategy, register
from market.random import WordArray
from market.settlement.tariff import IntervalPrices
from market.units import IntArray


def bid(expected_net_wh: IntArray, prices: IntervalPrices, lots: WordArray) -> Bids:
    """Buy an expected deficit up to the outside price, sell an expected surplus from the feed-in price.

    The outside price of a buyer is the import price plus the remote grid fee less the local one, so that energy
    from a neighbour, fee included, never costs more than energy from the retailer.

    Args:
        expected_net_wh: Expected import minus export per home. [Wh]
        prices: Outside prices of the interval.
        lots: Not needed: nothing is drawn.

    Returns:
        One order per home.
    """
    buys = expected_net_wh > 0
    return Bids(
        side=np.where(buys, 1, -1).astype(np.int8),
        energy_wh=np.abs(expected_net_wh),
        limit_micro_per_kwh=np.where(buys, prices.buy_cap_micro_per_kwh, prices.feed_in_micro_per_kwh),
    )


TRUTHFUL = register(
    Strategy(
        "truthful", bid, "expected energy, buying up to the outside price, selling from the feed-in price"
    )
)
