"""Repairs of intervals without a reading: how each policy fills them, marked as estimated, in a layer of its own.

Energy that is known over a gap, such as the difference of two readings of a counter, is kept to the Wh: the policy then
only gives the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from data.clock import local_of_utc
from data.findings import runs
from data.readings import ESTIMATED, MISSING
from data.store.errors import Mismatch
from data.store.layers import Patch
from data.store.series import HomeSeries
from market.units import BoolArray, IntArray

DAY_S = 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """A run of intervals without a reading.

    Args:
        series: Whose.
        first: Its first interval.
        last: The interval after its last.
        local_s: Start of every interval of the home on the local clock. [s since 1970]
    """

    series: HomeSeries
    first: int
    last: int
    local_s: IntArray

    @property
    def rows(self) -> IntArray:
        """Its intervals."""
        return np.arange(self.first, self.last)


Filled = tuple[dict[str, IntArray], BoolArray]
"""Energy of a gap by channel, and which of its intervals could be filled."""


def _zero(gap: Gap) -> Filled:
    """Nothing went through."""
    count = gap.last - gap.first
    return {name: np.zeros(count, dtype=np.int64) for name in gap.series.energy}, np.ones(
        count, dtype=np.bool_
    )


def _interpolate(gap: Gap) -> Filled:
    """A straight line between the readings at both ends; at the end of a home's readings nothing is known."""
    series, count = gap.series, gap.last - gap.first
    known = gap.first > 0 and gap.last < series.intervals
    energy = {}
    for name, column in series.energy.items():
        before, after = (int(column[gap.first - 1]), int(column[gap.last])) if known else (0, 0)
        place = np.arange(1, count + 1, dtype=np.int64)
        energy[name] = before + ((after - before) * place + (count + 1) // 2) // (count + 1)
    return energy, np.full(count, known)


def _days_away(gap: Gap, days: Sequence[int]) -> Filled:
    """The reading at the same time of the local clock, of the first of some days that has one."""
    series = gap.series
    energy = {name: np.zeros(gap.last - gap.first, dtype=np.int64) for name in series.energy}
    done = np.zeros(gap.last - gap.first, dtype=np.bool_)
    local, place = np.unique(gap.local_s, return_index=True)
    for day in days:
        wanted = gap.local_s[gap.rows] + day * DAY_S
        at = np.clip(np.searchsorted(local, wanted), 0, len(local) - 1)
        row = place[at]
        found = ~done & (local[at] == wanted) & (series.quality[row] != MISSING)
        for name, column in energy.items():
            column[found] = series.energy[name][row[found]]
        done |= found
    return energy, done


POLICIES: Mapping[str, Callable[[Gap], Filled]] = {
    "interpolate": _interpolate,
    "previous-day": lambda gap: _days_away(gap, (-1, -2, -3, -4, -5, -6, -7)),
    "next-day": lambda gap: _days_away(gap, (1, 2, 3, 4, 5, 6, 7)),
    "same-weekday": lambda gap: _days_away(gap, (-7, 7, -14, 14, -21, 21, -28, 28)),
    "zero": _zero,
}
"""By name: how a gap is filled. Days count on the local clock; the nearest one that was read is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """What a policy makes of the gaps of a home.

    Args:
        patch: What is replaced; None where nothing can be.
        gaps: Number of runs of missing intervals that are considered.
        left: Intervals that stay missing, because the policy knows nothing of them.
    """

    patch: Patch | None
    gaps: int
    left: int


def repair(
    series: HomeSeries,
    policy: str,
    zone: ZoneInfo | None,
    window: tuple[int | None, int | None] = (None, None),
    known_wh: Mapping[str, int] | None = None,
) -> Repair:
    """Fill the intervals without a reading.

    Args:
        series: Readings of a home.
        policy: A key of `POLICIES`.
        zone: Zone of the days; UTC where none is known.
        window: Start of the first and end of the last interval that may be filled. [s since 1970]
        known_wh: Energy of the gap by channel, where it is known; of one gap, which is then kept to the Wh. [Wh]

    Raises:
        Mismatch: Energy is known, and there is not one gap that can be filled whole.
    """
    time_s = series.time_s
    lacking = series.quality == MISSING
    lacking &= time_s >= (window[0] if window[0] is not None else series.start_s)
    lacking &= time_s + series.step_s <= (window[1] if window[1] is not None else series.end_s)
    starts, ends = runs(lacking)
    local_s = time_s if zone is None else local_of_utc(time_s, zone)
    gaps = [
        Gap(series, first, last, local_s) for first, last in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    after = {name: column.copy() for name, column in series.energy.items()}
    filled = np.zeros(series.intervals, dtype=np.bool_)
    for gap in gaps:
        energy, done = POLICIES[policy](gap)
        for name, column in energy.items():
            after[name][gap.rows[done]] = column[done]
        filled[gap.rows[done]] = True
    if known_wh:
        _keep(series.home, gaps, filled, after, known_wh)
    at = np.flatnonzero(filled)
    left = int(lacking.sum()) - len(at)
    if not len(at):
        return Repair(None, len(gaps), left)
    patch = Patch(
        home=series.home,
        time_s=time_s[at],
        before={name: column[at] for name, column in series.energy.items()},
        after={name: column[at] for name, column in after.items()},
        quality_before=series.quality[at],
        quality_after=np.full(len(at), ESTIMATED, dtype=np.uint8),
    )
    return Repair(patch, len(gaps), left)


def _keep(
    home: str, gaps: Sequence[Gap], filled: BoolArray, after: dict[str, IntArray], known_wh: Mapping[str, int]
) -> None:
    """Scale what a policy gives to energy that is known."""
    if len(gaps) != 1 or not filled[gaps[0].rows].all():
        problem = (
            f"home {home} has {len(gaps)} gaps here"
            if len(gaps) != 1
            else f"the gap of home {home} is not filled whole"
        )
        raise Mismatch([problem], "energy can be kept over one gap: choose it with --home, --from and --to")
    rows = gaps[0].rows
    for name, total in known_wh.items():
        if name not in after:
            raise Mismatch([f"home {home} has no channel {name}"], "name one that it has")
        after[name][rows] = shared_out(after[name][rows], total)


def shared_out(shape: IntArray, total: int) -> IntArray:
    """Split a total in proportion to a shape, in whole units that add up; evenly where the shape is all zero."""
    if not shape.any():
        shape = np.ones(len(shape), dtype=np.int64)
    reached = [0, *(total * int(so_far) // int(shape.sum()) for so_far in np.cumsum(shape))]
    return np.array([after - before for before, after in pairwise(reached)], dtype=np.int64)
