"""A device whose meter begins later than its home is 0 before, and so is export a day later; nothing else is."""

from __future__ import annotations

import pytest

from data.findings import Finding
from data.formats import FileReading
from data.intake.raw import OTHER_LOAD, Channel
from data.readings import ESTIMATED, MEASURED, MISSING
from tests.kits.intake_kit import EXPORT, IMPORT, codes, intake, table
from tests.kits.meter_kit import START

HOUR = 3600
PUMP = Channel("heat_pump")
GRID: dict[Channel, list[float | None]] = {IMPORT: [1, 1, 1, 1], EXPORT: [0, 0, 0, 0]}


def late(reading: FileReading) -> list[Finding]:
    return [finding for finding in reading.findings if finding.code == "begins_late"]


@pytest.mark.parametrize("apart", [True, False], ids=["rows", "cells"])
def test_a_device_that_begins_later_is_zero_before(apart: bool) -> None:
    if apart:
        reading = intake(table(GRID), table({PUMP: [2, 3]}, at=START + 2 * HOUR, line=6))
    else:
        reading = intake(table(GRID | {PUMP: [None, None, 2, 3]}))
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [MEASURED] * 4
    assert reading.data.sub_meters["heat_pump"][:, 0].tolist() == [0, 0, 2000, 3000]
    (finding,) = reading.findings
    assert (finding.code, finding.severity, finding.line) == ("begins_late", "warning", 6 if apart else 4)


def test_the_counter_of_a_device_that_begins_later_is_zero_before() -> None:
    counters = {Channel(name, kind="counter"): cells for name, cells in [
        ("import", [10, 11, 12, 13, 14]), ("export", [0, 0, 0, 0, 0]), ("heat_pump", [None, None, 5, 6, 6.5])
    ]}  # fmt: skip
    reading = intake(table(counters))
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [MEASURED] * 4
    assert reading.data.import_wh[:, 0].tolist() == [1000] * 4
    assert reading.data.sub_meters["heat_pump"][:, 0].tolist() == [0, 0, 1000, 500]
    assert len(late(reading)) == 1
    assert all("missing" not in finding.message for finding in reading.findings)


def test_a_gap_after_the_first_reading_is_missing() -> None:
    reading = intake(table(GRID | {PUMP: [None, 2, None, 3]}))
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [MEASURED, MEASURED, MISSING, MEASURED]
    assert codes(reading) == ["empty", "begins_late"] or codes(reading) == ["begins_late", "empty"]


@pytest.mark.parametrize("name", ["export", "pv", "battery", "load"])
def test_a_register_or_production_that_begins_later_is_missing_before(name: str) -> None:
    grid = {IMPORT: [1, 1, 1, 1]} | ({} if name == "export" else {EXPORT: [0, 0, 0, 0]})
    reading = intake(table(grid), table({Channel(name): [2, 3]}, at=START + 2 * HOUR, line=6))
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [MISSING, MISSING, MEASURED, MEASURED]
    assert not late(reading)


def test_a_part_of_a_device_and_a_part_of_the_load_are_missing_before() -> None:
    parts = table(GRID | {Channel("ev", part="1"): [1, 1, 1, 1], Channel("ev", part="2"): [None, None, 1, 1]})
    load = table({Channel(OTHER_LOAD): [1, 1, 1, 1], PUMP: [None, None, 1, 1]})
    for rows in (parts, load):
        reading = intake(rows)
        assert reading.data is not None
        assert reading.data.quality[:, 0].tolist() == [MISSING, MISSING, MEASURED, MEASURED]
        assert not late(reading)


def test_a_home_of_devices_alone_is_missing_before() -> None:
    reading = intake(
        table({IMPORT: [1, 1, 1, 1]}), table({PUMP: [2, 3]}, home="b", at=START + 2 * HOUR, line=6)
    )
    if reading.data is not None and "b" in reading.data.households:
        at = reading.data.households.index("b")
        assert reading.data.quality[:2, at].tolist() == [MISSING, MISSING]
    assert not late(reading)


@pytest.mark.parametrize("apart", [True, False], ids=["rows", "cells"])
def test_export_that_begins_a_day_later_is_an_estimated_zero_before(apart: bool) -> None:
    later: list[float | None] = [None] * 26 + [2, None, 3]
    grid: dict[Channel, list[float | None]] = {IMPORT: [1] * 29}
    if apart:
        reading = intake(table(grid), table({EXPORT: later[26:]}, at=START + 26 * HOUR, line=40))
    else:
        reading = intake(table(grid | {EXPORT: later}))
    assert reading.data is not None
    flags = [ESTIMATED] * 26 + [MEASURED, MISSING, MEASURED]
    assert reading.data.quality[:, 0].tolist() == flags
    assert reading.data.import_wh[:26, 0].tolist() == [1000] * 26
    assert reading.data.export_wh[:, 0].tolist() == [0] * 26 + [2000, 0, 3000]
    (finding,) = late(reading)
    assert (finding.severity, finding.line) == ("warning", 40 if apart else 28)
    assert "as an estimate" in finding.message


def test_export_that_begins_with_import_is_missing_before_both() -> None:
    both: dict[Channel, list[float | None]] = {IMPORT: [None] * 26 + [1, 1], EXPORT: [None] * 26 + [0, 1]}
    reading = intake(table(both), table({IMPORT: [1] * 28, EXPORT: [0] * 28}, home="b", line=50))
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [MISSING] * 26 + [MEASURED] * 2
    assert not late(reading)
