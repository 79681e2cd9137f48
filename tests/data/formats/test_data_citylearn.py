"""CityLearn folders: the hidden clock, units, floored loads; and the ten Fontana homes."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from data import formats
from data.errors import InvalidMeterFile
from data.formats import check
from data.prices import load_price_series
from data.readings import ESTIMATED, MEASURED, BatterySpec, MeterData

HOMES = Path(__file__).parents[3] / ".." / "shared" / "data" / "homes_fontana_ca"
needs_homes = pytest.mark.skipif(
    not HOMES.is_dir(), reason="the shared data folder is not beside the project"
)

COLUMNS = ("month", "hour", "day_type", "non_shiftable_load", "solar_generation", "cooling_demand")
DROPPED_LINE, REPEATED_LINE = 5357, 2332
"""Lines of 12 March 2017 hour 3 and of 6 November 2016 hour 2, counted from 31 July hour 24 in line 2."""


def local_rows(first: datetime, hours: int, load: float = 0.5) -> list[list[object]]:
    """Rows of a local clock that shows 24 hours each day; hour 1..24 is the end of the hour."""
    rows: list[list[object]] = []
    for i in range(hours):
        start = first + timedelta(hours=i)
        rows.append(
            [start.month, start.hour + 1, start.isoweekday(), load + i / 1000, 100.0 * (start.hour == 12), 0]
        )
    return rows


def folder_of(tmp_path: Path, rows: list[list[object]], battery: dict[str, float] | None = None) -> Path:
    building = {
        "include": True,
        "energy_simulation": "Building_1.csv",
        "pv": {"attributes": {"nominal_power": 4.0}},
        "electrical_storage": {"attributes": battery or {}},
    }
    other = {"include": False, "energy_simulation": "absent.csv"}
    (tmp_path / "schema.json").write_text(
        json.dumps({"buildings": {"Building_1": building, "Building_2": other}})
    )
    with (tmp_path / "Building_1.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return tmp_path


OCTOBER = datetime(2016, 10, 31)
"""A week of rows from here holds the American autumn change of 6 November 2016."""


def test_the_autumn_hour_is_filled_and_flagged(tmp_path: Path) -> None:
    data = formats.load(folder_of(tmp_path, local_rows(OCTOBER, 8 * 24)), zone="America/New_York")
    assert data.intervals == 8 * 24 + 1
    again = int((datetime(2016, 11, 6, 6, tzinfo=UTC).timestamp() - data.start_s) // 3600)  # 01:00 EST
    assert np.flatnonzero(data.quality[:, 0] == ESTIMATED).tolist() == [again]
    assert abs(int(data.load_wh[again, 0]) - int(data.load_wh[again - 1, 0])) <= 1
    assert any("both passes of the autumn hour" in note for note in data.source.notes)


def test_the_spring_hour_is_dropped_with_a_note(tmp_path: Path) -> None:
    data = formats.load(
        folder_of(tmp_path, local_rows(datetime(2017, 2, 28), 14 * 24)), zone="America/New_York"
    )
    assert data.intervals == 14 * 24 - 1
    assert any("skips in spring" in note for note in data.source.notes)
    assert (data.quality == MEASURED).all()


def test_the_latest_year_that_fits_is_taken_and_the_others_noted(tmp_path: Path) -> None:
    data = formats.load(folder_of(tmp_path, local_rows(OCTOBER, 48)), zone="America/New_York")
    assert any(note == "the rows start in 2016; 2011 would fit as well" for note in data.source.notes)


def test_hour_one_is_the_hour_from_midnight(tmp_path: Path) -> None:
    data = formats.load(folder_of(tmp_path, local_rows(OCTOBER, 48)), zone="America/New_York")
    assert data.start_s == int(datetime(2016, 10, 31, 4, tzinfo=UTC).timestamp())
    noon = int(datetime(2016, 10, 31, 16, tzinfo=UTC).timestamp() - data.start_s) // 3600
    assert np.flatnonzero(data.sub_meters["pv"][:, 0]).tolist() == [noon, noon + 24]


def test_production_is_per_kwp_and_registers_are_net(tmp_path: Path) -> None:
    data = formats.load(folder_of(tmp_path, local_rows(OCTOBER, 48, load=0.3)), zone="America/New_York")
    assert int(data.sub_meters["pv"].max()) == 400
    assert np.array_equal(data.import_wh - data.export_wh, data.sub_meters["load"] - data.sub_meters["pv"])
    assert (np.minimum(data.import_wh, data.export_wh) == 0).all()


def test_the_battery_efficiency_is_split_both_ways(tmp_path: Path) -> None:
    battery = {"capacity": 6.4, "nominal_power": 5.0, "efficiency": 0.81}
    data = formats.load(folder_of(tmp_path, local_rows(OCTOBER, 48), battery), zone="America/New_York")
    assert data.batteries == (BatterySpec(6400, 5000, 5000, 900_000, 900_000),)


def test_an_unknown_set_asks_for_the_zone(tmp_path: Path) -> None:
    with pytest.raises(InvalidMeterFile, match="zone_needed"):
        formats.load(folder_of(tmp_path, local_rows(OCTOBER, 48)))


def test_a_floored_load_is_flagged(tmp_path: Path) -> None:
    rows = local_rows(OCTOBER, 48)
    for row in rows[5:9]:
        row[3] = 1e-7
    folder = folder_of(tmp_path, rows)
    report = check(folder, zone="America/New_York")
    assert [(f.code, f.line, f.household) for f in report.findings] == [("floored_load", 7, "Building_1")]
    assert report.estimated_share == pytest.approx(4 / 48)


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [(3, "x", "not_a_number"), (4, -1.0, "negative"), (5, 2.0, "thermal_demand"), (1, 9, "wrong_order")],
)
def test_a_bad_building_file_is_refused(column: int, value: object, code: str, tmp_path: Path) -> None:
    rows = local_rows(OCTOBER, 48)
    rows[20][column] = value
    report = check(folder_of(tmp_path, rows), zone="America/New_York")
    assert [f.code for f in report.findings] == [code]


def test_a_missing_building_file_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, local_rows(OCTOBER, 48))
    (folder / "Building_1.csv").unlink()
    with pytest.raises(InvalidMeterFile, match=r"Building_1\.csv"):
        formats.load(folder)


def test_a_set_without_an_included_building_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, local_rows(OCTOBER, 48))
    schema = folder / "schema.json"
    schema.write_text(schema.read_text().replace("true", "false"))
    with pytest.raises(InvalidMeterFile, match="names no buildings"):
        formats.load(folder)


@pytest.fixture(scope="module")
def fontana() -> MeterData:
    return formats.load(HOMES)


def raw_columns(home: int) -> tuple[np.ndarray, np.ndarray]:
    with (HOMES / f"Building_{home}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return (
        np.array([float(row["non_shiftable_load"]) for row in rows]),
        np.array([float(row["solar_generation"]) for row in rows]),
    )


TOTALS = {  # home: load [kWh], PV per kWp [kWh], PV [kWp], hours floored; from the source note of the data
    1: (10_583, 1_803, 4, 0),
    2: (9_354, 1_356, 4, 21),
    3: (7_170, 1_455, 4, 119),
    4: (10_793, 1_222, 5, 155),
    5: (8_808, 1_517, 4, 116),
    6: (10_388, 1_622, 4, 262),
    7: (7_856, 1_765, 4, 1_133),
    8: (8_836, 1_684, 4, 16),
    9: (7_305, 1_440, 4, 0),
    10: (13_115, 1_461, 5, 5),
}


@needs_homes
@pytest.mark.parametrize("home", TOTALS)
def test_a_fontana_home_has_the_energy_of_its_file(home: int, fontana: MeterData) -> None:
    load, solar = raw_columns(home)
    load_kwh, per_kwp, kwp, _ = TOTALS[home]
    assert round(load.sum()) == load_kwh
    assert round(solar.sum() / 1000) == per_kwp
    moved = (
        load[REPEATED_LINE - 2] - load[DROPPED_LINE - 2]
    )  # the hour that comes twice, the hour that never was
    column = fontana.households.index(f"Building_{home}")
    assert fontana.load_wh[:, column].sum() == pytest.approx((load.sum() + moved) * 1000, abs=1)
    assert fontana.sub_meters["pv"][:, column].sum() == pytest.approx(solar.sum() * kwp, abs=1)


@needs_homes
def test_the_fontana_year_is_whole_and_in_californian_time(fontana: MeterData) -> None:
    assert fontana.start_s == int(datetime(2016, 8, 1, 6, tzinfo=UTC).timestamp())
    assert (fontana.intervals, fontana.minutes, len(fontana.households)) == (8760, 60, 10)
    assert fontana.batteries == (BatterySpec(6400, 5000, 5000, 948_683, 948_683),) * 10


@needs_homes
def test_the_sun_does_not_change_the_clock(fontana: MeterData) -> None:
    """The centroid of production in UTC must not jump where the local clock does."""
    pv = fontana.sub_meters["pv"].sum(axis=1)
    hour = (fontana.start_s // 3600 + np.arange(len(pv))) % 24
    for change in (datetime(2016, 11, 6, tzinfo=UTC), datetime(2017, 3, 12, tzinfo=UTC)):
        middle = int(change.timestamp() - fontana.start_s) // 3600
        week = [slice(middle - 14 * 24, middle), slice(middle + 24, middle + 15 * 24)]
        before, after = (float((pv[s] * ((hour[s] - 8) % 24)).sum() / pv[s].sum()) for s in week)
        assert abs(before - after) < 0.35


@needs_homes
def test_the_floored_hours_are_those_of_the_source_note() -> None:
    report = check(HOMES)
    floored = {f.household: f.message for f in report.findings if f.code == "floored_load"}
    expected = {f"Building_{home}": hours for home, (*_, hours) in TOTALS.items() if hours}
    assert floored.keys() == expected.keys()
    assert all(f"of {hours} hours" in floored[home] for home, hours in expected.items())
    assert [f.household for f in report.findings if f.code == "pv_absent"] == ["Building_7"]


@needs_homes
def test_the_tariff_of_the_set_lies_on_the_hours_of_the_homes(fontana: MeterData) -> None:
    start_s, minutes, micro = load_price_series(HOMES / "pricing.csv")
    assert (start_s, minutes, len(micro)) == (fontana.start_s, 60, fontana.intervals)
    assert set(micro.tolist()) == {210_000, 220_000, 400_000, 500_000, 540_000}
