"""The mean of the same local time of day over the last days: the usual baseline of residential load forecasting."""

from __future__ import annotations

import numpy as np

from agents.forecast import FORECASTERS, Forecast, Forecaster, Horizon
from agents.rules import DAY_MINUTES, Known, slot_of_day
from market.units import IntArray


def fit(known: Known) -> Known | None:
    """The readings themselves; None without a whole day of them."""
    return known if len(known.net_wh) >= known.steps_per_day else None


def predict(known: Known, horizon: Horizon) -> Forecast:
    """Average the readings at the same local time of day, rounded half up in integers; after a day it repeats.

    It looks back `known.days` days of the local clock, or as many whole days as there are. On the day on which the
    clock goes forward the missing hour has no reading and the other days count; the hour that comes twice in autumn
    counts with both its readings. A missing reading does not count; a home without any has no forecast of that step.
    """
    rows = _rows(known)
    slots = slot_of_day(known.local_minute[rows], known.minutes)
    first = len(horizon.known.net_wh)
    wanted = slot_of_day(known.local_minute[first : first + horizon.steps], known.minutes)
    net_wh = np.zeros((horizon.steps, known.net_wh.shape[1]), dtype=np.int64)
    valid = np.zeros(net_wh.shape, dtype=np.bool_)
    for slot in np.unique(wanted).tolist():
        same = rows[slots == slot]
        total = known.net_wh[same].sum(axis=0)
        count = np.full(total.shape, len(same)) if known.valid is None else known.valid[same].sum(axis=0)
        steps = wanted == slot
        net_wh[steps] = (2 * total + count) // np.maximum(2 * count, 1)
        valid[steps] = count > 0
    return Forecast.point(net_wh, None if valid.all() else valid)


def _rows(known: Known) -> IntArray:
    """The rows to use: those from so many days before the clock of the first unknown row."""
    rows = len(known.net_wh)
    days = min(known.days, rows // known.steps_per_day)
    last = np.arange(max(rows - (days + 1) * known.steps_per_day, 0), rows)
    since = known.local_minute[rows] - days * DAY_MINUTES
    rows_since: IntArray = last[known.local_minute[last] >= since]
    return rows_since


SAME_HOUR_MEAN = FORECASTERS.register(
    Forecaster(
        "same_hour_mean",
        fit,
        predict,
        "mean of the same local time of day over the last days",
        reads_valid=True,
    ),
    contract=2,
)
