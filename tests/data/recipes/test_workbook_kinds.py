"""Workbooks of every kind give the same readings; what their sheets hide, do not know or hold beside is said.

`workbooks/readings.xls` and `readings_1904.xls` hold the rows of `READINGS`, written by xlwt 1.3.0: the title merged
over both columns, the value of row 9 shown as a percentage, row 5 hidden, dates counted from 1900 and from 1904.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from data.formats import FORMATS, FileReading, read
from data.intake.raw import Hints
from data.readings import MISSING
from tests.kits.recipe_kit import UTC, codes, imported, own
from tests.kits.workbook_kit import Cell, Formula, edited, write_ods, write_xlsx

BOOKS = Path(__file__).parent / "workbooks"
T = datetime(2026, 1, 1)
HALF = timedelta(minutes=30)
READINGS: dict[str, list[list[Cell]]] = {
    "Summary": [["Total [kWh]", 1.9]],
    "Data": [
        ["Load profile of the meter"],
        [],
        ["time", "energy"],
        [T, 0.1],
        [T + HALF, 1],
        ["2026-01-01 01:00:00", "0.3"],
        [T + 3 * HALF, 0.30000000000000004],
        [T + 4 * HALF, None],
        [T + 5 * HALF, 0.05],
    ],
    "Notes": [["x"]],
}
IMPORT_WH = [100, 1000, 300, 300, 0, 50]
ROW_5 = ('<row r="5">', '<row r="5" hidden="1">')


def simple(*rows: list[Cell]) -> dict[str, list[list[Cell]]]:
    return {"Data": [["time", "energy"], *rows]}


def books(folder: Path) -> list[Path]:
    """The same readings in each kind of workbook."""
    days = timedelta(days=1462)
    moved = {
        name: [[cell - days if isinstance(cell, datetime) else cell for cell in row] for row in rows]
        for name, rows in READINGS.items()
    }
    of_1904 = write_xlsx(folder / "1904.xlsx", moved)
    edited(of_1904, ("<sheets>", '<workbookPr date1904="1"/><sheets>'), member="xl/workbook.xml")
    return [
        edited(write_xlsx(folder / "a.xlsx", READINGS), ROW_5, member="xl/worksheets/sheet2.xml"),
        of_1904,
        write_ods(folder / "a.ods", READINGS),
        BOOKS / "readings.xls",
        BOOKS / "readings_1904.xls",
    ]


def test_every_kind_of_workbook_gives_the_same_readings(tmp_path: Path) -> None:
    readings = [read(path, own(), UTC) for path in books(tmp_path)]
    for reading in readings:
        assert imported(reading) == IMPORT_WH
        assert reading.data is not None
        assert (reading.data.quality[:, 0] == MISSING).tolist() == [False] * 4 + [True, False]
        assert reading.data.start_s == 1_767_225_600
        assert reading.findings == readings[0].findings


def test_an_unknown_workbook_of_every_kind_is_asked_the_same_and_read_the_same(tmp_path: Path) -> None:
    generic = FORMATS.get("generic")
    for path in books(tmp_path):
        asked = read(path, generic, Hints())
        assert {question.option for question in asked.questions} >= {"--zone", "--unit"}, path.name
        hints = Hints(zone="UTC", unit="kWh", stamp="start", kind="energy", channels={"energy": "import"})
        assert imported(read(path, generic, hints)) == IMPORT_WH


def test_hidden_rows_and_columns_are_read_and_noted(tmp_path: Path) -> None:
    rows = simple(*([T + i * HALF, 0.1] for i in range(6)))
    path = write_xlsx(tmp_path / "a.xlsx", rows)
    assert _notes(read(path, own(), UTC)) == []
    edited(path, ("<sheetData>", '<cols><col min="2" max="2" hidden="1"/></cols><sheetData>'), ROW_5)
    edited(path, ('<row r="3">', '<row r="3" hidden="true">'), ('<row r="1">', '<row r="1" hidden="1">'))
    reading = read(path, own(), UTC)
    assert imported(reading) == [100] * 6
    assert _notes(reading) == [
        "2 hidden rows of the sheet, the first of them row 3, are read as the others",
        "hidden columns of the sheet are read as the others: 'energy'",
    ]


def test_a_hidden_sheet_that_is_read_is_noted(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", READINGS)
    edited(path, ('name="Data"', 'name="Data" state="hidden"'), member="xl/workbook.xml")
    reading = read(path, own(), UTC)
    assert imported(reading) == IMPORT_WH
    assert _notes(reading) == ["the sheet that is read is hidden in the workbook"]


def _notes(reading: FileReading) -> list[str]:
    assert reading.data is not None
    return [note for note in reading.data.source.notes if "sheet" in note]


@pytest.mark.parametrize("value", ["", 'empty = "zero"'])
def test_a_formula_without_a_stored_value_is_no_empty_cell(tmp_path: Path, value: str) -> None:
    rows = simple([T, 0.1], [T + HALF, Formula("B2*2", None)], [T + 2 * HALF, Formula("B2*3", 0.3)])
    reading = read(write_xlsx(tmp_path / "a.xlsx", rows), own(value=value), UTC)
    (found,) = [finding for finding in reading.findings if finding.severity == "error"]
    assert (found.code, found.line) == ("not_a_number", 3)
    assert "formula without a stored value" in found.message


def test_rows_of_formulas_without_values_below_the_others_are_not_lost(tmp_path: Path) -> None:
    rows = simple([T, 0.1], [T + HALF, 0.1], [Formula("A3+1/48", None), Formula("B3", None)])
    reading = read(write_xlsx(tmp_path / "a.xlsx", rows), own(), UTC)
    assert {(finding.code, finding.line) for finding in reading.findings if finding.severity == "error"} == {
        ("bad_timestamp", 4),
        ("not_a_number", 4),
    }


@pytest.mark.parametrize("value", ["", 'empty = "zero"'])
def test_an_error_in_a_cell_is_no_empty_cell(tmp_path: Path, value: str) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", simple([T, 0.1], [T + HALF, 7], [T + 2 * HALF, 0.3]))
    edited(path, ('<c r="B3"><v>7</v></c>', '<c r="B3" t="e"><v>#N/A</v></c>'))
    reading = read(path, own(value=value), UTC)
    assert [(f.code, f.line) for f in reading.findings if f.severity == "error"] == [("not_a_number", 3)]
    said = own(value=f'{value}\nmissing = ["#N/A"]')
    assert imported(read(path, said, UTC)) == [100, 0, 300]


def test_a_formula_that_gives_an_empty_text_is_an_empty_cell(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", simple([T, 0.1], [T + HALF, 7], [T + 2 * HALF, 0.3]))
    edited(path, ('<c r="B3"><v>7</v></c>', '<c r="B3" t="str"><f>IF(1,"",1)</f><v></v></c>'))
    assert imported(read(path, own(), UTC)) == [100, 0, 300]


def test_a_truth_value_is_no_number(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", simple([T, 0.1], [T + HALF, 1], [T + 2 * HALF, 0.1]))
    edited(path, ('<c r="B3"><v>1</v></c>', '<c r="B3" t="b"><v>1</v></c>'))
    assert codes(read(path, own(), UTC)) == {"not_a_number"}


def test_sheets_of_the_same_columns_are_named_where_one_of_them_is_read(tmp_path: Path) -> None:
    one = [["time", "energy"], [T, 0.1], [T + HALF, 0.1]]
    path = write_xlsx(tmp_path / "a.xlsx", {"Jan": one, "Feb": one, "Costs": [["time", "EUR"]]})
    reading = read(path, own(), UTC)
    (found,) = [finding for finding in reading.findings if finding.code == "other_sheets"]
    assert imported(reading) == [100, 100]
    assert found.severity == "warning"
    assert found.message.startswith("only sheet 1 of the workbook is read; of the same columns: sheet 2; ")
    named = read(path, own(file='sheet = "Feb"'), UTC)
    assert not [finding for finding in named.findings if finding.code == "other_sheets"]


def test_a_sheet_of_a_chart_alone_is_passed_by(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", {"Chart": [["x"]], "Data": READINGS["Data"]})
    kind = "relationships/worksheet"
    edited(
        path,
        (
            f'{kind}" Target="worksheets/sheet1.xml"',
            'relationships/chartsheet" Target="worksheets/sheet1.xml"',
        ),
        member="xl/_rels/workbook.xml.rels",
    )
    assert imported(read(path, own(), UTC)) == IMPORT_WH
