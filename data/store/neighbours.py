"""A clock that is hours away from those of the neighbours, as clouds over all of them show.

Production goes up and down with clouds, at the same time for roofs of one place, in whatever direction they look. So
what changes from interval to interval beyond the usual course of the day is compared with the same of all other homes
together, shifted by whole and half hours. Homes without production have nothing in common by the hour and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.findings import Finding
from data.intake.counters import NAMED
from data.intake.raw import FloatArray
from data.intake.sun import LEAST_HOMES
from data.readings import MISSING, MeterData
from market.units import BoolArray, IntArray

STRETCH_DAYS = 14
"""Days that are compared at once: the usual course of the day is their mean."""

LEAST_READ = 0.5
"""A home takes part in a stretch of which this share was read."""

LARGEST_H = 14
"""Clocks are up to this many hours apart, as zones are. [h]"""

LEAST_LIKENESS, LEAST_MARGIN = 0.3, 0.1
"""A stretch shows a shift by a correlation of this size, which is this much more than any an hour or more away."""

LEAST_STRETCHES, MOST_SHARE, SEASON = 3, 0.8, 6
"""Stretches in a row that have to show the same shift: so many, where it is this share of all that show something of
the home; else as many as a season has, for a clock that does not follow the change to summer time."""

LEAST_GAIN = 0.05
"""More than half of the others agree with a shift, each by itself: their correlation is this much more with it."""

HOUR_S, DAY_S = 3600, 86_400


@dataclass(frozen=True, slots=True)
class Shift:
    """A home whose production comes at another time than that of the others.

    Args:
        home: Column of the home.
        late_s: How much later it comes; below 0 earlier. [s]
        stretches: Stretches that show it.
        seen: Stretches that show something of this home.
        start_s: Start of the first stretch that shows it. [s since 1970]
        end_s: End of the last one. [s since 1970]
    """

    home: int
    late_s: int
    stretches: int
    seen: int
    start_s: int
    end_s: int


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """Some days of all homes.

    Args:
        start_s: Its start. [s since 1970]
        changes: What changes beyond the usual course of the day, of length 1; shape (T, H).
        there: Homes that take part.
    """

    start_s: int
    changes: FloatArray
    there: BoolArray


def production_of(data: MeterData) -> IntArray:
    """What shows the sun of each home: its production, or what it exports where that is not metered; (T, H). [Wh]"""
    pv = data.sub_meters.get("pv")
    return data.export_wh if pv is None else np.where(pv.any(axis=0), pv, data.export_wh)


def check_neighbours(data: MeterData, zone: ZoneInfo | None) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Findings of homes whose clocks are apart from those of the others; and a note where that cannot be seen."""
    energy = production_of(data)
    homes = int(energy.any(axis=0).sum())
    if len(data.households) > 1 and homes < LEAST_HOMES:
        note = f"clocks of homes are not compared with each other: {LEAST_HOMES} homes with production are needed"
        return (), (note,)
    found = shifts(energy, data)
    if 2 * len({one.home for one in found}) >= homes:
        return (_undecided(found, data),) if found else (), ()
    return tuple(_finding(one, data, zone) for one in found), ()


def _undecided(found: list[Shift], data: MeterData) -> Finding:
    """As many homes are apart as are not: which of their clocks is right their readings do not show."""
    later = list(dict.fromkeys(data.households[one.home] for one in found if one.late_s > 0))
    minutes = max(abs(one.late_s) for one in found) // 60
    several = f" and {len(later) - NAMED} more" if len(later) > NAMED else ""
    message = (
        f"the production of {', '.join(later[:NAMED])}{several} comes {minutes} minutes later than that of as many"
        " other homes, as clouds show; check the zones of all: no majority shows which clock is right"
    )
    return Finding("warning", "clock_shift", None, None, message)


def _finding(one: Shift, data: MeterData, zone: ZoneInfo | None) -> Finding:
    way = "later" if one.late_s > 0 else "earlier"
    begin, end = (clock.shown(s, zone) for s in (one.start_s, one.end_s))
    message = (
        f"the production comes {abs(one.late_s) // 60} minutes {way} than that of the other homes, as clouds show in"
        f" {one.stretches} of {one.seen} fortnights, from {begin} to {end}; check the zone of this home, and whether"
        " its stamps are starts or ends"
    )
    return Finding("warning", "clock_shift", None, data.households[one.home], message)


