"""What a member would be credited without a market, and what its wrong forecast cost it."""

from __future__ import annotations

import numpy as np

from market.settlement.accounts import (
    BOUGHT,
    EXPORT,
    IMPORT,
    SOLD,
    TRADE,
    Postings,
)
from market.settlement.tariff import IntervalPrices
from market.units import IntArray


def baseline_nano(import_wh: IntArray, export_wh: IntArray, prices: IntervalPrices) -> IntArray:
    """What each member would be credited without a market: all energy with the retailer. [nano-currency]"""
    import_price = prices.import_micro_per_kwh + prices.grid_fee_remote_micro_per_kwh
    return export_wh * prices.feed_in_micro_per_kwh - import_wh * import_price


def imbalance_cost_nano(postings: Postings, prices: IntervalPrices) -> IntArray:
    """What each member's wrong forecast cost it: its bill less the bill of the trades its meter confirmed.

    A trade is confirmed up to the metered energy of the same direction. The confirmed part is kept at its price and
    everything else is settled with the retailer; that hypothetical bill is never above `baseline_nano`.

    Returns:
        At least 0 where forecasting hurt; negative where netting inside the community helped. [nano-currency]
    """
    member = postings.lines[: postings.members]
    bought, sold, trade = member[:, BOUGHT], member[:, SOLD], member[:, TRADE]
    kept_in, kept_out = np.minimum(bought, member[:, IMPORT]), np.minimum(sold, member[:, EXPORT])
    # One side per member and interval; of a trade that was kept in part, the price of a kWh is rounded down.
    traded, kept = bought + sold, kept_in + kept_out
    confirmed = np.where(kept == traded, trade, kept * np.floor_divide(trade, np.maximum(traded, 1)))
    rest = baseline_nano(member[:, IMPORT] - kept_in, member[:, EXPORT] - kept_out, prices)
    local_fee = kept_in * prices.grid_fee_local_micro_per_kwh
    hypothetical = confirmed + rest - local_fee
    cost: IntArray = hypothetical - member[:, TRADE:].sum(axis=1)
    return cost
