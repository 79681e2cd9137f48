"""Which columns of an unknown table say when a reading was taken: one stamp, date and time, a pair, or a position."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from data.intake.raw import DateOrder, StampEnd
from data.recipes.infer_stamps import TimeColumn, is_iso, time_column
from data.recipes.infer_table import Table, step_of_positions
from data.recipes.infer_text import Conclusion
from data.recipes.infer_words import has_word, plain
from data.recipes.stamps import DAY_S

NO_TIMES = "its rows have a date and no time: daily totals or registers"


@dataclass(frozen=True, slots=True)
class Layout:
    """When a reading was taken.

    Args:
        columns: That make a stamp, joined by one space.
        formats: Layouts of `datetime.strptime` by order of day, month and year, or words of a recipe such as "iso".
        instants: Whether stamps name an instant by themselves.
        seconds: Of each row by order, UTC for instants and else on the clock of the file; None where it has none. [s]
        until: Columns that make the other end.
        position: Column that numbers the intervals of a day.
        minutes: Interval length, where positions fix it. [min]
        ends: Which end of its interval a stamp names, where the file says it.
        utc: Whether a name says that the clock is UTC.
        language: Of names of months.
        others: Further columns of times, which are not read.
        why: One clause.
    """

    columns: tuple[int, ...]
    formats: Mapping[DateOrder, tuple[str, ...]]
    instants: bool
    seconds: Mapping[DateOrder, Sequence[int | None]]
    until: tuple[int, ...] = ()
    position: int | None = None
    minutes: int | None = None
    ends: Conclusion[StampEnd] | None = None
    utc: bool = False
    language: str | None = None
    others: tuple[int, ...] = ()
    why: str = ""

    @property
    def orders(self) -> tuple[DateOrder, ...]:
        """Orders of day, month and year that all rows of the head allow."""
        return tuple(self.formats)

    def step_s(self, order: DateOrder) -> int:
        """The most frequent distance of stamps, 0 where there are fewer than two. [s]"""
        known = sorted({second for second in self.seconds[order] if second is not None})
        steps = Counter(b - a for a, b in pairwise(known))
        return max(steps.items(), key=lambda pair: (pair[1], -pair[0]))[0] if steps else 0

    def breaks(self, order: DateOrder) -> int:
        """How often a stamp is not one step after the one before."""
        known = sorted({second for second in self.seconds[order] if second is not None})
        step = self.step_s(order)
        return sum(b - a != step for a, b in pairwise(known))


def times_of(table: Table) -> dict[int, TimeColumn]:
    """All columns that hold times, by number."""
    found = {}
    wide = set(table.wide.columns) if table.wide else set()
    for index, name in enumerate(table.header):
        if index not in wide:
            named = has_word(plain(name), "time") is not None
            column = time_column(index, table.column(index), named or not table.has_header)
            if column is not None:
                found[index] = column
    return found


def layout_of(table: Table, times: Mapping[int, TimeColumn]) -> Layout | str:
    """Choose the columns of the stamp; a sentence where the table has none, or where several could be it."""
    stamps = [column for column in times.values() if column.what in ("stamp", "epoch_s", "epoch_ms", "excel")]
    dates = [column for column in times.values() if column.what == "date"]
    clocks = [column for column in times.values() if column.what == "time"]
    if stamps and not (table.wide and dates):
        return _of_stamps(table, stamps, [*dates, *clocks])
    if not dates:
        return "no column holds a date and a time that can be read"
    if table.wide:
        column = dates[0]
        layout = _base(table, (column,), (*dates[1:], *stamps, *clocks))
        return replace(
            layout,
            ends=table.wide.ends,
            minutes=table.wide.minutes,
            why=f"{table.header[column.index]!r} names the day",
        )
    if clocks:
        return _of_dates_and_clocks(table, dates, clocks)
    return _of_positions(table, dates) or NO_TIMES


def layout_of_days(table: Table, times: Mapping[int, TimeColumn]) -> Layout | None:
    """The layout of a table whose rows have a date and no time, each another one: a date names the day of its total."""
    dates = [column for column in times.values() if column.what == "date"]
    layout = _base(table, (dates[0],), dates[1:])
    named = [second for second in layout.seconds[layout.orders[0]] if second is not None]
    if len(set(named)) < len(named):  # hours without their time look like this, or several meters
        return None
    if len(dates) > 1:
        pair = _pair(table, [(column,) for column in dates])
        return _as_pair(table, *pair, []) if pair is not None and len(dates) == 2 else None
    if layout.ends is not None and layout.ends.value == "end":
        return layout
    return replace(layout, ends=Conclusion("start", 1.0, "a date without a time names the day"))


def _base(table: Table, columns: tuple[TimeColumn, ...], others: Sequence[TimeColumn] = ()) -> Layout:
    first = columns[0]
    clock = columns[1] if len(columns) > 1 else None
    formats: dict[DateOrder, tuple[str, ...]] = {}
    seconds: dict[DateOrder, Sequence[int | None]] = {}
    for order in first.orders:
        layouts = first.formats(order)
        seconds[order] = first.at(order)
        if clock is not None:
            layouts = tuple(f"{a} {b}" for a in layouts for b in clock.formats("ymd"))
            seconds[order] = [
                None if a is None or b is None else a + b.second - (b.offset_s or 0)
                for a, b in zip(first.at(order), clock.readings, strict=True)
            ]
        samples = {
            " ".join(cells)
            for cells in zip(*(table.column(c.index) for c in columns), strict=True)
            if all(cells)
        }
        formats[order] = ("iso",) if is_iso(layouts, list(samples)) else layouts
    names = " ".join(plain(table.header[column.index]) for column in columns)
    instants = first.has_offset or (clock is not None and clock.has_offset)
    return Layout(
        tuple(column.index for column in columns), formats, instants, seconds,
        ends=_ends(table, columns),
        utc=has_word(names, "utc") is not None,
        language=first.language,
        others=tuple(column.index for column in others),
        why=f"the times are in {' and '.join(repr(table.header[c.index]) for c in columns)}",
    )  # fmt: skip


def _ends(table: Table, columns: Sequence[TimeColumn]) -> Conclusion[StampEnd] | None:
    """Which end a stamp names, by 24:00 or by the names of its columns."""
    for column in columns:
        clock = [
            reading.second for reading in column.readings if reading is not None and reading.what != "date"
        ]
        if DAY_S in clock and 0 not in clock:
            return Conclusion("end", 0.98, "24:00 ends an interval and 00:00 does not appear")
    for column in columns:
        text = plain(table.header[column.index])
        start, end = has_word(text, "start"), has_word(text, "end")
        if start and not end:
            return Conclusion("start", 0.97, f"{table.header[column.index]!r} says {start!r}")
        if end and not start:
            return Conclusion("end", 0.97, f"{table.header[column.index]!r} says {end!r}")
    return None


def _of_stamps(table: Table, stamps: Sequence[TimeColumn], rest: Sequence[TimeColumn]) -> Layout | str:
    instants = [column for column in stamps if column.has_offset]
    others = [column for column in stamps if column not in instants]
    chosen = instants or others
    pair = _pair(table, [(column,) for column in chosen])
    if pair is not None:
        first, last = pair
        used = {first[0].index, last[0].index}
        return _as_pair(table, first, last, [c for c in (*stamps, *rest) if c.index not in used])
    if len(chosen) > 1 and _differ(chosen):
        utc = [column for column in chosen if has_word(plain(table.header[column.index]), "utc")]
        if len(utc) != 1:
            names = ", ".join(repr(table.header[column.index]) for column in chosen)
            return f"{names} all hold times, and nothing says which is that of the reading"
        chosen = utc
    return _base(table, (chosen[0],), [column for column in (*stamps, *rest) if column is not chosen[0]])


def _differ(columns: Sequence[TimeColumn]) -> bool:
    first = columns[0].at(columns[0].orders[0])
    return any(column.at(column.orders[0]) != first for column in columns[1:])


def _pair(
    table: Table, candidates: Sequence[tuple[TimeColumn, ...]]
) -> tuple[tuple[TimeColumn, ...], tuple[TimeColumn, ...]] | None:
    """Two stamps of which one is one step after the other and whose names do not say that they are two clocks."""
    if len(candidates) != 2:
        return None
    layouts = [_base(table, columns) for columns in candidates]
    names = [" ".join(plain(table.header[c.index]) for c in columns) for columns in candidates]
    if any(has_word(name, "clock") for name in names) and names[0] != names[1]:
        return None
    order = layouts[0].orders[0]
    if order not in layouts[1].orders:
        return None
    both = [
        (a, b)
        for a, b in zip(*(layout.seconds[order] for layout in layouts), strict=True)
        if a is not None and b is not None
    ]
    apart = Counter(b - a for a, b in both)
    if not apart:
        return None
    length, count = apart.most_common(1)[0]
    # Days or months: refused, and why is easier to see as a pair.
    if all(length > 0.9 * DAY_S for length in apart):
        return candidates[0], candidates[1]
    said = any(has_word(name, "start") or has_word(name, "end") for name in names)
    step = layouts[0].step_s(order)
    if (
        count < 0.9 * len(both)
        or not 0 < abs(length) < 32 * DAY_S
        or (step and abs(length) != step)
        or not said
    ):
        return None
    return (candidates[0], candidates[1]) if length > 0 else (candidates[1], candidates[0])


def _as_pair(
    table: Table, first: tuple[TimeColumn, ...], last: tuple[TimeColumn, ...], others: Sequence[TimeColumn]
) -> Layout:
    layout = _base(table, first, others)
    both = set(layout.orders) & set(last[0].orders)
    names = f"{table.header[first[0].index]!r} and {table.header[last[0].index]!r}"
    return replace(
        layout,
        formats={order: text for order, text in layout.formats.items() if order in both},
        until=tuple(column.index for column in last),
        ends=Conclusion("start", 1.0, f"{names} are both ends of an interval"),
        why=f"{names} are both ends of an interval",
    )


def _of_dates_and_clocks(
    table: Table, dates: Sequence[TimeColumn], clocks: Sequence[TimeColumn]
) -> Layout | str:
    others = [*dates[1:], *clocks[1:]]
    if len(clocks) == 1:
        if len(dates) > 1 and _differ(dates):
            names = ", ".join(repr(table.header[column.index]) for column in dates)
            return f"{names} all hold dates, and nothing says which is that of the reading"
        return _base(table, (dates[0], clocks[0]), others)
    if len(clocks) == 2 and len(dates) == 2:
        starts, lasts = (dates[0], clocks[0]), (dates[1], clocks[1])
        pair = _pair(table, [starts, lasts])
        if pair is not None:
            return _as_pair(table, pair[0], pair[1], [])
    if len(clocks) == 2 and len(dates) == 1:
        first, last = clocks
        apart = Counter(
            (b.second - a.second) % DAY_S
            for a, b in zip(first.readings, last.readings, strict=True)
            if a and b
        )
        if apart:
            length, count = apart.most_common(1)[0]
            if count >= 0.9 * sum(apart.values()) and 0 < length <= 3600:
                layout = _base(table, (dates[0], first), [last])
                names = f"{table.header[first.index]!r} and {table.header[last.index]!r}"
                return replace(
                    layout, ends=Conclusion("start", 0.98, f"{names} are both ends of an interval")
                )
    return "several columns hold times, and nothing says which is that of the reading"


def _of_positions(table: Table, dates: Sequence[TimeColumn]) -> Layout | None:
    """A date and a column that counts 1..24, 1..48 or 1..96 within it, or the hour of the day from 0 to 23."""
    date = dates[0]
    for index, name in enumerate(table.header):
        if index in {column.index for column in dates}:
            continue
        cells = table.column(index)
        if not all(re.fullmatch(r"\d{1,3}", cell) for cell in cells):
            continue
        numbers = [int(cell) for cell in cells]
        layout = _base(table, (date,), dates[1:])
        if step := _counts(numbers, table.column(date.index)):
            why = f"{name!r} numbers the intervals of the day in {table.header[date.index]!r}"
            seconds = {
                order: _later(layout.seconds[order], [(n - 1) * step * 60 for n in numbers])
                for order in layout.orders
            }
            return replace(
                layout,
                position=index,
                minutes=step,
                seconds=seconds,
                ends=Conclusion("start", 1.0, why),
                why=why,
            )
        if has_word(plain(name), "hour") and min(numbers) == 0 and max(numbers) == 23:
            formats = {
                order: tuple(f"{text} %H" for text in texts) for order, texts in layout.formats.items()
            }
            seconds = {
                order: _later(layout.seconds[order], [n * 3600 for n in numbers]) for order in layout.orders
            }
            return replace(
                layout,
                columns=(date.index, index),
                formats=formats,
                seconds=seconds,
                why=f"{name!r} is the hour",
            )
    return None


def _later(days: Sequence[int | None], seconds: Sequence[int]) -> list[int | None]:
    """Starts of days, each with seconds added."""
    return [None if day is None else day + second for day, second in zip(days, seconds, strict=True)]


def _counts(numbers: Sequence[int], days: Sequence[str]) -> int | None:
    """Interval length if numbers run from 1 on each whole day. [min]"""
    highest: dict[str, int] = {}
    lowest: dict[str, int] = {}
    for number, day in zip(numbers, days, strict=True):
        highest[day] = max(highest.get(day, 0), number)
        lowest[day] = min(lowest.get(day, 999), number)
    inner = list(highest)[: max(len(highest) - 1, 1)]  # the head of a file may cut its last day
    steps = {step_of_positions(highest[day]) for day in inner}
    step = steps.pop() if len(steps) == 1 else None
    return step if step and all(lowest[day] == 1 for day in inner) else None
