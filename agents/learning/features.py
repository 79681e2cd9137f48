"""What a linear forecast is made from: how far recent readings lie from the usual ones of their time of day.

All of it is whole Wh, so that sums of it are exact, whatever their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from agents.rules import DAY_MINUTES, FloatArray, Known, slot_of_day
from market.units import BoolArray, IntArray

USUAL_DAYS: Final = 14
"""Days whose mean at the same local time is the usual energy of that time."""
CELLS: Final = 48
"""Hours of the local day, on working days and on weekends."""
LARGEST_WH: Final = 2**17
"""Features are cut here, so that products of two and the sums of half a million of them are exact as floats. [Wh]"""
_UNIT: Final = 1024
_BACK_DAYS: Final = (1, 2, 7)
_FADING_HOURS: Final = (1, 6)
"""Hours after which a quarter of what the last reading was off remains."""
_RECENT_HOURS, _RECENT_FADING_HOURS = 3, 12
_WEEK: Final = np.arange(1, 8)
_TEMPERATURE, _SUN = "temp_c", "ghi"


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the readings of homes.

    Args:
        known: The readings.
    """

    known: Known

    @property
    def per_day(self) -> int:
        """Intervals in 24 hours."""
        return self.known.steps_per_day

    def cell(self, rows: IntArray) -> IntArray:
        """The hour of the local day of rows, and 24 more on weekends."""
        minute = self.known.local_minute[rows]
        weekend = (minute // DAY_MINUTES + 3) % 7 >= 5  # 1 January 1970 was a Thursday
        cell: IntArray = slot_of_day(minute, 60) + 24 * weekend
        return cell

    @cached_property
    def _shift(self) -> IntArray:
        """How far the local clock is ahead of the rows. [intervals]"""
        minute = self.known.local_minute
        shift: IntArray = (minute - np.arange(len(minute)) * self.known.minutes) // self.known.minutes
        return shift

    def before(self, rows: IntArray, known: IntArray, days: IntArray | int) -> IntArray:
        """Rows of the same local time so many days before; further back by days where that is not known yet.

        Of the hour that the clock skips or shows twice, the row 24 hours before is taken. Rows below 0 do not exist.

        Args:
            rows: Of any shape.
            known: First row that is not known yet, for each of them.
            days: Of any shape that goes with theirs.
        """
        back = rows - (days + np.maximum(rows - known, 0) // self.per_day) * self.per_day
        moved: IntArray = back + self._shift[rows] - self._shift[np.maximum(back, 0)]
        return np.where(moved < known, moved, moved - self.per_day)

    def read(self, rows: IntArray) -> tuple[IntArray, BoolArray | None]:
        """Readings of rows, 0 where there is none [Wh], and which there are; None if all."""
        some = rows.min(initial=0) < 0
        kept = np.maximum(rows, 0) if some else rows
        wh = self.known.net_wh[kept]
        if self.known.valid is None and not some:
            return wh, None
        valid = np.broadcast_to((rows >= 0)[..., None], wh.shape)
        if self.known.valid is not None:
            valid = valid & self.known.valid[kept]
        return np.where(valid, wh, 0), valid

    def mean(self, rows: IntArray) -> tuple[IntArray, BoolArray | None]:
        """Mean of the readings of rows over their last axis, rounded half up [Wh], and where there are any."""
        wh, valid = self.read(rows)
        total = wh.sum(axis=-2)
        if valid is None:
            count = rows.shape[-1]
            return (2 * total + count) // (2 * count), None
        counts = valid.sum(axis=-2)
        return (2 * total + counts) // np.maximum(2 * counts, 1), counts > 0

    def usual(self, rows: IntArray, known: IntArray) -> tuple[IntArray, BoolArray | None]:
        """The usual energy of rows [Wh], and for which homes there is one."""
        return self.mean(self.before(rows[:, None], known[:, None], np.arange(1, USUAL_DAYS + 1)))

    def off(self, rows: IntArray) -> IntArray:
        """How far readings lie from the usual energy that was known before them; 0 where either is missing. [Wh]"""
        wh, valid = self.read(rows)
        usual, has_usual = self.usual(rows, rows)
        off = wh - usual
        for exists in (valid, has_usual):
            off = off if exists is None else off * exists
        return off

    def of(self, rows: IntArray, known: IntArray) -> tuple[IntArray, IntArray, BoolArray | None]:
        """The usual energy, the features and where both exist, for rows with what is known at their gates.

        Args:
            rows: The intervals to forecast, shape (T,).
            known: First row that was not known yet, shape (T,).

        Returns:
            Shapes (T, homes) [Wh], (T, homes, features) [Wh] and (T, homes); None if all exist.
        """
        usual, exists = self.usual(rows, known)
        columns = [self.mean(self.before(rows[:, None], known[:, None], _WEEK))[0] - usual]
        for days in _BACK_DAYS:
            wh, valid = self.read(self.before(rows, known, days))
            columns.append(wh - usual if valid is None else np.where(valid, wh - usual, 0))
        columns.append(self._beside(rows, known) - usual)
        hours = (rows - known + 1) * self.known.minutes / 60
        gates, at = np.unique(known, return_inverse=True)
        last, recent, day, week = (level[at] for level in self._levels(gates))
        columns += [_faded(last, hours, fading) for fading in _FADING_HOURS]
        columns += [_faded(recent, hours, _RECENT_FADING_HOURS), day, week]
        features = np.stack(columns, axis=-1)
        if self.known.weather:
            features = np.concatenate(
                [features, self._weather(gates)[at, None] * usual[..., None] // _UNIT], -1
            )
        features = np.clip(features, -LARGEST_WH, LARGEST_WH)
        return usual, features if exists is None else features * exists[..., None], exists

    def _beside(self, rows: IntArray, known: IntArray) -> IntArray:
        """The mean of seven days just before and just after the same time. [Wh]"""
        reach = max(30 // self.known.minutes, 1)
        same = self.before(rows[:, None], known[:, None] - reach, _WEEK)
        return self.mean(np.concatenate([same - reach, same + reach], axis=-1))[0]

    def _levels(self, gates: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """How far the last reading and the last hours were off, and the last day and week above the last fortnight.

        Args:
            gates: First row that is not known, ascending, shape (G,).

        Returns:
            Each of shape (G, homes). [Wh]
        """
        recent = _RECENT_HOURS * 60 // self.known.minutes
        first = int(gates[0]) - recent
        off = self.off(np.arange(first, int(gates[-1])))
        last = off[gates - 1 - first]
        total = np.cumsum(np.concatenate([np.zeros_like(off[:1]), off]), axis=0)
        mean = (total[gates - first] - total[gates - first - recent]) // recent
        day, week, fortnight = (self._level(gates, days) for days in (1, 7, USUAL_DAYS))
        return last, mean, day - fortnight, week - fortnight

    def _level(self, gates: IntArray, days: int) -> IntArray:
        """Mean of the last days before gates, from the first of the readings on at most. [Wh]"""
        first = max(int(gates[0]) - days * self.per_day, 0)
        wh, valid = self.read(np.arange(first, int(gates[-1])))
        begin = np.maximum(gates - days * self.per_day, first) - first
        total = _between(wh, begin, gates - first)
        count = (gates - first - begin)[:, None] if valid is None else _between(valid, begin, gates - first)
        return (2 * total + count) // np.maximum(2 * count, 1)

    def _weather(self, gates: IntArray) -> IntArray:
        """Weather of the last day beside that of the last fortnight, in 1/1024, shape (G, columns)."""
        columns = []
        for name, unit in ((_TEMPERATURE, 10.0), (_SUN, 200.0)):
            if name in self.known.weather:
                values = np.rint(self.known.weather[name] * (_UNIT / unit)).astype(np.int64)[:, None]
                day, long = (_mean_before(values, gates, days * self.per_day) for days in (1, USUAL_DAYS))
                columns.append((day - long)[:, 0])
        return np.stack(columns, axis=-1) if columns else np.zeros((len(gates), 0), dtype=np.int64)


def _faded(wh: IntArray, hours: FloatArray, fading: int) -> IntArray:
    """What is left after some hours of energy that was off. [Wh]"""
    part = np.rint(_UNIT / (1 + hours / fading) ** 2).astype(np.int64)
    faded: IntArray = (wh * part[:, None] + _UNIT // 2) // _UNIT
    return faded


def _between(values: IntArray | BoolArray, begin: IntArray, end: IntArray) -> IntArray:
    """Sums of rows from `begin` to before `end`."""
    if len(begin) == 1:
        total: IntArray = values[begin[0] : end[0]].sum(axis=0, dtype=np.int64)[None]
        return total
    running = np.zeros((len(values) + 1, *values.shape[1:]), dtype=np.int64)
    np.cumsum(values, axis=0, out=running[1:])
    sums: IntArray = running[end] - running[begin]
    return sums


def _mean_before(values: IntArray, gates: IntArray, rows: int) -> IntArray:
    """Mean of the rows before gates, of those that there are."""
    begin = np.maximum(gates - rows, 0)
    mean: IntArray = _between(values, begin, gates) // np.maximum(gates - begin, 1)[:, None]
    return mean
