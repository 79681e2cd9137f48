"""An answer that turns the sign of a register is refused by formats that say themselves which way energy flows."""

from __future__ import annotations

import pytest

from data.formats import Hints, read, recognise
from tests.kits.fixture_kit import METERS, Fixture

REGISTERS = {
    "espi_direction_said": None,
    "home_assistant_csv_day": "sensor.grid_t1",
    "mscons_lastgang": "1-1:1.29.0",
    "nem12_solar_and_controlled_load": "E1",
}
"""A register of a fixture that an answer can name; None where it is the one that the fixture's own answers name."""


@pytest.mark.parametrize("name", sorted(REGISTERS))
def test_no_sign_is_dropped_or_turned_in_silence(name: str) -> None:
    fixture = Fixture(METERS / name)
    register = REGISTERS[name] or next(iter(fixture.hints.channels))
    reading = read(fixture.path, recognise(fixture.path), Hints(channels={register: "-import"}))
    assert reading.data is None
    assert "wrong_answer" in {finding.code for finding in reading.findings}
