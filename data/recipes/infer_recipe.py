"""The recipe that an inference amounts to; what is open is left out of it, and asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from data.intake.counters import POWER_OF
from data.intake.raw import UNITS, StampEnd
from data.recipes.infer import Inferred
from data.recipes.infer_table import Table
from data.recipes.infer_values import Value
from data.recipes.infer_words import EMPTY_WORDS, is_total_row, unit_in
from data.recipes.model import FileRule, QualityRule, Recipe, RowRules, StampRule, ValueRule

MOST_PATTERNS = 5


def recipe_of(found: Inferred, title: str) -> Recipe:
    """Write what was concluded as a recipe.

    Args:
        found: The conclusions.
        title: What to call the layout.
    """
    table, layout, texts = found.table, found.layout, found.texts
    roles = _roles(found)
    columns = {role: (table.header[i],) for i, role in roles.items()}
    read = set(roles)
    wide = set(table.wide.columns) if table.wide else set()
    ignore = [name for i, name in enumerate(table.header) if i not in read | wide and name]
    return Recipe(
        title=title,
        about="drafted from the file itself",
        columns=columns,
        stamp=_stamp(found, roles),
        values=tuple(_value(found, value, roles) for value in found.read),
        ignore=tuple(ignore),
        meters="id" if texts.meter is not None else "none",
        zone=found.zone.value or None,
        file=_file(found),
        times=table.wide.pattern if table.wide else None,
        meter=roles.get(texts.meter) if texts.meter is not None else None,
        quality=_quality(found, roles),
        rows=RowRules(only=_only(found, roles)),
        source="drafted from a file" if layout.why else "",
    )


def _roles(found: Inferred) -> dict[int, str]:
    """Our names of the columns that are read, by number."""
    roles: dict[int, str] = {}
    layout, texts = found.layout, found.texts
    for names, columns in ((("stamp", "time"), layout.columns), (("until", "until_time"), layout.until)):
        roles |= dict(zip(columns, names, strict=False))
    single = (layout.position, "position"), (texts.meter, "meter"), (texts.register, "register")
    roles |= {i: name for i, name in single if i is not None}
    if texts.unit is not None and any(value.unit_in_rows for value in found.read):
        roles[texts.unit] = "unit"
    if texts.quality is not None and not texts.unknown_quality:
        roles[texts.quality] = "quality"
    indexes = [value.index for value in found.read if value.index is not None]
    return roles | {index: f"value_{n}" for n, index in enumerate(indexes, 1)}


def _file(found: Inferred) -> FileRule:
    grid, table = found.grid, found.table
    encoding = grid.encoding.value if grid.encoding is not None else None
    return FileRule(
        encoding=None if encoding in (None, "utf-8", "utf-8-sig", "utf-16") else encoding,
        separator=grid.separator.value if grid.separator is not None else None,
        decimal="," if found.decimal.sign == "," else ".",
        thousands=found.decimal.thousands,
        header=() if table.has_header else table.header,
        units_row=table.units is not None,
        end=_pattern([table.footer], table) if table.footer else None,
        skip=_pattern(_skipped(found), table),
        sheet=grid.sheet,
    )


def _skipped(found: Inferred) -> list[str]:
    """First cells of rows between the data that are sums or the header again."""
    firsts = []
    for number in found.table.skipped:
        row = found.grid.rows[number]
        first = next((cell for cell in row if cell), "")
        if is_total_row(first) or (
            found.table.has_header and tuple(row) == tuple(found.grid.rows[found.table.header_row])
        ):
            firsts.append(first)
    return firsts


def _pattern(firsts: Sequence[str | None], table: Table) -> str | None:
    """A pattern of lines that begin with one of some texts, and with which no row of data begins."""
    stems = dict.fromkeys(re.split(r"\d", first)[0].strip() for first in firsts if first)
    kept = [stem for stem in stems if stem and not any(row[0].startswith(stem) for row in table.rows)]
    if not kept or len(kept) > MOST_PATTERNS:
        return None
    return rf'^[\s;,|"]*({"|".join(map(re.escape, kept))})'


def _stamp(found: Inferred, roles: Mapping[int, str]) -> StampRule:
    layout = found.layout
    orders = [found.order] if found.order else layout.orders
    ends: StampEnd | None = None
    if found.ends.value in ("start", "end"):
        ends = "end" if found.ends.value == "end" else "start"
    return StampRule(
        column=tuple(roles[i] for i in layout.columns),
        format=tuple(dict.fromkeys(text for order in orders for text in layout.formats[order])),
        ends=ends,
        language=layout.language,
        until=tuple(roles[i] for i in layout.until),
        position=roles[layout.position] if layout.position is not None else None,
        minutes=layout.minutes,
    )


def _value(found: Inferred, value: Value, roles: Mapping[int, str]) -> ValueRule:
    by = found.texts.register is not None and value.channel.value == "by"
    unit = value.unit.value if value.unit.confidence else None
    by_column = value.unit_in_rows and "unit" in roles.values()
    if value.measures.value == "power" and unit is not None:
        unit = POWER_OF.get(unit, unit)
    indexes = (
        [value.index]
        if value.index is not None
        else list(found.table.wide.columns if found.table.wide else ())
    )
    cells = {cell for i in indexes for cell in found.table.column(i)}
    return ValueRule(
        column=roles[value.index] if value.index is not None else "",
        unit=None if by_column else unit,
        unit_column="unit" if by_column else None,
        channel=None if by else value.channel.value,
        by=roles[found.texts.register] if by and found.texts.register is not None else None,
        channels={word: c.value for word, c in found.words.items() if c.value} if by else {},
        kind="counter" if value.measures.value == "counter" else "interval",
        missing=tuple(sorted(cell for cell in cells if cell and cell.casefold() in EMPTY_WORDS)),
    )


def _quality(found: Inferred, roles: Mapping[int, str]) -> QualityRule | None:
    texts = found.texts
    if texts.quality is None or texts.quality not in roles:
        return None
    words = texts.quality_words or {}
    return QualityRule(
        roles[texts.quality], words.get("measured", ()), words.get("estimated", ()), words.get("missing", ())
    )


def _only(found: Inferred, roles: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """Rows in a unit of energy, where others have units of gas or water."""
    if found.texts.unit is None or "unit" not in roles.values():
        return {}
    words = dict.fromkeys(found.table.column(found.texts.unit))
    energy = tuple(word for word in words if unit_in(word).name in UNITS)
    return {"unit": energy} if len(energy) < len([word for word in words if word]) else {}
