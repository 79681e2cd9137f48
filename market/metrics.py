"""Metrics of a market: who gains how much, how much is traded, at what price, and how concentrated trade is.

Amounts stay integers; only ratios and statistics are floats. A figure that does not exist is None, never 0 and
never NaN. docs/reference/metrics.md lists every metric with its formula, its unit and when it is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

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

    Source: welfare accounting of clearing rules, SW = buyers + sellers + operator + grid operator.
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


def traded_by_participant_wh(
    book: OrderBook, clearing: Clearing, participants: int
) -> tuple[IntArray, IntArray]:
    """Energy that each participant bought and sold, each of shape (participants,). [Wh]"""
    bought, sold = (np.zeros(participants, dtype=np.int64) for _ in range(2))
    buys = book.side > 0
    np.add.at(bought, book.participant[buys], clearing.accepted_wh[buys])
    np.add.at(sold, book.participant[~buys], clearing.accepted_wh[~buys])
    return bought, sold


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


def volume_weighted_price(price_micro_per_kwh: IntArray, energy_wh: IntArray) -> float | None:
    """Mean price of a traded kWh, VWAP: sum p q / sum q. [micro/kWh]

    Args:
        price_micro_per_kwh: Per interval, order or trade; without meaning where the energy is 0. [micro/kWh]
        energy_wh: Energy at that price, at least 0. [Wh]

    Returns:
        None where nothing traded. Over the orders of a clearing it is the middle of what buyers pay and sellers get.
    """
    total_wh = int(energy_wh.sum())
    return exact_dot(price_micro_per_kwh, energy_wh) / total_wh if total_wh else None


def price_volatility(price_micro_per_kwh: IntArray, energy_wh: IntArray) -> float | None:
    """Coefficient of variation of the price over the intervals that traded: std / mean, population std.

    Args:
        price_micro_per_kwh: Per interval; without meaning where the energy is 0. [micro/kWh]
        energy_wh: Traded energy per interval. [Wh]

    Returns:
        At least 0, one interval has 0; None where nothing traded, or where the mean price is not above 0.
    """
    return _variation(price_micro_per_kwh[energy_wh > 0], np.ones(int((energy_wh > 0).sum()), dtype=np.int64))


def price_volatility_weighted(price_micro_per_kwh: IntArray, energy_wh: IntArray) -> float | None:
    """Coefficient of variation of the price of a traded kWh: every price counts by its energy.

    Args and result as in `price_volatility`.
    """
    return _variation(price_micro_per_kwh, energy_wh)


def _variation(value: IntArray, weight: IntArray) -> float | None:
    total = int(weight.sum())
    mean = exact_dot(value, weight) / total if total else 0.0
    if mean <= 0:
        return None
    variance = float(((value - mean) ** 2) @ weight.astype(np.float64)) / total
    return sqrt(variance) / mean


def smith_alpha_percent(
    price_micro_per_kwh: IntArray, equilibrium_micro_per_kwh: IntArray, energy_wh: IntArray
) -> float | None:
    """Smith's alpha: how far trades lie from the competitive price, in percent of it.

    100 sqrt(sum q (p - p*)^2 / sum q) / (sum q p* / sum q); with unit trades at one p* the usual
    100 sqrt(mean (p - p*)^2) / p*.

    Args:
        price_micro_per_kwh: Price of each trade. [micro/kWh]
        equilibrium_micro_per_kwh: Competitive price p* of its interval, such as the middle of the price interval
            of the efficient clearing. [micro/kWh]
        energy_wh: Energy of each trade. [Wh]

    Returns:
        At least 0; None where nothing traded or the mean competitive price is not above 0. [%]

    Source: Smith, Journal of Political Economy 70 (1962), 111-137; weighted by energy here.
    """
    total = int(energy_wh.sum())
    centre = exact_dot(equilibrium_micro_per_kwh, energy_wh) / total if total else 0.0
    if centre <= 0:
        return None
    distance = (price_micro_per_kwh - equilibrium_micro_per_kwh).astype(np.float64)
    return 100 * sqrt(float(distance**2 @ energy_wh.astype(np.float64)) / total) / centre


def hhi(energy_wh: IntArray) -> float | None:
    """Herfindahl-Hirschman index of one side of the market: sum (100 s)^2 over the shares s of its participants.

    Args:
        energy_wh: Energy bought, or sold, per participant, over the whole run. [Wh]

    Returns:
        10,000 / n (n equal participants) to 10,000 (one alone); None where nothing traded.

    Source: Herfindahl (1950), Hirschman (1964), shares in percent.
    """
    total_wh = int(energy_wh.sum())
    return 10_000 * exact_dot(energy_wh, energy_wh) / total_wh**2 if total_wh else None
