"""Raw readings onto the grid of intervals and homes; a finding for each row that does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.intake.claims import Question
from data.intake.counters import look_like_counters, report_counters
from data.intake.raw import UNITS, Channel, FloatArray, Hints, IntakeLog, Numbers
from data.intake.rows import Rows
from market.interval import ALLOWED_MINUTES, OFFSET_S
from market.units import BoolArray, IntArray

LARGEST_KWH = 10_000
"""No interval of a home holds 10 MWh; below it, nine decimals are exact and int64 holds many years. [kWh]"""

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")

SAMPLED_HOMES = 20
"""The interval length is found from the first homes; the others must fit it."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where rows lie on the grid.

    Args:
        rows: The rows.
        row: Those that count: duplicates are left out.
        cell: Their cells, t x H + h.
    """

    rows: Rows
    row: IntArray
    cell: IntArray

    def homes(self, count: int) -> BoolArray:
        """Which homes have rows with these channels; the others have no such meter."""
        there = np.zeros(count, dtype=np.bool_)
        there[self.cell % count] = True
        return there

    def line_of(self, cell: int) -> int:
        """Return the line that holds a cell, 0 where none does."""
        found = np.flatnonzero(self.cell == cell)
        return int(self.rows.line[self.row[found[0]]]) if len(found) else 0


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """The grid of a file and its rows on it.

    Args:
        start_s: Start of the first interval. [s since 1970]
        minutes: Interval length. [min]
        intervals: Number of intervals.
        households: Names of the homes, sorted as they first appear.
        cells: The rows, by the channels that they have.
        zone: Zone in which people read times; None where none is known.
    """

    start_s: int
    minutes: int
    intervals: int
    households: tuple[str, ...]
    cells: tuple[Cells, ...]
    zone: ZoneInfo | None

    @property
    def shape(self) -> tuple[int, int]:
        """Intervals and homes, (T, H)."""
        return self.intervals, len(self.households)


def place(
    tables: list[Rows], zone: ZoneInfo | None, hints: Hints, log: IntakeLog
) -> tuple[Placed | None, bool]:
    """Check every row and place the good ones.

    Args:
        tables: The rows of a file, by their channels.
        zone: Zone of local stamps.
        hints: Interval length for a file that does not state it; what the numbers are.
        log: Where findings go.

    Returns:
        The grid, or None after errors that hide it; and whether stamps are local.
    """
    timed: list[tuple[Rows, IntArray, BoolArray]] = []
    local = False
    for rows in tables:
        good = _check_numbers(rows, hints, log)
        good &= _check_names(rows, log)
        utc, repeated, is_local, has_time = _utc(rows, zone, log)
        good &= has_time
        local |= is_local
        if good.any():
            good &= _check_order(rows, utc, repeated, good, log)
            timed.append((rows, utc, good))
    if not timed:
        return None, local
    step = _minutes(timed, hints.minutes, log)
    if step is None:  # without a step there are no cells, but rows for the same time are still reported
        for rows, utc, good in timed:
            kept = np.flatnonzero(good)
            _drop_duplicates(rows, kept, utc[kept] * len(rows.homes) + rows.home[kept], log)
        return None, local
    found = []
    phase_s = _phase(timed, step * 60)
    for rows, utc, good in timed:
        off = good & (utc % (step * 60) != phase_s)
        _report(rows, log, "off_grid", off, partial(_off_grid, rows, step))
        kept = np.flatnonzero(good & ~off)
        if len(kept):
            found.append((rows, kept, utc[kept] - step * 60 if rows.ends else utc[kept]))
    return (_placed(found, step, zone, log) if found else None), local


def _off_grid(rows: Rows, step: int, row: int) -> str:
    return f"{rows.stamp.text(row)} does not start an interval of {step} minutes; correct the stamp"


def _report(rows: Rows, log: IntakeLog, code: str, found: BoolArray, message: Callable[[int], str]) -> None:
    """Report an error for each row that was found."""
    log.add_rows("error", code, np.flatnonzero(found), rows.describe(message))


def _check_numbers(rows: Rows, hints: Hints, log: IntakeLog) -> BoolArray:
    """Report cells that are not energy; return the rows without such cells."""
    good = np.ones(rows.count, dtype=np.bool_)
    for channel, column in rows.values.items():
        good &= _check_column(rows, channel, column, hints, log)
    return good


def _check_column(rows: Rows, channel: Channel, column: Numbers, hints: Hints, log: IntakeLog) -> BoolArray:
    values, texts = column.values, column.bad
    comma = np.zeros(rows.count, dtype=np.bool_)
    comma[[row for row, text in texts.items() if _DECIMAL_COMMA.fullmatch(text)]] = True
    point = "has a decimal comma; write a point"
    _report(rows, log, "decimal_comma", comma, lambda row: f"{channel} {texts[row]!r} {point}")
    wrong = np.isnan(values) & ~column.empty & ~comma
    cure = "leave the cell empty where there is no reading"
    _report(
        rows,
        log,
        "not_a_number",
        wrong,
        lambda row: f"{channel} {texts.get(row, 'NaN')!r} is not a number; {cure}",
    )
    negative = values < 0
    cure_of_import = (
        "put exported energy into export_kwh" if channel.name == "import" else "write it without a sign"
    )
    runs_back = f"a register never runs backwards; {cure_of_import}"
    _report(rows, log, "negative", negative, lambda row: f"{channel} is {values[row]:g}; {runs_back}")
    unit = channel.unit
    huge = values > LARGEST_KWH * UNITS["kWh"][0] / UNITS[unit][0]
    if channel.kind == "counter":
        huge[:] = False
    counted = _counted(rows, values, huge) if hints.kind is None else []
    if counted:
        report_counters(channel, [rows.homes[h] for h in counted], log)
    _report(
        rows,
        log,
        "impossible_power",
        huge & ~np.isin(rows.home, counted),
        lambda row: f"{channel} is {values[row]:g} {unit} in one interval; check the unit",
    )
    return ~(comma | wrong | negative | huge)


def _counted(rows: Rows, values: FloatArray, huge: BoolArray) -> list[int]:
    """The homes with numbers beyond any energy that are readings of a counter."""
    return [
        h
        for h in np.unique(rows.home[huge]).tolist()
        if look_like_counters(values[(rows.home == h) & ~np.isnan(values)][:, np.newaxis])[0]
    ]


def _check_names(rows: Rows, log: IntakeLog) -> BoolArray:
    nameless = np.array([name == "" for name in rows.homes])[rows.home]
    empty = "`household` is empty; name the home of each row"
    _report(rows, log, "no_household", nameless, lambda _row: empty)
    return ~nameless


def _utc(rows: Rows, zone: ZoneInfo | None, log: IntakeLog) -> tuple[IntArray, BoolArray, bool, BoolArray]:
    """Return UTC of each row, the rows in a repeated hour, whether stamps are local, and the good rows."""
    kind = rows.stamp.kind
    form = "is not like 2026-06-13T00:30:00Z or 2026-06-13 00:30; 24:00 is 00:00 of the next day"
    unreadable = kind == clock.UNREADABLE
    _report(rows, log, "bad_timestamp", unreadable, lambda row: f"timestamp {rows.stamp.text(row)!r} {form}")
    has_offset, is_local = bool((kind == clock.WITH_OFFSET).any()), bool((kind == clock.LOCAL).any())
    nothing = np.zeros(rows.count, dtype=np.bool_)
    if has_offset and is_local:
        odd = clock.LOCAL if 2 * (kind == clock.LOCAL).sum() <= rows.count else clock.WITH_OFFSET
        lacks = (
            "no UTC offset though other rows have one"
            if odd == clock.LOCAL
            else "a UTC offset though others have none"
        )
        cure = f"has {lacks}; write all in one way"
        _report(rows, log, "mixed_zones", kind == odd, lambda row: f"timestamp {rows.stamp.text(row)} {cure}")
        return rows.stamp.seconds, nothing, True, nothing
    if not is_local:
        return rows.stamp.seconds, nothing, False, kind == clock.WITH_OFFSET
    if zone is None:
        line = int(rows.line[np.argmax(kind == clock.LOCAL)])
        asks = "timestamps have no UTC offset; name their time zone, e.g. Europe/Berlin"
        log.ask(Question("--zone", asks), "zone_needed", line)
        return rows.stamp.seconds, nothing, True, nothing
    utc, repeated, exists = clock.utc_by_row_order(rows.stamp.seconds, rows.series, zone)
    skipped = f"does not exist in {zone.key}: clocks go forward; check the zone"
    missing = (kind == clock.LOCAL) & ~exists
    _report(rows, log, "impossible_time", missing, lambda row: f"{rows.stamp.text(row)} {skipped}")
    return utc, repeated, True, (kind == clock.LOCAL) & exists


def _check_order(
    rows: Rows, utc: IntArray, repeated: BoolArray, good: BoolArray, log: IntakeLog
) -> BoolArray:
    """Report rows of a home that come after a later one; return the others."""
    result = np.ones(rows.count, dtype=np.bool_)
    if good.all() and (np.diff(utc) >= 0).all():
        return result  # in order as a whole, so in order for each home; saves the sort
    kept = np.flatnonzero(good)
    series = rows.series
    by_home = kept[np.argsort(series[kept], kind="stable")]
    previous, current = by_home[:-1], by_home[1:]
    # Within the repeated hour a file may write both passes pairwise.
    back = (
        (series[current] == series[previous])
        & (utc[current] < utc[previous])
        & ~(repeated[current] & repeated[previous])
    )
    result[current[back]] = False
    late = "is earlier than this home's row before; sort the file by timestamp"
    _report(rows, log, "wrong_order", ~result, lambda row: f"{rows.stamp.text(row)} {late}")
    return result


def _minutes(timed: list[tuple[Rows, IntArray, BoolArray]], stated: int | None, log: IntakeLog) -> int | None:
    """Find the interval length: the most frequent step between the stamps of a home."""
    step = np.concatenate([_steps(*table) for table in timed])
    if not len(step) and stated in ALLOWED_MINUTES:
        return stated
    if not len(step):
        log.add("error", "interval_length", "no home has two intervals; give `minutes`, or a longer file")
        return None
    lengths, count = np.unique(step, return_counts=True)
    seconds = int(lengths[np.argmax(count)])
    if seconds % 60 or seconds // 60 not in ALLOWED_MINUTES:
        log.add(
            "error",
            "interval_length",
            f"the intervals are {seconds / 60:g} minutes; convert the file to one of {ALLOWED_MINUTES}",
        )
        return None
    return seconds // 60


def _phase(timed: list[tuple[Rows, IntArray, BoolArray]], step_s: int) -> int:
    """Find how long after a multiple of the interval in UTC most intervals begin, which the local clock shows. [s]

    Stamps without an offset must be whole intervals on their clock, or in UTC.
    """
    found = [
        utc[good & ((rows.stamp.kind == clock.WITH_OFFSET) | (rows.stamp.seconds % step_s == 0))] % step_s
        for rows, utc, good in timed
    ]
    phases, count = np.unique(np.concatenate(found), return_counts=True)
    possible = phases % min(step_s, OFFSET_S) == 0
    return int(phases[possible][np.argmax(count[possible])]) if possible.any() else 0


def _steps(rows: Rows, utc: IntArray, good: BoolArray) -> IntArray:
    kept = np.flatnonzero(good & (rows.home < SAMPLED_HOMES))
    kept = kept if len(kept) else np.flatnonzero(good)
    small = rows.home[kept].astype(np.min_scalar_type(len(rows.homes)))  # small integers sort much faster
    order = kept[np.lexsort((utc[kept], small))]
    step: IntArray = np.diff(utc[order])
    positive: IntArray = step[(np.diff(rows.home[order]) == 0) & (step > 0)]
    return positive


def _placed(
    found: list[tuple[Rows, IntArray, IntArray]], minutes: int, zone: ZoneInfo | None, log: IntakeLog
) -> Placed | None:
    """Give each row its cell and leave out duplicates.

    Args:
        found: Of each table the rows that are kept, and their UTC.
        minutes: Interval length. [min]
        zone: Zone in which people read times.
        log: Where findings go.
    """
    start_s = min(int(utc.min()) for _, _, utc in found)
    intervals = (max(int(utc.max()) for _, _, utc in found) - start_s) // (minutes * 60) + 1
    homes = found[0][0].homes
    used = np.zeros(len(homes), dtype=np.bool_)
    for rows, kept, _ in found:
        used[rows.home[kept]] = True
    column = np.cumsum(used) - 1
    households = tuple(name for name, there in zip(homes, used.tolist(), strict=True) if there)
    count = sum(len(kept) for _, kept, _ in found)
    if intervals * len(households) > 1_000_000 + 50 * count:
        first = min(found, key=lambda table: int(table[2].min()))
        last = max(found, key=lambda table: int(table[2].max()))
        line_first, line_last = (
            int(rows.line[kept[pick(utc)]])
            for (rows, kept, utc), pick in ((first, np.argmin), (last, np.argmax))
        )
        log.add(
            "error",
            "span",
            f"{count} rows span {intervals} intervals, from {clock.shown(start_s, zone)}"
            f" (line {line_first}) to line {line_last}; one of the two stamps is wrong",
            line=line_last,
        )
        return None
    cells = []
    for rows, kept, utc in found:
        cell = (utc - start_s) // (minutes * 60) * len(households) + column[rows.home[kept]]
        seen = np.zeros(intervals * len(households), dtype=np.bool_)
        seen[cell] = True
        if np.count_nonzero(seen) < len(cell):
            first_of = _drop_duplicates(rows, kept, cell, log)
            kept, cell = kept[first_of], cell[first_of]
        cells.append(Cells(rows, kept, cell))
    return Placed(start_s, minutes, intervals, households, tuple(cells), zone)


def _drop_duplicates(rows: Rows, kept: IntArray, cell: IntArray, log: IntakeLog) -> IntArray:
    """Report rows for a cell that has one already; return the positions of those that count."""
    issued = np.zeros(len(kept), dtype=np.int64) if rows.revision is None else -rows.revision[kept]
    order = np.lexsort((kept, issued, cell))
    again = np.zeros(len(cell), dtype=np.bool_)
    again[1:] = np.diff(cell[order]) == 0
    first = order[np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))]
    later, earlier = kept[order[again]], kept[first[again]]
    same = np.ones(len(later), dtype=np.bool_)
    for column in rows.values.values():
        a, b = column.values[later], column.values[earlier]
        same &= (a == b) | (np.isnan(a) & np.isnan(b))
    older = (issued[order] > issued[first])[again]
    other_line = dict(zip(later.tolist(), rows.line[earlier].tolist(), strict=True))

    def add(severity: Literal["error", "warning"], code: str, which: BoolArray, text: str) -> None:
        describe = rows.describe(lambda row: text.format(line=other_line[row]))
        log.add_rows(severity, code, np.sort(later[which]), describe)

    add("warning", "revised", older, "the row was issued again in line {line}; the later issue counts")
    add("warning", "duplicate", same & ~older, "the row repeats line {line}; it is counted once")
    conflict = "the row gives other values than line {line} for the same time; keep one"
    add("error", "conflict", ~same & ~older, conflict)
    return np.sort(order[~again])
