"""What the reader of workbooks leaves out of an xlsx sheet: what is hidden, errors, formulas without a stored value."""

from __future__ import annotations

import html
import posixpath
import re
import zipfile
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.recipes.sheet_bounds import column_number

MOST_ROWS, MOST_COLUMNS = 1 << 20, 1 << 14
"""A sheet has no more; what names a cell beyond is no cell."""

NO_VALUE = "formula without a stored value"
"""Replaces a cell whose value was never computed: a program wrote the workbook, which no spreadsheet saved since."""

BOOK, RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"

_SHEET = re.compile(r"<(?:\w+:)?sheet\s([^>]*)>")
_RELATION = re.compile(r"<(?:\w+:)?Relationship\s([^>]*)>")
_ATTRIBUTE = re.compile(r"""([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_SIGNS = (b'hidden="1', b'hidden="t', b't="e"', b"='", b"f>", b"f/>")
"""Nearly all sheets have none of these, and need no walk through their cells."""
_LETTER = {b"='": b"'", b't="e"': b"e"}
"""A letter of a sign that cells of numbers hardly have, and that is found faster; the first letter where left out."""
_ROWS = b"sheetData"
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_VALUE = re.compile(rb"<(?:\w+:)?v(?:\s[^>]*)?>([^<]+)<")
_PART = re.compile(rb"<(?:\w+:)?(?:(col|row)\b([^>]*)|c\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?c>))", re.DOTALL)
_PLACE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")


@dataclass(frozen=True, slots=True)
class Marks:
    """What a sheet has beside its values; rows and columns count from 0.

    Args:
        rows: Hidden rows, in order.
        columns: Hidden columns, each as first and last.
        texts: Errors and formulas without a value, by row and column.
    """

    rows: tuple[int, ...] = ()
    columns: tuple[tuple[int, int], ...] = ()
    texts: Mapping[tuple[int, int], str] = field(default_factory=dict)


def has_signs(data: bytes) -> bool:
    """Whether a part of a workbook may hide anything, or have an error or a formula without a value."""
    begin, end = data.find(_ROWS), data.rfind(_ROWS)  # no sign has an "s", so none reaches over these places
    if begin < 0:
        return any(sign in data for sign in _SIGNS)
    around = data[:begin] + data[end:]
    return any(
        sign in around
        or (data.find(_LETTER.get(sign, sign[:1]), begin, end) >= 0 and data.find(sign, begin, end) >= 0)
        for sign in _SIGNS
    )


def marks_of(path: Path, sheet: str, without: Container[str] = ()) -> Marks:
    """What a sheet of an xlsx or xlsm workbook hides and does not know; nothing for any other file.

    Args:
        path: The workbook.
        sheet: Name of the sheet.
        without: Parts that are known to have nothing of it, which are not unpacked.

    Raises:
        zipfile.BadZipFile, zlib.error, RuntimeError, OSError: A member cannot be unpacked.
    """
    if not zipfile.is_zipfile(path):
        return Marks()
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if not names.issuperset((BOOK, RELATIONS)):
            return Marks()
        member = _member(archive.read(BOOK), archive.read(RELATIONS), sheet)
        there = member in names and member not in without
        return _marks(archive.read(member)) if member is not None and there else Marks()


def _member(book: bytes, relations: bytes, sheet: str) -> str | None:
    """The member that holds a sheet."""
    sheets = map(_attributes, _SHEET.findall(book.decode("utf-8", "replace")))
    key = next((one.get("id") for one in sheets if one.get("name") == sheet), None)
    targets = map(_attributes, _RELATION.findall(relations.decode("utf-8", "replace")))
    target = next((one.get("Target") for one in targets if key is not None and one.get("Id") == key), None)
    return None if target is None else posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")


def _attributes(text: str) -> dict[str, str]:
    """Attributes of an element, by their names without prefixes."""
    return {
        name.rpartition(":")[2]: html.unescape(double or single)
        for name, double, single in _ATTRIBUTE.findall(text)
    }


def _marks(data: bytes) -> Marks:
    if not has_signs(data):
        return Marks()
    rows: list[int] = []
    columns: list[tuple[int, int]] = []
    texts: dict[tuple[int, int], str] = {}
    row, column = -1, -1
    for part in _PART.finditer(data):
        kind, of_part, of_cell, inside = part.groups()
        said = _attributes((of_part or of_cell or b"").decode("utf-8", "replace"))
        if kind == b"col":
            if _is_true(said.get("hidden")) and (first := _number(said.get("min"))) is not None:
                columns.append((first, _number(said.get("max")) or first))
        elif kind == b"row":
            number = _number(said.get("r"))
            row, column = row + 1 if number is None else number, -1
            if _is_true(said.get("hidden")) and row < MOST_ROWS:
                rows.append(row)
        else:
            row, column = _place(said.get("r", ""), row, column + 1)
            word = _word(said.get("t", "n"), inside or b"")
            if word is not None and 0 <= row < MOST_ROWS and column < MOST_COLUMNS:
                texts[row, column] = word
    return Marks(tuple(rows), tuple(columns), texts)


def _word(kind: str, inside: bytes) -> str | None:
    """What an error or a formula without a value says; None for any other cell."""
    value = _VALUE.search(inside)
    if kind == "e":
        return html.unescape(value[1].decode("utf-8", "replace")) if value else "#ERROR"
    # A formula of texts may well give the empty one.
    return NO_VALUE if value is None and kind != "str" and _FORMULA.search(inside) else None


def _is_true(text: str | None) -> bool:
    return text in ("1", "true")


def _number(text: str | None) -> int | None:
    """A number that counts from 1, from 0 on."""
    return int(text) - 1 if text and re.fullmatch(r"[1-9][0-9]{0,6}", text) else None


def _place(name: str, row: int, column: int) -> tuple[int, int]:
    """Row and column of a name such as "B2"; the next cell where it has none."""
    found = _PLACE.fullmatch(name)
    if found is None:
        return row, column
    return int(found[2]) - 1, column_number(found[1]) - 1
