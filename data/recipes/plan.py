"""What each column of one file holds: by the recipe, by its name, by the lines above it, or by what the user says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from data.intake.claims import Question, quoted
from data.intake.raw import SAID_UNITS, UNITS, Hints, Kind
from data.recipes.header import Header, normal
from data.recipes.model import CHANNELS, IGNORE, Holds, PreambleRule, Recipe, ValueRule, holds

VALUES = "values"
"""What the columns of times of a wide file are called in questions."""

IN_ANY_CASE = {unit.casefold(): unit for unit in SAID_UNITS if unit != "MW"}
"""Not of "MW": "mw" may be thousandths of a watt."""


def unit_named(text: str) -> str | None:
    """The unit that a text names exactly, in any case; None for any other text."""
    return text.strip() if text.strip() in UNITS else IN_ANY_CASE.get(text.strip().casefold())


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a file is not read."""

    says: str
    code: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the lines above the header say.

    Args:
        unit: Unit of the values, as written.
        zone: Zone or offset of the stamps, as written.
        minutes: Interval length. [min]
        kind: Kind of the values.
        channel: What they hold.
        lacks: What is needed there and is not.
        refused: Why the file is not read.
    """

    unit: str | None = None
    zone: str | None = None
    minutes: int | None = None
    kind: Kind | None = None
    channel: str | None = None
    lacks: str | None = None
    refused: Refused | None = None


def facts_of(rules: Sequence[PreambleRule], lines: Sequence[str]) -> Facts:
    """Look for what a recipe expects above the header."""
    facts = Facts()
    for rule in rules:
        pattern = re.compile(rule.find)
        found = next((match for line in lines if (match := pattern.search(line))), None)
        if found is None:
            if rule.required:
                facts = replace(facts, lacks=f"no line above the header is like {rule.find!r}")
            continue
        if rule.refuse is not None:
            facts = replace(facts, refused=Refused(rule.refuse, rule.code))
        said = {name: text.strip() for name, text in found.groupdict().items() if text and text.strip()}
        if "channel" in said:
            words = {normal(word): channel for word, channel in rule.channels.items()}
            word = said["channel"]
            facts = replace(facts, channel=words.get(normal(word), word if not words else None))
        if said.get("minutes", "").isdigit():
            facts = replace(facts, minutes=int(said["minutes"]))
        if said.get("kind") in ("interval", "counter"):
            facts = replace(facts, kind="counter" if said["kind"] == "counter" else "interval")
        facts = replace(facts, unit=said.get("unit", facts.unit), zone=said.get("zone", facts.zone))
    return facts


@dataclass(frozen=True, slots=True)
class Column:
    """A column of readings, or all columns of times of a wide file.

    Args:
        places: Positions in the file; several of a wide file only.
        rule: What the recipe says.
        label: What the file calls it.
        holds: What it holds; None where words of another column say it.
        words: What it holds by the word of that column, the word as `normal` writes it.
        unit: Its unit; None where another column says it.
        kind: Energy or mean power of an interval, or readings of a counter.
        meter: The home, where the column's name says it.
    """

    places: tuple[int, ...]
    rule: ValueRule
    label: str
    holds: Holds | None
    unit: str | None
    kind: Kind
    meter: str | None = None
    words: Mapping[str, Holds] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read of a file.

    Args:
        columns: Columns of readings.
        questions: What has to be answered before.
        problems: Why it cannot be read at all.
    """

    columns: tuple[Column, ...]
    questions: tuple[Question, ...] = ()
    problems: tuple[Refused, ...] = ()


