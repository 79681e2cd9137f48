"""How far the cells of a workbook reach: its reader makes room for all up to the last, or ends the process."""

from __future__ import annotations

import re
import zipfile
from typing import Final

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
_REPEATED: Final = re.compile(rb"""number-(?:columns|rows)-repeated\s*=\s*["'](\d{1,9})["']""")


def most_cells(archive: zipfile.ZipFile) -> int:
    """The most cells that a sheet of a workbook spans, from its first to its last cell with something in it."""
    spans = [0]
    for member in archive.infolist():  # of any name: an xlsx says itself which of its parts are sheets
        count = _cells_of_ods if member.filename == ODS else _cells_of_xlsx
        spans.append(count(archive.read(member)))
    return max(spans)


def column_number(letters: str) -> int:
    """The number of a column such as "AB", from 1 on; 0 of no letters."""
    number = 0
    for letter in letters.upper():
        number = number * _LETTERS + ord(letter) - ord("A") + 1
    return number


def _cells_of_xlsx(xml: bytes) -> int:
    found = _PLACE.findall(xml)
    if not found:
        return 0
    columns = [max(column_number(letters.decode()), 1) for letters in {letters for letters, _ in found}]
    rows = [int(number) for _, number in found]
    return (max(columns) - min(columns) + 1) * (max(rows) - min(rows) + 1)


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
