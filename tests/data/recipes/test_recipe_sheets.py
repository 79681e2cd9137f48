"""Workbooks: cells as texts, times, formulas, the sheet that has the header; what is no workbook or too large."""

from __future__ import annotations

import sys
import zipfile
from datetime import UTC as UTC_ZONE
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from data.errors import InvalidMeterFile
from data.formats import load, read
from data.recipes import sheets
from data.recipes.stamps import texts_of_times
from tests.kits.recipe_kit import UTC, codes, imported, own
from tests.kits.workbook_kit import Cell, Formula, write_xlsx

T = datetime(2026, 1, 1)
HALF = timedelta(minutes=30)


def test_cells_of_any_type_are_read(tmp_path: Path) -> None:
    rows = [
        ["Report"],
        [],
        ["time", "energy"],
        [T, 0.1],
        [T + HALF, 1],
        [T + 2 * HALF, "0.3"],
        ["2026-01-01 01:30:00", Formula("B4*4", 0.4)],
    ]
    path = write_xlsx(tmp_path / "m.xlsx", {"Cover": [["a", "b"]], "Data": rows})
    assert imported(read(path, own(), UTC)) == [100, 1000, 300, 400]


def test_times_that_a_spreadsheet_computed_are_the_whole_seconds_beside_them(tmp_path: Path) -> None:
    steps = [T + i * HALF - timedelta(microseconds=400 * (i % 3)) for i in range(48)]
    path = write_xlsx(tmp_path / "m.xlsx", {"Data": [["time", "energy"], *([step, 0.1] for step in steps)]})
    assert imported(read(path, own(), UTC)) == [100] * 48


def test_a_text_with_a_decimal_comma_and_a_number_are_both_read(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "m.xlsx", {"Data": [["time", "energy"], [T, "0,25"], [T + HALF, 0.5]]})
    assert imported(read(path, own(file='decimal = ","'), UTC)) == [250, 500]
    assert codes(read(path, own(), UTC)) & {"decimal_comma", "not_a_number"}


def test_a_finding_names_the_row_of_the_sheet(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "m.xlsx", {"Data": [["x"], ["time", "energy"], [T, 1], [], [T + HALF, "?"]]})
    (found,) = [finding for finding in read(path, own(), UTC).findings if finding.code == "not_a_number"]
    assert found.line == 5


def test_the_sheet_that_is_named_is_read(tmp_path: Path) -> None:
    first = [["time", "energy"], [T, 1], [T + HALF, 1]]
    second = [["time", "energy"], [T, 2], [T + HALF, 2]]
    path = write_xlsx(tmp_path / "m.xlsx", {"A": first, "B": second})
    assert imported(read(path, own(), UTC)) == [1000, 1000]
    assert imported(read(path, own(file='sheet = "B"'), UTC)) == [2000, 2000]


def test_a_workbook_that_unpacks_to_too_much_is_refused_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_xlsx(tmp_path / "m.xlsx", {"Data": [["time", "energy"], [T, 1], [T + HALF, 1]]})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/large.bin", b"\0" * 3_000_000)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(sheets, "LARGEST_BYTES", 1_000_000)
    reading = read(path, own(), UTC)
    assert codes(reading) == {"unreadable"}
    assert "3 MB" in reading.findings[0].message


def test_a_damaged_workbook_is_said_to_be_one(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "m.xlsx", {"Data": [["time", "energy"], [T, 1]]})
    content = bytearray(path.read_bytes())
    content[200:400] = b"\0" * 200
    path.write_bytes(content)
    assert codes(read(path, own(), UTC)) <= {"unreadable", "wrong_header"}
    assert codes(read(path, own(), UTC))


def test_without_the_package_one_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_xlsx(tmp_path / "m.xlsx", {"Data": [["time", "energy"], [T, 1], [T + HALF, 1]]})
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(InvalidMeterFile, match=r"pip install 'wattswap\[meters\]'"):
        load(path, format=own())


def test_a_column_of_times_is_written_as_each_of_its_cells_is() -> None:
    draw = Random(7)
    near = [0, 0, 400, 49_999, 999_600]
    times = [
        T + timedelta(seconds=draw.randrange(10**9), microseconds=draw.choice(near)) for _ in range(2_000)
    ]
    times += [T, T + timedelta(hours=24), T - timedelta(microseconds=300), T.date()]
    assert texts_of_times(sheets._times(times)).to_pylist() == [sheets.text(time, ".") for time in times]
    far = [*times, T + timedelta(seconds=0.3)]
    assert sheets._times(far) is None
    assert sheets._texts(far, ".").to_pylist() == [sheets.text(time, ".") for time in far]
    assert sheets._times([T, T.replace(tzinfo=UTC_ZONE)]) is None
    assert sheets._times([T, T.replace(year=999)]) is None


def test_numbers_are_those_that_their_texts_are() -> None:
    draw = Random(11)
    cells: list[object] = [
        0.30000000000000004,
        -0.0,
        0,
        7,
        1e-05,
        1e22,
        2.0**53,
        5e-324,
        1.7e308,
        "",
        None,
        -0.25,
    ]
    cells += [draw.uniform(-1, 1) * 10.0 ** draw.randrange(-9, 9) for _ in range(2_000)]
    column = sheets._numbers(cells)
    assert column.to_pylist() == [
        float(text) if text else None for text in (sheets.text(c, ".") for c in cells)
    ]
    assert str(column[1].as_py()) == "0.0"
    for odd in (True, float("nan"), float("inf"), "0,25", "#N/A", " ", T, T.date(), 2**53 + 1):
        assert sheets._numbers([0.5, odd]) is None


@pytest.mark.parametrize(
    "file", ["", 'decimal = ","', 'decimal = ","\nthousands = "."', 'end = "^;"', 'skip = "^x"']
)
@pytest.mark.parametrize("value", ["", 'missing = ["-1", "?"]'])
def test_typed_columns_are_read_as_their_texts_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, value: str
) -> None:
    draw = Random(f"{file}{value}")
    odd: list[Cell] = ["", None, "0.5", "0,5", "?", -1, 1e-05, "x", 0.30000000000000004, 1234.5, 0]
    for n in range(12):
        rows: list[list[Cell]] = [["time", "energy"]]
        for i in range(30):
            kwh = draw.choice(odd) if draw.random() < n / 24 else draw.randrange(900) / 1_000
            when: Cell = T + i * HALF
            if draw.random() < n / 60:
                when = draw.choice(
                    ["", None, f"{T + i * HALF}", "x", 3.5, T + i * HALF + timedelta(seconds=0.3)]
                )
            rows.append([when, kwh])
        path = write_xlsx(tmp_path / f"{n}.xlsx", {"Data": rows})
        reader = own(file=file, value=value)
        typed = read(path, reader, UTC)
        with monkeypatch.context() as all_texts:
            all_texts.setattr(sheets, "_numbers", lambda _cells: None)
            all_texts.setattr(sheets, "_times", lambda _cells: None)
            texts = read(path, reader, UTC)
        assert typed.findings == texts.findings
        assert typed.rows == texts.rows
        assert (typed.data is None) == (texts.data is None)
        if typed.data is not None and texts.data is not None:
            assert imported(typed) == imported(texts)
            assert (typed.data.quality == texts.data.quality).all()
            assert typed.data.start_s == texts.data.start_s