def plan_of(recipe: Recipe, header: Header, facts: Facts, hints: Hints) -> Plan:
    """Settle what each column of a file holds, and what only the user can say."""
    said = {normal(name): channel for name, channel in hints.channels.items()}
    columns: list[Column] = []
    questions: list[Question] = []
    problems: list[Refused] = []
    for rule in recipe.values:
        wide = not rule.column
        places = header.times if wide else header.columns.get(rule.column, ())
        for group in [places] if wide and places else [(at,) for at in places]:
            label = VALUES if wide else header.name(group[0])
            named = {} if wide else header.groups.get(group[0], {})
            there = None if rule.by else _holds(rule, named, facts, said.get(normal(label)))
            if there is not None and there.name == IGNORE:
                continue
            if not rule.by and there is None:
                questions.append(_asks_channel(label))
            unit, problem = _unit(rule, named, facts, hints)
            if problem:
                problems.append(Refused(f"{label}: {problem}", "unit"))
            elif unit is None and rule.unit_column is None:
                questions.append(_asks_unit(label))
            kind = facts.kind or rule.kind
            if kind == "counter" and unit is not None and UNITS[unit][1]:
                problems.append(Refused(f"{label}: a counter of power, which no counter shows", "unit"))
            columns.append(
                Column(group, rule, label, there, unit, kind, named.get("meter"), _words(rule, said))
            )
    questions += _asks_twice(columns)
    if recipe.stamp.ends is None and hints.stamp is None and not _fixed_ends(recipe, columns):
        questions.append(_asks_stamp(header, recipe))
    return Plan(tuple(columns), tuple(dict.fromkeys(questions)), tuple(dict.fromkeys(problems)))


def _words(rule: ValueRule, said: Mapping[str, str]) -> dict[str, Holds]:
    """What the words of another column choose; what the user says comes first."""
    if rule.by is None:
        return {}
    words = {normal(word): channel for word, channel in rule.channels.items()} | dict(said)
    return {word: there for word, channel in words.items() if (there := holds(channel))}


def _fixed_ends(recipe: Recipe, columns: Sequence[Column]) -> bool:
    """Whether it makes no difference which end a stamp names: counters, numbers of intervals, both ends given."""
    by_position = recipe.stamp.position or (recipe.times and "(?P<position>" in recipe.times)
    both_ends = recipe.stamp.until or "(?P<until>" in (recipe.stamp.pattern or "")
    return bool(by_position or both_ends) or all(column.kind == "counter" for column in columns)


def _holds(rule: ValueRule, named: Mapping[str, str], facts: Facts, said: str | None) -> Holds | None:
    if said is not None:
        return holds(said)
    if rule.channel is not None:
        there = holds(rule.channel)
    elif "channel" in named:
        there = holds(re.sub(r"\W+", "_", named["channel"].casefold()).strip("_"))
    else:
        there = holds(facts.channel) if facts.channel else None
    if there is not None and "part" in named:
        there = replace(there, part=re.sub(r"\W+", "_", named["part"]).strip("_"))
    return there


def _unit(
    rule: ValueRule, named: Mapping[str, str], facts: Facts, hints: Hints
) -> tuple[str | None, str | None]:
    """The unit of a column, or why what the file says is none."""
    if rule.unit is not None or rule.unit_column is not None:
        return rule.unit, None
    text = named.get("unit") or facts.unit
    if text is None:
        return hints.unit, None
    unit = unit_named(text)
    return unit, None if unit else f"the unit {text!r} is none of {', '.join(UNITS)}"


def _asks_twice(columns: Sequence[Column]) -> list[Question]:
    """Two columns cannot be the same channel of one home: the user says which counts, or that they are parts of it."""
    same: dict[tuple[str, str, str | None], list[str]] = {}
    for column in columns:
        if column.holds is not None:
            same.setdefault((column.holds.name, column.holds.part, column.meter), []).append(column.label)
    asked = []
    for (name, _part, _meter), labels in same.items():
        for label in labels if len(labels) > 1 else ():
            others = ", ".join(repr(other) for other in labels if other != label)
            many = "both" if len(labels) == 2 else "all"
            asks = (
                f"{label!r} and {others} are {many} {name}; ignore all but one, or make them parts of it; where each"
                " is of a home, import the file once for each, the others ignored and the home by --map"
            )
            asked.append(
                Question(f"--channel {quoted(label)}", asks, (IGNORE, name, f"{name}.a", f"{name}.b"))
            )
    return asked


def _asks_channel(label: str) -> Question:
    asks = f"the file does not say what {label!r} holds: energy taken from the grid, or fed into it"
    return Question(f"--channel {quoted(label)}", asks, CHANNELS)


def _asks_unit(label: str) -> Question:
    return Question("--unit", f"the file does not say in which unit {label!r} is", SAID_UNITS)


def _asks_stamp(header: Header, recipe: Recipe) -> Question:
    names = " ".join(
        header.name(at) for role in recipe.stamp.column for at in header.columns.get(role, ())[:1]
    )
    return Question(
        "--stamp", f"the file does not say which end of its interval {names!r} names", ("start", "end")
    )
