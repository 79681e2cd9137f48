"""Table files as their owners downloaded them: what is read sums to what the csv module sums, within 1 Wh a column."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from data.formats import read, recognise
from data.intake.raw import Hints
from data.readings import MISSING, MeterData

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
EXPORTS = SHARED / "meter_exports"

Rows = list[list[str]]


def rows_of(path: Path, separator: str) -> Rows:
    """The rows below the header, by the csv module alone."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row for row in csv.reader(file, delimiter=separator) if row][1:]


def one(pattern: str, folder: Path = EXPORTS) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} in the shared data beside the repository")
    return found[0]


def loaded(path: Path, format: str, zone: str | None = None) -> MeterData:
    assert recognise(path).name == format
    reading = read(path, recognise(path), Hints(zone=zone))
    assert reading.data is not None, [str(finding) for finding in reading.findings[:3]]
    return reading.data


def assert_sums(data: MeterData, import_wh: float, export_wh: float, columns: int) -> None:
    assert abs(int(data.import_wh.sum()) - import_wh) <= columns
    assert abs(int(data.export_wh.sum()) - export_wh) <= columns
    assert import_wh > 0


def number(text: str) -> float:
    return float(text.replace(",", ".") or 0)


def total(rows: Iterable[list[str]], *columns: int) -> float:
    return sum(number(row[column]) for row in rows for column in columns)


def test_dsmr_reader() -> None:
    path = one("dsmr_reader/*.csv")
    rows = rows_of(path, ",")
    data = loaded(path, "dsmr_reader")
    assert_sums(data, 1000 * total(rows, 1, 2), 1000 * total(rows, 3, 4), 2)
    assert data.minutes == 60
    assert data.intervals == 8784
    assert int((data.quality == MISSING).sum()) == 8784 - len(rows)


def test_fluvius() -> None:
    path = one("fluvius/*.csv")
    rows = rows_of(path, ";")
    data = loaded(path, "fluvius")
    wanted = [
        1000 * total((row for row in rows if row[7].startswith(word)), 8) for word in ("Offtake", "Injection")
    ]
    assert_sums(data, wanted[0], wanted[1], 2)
    assert data.minutes == 15
    assert data.intervals == 71 * 96 + 4  # one day of 25 hours
    assert int((data.quality == MISSING).sum()) == 1  # the first quarter hour: "No consumption"


def test_enel_distribuzione() -> None:
    path = one("enel_distribuzione/*.csv")
    rows = rows_of(path, ";")
    data = loaded(path, "enel_distribuzione")
    assert_sums(data, 1000 * total(rows, *range(1, 97)), 0, 1)
    assert data.intervals == 30 * 96


def test_enphase_of_a_plant_alone_is_no_home() -> None:
    path = one("enphase/*.csv")
    assert recognise(path).name == "enphase"
    reading = read(path, recognise(path), Hints(zone="Europe/Amsterdam"))
    assert [finding.code for finding in reading.findings] == ["no_register"]


def test_greenchoice_is_refused_as_daily() -> None:
    path = one("greenchoice/*.csv")
    reading = read(path, recognise(path), Hints())
    assert [finding.code for finding in reading.findings] == ["too_coarse"]


@pytest.mark.parametrize(
    ("pattern", "format", "columns"),
    [
        ("homewizard/homewizard_2022*.csv", "homewizard", ((1, 2), (3, 4))),
        ("homewizard/*3_phase*.csv", "homewizard_total", ((1,), (2,))),
    ],
)
def test_homewizard(pattern: str, format: str, columns: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    path = one(pattern)
    rows = rows_of(path, ",")
    wanted = [1000 * (total(rows[-1:], *both) - total(rows[:1], *both)) for both in columns]
    data = loaded(path, format, "Europe/Amsterdam")
    assert abs(int(data.import_wh.sum()) - wanted[0]) <= 2
    assert abs(int(data.export_wh.sum()) - wanted[1]) <= 2
    assert wanted[1] > 0
    assert data.intervals == len(rows) - 1


def counted(rows: Rows, column: int) -> float:
    """Energy between neighbouring readings that are both there: what a counter shows of the intervals it has. [Wh]"""
    pairs = pairwise(rows)
    return 1000 * sum(number(b[column]) - number(a[column]) for a, b in pairs if a[column] and b[column])


def test_opsd_cossmic() -> None:
    path = one("*.csv", SHARED / "opsd_cossmic")
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
    rows = rows_of(path, ",")
    data = loaded(path, "opsd_cossmic")
    assert data.households == ("residential4",)
    prefix = "DE_KN_residential4_"

    def wanted(name: str) -> float:
        return counted(rows, header.index(prefix + name))

    assert_sums(data, wanted("grid_import"), wanted("grid_export"), 1)
    for name in ("pv", "heat_pump", "ev", "dishwasher", "freezer", "refrigerator", "washing_machine"):
        assert abs(int(data.sub_meters[name].sum()) - wanted(name)) <= 1, name