def shifts(energy: IntArray, data: MeterData) -> list[Shift]:
    """Homes whose production is shifted by whole or half hours against that of most others.

    Args:
        energy: Production by interval and home, shape (T, H). [Wh]
        data: Which intervals were read, and when they are.
    """
    step_s = data.minutes * 60
    lags = _lags(step_s)
    late = np.zeros((0, energy.shape[1]), dtype=np.int64)
    sure = np.zeros((0, energy.shape[1]), dtype=np.bool_)
    starts = []
    for first in _starts(data):
        one = _stretch(energy, data, first)
        found, evident = _latest(one, lags, step_s)
        late, sure = np.vstack([late, found]), np.vstack([sure, evident])
        starts.append(first)
    shifted = [(home, one) for home in range(energy.shape[1]) for one in _runs(late[:, home], sure[:, home])]
    result = []
    for home, (lag, rows) in shifted:
        parts = [_stretch(energy, data, starts[row]) for row in rows]
        if _outvoted(parts, home, lag):
            continue
        begin_s = data.start_s + starts[rows[0]] * step_s
        end_s = data.start_s + (starts[rows[-1]] + STRETCH_DAYS * DAY_S // step_s) * step_s
        result.append(Shift(home, lag * step_s, len(rows), int(sure[:, home].sum()), begin_s, end_s))
    return result


def _starts(data: MeterData) -> range:
    length = STRETCH_DAYS * DAY_S // (data.minutes * 60)
    return range(0, data.intervals - length + 1, length)


def _lags(step_s: int) -> IntArray:
    """Shifts by whole hours, and by half ones where intervals are that short, in intervals."""
    every_s = max(HOUR_S // 2, step_s)
    count = LARGEST_H * HOUR_S // every_s
    return np.arange(-count, count + 1, dtype=np.int64) * (every_s // step_s)


def _stretch(energy: IntArray, data: MeterData, first: int) -> _Stretch:
    """What changes from interval to interval beyond the mean of the same time of all days."""
    step_s = data.minutes * 60
    rows = slice(first, first + STRETCH_DAYS * DAY_S // step_s)
    read = data.quality[rows] != MISSING
    by_day = (STRETCH_DAYS, DAY_S // step_s, energy.shape[1])
    wh = np.where(read, energy[rows], 0).astype(np.float64).reshape(by_day)
    usual = wh.sum(axis=0) / np.maximum(read.reshape(by_day).sum(axis=0), 1)
    beyond = (wh - usual).reshape(read.shape)
    changes = np.zeros_like(beyond)
    changes[1:] = np.where(read[1:] & read[:-1], np.diff(beyond, axis=0), 0.0)
    size = np.sqrt((changes**2).sum(axis=0))
    there = (read.mean(axis=0) >= LEAST_READ) & (size > 0)
    return _Stretch(data.start_s + first * step_s, changes / np.where(there, size, np.inf), there)


def _latest(one: _Stretch, lags: IntArray, step_s: int) -> tuple[IntArray, BoolArray]:
    """How many intervals each home comes later than all others together, and whether the stretch shows it."""
    count, homes = one.changes.shape
    if int(one.there.sum()) < LEAST_HOMES:
        return np.zeros(homes, dtype=np.int64), np.zeros(homes, dtype=np.bool_)
    total = one.changes.sum(axis=1)
    shifted = np.zeros((len(lags), count))
    for row, lag in enumerate(lags.tolist()):
        at = np.clip(np.arange(count) - lag, 0, count - 1)
        inside = (np.arange(count) - lag >= 0) & (np.arange(count) - lag < count)
        shifted[row] = np.where(inside, total[at], 0.0)
    own = np.fft.irfft(np.abs(np.fft.rfft(one.changes, 2 * count, axis=0)) ** 2, axis=0)[np.abs(lags)]
    with_total = (one.changes * total[:, np.newaxis]).sum(axis=0)
    rest = np.sqrt(np.maximum((total**2).sum() - 2 * with_total + 1, 1e-12))
    likeness = (shifted @ one.changes - own) / rest
    best = likeness.argmax(axis=0)
    top = likeness[best, np.arange(homes)]
    apart = np.abs(lags[:, np.newaxis] - lags[best]) * step_s >= HOUR_S
    second = np.where(apart, likeness, -np.inf).max(axis=0)
    return lags[best], one.there & (top >= LEAST_LIKENESS) & (top - second >= LEAST_MARGIN)


def _runs(late: IntArray, sure: BoolArray) -> list[tuple[int, IntArray]]:
    """Shifts of a home that enough stretches in a row show, and all stretches that show each."""
    rows = np.flatnonzero(sure)
    runs = [(lag, len(list(run))) for lag, run in groupby(late[rows].tolist())]
    found = []
    for lag in dict.fromkeys(lag for lag, _ in runs if lag):
        longest = max(length for other, length in runs if other == lag)
        agree = rows[late[rows] == lag]
        if longest >= (LEAST_STRETCHES if len(agree) >= MOST_SHARE * len(rows) else SEASON):
            found.append((lag, agree))
    return found


def _outvoted(stretches: list[_Stretch], home: int, lag: int) -> bool:
    """Whether no majority of the others, each by itself, is more alike when shifted."""
    gain = np.zeros(stretches[0].changes.shape[1])
    there = np.zeros(len(gain), dtype=np.bool_)
    for one in stretches:
        own = one.changes[:, home]
        moved = np.zeros_like(own)
        if lag > 0:
            moved[:-lag] = own[lag:]
        else:
            moved[-lag:] = own[:lag]
        gain += (moved - own) @ one.changes
        there |= one.there
    there[home] = False
    votes = int((gain[there] >= LEAST_GAIN * len(stretches)).sum())
    return 2 * votes <= int(there.sum())
