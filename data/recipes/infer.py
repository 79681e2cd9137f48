"""From the head of an unknown table to what it says, how sure that is and why, and what only its owner can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from data.intake.claims import Question
from data.intake.raw import UNITS, DateOrder, Hints
from data.intake.steps import SPREAD
from data.recipes.infer_asks import Asker
from data.recipes.infer_columns import Decimal, Texts, calendar, decimal_of, numeric, texts_of, values_of
from data.recipes.infer_layout import NO_TIMES, Layout, layout_of, layout_of_days, times_of
from data.recipes.infer_table import Table, is_empty, table_of
from data.recipes.infer_text import Conclusion, Grid
from data.recipes.infer_values import (
    Numbers,
    Value,
    balanced,
    channel_of,
    in_two_ways,
    like_the_others,
    measure_of,
    unit_of,
    without_totals,
)
from data.recipes.infer_words import meaning_of, plain, says_never, unit_in
from data.recipes.plan import VALUES
from data.recipes.stamps import DAY_S

MOST_COLUMNS = 200
MOST_VALUES = 60
"""With more columns of numbers, a question about each would be too many."""

FINER = "ask for the readings of each hour or quarter of an hour"

LEAST_BREAKS = 2
"""An order of day and month in which days do not follow each other at least so often is not proposed."""


@dataclass(frozen=True, slots=True)
class NoTable:
    """Why a file is no table of readings.

    Args:
        code: Short name of the finding.
        why: One sentence.
    """

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Inferred:
    """What the head of a table says.

    Args:
        grid: Its rows.
        table: Where the table lies.
        layout: When a reading was taken.
        order: Of day, month and year; None where it has to be asked.
        ends: Which end of its interval a stamp names; None where it has to be asked.
        zone: Of local stamps; None where it has to be asked, "" where stamps are instants.
        decimal: How numbers are written.
        texts: Columns of texts.
        values: Columns of readings, those that are not read among them.
        words: Channel of each word of the register column.
        ignored: Further columns that are not read, with the reason.
        questions: What is open.
        refusals: Why the file is not read: code and sentence.
        answers: What the user, or `--yes`, added, by the option.
    """

    grid: Grid
    table: Table
    layout: Layout
    order: DateOrder | None
    ends: Conclusion[str | None]
    zone: Conclusion[str | None]
    decimal: Decimal
    texts: Texts
    values: tuple[Value, ...]
    words: Mapping[str, Conclusion[str | None]]
    ignored: Mapping[str, str]
    questions: tuple[Question, ...]
    refusals: tuple[NoTable, ...]
    answers: Mapping[str, str]

    @property
    def read(self) -> tuple[Value, ...]:
        """The columns that are read, or would be once the questions are answered."""
        return tuple(value for value in self.values if value.is_read)


def infer(grid: Grid, hints: Hints) -> Inferred | NoTable:
    """Say what a table holds, and ask for what it leaves open and `hints` does not answer."""
    table = table_of(grid)
    if table is None:
        return NoTable("no_table", "no rows of a date and a number follow each other in it")
    if table.wide is None and len(table.header) > MOST_COLUMNS:
        return NoTable("no_header", f"{len(table.header)} columns, and no header of times says what they are")
    times = times_of(table)
    layout = layout_of(table, times)
    asker = Asker(hints)
    if layout == NO_TIMES:
        layout = layout_of_days(table, times) or layout
    if isinstance(layout, str):
        if layout == NO_TIMES:
            return NoTable("daily", f"{layout}; {FINER}")
        return NoTable("no_stamp", layout)
    order = _order(layout, asker)
    seconds = layout.seconds[order or layout.orders[0]]
    if table.wide is None and _ends_at_midnight(seconds, layout.step_s(order or layout.orders[0])):
        why = "00:00 comes after the last time of its own date, so it means the next day; write it as 24:00"
        return NoTable("no_stamp", why)
    used = {*layout.columns, *layout.until, *layout.others, *times}
    used |= {layout.position} if layout.position is not None else set()
    wide = set(table.wide.columns) if table.wide else set()
    numbers = {i for i in range(len(table.header)) if i not in used | wide and _is_numeric(table, i)}
    if len(numbers) > MOST_VALUES:
        return NoTable(
            "no_header", f"{len(numbers)} columns of numbers, and no header of times says what they are"
        )
    texts = texts_of(table, used | wide, numbers, seconds if not wide else range(len(table.rows)))
    numbers -= {i for i in (texts.meter, texts.register, texts.unit, texts.quality) if i is not None}
    decimal = decimal_of([table.column(i) for i in sorted(numbers | wide) if _may_hold(table, i)])
    columns = {i: values_of(table.column(i), decimal) for i in sorted(numbers)}
    ignored = _ignored(table, numbers | wide | used, texts, columns)
    numbers -= {i for i in numbers if table.header[i] in ignored}
    values = _values(table, texts, numbers, columns, decimal, seconds)
    values = _about(
        values, " ".join([grid.name, grid.sheet or "", *(cell for row in table.preamble for cell in row)])
    )
    words = _words(table, texts)
    values, words = asker.channels(values, words)
    values = asker.units(values, texts)
    values = asker.kinds(values)
    asker.whole(grid, table, decimal, texts)
    refusals = () if hints.profile is not None else _too_coarse(layout, order or layout.orders[0], values)
    refusals = refusals or _without_energy(values, words, texts, table)
    ends = asker.ends(layout, values, seconds)
    zone = asker.zone(layout, table)
    return Inferred(
        grid, table, layout, order, ends, zone, decimal, texts, tuple(values), words, ignored,
        tuple(asker.questions), refusals, asker.answers,
    )  # fmt: skip


def _ends_at_midnight(seconds: Sequence[int | None], step: int) -> bool:
    """Whether 00:00 is written with the date of the day that it ends: after the other times of that date."""
    if not 0 < step < DAY_S // 2:
        return False
    begun: dict[int, int] = {}
    for before, now in pairwise(second for second in seconds if second is not None):
        begun.setdefault(before // DAY_S, before % DAY_S)
        if now % DAY_S == 0 and before - now == DAY_S - step and begun[now // DAY_S]:
            return True
    return False


def _is_numeric(table: Table, index: int) -> bool:
    """Whether a column holds numbers, or none yet and its name is that of one which may hold some further down."""
    cells, name = table.column(index), table.header[index]
    named = unit_in(name).name in UNITS or meaning_of(name).channel not in (None, "ignore")
    if all(is_empty(cell) for cell in cells):
        return named
    # A column of readings with some texts is not left out without a word: each of them becomes an error by line.
    return numeric(cells, 0.5 if named else 0.98)


def _may_hold(table: Table, index: int) -> bool:
    return meaning_of(table.header[index]).channel != "ignore" and unit_in(table.header[index]).name != ""


def _order(layout: Layout, asker: Asker) -> DateOrder | None:
    if len(layout.orders) == 1:
        return layout.orders[0]
    breaks = {order: layout.breaks(order) for order in layout.orders}
    best = min(layout.orders, key=lambda order: breaks[order])
    others = [count for order, count in breaks.items() if order != best]
    sure = min(others) >= LEAST_BREAKS and breaks[best] * 5 <= min(others)
    example = {"dmy": "day, month, year", "mdy": "month, day, year", "ymd": "year, month, day"}[best]
    why = f"as {example} its days follow each other without gaps"
    question = Question(
        "--dates", "the order of day and month can be read in more than one way in all rows", layout.orders,
        best if sure else None, 0.96 if sure else 0.0, why if sure else "",
    )  # fmt: skip
    answer = asker.settle("dates", question, asker.hints.dates)
    return answer if answer in layout.orders else None


def _too_coarse(layout: Layout, order: DateOrder, values: Sequence[Value]) -> tuple[NoTable, ...]:
    """Refuse days and months, and say how they can be imported all the same where they are totals of energy."""
    step = layout.step_s(order)
    if layout.minutes is not None or step < DAY_S * 0.9:
        return ()
    what = "daily" if step < 20 * DAY_S else "monthly"
    # Neither a peak nor a counter is a total.
    totals = [v for v in values if v.is_read and v.measures.value not in ("counter", "power")]
    return (NoTable("daily", f"its rows are {what} values; {FINER}{f', or {SPREAD}' if totals else ''}"),)


def _ignored(table: Table, known: set[int], texts: Texts, columns: Mapping[int, Numbers]) -> dict[str, str]:
    """Columns that are not read, by header, with the reason."""
    found = {}
    roles = (texts.meter, texts.register, texts.unit, texts.quality)
    for i, name in enumerate(table.header):
        if i in columns:
            if of_calendar := calendar(name, columns[i]):
                found[name] = of_calendar.why
        elif i not in known and i not in roles:
            found[name] = "it holds texts" if any(table.column(i)) else "it is empty"
    return found


def _values(
    table: Table, texts: Texts, numbers: set[int], columns: Mapping[int, Numbers], decimal: Decimal,
    seconds: Sequence[int | None],
) -> list[Value]:  # fmt: skip
    groups = _series(table, texts, seconds)
    found = []
    title = " ".join(cell for row in table.preamble for cell in row)
    if table.wide:
        cells = {
            r: values_of([table.rows[r][i] for i in table.wide.columns], decimal)
            for r in range(len(table.rows))
        }
        series = [[value for r in group for value in cells[r]] for group in groups]
        there = [value for numbers_ in series for value in numbers_]
        unit, in_rows = _unit(table, texts, None)
        name_words = table.preamble[-1][0] if table.preamble and table.preamble[-1] else ""
        channel = channel_of("", there, unit, name_words)
        found.append(Value(VALUES, None, channel, unit, measure_of("", series, unit.value), in_rows))
    for i in sorted(numbers):
        name = table.header[i]
        unit, in_rows = _unit(table, texts, i)
        alone = title if len(numbers) == 1 else ""
        channel = channel_of(name, columns[i], unit, alone)
        series = [[columns[i][r] for r in group] for group in groups]
        found.append(Value(name, i, channel, unit, measure_of(name, series, unit.value), in_rows))
    by_name = {value.name: columns[value.index] for value in found if value.index is not None}
    found = balanced(without_totals(found, by_name), by_name)
    if texts.mixed and not texts.apart:
        found = [_of_mixed(value) for value in found]
    return in_two_ways(like_the_others(found))


def _of_mixed(value: Value) -> Value:
    """A column of which it is not known which rows follow each other."""
    if value.measures.value == "power":
        return value
    return replace(
        value, measures=Conclusion(None, 0.0, "several rows have the same time, and nothing says why")
    )


def _about(values: Sequence[Value], title: str) -> list[Value]:
    """Make nothing certain in a file whose name or title speaks of gas, water or heat."""
    stem = says_never(plain(title), "gas", "water", "heat")
    if stem is None:
        return list(values)
    doubt: Conclusion[str | None] = Conclusion(
        "ignore", 0.9, f"the name or the title of the file says {stem!r}"
    )
    return [replace(v, channel=doubt) if v.is_read else v for v in values]


def _unit(table: Table, texts: Texts, index: int | None) -> tuple[Conclusion[str | None], bool]:
    """The unit of a column, and whether another column says it in each row."""
    name = table.header[index] if index is not None else ""
    below = table.units[index] if table.units and index is not None and index < len(table.units) else None
    unit = unit_of(name, below, table.preamble)
    if texts.unit is None or unit.value is not None:
        return unit, False
    words = {unit_in(cell).name for cell in table.column(texts.unit) if cell} - {None}
    energy = {word for word in words if word in UNITS}
    if not energy:
        why = f"{table.header[texts.unit]!r} says {table.column(texts.unit)[0]!r}"
        return Conclusion("", 0.98, why), False
    one = energy.pop() if len(energy) == 1 else "kWh"  # the engine turns several units into kWh
    return Conclusion(one, 0.98, f"{table.header[texts.unit]!r} says it in each row"), True


def _series(table: Table, texts: Texts, seconds: Sequence[int | None]) -> list[list[int]]:
    """Rows of each home and register in the order of time."""
    groups: dict[tuple[str, ...], list[int]] = {}
    keys = [*(i for i in (texts.meter, texts.register) if i is not None), *texts.apart]
    for r, row in enumerate(table.rows):
        groups.setdefault(tuple(row[i] for i in keys), []).append(r)
    return [sorted(rows, key=lambda r: (seconds[r] is None, seconds[r] or 0)) for rows in groups.values()]


def _words(table: Table, texts: Texts) -> dict[str, Conclusion[str | None]]:
    if texts.register is None:
        return {}
    words = dict.fromkeys(table.column(texts.register))
    found: dict[str, Conclusion[str | None]] = {}
    for word in words:
        meaning = meaning_of(word)
        found[word] = Conclusion(
            meaning.channel, meaning.confidence, meaning.why.replace("its name", "the word")
        )
    return found


def _without_energy(
    values: Sequence[Value], words: Mapping[str, Conclusion[str | None]], texts: Texts, table: Table
) -> tuple[NoTable, ...]:
    if texts.register is not None and words and all(c.value == "ignore" for c in words.values()):
        reasons = "; ".join(f"{word!r}: {c.why}" for word, c in words.items())
        return (NoTable("no_energy", f"no row holds electric energy ({reasons})"),)
    if any(value.is_read for value in values):
        return ()
    if not values:
        return (NoTable("no_energy", "no column of numbers is left beside the times"),)
    reasons = "; ".join(f"{value.name!r}: {value.channel.why}" for value in values)
    return (NoTable("no_energy", f"no column holds electric energy ({reasons})"),)
