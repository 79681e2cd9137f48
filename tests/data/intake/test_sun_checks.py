"""The sun as a clock: no alarm on homes whose clock is right, and one where it is made wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from data import clock, samples
from data.intake.raw import IntakeLog
from data.intake.sun import check_sun
from data.readings import MeterData

BERLIN = ZoneInfo("Europe/Berlin")


def alarms(data: MeterData) -> Counter[str]:
    log = IntakeLog()
    check_sun(data, BERLIN, log)
    return Counter({finding.code: finding.count for finding in log.findings()})


def one_home(data: MeterData, home: int) -> MeterData:
    return data.select([data.households[home]])


def with_pv(data: MeterData, pv: np.ndarray) -> MeterData:
    return replace(data, sub_meters={**data.sub_meters, "pv": pv})


@pytest.mark.parametrize("name", ["street", "village"])
def test_homes_with_a_right_clock_raise_no_alarm(name: str) -> None:
    data = samples.load(name)
    assert not alarms(data)
    for home in np.flatnonzero(data.sub_meters["pv"].any(axis=0)).tolist():
        assert not alarms(one_home(data, home))


@pytest.mark.parametrize("name", ["street", "village"])
@pytest.mark.parametrize("change", [0, 1])
def test_a_clock_that_hides_a_change_is_found_on_each_home_alone(name: str, change: int) -> None:
    data = samples.load(name)
    pv = data.sub_meters["pv"]
    at_s, size_s = clock.changes(data.start_s, data.end_s, BERLIN)[change]
    row, shift = (at_s - data.start_s) // 900, size_s // 900
    hidden = with_pv(data, np.concatenate([pv[:row], np.roll(pv[row:], shift, axis=0)]))
    homes = np.flatnonzero(pv.any(axis=0)).tolist()
    found = [home for home in homes if alarms(one_home(hidden, home))["clock_jump"]]
    assert len(found) >= 0.5 * len(homes)
    assert alarms(hidden)["clock_jump"] >= 0.5 * len(homes)


def test_a_clock_that_is_hours_off_is_found_against_noon_and_against_neighbours() -> None:
    data = samples.load("village")
    pv = data.sub_meters["pv"]
    assert alarms(with_pv(data, np.roll(pv, 4 * 4, axis=0)))["clock_shift"] == int(pv.any(axis=0).sum())
    moved = pv.copy()
    odd = int(np.flatnonzero(pv.any(axis=0))[0])
    moved[:, odd] = np.roll(pv[:, odd], 2 * 4)
    assert alarms(with_pv(data, moved)) == {"clock_shift": 1}


def test_few_days_or_no_production_say_nothing() -> None:
    data = samples.load("street")
    assert not alarms(data.window(data.start_s, data.start_s + 4 * 86_400))
    assert not alarms(with_pv(data, np.zeros_like(data.import_wh)))
    assert not alarms(replace(data, sub_meters={}))
