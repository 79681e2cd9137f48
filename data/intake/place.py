"""Rows onto grids of intervals and homes, one for each length of interval; a finding for each that does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.intake.differences import differenced
from data.intake.known import Counted, known_totals
from data.intake.raw import Hints, IntakeLog
from data.intake.regular import regular
from data.intake.rows import Rows
from data.intake.spread import spread
from data.intake.steps import lengths_of, shortest_allowed
from data.intake.sums import summed
from data.intake.times import Timed, timed
from data.intake.values import check_values, report
from market.interval import ALLOWED_MINUTES, OFFSET_S
from market.units import BoolArray, IntArray

LARGEST_REFUSED = 10
"""The length of intervals is checked where no more than one row in so many was refused."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where rows lie on the grid.

    Args:
        rows: The rows.
        row: Those that count: duplicates are left out.
        cell: Their cells, t x H + h.
        counted: Whether they are differences of a counter's readings.
        alone: Whether it is known that all rows count, in their order, and that no cell has two of them.
        by_home: Whether it is known that they are by home and time, and that no cell has two of them.
    """

    rows: Rows
    row: IntArray
    cell: IntArray
    counted: bool = False
    alone: bool = False
    by_home: bool = False

    def fill_by_home(self, shape: tuple[int, int]) -> bool:
        """Whether it is known that the rows, as `row` orders them, are the cells of a grid, home by home."""
        return self.by_home and self.fill(shape)

    def fill(self, shape: tuple[int, int]) -> bool:
        """Whether it is known that each cell of a grid has a row."""
        return (self.alone or self.by_home) and len(self.cell) == shape[0] * shape[1]

    def homes(self, count: int) -> BoolArray:
        """Which homes have rows with these channels; the others have no such meter."""
        if (self.alone or self.by_home) and count == len(self.rows.homes):
            return np.ones(count, dtype=np.bool_)  # no name is there without a row
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
        given: Lengths of the intervals in the file. [min]
        unknown: Cells for which the file has rows, but does not show which.
    """

    start_s: int
    minutes: int
    intervals: int
    households: tuple[str, ...]
    cells: tuple[Cells, ...]
    zone: ZoneInfo | None
    given: tuple[int, ...]
    unknown: BoolArray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Intervals and homes, (T, H)."""
        return self.intervals, len(self.households)


@dataclass(frozen=True, slots=True, eq=False)
class _Span:
    """Rows for intervals.

    Args:
        table: The rows, by home and time.
        start: Start of each. [s since 1970]
        length: Length of each, 0 where it is not known. [min]
        counted: What a counter counted, where they are differences of its readings.
    """

    table: Timed
    start: IntArray
    length: IntArray
    counted: Counted | None = None

    def of(self, which: BoolArray) -> _Span:
        """Some of the rows."""
        if which.all():
            return self
        t = self.table
        table = Timed(t.rows, t.row[which], t.utc[which], t.unknown)
        return _Span(table, self.start[which], self.length[which], self.counted)


def place(
    tables: list[Rows], zone: ZoneInfo | None, hints: Hints, log: IntakeLog
) -> tuple[list[Placed], bool]:
    """Check every row and place the good ones.

    Args:
        tables: The rows of a file, by their channels.
        zone: Zone of local stamps.
        hints: Interval length for a file that does not state it; what the numbers are.
        log: Where findings go.

    Returns:
        A grid for each length of interval, the shortest first, of the homes that have it; none after errors that hide
        them. And whether stamps are local.
    """
    if len(tables) != 1:
        return _placed_in_steps(tables, zone, hints, log)
    good = check_values(tables[0], hints, log)
    if good.all() and (placed := placed_at_once(tables[0], zone)) is not None:
        return [placed], False
    return _placed_in_steps(tables, zone, hints, log, good)


def placed_at_once(rows: Rows, zone: ZoneInfo | None) -> Placed | None:
    """Place rows that are regular; None where they are not. Their values must be sound."""
    found = regular(rows)
    if found is None:
        return None
    if found.order is None:
        cells = Cells(rows, np.arange(rows.count, dtype=np.int64), found.cell, alone=True)
    else:
        cells = Cells(rows, found.order, found.cell, alone=found.sorted, by_home=True)
    homes = tuple(rows.homes)
    return Placed(found.start_s, found.minutes, found.intervals, homes, (cells,), zone, (found.minutes,))


def _placed_in_steps(
    tables: list[Rows],
    zone: ZoneInfo | None,
    hints: Hints,
    log: IntakeLog,
    checked: BoolArray | None = None,
) -> tuple[list[Placed], bool]:
    """Place rows of any kind; see `place`.

    Args:
        tables, zone, hints, log: As there.
        checked: Rows of the only table whose values are sound, where that is known.
    """
    spans: list[_Span] = []
    local, sound = False, True
    for rows in tables:
        good = check_values(rows, hints, log) if checked is None else checked
        table, is_local = timed(rows, good, zone, log)
        local |= is_local
        if table is None:
            continue
        # Where many rows were refused, the steps between the others show nothing.
        refused = int((~good).sum()) * LARGEST_REFUSED > rows.count
        if hints.profile is not None:
            # That a format is in UTC says nothing of whose days its totals are.
            days = None if hints.zone is None and zone is not None and zone.key == "UTC" else zone
            table = spread(table, days, hints.profile, log)
        found = _spans(table, hints, IntakeLog() if refused else log) if table is not None else None
        sound &= found is not None
        spans += found or []
    if not sound or not spans:
        if sound and any(next(iter(rows.values)).kind == "counter" for rows in tables) and not log.has_errors:
            cause = "one reading of a counter gives no interval; give a longer file"
            log.add("error", "interval_length", cause)
        return [], local
    lengths = _lengths(spans, hints, log)
    if lengths is None:
        return [], local
    grids = []
    for minutes in np.unique(lengths[lengths > 0]).tolist():
        chosen = [part for span in spans if len((part := span.of(lengths[span.table.home] == minutes)).start)]
        grid = _on_one_grid(chosen, minutes, zone, log)
        if grid is not None:
            grids.append(grid)
            _log_known(spans, lengths == minutes, grid, log)
    return grids, local


def _log_known(spans: list[_Span], of_grid: BoolArray, grid: Placed, log: IntakeLog) -> None:
    """Keep what counters show over the gaps of a grid."""
    counters = [span.counted for span in spans if span.counted is not None]
    others = {c.name for span in spans if span.counted is None for c in span.table.rows.values}
    if counters:
        homes = spans[0].table.rows.homes
        log.known += known_totals(counters, homes, of_grid, (grid.start_s, grid.minutes * 60), others)


def _spans(table: Timed, hints: Hints, log: IntakeLog) -> list[_Span] | None:
    """Rows of one table as rows for intervals; None where their length is refused."""
    lengths = lengths_of(table, log)
    if lengths is None:
        return None
    _report_changes(table, lengths.changing, lengths.of_row, log)
    if next(iter(table.rows.values)).kind == "counter":
        # Where rows were refused, gaps and falls follow from that one cause and are not reported again.
        found = differenced(table, lengths, hints.fuse_w, IntakeLog() if log.has_errors else log)
        return [_Span(rows, rows.utc, minutes, counted) for rows, minutes, counted in found]
    length = lengths.rows(table.home)
    return [_Span(table, table.utc - length * 60 if table.rows.ends else table.utc, length)]


def _report_changes(table: Timed, changing: tuple[int, ...], of_row: IntArray | None, log: IntakeLog) -> None:
    """Report homes whose step changes; the file does not state it, and gaps could look alike."""
    if not changing or of_row is None:
        return
    mine = table.home == changing[0]
    steps = of_row[mine]
    change = int(np.argmax(np.diff(steps) != 0)) + 1
    row = int(table.row[np.flatnonzero(mine)[change]])
    several = f" (and of {len(changing) - 1} more homes)" if len(changing) > 1 else ""
    log.add(
        "warning",
        "step_change",
        f"the rows{several} come every {', '.join(map(str, dict.fromkeys(steps.tolist())))} minutes in turn, from"
        f" {table.rows.stamp.text(row)} on: each is taken for an interval that long",
        line=int(table.rows.line[row]),
        household=table.rows.homes[changing[0]],
        count=len(changing),
    )


def _lengths(spans: list[_Span], hints: Hints, log: IntakeLog) -> IntArray | None:
    """Length of the intervals of each home on the grid. [min]"""
    homes = len(spans[0].table.rows.homes)
    common, there = np.ones(homes, dtype=np.int64), np.zeros(homes, dtype=np.bool_)
    known = np.zeros(homes, dtype=np.bool_)
    for span in spans:
        has = span.length > 0
        pairs = np.unique(span.table.home[has] * 64 + span.length[has])
        np.lcm.at(common, pairs // 64, pairs % 64)
        known[pairs // 64] = True
        there[span.table.home] = True
    allowed = {m: shortest_allowed([m]) for m in range(1, 61) if 60 % m == 0}
    odd = sorted({*common.tolist()} - {*allowed})
    if odd:
        message = (
            f"the intervals of a home fit only into one of {odd[0]} minutes, which is no part of an hour"
        )
        log.add("error", "interval_length", f"{message}; correct its stamps")
        return None
    result = np.array([allowed[m] for m in common.tolist()], dtype=np.int64)
    result[~known] = 0
    if not known.any() and hints.minutes not in ALLOWED_MINUTES:
        log.add("error", "interval_length", "no home has two intervals; give `minutes`, or a longer file")
        return None
    # A home whose rows do not show it has the longest: nothing finer is claimed for it.
    result[there & ~known] = int(result.max()) if known.any() else hints.minutes or 0
    return result


def _on_one_grid(spans: list[_Span], minutes: int, zone: ZoneInfo | None, log: IntakeLog) -> Placed | None:
    """Place the rows of homes whose intervals have one length."""
    whole, phase_s = minutes * 60, _phase(spans, minutes * 60)
    given = sorted({*np.unique(np.concatenate([span.length for span in spans])).tolist()} - {0})
    if given and given != [minutes]:
        note = f"intervals of {', '.join(map(str, given))} minutes are summed to {minutes}"
        log.notes += [note] if note not in log.notes else []
    found: list[tuple[Timed, IntArray, bool]] = []
    for span in spans:
        table, length = span.table, span.length
        length = np.where(length > 0, length, minutes)
        longest_s = int(length.max(initial=0)) * 60
        unknown = tuple(one.of_intervals(table.rows.ends, longest_s) for one in table.unknown)
        table = Timed(table.rows, table.row, table.utc, unknown)
        start = table.utc - length * 60 if table.rows.ends else span.start
        if (length == minutes).all():
            off = start % whole != phase_s
            if off.any():
                _report_off(table, off, minutes, log)
                table = Timed(table.rows, table.row[~off], table.utc[~off], table.unknown)
                start = start[~off]
        else:
            table = summed(table, start, length, minutes, phase_s, log)
            start = table.utc
        if len(start):
            found.append((table, start, span.counted is not None))
    return _placed(found, minutes, tuple(given or [minutes]), zone, log) if found else None


def _report_off(table: Timed, off: BoolArray, minutes: int, log: IntakeLog) -> None:
    rows = table.rows
    odd = np.zeros(rows.count, dtype=np.bool_)
    odd[table.row[off]] = True
    cure = f"does not start an interval of {minutes} minutes; correct the stamp"
    report(rows, log, "off_grid", odd, lambda row: f"{rows.stamp.text(row)} {cure}")


def _phase(spans: list[_Span], step_s: int) -> int:
    """Find how long after a multiple of the interval in UTC most intervals begin, which the local clock shows. [s]

    Stamps without an offset must be whole intervals on their clock, or in UTC; short intervals with one begin those of
    UTC.
    """
    found = []
    for span in spans:
        rows, row = span.table.rows, span.table.row
        exact = rows.stamp.kind[row] == clock.WITH_OFFSET
        short = (span.length > 0) & (span.length * 60 != step_s)
        on_clock = np.where(exact, ~short | (span.start % step_s == 0), rows.stamp.seconds[row] % step_s == 0)
        found.append(span.start[on_clock] % step_s)
    phases, count = np.unique(np.concatenate(found), return_counts=True)
    possible = phases % min(step_s, OFFSET_S) == 0
    return int(phases[possible][np.argmax(count[possible])]) if possible.any() else 0


def _placed(
    found: list[tuple[Timed, IntArray, bool]],
    minutes: int,
    given: tuple[int, ...],
    zone: ZoneInfo | None,
    log: IntakeLog,
) -> Placed | None:
    """Give each row its cell.

    Args:
        found: Rows, their starts, and whether they are differences of a counter.
        minutes: Interval length. [min]
        given: Lengths of the intervals in the file. [min]
        zone: Zone in which people read times.
        log: Where findings go.
    """
    start_s = min(int(start.min()) for _, start, _ in found)
    intervals = (max(int(start.max()) for _, start, _ in found) - start_s) // (minutes * 60) + 1
    homes = found[0][0].rows.homes
    used = np.zeros(len(homes), dtype=np.bool_)
    for table, _, _ in found:
        used[table.home] = True
    column = np.cumsum(used) - 1
    households = tuple(name for name, there in zip(homes, used.tolist(), strict=True) if there)
    count = sum(len(start) for _, start, _ in found)
    if intervals * len(households) > 1_000_000 + 50 * count:
        first = min(found, key=lambda part: int(part[1].min()))
        last = max(found, key=lambda part: int(part[1].max()))
        line_first, line_last = (
            int(table.rows.line[table.row[pick(start)]])
            for (table, start, _), pick in ((first, np.argmin), (last, np.argmax))
        )
        log.add(
            "error",
            "span",
            f"{count} rows span {intervals} intervals, from {clock.shown(start_s, zone)}"
            f" (line {line_first}) to line {line_last}; one of the two stamps is wrong",
            line=line_last,
        )
        return None
    cells = tuple(
        Cells(
            table.rows,
            table.row,
            (start - start_s) // (minutes * 60) * len(households) + column[table.home],
            counted,
        )
        for table, start, counted in found
    )
    stretches = {s for table, _, _ in found for s in table.unknown}
    unknown = np.zeros((intervals, len(households)), dtype=np.bool_) if stretches else None
    for one in stretches:
        if unknown is not None and used[one.home]:
            first_t, last_t = (
                (one.begin_s - start_s) // (minutes * 60),
                -((start_s - one.end_s) // (minutes * 60)),
            )
            unknown[max(first_t, 0) : max(last_t, 0), column[one.home]] = True
    return Placed(start_s, minutes, intervals, households, cells, zone, given, unknown)
