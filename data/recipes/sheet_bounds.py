"""How far the cells of a workbook reach: its reader makes room for all up to the last, or ends the process."""

from __future__ import annotations

import re
import zipfile
from typing import Final

import numpy as np

MOST_CELLS: Final = 20_000_000
"""Cells of one sheet, empty ones between others included; a year of minutes in 30 columns has 16 million."""
BINARY: Final = "xl/workbook.bin"
"""Part of a binary workbook (xlsb), whose cells nothing here can count."""
ODS: Final = "content.xml"
"""Part of an ods workbook with all of its sheets."""
_LETTERS: Final = 26

_PLACE: Final = re.compile(rb"""\br\s*=\s*["']([A-Za-z]{0,3})(\d{1,9})["']""")
_PART: Final = re.compile(
    rb"<(?:\w+:)?table(?:(?P<row>-row\b[^>]*)|-cell\b(?P<cell>[^>]*)|-covered-cell\b[^>]*|(?P<table>[\s>]))"
)
MOST_LETTERS, MOST_DIGITS = 3, 9
LONGEST_PLACE: Final = MOST_LETTERS + MOST_DIGITS
_WORD, _SPACE, _QUOTE = (
    np.array([re.fullmatch(kind, bytes([one])) is not None for one in range(256)])
    for kind in (rb"\w", rb"\s", rb"[\"']")
)
"""Of each byte, whether it is a part of a word, a space, or a quote."""
_REPEATED: Final = re.compile(rb"""number-(?:columns|rows)-repeated\s*=\s*["'](\d{1,9})["']""")


def most_cells(archive: zipfile.ZipFile) -> int:
    """The most cells that a sheet of a workbook spans, from its first to its last cell with something in it."""
    # Parts of any name: an xlsx says itself which of them are sheets.
    return max((cells_of(one.filename, archive.read(one)) for one in archive.infolist()), default=0)


def cells_of(name: str, xml: bytes) -> int:
    """The cells that a part of a workbook spans."""
    return _cells_of_ods(xml) if name == ODS else _cells_of_xlsx(xml)


def column_number(letters: str) -> int:
    """The number of a column such as "AB", from 1 on; 0 of no letters."""
    number = 0
    for letter in letters.upper():
        number = number * _LETTERS + ord(letter) - ord("A") + 1
    return number


def _cells_of_xlsx(xml: bytes) -> int:
    if (cells := _cells_written_plainly(xml)) is not None:
        return cells
    found = _PLACE.findall(xml)
    if not found:
        return 0
    columns = [max(column_number(letters.decode()), 1) for letters in {letters for letters, _ in found}]
    rows = [int(number) for _, number in found]
    return (max(columns) - min(columns) + 1) * (max(rows) - min(rows) + 1)


def _cells_written_plainly(xml: bytes) -> int | None:
    """The same as by `_PLACE`, many times as fast; None where any place is written with spaces around its sign."""
    text = np.frombuffer(bytes(1) + xml + bytes(LONGEST_PLACE + 3), dtype=np.uint8)
    at = np.flatnonzero(text == ord("r"))
    at = at[~_WORD[text[at - 1]]]
    if _SPACE[text[at + 1]].any():
        return None
    at = at[text[at + 1] == ord("=")]
    if _SPACE[text[at + 2]].any():
        return None
    at = at[_QUOTE[text[at + 2]]] + 3
    letters, digits = np.zeros(len(at), dtype=np.int64), np.zeros(len(at), dtype=np.int64)
    column, row = np.zeros(len(at), dtype=np.int64), np.zeros(len(at), dtype=np.int64)
    closed = np.zeros(len(at), dtype=np.bool_)
    going = np.ones(len(at), dtype=np.bool_)
    for step in range(LONGEST_PLACE + 1):
        one = text[at + step]
        number, upper = one - np.uint8(ord("0")), (one | np.uint8(32)) - np.uint8(ord("a"))
        is_digit, is_letter = going & (number < 10), going & (upper < _LETTERS) & (digits == 0)
        column = np.where(is_letter, column * _LETTERS + upper + 1, column)
        row = np.where(is_digit, row * 10 + number, row)
        letters += is_letter
        digits += is_digit
        closed |= going & _QUOTE[one]
        going = is_digit | is_letter
        if not going.any():
            break
    named = closed & (letters <= MOST_LETTERS) & (digits >= 1) & (digits <= MOST_DIGITS)
    if not named.any():
        return 0
    columns, rows = np.maximum(column[named], 1), row[named]
    return int(columns.max() - columns.min() + 1) * int(rows.max() - rows.min() + 1)


def _cells_of_ods(xml: bytes) -> int:
    """Rows times columns up to the last cell that is not empty; programs repeat empty ones behind the table."""
    most = rows = column = width = 0
    for found in _PART.finditer(xml):
        repeated = _REPEATED.search(found[0])
        times = int(repeated[1]) if repeated else 1
        if found["row"] is not None:
            rows, column = rows + times, 0
        elif found["cell"] is not None:
            column += times
            if b"value" in found["cell"] or not found["cell"].endswith(b"/"):
                width = max(width, column)
                most = max(most, rows * width)
        elif found["table"] is not None:
            rows = column = width = 0
        else:  # a cell that another one covers
            column += times
    return most
