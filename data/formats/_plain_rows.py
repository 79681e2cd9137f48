"""Rows of the plain format onto the grid of intervals and homes; a finding for each that does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from data import clock
from data.findings import FindingLog
from data.formats.registry import ReadOptions
from data.readings import QualityArray
from market.interval import ALLOWED_MINUTES
from market.units import BoolArray, Int8Array, IntArray

LARGEST_KWH = 10_000
"""No interval of a home holds 10 MWh; below it, nine decimals are exact and int64 holds many years. [kWh]"""

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")

SAMPLED_HOMES = 20
"""The interval length is told from the first homes; the others must fit it."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The columns of a file, one entry per row, in file order.

    Args:
        line: Line in the file.
        stamp_s: Seconds since 1970, UTC or local as `stamp_kind` says. [s]
        stamp_kind: `clock.UNREADABLE`, `WITH_OFFSET` or `LOCAL`.
        stamp_text: Text of a row's stamp, for messages.
        home: Index into `homes`.
        homes: Names, in the order in which they first appear.
        values: Numbers by column; NaN where there is none. [kWh]
        empty: Empty cells by column.
        bad: Cells that are no numbers, by column: row and text.
        quality: Flags, where the file has the column.
    """

    line: IntArray
    stamp_s: IntArray
    stamp_kind: Int8Array
    stamp_text: Callable[[int], str]
    home: IntArray
    homes: list[str]
    values: dict[str, npt.NDArray[np.float64]]
    empty: dict[str, BoolArray]
    bad: dict[str, dict[int, str]]
    quality: QualityArray | None

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.line)

    def take(self, keep: BoolArray) -> Rows:
        """Return the rows that are kept."""
        place = np.cumsum(keep) - 1
        kept = np.flatnonzero(keep)
        return Rows(
            line=self.line[keep],
            stamp_s=self.stamp_s[keep],
            stamp_kind=self.stamp_kind[keep],
            stamp_text=lambda row: self.stamp_text(int(kept[row])),
            home=self.home[keep],
            homes=self.homes,
            values={name: column[keep] for name, column in self.values.items()},
            empty={name: column[keep] for name, column in self.empty.items()},
            bad={
                n: {int(place[r]): text for r, text in cells.items() if keep[r]}
                for n, cells in self.bad.items()
            },
            quality=None if self.quality is None else self.quality[keep],
        )

    def describe(self, message: Callable[[int], str]) -> Callable[[int], tuple[int, str | None, str]]:
        """Return what `FindingLog.add_rows` needs to speak of a row."""
        return lambda row: (int(self.line[row]), self.homes[self.home[row]] or None, message(row))


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where the rows lie on the grid.

    Args:
        start_s: Start of the first interval. [s since 1970]
        minutes: Interval length. [min]
        intervals: Number of intervals.
        households: Names of the homes, sorted as they first appear.
        row: Rows that count: duplicates are left out.
        cell: Their cells, t x H + h.
        line: Their lines.
    """

    start_s: int
    minutes: int
    intervals: int
    households: tuple[str, ...]
    row: IntArray
    cell: IntArray
    line: IntArray

    def line_of(self, cell: int) -> int:
        """Return the line that holds a cell, 0 where none does."""
        found = np.flatnonzero(self.cell == cell)
        return int(self.line[found[0]]) if len(found) else 0


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells, or None after errors that hide them; and whether stamps are local."""

    cells: Cells | None
    local: bool


def grid(rows: Rows, zone: ZoneInfo | None, options: ReadOptions, log: FindingLog) -> Grid:
    """Check every row and place the good ones."""
    good = _check_numbers(rows, log)
    good &= _check_names(rows, log)
    utc, repeated, local, timed = _utc(rows, zone, log)
    good &= timed
    if not good.any():
        return Grid(None, local)
    good &= _check_order(rows, utc, repeated, good, log)
    minutes = _minutes(rows, utc, good, options, log)
    if minutes is None:  # without a step there are no cells, but rows for the same time are still told
        kept = np.flatnonzero(good)
        _drop_duplicates(rows, kept, utc[kept] * len(rows.homes) + rows.home[kept], log)
        return Grid(None, local)
    off = good & (utc % (minutes * 60) != 0)
    log.add_rows(
        "error",
        "off_grid",
        np.flatnonzero(off),
        rows.describe(
            lambda row: (
                f"{rows.stamp_text(row)} does not start an interval of {minutes} minutes; correct the stamp"
            )
        ),
    )
    good &= ~off
    if not good.any():
        return Grid(None, local)
    cells = _place(rows, utc, np.flatnonzero(good), minutes, log)
    return Grid(cells, local)


def _check_numbers(rows: Rows, log: FindingLog) -> BoolArray:
    """Report cells that are no energy; return the rows without such cells."""
    good = np.ones(rows.count, dtype=np.bool_)
    for name in rows.values:
        good &= _check_column(rows, name, log)
    return good


def _check_column(rows: Rows, name: str, log: FindingLog) -> BoolArray:
    column, texts = rows.values[name], rows.bad[name]

    def report(code: str, found: BoolArray, message: Callable[[int], str]) -> None:
        log.add_rows("error", code, np.flatnonzero(found), rows.describe(message))

    comma = np.zeros(rows.count, dtype=np.bool_)
    comma[[row for row, text in texts.items() if _DECIMAL_COMMA.fullmatch(text)]] = True
    report("decimal_comma", comma, lambda row: f"{name} {texts[row]!r} has a decimal comma; write a point")
    wrong = np.isnan(column) & ~rows.empty[name] & ~comma
    cure = "leave the cell empty where there is no reading"
    report("not_a_number", wrong, lambda row: f"{name} {texts.get(row, 'NaN')!r} is no number; {cure}")
    negative = column < 0
    cure_of_import = (
        "put exported energy into export_kwh" if name == "import_kwh" else "write it without a sign"
    )
    runs_back = f"a register never runs backwards; {cure_of_import}"
    report("negative", negative, lambda row: f"{name} is {column[row]:g}; {runs_back}")
    huge = column > LARGEST_KWH
    report(
        "impossible_power", huge, lambda row: f"{name} is {column[row]:g} kWh in one interval; check the unit"
    )
    return ~(comma | wrong | negative | huge)


def _check_names(rows: Rows, log: FindingLog) -> BoolArray:
    nameless = np.array([name == "" for name in rows.homes])[rows.home]
    log.add_rows(
        "error",
        "no_household",
        np.flatnonzero(nameless),
        rows.describe(lambda _row: "the household is empty; name the home of each row"),
    )
    return ~nameless


def _utc(rows: Rows, zone: ZoneInfo | None, log: FindingLog) -> tuple[IntArray, BoolArray, bool, BoolArray]:
    """Return UTC of each row, the rows in a repeated hour, whether stamps are local, and the good rows."""
    kind = rows.stamp_kind
    log.add_rows(
        "error",
        "bad_timestamp",
        np.flatnonzero(kind == clock.UNREADABLE),
        rows.describe(
            lambda row: (
                f"timestamp {rows.stamp_text(row)!r} is not like 2026-06-13T00:30:00Z or 2026-06-13 00:30;"
                " 24:00 is 00:00 of the next day"
            )
        ),
    )
    has_offset, is_local = bool((kind == clock.WITH_OFFSET).any()), bool((kind == clock.LOCAL).any())
    nothing = np.zeros(rows.count, dtype=np.bool_)
    if has_offset and is_local:
        odd = clock.LOCAL if 2 * (kind == clock.LOCAL).sum() <= rows.count else clock.WITH_OFFSET
        lacks = (
            "no UTC offset though other rows have one"
            if odd == clock.LOCAL
            else "a UTC offset though others have none"
        )
        log.add_rows(
            "error",
            "mixed_zones",
            np.flatnonzero(kind == odd),
            rows.describe(lambda row: f"timestamp {rows.stamp_text(row)} has {lacks}; write all in one way"),
        )
        return rows.stamp_s, nothing, True, nothing
    if not is_local:
        return rows.stamp_s, nothing, False, kind == clock.WITH_OFFSET
    if zone is None:
        line = int(rows.line[np.argmax(kind == clock.LOCAL)])
        log.add(
            "error",
            "zone_needed",
            "timestamps have no UTC offset; name their time zone, e.g. zone='Europe/Berlin'",
            line=line,
        )
        return rows.stamp_s, nothing, True, nothing
    utc, repeated, exists = clock.utc_by_row_order(rows.stamp_s, rows.home, zone)
    log.add_rows(
        "error",
        "impossible_time",
        np.flatnonzero((kind == clock.LOCAL) & ~exists),
        rows.describe(
            lambda row: (
                f"{rows.stamp_text(row)} does not exist in {zone.key}: clocks go forward; check the zone"
            )
        ),
    )
    return utc, repeated, True, (kind == clock.LOCAL) & exists


def _check_order(
    rows: Rows, utc: IntArray, repeated: BoolArray, good: BoolArray, log: FindingLog
) -> BoolArray:
    """Report rows of a home that come after a later one; return the others."""
    result = np.ones(rows.count, dtype=np.bool_)
    if good.all() and (np.diff(utc) >= 0).all():
        return result  # in order as a whole, so in order for each home; saves the sort
    kept = np.flatnonzero(good)
    by_home = kept[np.argsort(rows.home[kept], kind="stable")]
    previous, current = by_home[:-1], by_home[1:]
    # Within the repeated hour a file may write both passes pairwise.
    back = (
        (rows.home[current] == rows.home[previous])
        & (utc[current] < utc[previous])
        & ~(repeated[current] & repeated[previous])
    )
    wrong = np.sort(current[back])
    log.add_rows(
        "error",
        "wrong_order",
        wrong,
        rows.describe(
            lambda row: (
                f"{rows.stamp_text(row)} is earlier than this home's row before; sort the file by timestamp"
            )
        ),
    )
    result[wrong] = False
    return result


def _minutes(rows: Rows, utc: IntArray, good: BoolArray, options: ReadOptions, log: FindingLog) -> int | None:
    """Find the interval length: the most frequent step between the stamps of a home."""
    kept = np.flatnonzero(good & (rows.home < SAMPLED_HOMES))
    kept = kept if len(kept) else np.flatnonzero(good)
    order = kept[np.lexsort((utc[kept], rows.home[kept]))]
    step = np.diff(utc[order])
    step = step[(np.diff(rows.home[order]) == 0) & (step > 0)]
    if not len(step) and options.minutes in ALLOWED_MINUTES:
        return options.minutes
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


def _place(rows: Rows, utc: IntArray, kept: IntArray, minutes: int, log: FindingLog) -> Cells | None:
    """Give each row its cell and leave out duplicates."""
    start_s = int(utc[kept].min())
    intervals = (int(utc[kept].max()) - start_s) // (minutes * 60) + 1
    used, home = np.unique(rows.home[kept], return_inverse=True)
    if intervals * len(used) > 1_000_000 + 50 * len(kept):
        first, last = (int(kept[pick(utc[kept])]) for pick in (np.argmin, np.argmax))
        log.add(
            "error",
            "span",
            f"{len(kept)} rows span {intervals} intervals, from {clock.iso_utc(start_s)}"
            f" (line {rows.line[first]}) to line {rows.line[last]}; one of the two stamps is wrong",
            line=int(rows.line[last]),
        )
        return None
    cell = (utc[kept] - start_s) // (minutes * 60) * len(used) + home
    households = tuple(rows.homes[i] for i in used.tolist())
    seen = np.zeros(intervals * len(used), dtype=np.bool_)
    seen[cell] = True
    if np.count_nonzero(seen) < len(cell):
        first_of = _drop_duplicates(rows, kept, cell, log)
        kept, cell = kept[first_of], cell[first_of]
    return Cells(start_s, minutes, intervals, households, kept, cell, rows.line[kept])


def _drop_duplicates(rows: Rows, kept: IntArray, cell: IntArray, log: FindingLog) -> IntArray:
    """Report rows for a cell that has one already; return the positions of the first ones."""
    order = np.lexsort((kept, cell))
    again = np.zeros(len(cell), dtype=np.bool_)
    again[1:] = np.diff(cell[order]) == 0
    first = order[np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))]
    later, earlier = kept[order[again]], kept[first[again]]
    same = np.ones(len(later), dtype=np.bool_)
    for column in rows.values.values():
        a, b = column[later], column[earlier]
        same &= (a == b) | (np.isnan(a) & np.isnan(b))
    line_before = dict(zip(later.tolist(), rows.line[earlier].tolist(), strict=True))
    log.add_rows(
        "warning",
        "duplicate",
        np.sort(later[same]),
        rows.describe(lambda row: f"the row repeats line {line_before[row]}; it is counted once"),
    )
    log.add_rows(
        "error",
        "conflict",
        np.sort(later[~same]),
        rows.describe(
            lambda row: f"the row gives other values than line {line_before[row]} for the same time; keep one"
        ),
    )
    return np.sort(order[~again])
