"""What a member would be credited without a market, what a market can add to it, and what wrong forecasts cost."""

from __future__ import annotations

import numpy as np

from market.settlement.accounts import (
    BOUGHT,
    EXPORT,
    IMBALANCE,
    IMPORT,
    LOCAL,
    SOLD,
    TRADE,
    Postings,
)
from market.settlement.imbalance import delivered_wh
from market.settlement.tariff import IntervalPrices
from market.units import IntArray


def baseline_nano(import_wh: IntArray, export_wh: IntArray, prices: IntervalPrices) -> IntArray:
    """What each member would be credited without a market: all energy with the retailer. [nano-currency]"""
    import_price = prices.import_micro_per_kwh + prices.grid_fee_remote_micro_per_kwh
    return export_wh * prices.feed_in_micro_per_kwh - import_wh * import_price


def bound_nano(import_wh: IntArray, export_wh: IntArray, prices: IntervalPrices) -> int:
    """The most that all members together can save in an interval without moving a flow: w M. [nano-currency]

    M is the smaller of what the meters need and what they offer, each meter netted first.
    """
    net_wh = import_wh - export_wh
    most_wh = min(int(np.maximum(net_wh, 0).sum()), int(np.maximum(-net_wh, 0).sum()))
    return most_wh * max(prices.local_gain_micro_per_kwh, 0)


def netting_nano(postings: Postings, prices: IntervalPrices) -> IntArray:
    """What each member saves because its imbalance was netted among members instead of settled with the retailer.

    Returns:
        Sums to w N less what the rule keeps; the rest of a saving is what the mechanism brought. [nano-currency]
    """
    member = postings.lines[: postings.members]
    local = member[:, LOCAL]
    cap, feed_in = prices.buy_cap_micro_per_kwh, prices.feed_in_micro_per_kwh
    saved: IntArray = member[:, IMBALANCE] + np.maximum(local, 0) * cap - np.maximum(-local, 0) * feed_in
    return saved


def imbalance_cost_nano(postings: Postings, prices: IntervalPrices) -> IntArray:
    """What each member's wrong forecast cost it: its bill less the bill of the trades its meter confirmed.

    The net trade of a member is confirmed up to the metered net energy of the same direction. The confirmed part is
    kept at its price and everything else is settled with the retailer; that hypothetical bill is never above
    `baseline_nano`.

    Returns:
        At least 0 where forecasting hurt; negative where netting inside the community helped. [nano-currency]
    """
    member = postings.lines[: postings.members]
    net_wh, traded_wh = member[:, IMPORT] - member[:, EXPORT], member[:, BOUGHT] - member[:, SOLD]
    kept, traded, trade = delivered_wh(net_wh, traded_wh), np.abs(traded_wh), member[:, TRADE]
    kept_in, kept_out = np.where(traded_wh > 0, kept, 0), np.where(traded_wh < 0, kept, 0)
    # Of a trade that was kept in part, the price of a kWh is rounded down.
    confirmed = np.where(kept == traded, trade, kept * np.floor_divide(trade, np.maximum(traded, 1)))
    rest = baseline_nano(member[:, IMPORT] - kept_in, member[:, EXPORT] - kept_out, prices)
    local_fee = kept_in * prices.grid_fee_local_micro_per_kwh
    hypothetical = confirmed + rest - local_fee
    cost: IntArray = hypothetical - member[:, TRADE:].sum(axis=1)
    return cost
