"""The mean of the same time of day over the last days: the honest baseline of household forecasting."""

from __future__ import annotations

import numpy as np

from agents.forecast import Forecaster, register
from market.units import IntArray


def forecast(history_wh: IntArray, steps: int, steps_per_day: int, days: int) -> IntArray | None:
    """Average the same UTC time of day over the last `days` days that are known.

    Args:
        history_wh: Past net energy, shape (known, homes). [Wh]
        steps: How many intervals to forecast; after a day the forecast repeats.
        steps_per_day: Intervals in 24 hours.
        days: How many days to look back at most.

    Returns:
        Net energy, shape (steps, homes), rounded half up in integers; None before a full day is known. [Wh]
    """
    known = len(history_wh)
    if known < steps_per_day:
        return None
    usable_days = min(days, known // steps_per_day)
    first = known - usable_days * steps_per_day
    rows = first + np.arange(usable_days)[:, None] * steps_per_day + np.arange(steps)[None, :] % steps_per_day
    total: IntArray = history_wh[rows].sum(axis=0)
    return (2 * total + usable_days) // (2 * usable_days)


SAME_HOUR_MEAN = register(
    Forecaster("same_hour_mean", forecast, "mean of the same time of day over the last days")
)
