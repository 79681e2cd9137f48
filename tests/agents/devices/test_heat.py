"""Heat pumps and tanks: heat in = stored + drawn + lost, the band wherever the power suffices, floats as an oracle."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.devices import Moment
from agents.devices.heat_pump import HeatPump, HeatPumps
from agents.devices.hot_water import Tank, Tanks
from agents.heat import UDEG
from market.units import IntArray
from tests.kits.device_kit import NIGHTS, column, heat_pumps, moments_from, tanks, walk
from tests.kits.sample_kit import some

many = settings(max_examples=some(40, 13), suppress_health_check=[HealthCheck.too_slow], deadline=None)
outdoors = st.lists(st.floats(-25, 38), min_size=72, max_size=72)
NOTHING = np.zeros(1, dtype=np.int64)


def weathered(start: str, minutes: int, outdoor_c: list[float]) -> list[Moment]:
    """Intervals with a temperature outdoors each."""
    moments = moments_from(start, len(outdoor_c), minutes)
    return [replace(moment, weather={"temp_c": c}) for moment, c in zip(moments, outdoor_c, strict=True)]


def commands(seed: int, steps: int) -> list[IntArray]:
    """Anything a controller might ask for."""
    return list(np.random.default_rng(seed).integers(-5_000, 9_000, (steps, 1)))


@many
@given(heat_pumps, outdoors, st.sampled_from((15, 60)), st.integers(0, 99))
def test_the_heat_of_a_building_is_stored_or_lost_to_the_last_digit(
    spec: HeatPump, outdoor_c: list[float], minutes: int, seed: int
) -> None:
    """And what is lost is what a building loses: between the losses at the highest and the lowest difference."""
    moments = weathered(NIGHTS[2], minutes, outdoor_c)
    moved, states = walk(HeatPumps([spec], minutes), commands(seed, 72), moments)
    room, heat, lost = (column(states, name)[:, 0] for name in ("room_udeg", "heat_mwh", "lost_nwh"))
    capacity_mwh = spec.capacity_wh_per_k * 1_000
    assert (heat[1:] * 1_000_000 == np.diff(room) * capacity_mwh + lost[1:]).all()
    taken = np.stack(moved)[:, 0]
    cop = np.clip([spec.cop_milli + spec.cop_milli_per_k * (c - 7) for c in outdoor_c], 1_000, 10_000)
    assert (np.abs(heat[1:] - taken * cop) <= taken + 1e-6).all()
    assert ((taken >= 0) & (taken <= spec.power_w * minutes // 60)).all()
    difference = np.stack((room[:-1], room[1:])) / UDEG - np.array(outdoor_c)
    rate = spec.heat_loss_w_per_k * minutes / 60 * 1e9
    slack = capacity_mwh * 3
    assert (lost[1:] >= rate * difference.min(axis=0) - slack).all()
    assert (lost[1:] <= rate * difference.max(axis=0) + slack).all()


@many
@given(heat_pumps, outdoors, st.sampled_from((15, 60)), st.integers(0, 99))
def test_a_building_does_what_an_independent_simulation_does(
    spec: HeatPump, outdoor_c: list[float], minutes: int, seed: int
) -> None:
    """The closed form of the differential equation in floats, driven by the same energy: within a ten-thousandth."""
    moments = weathered(NIGHTS[2], minutes, outdoor_c)
    moved, states = walk(HeatPumps([spec], minutes), commands(seed, 72), moments)
    hours = minutes / 60
    keep = exp(-spec.heat_loss_w_per_k * hours / spec.capacity_wh_per_k)
    room = states[0]["room_udeg"][0] / UDEG
    for t, outdoor in enumerate(outdoor_c):
        cop = min(max(spec.cop_milli / 1e3 + spec.cop_milli_per_k / 1e3 * (outdoor - 7), 1), 10)
        watts = int(moved[t][0]) * cop / hours
        room = outdoor + (room - outdoor) * keep + watts / spec.heat_loss_w_per_k * (1 - keep)
        assert abs(states[t + 1]["room_udeg"][0] / UDEG - room) < 0.05


@many
@given(heat_pumps, outdoors, st.sampled_from((15, 60)), st.integers(0, 99))
def test_comfort_is_kept_whenever_the_power_suffices(
    spec: HeatPump, outdoor_c: list[float], minutes: int, seed: int
) -> None:
    """Below the band only at full power, above it only without any, and the degree-hours say how far."""
    moments = weathered(NIGHTS[2], minutes, outdoor_c)
    moved, states = walk(HeatPumps([spec], minutes), commands(seed, 72), moments)
    most = spec.power_w * minutes // 60
    for taken, state in zip(moved, states[1:], strict=True):
        room = int(state["room_udeg"][0])
        if room < spec.low_udeg:
            assert taken[0] == most
        if room > spec.high_udeg:
            assert taken[0] == 0
        assert state["cold"][0] == max(spec.low_udeg - room, 0) * minutes // 60_000
        assert state["warm"][0] == max(room - spec.high_udeg, 0) * minutes // 60_000


@many
@given(tanks, st.sampled_from(NIGHTS), st.sampled_from((15, 60)), st.integers(0, 99))
def test_the_heat_of_a_tank_is_stored_drawn_or_lost_to_the_last_digit(
    spec: Tank, start: str, minutes: int, seed: int
) -> None:
    moments = moments_from(start, 72, minutes)
    moved, states = walk(Tanks([spec], minutes), commands(seed, 72), moments)
    water, drawn, lost = (column(states, name)[:, 0] for name in ("water_udeg", "drawn_nwh", "lost_nwh"))
    heat_nwh = np.stack(moved)[:, 0] * 10**9
    assert (heat_nwh == np.diff(water) * spec.volume_l * 1_163 + drawn[1:] + lost[1:]).all()
    assert (drawn >= 0).all()
    assert (water >= min(water[0], spec.cold_udeg)).all()
    assert (water <= max(water[0], spec.high_udeg)).all()


@many
@given(tanks, st.sampled_from((15, 60)), st.integers(0, 99))
def test_a_tank_does_what_an_independent_simulation_does(spec: Tank, minutes: int, seed: int) -> None:
    """In floats, driven by the same energy, over a day without a clock change."""
    moments = moments_from(NIGHTS[2], 72, minutes)
    moved, states = walk(Tanks([spec], minutes), commands(seed, 72), moments)
    hours, water = minutes / 60, states[0]["water_udeg"][0] / UDEG
    capacity, loss = spec.volume_l * 1.163, spec.standing_loss_w / 45
    for t in range(72):
        litres = spec.draw_ml[t * minutes // 60 % 24] / 1_000 * hours
        water -= min(litres * 1.163 * (40 - 10) / capacity, max(water - 10, 0.0))
        keep = exp(-loss * hours / capacity)
        rise = (1 - keep) / loss if loss else hours / capacity
        water = 20 + (water - 20) * keep + int(moved[t][0]) / hours * rise
        assert abs(states[t + 1]["water_udeg"][0] / UDEG - water) < 0.001


@many
@given(tanks, st.sampled_from((15, 60)), st.none() | st.integers(0, 99))
def test_water_is_hot_if_full_power_all_the_time_keeps_it_hot(
    spec: Tank, minutes: int, seed: int | None
) -> None:
    """Whatever is commanded, nothing too, and also where an hour's draw is more than the heater can warm in it."""
    spec = replace(spec, initial_udeg=spec.high_udeg)
    steps = 48 * 60 // minutes
    moments = moments_from(NIGHTS[2], steps, minutes)
    _, best = walk(Tanks([spec], minutes), [np.array([10**9])] * steps, moments)
    if column(best, "cold").any() or (column(best, "water_udeg") < spec.low_udeg).any():
        return
    wanted = [NOTHING] * steps if seed is None else commands(seed, steps)
    _, states = walk(Tanks([spec], minutes), wanted, moments)
    assert not column(states, "cold").any()


