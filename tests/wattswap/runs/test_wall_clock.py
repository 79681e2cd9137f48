"""Intervals of zones that are half or three quarter hours away from UTC begin on the local hour, in every command."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import wattswap as ws
from data import formats
from data.formats import plain
from tests.kits.run_kit import call, one_object
from tests.kits.sample_kit import sample_of
from wattswap.errors import InvalidScenario
from wattswap.results import RunResult

SCENARIO = """\
schema = 1
name = "clock"
currency = "EUR"

[data]
path = "meter.csv"

[homes]
strategy = "truthful"
forecast = "perfect_foresight"

[tariff]
import_per_kwh = 0.32
feed_in_per_kwh = 0.08

[[tariff.time_of_use]]
from = "06:00"
to = "08:00"
import_per_kwh = 0.40

[time]
zone = "{zone}"
"""
Capture = pytest.CaptureFixture[str]
ZONES = ("Asia/Kolkata", "Asia/Kathmandu", "Australia/Darwin", "America/St_Johns")
ZONES_AND_MINUTES = [(zone, minutes) for zone in ZONES for minutes in (15, 30, 60)]


def street(folder: Path, zone: str, minutes: int, *, offset: bool = True, days: int = 2) -> Path:
    """Two homes over local days from midnight: one needs 0.1 kWh in each interval, the other gives as much."""
    first = datetime(2026, 4, 1, tzinfo=ZoneInfo(zone))
    lines = ["timestamp,household,import_kwh,export_kwh"]
    for i in range(days * 24 * 60 // minutes):
        at = (first + timedelta(minutes=i * minutes)).isoformat()
        at = at if offset else at[:19]
        lines += [f"{at},asha,0.1,0", f"{at},ravi,0,0.1"]
    (folder / "meter.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "scenario.toml").write_text(SCENARIO.format(zone=zone), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("zone", "minutes"), sample_of(ZONES_AND_MINUTES, ZONES_AND_MINUTES[2::4]))
def test_a_run_covers_whole_local_hours(zone: str, minutes: int, tmp_path: Path) -> None:
    run = ws.run(ws.load(street(tmp_path, zone, minutes)), out=tmp_path / "runs")
    prices = run.prices()
    assert len(prices) == 2 * 24 * 60 // minutes
    local = prices.index.tz_convert(zone)
    assert (local[0].hour, local[0].minute) == (0, 0)
    dear = {
        (at.hour, at.minute)
        for at, price in zip(local, prices["import_per_kwh"], strict=True)
        if price > 0.39
    }
    assert {hour for hour, _ in dear} == {6, 7}


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu"])
def test_quarters_are_added_up_to_local_hours(zone: str, tmp_path: Path) -> None:
    scenario = ws.load(street(tmp_path, zone, 15), overrides=["time.interval_minutes=60"])
    run = ws.run(scenario, out=tmp_path / "runs")
    starts = run.prices().index
    assert len(starts) == 48
    assert {at.minute for at in starts.tz_convert(zone)} == {0}


@pytest.fixture(scope="module")
def indian(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = street(tmp_path_factory.mktemp("clock"), "Asia/Kolkata", 60)
    return ws.run(ws.load(folder, overrides=["time.start=2026-04-02", "time.days=1"]), out=folder / "runs")


def test_every_command_takes_half_hour_starts(indian: RunResult, capsys: Capture, tmp_path: Path) -> None:
    start = "2026-04-01T18:30Z"
    for words in (["verify", indian.path], ["report", indian.path], ["chain", "verify", indian.path]):
        assert call(capsys, *words).code == 0
    assert len(one_object(call(capsys, "show", indian.path, "prices", "--json"))["rows"]) == 24
    assert "02 Apr 2026 00:00 (Asia/Kolkata)" in call(capsys, "show", indian.path, "book", start).out
    assert call(capsys, "chain", "prove", indian.path, "asha", start).code == 0


def test_an_instant_with_its_offset_and_no_zone_runs_and_verifies(tmp_path: Path, capsys: Capture) -> None:
    street(tmp_path, "Asia/Kolkata", 60)
    text = (
        SCENARIO.split("[[tariff")[0] + "[time]\nstart = 2026-04-01T06:00:00+05:30\ninterval_minutes = 60\n"
    )
    (tmp_path / "scenario.toml").write_text(text, encoding="utf-8")
    run = ws.run(ws.load(tmp_path), out=tmp_path / "runs")
    assert run.manifest["start"].startswith("2026-04-01T00:30")
    assert call(capsys, "verify", run.path).code == 0


def test_local_stamps_and_converted_files_give_the_same_readings(tmp_path: Path) -> None:
    with_offset = formats.load(street(tmp_path, "Asia/Kolkata", 60) / "meter.csv")
    local = formats.load(
        street(tmp_path, "Asia/Kolkata", 60, offset=False) / "meter.csv", zone="Asia/Kolkata"
    )
    plain.write(local, tmp_path / "again.csv")
    again = formats.load(tmp_path / "again.csv")
    for data in (local, again):
        assert (data.start_s, data.intervals) == (with_offset.start_s, 48)
        assert (data.import_wh == with_offset.import_wh).all()


def test_stamps_in_the_middle_of_local_hours_are_refused(tmp_path: Path) -> None:
    path = street(tmp_path, "Europe/Berlin", 60, offset=False) / "meter.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(":00:00,", ":30:00,"), encoding="utf-8")
    report = formats.check(path, zone="Europe/Berlin")
    assert {finding.code for finding in report.findings} == {"off_grid"}


def test_a_start_inside_a_local_hour_is_refused(tmp_path: Path) -> None:
    street(tmp_path, "Asia/Kolkata", 60)
    with pytest.raises(InvalidScenario, match="not on a 60-minute boundary"):
        ws.load(tmp_path, overrides=["time.start=2026-04-01T06:15:00", "time.interval_minutes=60"])
    scenario = ws.load(tmp_path, overrides=["time.start=2026-04-01T06:30:00"])
    with pytest.raises(InvalidScenario, match="not on a 60-minute boundary"):
        ws.run(scenario, out=tmp_path / "runs")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("time.zone=Asia/Calcuta", "no time zone 'Asia/Calcuta'"),
        ("time.zone=localtime", "'localtime' is a setting of a machine and no place"),
        ("time.zone=right/Asia/Kolkata", "did you mean 'Asia/Kolkata'?"),
        ("time.interval_minutes=7", "5, 15, 30, 60"),
        ("time.interval_minutes=45", "5, 15, 30, 60"),
    ],
)
def test_a_zone_or_a_length_that_does_not_exist_is_refused_in_one_sentence(
    override: str, sentence: str, tmp_path: Path
) -> None:
    street(tmp_path, "Asia/Kolkata", 60)
    with pytest.raises(InvalidScenario) as refused:
        ws.load(tmp_path, overrides=[override])
    assert len(refused.value.problems) == 1
    assert sentence in str(refused.value)
