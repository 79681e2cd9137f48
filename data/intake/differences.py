"""Readings of counters into the energy of each interval: falls, roll-overs, changed meters, gaps between readings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data.intake.known import Counted
from data.intake.raw import UNITS, Channel, IntakeLog, Numbers, is_device
from data.intake.resets import may_begin_again
from data.intake.rows import Rows
from data.intake.steps import Lengths
from data.intake.times import Timed
from data.readings import MEASURED, MISSING, QualityArray
from market.units import BoolArray, IntArray

MICRO = 10**6
"""Micro-Wh of a Wh."""

DIGITS = 4
"""A counter that rolls over has at least this many digits before the point, and shows at least 1 MWh: one that falls
from less begins again."""

LONGEST_IDLE = 50_000
"""A counter that shows the same after more intervals than this was not read, rather than idle."""

LARGEST_STEPS = 10
"""A roll-over adds no more than this many of the largest steps of the home, or 1 kWh."""


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """What a counter counted between readings that follow each other.

    Args:
        first: Place of the first of both readings among the rows that count.
        last: Place of the second.
        home: Home of both.
        rise: How much it rose. [micro-Wh]
        seconds: How long it took. [s]
        missing: Where it is not known how much went through.
    """

    first: IntArray
    last: IntArray
    home: IntArray
    rise: IntArray
    seconds: IntArray
    missing: BoolArray


Differences = tuple[Timed, IntArray, Counted]
"""Rows of a counter that stand for intervals named by their start, their lengths [min], and what was counted."""


def differenced(table: Timed, lengths: Lengths, fuse_w: int, log: IntakeLog) -> list[Differences]:
    """Turn readings into energy of intervals, each channel by itself.

    Between readings that are several intervals apart the energy is known only as a sum: a sum of 0 is 0 in each, any
    other one is stated in a finding, and the intervals are MISSING.

    Args:
        table: Readings of counters by home and time.
        lengths: How far readings are apart, by home or row.
        fuse_w: Largest possible power. [W]
        log: Where findings go.

    Returns:
        For each channel that gives an interval its differences.
    """
    found = []
    for channel, column in table.rows.values.items():
        rows = _intervals(table, channel, column, lengths, fuse_w, log)
        if rows is not None:
            found.append(rows)
    return found


def _intervals(
    table: Timed, channel: Channel, column: Numbers, lengths: Lengths, fuse_w: int, log: IntakeLog
) -> Differences | None:
    home, rows = table.home, table.rows
    flags = np.full(len(home), MEASURED, dtype=np.uint8) if rows.quality is None else rows.quality[table.row]
    read = ~column.empty[table.row] & (flags != MISSING)
    of_row = lengths.rows(home)
    steps = _between(table, channel, column, read)
    if steps is not None:
        steps = _falls(steps, table, channel, column, of_row, fuse_w, log)
    _report_empty(table, channel, column, read, steps, log)
    found = _pairs(table, flags, of_row)
    metered = _metered(table, channel, read)
    counted = _nothing_counted(channel, metered)
    if steps is not None:
        direct = _direct(steps, of_row)
        found = _counted(found, steps, direct)
        still = ~direct & (steps.rise == 0) & ~steps.missing
        found = np.concatenate([_known_zero(found, steps, still), _between_rows(table, steps, still, of_row)])
        long = steps.seconds > LONGEST_IDLE * 60 * of_row[steps.first]
        gaps = ~direct & ~steps.missing & ((steps.rise > 0) | long)
        _report_gaps(steps, gaps, table, channel, of_row, log)
        counted = _counted_in(steps, gaps | steps.missing, table, counted)
    found = found[metered[home[found[:, LAST]]]]
    if not len(found):
        return None
    found = found[np.lexsort((found[:, START], home[found[:, LAST]]))]
    found[:, START] += channel.read_after * 60
    return _rows(table, channel, found), found[:, MINUTES], counted


def _nothing_counted(channel: Channel, metered: BoolArray) -> Counted:
    none = np.zeros(0, dtype=np.int64)
    return Counted(
        channel, none, none, none, none, np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.bool_), metered
    )


def _counted_in(steps: _Steps, gap: BoolArray, table: Timed, empty: Counted) -> Counted:
    """What was counted in each step, whose ends are the instants of its readings."""
    after_s = empty.channel.read_after * 60
    return replace(
        empty,
        home=steps.home,
        start_s=table.utc[steps.first] + after_s,
        end_s=table.utc[steps.last] + after_s,
        micro_wh=steps.rise,
        missing=steps.missing,
        gap=gap,
    )


START, LAST, MINUTES, MICRO_WH, FLAG, KNOWN, PAIR = range(7)
"""Columns of intervals: start; place of the row that ends it; length; energy; flag; whether it is known; first row."""


def _pairs(table: Timed, flags: QualityArray, of_row: IntArray) -> IntArray:
    """Every two rows that follow each other at the usual distance are an interval, read or not."""
    pair = np.flatnonzero(np.diff(table.home) == 0)
    apart = table.utc[pair + 1] - table.utc[pair]
    near = apart <= of_row[pair] * 60
    pair, apart = pair[near], apart[near]
    found = np.zeros((len(pair), 7), dtype=np.int64)
    found[:, START], found[:, LAST], found[:, MINUTES] = table.utc[pair], pair + 1, apart // 60
    found[:, FLAG], found[:, PAIR] = np.maximum(flags[pair], flags[pair + 1]), pair
    return found


def _counted(found: IntArray, steps: _Steps, direct: BoolArray) -> IntArray:
    """Give intervals the energy of the readings at both of their ends."""
    at = np.searchsorted(found[:, PAIR], steps.first[direct])
    found[at, MICRO_WH] = steps.rise[direct]
    found[at, KNOWN] = ~steps.missing[direct]
    return found


def _known_zero(found: IntArray, steps: _Steps, still: BoolArray) -> IntArray:
    """Flag intervals: those between two equal readings are 0, and others without readings MISSING."""
    mark = np.zeros(len(found) + 1, dtype=np.int64)
    np.add.at(mark, np.searchsorted(found[:, PAIR], steps.first[still]), 1)
    np.add.at(mark, np.searchsorted(found[:, PAIR], steps.last[still]), -1)
    inside = np.cumsum(mark)[:-1] > 0
    found[inside, FLAG] = MEASURED
    found[:, KNOWN] |= inside
    found[found[:, KNOWN] == 0, FLAG] = MISSING
    return found


def _between_rows(table: Timed, steps: _Steps, still: BoolArray, of_row: IntArray) -> IntArray:
    """Intervals without rows: all of them between two equal readings, when nothing went through; else the outer two."""
    rows = []
    for i in np.flatnonzero(steps.last == steps.first + 1).tolist():
        first, last = int(steps.first[i]), int(steps.last[i])
        minutes = int(of_row[first])
        count, rest = divmod(int(steps.seconds[i]), minutes * 60)
        if count < 2 or rest:
            continue
        starts = int(table.utc[first]) + minutes * 60 * np.arange(count)
        idle = still[i] and count <= LONGEST_IDLE
        flag = MEASURED if idle else MISSING
        rows += [
            (s, last, minutes, 0, flag, 1, first) for s in (starts if idle else starts[[0, -1]]).tolist()
        ]
    return np.array(rows, dtype=np.int64).reshape(-1, 7)


def _metered(table: Timed, channel: Channel, read: BoolArray) -> BoolArray:
    """Homes that have this counter: one whose column is empty as a whole has none, but for the grid's own."""
    there = np.zeros(len(table.rows.homes), dtype=np.bool_)
    own = channel.name in ("import", "export") and not channel.part
    there[table.home if own else table.home[read]] = True
    return there


