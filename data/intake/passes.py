"""Local stamps into UTC: to which pass of the hour that comes twice in autumn each row of a home belongs.

The order of a home's rows around that hour shows it, whether they run up or down in time: one pass after the other
(02:00, 02:15, .., 02:00, 02:15, ..), or pairwise (02:00, 02:00, 02:15, 02:15, ..), also where the file begins or ends
inside. What the order does not show is not decided here: a row of one pass alone, and two rows in a file that is in no
order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.intake.raw import FloatArray
from market.units import BoolArray, IntArray

NEAR_S = 6 * 3600
"""Rows this far around the hour show in which direction a file runs. [s]"""

FIRST, SECOND, ALONE, UNDECIDED = range(4)
"""What is known of a row: its pass; that the other pass is not there; or that two rows are in no order."""

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of local time that a clock shows twice, or skips.

    Args:
        begin_s: Its first second on the local clock. [s since 1970]
        length_s: Its length. [s]
        before_s: Offset of local time from UTC before the change. [s]
        after_s: The same after it. [s]
    """

    begin_s: int
    length_s: int
    before_s: int
    after_s: int

    @property
    def change_s(self) -> int:
        """The instant of the change, UTC. [s since 1970]"""
        return self.begin_s - min(self.before_s, self.after_s)

    def around(self, local_s: IntArray) -> BoolArray:
        """Which stamps lie in it or near it."""
        return (local_s >= self.begin_s - NEAR_S) & (local_s < self.begin_s + self.length_s + NEAR_S)

    def holds(self, local_s: IntArray) -> BoolArray:
        """Which stamps lie in it."""
        return (local_s >= self.begin_s) & (local_s < self.begin_s + self.length_s)


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Where rows with local stamps lie in time.

    Args:
        utc: Instant of each row; of a row that is `ALONE` or `UNDECIDED` that of the first pass. [s since 1970]
        known: FIRST, SECOND, ALONE or UNDECIDED; FIRST outside the hour.
        exists: False for stamps that the clock jumps over in spring.
        twice: The hours that come twice, where rows lie in one.
        skipped: The hours that are skipped, where rows lie in one.
        edges: Whether one pass was taken because the file begins or ends in the hour.
    """

    utc: IntArray
    known: IntArray
    exists: BoolArray
    twice: tuple[Window, ...]
    skipped: tuple[Window, ...]
    edges: bool


def passes_of(
    local_s: IntArray, series: IntArray, values: Sequence[FloatArray], zone: ZoneInfo, ends: bool = False
) -> Passes:
    """Turn local stamps into UTC by the order of the rows of each home.

    Args:
        local_s: Stamps in file order. [s since 1970 on the local clock]
        series: Home, or home and issue, of each row; only within one are rows in an order.
        values: Columns of the rows: rows that repeat each other are no second pass.
        zone: Zone of the clock.
        ends: Whether stamps name ends of intervals: then the hour may be written 02:15 to 03:00, twice.
    """
    unique, row = np.unique(local_s, return_inverse=True)
    found = clock.local_clock(unique, zone)
    utc, exists = found.first_utc_s[row], found.exists[row]
    known = np.full(len(local_s), FIRST, dtype=np.int64)
    twice, edges = _windows(unique[found.repeated], zone), False
    home, edge = np.unique(series, return_inverse=True) if twice else (series, series)
    low, high = np.full(len(home), local_s.max(initial=0)), np.full(len(home), local_s.min(initial=0))
    if twice:
        np.minimum.at(low, edge, local_s)
        np.maximum.at(high, edge, local_s)
    for window in twice:
        near = np.flatnonzero(window.around(local_s))
        near = near[np.argsort(series[near], kind="stable")]
        for rows in np.split(near, np.flatnonzero(np.diff(series[near])) + 1):
            shift = 1 if ends and _ends_inside(local_s[rows], window) else 0
            inside = window.holds(local_s[rows] - shift)
            if not inside.any():
                continue
            mine = edge[rows[0]]
            begins = bool(low[mine] >= window.begin_s + shift)
            ends_in = bool(high[mine] < window.begin_s + window.length_s + shift)
            pass_, at_edge = _decide(local_s[rows], inside, _keys(values, rows), (begins, ends_in), window)
            edges |= at_edge
            which = rows[inside]
            known[which] = pass_
            offset = np.where(pass_ == SECOND, window.after_s, window.before_s)
            utc[which] = local_s[which] - offset
    return Passes(utc, known, exists, twice, _windows(unique[~found.exists], zone), edges)


def _windows(stamps: IntArray, zone: ZoneInfo) -> tuple[Window, ...]:
    """The stretches that a clock repeats or skips in which stamps lie."""
    found: list[Window] = []
    for stamp in stamps.tolist():
        if found and stamp < found[-1].begin_s + found[-1].length_s:
            continue
        one = np.array([stamp], dtype=np.int64)
        at = clock.local_clock(one, zone)
        low, high = sorted((int(at.first_utc_s[0]), int(at.second_utc_s[0])))
        low, high = low - 1, high + 1
        before, after = (clock.offset_at(s, zone) for s in (low, high))
        while high - low > 1:
            middle = (low + high) // 2
            if clock.offset_at(middle, zone) == before:
                low = middle
            else:
                high = middle
        found.append(Window(high + min(before, after), abs(after - before), before, after))
    return tuple(found)


def _ends_inside(local_s: IntArray, window: Window) -> bool:
    """Whether the first pass ends at 03:00 and not, as clocks go back then, at 02:00.

    Where most stamps of the hour come once, the file has one pass, and a 03:00 that comes twice is a row repeated.
    """
    end_s = window.begin_s + window.length_s
    last = int((local_s == end_s).sum())
    if last <= 1 or last <= int((local_s == window.begin_s).sum()):
        return False
    times = np.unique(local_s[(local_s > window.begin_s) & (local_s < end_s)], return_counts=True)[1]
    return not len(times) or 2 * int((times == 1).sum()) <= len(times)


def _keys(values: Sequence[FloatArray], rows: IntArray) -> list[tuple[str, ...]]:
    return [tuple(repr(float(column[row])) for column in values) for row in rows.tolist()]


def _decide(
    local_s: IntArray,
    inside: BoolArray,
    keys: list[tuple[str, ...]],
    edge: tuple[bool, bool],
    window: Window,
) -> tuple[IntArray, bool]:
    """Find the pass of the rows inside an hour.

    Args:
        local_s: Stamps of one home near the hour, in file order.
        inside: Which of them lie in it.
        keys: Their values.
        edge: Whether the home has no row before the hour, and none after it.
        window: The hour.

    Returns:
        FIRST, SECOND, ALONE or UNDECIDED of the rows inside; and whether an edge of the file decided it.
    """
    around = np.where(inside, window.begin_s, local_s)
    copies = _copies(local_s[~inside])
    order = _direction(around, local_s[inside], copies)
    rows = np.flatnonzero(inside)
    rows = rows[::-1] if order < 0 else rows
    chosen, copy_of = _without_copies(rows.tolist(), local_s, keys, copies)
    stamps = local_s[chosen]
    pass_, at_edge = _by_order(stamps, [keys[r] for r in chosen], order, edge, local_s, window)
    of_row = dict(zip(chosen, pass_, strict=True))
    return np.array([of_row[copy_of[r]] for r in np.flatnonzero(inside).tolist()], dtype=np.int64), at_edge


def _copies(outside: IntArray) -> int:
    """How often a file gives each row: 1, or more where it is written more than once as a whole."""
    if not len(outside):
        return 1
    counts = np.unique(outside, return_counts=True)[1]
    return int(counts[0]) if (counts == counts[0]).all() else 1


def _direction(around: IntArray, within: IntArray, copies: int) -> int:
    """1 where the rows run up in time, -1 where they run down, 0 where they are in no order."""
    step = np.diff(around)
    up, down = int((step > 0).sum()), int((step < 0).sum())
    if not up and not down:  # nothing beside the hour: within it, one fall or rise is the change of the pass
        step = np.diff(within)
        up, down = int((step > 0).sum()), int((step < 0).sum())
        return 1 if down <= 1 and up > down else -1 if up <= 1 and down > up else 0
    # A file written several times begins again once each time.
    return 1 if down < copies and up > down else -1 if up < copies and down > up else 0


def _without_copies(
    rows: list[int], local_s: IntArray, keys: list[tuple[str, ...]], copies: int
) -> tuple[list[int], dict[int, int]]:
    """Rows that say something, in their order, and which of them each row repeats."""
    by_stamp: dict[int, list[int]] = {}
    for row in rows:
        by_stamp.setdefault(int(local_s[row]), []).append(row)
    copy_of: dict[int, int] = {}
    single = sum(len(same) == copies for same in by_stamp.values())
    once = 2 * single > len(by_stamp)  # most stamps come once: equal rows are one that is repeated
    for same in by_stamp.values():
        first: dict[tuple[str, ...], int] = {}
        for row in same:
            first.setdefault(keys[row], row)
        if len(first) == 1 and (once or len(same) in (1, copies)):
            copy_of |= dict.fromkeys(same, same[0])
        elif len(first) == 1:  # equal values in both passes
            half = (len(same) + 1) // 2 if copies > 1 else 1
            copy_of |= dict.fromkeys(same[:half], same[0]) | dict.fromkeys(same[half:], same[half])
        elif len(first) == 2:
            copy_of |= {row: first[keys[row]] for row in same}
        else:  # more than two passes: the third shows as a conflict with the second
            copy_of |= {same[0]: same[0]} | dict.fromkeys(same[1:], same[1])
    return [row for row in rows if copy_of[row] == row], copy_of


def _by_order(
    stamps: IntArray,
    keys: list[tuple[str, ...]],
    order: int,
    edge: tuple[bool, bool],
    near: IntArray,
    window: Window,
) -> tuple[list[int], bool]:
    """Passes of rows that run up in time, or in no order; and whether an edge of the file decided it."""
    step = np.diff(stamps)
    falls = np.flatnonzero(step < 0)
    paired = np.isin(stamps, stamps[1:][step == 0]) if order else _twice(stamps)
    if order and len(falls) == 1 and (step != 0).all():
        return [FIRST if i <= falls[0] else SECOND for i in range(len(stamps))], False
    if order and not len(falls):
        if not paired.any():
            return _one_pass(stamps, edge, near, window)
        again = np.concatenate([[False], step == 0])
        return [ALONE if not p else SECOND if b else FIRST for p, b in zip(paired, again, strict=True)], False
    # In no order: two rows of equal values may be either, all others are not decided.
    seen: dict[int, tuple[str, ...]] = {}
    equal: dict[int, bool] = {}
    for stamp, key in zip(stamps.tolist(), keys, strict=True):
        equal[stamp] = seen.setdefault(stamp, key) == key
    result, met = [], set[int]()
    for stamp, twice in zip(stamps.tolist(), _twice(stamps).tolist(), strict=True):
        result.append(
            ALONE if not twice else UNDECIDED if not equal[stamp] else SECOND if stamp in met else FIRST
        )
        met.add(stamp)
    return result, False


def _twice(stamps: IntArray) -> BoolArray:
    return np.asarray((stamps[:, np.newaxis] == stamps).sum(axis=1) > 1, dtype=np.bool_)


def _one_pass(
    stamps: IntArray, edge: tuple[bool, bool], near: IntArray, window: Window
) -> tuple[list[int], bool]:
    """A single pass is known where it makes the rows around it regular and the other would not.

    So it is where the file begins or ends in the hour, and where intervals are longer than what the clock repeats.
    """
    times = np.unique(near)
    before, after = times[times < stamps[0]], times[times > stamps[-1]]
    steps = np.concatenate([np.diff(before), np.diff(stamps), np.diff(after)])
    if not len(steps):
        return [ALONE] * len(stamps), False
    step = int(steps.min())
    regular = []
    for pass_ in (FIRST, SECOND):
        late = window.length_s if pass_ == SECOND else 0
        since = int(stamps[0]) + late - int(before[-1]) if len(before) else step
        until = int(after[0]) + window.length_s - int(stamps[-1]) - late if len(after) else step
        regular += [pass_] if since == until == step else []
    if len(regular) != 1:
        return [ALONE] * len(stamps), False
    return regular * len(stamps), any(edge)
