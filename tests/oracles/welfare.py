"""Welfare, volumes and limits of one book, order by order as the columns of a whole day have them at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing
from market.units import IntArray


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


def ordered_wh(book: OrderBook) -> tuple[int, int]:
    """Demand and supply of a book: energy of all bids and of all offers, at any price. [Wh]"""
    buys = book.side > 0
    return int(book.energy_wh[buys].sum()), int(book.energy_wh[~buys].sum())


def worse_than_limit(book: OrderBook, clearing: Clearing) -> IntArray:
    """Rows of the orders that pay more, or get less, than their accepted energy is worth at their limits.

    Charges count. A rule that is individually rational has none.
    """
    value_nano = book.side * clearing.accepted_wh * book.limit_micro_per_kwh
    worse: IntArray = np.flatnonzero(value_nano < clearing.payment_nano(book))
    return worse
