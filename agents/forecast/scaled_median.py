"""The median of the same local time of day, scaled by what the last half hour gave of its own: for production.

A cloudy hour is followed by cloudy hours, so the scale counts nearly in full for the next interval, by half three
hours ahead, and hardly for the next day. At night there is no scale.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from agents.forecast import FORECASTERS, Forecast, Forecaster, Horizon, Points
from agents.learning.features import Features
from agents.rules import Known
from market.units import IntArray

RECENT_MINUTES: Final = 30
LEAST_W: Final = 20
"""Median power of the last half hour below which it says nothing. [W]"""
HALF_HOURS: Final = 3
"""Hours ahead at which the scale counts by half."""
LARGEST: Final = 3
_UNIT: Final = 1024


def fit(known: Known) -> bool | None:
    """Nothing to learn; None without a whole day of readings."""
    return True if len(known.net_wh) >= known.steps_per_day else None


def points(model: bool, known: Known, rows: IntArray, gates: IntArray) -> Points:
    """Medians of the last `known.days` days, scaled by what the intervals before each gate gave."""
    features, days = Features(known), np.arange(1, known.days + 1)
    median_wh, exists = features.median(features.before(rows[:, None], gates[:, None], days))
    last, at = np.unique(gates, return_inverse=True)
    recent = max(RECENT_MINUTES // known.minutes, 1)
    seen = last[:, None] - np.arange(1, recent + 1)
    given_wh, there = features.read(seen)
    expected_wh, expected = features.median(
        features.before(seen[..., None], np.maximum(seen, 0)[..., None], days)
    )
    for exist in (there, expected):
        if exist is not None:
            given_wh, expected_wh = given_wh * exist, expected_wh * exist
    given_wh, expected_wh = given_wh.sum(axis=1), expected_wh.sum(axis=1)
    scale = np.clip(_UNIT * given_wh // np.maximum(expected_wh, 1), 0, LARGEST * _UNIT) - _UNIT
    scale *= expected_wh * 60 >= LEAST_W * recent * known.minutes
    hours = (rows - gates + 1) * known.minutes / 60
    part = np.rint(_UNIT / (1 + (hours / HALF_HOURS) ** 2)).astype(np.int64)[:, None]
    return (median_wh * (_UNIT * _UNIT + scale[at] * part) + _UNIT * _UNIT // 2) // (_UNIT * _UNIT), exists


def predict(model: bool, horizon: Horizon) -> Forecast:
    """As `points`, from one gate on."""
    return Forecast.point(*points(model, horizon.known, *horizon.rows))


SCALED_MEDIAN = FORECASTERS.register(
    Forecaster(
        "scaled_median",
        fit,
        predict,
        "median of the same local time over the last days, scaled by what the last half hour gave of it",
        reads_valid=True,
        points=points,
    ),
    contract=2,
)
