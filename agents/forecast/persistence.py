"""The energy at the same local time of the day before: what every other forecast is measured against."""

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
    """The last known reading at the same local time."""
    features = Features(known)
    wh, valid = features.read(features.before(rows, gates, 1))
    return np.array(wh), valid


def predict(model: bool, horizon: Horizon) -> Forecast:
    """The last known readings at the same local times."""
    return Forecast.point(*points(model, horizon.known, *horizon.rows))


PERSISTENCE = FORECASTERS.register(
    Forecaster(
        "persistence",
        fit,
        predict,
        "the same local time of the day before",
        reads_valid=True,
        points=points,
    ),
    contract=2,
)
