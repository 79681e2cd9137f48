"""Repairs of intervals without a reading: how each policy fills them, marked as estimated, in a layer of its own.

Energy that is known over a gap, as the difference of two readings of a counter or by the user's word, is kept to the
Wh: the policy then only gives the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from data.clock import local_of_utc
from data.findings import runs
from data.readings import ESTIMATED, MISSING, Known
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

    def meets(self, known: Known) -> bool:
        """Whether a stretch of which the energy is known has one of its intervals."""
        first_s, last_s = (self.series.start_s + row * self.series.step_s for row in (self.first, self.last))
        return known.start_s < last_s and first_s < known.end_s


Filled = tuple[dict[str, IntArray], BoolArray]
"""Energy of a gap by channel, and which of its intervals could be filled."""


def _zero(gap: Gap) -> Filled:
    """Nothing went through."""
    count = gap.last - gap.first
    return {name: np.zeros(count, dtype=np.int64) for name in gap.series.energy}, np.ones(
        count, dtype=np.bool_
    )


def _interpolate(gap: Gap) -> Filled:
    """A straight line between the readings at both ends; where one of them is none, nothing is known."""
    series, count = gap.series, gap.last - gap.first
    known = (
        0 < gap.first < gap.last < series.intervals
        and MISSING not in series.quality[[gap.first - 1, gap.last]]  # of which a window may have cut the gap
    )
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
        kept: Totals of counters that stretches come to now.
        stated: Those that the user stated.
        broken: Totals of counters that are not kept, each with the reason.
        guessed: Number of runs, filled at least in part, of which no total is known.
    """

    patch: Patch | None
    gaps: int
    left: int
    kept: tuple[Known, ...] = ()
    stated: tuple[Known, ...] = ()
    broken: tuple[tuple[Known, str], ...] = ()
    guessed: int = 0


def repair(
    series: HomeSeries,
    policy: str,
    zone: ZoneInfo | None,
    window: tuple[int | None, int | None] = (None, None),
    known_wh: Mapping[str, int] | None = None,
    counted: Sequence[Known] = (),
) -> Repair:
    """Fill the intervals without a reading.

    What is filled in a stretch of which a counter shows the energy comes, with the readings that are there, to it. An
    interval of which a part was read, or one register of two, gets no less than that.

    Args:
        series: Readings of a home.
        policy: A key of `POLICIES`.
        zone: Zone of the days; UTC where none is known.
        window: Start of the first and end of the last interval that may be filled. [s since 1970]
        known_wh: Energy of the gap by channel, as the user states it; of one gap, which is then kept to the Wh. It
            counts instead of what a counter shows. [Wh]
        counted: What counters show over gaps of homes; those of other homes are left out.

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
            at = gap.rows[done]
            after[name][at] = np.maximum(column[done], series.energy[name][at])  # no less than what was read
        filled[gap.rows[done]] = True
    stated = _keep(series, gaps, filled, after, known_wh) if known_wh else ()
    own = [one for one in counted if one.home == series.home and one.channel not in (known_wh or ())]
    kept, broken = _keep_counted(series, own, filled, after)
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
    totals = (*kept, *stated, *(one for one, _ in broken))
    guessed = sum(bool(filled[gap.rows].any()) and not any(map(gap.meets, totals)) for gap in gaps)
    return Repair(patch, len(gaps), left, kept, stated, broken, guessed)


def _keep_counted(
    series: HomeSeries, known: Sequence[Known], filled: BoolArray, after: dict[str, IntArray]
) -> tuple[tuple[Known, ...], tuple[tuple[Known, str], ...]]:
    """Scale what a policy gives to what counters show, the shorter of two stretches that overlap first.

    Returns:
        The totals that are kept, and those that are not, with the reason.
    """
    open_ = {name: filled.copy() for name in after}
    kept, broken = [], []
    for one in sorted(known, key=lambda one: (one.end_s - one.start_s, one.start_s, one.channel)):
        first, last = ((t - series.start_s) // series.step_s for t in (one.start_s, one.end_s))
        if one.channel not in after or first < 0 or last > series.intervals:
            continue
        rows = np.arange(first, last)
        free = rows[open_[one.channel][rows]]
        if not len(free):
            continue
        column = after[one.channel]
        rest = one.wh - int(column[rows].sum()) + int(column[free].sum())
        if ((series.quality[rows] == MISSING) & ~filled[rows]).any():
            broken.append((one, "a part of it stays missing"))
        elif rest < 0:
            broken.append((one, f"what was read there is {-rest / 1000:.3f} kWh more"))
        else:
            column[free] = shared_out(_shape(series, one, rows, free, column), rest)
            open_[one.channel][rows] = False
            kept.append(one)
    return tuple(kept), tuple(broken)


def _shape(series: HomeSeries, one: Known, rows: IntArray, free: IntArray, column: IntArray) -> IntArray:
    """What the total is split by: readings that are there, where only another channel misses them; else the policy."""
    read = series.energy[one.channel]
    # Energy of every interval is rounded by itself, so its sum and the rounded total may be a Wh apart.
    is_read = len(free) == len(rows) and one.wh > 0 and abs(int(read[rows].sum()) - one.wh) <= 1
    return read[free] if is_read else column[free]


def _keep(
    series: HomeSeries,
    gaps: Sequence[Gap],
    filled: BoolArray,
    after: dict[str, IntArray],
    known_wh: Mapping[str, int],
) -> tuple[Known, ...]:
    """Scale what a policy gives to energy that the user states."""
    home = series.home
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
    start_s, end_s = (series.start_s + row * series.step_s for row in (gaps[0].first, gaps[0].last))
    return tuple(Known(home, name, start_s, end_s, total) for name, total in known_wh.items())


def shared_out(shape: IntArray, total: int) -> IntArray:
    """Split a total in proportion to a shape, in whole units that add up; evenly where the shape is all zero."""
    if not shape.any():
        shape = np.ones(len(shape), dtype=np.int64)
    reached = [0, *(total * int(so_far) // int(shape.sum()) for so_far in np.cumsum(shape))]
    return np.array([after - before for before, after in pairwise(reached)], dtype=np.int64)
