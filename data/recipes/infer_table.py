"""Where the table lies in the rows of an unknown file: preamble, header, units, rows of data, footer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from data.recipes.header import with_numbers
from data.recipes.infer_stamps import ends_of, reading_of
from data.recipes.infer_text import Conclusion, Grid
from data.recipes.infer_words import EMPTY_WORDS, unit_in
from data.recipes.stamps import DAY_S

_NUMBER = re.compile(r"[+-]?(\d[\d.,'\u00a0\u202f ]*|[.,]\d+)([eE][+-]?\d+)?")
_POSITION = re.compile(
    r"(?:(?:hour|stunde|uur|heure|ora|hora|time|timme|tunti|h|he|q|qh|period|p|interval|i|v|val|value)[ _.]?)?"
    r"0*(\d{1,3})(?:[ _.]?h)?",
    re.I,
)

LEAST_TIMES = 12
"""A table is wide if its header has at least so many times of the day."""


@dataclass(frozen=True, slots=True)
class Wide:
    """The columns of times of a wide file.

    Args:
        columns: Their numbers.
        pattern: Of their headers, for a recipe.
        ends: Which end of its interval a header names, and why; None where it numbers intervals.
        minutes: Interval length. [min]
    """

    columns: tuple[int, ...]
    pattern: str
    ends: Conclusion[Literal["start", "end"]] | None
    minutes: int


@dataclass(frozen=True, slots=True)
class Table:
    """Where the table lies.

    Args:
        header: Names of the columns; made up where the file has none.
        has_header: Whether the file has one.
        header_row: Its number among the rows; -1 without one.
        units: Row of units below the header.
        rows: Cells of the rows of data, all of one width.
        first: Number of the first of them among the rows.
        numbers: Numbers of them among the rows.
        skipped: Rows between them that are none, by number.
        footer: First cell of the first row of a footer; None without one.
        preamble: Rows above the header.
        wide: The columns of times, in a wide file.
        why: Reason for the header.
    """

    header: tuple[str, ...]
    has_header: bool
    header_row: int
    units: tuple[str, ...] | None
    rows: Sequence[tuple[str, ...]]
    first: int
    numbers: Sequence[int]
    skipped: Sequence[int]
    footer: str | None
    preamble: Sequence[tuple[str, ...]]
    wide: Wide | None
    why: str

    def column(self, index: int) -> list[str]:
        """Cells of a column."""
        return [row[index] for row in self.rows]


@lru_cache(maxsize=65_536)
def is_number(cell: str) -> bool:
    """Whether a cell is a number in any way of writing one."""
    return _NUMBER.fullmatch(cell) is not None


def is_empty(cell: str) -> bool:
    """Whether a cell of a column of numbers holds no reading."""
    return cell.casefold() in EMPTY_WORDS


def _is_time(cell: str) -> bool:
    return reading_of(cell) is not None or ends_of(cell) is not None


def _is_stamp(cell: str) -> bool:
    reading = reading_of(cell)
    if reading is not None:
        return reading.what != "time"
    if ends := ends_of(cell):
        return ends[0].what != "time"
    return re.fullmatch(r"(0?9|1\d|2\d)\d{8}(\d{3})?|[34]\d{4}\.\d{2,}|4\d{4}", cell) is not None


def is_data(row: Sequence[str]) -> bool:
    """Whether a row may be one of data: it has a date or an instant, and a number or an empty cell beside."""
    stamp = next((i for i, cell in enumerate(row) if cell and _is_stamp(cell)), None)
    if stamp is None or len(row) < 2:
        return False
    return any(i != stamp and (is_number(cell) or is_empty(cell)) for i, cell in enumerate(row))


def table_of(grid: Grid) -> Table | None:
    """Find the table; None where no rows of data are there."""
    rows = grid.rows
    good = [is_data(row) for row in rows]
    widths = Counter(len(row) for row, data in zip(rows, good, strict=True) if data)
    if not widths:
        return None
    width = max(widths.items(), key=lambda pair: (pair[1], pair[0]))[0]
    good = [data and abs(len(row) - width) <= 1 for row, data in zip(rows, good, strict=True)]
    first = _first(good)
    if first is None:
        return None
    header_row, units_row = _header(rows, first, width)
    begin = first
    header = rows[header_row] if header_row >= 0 else ()
    if header and len(header) > width and not any(header[width:]):
        header = header[:width]
    count = max(width, len(header))
    names = (
        tuple(header) + ("",) * (count - len(header))
        if header
        else tuple(f"column {i + 1}" for i in range(count))
    )
    while count > 2 and not names[count - 1] and header:  # rows that end with a separator
        if any(len(row) >= count and row[count - 1] for row, data in zip(rows, good, strict=True) if data):
            break
        count -= 1
        names = names[:count]
    names = with_numbers(names)
    last = max(i for i, data in enumerate(good) if data)
    numbers = [i for i in range(begin, last + 1) if good[i]]
    skipped = [i for i in range(begin, last + 1) if not good[i] and any(rows[i])]
    body = [tuple(rows[i][:count]) + ("",) * (count - len(rows[i])) for i in numbers]
    why = (
        f"row {grid.lines[header_row]} has names, the rows from {grid.lines[begin]} on data"
        if header
        else "no row above the data has names"
    )
    units = rows[units_row] if units_row is not None else None
    return Table(
        names,
        bool(header),
        header_row,
        units,
        body,
        begin,
        numbers,
        skipped,
        _footer(grid, last),
        rows[: max(header_row, 0)],
        _wide(names) if header else None,
        why,
    )


def _first(good: Sequence[bool]) -> int | None:
    """The first row of data: the next ones are data too, of which a preamble has no such run."""
    for i, data in enumerate(good):
        run = good[i : i + 4]
        if data and sum(run) >= min(3, len(run)):
            return i
    return None


def _header(rows: Sequence[tuple[str, ...]], first: int, width: int) -> tuple[int, int | None]:
    """Number of the row of names, -1 without one; and of the row of units below it."""
    units_row = None
    for i in range(first - 1, -1, -1):
        row = rows[i]
        filled = [cell for cell in row if cell]
        if not filled:
            continue
        if units_row is None and _is_units(filled):
            units_row = i
            continue
        if _names_columns(row, filled, width):
            return i, units_row
        return -1, None
    return -1, None


def _is_units(filled: Sequence[str]) -> bool:
    """Whether all cells of a row are units, or layouts of times such as dd/MM/yyyy."""
    known = [unit_in(cell).name is not None and len(cell) <= 8 for cell in filled]
    layout = [
        re.fullmatch(r"[\[(]?[dDmMyYjJaAhHsS:./\- ]{4,20}[\])]?", cell) is not None or cell in "[]()-"
        for cell in filled
    ]
    return any(known) and all(a or b for a, b in zip(known, layout, strict=True))


def _names_columns(row: Sequence[str], filled: Sequence[str], width: int) -> bool:
    if len(filled) < 2 or abs(len(row) - width) > max(2, width // 3):
        return False
    if _wide(tuple(row)):
        return True
    numbers = sum(is_number(cell) for cell in filled)
    return not any(_is_time(cell) for cell in filled) and numbers * 3 <= len(filled)


def _footer(grid: Grid, last: int) -> str | None:
    """First cell of the first row after the data; None where the data end the file."""
    after = [row for row in grid.rows[last + 1 :] if any(row)]
    if not after and grid.tail:
        kept = [is_data(row) for row in grid.tail]
        if any(kept):
            end = max(i for i, data in enumerate(kept) if data)
            after = [row for row in grid.tail[end + 1 :] if any(row)]
    return next((cell for cell in after[0] if cell), None) if after else None


def _wide(header: tuple[str, ...]) -> Wide | None:
    return _wide_ranges(header) or _wide_times(header) or _wide_positions(header)


def _seconds(cell: str) -> int | None:
    reading = reading_of(cell)
    return reading.second if reading is not None and reading.what == "time" else None


def _evenly(seconds: Sequence[int]) -> int | None:
    """Step of times that follow each other through a day, 0:00 at the end being 24:00. [s]"""
    steps = {(b - a) % DAY_S for a, b in pairwise(seconds)}
    step = steps.pop() if len(steps) == 1 else 0
    return step if step and len(seconds) * step == DAY_S else None


def _wide_ranges(header: tuple[str, ...]) -> Wide | None:
    found = [
        (i, ends)
        for i, cell in enumerate(header)
        if (ends := ends_of(cell)) and ends[0].what == ends[1].what == "time"
    ]
    if len(found) < LEAST_TIMES:
        return None
    step = _evenly([ends[0].second for _, ends in found])
    if step is None or any((ends[1].second - ends[0].second) % DAY_S != step for _, ends in found):
        return None
    pattern = re.escape(header[found[0][0]])
    pattern = _one_time(pattern, group=True)
    return Wide(
        tuple(i for i, _ in found),
        pattern,
        Conclusion("start", 1.0, "each column names both ends"),
        step // 60,
    )


def _one_time(escaped: str, group: bool) -> str:
    """A pattern of a header such as 00:00\\-00:15, its first time a group."""
    time = r"\d{1,2}[:.h]\d\d(?:[:.]\d\d)?"
    text = re.sub(r"\d{1,2}(:|\\\.|h)\d\d((:|\\\.)\d\d)?", "\0", escaped)
    first, *rest = text.split("\0")
    return f"{first}(?P<time>{time}){time.join(rest)}" if group else text


def _wide_times(header: tuple[str, ...]) -> Wide | None:
    found = [(i, second) for i, cell in enumerate(header) if (second := _seconds(cell)) is not None]
    if len(found) < LEAST_TIMES:
        return None
    seconds = [second for _, second in found]
    step = _evenly(seconds)
    if step is None:
        return None
    columns = tuple(i for i, _ in found)
    pattern = r"(?P<time>\d{1,2}[:.h]\d\d(?:[:.]\d\d)?)"
    if seconds[0] % DAY_S == step and seconds[-1] % DAY_S == 0:
        sure = 1.0 if seconds[-1] == DAY_S else 0.97
        return Wide(
            columns,
            pattern,
            Conclusion("end", sure, f"the columns go from {header[columns[0]]} to {header[columns[-1]]}"),
            step // 60,
        )
    if seconds[0] == 0:
        return Wide(
            columns,
            pattern,
            Conclusion("start", 0.95, f"the columns begin at {header[columns[0]]}"),
            step // 60,
        )
    return None


def _wide_positions(header: tuple[str, ...]) -> Wide | None:
    found = [(i, int(match[1])) for i, cell in enumerate(header) if (match := _POSITION.fullmatch(cell))]
    for first in range(len(found)):
        run = found[first:]
        if [number for _, number in run] == list(range(1, len(run) + 1)) and (
            step := step_of_positions(len(run))
        ):
            name = header[run[0][0]]
            before = re.escape(re.sub(r"0*\d+.*$", "", name))
            after = re.escape(re.sub(r"^.*?\d+", "", name))
            return Wide(tuple(i for i, _ in run), f"{before}0*(?P<position>\\d+){after}", None, step)
    return None


def step_of_positions(count: int) -> int | None:
    """Interval length of a day with so many of them, on the days of the clock change one hour more or less. [min]"""
    for minutes, per_hour in ((60, 1), (30, 2), (15, 4), (5, 12)):
        if abs(count - 24 * per_hour) <= per_hour:
            return minutes
    return None
