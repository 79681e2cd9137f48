"""Simulated generators: what pvlib says for the middle of each interval, whatever a controller asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.devices import Moment, pv
from agents.devices.pv import Generator, Generators
from agents.errors import ImpossibleDevice
from optimizer.solver.builder import ModelBuilder
from tests.kits.device_kit import column, moments_from, walk

SKY = {"ghi": 520.0, "dni": 610.0, "dhi": 130.0, "temp_c": 17.0}


def generator(**changed: int) -> Generator:
    """A roof in Munich that faces south."""
    values = {
        "peak_w": 6_000,
        "tilt_udeg": 35_000_000,
        "azimuth_udeg": 180_000_000,
        "latitude_udeg": 48_100_000,
        "longitude_udeg": 11_600_000,
    }
    return Generator(**(values | changed))


def test_without_the_optional_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pv, "find_spec", lambda name: None)
    with pytest.raises(ImpossibleDevice, match=r"pip install 'wattswap\[solar\]'"):
        generator()


@pytest.mark.parametrize(
    ("field", "value", "key"),
    [
        ("tilt_udeg", 91_000_000, "tilt"),
        ("azimuth_udeg", -1, "azimuth"),
        ("latitude_udeg", 90_000_001, "latitude"),
        ("longitude_udeg", -181_000_000, "longitude"),
        ("peak_w", 0, "peak_kw"),
    ],
)
def test_an_impossible_place_or_orientation_is_refused(
    field: str, value: int, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pv, "find_spec", lambda name: "found")
    with pytest.raises(ImpossibleDevice) as caught:
        generator(**{field: value})
    assert [fault[0] for fault in caught.value.faults] == [key]


@pytest.fixture
def pvlib() -> object:
    """The optional package."""
    return pytest.importorskip("pvlib")


def day(minutes: int = 15) -> list[Moment]:
    """A day of June under one sky that knows no night: the sun's position alone decides."""
    return moments_from("2016-06-06T00:00", 24 * 60 // minutes, minutes, weather=SKY)


def test_it_gives_what_the_whole_chain_of_pvlib_gives(pvlib: object) -> None:
    """By its interface on stamps, for one roof: position, plane, cell and power of each interval's middle."""
    import pandas as pd
    from pvlib import irradiance, pvsystem, solarposition, temperature

    moments = day()
    moved, states = walk(Generators([generator()], 15), [np.array([9_999])] * len(moments), moments)
    middle = pd.to_datetime([one.start_s + 450 for one in moments], unit="s", utc=True)
    sun = solarposition.get_solarposition(middle, 48.1, 11.6, altitude=0)
    plane = irradiance.get_total_irradiance(
        35.0,
        180.0,
        sun["apparent_zenith"],
        sun["azimuth"],
        SKY["dni"],
        SKY["ghi"],
        SKY["dhi"],
        dni_extra=irradiance.get_extra_radiation(158),
        albedo=0.2,
        model="haydavies",
    )["poa_global"]
    cell = temperature.faiman(plane, SKY["temp_c"])
    expected = pvsystem.pvwatts_dc(plane, cell, 6_000, -0.004).to_numpy() * 0.86 / 4
    given = column(states, "given_wh")[1:, 0]
    assert np.abs(given - np.maximum(np.nan_to_num(expected), 0)).max() < 2
    assert (np.stack(moved)[:, 0] == -given).all()
    assert 3_200 / 4 < given.max() < 4_000 / 4


def test_a_dark_sky_gives_nothing_and_east_gives_before_west(pvlib: object) -> None:
    moments = day(60)
    dark = [replace(one, weather=dict.fromkeys(SKY, 0.0)) for one in moments]
    fleet = Generators([generator(azimuth_udeg=90_000_000), None, generator(azimuth_udeg=270_000_000)], 60)
    nothing = np.zeros(3, dtype=np.int64)
    assert not np.stack(walk(fleet, [nothing] * 24, dark)[0]).any()
    given = -np.stack(walk(fleet, [nothing] * 24, moments)[0])
    assert not given[:, 1].any()
    east, west = (np.average(np.arange(24), weights=given[:, i] - given[:, i].min()) for i in (0, 2))
    assert east + 2 < west


def test_a_home_alone_gives_what_it_gives_among_others(pvlib: object) -> None:
    roofs = [generator(), generator(latitude_udeg=52_000_000), None, generator(tilt_udeg=0)]
    moments, nothing = day(60), np.zeros(4, dtype=np.int64)
    together, _ = walk(Generators(roofs, 60), [nothing] * 24, moments)
    for home, roof in enumerate(roofs):
        alone, _ = walk(Generators([roof], 60), [nothing[:1]] * 24, moments)
        assert (np.stack(alone)[:, 0] == np.stack(together)[:, home]).all()


def test_a_plan_knows_what_it_gives(pvlib: object) -> None:
    moments, fleet, model = day(60), Generators([generator()], 60), ModelBuilder()
    takes, gives = fleet.block(model, 0, fleet.start(), moments)
    moved, _ = walk(fleet, [np.zeros(1, dtype=np.int64)] * 24, moments)
    compiled = model.compile()
    assert compiled.upper[takes].tolist() == [0.0] * 24
    assert compiled.lower[gives].tolist() == compiled.upper[gives].tolist() == [-int(one[0]) for one in moved]
