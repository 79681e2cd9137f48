"""The header of a table: which line it is, and which column has which role in a recipe."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from data.intake.claims import Claim
from data.intake.raw import UNITS
from data.recipes.model import BLOCK, Recipe, Role

SEARCHED = 100
"""Lines in which the header is searched."""

SEPARATORS = (",", ";", "\t", "|")

_UNIT = re.compile(r"(.+?) ?[(\[]([^()\[\]]+)[)\]]")
_UNITS = {unit.casefold() for unit in UNITS}

LEAST_TIMES = 2
"""Columns of times that make a file wide."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line at the head of a file that can be a header.

    Args:
        row: Number of the line, from 0.
        separator: What it was split at; "" in a workbook.
        names: The cells.
        sheet: Sheet of a workbook.
    """

    row: int
    separator: str
    names: tuple[str, ...]
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a file as a recipe reads it.

    Args:
        line: Where it is.
        columns: Positions by role, in the order of the file.
        groups: What the pattern of a column finds in its name, by position.
        times: Positions of the columns of times.
        unknown: Names that the recipe does not know.
        lacking: Roles that are needed and not there.
    """

    line: Line
    columns: Mapping[Role, tuple[int, ...]]
    groups: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    times: tuple[int, ...] = ()
    unknown: tuple[str, ...] = ()
    lacking: tuple[Role, ...] = ()

    def at(self, role: Role | None) -> int | None:
        """Position of the first column of a role; None where the file has none."""
        there = self.columns.get(role, ()) if role is not None else ()
        return there[0] if there else None

    def name(self, position: int) -> str:
        """What the file calls a column; one that the recipe makes has no place in the file."""
        if position == len(self.line.names):
            return BLOCK
        return self.line.names[position].strip().strip('"')


@lru_cache(maxsize=8192)
def normal(name: str) -> str:
    """A header as it is compared: trimmed, case folded, white space collapsed, byte order mark and quotes off."""
    return " ".join(name.replace("\ufeff", "").strip().strip('"').split()).casefold()


def _without_unit(name: str) -> str:
    """A header without a unit in brackets behind it."""
    found = _UNIT.fullmatch(normal(name))
    return found[1] if found and found[2] in _UNITS else normal(name)


@lru_cache(maxsize=2048)
def numbered(names: tuple[str, ...]) -> tuple[str, ...]:
    """Normal names, of which the second and later ones of a kind get a number: "usage", "usage (2)"."""
    return with_numbers([normal(name) for name in names])


