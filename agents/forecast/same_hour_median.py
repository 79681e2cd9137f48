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
    """Medians of the readings at the same local time on the last `known.days` days, of those that there are.

    Of an even number of readings it is the mean of the two in the middle, rounded half up.
    """
    features = Features(known)
    days = known.days
    wh, valid = features.read(features.before(rows[:, None], gates[:, None], np.arange(1, days + 1)))
    if valid is None:
        ordered = np.sort(wh, axis=1)
        return (ordered[:, (days - 1) // 2] + ordered[:, days // 2] + 1) // 2, None
    ordered = np.sort(np.where(valid, wh, np.iinfo(np.int64).max), axis=1)
    count = valid.sum(axis=1, keepdims=True)
    low, high = (
        np.take_along_axis(ordered, np.maximum(place, 0), axis=1)[:, 0]
        for place in ((count - 1) // 2, np.minimum(count // 2, count - 1))
    )
    exists = count[:, 0] > 0
    return np.where(exists, (low * exists + high * exists + 1) // 2, 0), exists


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
