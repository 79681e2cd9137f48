"""Welfare: who gains how much, how much of the possible gain is reached, how much of what is ordered is traded.

Amounts stay integers; only ratios are floats. A figure that does not exist is None, never 0 and never NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing
from market.units import INT64_SAFE, IntArray


@dataclass(frozen=True, slots=True)
class WelfareSplit:
    """Who gets how much of the gain from trade of one interval. [nano-currency]"""

    buyers_nano: int
    sellers_nano: int
    operator_nano: int
    grid_operator_nano: int

    @property
    def total_nano(self) -> int:
        """Sum of the four parts: welfare at stated limits plus the grid fees that trades pay. [nano]"""
        return self.buyers_nano + self.sellers_nano + self.operator_nano + self.grid_operator_nano


def exact_dot(left: IntArray, right: IntArray) -> int:
    """Sum of products as a Python integer, also where it passes 64 bits."""
    if float(np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)) < INT64_SAFE:
        return int(np.dot(left, right))
    return sum(int(x) * int(y) for x, y in zip(left.tolist(), right.tolist(), strict=True))


def welfare_split(book: OrderBook, clearing: Clearing, grid_fee_local_micro_per_kwh: int = 0) -> WelfareSplit:
    """Split the gain from trade of one interval over buyers, sellers, market operator and grid operator.

    Buyers get sum (v - p) q, sellers sum (p - c) q, less their fees and with their rebates; the operator gets what
    buyers pay beyond what sellers get. A limit is stated net of the local grid fee (`buy_cap_micro_per_kwh`), so the
    fee adds to the value of a kWh and goes to the grid operator whole.

    Args:
        book: The orders.
        clearing: What was accepted at what price.
        grid_fee_local_micro_per_kwh: Paid by the buyer of each kWh on top of the price. [micro/kWh]

    Source: welfare accounting of market clearing, SW = buyers + sellers + operator + grid operator.
    """
    value_nano = book.side * clearing.accepted_wh * book.limit_micro_per_kwh
    gain_nano, buys = value_nano - clearing.payment_nano(book), book.side > 0
    return WelfareSplit(
        int(gain_nano[buys].sum()),
        int(gain_nano[~buys].sum()),
        clearing.operator_surplus_nano,
        clearing.traded_wh(book) * grid_fee_local_micro_per_kwh,
    )


def allocative_efficiency(welfare_nano: int, optimum_nano: int) -> float | None:
    """Welfare reached over the welfare that could be reached; over a run, from the sums of both.

    Args:
        welfare_nano: Of the mechanism. [nano]
        optimum_nano: Of the efficient clearing of the same books. [nano]

    Returns:
        At most 1; None where nothing could be gained. Where both count true values it is the efficiency of Gode and
        Sunder, Journal of Political Economy 101 (1993), 119-137; results of this program count stated limits.
    """
    return welfare_nano / optimum_nano if optimum_nano > 0 else None


def ordered_wh(book: OrderBook) -> tuple[int, int]:
    """Demand and supply of a book: energy of all bids and of all offers, at any price. [Wh]"""
    buys = book.side > 0
    return int(book.energy_wh[buys].sum()), int(book.energy_wh[~buys].sum())


def traded_share(traded_wh: IntArray, demand_wh: IntArray, supply_wh: IntArray) -> float | None:
    """Liquidity: energy traded over the energy that could be traded if price were no matter.

    Args:
        traded_wh: Per interval, shape (T,). [Wh]
        demand_wh: Energy of all bids, shape (T,). [Wh]
        supply_wh: Energy of all offers, shape (T,). [Wh]

    Returns:
        sum traded / sum min(demand, supply), 0 to 1; None where no interval has both bids and offers.
    """
    possible_wh = int(np.minimum(demand_wh, supply_wh).sum())
    return int(traded_wh.sum()) / possible_wh if possible_wh else None
