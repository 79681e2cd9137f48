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


CELL = '<table:table-cell table:number-columns-repeated="{}" office:value-type="string">{}</table:table-cell>'
ROW = '<table:table-row table:number-rows-repeated="{}">{}</table:table-row>'


@pytest.mark.parametrize(
    ("rows", "cells"),
    [
        (
            ROW.format(
                1,
                CELL.format(7, "<text:p>a</text:p>") + '<table:table-cell number-columns-repeated="16384"/>',
            ),
            7,
        ),
        (ROW.format(1_048_576, CELL.format(16_384, "<text:p>a</text:p>")), 1_048_576 * 16_384),
        (ROW.format(9, "<table:table-cell/>") + ROW.format(2, CELL.format(3, "<text:p>a</text:p>")), 33),
        (
            ROW.format(2, '<table:table-cell office:value="1"/>')
            + ROW.format(1_048_576, "<table:table-cell/>"),
            2,
        ),
    ],
    ids=["columns", "rows and columns", "below empty rows", "empty rows below"],
)
def test_an_ods_spans_its_cells_up_to_the_last_that_is_not_empty(
    rows: str, cells: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.ods"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.xml", f'<table:table table:name="A">{rows}</table:table>' * 2)
    assert cells_of(path) == cells
