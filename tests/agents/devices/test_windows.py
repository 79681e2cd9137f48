"""Windows that a market may place: whatever it places, the device takes exactly that, and what it needs in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.devices import Fleet, Moment, Window
from agents.devices.appliance import Appliance, Appliances
from agents.devices.ev import Car, Cars
from agents.state import State
from market.horizon import starts_of
from market.orders import problem_of
from market.units import PPM, IntArray
from tests.kits.device_kit import NIGHTS, appliances, cars, moments_from

many = settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
EVERY = np.array([True])
COMMUTER = Car(50_000, 7_400, 8_000, 450, 1_050, charge_efficiency_ppm=900_000)
DISHES = Appliance(1_001, 120, 20 * 60, 6 * 60)


def placed_now(windows: tuple[Window, ...], draw: np.random.Generator) -> int:
    """What some market places in the first interval: anything that leaves the rest of each order possible. [Wh]"""
    placed = 0
    for one in windows:
        terms = one.terms
        assert problem_of(terms, 1, one.energy_wh, 0) is None
        if terms.first:
            continue
        if terms.interruptible:
            least = max(0, one.energy_wh - terms.power_wh * terms.last) if one.needed else 0
            most = min(one.energy_wh, terms.power_wh)
            placed += int(draw.choice([least, most, draw.integers(least, most + 1)]))
        else:
            starts = starts_of(one.energy_wh, terms)
            assert starts[0][0] == 0
            if len(starts) == 1 or draw.random() < 0.2:
                placed += starts[0][1][0]
    return placed


def rolled(
    fleet: Fleet, moments: list[Moment], ahead: int, seed: int
) -> tuple[list[int], list[State], list[tuple[Window, ...]]]:
    """Run a device as a market says that sees so many intervals ahead: what it takes, and what it was asked with."""
    draw, state = np.random.default_rng(seed), fleet.start()
    taken, states, asked = list[int](), [state], []
    for t in range(len(moments) - ahead):
        found = fleet.windows(state, moments[t : t + ahead], EVERY)  # type: ignore[attr-defined]
        assert found.known.all()
        busy: IntArray = np.zeros(ahead, dtype=np.int64)
        for one in found.windows:
            busy[one.terms.first : one.terms.last + 1] += 1
        assert busy.max() <= 1
        wanted = placed_now(found.windows, draw)
        moved, state = fleet.step(state, np.array([wanted]), moments[t])
        assert int(moved[0]) == wanted + int(found.fixed_wh[0, 0])
        taken.append(int(moved[0]))
        states.append(state)
        asked.append(found.windows)
    return taken, states, asked


@many
@given(
    cars(), st.sampled_from(NIGHTS), st.sampled_from((15, 60)), st.sampled_from((3, 24)), st.integers(0, 99)
)
def test_a_car_takes_what_is_placed_and_leaves_with_what_its_stay_can_give(
    car: Car, start: str, minutes: int, hours: int, seed: int
) -> None:
    """A car that only charges; what it holds when it leaves is the trip, or all that full power could have added."""
    car = Car(**{name: getattr(car, name) for name in Car.__slots__} | {"discharge_w": None})
    fleet, ahead = Cars([car], minutes), hours * 60 // minutes
    moments = moments_from(start, (3 * 24 + hours) * 60 // minutes, minutes)
    _, states, _ = rolled(fleet, moments, ahead, seed)
    gain, power = car.charge_efficiency_ppm, car.charge_w * minutes // 60
    arrived, stayed = int(states[0]["stored_uwh"][0]), 0
    for t, moment in enumerate(moments[:-ahead]):
        stay, held = fleet.stay(moment), int(states[t]["stored_uwh"][0])
        if stay.leaves[0]:
            possible = arrived + stayed * power * gain
            assert held >= min(car.trip_wh * PPM, possible, car.capacity_wh * PPM - gain)
        if not stay.home[0]:
            arrived, stayed = int(states[t + 1]["stored_uwh"][0]), 0
        else:
            stayed += 1


@many
@given(
    appliances,
    st.sampled_from(NIGHTS),
    st.sampled_from((15, 60)),
    st.sampled_from((3, 24)),
    st.integers(0, 9),
)
def test_an_appliance_starts_when_it_is_placed_and_ends_as_well_as_by_its_own_rule(
    spec: Appliance, start: str, minutes: int, hours: int, seed: int
) -> None:
    """Nothing comes late that comes in time where every run begins as early as it may."""
    fleet, ahead = Appliances([spec], minutes), hours * 60 // minutes
    moments = moments_from(start, (3 * 24 + hours) * 60 // minutes, minutes)
    taken, states, _ = rolled(fleet, moments, ahead, seed)
    early = fleet.start()
    late = best = 0
    for moment, state in zip(moments, states[1:], strict=False):
        _, early = fleet.step(early, np.array([10**6]), moment)
        best, late = best + int(early["unmet_wh"][0]), late + int(state["unmet_wh"][0])
    assert best or not late
    assert sum(taken) % spec.run_wh == 0 or int(states[-1]["left"][0])


def test_a_car_says_how_much_it_lacks_and_until_when() -> None:
    """Monday noon at home with 3 of the 8 kWh of tomorrow's trip: 5 kWh / 0.9 until 7:30."""
    car, moments = Cars([COMMUTER], 60), moments_from("2016-05-16T18:00", 24, 60)
    state = car.start() | {"stored_uwh": np.array([3_000 * PPM])}
    (one,) = car.windows(state, moments, EVERY).windows
    assert (one.energy_wh, one.needed) == (5_556, True)
    assert (one.terms.first, one.terms.last, one.terms.power_wh, one.terms.interruptible) == (0, 12, 7_400, 1)
    # What it has at the end of the stay it uses; the next trip is Wednesday's, beyond the horizon.
    assert not car.windows(car.start() | {"stored_uwh": np.array([9_000 * PPM])}, moments[:12], EVERY).windows