def _between(table: Timed, channel: Channel, column: Numbers, read: BoolArray) -> _Steps | None:
    at = np.flatnonzero(read)
    home = table.home[at]
    value = np.rint(column.values[table.row[at]] * UNITS[channel.unit][0]).astype(np.int64)
    same = np.flatnonzero(np.diff(home) == 0)
    if not len(same):
        return None
    first, last = at[same], at[same + 1]
    rise = value[same + 1] - value[same]
    return _Steps(
        first, last, home[same], rise, table.utc[last] - table.utc[first], np.zeros(len(same), dtype=np.bool_)
    )


def _falls(
    steps: _Steps,
    table: Timed,
    channel: Channel,
    column: Numbers,
    of_row: IntArray,
    fuse_w: int,
    log: IntakeLog,
) -> _Steps:
    """Say what a counter that falls means: it begins again at 0, rolls over, or was changed."""
    fell = steps.rise < 0
    if not fell.any():
        return steps
    unit = UNITS[channel.unit][0]
    value = np.rint(np.nan_to_num(column.values[table.row]) * unit).astype(np.int64)
    before, now = value[steps.first], value[steps.last]
    homes = int(steps.home.max()) + 1
    largest = np.zeros(homes, dtype=np.int64)
    np.maximum.at(largest, steps.home, np.where(fell, 0, steps.rise))
    zero = fell & (now <= largest[steps.home])
    often = np.bincount(steps.home[zero], minlength=homes) > 1
    again = zero & often[steps.home]
    if again.any():
        times, owners = int(again.sum()), int(often.sum())
        message = f"{channel} begins at 0 again {times} times in {owners} homes; it counts from 0 there"
        log.add("warning", "counter_reset", message)
    rise = np.where(again, now, steps.rise)
    hidden = np.zeros(len(fell), dtype=np.bool_)
    if again.any():
        hidden = may_begin_again(steps.home, table.utc[steps.first], table.utc[steps.last], again)
        hidden &= ~_direct(steps, of_row)
    power = _next_power(before, unit)
    over = power - before + now
    possible = np.minimum(fuse_w * steps.seconds // 3600 * MICRO, _most(largest)[steps.home])
    rolled = fell & ~again & (power > 0) & (over <= possible)
    rise = np.where(rolled, over, rise)
    missing = fell & ~again & ~rolled

    def facts(i: int) -> tuple[int, str, str]:
        row = int(table.row[steps.last[i]])
        what = f"{channel} falls from {int(before[i]) / unit:g} to {int(now[i]) / unit:g} {channel.unit}"
        return int(table.rows.line[row]), table.rows.homes[table.rows.home[row]], what

    def changed(i: int) -> tuple[int, str, str]:
        line, home, what = facts(i)
        return line, home, f"{what}: the meter was changed or reset; the interval counts as missing"

    def rolled_over(i: int) -> tuple[int, str, str]:
        line, home, what = facts(i)
        return line, home, f"{what}: it rolled over, and {int(over[i]) / 1e9:.3f} kWh went through"

    def begun(i: int) -> tuple[int, str, str]:
        line, home, _ = facts(i)
        since = table.rows.stamp.text(int(table.row[steps.first[i]]))
        message = (
            f"{channel} may have begun at 0 again after {since}, without a reading between: how much went through is"
            " not known, and counts as missing"
        )
        return line, home, message

    log.add_rows("warning", "counter_fell", np.flatnonzero(missing), changed)
    log.add_rows("warning", "counter_rolled_over", np.flatnonzero(rolled), rolled_over)
    log.add_rows("warning", "counter_gap", np.flatnonzero(hidden & ~missing), begun)
    missing |= hidden
    return replace(steps, rise=np.where(missing, 0, rise), missing=missing)


def _direct(steps: _Steps, of_row: IntArray) -> BoolArray:
    """Whether both readings are of one interval."""
    return np.asarray(
        (steps.last == steps.first + 1) & (steps.seconds <= of_row[steps.first] * 60), dtype=np.bool_
    )


def _most(largest: IntArray) -> IntArray:
    return np.maximum(LARGEST_STEPS * largest, 10**9)


def _next_power(value: IntArray, unit: int) -> IntArray:
    """The next power of ten of a counter's unit, 0 where it is too small to roll over. [micro-Wh]"""
    digits = np.ceil(np.log10(np.maximum(value, 1) / unit + 1e-12)).astype(np.int64)
    digits = np.maximum(digits, DIGITS)
    power = np.array(
        [10**d * unit if d < 19 - len(str(unit)) + 1 else 0 for d in digits.tolist()], dtype=np.int64
    )
    return np.where((power > value) & (power >= 10**12), power, 0)


def _report_gaps(
    steps: _Steps, which: BoolArray, table: Timed, channel: Channel, of_row: IntArray, log: IntakeLog
) -> None:
    def describe(i: int) -> tuple[int, str, str]:
        row = int(table.row[steps.last[i]])
        count = int(steps.seconds[i]) // max(int(of_row[steps.first[i]]) * 60, 1)
        since = table.rows.stamp.text(int(table.row[steps.first[i]]))
        message = (
            f"{channel} rises by {int(steps.rise[i]) / 1e9:.3f} kWh over {count} intervals from {since} without a"
            " reading between; when is not known, so they count as missing"
        )
        return int(table.rows.line[row]), table.rows.homes[table.rows.home[row]], message

    log.add_rows("warning", "counter_gap", np.flatnonzero(which), describe)


def _report_empty(
    table: Timed, channel: Channel, column: Numbers, read: BoolArray, steps: _Steps | None, log: IntakeLog
) -> None:
    """Report empty cells before the first and after the last reading; those between are reported with their energy."""
    rows, home = table.rows, table.home
    told = np.zeros(len(home), dtype=np.bool_)
    if steps is not None:
        mark = np.zeros(len(home) + 1, dtype=np.int64)
        np.add.at(mark, steps.first, 1)
        np.add.at(mark, steps.last, -1)
        told = np.cumsum(mark)[:-1] > 0
    empty = column.empty[table.row] & ~told
    if rows.quality is not None:
        empty &= rows.quality[table.row] != MISSING
    if channel.name not in ("import", "export"):
        there = np.zeros(len(rows.homes), dtype=np.bool_)
        there[home[read]] = True
        empty &= there[home]
    first = np.full(len(rows.homes), np.iinfo(np.int64).max)
    np.minimum.at(first, home[read], np.flatnonzero(read))
    early = np.zeros(rows.count, dtype=np.bool_)
    early[table.row] = (np.arange(len(home)) < first[home]) & is_device(channel)

    def describe(row: int) -> str:
        return f"{channel} is empty; {'it has no reading yet' if early[row] else 'the interval is marked as missing'}"

    log.add_rows("warning", "empty", np.sort(table.row[empty]), rows.describe(describe))


def _rows(table: Timed, channel: Channel, found: IntArray) -> Timed:
    """Rows of intervals, each with the line of the reading that ends it."""
    source, at = table.rows, table.row[found[:, LAST]]
    energy = Numbers(found[:, MICRO_WH] / MICRO, np.zeros(len(at), dtype=np.bool_))
    whole = Rows(
        line=source.line[at],
        stamp=replace(
            source.stamp,
            seconds=source.stamp.seconds[at],
            kind=source.stamp.kind[at],
            text=lambda row: source.stamp.text(int(at[row])),
        ),
        home=source.home[at],
        homes=source.homes,
        values={replace(channel, unit="Wh", kind="interval", label=str(channel), read_after=0): energy},
        quality=found[:, FLAG].astype(np.uint8),
        ends=False,
        revision=None,
    )
    after_s = channel.read_after * 60
    unknown = tuple(replace(u, begin_s=u.begin_s + after_s, end_s=u.end_s + after_s) for u in table.unknown)
    return Timed(whole, np.arange(len(at)), found[:, START], unknown)
