"""The mean of the same time of day over the last days: the usual baseline of residential load forecasting."""

from __future__ import annotations

import numpy as np

from agents.forecast import FORECASTERS, Forecast, Forecaster, Horizon
from agents.rules import Known
from market.units import IntArray


def fit(known: Known) -> IntArray | None:
    """The last known whole days, `known.days` at most, shape (days, steps of a day, homes); None without one. [Wh]"""
    steps, rows = known.steps_per_day, len(known.net_wh)
    days = min(known.days, rows // steps)
    return known.net_wh[rows - days * steps :].reshape(days, steps, -1) if days else None


def predict(days_wh: IntArray, horizon: Horizon) -> Forecast:
    """Average each UTC time of day, rounded half up in integers; after a day the forecast repeats."""
    days, steps, _ = days_wh.shape
    total = days_wh[:, np.arange(horizon.steps) % steps].sum(axis=0)
    return Forecast.point((2 * total + days) // (2 * days))


SAME_HOUR_MEAN = FORECASTERS.register(
    Forecaster("same_hour_mean", fit, predict, "mean of the same time of day over the last days"), contract=2
)