def test_energy_of_a_trip_beyond_the_horizon_waits_for_a_low_price() -> None:
    car, moments = Cars([COMMUTER], 60), moments_from("2016-05-16T18:00", 6, 60)
    (one,) = car.windows(car.start(), moments, EVERY).windows
    assert (one.energy_wh, one.needed, one.terms.least_wh) == (8_889, False, 0)
    # Four hours later the horizon ends when only full power makes it ready.
    slow = Cars([Car(50_000, 700, 8_000, 450, 1_050, charge_efficiency_ppm=900_000)], 60)
    (one,) = slow.windows(slow.start(), moments_from("2016-05-16T18:00", 10, 60), EVERY).windows
    assert one.needed
    assert one.energy_wh == one.terms.least_wh == -(-(8_000 - 3 * 630) * PPM // 900_000)


def test_cars_that_give_energy_too_are_run_by_their_homes() -> None:
    both = Cars([Car(50_000, 7_400, 8_000, 450, 1_050, discharge_w=5_000), COMMUTER], 60)
    found = both.windows(both.start(), moments_from("2016-05-16T18:00", 24, 60), np.array([True, True]))
    assert found.known.tolist() == [False, True]
    assert {one.home for one in found.windows} == {1}


def test_a_run_is_one_piece_within_its_window_and_what_has_begun_goes_on() -> None:
    fleet, moments = Appliances([DISHES], 60), moments_from("2016-05-16T18:00", 24, 60)
    (one,) = fleet.windows(fleet.start(), moments, EVERY).windows
    assert (one.energy_wh, one.terms.first, one.terms.last, one.terms.interruptible) == (1_001, 2, 11, 0)
    _, begun = fleet.step(fleet.start(), np.array([501]), moments[2])
    found = fleet.windows(begun, moments[3:], EVERY)
    assert found.windows == ()
    assert found.fixed_wh[:2, 0].tolist() == [500, 0]


@pytest.mark.parametrize("hours", [1, 2])
def test_a_run_that_a_short_horizon_cannot_hold_begins_at_its_last_moment(hours: int) -> None:
    fleet, moments = Appliances([DISHES], 60), moments_from("2016-05-17T04:00", hours, 60)
    found = fleet.windows(fleet.start(), moments, EVERY)
    assert len(found.windows) == (hours == 2)
    assert found.fixed_wh[0, 0] == (0 if hours == 2 else 501)