def with_numbers(names: Iterable[str]) -> tuple[str, ...]:
    """Names as written, the second and later ones of a kind with a number: "Usage", "Usage (2)"."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        key = normal(name)
        seen[key] = seen.get(key, 0) + 1
        found.append(name if seen[key] == 1 or not key else f"{name} ({seen[key]})")
    return tuple(found)


def needed(recipe: Recipe) -> tuple[Role, ...]:
    """Roles without which a file has another layout: those that readings need, and those that nothing uses."""
    used = {*recipe.stamp.until, *recipe.rows.only, *(refusal.column for refusal in recipe.rows.refuse)}
    used |= {recipe.quality.column} if recipe.quality else set()
    used |= {role for v in recipe.values for role in (v.column, v.by, v.unit_column, v.factor_column) if role}
    roles: dict[Role | None, None] = dict.fromkeys(role for role in recipe.columns if role not in used)
    roles |= dict.fromkeys(recipe.stamp.column)
    roles |= dict.fromkeys((recipe.stamp.position, recipe.stamp.minutes_column, recipe.meter))
    for value in recipe.values:
        if not value.optional:
            roles |= dict.fromkeys((value.column or None, value.by, value.unit_column, value.factor_column))
    return tuple(role for role in roles if role is not None)


class Matcher:
    """Finds the header of a recipe in the lines of a file.

    Args:
        recipe: The recipe.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._needed = needed(recipe)
        self._exact: dict[str, Role | None] = {}
        self._patterns: list[tuple[re.Pattern[str], Role | None]] = []
        named: list[tuple[Role | None, tuple[str, ...]]] = [*recipe.columns.items(), (None, recipe.ignore)]
        for role, headers in named:
            for header in headers:
                if len(header) > 2 and header[0] == header[-1] == "/":
                    self._patterns.append((re.compile(header[1:-1], re.IGNORECASE), role))
                else:
                    self._exact.setdefault(normal(header), role)
        self._times = re.compile(recipe.times) if recipe.times else None
        stamps = {name for name, role in self._exact.items() if role in recipe.stamp.column}
        by_pattern = any(role in recipe.stamp.column for _, role in self._patterns)
        self._stamps = None if by_pattern else stamps

    def find(self, lines: Iterable[Line]) -> Header | None:
        """The first line that has all columns; else the one that lacks fewest, if it has a time and a value."""
        best: Header | None = None
        lines = list(lines)
        for line in lines:
            if self.recipe.file.separator not in (None, line.separator) and line.separator:
                continue
            header = self.match(line)
            if header is None:
                continue
            header = header if self.recipe.file.nameless else _with_nameless(header, lines)
            if not header.lacking:
                return header
            if best is None or len(header.lacking) < len(best.lacking):
                best = header
        return best

    def match(self, line: Line) -> Header | None:
        """What a line has of the columns; None without a time or without a value."""
        if self.recipe.file.header:
            return self._by_position(line)
        if self._stamps is not None and self._stamps.isdisjoint(numbered(line.names)):
            return None  # most lines of a head end here, and a head is searched by every recipe
        columns: dict[Role, tuple[int, ...]] = {}
        groups: dict[int, Mapping[str, str]] = {}
        times, unknown = [], []
        for at, (name, shown) in enumerate(zip(numbered(line.names), line.names, strict=True)):
            if name in self._exact:
                role = self._exact[name]
            elif self._times and (time := self._times.fullmatch(shown.strip().strip('"'))):
                times.append(at)
                groups[at] = {key: text for key, text in time.groupdict().items() if text is not None}
                continue
            else:
                hit = next(((m, r) for p, r in self._patterns if (m := p.fullmatch(normal(shown)))), None)
                if hit is None:
                    if name:
                        unknown.append(" ".join(shown.split()))
                    continue
                role = hit[1]
                again = self._original(shown, hit[0].re)
                groups[at] = {key: text for key, text in again.groupdict().items() if text is not None}
            if role is None:
                continue
            # Which of two names of one thing is meant is not known.
            if name in self._exact and role in columns:
                unknown.append(" ".join(shown.split()))
            else:
                columns[role] = (*columns.get(role, ()), at)
        unknown += self._twice(line, columns)
        if self.recipe.blocks is not None:
            columns[BLOCK] = (len(line.names),)
        lacking = tuple(role for role in self._needed if role not in columns)
        values = [v for v in self.recipe.values if v.column in columns or (not v.column and times)]
        if self._times and len(times) < LEAST_TIMES:
            lacking = (*lacking, "times")
        if not values or not set(self.recipe.stamp.column) & columns.keys():
            return None
        return Header(line, columns, groups, tuple(times), tuple(unknown), lacking)

    def _twice(self, line: Line, columns: dict[Role, tuple[int, ...]]) -> list[str]:
        """Take out columns of readings named as another is but for its unit, such as "Usage" beside "Usage (kWh)".

        Both hold the same energy, and summed as parts of a channel they would count it twice.
        """
        seen: dict[str, Role] = {}
        found = []
        for role in dict.fromkeys(value.column for value in self.recipe.values if value.column in columns):
            (at, *_) = columns[role]
            if seen.setdefault(_without_unit(line.names[at]), role) != role:
                found.append(" ".join(line.names[at].split()))
                del columns[role]
        return found

    @staticmethod
    def _original(shown: str, pattern: re.Pattern[str]) -> re.Match[str]:
        """The groups of a pattern with the letters as the file has them."""
        found = pattern.fullmatch(" ".join(shown.replace("\ufeff", "").strip().strip('"').split()))
        again = found or pattern.fullmatch(normal(shown))
        assert again is not None, "the normal name matched"
        return again

    def _by_position(self, line: Line) -> Header | None:
        """A file without a header: as many cells as the recipe names."""
        names = self.recipe.file.header
        cells = line.names
        if len(cells) != len(names) or not any(char.isdigit() for cell in cells for char in cell):
            return None
        there = {role: headers[0] for role, headers in self.recipe.columns.items() if headers[0] in names}
        columns = {role: (names.index(name),) for role, name in there.items()}
        lacking = tuple(role for role in self._needed if role not in columns)
        return None if lacking else Header(Line(line.row - 1, line.separator, names, line.sheet), columns)

    def claim(self, header: Header | None, refused: str | None = None) -> Claim:
        """How sure a recipe is of a file with this header; a column that is not known keeps it from being sure."""
        if header is None:
            return Claim(0.0)
        named = [
            header.name(at)
            for places in header.columns.values()
            for at in places
            if at < len(header.line.names)
        ]
        if header.lacking:
            lacks = ", ".join(header.lacking)
            return Claim(0.3, (f"has {', '.join(named)}, but no column for {lacks}",))
        if refused is not None:
            return Claim(0.3, (refused,))
        assumed = {}
        if self.recipe.zone and self.recipe.stamp.clock == "local":
            assumed["zone"] = self.recipe.zone
        if self.recipe.stamp.ends:
            assumed["stamp"] = self.recipe.stamp.ends
        if self.recipe.file.header:
            why = f"{len(named)} columns, but no header that says what they are"
            return Claim(0.5, (why,), assumed)
        if header.unknown:
            shown = ", ".join(map(repr, header.unknown[:3])) + (", .." if len(header.unknown) > 3 else "")
            confidence = 0.7 if len(header.unknown) <= len(named) else 0.4
            return Claim(
                confidence, (f"the columns {', '.join(named)}", f"but {shown} is not known"), assumed
            )
        return Claim(1.0, (f"the columns {_listed(named)}",), assumed)


def _with_nameless(header: Header, lines: Sequence[Line]) -> Header:
    """The header with the columns that have no name, but cells below it, among those that are not known."""
    line = header.line
    nameless = {at for at, name in enumerate(line.names) if not normal(name)}
    if not nameless:
        return header
    below = [one.names for one in lines if one.row > line.row and one.separator == line.separator]
    filled = sorted({at for names in below for at in nameless if at < len(names) and names[at].strip()})
    unknown = (*header.unknown, *(f"column {at + 1} without a name" for at in filled))
    return replace(header, unknown=unknown)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def lines_of_text(text: str, separators: Sequence[str] = SEPARATORS) -> list[Line]:
    """Lines at the head of a text, split at each separator that occurs in them."""
    return list(_lines_of_text(text, tuple(separators)))


@lru_cache(maxsize=16)
def _lines_of_text(text: str, separators: tuple[str, ...]) -> tuple[Line, ...]:
    found = []
    for row, line in enumerate(text.split("\n", SEARCHED)[:SEARCHED]):
        for separator in separators:
            if separator in line:
                found.append(Line(row, separator, tuple(cells(line.rstrip("\r"), separator))))
    return tuple(found)


def cells(line: str, separator: str) -> list[str]:
    """The cells of one line."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:  # a cell longer than any header
        return line.split(separator)
