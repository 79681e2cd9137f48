"""What counters show over stretches of which single intervals are not known: the true energy of a gap between readings.

A stretch begins and ends at a reading of every part of a channel, on the grid of its file. A counter that falls within
it and is neither reset nor rolled over leaves its energy unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.intake.raw import OTHER_LOAD, Channel
from data.readings import MISSING, Known, MeterData
from market.units import BoolArray, IntArray

MICRO = 10**6
"""Micro-Wh of a Wh."""

_HOME, _EPOCH = 1 << 36, 1 << 34
"""A key of a home and a time: home x `_HOME` + seconds since 1970 + `_EPOCH`, which sorts by both."""


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What one counter counted between readings that follow each other, by home and time.

    Args:
        channel: The counter.
        home: Home of each step.
        start_s: First reading of each step. [s since 1970]
        end_s: Second reading. [s since 1970]
        micro_wh: How much went through. [micro-Wh]
        missing: Where that is not known.
        gap: Where it is not known of each interval.
        metered: Which homes have this counter.
    """

    channel: Channel
    home: IntArray
    start_s: IntArray
    end_s: IntArray
    micro_wh: IntArray
    missing: BoolArray
    gap: BoolArray
    metered: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class _Stretches:
    """Stretches of a grid in which the energy of some interval is not known, by home and time."""

    home: IntArray
    start_s: IntArray
    end_s: IntArray


def known_totals(
    counters: Sequence[Counted],
    homes: Sequence[str],
    of_grid: BoolArray,
    grid: tuple[int, int],
    others: Iterable[str] = (),
) -> list[Known]:
    """The energy of every stretch without known intervals, of every channel of which it is known.

    Args:
        counters: All counters of a file; parts of a channel are summed where all that a home has are known.
        homes: Names of the homes.
        of_grid: Homes whose intervals have the length of this grid.
        grid: Start of an interval, and the length of all. [s since 1970, s]
        others: Channels of which a part is no counter: their energy is not known from counters.
    """
    names = {one.channel.name for one in counters} - set(others)
    found: list[Known] = []
    spans = _stretches(counters, of_grid, grid)
    for name in sorted(names) if len(spans.home) else ():
        total = np.zeros(len(spans.home), dtype=np.int64)
        known, has = np.ones(len(total), dtype=np.bool_), np.zeros(len(total), dtype=np.bool_)
        for one in counters:
            if one.channel.name != name:
                continue
            mine = one.metered[spans.home]
            micro_wh, sure = _over(one, spans)
            known &= sure | ~mine
            has |= mine
            total += np.where(mine & sure, micro_wh, 0)
        for i in np.flatnonzero(known & has).tolist():
            wh = (int(total[i]) + MICRO // 2) // MICRO
            found.append(Known(homes[spans.home[i]], name, int(spans.start_s[i]), int(spans.end_s[i]), wh))
    return found


def _stretches(counters: Sequence[Counted], of_grid: BoolArray, grid: tuple[int, int]) -> _Stretches:
    """Gaps of any counter, widened to whole intervals; those that share an interval are one."""
    first_s, step_s = grid
    none = np.zeros(0, dtype=np.int64)
    home = np.concatenate([none, *(one.home[one.gap] for one in counters)])
    start = np.concatenate([none, *(one.start_s[one.gap] for one in counters)])
    end = np.concatenate([none, *(one.end_s[one.gap] for one in counters)])
    mine = of_grid[home]
    home, start, end = home[mine], start[mine], end[mine]
    if not len(home):
        return _Stretches(none, none, none)
    start = start - (start - first_s) % step_s
    end = end + (first_s - end) % step_s
    order = np.lexsort((start, home))
    home, start, end = home[order], start[order], end[order]
    reached = np.maximum.accumulate(_key(home, end))
    begin = np.flatnonzero(np.concatenate([[True], _key(home, start)[1:] >= reached[:-1]]))
    return _Stretches(home[begin], start[begin], np.maximum.reduceat(end, begin))


def _over(one: Counted, spans: _Stretches) -> tuple[IntArray, BoolArray]:
    """What a counter counted over stretches, and whether it is known at both ends and between. [micro-Wh]"""
    if not len(one.home):
        return np.zeros(len(spans.home), dtype=np.int64), np.zeros(len(spans.home), dtype=np.bool_)
    first, begun = _step_at(one, _key(spans.home, spans.start_s))
    last, ended = _step_at(one, _key(spans.home, spans.end_s))
    reached = np.concatenate([[0], np.cumsum(one.micro_wh)])
    falls = np.concatenate([[0], np.cumsum(one.missing)])
    return reached[last] - reached[first], begun & ended & (falls[first] == falls[last])


def _step_at(one: Counted, time: IntArray) -> tuple[IntArray, BoolArray]:
    """How many steps lie before a time, and whether it is a reading, or lies between two that are the same."""
    starts, ends = _key(one.home, one.start_s), _key(one.home, one.end_s)
    step = np.searchsorted(starts, time, side="right") - 1
    inside = (step >= 0) & (ends[step] >= time)
    at_start, at_end = starts[step] == time, ends[step] == time
    idle = (one.micro_wh[step] == 0) & ~one.missing[step]
    return step + (at_end & ~at_start), inside & (at_start | at_end | idle)


def _key(home: IntArray, time_s: IntArray) -> IntArray:
    return home * _HOME + time_s + _EPOCH


def known_of(found: Iterable[Known], data: MeterData, channels: Iterable[str]) -> tuple[Known, ...]:
    """What is known of channels of the readings, over whole intervals that are all MISSING.

    A net that changes its sign, and a load of which a part is not counted, say nothing of a register. Where registers
    follow from a load and a production, neither is kept: scaled apart, they would contradict the registers.

    Args:
        found: What counters of a file show.
        data: Readings of that file.
        channels: Channels of that file.
    """
    names = set(channels)
    dropped = {"net"}
    if "import" not in names and "pv" in names:
        dropped |= {"load", "pv"}
    if OTHER_LOAD in names:
        dropped |= names - {"import", "export", "pv"} | {OTHER_LOAD}
    place = {home: h for h, home in enumerate(data.households)}
    step_s = data.minutes * 60
    kept = []
    for one in found:
        if one.channel in dropped or one.home not in place:
            continue
        (first, before), (last, after) = (divmod(t - data.start_s, step_s) for t in (one.start_s, one.end_s))
        if before or after or first < 0 or last > data.intervals:
            continue
        if not (data.quality[first:last, place[one.home]] == MISSING).all():
            continue
        kept.append(one)
        if one.channel == "load" and "import" not in names:  # the register is the load
            kept.append(replace(one, channel="import"))
    return tuple(kept)
