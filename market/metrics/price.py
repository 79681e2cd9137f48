"""Prices: volume-weighted average, volatility, and distance from the competitive price."""

from __future__ import annotations

from math import sqrt

import numpy as np

from market.metrics.welfare import exact_dot
from market.units import IntArray


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
