"""The scale of production and consumption: no alarm on sound homes, one where a home is made wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from data import samples
from data.intake.raw import IntakeLog
from data.intake.scale import check_scale, check_standby, scales
from data.readings import MISSING, MeterData

NAMES = ["street", "village"]


def told(data: MeterData) -> dict[str | None, str]:
    log = IntakeLog()
    check_scale(data, log)
    assert {finding.code for finding in log.findings()} <= {"pv_scale"}
    return {finding.household: finding.message for finding in log.findings()}


def with_pv(data: MeterData, pv: np.ndarray) -> MeterData:
    return replace(data, sub_meters={**data.sub_meters, "pv": pv})


def standby(load: np.ndarray) -> list[str]:
    return [code for _, code, _ in check_standby(load, np.ones(len(load), dtype=np.bool_), 15)]


def homes_with_pv(data: MeterData) -> list[int]:
    return np.flatnonzero(data.sub_meters["pv"].any(axis=0)).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_sound_homes_raise_no_alarm(name: str) -> None:
    data = samples.load(name)
    assert not told(data)
    for home in range(len(data.households)):
        assert not standby(data.load_wh[:, home])


@pytest.mark.parametrize("name", NAMES)
def test_export_shows_the_scale_of_production_within_a_quarter(name: str) -> None:
    data = samples.load(name)
    for home in homes_with_pv(data):
        _, scale = scales(data, home)
        assert len(scale) > 10
        assert 0.75 < scale.min() < scale.max() < 1.25


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "change",
    [lambda pv: pv * 12, lambda pv: pv * 10, lambda pv: pv * 4, lambda pv: pv // 4, lambda pv: pv // 12],
)
def test_a_wrong_factor_is_found_in_each_home(name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    data = samples.load(name)
    assert len(told(with_pv(data, change(data.sub_meters["pv"])))) == len(homes_with_pv(data))


def test_the_message_names_the_factor_and_when_it_begins() -> None:
    data = samples.load("street")
    pv = data.sub_meters["pv"].copy()
    pv[len(pv) // 2 :, 0] *= 4
    found = told(with_pv(data, pv))
    assert list(found) == [data.households[0]]
    message = found[data.households[0]]
    factor = float(message.split(" times ")[0].split()[-1])
    assert factor == pytest.approx(4, rel=0.1)
    assert " fortnights, the first from 20" in message


def test_production_that_never_exceeds_a_few_watts_is_named() -> None:
    data = samples.load("village")
    pv = data.sub_meters["pv"].copy()
    home = homes_with_pv(data)[0]
    pv[:, home] = (pv[:, home] > 0) * 5
    assert "never exceeds 20 W" in told(with_pv(data, pv))[data.households[home]]


def test_homes_without_export_or_measurements_say_nothing() -> None:
    data = samples.load("village")
    wrong = with_pv(data, data.sub_meters["pv"] * 10)
    assert not told(replace(wrong, export_wh=np.zeros_like(data.export_wh)))
    assert not told(replace(wrong, quality=np.full_like(data.quality, MISSING)))
    assert not told(replace(wrong, sub_meters={}))


def test_a_frozen_consumption_is_found_and_a_coarse_one_is_not() -> None:
    load = samples.load("village").load_wh[:, 0].copy()
    load[200:296] = 57
    assert standby(load) == ["frozen_load"]
    load[200:296] = 57, *[58] * 95  # one interval short of a day
    assert standby(load) == []
    coarse = np.tile([100, 200], 480)
    coarse[:96] = 200
    assert standby(coarse) == []


def test_nights_at_zero_in_a_row_are_found_and_single_ones_are_not() -> None:
    load = np.maximum(samples.load("village").load_wh[:, 0], 1)
    for night in (0, 1, 5, 8):
        load[night * 96 : night * 96 + 12] = 0
    assert standby(load) == []
    load[2 * 96 : 2 * 96 + 12] = 0
    assert standby(load) == ["standby_zero"]
    load[2 * 96 + 5] = 1
    assert standby(load) == []


def test_a_home_that_never_rests_is_found() -> None:
    assert standby(np.tile([749, 900, 2000], 320)) == []
    assert standby(np.tile([751, 900, 2000], 320)) == ["high_standby"]
