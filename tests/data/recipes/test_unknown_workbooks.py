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
