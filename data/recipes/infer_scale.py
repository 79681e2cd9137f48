"""Multipliers of meters behind transformers, named in a file: its readings may have to be multiplied by them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.recipes.infer_table import Table

_NAME = re.compile(
    r"\b(multiplier|multiplikator|multiplicador|multiplicateur|moltiplicatore|vermenigvuldigingsfactor"
    r"|wandler(fa[ck]tor|konstante|verh[äa]ltnis)|meter (factor|constant)|scale factor"
    r"|(ct|vt|transformer) (ratio|factor))\b",
    re.IGNORECASE,
)
_VALUE = re.compile(r"\s*[:=]?\s*([0-9]+(?:[.,][0-9]+)?)(?:\s*[x×])?\s*", re.IGNORECASE)


def multipliers(table: Table) -> Iterator[tuple[str, str, bool]]:
    """Multipliers other than 1: the name, the value, and whether it is a column; else it is above the header."""
    for at, name in enumerate(table.header):
        if _NAME.search(name):
            other = next((cell for cell in table.column(at) if _is_other(cell)), None)
            if other is not None:
                yield name, other.strip(), True
    for row in table.preamble:
        for at, cell in enumerate(row):
            found = _NAME.search(cell)
            if found is None:
                continue
            value = cell[found.end() :] or (row[at + 1] if at + 1 < len(row) else "")
            if _is_other(value):
                yield found[0], value.strip(" :="), False


def _is_other(cell: str) -> bool:
    """Whether a cell is a number that is not 1."""
    found = _VALUE.fullmatch(cell)
    return found is not None and float(found[1].replace(",", ".")) != 1.0
