"""Formats whose totals of days or longer are refused without a profile, in words that name it, and spread with one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data.formats import FORMATS, FileReading, read, recognise
from data.intake.profile import Profile
from data.intake.raw import Hints
from data.readings import ESTIMATED
from tests.kits.espi_kit import Meter, entries, feed
from tests.kits.fixture_kit import METERS, Fixture
from tests.kits.meter_kit import START

FLAT = Profile()
TOTALS = (
    "enedis_daily",
    "enphase_days",
    "espi_daily",
    "givenergy_days",
    "home_assistant_csv_month",
    "mscons_monthly",
    "nem13_accumulated",
    "nl_liander_daily",
    "solaredge_weeks",
    "us_opower_bills",
)


def codes(reading: FileReading) -> list[str]:
    return [finding.code for finding in reading.findings if finding.severity == "error"]


@pytest.mark.parametrize("name", TOTALS)
def test_the_refusal_names_the_option(name: str) -> None:
    fixture = Fixture(METERS / name)
    reading = read(fixture.path, recognise(fixture.path), replace(fixture.hints, zone="Europe/Berlin"))
    assert reading.data is None
    assert "--profile flat or --profile FILE" in " ".join(finding.message for finding in reading.findings)


@pytest.mark.parametrize("name", ["espi_daily_spread", "home_assistant_csv_month_spread"])
def test_the_zone_of_totals_is_asked_though_the_format_is_in_utc(name: str) -> None:
    fixture = Fixture(METERS / name)
    reading = read(fixture.path, recognise(fixture.path), replace(fixture.hints, zone=None))
    assert [question.option for question in reading.questions] == ["--zone"]
    wrong = read(fixture.path, recognise(fixture.path), replace(fixture.hints, zone="Asia/Tokyo"))
    assert set(codes(wrong)) == {"off_grid"}


def test_counters_of_a_day_are_refused_with_a_profile_too() -> None:
    for name in ("enedis_index", "greenchoice"):
        fixture = Fixture(METERS / name)
        reading = read(fixture.path, recognise(fixture.path), replace(fixture.hints, profile=FLAT))
        assert codes(reading) == ["too_coarse"]
        assert "--profile" not in reading.findings[0].message


def solaredge(folder: Path, unit: str, values: list[tuple[str, float]]) -> FileReading:
    path = folder / "energy.json"
    rows = [{"date": f"{date} 00:00:00", "value": value} for date, value in values]
    meters = [{"type": "Consumption", "values": rows}]
    path.write_text(json.dumps({"energyDetails": {"timeUnit": unit, "unit": "Wh", "meters": meters}}))
    return read(path, FORMATS.get("solaredge"), Hints(zone="Europe/Berlin", profile=FLAT))


@pytest.mark.parametrize(
    ("unit", "dates", "hours"),
    [
        ("WEEK", ["2015-10-19", "2015-10-26"], [169, 168]),
        ("MONTH", ["2024-02-01", "2024-03-01"], [29 * 24, 31 * 24 - 1]),
        ("YEAR", ["2023-01-01", "2024-01-01"], [8760, 8784]),
    ],
)
def test_solaredge_names_the_length_of_its_totals(
    unit: str, dates: list[str], hours: list[int], tmp_path: Path
) -> None:
    data = solaredge(tmp_path, unit, [(date, 10 * n) for date, n in zip(dates, hours, strict=True)]).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [10] * sum(hours)
    assert (data.quality == ESTIMATED).all()
    assert any("part of it" in note for note in data.source.notes)


def test_a_bill_that_ends_on_the_day_on_which_the_next_begins_is_refused(tmp_path: Path) -> None:
    text = (METERS / "us_opower_bills_spread" / "billing_data.csv").read_text()
    path = tmp_path / "bills.csv"
    path.write_text(text.replace("2023-03-12,4.70", "2023-03-13,4.70"))
    hints = Hints(zone="America/Los_Angeles", profile=FLAT)
    assert codes(read(path, recognise(path), hints)) == ["interval_length"]


def test_nem13_leaves_out_what_is_no_energy_and_asks_for_a_direction(tmp_path: Path) -> None:
    text = (METERS / "nem13_days_spread" / "nem13.csv").read_text()
    hints = Hints(zone="Australia/Sydney", profile=FLAT)
    path = tmp_path / "nem13.csv"
    path.write_text(text.replace(",METSER123,I,", ",METSER123,,"))
    asked = read(path, FORMATS.get("nem13"), hints)
    assert [question.option for question in asked.questions] == ["--channel 41"]
    path.write_text(text.replace("7.2,kWh", "7.2,kVArh"))
    data = read(path, FORMATS.get("nem13"), hints).data
    assert data is not None
    assert (int(data.import_wh.sum()), int(data.export_wh.sum())) == (7200, 0)
    path.write_text(
        text.replace("20040105093055,A,,,000107.2,20040108093055", "20040108,A,,,000107.2,20040108")
    )
    assert codes(read(path, FORMATS.get("nem13"), hints)) == ["bad_timestamp"]


def test_mscons_spreads_totals_only_where_there_are_no_intervals(tmp_path: Path) -> None:
    text = (METERS / "mscons_days_spread" / "mscons.edi").read_text()
    hour = "QTY+220:1'\nDTM+163:202404012200?+00:303'\nDTM+164:202404012300?+00:303'\n"
    path = tmp_path / "mscons.edi"
    path.write_text(text.replace("LIN+2'", f"{hour}LIN+2'").replace("UNT+23", "UNT+26"))
    data = read(path, FORMATS.get("mscons"), Hints(profile=FLAT)).data
    assert data is not None
    assert data.import_wh.tolist() == [[1000]]
    assert any("left out" in note for note in data.source.notes)


N13 = "100,NEM13,200401101030,MDA1,Ret1\n{}900\n"
RECORD = "250,NMI1234567,11,1,11,11,METER1,E,{},20040108,A,,,{},{},A,,,{},kWh,20040708,{},\n"


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([("000888", "000999", "20040408", "112", "20040409000000")], None),  # rounded
        ([("999950", "000061", "20040408", "111", "20040409000000")], None),  # rolled over
        ([("000888", "000999", "20040408", "166.5", "20040409000000")], "conflict"),
        ([("000888", "000999", "20040408", "0", "20040409000000")], "conflict"),
        (
            [
                ("000888", "001110", "20040708", "222", "20040709000000"),
                ("000888", "000999", "20040408", "111", "20040809000000"),
            ],
            "conflict",  # of the later days nothing would be left
        ),
    ],
)
def test_nem13_that_contradicts_itself_is_refused(
    records: list[tuple[str, ...]], code: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "nem13.csv"
    path.write_text(N13.format("".join(RECORD.format(*record) for record in records)))
    reading = read(path, FORMATS.get("nem13"), Hints(zone="Australia/Sydney", profile=FLAT))
    assert codes(reading) == ([code] if code else [])


def test_nem13_notes_the_factor_of_a_transformer(tmp_path: Path) -> None:
    path = tmp_path / "nem13.csv"
    path.write_text(N13.format(RECORD.format("000888", "000999", "20040408", "4440", "20040409000000")))
    data = read(path, FORMATS.get("nem13"), Hints(zone="Australia/Sydney", profile=FLAT)).data
    assert data is not None
    assert int(data.import_wh.sum()) == 4_440_000
    assert any("40 times" in note for note in data.source.notes)


def test_espi_takes_what_was_measured_before_what_a_profile_would_spread(tmp_path: Path) -> None:
    """The net of hours, with totals of days of import and export: with a profile as without one."""
    hours = tuple([500, -200] * 12 + [100] * 24)
    net = Meter(1, "net", START, 3600, hours)
    totals = [Meter(1, name, START, 86_400, (6000, 2400)) for name in ("import", "export")]
    path = tmp_path / "feed.xml"
    path.write_text(feed(entries([*totals, net])))
    data = read(path, FORMATS.get("espi"), Hints(zone="UTC", profile=FLAT)).data
    assert data is not None
    assert (data.import_wh - data.export_wh)[:, 0].tolist() == list(hours)
    assert not (data.quality == ESTIMATED).any()


def test_usage_that_is_given_twice_is_not_summed(tmp_path: Path) -> None:
    lines = (METERS / "us_opower_bills_spread" / "billing_data.csv").read_text().splitlines()
    at = next(row for row, line in enumerate(lines) if line.startswith("TYPE,"))
    for row in range(at, len(lines)):
        cells = lines[row].split(",")
        lines[row] = ",".join([*cells, *(("USAGE", "UNITS") if row == at else (cells[3], "kWh"))])
    path = tmp_path / "billing_data.csv"
    path.write_text("\n".join(lines))
    reading = read(path, FORMATS.get("us_opower_bills"), Hints(zone="America/Los_Angeles", profile=FLAT))
    assert reading.data is None
    assert codes(reading)
