"""Workbooks of no known format are read like text: the sheet that holds a table, what is above it, its dates."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from data.formats import FORMATS, read
from data.intake.file import MeterFile
from data.intake.raw import Hints
from data.recipes.infer import Inferred, NoTable
from data.recipes.infer_file import inferred
from tests.kits.workbook_kit import Cell, write_xlsx

pytest.importorskip("python_calamine")

BEGIN = datetime(2026, 1, 31, 23, 0)
ENERGY = (0.184, 0.201, 0.155, 0.149, 0.162)


def table(name: str = "Netzbezug [kWh]") -> list[list[Cell]]:
    rows: list[list[Cell]] = [["Kunde", "REDACTED"], [], ["Zeit", name, "Netzeinspeisung [kWh]"]]
    rows += [[BEGIN + timedelta(minutes=15 * n), kwh, 0.0] for n, kwh in enumerate(ENERGY)]
    return rows


def test_the_sheet_with_a_table_is_read_once_the_rest_is_answered(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "meter.xlsx", {"Cover": [["Stadtwerke"]], "Werte": table()})
    found = inferred(MeterFile(path), Hints())
    assert isinstance(found, Inferred)
    assert found.grid.sheet == "Werte"
    assert (
        found.table.why == "row 3 has names, the rows from 4 on data"
    )  # as the sheet counts, blank rows among them
    assert {question.option for question in found.questions} == {"--stamp", "--zone"}
    data = read(path, FORMATS.get("generic"), Hints(zone="Europe/Berlin", stamp="start")).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [184, 201, 155, 149, 162]
    assert data.start_s % 86_400 == 22 * 3600


def test_two_sheets_with_tables_are_not_chosen_between(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "meter.xlsx", {"2025": table(), "2026": table("Verbrauch [kWh]")})
    found = inferred(MeterFile(path), Hints())
    assert isinstance(found, NoTable)
    assert found.code == "sheets"


def test_columns_of_three_homes_are_told_to_be_imported_one_by_one(tmp_path: Path) -> None:
    names = ("Anna (kWh)", "Ben (kWh)", "Cleo (kWh)")
    rows: list[list[Cell]] = [["Time", *names]]
    rows += [[BEGIN + timedelta(minutes=15 * n), kwh, kwh / 2, kwh * 3] for n, kwh in enumerate(ENERGY)]
    path = write_xlsx(tmp_path / "homes.xlsx", {"kWh": rows})
    said = dict.fromkeys(names, "import")
    asked = read(
        path, FORMATS.get("generic"), Hints(zone="Europe/Berlin", stamp="start", channels=said)
    ).questions
    assert {question.option for question in asked} == {f'--channel "{name}"' for name in names}
    assert all(
        "all import; ignore all but one" in question.asks and "--map" in question.asks for question in asked
    )