def test_a_tank_is_heated_in_time_for_a_draw_that_it_knows() -> None:
    """150 litres from 7 to 8 take more than 2 kW give in that hour: as few of the hours before as it takes are used."""
    spec = Tank(200, 2_000, tuple(150_000 if hour == 7 else 0 for hour in range(24)), standing_loss_w=0)
    moments = moments_from(NIGHTS[2], 12, 60)
    moved, states = walk(Tanks([spec], 60), [NOTHING] * 12, moments)
    taken = [int(one[0]) for one in moved]
    assert taken[:5] + taken[8:] == [0] * 9
    assert taken[5:8] == [pytest.approx(1_233, abs=2), 2_000, pytest.approx(2_000, abs=2)]
    assert not column(states, "cold").any()


def test_a_draw_follows_the_local_clock_on_both_nights_of_a_clock_change() -> None:
    """A draw from 7 to 8 on the local clock, once a day."""
    spec = Tank(200, 2_000, tuple(40_000 if hour == 7 else 0 for hour in range(24)))
    for start in NIGHTS[:2]:
        moments = moments_from(start, 36, 60)
        _, states = walk(Tanks([spec], 60), [NOTHING] * 36, moments)
        drawn = np.flatnonzero(column(states, "drawn_nwh")[1:, 0])
        assert len(drawn) == 1
        assert drawn[0] == (18 if start == NIGHTS[0] else 20)


@pytest.mark.parametrize(("initial_c", "unmet_wh"), [(65, 0), (64, 0), (52, 1_395), (40, 2_791), (12, 2_791)])
def test_hot_water_is_short_by_what_is_drawn_below_forty_degrees(initial_c: int, unmet_wh: int) -> None:
    """80 l at 40 degrees cool a tank of 100 l by 24 kelvin, 2.7912 kWh; at 52 degrees it has half of that to give."""
    spec = Tank(100, 500, (80_000, *[0] * 23), initial_udeg=initial_c * UDEG)
    fleet, moments = Tanks([spec], 60), moments_from(NIGHTS[2], 2, 60)
    _, states = walk(fleet, [NOTHING] * 2, moments)
    assert [int(fleet.read(state)["hot_water_unmet_wh"][0]) for state in states] == [0, unmet_wh, 0]
