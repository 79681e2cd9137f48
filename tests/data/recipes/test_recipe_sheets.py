"""Workbooks: cells as texts, times, formulas, the sheet that has the header; what is no workbook or too large."""

from __future__ import annotations

import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from data.errors import InvalidMeterFile
from data.formats import load, read
from data.recipes import sheets
from tests.kits.recipe_kit import UTC, codes, imported, own
from tests.kits.workbook_kit import Formula, write_xlsx

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
    assert sheets._texts_of_times(times).to_pylist() == [sheets.text(time, ".") for time in times]
    far = [*times, T + timedelta(seconds=0.3)]
    assert sheets._texts_of_times(far) is None
    assert sheets._texts(far, ".").to_pylist() == [sheets.text(time, ".") for time in far]
