"""A workbook that asks for room for billions of cells is refused before the reader ends the process."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from data.recipes.sheet_bounds import MOST_CELLS, most_cells
from data.sniffing import sniff
from tests.kits.workbook_kit import write_xlsx

ROWS = [["time", "kWh"], ["2025-01-01 00:00", 1.5], ["2025-01-01 00:15", 2.5]]


def changed(path: Path, pattern: str, other: str) -> Path:
    """The workbook with the first match in its sheet replaced."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    (sheet,) = (name for name in members if "worksheets/" in name)
    members[sheet], count = re.subn(pattern, other, members[sheet], count=1)
    assert count == 1
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def cells_of(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return most_cells(archive)


def test_the_span_is_that_of_the_cells(tmp_path: Path) -> None:
    assert cells_of(write_xlsx(tmp_path / "a.xlsx", {"Data": ROWS})) == 6
    path = changed(write_xlsx(tmp_path / "b.xlsx", {"Data": ROWS}), 'r="B3"', 'r="AA30"')
    assert cells_of(path) == 27 * 30


@pytest.mark.parametrize("far", ['r="XFD1048576"', "r='XFD1048576'", 'r = "xfd1048576"'])
def test_one_cell_far_away_is_refused_in_words(far: str, tmp_path: Path) -> None:
    path = changed(write_xlsx(tmp_path / "a.xlsx", {"Data": ROWS}), 'r="B3"', far)
    assert cells_of(path) > MOST_CELLS
    assert "cells from its first to its last" in str(sniff(path))


def test_a_repeated_value_of_an_ods_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.ods"
    cell = '<table:table-cell table:number-columns-repeated="{}" office:value-type="string">{}</table:table-cell>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.xml", cell.format(7, "<text:p>a</text:p>") + cell.format(16384, ""))
    assert cells_of(path) == 7
