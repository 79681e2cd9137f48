"""Recipes as TOML: every mistake is reported at once, by its key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data import clock
from data.errors import InvalidRecipe, UnknownZone
from data.intake.raw import UNITS
from data.recipes import model
from data.recipes.model import BLOCK, CONTRACT, IGNORE, Recipe
from data.recipes.write import recipe_to_toml as recipe_to_toml
from market.errors import did_you_mean
from market.interval import ALLOWED_MINUTES

Check = Callable[[Any], Any]
"""Returns a value as the model has it; raises `ValueError` with what it must be."""

STAMP_WORDS = ("iso", "epoch_s", "epoch_ms", "excel")
LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pt")
PREAMBLE_GROUPS = ("unit", "zone", "minutes", "kind", "channel")
CLOCK = re.compile(r"local|standard|asked|[+-]\d\d:\d\d")


def recipe_from_toml(text: str) -> Recipe:
    """Read a recipe.

    Raises:
        InvalidRecipe: Names every mistake and its key.
    """
    try:
        said = tomllib.loads(text)
    except RecursionError as problem:
        raise InvalidRecipe(["it is nested too deeply; a recipe is a few flat tables"]) from problem
    except ValueError as problem:  # no TOML, or an integer of more digits than are converted
        raise InvalidRecipe([f"it is no TOML: {problem}"]) from problem
    problems: list[str] = []
    contract = said.pop("contract", None)
    if contract != CONTRACT:
        problems.append(f"contract = {contract!r}: write contract = {CONTRACT}")
    values = _table(said, RECIPE, "", problems)
    columns = said.get("columns")
    if isinstance(columns, dict):
        values["columns"], values["ignore"] = _columns(columns, problems)
    if not problems:
        recipe = Recipe(**values)
        problems += _across(recipe)
        if not problems:
            return recipe
    raise InvalidRecipe(problems)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a table: how its value is checked, the field it fills, and whether it must be there."""

    check: Check
    field: str = ""
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a recipe: its keys, and the class that holds it."""

    keys: Mapping[str, Key]
    makes: Callable[..., Any] | None = None
    many: bool = False


def _table(said: Mapping[str, Any], table: Table, where: str, problems: list[str]) -> dict[str, Any]:
    """Check a table; what is wrong goes into `problems`, the rest is returned by field."""
    values = {}
    for name, value in said.items():
        place = f"{where}{name}"
        if name in table.keys:
            key = table.keys[name]
            try:
                values[key.field or name] = key.check(value)
            except ValueError as problem:
                problems.append(f"{place} = {_shown(value)}: {problem}")
        elif not where and name in TABLES:
            inner = TABLES[name]
            found = _tables(value, inner, name, problems)
            if inner.makes is not None:
                values[_FIELDS.get(name, name)] = found
        else:
            known = [*table.keys, *([] if where else TABLES)]
            problems.append(f"{place}: no such key.{did_you_mean(name, known)}")
    for name, key in table.keys.items():
        if key.needed and name not in said:
            problems.append(f"{where}{name} is missing")
    if not where:
        problems += [f"[{name}] is missing" for name in ("columns", "stamp", "value") if name not in said]
    return values


def _tables(value: Any, table: Table, name: str, problems: list[str]) -> Any:
    """One table, or all of an array of tables."""
    if name == "columns":
        return None
    if table.many:
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            problems.append(f"{name} must be written [[{name}]], once for each")
            return ()
        return tuple(_one(one, table, f"{name}[{i}].", problems) for i, one in enumerate(value, 1))
    if not isinstance(value, dict):
        problems.append(f"{name} must be a table [{name}]")
        return None
    if name in ("times", "meter"):
        return _table(value, table, f"{name}.", problems).get("pattern" if name == "times" else "column")
    return _one(value, table, f"{name}.", problems)


def _one(said: Mapping[str, Any], table: Table, where: str, problems: list[str]) -> Any:
    before = len(problems)
    values = _table(said, table, where, problems)
    return table.makes(**values) if table.makes and len(problems) == before else None


def _columns(
    said: Mapping[str, Any], problems: list[str]
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    columns: dict[str, tuple[str, ...]] = {}
    for role, headers in said.items():
        try:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", role):
                raise ValueError("a name is written in small letters, digits and _")
            columns[role] = _headers(headers)
        except ValueError as problem:
            problems.append(f"columns.{role} = {_shown(headers)}: {problem}")
    return columns, columns.pop(IGNORE, ())


def _across(recipe: Recipe) -> Iterator[str]:
    """What is wrong with a recipe as a whole: roles that no column has, channels that nothing says."""
    used: list[tuple[str, str | None]] = [("stamp.column", role) for role in recipe.stamp.column]
    used += [("stamp.until", role) for role in recipe.stamp.until]
    used += [("stamp.position", recipe.stamp.position), ("meter.column", recipe.meter)]
    used += [("stamp.minutes_column", recipe.stamp.minutes_column)]
    used += [("quality.column", recipe.quality.column if recipe.quality else None)]
    used += [("rows.only", role) for role in recipe.rows.only]
    used += [("rows.refuse", refusal.column) for refusal in recipe.rows.refuse]
    for i, value in enumerate(recipe.values, 1):
        where = f"value[{i}]."
        used += [(f"{where}column", value.column or None), (f"{where}unit_column", value.unit_column)]
        used += [(f"{where}by", value.by), (f"{where}factor_column", value.factor_column)]
        if not value.column and recipe.times is None:
            yield f"{where}column is missing; only a wide file, with [times], has none"
        if value.unit and value.unit_column:
            yield f"{where}unit and {where}unit_column: give one of them"
        if value.channel and (value.by or value.channels):
            yield f"{where}channel and {where}by: give one of them"
        if value.by and not value.channels:
            yield f"{where}channels is missing: the channel of each word of {value.by!r}"
        if value.channels and not value.by:
            yield f"{where}by is missing: the column whose words {where}channels has"
        if value.read_after and value.kind != "counter":
            yield f'{where}read_after: only a counter is read; write kind = "counter"'
        if value.kind == "counter" and value.unit and UNITS[value.unit][1]:
            yield f"{where}unit = {value.unit!r}: power, which no counter shows"
    for where, role in used:
        if role is not None and role not in recipe.columns and (role != BLOCK or recipe.blocks is None):
            yield f"{where} = {role!r}: no such name in [columns].{did_you_mean(role, recipe.columns)}"
    if recipe.stamp.position and not recipe.stamp.minutes:
        yield "stamp.minutes is missing: the length of the intervals that stamp.position counts"
    if recipe.times and "position" in re.compile(recipe.times).groupindex and not recipe.stamp.minutes:
        yield "stamp.minutes is missing: the length of the intervals that times.pattern counts"
    if recipe.stamp.minutes_column and (recipe.stamp.minutes or recipe.stamp.until or recipe.times):
        yield "stamp.minutes_column: give one of it, minutes and until; a wide file has none"
    if recipe.stamp.clock == "asked" and recipe.zone:
        yield 'stamp.clock = "asked" and zone: the answer is the zone; leave it out'
    if recipe.file.header and recipe.preamble:
        yield "file.header and [[preamble]]: a file without a header has no lines above it"
    if recipe.blocks is not None and recipe.file.header:
        yield "file.header and [blocks]: a file without a header is not read in blocks"
    if recipe.blocks is not None and BLOCK in recipe.columns:
        yield f"columns.{BLOCK}: [blocks] makes a column of that name; call yours otherwise"
    if recipe.blocks is not None and all(value.by != BLOCK for value in recipe.values):
        yield f'[blocks] is used by no column: write by = "{BLOCK}" in a [[value]]'
    if recipe.file.thousands == recipe.file.decimal:
        yield f"file.thousands = {recipe.file.thousands!r}: that is the decimal sign"
    if recipe.totals and recipe.refuse is None:
        yield "totals: it is of a layout that is not read otherwise; say why in refuse"
    yield from _held_twice(recipe)
    if recipe.meter is None and recipe.meters != "none" and not _names_meters(recipe):
        yield f'meters = {recipe.meters!r}: [meter] column is missing, or say meters = "none"'
    if recipe.meter is not None and recipe.meters == "none":
        yield 'meter.column: say meters = "name" or "id"'


def _held_twice(recipe: Recipe) -> Iterator[str]:
    """Channels that several columns would hold, so that one of them would be lost."""
    of_column = [value.channel for value in recipe.values if value.channel not in (None, IGNORE)]
    for channel in sorted({c for c in of_column if c and of_column.count(c) > 1}):
        yield f"channel = {channel!r}: two columns hold it; give each a part, as in {channel + '.a'!r}"


def _names_meters(recipe: Recipe) -> bool:
    return any("(?P<meter>" in header for headers in recipe.columns.values() for header in headers)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write a text in quotes")
    return value


def _anything(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("write a text in quotes")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("write true or false")
    return value


def _choice(*choices: Any) -> Check:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or value not in choices:
            hint = (
                did_you_mean(value, [c for c in choices if isinstance(c, str)])
                if isinstance(value, str)
                else ""
            )
            raise ValueError(f"write one of {', '.join(map(json.dumps, choices))}.{hint}")
        return value

    return check


def _several(check: Check) -> Check:
    def several(value: Any) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError("write at least one")
        return tuple(check(one) for one in values)

    return several


def _pattern(value: Any) -> str:
    try:
        re.compile(_text(value))
    except (re.error, OverflowError, RecursionError) as problem:
        raise ValueError(f"no pattern: {problem}") from problem
    return str(value)


def _headers(value: Any) -> tuple[str, ...]:
    headers: tuple[str, ...] = _several(_text)(value)
    for header in headers:
        if len(header) > 2 and header[0] == header[-1] == "/":
            _pattern(header[1:-1])
    return headers


def _block(value: Any) -> str:
    if "word" not in re.compile(_pattern(value)).groupindex:
        raise ValueError("it needs a group (?P<word>..)")
    return str(value)


def _times(value: Any) -> str:
    groups = re.compile(_pattern(value)).groupindex
    if ("time" in groups) == ("position" in groups):
        raise ValueError("it needs one group (?P<time>..) or (?P<position>..)")
    return str(value)


def _stamp_pattern(value: Any) -> str:
    groups = set(re.compile(_pattern(value)).groupindex)
    if "time" not in groups or groups - {"time", "until"}:
        raise ValueError("it needs a group (?P<time>..), and has no other than (?P<until>..)")
    return str(value)


def _preamble(value: Any) -> str:
    unknown = set(re.compile(_pattern(value)).groupindex) - set(PREAMBLE_GROUPS)
    if unknown:
        raise ValueError(f"the groups {', '.join(sorted(unknown))} are none of {', '.join(PREAMBLE_GROUPS)}")
    return str(value)


def _zone(value: Any) -> str:
    try:
        clock.zone_named(_text(value))
    except UnknownZone as problem:
        raise ValueError(str(problem)) from problem
    return str(value)


def _stamp_format(value: Any) -> str:
    if value in STAMP_WORDS or (isinstance(value, str) and "%" in value):
        return str(value)
    hint = did_you_mean(value, STAMP_WORDS) if isinstance(value, str) else ""
    raise ValueError(f'write a layout such as "%d/%m/%Y %H:%M", or one of {", ".join(STAMP_WORDS)}.{hint}')


def _clock(value: Any) -> str:
    if not CLOCK.fullmatch(_text(value)):
        raise ValueError('write "local", "standard", "asked" or an offset such as "+10:00"')
    return str(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value == 0 or value != value:
        raise ValueError("write a number that is not 0")
    return float(value)


def _encoding(value: Any) -> str:
    try:
        "".encode(_text(value))
    except LookupError as problem:
        raise ValueError('write the name of an encoding such as "cp1252"') from problem
    return str(value)


def _one_sign(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 1:
        raise ValueError("write one sign in quotes")
    return value


def _channel(value: Any) -> str:
    if not isinstance(value, str) or model.holds(value) is None:
        hint = did_you_mean(value, (*model.CHANNELS, "battery")) if isinstance(value, str) else ""
        raise ValueError(f'write a channel as in "import", "export.night", "-net" or "ignore".{hint}')
    return value


def _mapping(check: Check) -> Check:
    def mapping(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            raise ValueError('write { "word" = .. }')
        return {name: check(one) for name, one in value.items()}

    return mapping


def _refusals(value: Any) -> tuple[model.Refusal, ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError("write [{ column = .., words = [..], says = .. }]")
    problems: list[str] = []
    found = [_one(one, REFUSAL, f"refuse[{i}].", problems) for i, one in enumerate(value, 1)]
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(found)


_ROLE, _WORDS = _text, _several(_anything)
_QUALITY = ("measured", "estimated", "missing")

REFUSAL = Table(
    {"column": Key(_ROLE, needed=True), "words": Key(_WORDS, needed=True), "says": Key(_text, needed=True)}
    | {"code": Key(_text)},
    model.Refusal,
)
TABLES: dict[str, Table] = {
    "columns": Table({}),
    "file": Table(
        {
            "encoding": Key(_encoding),
            "separator": Key(_one_sign),
            "decimal": Key(_choice(".", ",")),
            "thousands": Key(_one_sign),
            "header": Key(_several(_anything)),
            "units_row": Key(_flag),
            "end": Key(_pattern),
            "skip": Key(_pattern),
            "sheet": Key(_text),
            "nameless": Key(_flag),
            "folder": Key(_flag),
        },
        model.FileRule,
    ),
    "stamp": Table(
        {
            "column": Key(_several(_ROLE), needed=True),
            "format": Key(_several(_stamp_format)),
            "language": Key(_choice(*LANGUAGES)),
            "is": Key(_choice("start", "end"), "ends"),
            "until": Key(_several(_ROLE)),
            "until_is": Key(_choice("end", "last_day", "last_minute", "last_second")),
            "pattern": Key(_stamp_pattern),
            "position": Key(_ROLE),
            "minutes": Key(_choice(*ALLOWED_MINUTES)),
            "minutes_column": Key(_ROLE),
            "clock": Key(_clock),
        },
        model.StampRule,
    ),
    "times": Table({"pattern": Key(_times, needed=True)}, dict),
    "meter": Table({"column": Key(_ROLE, needed=True)}, dict),
    "value": Table(
        {
            "column": Key(_ROLE),
            "unit": Key(_choice(*UNITS)),
            "unit_column": Key(_ROLE),
            "by": Key(_ROLE),
            "channels": Key(_mapping(_channel)),
            "channel": Key(_channel),
            "kind": Key(_choice("interval", "counter")),
            "read_after": Key(_choice(*ALLOWED_MINUTES)),
            "factor": Key(_number),
            "factor_column": Key(_ROLE),
            "sign": Key(_choice(1, -1)),
            "empty": Key(_choice("missing", "zero", "absent")),
            "missing": Key(_WORDS),
            "optional": Key(_flag),
        },
        model.ValueRule,
        many=True,
    ),
    "quality": Table(
        {"column": Key(_ROLE, needed=True), "other": Key(_choice(*_QUALITY))}
        | {name: Key(_WORDS) for name in _QUALITY},
        model.QualityRule,
    ),
    "rows": Table(
        {
            "omitted": Key(_choice("missing", "zero", "idle")),
            "only": Key(_mapping(_WORDS)),
            "refuse": Key(_refusals),
        },
        model.RowRules,
    ),
    "preamble": Table(
        {
            "find": Key(_preamble, needed=True),
            "required": Key(_flag),
            "channels": Key(_mapping(_channel)),
            "refuse": Key(_text),
            "code": Key(_text),
        },
        model.PreambleRule,
        many=True,
    ),
    "blocks": Table({"find": Key(_block, needed=True)}, model.BlockRule),
}
RECIPE = Table(
    {
        "title": Key(_text, needed=True),
        "about": Key(_text, needed=True),
        "country": Key(_anything),
        "source": Key(_text),
        "sample": Key(_anything),
        "meters": Key(_choice("name", "id", "none")),
        "zone": Key(_zone),
        "refuse": Key(_text),
        "code": Key(_text),
        "totals": Key(_flag),
    }
)
_FIELDS = {"value": "values"}
