"""The median of the same local time of day over the last days: robust where single days are dark or empty."""

from __future__ import annotations

import numpy as np

from agents.forecast import FORECASTERS, Forecast, Forecaster, Horizon, Points
from agents.learning.features import Features
from agents.rules import Known
from market.units import IntArray


def fit(known: Known) -> bool | None:
    """Nothing to learn; None without a whole day of readings."""
    return True if len(known.net_wh) >= known.steps_per_day else None


def points(model: bool, known: Known, rows: IntArray, gates: IntArray) -> Points:
    """Medians of the readings at the same local time on the last `known.days` days, of those that there are."""
    features = Features(known)
    return features.median(features.before(rows[:, None], gates[:, None], np.arange(1, known.days + 1)))


def predict(model: bool, horizon: Horizon) -> Forecast:
    """Medians at the same local times; after a day they repeat."""
    return Forecast.point(*points(model, horizon.known, *horizon.rows))


SAME_HOUR_MEDIAN = FORECASTERS.register(
    Forecaster(
        "same_hour_median",
        fit,
        predict,
        "median of the same local time of day over the last days",
        reads_valid=True,
        points=points,
    ),
    contract=2,
)
