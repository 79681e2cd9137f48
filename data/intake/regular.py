"""Rows that are regular beyond doubt, which most files are: placed at once, without the questions for other rows.

Regular are rows with exact stamps of which each home has one for each interval of its span, in the order of time. For
such rows nothing that `times`, `steps` and `place` look for can be there, which a few sums over the rows prove.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data import clock
from data.intake.rows import Rows
from data.intake.steps import divides_hour
from market.interval import ALLOWED_MINUTES, OFFSET_S
from market.units import IntArray

INT32_MAX = np.iinfo(np.int32).max

LARGEST_SPAN = 2
"""The grid has no more than so many cells a row."""


@dataclass(frozen=True, slots=True, eq=False)
class Regular:
    """Where regular rows lie.

    Args:
        start_s: Start of the first interval. [s since 1970]
        minutes: Interval length. [min]
        intervals: Number of intervals.
        cell: Cell of each row, t x H + h.
        order: Rows by home and time, where no home lacks an interval; then `cell` is of the rows in this order.
        sorted: Whether that is the order of the file.
    """

    start_s: int
    minutes: int
    intervals: int
    cell: IntArray
    order: IntArray | None = None
    sorted: bool = False


def regular(rows: Rows) -> Regular | None:
    """Place rows whose values are sound; None where they are not regular."""
    homes, seconds = len(rows.homes), rows.stamp.seconds
    plain = rows.revision is None and rows.minutes is None and not (rows.omitted or rows.idle)
    intervals_only = all(channel.kind == "interval" for channel in rows.values)
    if not plain or not intervals_only or rows.count <= homes:
        return None
    if not (rows.stamp.kind == clock.WITH_OFFSET).all():
        return None
    if (found := _by_home(rows)) is not None:
        return found
    first = int(seconds.min())
    last = int(seconds.max())
    if not 0 < last - first <= INT32_MAX:
        return None
    after = (seconds - first).astype(np.int32)
    # Of what is 0 one less is the largest number without a sign, so the smallest is that of the first later stamp.
    step_s = int((after - np.int32(1)).view(np.uint32).min()) + 1
    start_s = first - step_s if rows.ends else first
    intervals = (last - first) // step_s + 1
    if not _is_step(step_s, start_s) or intervals * homes > LARGEST_SPAN * rows.count:
        return None
    t = after // np.int32(step_s)
    if not np.array_equal(t * np.int32(step_s), after):
        return None
    cell = t.astype(np.int64) * homes + rows.home
    return Regular(start_s, step_s // 60, intervals, cell) if _is_whole(cell, intervals, homes) else None


def _by_home(rows: Rows) -> Regular | None:
    """Place rows with exact stamps of which each home has one for each interval, in order; None for any others."""
    homes = len(rows.homes)
    intervals, rest = divmod(rows.count, homes)
    if rest or (np.bincount(rows.home, minlength=homes) != intervals).any():
        return None
    if in_order := bool((rows.home[1:] >= rows.home[:-1]).all()):
        order = np.arange(rows.count)
        seconds = rows.stamp.seconds.reshape(homes, intervals)
    else:  # small integers sort much faster
        order = np.argsort(rows.home.astype(np.min_scalar_type(homes)), kind="stable")
        seconds = rows.stamp.seconds[order].reshape(homes, intervals)
    first, step_s = int(seconds[0, 0]), int(seconds[0, 1] - seconds[0, 0])
    start_s = first - step_s if rows.ends else first
    if not _is_step(step_s, start_s) or (seconds != first + step_s * np.arange(intervals)).any():
        return None
    cell = (np.arange(intervals) * homes + np.arange(homes)[:, np.newaxis]).ravel()
    return Regular(start_s, step_s // 60, intervals, cell, order, in_order)


def _is_step(step_s: int, start_s: int) -> bool:
    """Whether intervals may have this length and begin then."""
    allowed = divides_hour(step_s) and step_s // 60 in ALLOWED_MINUTES
    return allowed and start_s % step_s % min(step_s, OFFSET_S) == 0


def _is_whole(cell: IntArray, intervals: int, homes: int) -> bool:
    """Whether no cell has two rows, and each home has rows without a gap, in the order of time."""
    place = np.full((intervals, homes), -1, dtype=np.int32)
    place.ravel()[cell] = np.arange(len(cell), dtype=np.int32)
    there = place >= 0
    count = there.sum(axis=0)
    if int(count.sum()) != len(cell) or not count.all():
        return False
    rises = np.diff(place, axis=0) > 0
    if len(cell) == place.size:
        return bool(rises.all())
    both = there[1:] & there[:-1]
    # A home without gaps has one pair of neighbours less than rows.
    return bool((both.sum(axis=0) == count - 1).all() and (rises | ~both).all())
