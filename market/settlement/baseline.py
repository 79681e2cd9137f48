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
from market.settlement.tariff import AnyPrices, HomePrices
from market.units import IntArray, side_by_side


def baseline_nano(import_wh: IntArray, export_wh: IntArray, prices: AnyPrices) -> IntArray:
    """What each member would be credited without a market: all energy with the retailer. [nano-currency]"""
    import_price = prices.import_micro_per_kwh + prices.grid_fee_remote_micro_per_kwh
    return export_wh * prices.feed_in_micro_per_kwh - import_wh * import_price


def bound_nano(import_wh: IntArray, export_wh: IntArray, prices: AnyPrices) -> int:
    """The most that all members together can save in an interval without moving a flow: w M. [nano-currency]

    M is the smaller of what the meters need and what they offer, each meter netted first. Where homes have retailers of
    their own, who pays most for energy from outside gets the energy for which least is paid.
    """
    need_wh, offer_wh = np.maximum(import_wh - export_wh, 0), np.maximum(export_wh - import_wh, 0)
    if not isinstance(prices, HomePrices):
        return min(int(need_wh.sum()), int(offer_wh.sum())) * max(prices.local_gain_micro_per_kwh, 0)
    highest = np.argsort(-prices.buy_cap_micro_per_kwh, kind="stable")
    lowest = np.argsort(prices.feed_in_micro_per_kwh, kind="stable")
    buyer, seller, energy_wh = side_by_side(need_wh[highest], offer_wh[lowest])
    gain = prices.buy_cap_micro_per_kwh[highest[buyer]] - prices.feed_in_micro_per_kwh[lowest[seller]]
    return int(energy_wh @ np.maximum(gain, 0))


def netting_nano(postings: Postings, prices: AnyPrices) -> IntArray:
    """What each member saves because its imbalance was netted among members instead of settled with the retailer.

    Returns:
        Sums to w N less what the rule keeps; the rest of a saving is what the mechanism brought. [nano-currency]
    """
    member = postings.lines[: postings.members]
    local = member[:, LOCAL]
    needed_wh, offered_wh = np.maximum(local, 0), np.maximum(-local, 0)
    saved: IntArray = member[:, IMBALANCE] + needed_wh * np.asarray(prices.buy_cap_micro_per_kwh)
    saved -= offered_wh * np.asarray(prices.feed_in_micro_per_kwh)
    return saved


def imbalance_cost_nano(postings: Postings, prices: AnyPrices) -> IntArray:
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
