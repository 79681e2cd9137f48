"""`data.weather`: what forecasters get, what is refused, and that another file is another scenario."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from tests.kits.run_kit import FIRST, call, refused, write_street
from wattswap.errors import InvalidData
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import from_resolved

Capture = pytest.CaptureFixture[str]
USED = ["data.weather=weather.csv"]


def street_with_weather(folder: Path, hours: int = 72, temp_c: float = 20) -> Path:
    street = write_street(folder / "street")
    rows = [f"{FIRST + timedelta(hours=hour):%Y-%m-%dT%H:%MZ},{temp_c},0,0,0" for hour in range(hours)]
    (street / "weather.csv").write_text(
        "\n".join(["time,temp_c,ghi,dni,dhi", *rows]) + "\n", encoding="utf-8"
    )
    return street


def test_homes_get_the_weather_of_the_run_and_its_history(tmp_path: Path) -> None:
    setup = prepare(ws.load(street_with_weather(tmp_path), overrides=USED))
    assert sorted(setup.weather) == ["dhi", "dni", "ghi", "temp_c"]
    assert np.array_equal(setup.weather["temp_c"], np.full(setup.meter.intervals, 20.0))


def test_weather_that_ends_before_the_run_or_is_not_there_is_refused(tmp_path: Path, capsys: Capture) -> None:
    street = street_with_weather(tmp_path, hours=60)
    refused(
        call(capsys, "validate", street, "--set", USED[0]),
        3,
        "weather.csv: covers 2026-06-01",
        "the run with its history is",
    )
    refused(
        call(capsys, "validate", street, "--set", "data.weather=no-weather.csv"),
        3,
        "data.weather",
        "no file or folder",
    )


def test_a_run_depends_on_what_is_in_the_file(tmp_path: Path) -> None:
    street = street_with_weather(tmp_path)
    resolved = ws.load(street, overrides=USED).resolved()
    assert from_resolved(resolved, street).resolved() == resolved
    street_with_weather(tmp_path, temp_c=21)
    with pytest.raises(InvalidData, match=r"weather\.csv.* has changed since the run"):
        from_resolved(resolved, street)
