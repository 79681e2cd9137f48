"""How far the cells of a workbook reach: its reader makes room for all up to the last, or ends the process."""

from __future__ import annotations

import re
import zipfile
from typing import Final

MOST_CELLS: Final = 20_000_000
"""Cells of one sheet, empty ones between others included; a year of minutes in 30 columns has 16 million."""
_CELL: Final = re.compile(rb"""\br\s*=\s*["']([A-Za-z]{0,3})(\d{1,9})["']""")
_REPEATED: Final = re.compile(rb"""number-(columns|rows)-repeated\s*=\s*["'](\d+)["'][^>]*>\s*<text:p""")
_LETTERS: Final = 26
BINARY: Final = "xl/workbook.bin"
"""Part of a binary workbook (xlsb), whose cells nothing here can count."""


def most_cells(archive: zipfile.ZipFile) -> int:
    """The most cells that a sheet of a workbook spans, from its first to its last cell."""
    spans = [0]
    for member in archive.infolist():  # of any name: a workbook says itself which of its parts are sheets
        xml = archive.read(member)
        spans += [_cells_of_xlsx(xml), _cells_of_ods(xml)]
    return max(spans)


def _cells_of_xlsx(xml: bytes) -> int:
    found = _CELL.findall(xml)
    if not found:
        return 0
    columns = [max(_column(letters), 1) for letters in {letters for letters, _ in found}]
    rows = [int(number) for _, number in found]
    return (max(columns) - min(columns) + 1) * (max(rows) - min(rows) + 1)


def _cells_of_ods(xml: bytes) -> int:
    """Cells that a written value is repeated into; empty ones behind the table are repeated by every program."""
    return max((int(number) for _, number in _REPEATED.findall(xml)), default=0)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * _LETTERS + letter - ord("A") + 1
    return number
