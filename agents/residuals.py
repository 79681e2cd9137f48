"""By how much the forecasts of the homes were wrong at each local time of day, and quantiles of that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.forecast import Points
from agents.rules import DAY_MINUTES, Known, slot_of_day
from market.units import PPM, BoolArray, IntArray

DAYS: Final = 28
"""Days of residuals that are kept."""
LEAST_DAYS: Final = 14
"""Days of residuals below which a home has no quantiles."""
REACH_MINUTES: Final = 30
"""Residuals this near in the time of day count as well, and those of the next slot if that is further. [min]"""

Spread = tuple[IntArray, BoolArray]
"""Distance of quantiles from a forecast, shape (levels, homes), 0 for a home without [Wh]; which homes have them."""
_MISSING: Final = 2**31 - 1


class Residuals:
    """What homes used less what was forecast for them, of the last 28 intervals at each local time of day.

    They follow from the readings alone: the forecast of an interval is the one that could be made when its gate
    closed, so a resumed run, and a home alone, come to the same numbers. Of the hour that a clock skips in spring one
    residual more is older than four weeks, of the hour that it shows twice in autumn both count.

    Args:
        minutes: Length of an interval. [min]
        forecasts: Makes the forecasts that were possible at the gates of these rows; of some only the first, and None
            where there were none.
    """

    def __init__(self, minutes: int, forecasts: Callable[[range], tuple[int, Points | None]]) -> None:
        self._slots, self._reach = DAY_MINUTES // minutes, max(REACH_MINUTES // minutes, 1)
        self._kept: list[deque[npt.NDArray[np.int32]]] = [deque(maxlen=DAYS) for _ in range(self._slots)]
        self._next, self._forecasts = 0, forecasts

    def extend(self, known: Known) -> None:
        """Add the rows that have become known; a residual beyond 2 GWh counts as 2 GWh.

        A day more than is kept is used, because of the hour that the clock skips.
        """
        rows = len(known.net_wh)
        self._next = max(self._next, rows - (DAYS + 1) * self._slots)
        while self._next < rows:
            count, points = self._forecasts(range(self._next, rows))
            self._add(known, slice(self._next, self._next + count), points)
            self._next += count

    def _add(self, known: Known, rows: slice, points: Points | None) -> None:
        net_wh = known.net_wh[rows]
        off_wh = np.full(net_wh.shape, _MISSING, dtype=np.int32)
        if points is not None:
            points_wh, has_point = points
            off_wh[:] = np.clip(net_wh - points_wh, 1 - _MISSING, _MISSING - 1)
            for exists in (has_point, None if known.valid is None else known.valid[rows]):
                if exists is not None:
                    off_wh[~exists] = _MISSING
        for slot, of_row in zip(
            slot_of_day(known.local_minute[rows], known.minutes).tolist(), off_wh, strict=True
        ):
            self._kept[slot].append(of_row)

    def quantiles_wh(self, slot: int, levels_ppm: tuple[int, ...], homes: IntArray) -> Spread | None:
        """Quantiles of the residuals around a local time of day; None if no home has enough of them.

        A quantile is the least residual that at least the share `level` of the residuals do not exceed.

        Args:
            slot: The time of day. [intervals since local midnight]
            levels_ppm: Levels of the quantiles. [parts per million]
            homes: Columns of the homes that want them.
        """
        near = range(slot - self._reach, slot + self._reach + 1)
        rows = [error_wh for each in near for error_wh in self._kept[each % self._slots]]
        least = LEAST_DAYS * len(near)
        if len(rows) < least:
            return None
        ordered = np.sort(np.stack([error_wh[homes] for error_wh in rows], axis=1), axis=1)
        count = (ordered < _MISSING).sum(axis=1)
        enough = count >= least
        place = -(-count[:, None] * np.array(levels_ppm) // PPM) - 1
        quantile_wh = np.take_along_axis(ordered, np.maximum(place, 0), axis=1).T.astype(np.int64)
        return np.where(enough, quantile_wh, 0), enough

    def days_wh(self, slot: int, steps: int) -> IntArray | None:
        """The residuals of whole days, as they followed each other: what was missed in the morning goes on at noon.

        On the days around a change of the clock those behind the change are of a local hour beside it.

        Args:
            slot: The time of day at which the days begin, that of the first interval that is not yet known.
            steps: Intervals of each, less than two days.

        Returns:
            Shape (days, steps, homes), the last day first; 0 where a home has none, and all of a home with fewer than
            14 whole days; None where no home has more. [Wh]
        """
        kept = [self._kept[(slot + step) % self._slots] for step in range(steps)]
        days = min(len(column) for column in kept) - 1
        if days < LEAST_DAYS:
            return None
        # The last of a slot is of the day before; where the day ahead goes on into the next one, of a day later.
        rows = [
            [kept[step][step // self._slots - day] for step in range(steps)] for day in range(2, days + 2)
        ]
        residuals_wh = np.array(rows, dtype=np.int64)
        known = residuals_wh < _MISSING
        enough = known.all(axis=1).sum(axis=0) >= LEAST_DAYS
        return np.where(known & enough, residuals_wh, 0) if enough.any() else None
