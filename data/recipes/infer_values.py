"""What the columns of numbers of an unknown table measure: channel, unit, energy or counter, parts and totals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Literal

from data.intake.raw import UNITS
from data.recipes.infer_text import Conclusion
from data.recipes.infer_words import (
    capped,
    has_word,
    is_peak,
    is_total,
    meaning_of,
    part_of,
    plain,
    says_counter,
    unit_in,
)

Measures = Literal["energy", "power", "counter"]
Numbers = Sequence[float | None]

CERTAIN = 0.97
"""A conclusion of this confidence stands without a question."""

LEAST_RISES = 24
LEAST_OF_A_COUNTER = 20
"""A counter has run for at least so many of its largest steps."""

LEAST_SUMS = 6
"""Rows in which a column must be the sum of others before it is called their total."""


ALL_ZERO = "all its numbers are 0"
STILL = "its numbers are all the same"
"""Why a column whose numbers do not move is energy, or cannot be known."""


@dataclass(frozen=True, slots=True)
class Value:
    """A column of readings, or all the columns of times of a wide file.

    Args:
        name: Its header, by which `--channel` names it.
        index: Its number; None for the columns of a wide file.
        channel: What it holds, as a recipe writes it; None where nothing says so.
        unit: Key of `UNITS`; None where the file does not say it.
        measures: Energy or mean power of an interval, or a counter; None where the numbers do not show it.
        unit_in_rows: Whether another column says the unit in each row.
    """

    name: str
    index: int | None
    channel: Conclusion[str | None]
    unit: Conclusion[str | None]
    measures: Conclusion[Measures | None]
    unit_in_rows: bool = False

    @property
    def is_read(self) -> bool:
        """Whether it may hold energy."""
        return self.channel.value != "ignore"


def unit_of(name: str, below: str | None, preamble: Iterable[Sequence[str]]) -> Conclusion[str | None]:
    """The unit of a column: by its name, by the row of units, or by a line above the header; "" for none of energy."""
    for text, where in ((name, "its name"), (below or "", "the row of units")):
        word = unit_in(text)
        if word.name is not None:
            known = word.name if word.name in UNITS else ""
            return Conclusion(known, 0.99, f"{where} says {word.text!r}")
    said: dict[str, bool] = {}
    for row in preamble:
        keyed = any(has_word(plain(cell), "unit") for cell in row)
        for cell in row:
            word = unit_in(cell)
            if word.name in UNITS:
                said[str(word.name)] = said.get(str(word.name), False) or keyed
    if len(said) == 1:
        ((unit, keyed),) = said.items()
        return Conclusion(unit, 0.97 if keyed else 0.9, "a line above the header says so")
    return Conclusion(None, 0.0, "nothing names a unit")


def channel_of(
    name: str, values: Numbers, unit: Conclusion[str | None], words: str = ""
) -> Conclusion[str | None]:
    """What a column holds, by its name, its unit and the signs of its numbers.

    Args:
        name: Its header.
        values: Its numbers.
        unit: Its unit.
        words: What further says of it, such as the name of a wide file's only column.
    """
    if unit.value == "":
        return Conclusion("ignore", 0.98, f"{unit.why}, no unit of energy")
    meaning = meaning_of(name)
    if meaning.channel is None and words:
        meaning = capped(meaning_of(words), 0.9)
    if meaning.channel == "ignore":
        return Conclusion("ignore", meaning.confidence, meaning.why)
    if unit.value in ("W", "kW", "MW") and is_peak(name):
        return Conclusion("ignore", 0.97, "the highest power of an interval is not its mean")
    there = [value for value in values if value is not None]
    if min(there, default=0.0) < 0:
        return _signed(meaning.channel, meaning.confidence, meaning.why, max(there) > 0)
    return Conclusion(meaning.channel, meaning.confidence, meaning.why)


def _signed(channel: str | None, confidence: float, why: str, both: bool) -> Conclusion[str | None]:
    """A column with numbers below 0: which sign means which direction, its name cannot say for certain."""
    if channel == "net" or (both and channel in (None, "import", "load")):
        return Conclusion("net", 0.8 if channel else 0.5, "its numbers have both signs; which one is import?")
    if channel is None:
        return Conclusion(None, 0.0, "its numbers are below 0")
    if both:
        return Conclusion(None, 0.0, f"{why}, but its numbers have both signs")
    return Conclusion(f"-{channel}", min(confidence, 0.96), f"{why}, with the sign turned")


def measure_of(name: str, series: Sequence[Numbers], unit: str | None) -> Conclusion[Measures | None]:
    """Whether numbers are energy, power or readings of a counter.

    Args:
        name: Header of the column.
        series: Its numbers in the order of time, one sequence for each home and register.
        unit: Key of `UNITS`, where known.
    """
    if unit in ("W", "kW", "MW"):
        return Conclusion("power", 0.98, f"{unit} is a unit of power")
    rises = falls = 0
    largest, lowest, highest = 0.0, float("inf"), 0.0
    for numbers in series:
        there = [value for value in numbers if value is not None]
        steps = [b - a for a, b in pairwise(there)]
        rises += sum(step > 0 for step in steps)
        falls += sum(step < 0 for step in steps)
        largest = max([largest, *steps])
        lowest, highest = min([lowest, *there]), max([highest, *there])
    word = says_counter(name)
    if falls >= 2 and falls * 10 >= rises + falls:
        if word:
            return Conclusion(
                None, 0.0, f"its name says {word!r}, but its numbers fall in {falls} of {rises + falls} steps"
            )
        return Conclusion(
            "energy", 0.98, f"its numbers fall in {falls} of {rises + falls} steps, as no counter does"
        )
    if word and rises >= 2 and not falls:
        return Conclusion("counter", 0.97, f"its name says {word!r} and its numbers never fall")
    if rises >= LEAST_RISES and not falls and lowest >= LEAST_OF_A_COUNTER * largest > 0:
        return Conclusion("counter", 0.98, f"its numbers rise {rises} times from {lowest:g} and never fall")
    if rises >= LEAST_RISES and falls * 50 <= rises:
        return Conclusion("counter", 0.9, f"its numbers rise {rises} times and fall {falls} times")
    if not rises and not falls and highest == 0:
        return Conclusion("energy", 0.97, ALL_ZERO)
    if not rises and not falls:
        return Conclusion(None, 0.0, STILL)
    return Conclusion(None, 0.0, f"its numbers rise {rises} and fall {falls} times, too few to be certain")


def like_the_others(values: Sequence[Value]) -> list[Value]:
    """Give a column whose numbers do not move the kind of the others of its unit, where these agree."""
    found = []
    for value in values:
        sure = {
            other.measures.value
            for other in values
            if other is not value and other.unit.value == value.unit.value and other.measures.confidence >= CERTAIN
            and other.measures.why != ALL_ZERO
        }  # fmt: skip
        if len(sure) == 1 and value.is_read:
            (kind,) = sure
            zero = value.measures.why == ALL_ZERO
            if zero or (value.measures.why == STILL and kind == "counter"):
                found.append(
                    replace(value, measures=Conclusion(kind, 0.97, "as the other columns of its unit"))
                )
                continue
        found.append(value)
    return found


def _key(channel: str | None) -> str:
    return (channel or "").lstrip("-").split(".")[0]


def with_pairs(conclusions: Mapping[str, Conclusion[str | None]]) -> dict[str, Conclusion[str | None]]:
    """Raise the confidence of import and export where a table names both: each is what the other is not."""
    named = {_key(c.value) for c in conclusions.values() if c.confidence >= 0.94}
    found = dict(conclusions)
    if {"import", "export"} <= named:
        for name, c in conclusions.items():
            if (
                _key(c.value) in ("import", "export")
                and 0.94 <= c.confidence < CERTAIN
                and not (c.value or "").startswith("-")
            ):
                found[name] = replace(c, confidence=CERTAIN, why=f"{c.why}, beside the other direction")
    return found


def without_totals(values: Sequence[Value], columns: Mapping[str, Numbers]) -> list[Value]:
    """Leave out columns that sum others of the same meaning, and ask of one whose name says so."""
    found = list(values)
    for i, value in enumerate(values):
        if not value.is_read or value.index is None:
            continue
        others = [
            v
            for v in values
            if v is not value and v.is_read and v.unit.value == value.unit.value and v.index is not None
        ]
        alike = [
            v
            for v in others
            if _key(v.channel.value) == _key(value.channel.value)
            or value.channel.value is None
            or is_total(value.name)
        ]
        parts = _sum_of(columns[value.name], {v.name: columns[v.name] for v in alike})
        if parts:
            why = f"it is the sum of {' and '.join(map(repr, parts))} in every row"
            found[i] = replace(value, channel=Conclusion("ignore", 0.98, why))
        elif is_total(value.name) and alike:
            found[i] = replace(value, channel=Conclusion("ignore", 0.9, "its name says that it sums others"))
    return found


def _sum_of(total: Numbers, others: Mapping[str, Numbers]) -> tuple[str, ...]:
    """Names of at least two columns that a column is the sum of in every row; () where there are none."""
    names = list(others)[:8]
    for size in range(len(names), 1, -1):
        for some in combinations(names, size):
            if _sums(total, [others[name] for name in some]):
                return some
    return ()


def _sums(total: Numbers, parts: Sequence[Numbers]) -> bool:
    """Whether a column is the sum of others; what rounding may add is allowed, and enough rows must show it."""
    shown = 0
    for row in zip(total, *parts, strict=True):
        if any(cell is None for cell in row):
            continue
        first, *rest = (float(cell or 0.0) for cell in row)
        grain = 1.0 if all(cell.is_integer() for cell in (first, *rest)) else 0.001
        if abs(first - sum(rest)) > 1e-6 + 0.6 * grain * len(rest):
            return False
        shown += sum(cell != 0 for cell in rest) > 1
    return shown >= LEAST_SUMS


def balanced(values: Sequence[Value], columns: Mapping[str, Numbers]) -> list[Value]:
    """Confirm import, export, production and load where load = import - export + pv in every row."""
    by: dict[str, list[Value]] = {}
    for value in values:
        if value.is_read and value.index is not None:
            by.setdefault(_key(value.channel.value), []).append(value)
    exports, productions = by.get("export", []), by.get("pv", [])
    taken = [*by.get("import", []), *by.get("load", [])]
    if len(exports) != 1 or len(productions) != 1 or len(taken) != 2:
        return list(values)
    for grid, load in ((taken[0], taken[1]), (taken[1], taken[0])):
        order = (load, grid, exports[0], productions[0])
        if _balances([columns[value.name] for value in order]):
            roles = dict(
                zip((value.name for value in order), ("load", "import", "export", "pv"), strict=True)
            )
            why = "consumption = import - export + production in every row"
            return [
                replace(v, channel=Conclusion(roles[v.name], 0.98, why)) if v.name in roles else v
                for v in values
            ]
    return list(values)


def _balances(columns: Sequence[Numbers]) -> bool:
    """Whether load = import - export + pv, and enough rows show each of them."""
    shown = [0, 0, 0, 0]
    for row in zip(*columns, strict=True):
        if any(cell is None for cell in row):
            continue
        load, taken, given, made = (float(cell or 0.0) for cell in row)
        grain = 1.0 if all(cell == int(cell) for cell in (load, taken, given, made)) else 0.001
        if abs(load - (taken - given + made)) > 1e-6 + 2 * grain:
            return False
        shown = [count + (cell != 0) for count, cell in zip(shown, (load, taken, given, made), strict=True)]
    return min(shown) >= LEAST_SUMS


def with_parts(conclusions: Mapping[str, Conclusion[str | None]]) -> dict[str, Conclusion[str | None]]:
    """Distinguish the parts of a channel by their names; where names do not, nothing is certain."""
    found = dict(conclusions)
    groups: dict[str, list[str]] = {}
    for name, c in conclusions.items():
        if c.value not in (None, "ignore"):
            groups.setdefault(str(c.value), []).append(name)
    for channel, names in groups.items():
        if len(names) < 2:
            continue
        parts = {name: _part(name, names) for name in names}
        apart = len(set(parts.values())) == len(names) and all(parts.values())
        for name in names:
            c = conclusions[name]
            if apart:
                found[name] = replace(c, value=f"{channel}.{parts[name]}")
            else:
                others = " and ".join(repr(other) for other in names if other != name)
                found[name] = Conclusion(
                    c.value,
                    min(c.confidence, 0.6),
                    f"{c.why}, but so does {others}: parts, or the same twice?",
                )
    return found


def in_two_ways(values: Sequence[Value]) -> list[Value]:
    """Make nothing certain of a channel of which there is energy and power: the same thing twice."""
    ways: dict[str, set[object]] = {}
    for value in values:
        if value.is_read:
            ways.setdefault(_key(value.channel.value), set()).add(value.measures.value == "power")
    return [
        replace(
            v,
            channel=replace(
                v.channel, confidence=min(v.channel.confidence, 0.6), why=f"{v.channel.why}, twice"
            ),
        )
        if v.is_read and v.channel.value and len(ways[_key(v.channel.value)]) > 1
        else v
        for v in values
    ]


def _part(name: str, names: Sequence[str]) -> str:
    """The mark of a part, without what all names have."""
    marks = {other: part_of(re.sub(r" \(\d+\)$", "", other)).split("_") for other in names}
    mine, common = marks[name], set.intersection(*map(set, marks.values()))
    left = [mark for mark in mine if mark not in common and mark]
    return re.sub(r"\W", "_", "_".join(left))
