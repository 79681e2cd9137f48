"""What holds for every device: order and number of homes, clock changes, checkpoints, and the linear program."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.devices import DEVICES, SHORT_COST, Fleet, Moment, limits_of
from agents.devices.appliance import Appliance
from agents.devices.battery import Battery
from agents.devices.ev import Car
from agents.devices.flexible_load import FlexibleLoad
from agents.devices.heat_pump import HeatPump
from agents.devices.hot_water import Tank
from agents.state import State, from_json, kept, to_json
from market.units import IntArray
from optimizer.solver.builder import ModelBuilder
from optimizer.solver.session import Session
from tests.kits.device_kit import NIGHTS, SPECS, column, moments_from, walk
from tests.kits.sample_kit import some

KINDS = sorted(SPECS)
WEATHER = {"temp_c": 3.5}
EXAMPLES: dict[str, Any] = {
    "appliance": Appliance(1_000, 120, 20 * 60, 6 * 60),
    "battery": Battery(5_000, 2_500, 2_500, 950_000, 950_000),
    "ev": Car(50_000, 7_400, 8_000, 450, 1_050),
    "flexible_load": FlexibleLoad(6_000, 1_500, 200),
    "heat_pump": HeatPump(2_000, 150, 8_000, 3_000),
    "hot_water": Tank(200, 2_000, (0,) * 7 + (40_000,) + (0,) * 16),
}
STEPS = 48


def commands_of(seed: int, homes: int, steps: int = STEPS) -> list[IntArray]:
    """What a controller might ask for."""
    drawn = np.random.default_rng(seed).integers(-4_000, 4_000, (steps, homes))
    return list(drawn)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_home_alone_and_in_any_order_gives_the_same_numbers(kind: str, data: st.DataObject) -> None:
    """Also with homes without a device between them, and with draws of their own."""
    specs = data.draw(st.lists(st.none() | SPECS[kind], min_size=2, max_size=5))
    minutes = data.draw(st.sampled_from((15, 60)))
    members = np.arange(len(specs)) * 3 + 1
    moments = moments_from(data.draw(st.sampled_from(NIGHTS)), STEPS, minutes, weather=WEATHER, seed=9)
    commands = commands_of(data.draw(st.integers(0, 99)), len(specs))
    order = np.array(data.draw(st.permutations(range(len(specs)))))
    fleet = DEVICES.get(kind).fleet
    moved, states = walk(fleet(specs, minutes), commands, of_homes(moments, members))
    mixed, _ = walk(
        fleet([specs[i] for i in order], minutes),
        [command[order] for command in commands],
        of_homes(moments, members[order]),
    )
    assert (np.stack(mixed) == np.stack(moved)[:, order]).all()
    for home, spec in enumerate(specs):
        alone, own = walk(
            fleet([spec], minutes),
            [command[home : home + 1] for command in commands],
            of_homes(moments, members[home : home + 1]),
        )
        assert (np.stack(alone)[:, 0] == np.stack(moved)[:, home]).all()
        for name in own[0]:
            assert (column(own, name)[:, 0] == column(states, name)[:, home]).all(), name
        if spec is None:
            assert not np.stack(alone).any()


def of_homes(moments: list[Moment], members: IntArray) -> list[Moment]:
    """The same intervals as these homes see them."""
    return [replace(moment, homes=members) for moment in moments]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_state_goes_through_a_checkpoint_at_any_interval(kind: str, data: st.DataObject) -> None:
    """Everything that a device remembers is in its state: a new fleet goes on where the old one was."""
    specs = data.draw(st.lists(SPECS[kind], min_size=1, max_size=3))
    moments = moments_from(data.draw(st.sampled_from(NIGHTS)), STEPS, 60, weather=WEATHER)
    commands, at = commands_of(3, len(specs)), data.draw(st.integers(1, STEPS - 1))
    fleet = DEVICES.get(kind).fleet
    moved, states = walk(fleet(specs, 60), commands, moments)
    saved = json.loads(json.dumps(to_json(kept(states[at], len(specs)))))
    again, _ = walk(fleet(specs, 60), commands[at:], moments[at:], from_json(saved, len(specs)))
    assert (np.stack(again) == np.stack(moved[at:])).all()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_columns_are_whole_numbers_of_every_home(kind: str, data: st.DataObject) -> None:
    """As many as the fleet names, from the first state on."""
    specs = data.draw(st.lists(st.none() | SPECS[kind], min_size=1, max_size=3))
    fleet = DEVICES.get(kind).fleet(specs, 15)
    _, states = walk(fleet, commands_of(1, len(specs), 4), moments_from(NIGHTS[2], 4, 15, weather=WEATHER))
    for state in states:
        read = fleet.read(state)
        assert set(read) == set(fleet.columns)
        assert all(found.dtype == np.int64 and found.shape == (len(specs),) for found in read.values())


def planned(fleet: Fleet, state: State, moments: list[Moment], prices: IntArray) -> tuple[list[float], float]:
    """What the linear program takes in each interval where a kWh costs a price, and what is short in it.

    Solved as the plan of a home is, without a certificate of a gap of 1e-9, which HiGHS's tolerance does not reach.
    """
    model = ModelBuilder()
    takes, gives = fleet.block(model, 0, state, moments)
    model.add_cost(takes, prices.astype(np.float64))
    model.add_cost(gives, -prices.astype(np.float64))
    compiled = model.compile()
    x = Session(compiled).answer(compiled.cost, compiled.lower, compiled.upper)
    return (x[takes] - x[gives]).tolist(), float(x[compiled.cost == SHORT_COST].sum())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_a_step_executes_the_first_interval_of_a_plan(kind: str, data: st.DataObject) -> None:
    """To the Wh, planned anew at every interval from where the device is, as a rolling plan is."""
    spec, minutes = data.draw(SPECS[kind]), data.draw(st.sampled_from((15, 60)))
    moments = moments_from(data.draw(st.sampled_from(NIGHTS)), STEPS, minutes, weather=WEATHER)
    prices = np.random.default_rng(data.draw(st.integers(0, 99))).integers(50_000, 500_000, STEPS)
    fleet = DEVICES.get(kind).fleet([spec], minutes)
    state = fleet.start()
    for t in range(12):
        ahead = slice(t, t + 24)
        plan, short = planned(fleet, state, moments[ahead], prices[ahead])
        moved, state = fleet.step(state, np.array([round(plan[0])]), moments[t])
        if short <= 1e-6:
            assert abs(int(moved[0]) - plan[0]) <= 1.0 + 1e-6 + rounded_wh(fleet)


@pytest.mark.parametrize("kind", ["ev", "heat_pump", "hot_water"])
@settings(max_examples=some(40, 13), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_a_device_that_only_takes_executes_a_whole_plan(kind: str, data: st.DataObject) -> None:
    """To the Wh in every interval, where the program leaves nothing short and none of it has been lost as heat."""
    spec, minutes = data.draw(SPECS[kind]), data.draw(st.sampled_from((15, 60)))
    if isinstance(spec, Car):
        spec = replace(spec, discharge_w=None)
    moments = moments_from(data.draw(st.sampled_from(NIGHTS)), 24, minutes, weather=WEATHER)
    prices = np.random.default_rng(data.draw(st.integers(0, 99))).integers(50_000, 500_000, 24)
    fleet = DEVICES.get(kind).fleet([spec], minutes)
    plan, short = planned(fleet, fleet.start(), moments, prices)
    if short <= 1e-6:
        body: Any = getattr(fleet, "_body", None)
        keep = 1.0 if body is None else int(body.keep[0]) / 1e9
        assert most_refused(fleet, plan, moments, keep) <= 1 + len(plan) * rounded_wh(fleet)


def rounded_wh(fleet: Fleet) -> float:
    """What two roundings of an interval to a millionth of a degree are, where a Wh gives at least a Wh of heat. [Wh]"""
    body: Any = getattr(fleet, "_body", None)
    return 0.0 if body is None else 2e-6 * int(body.capacity_mwh_per_k[0]) / 1_000


def most_refused(fleet: Fleet, plan: list[float], moments: list[Moment], keep: float) -> int:
    """How far a device is ever off what it is commanded. [Wh]

    That is the rest of the plan, in whole Wh, at every interval. Of what was taken too early, heat is lost before it is
    due: `keep` is what is left of it after an interval.
    """
    state, ahead, most = fleet.start(), 0.0, 0
    for wh, moment in zip(plan, moments, strict=True):
        ahead *= keep
        command = round(wh - ahead)
        moved, state = fleet.step(state, np.array([command]), moment)
        ahead += int(moved[0]) - wh
        most = max(most, abs(command - int(moved[0])))
    return most


@settings(max_examples=some(40, 13), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_a_planned_run_is_whole_and_starts_as_planned(data: st.DataObject) -> None:
    """The relaxed start is whole where a run only has a price, so the step executes the plan exactly."""
    spec = data.draw(SPECS["appliance"])
    minutes = data.draw(st.sampled_from((15, 60)))
    moments = moments_from(data.draw(st.sampled_from(NIGHTS)), 24, minutes)
    prices = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(24) * 10_007 + 1
    fleet = DEVICES.get("appliance").fleet([spec], minutes)
    plan, _ = planned(fleet, fleet.start(), moments, prices)
    moved, states = walk(fleet, [np.array([round(wh)]) for wh in plan], moments)
    horizon = [int(one[0]) for one in moved]
    unfinished = int(states[-1]["left"][0])
    if not unfinished:
        assert horizon == [round(wh) for wh in plan]


def test_a_block_has_names_of_its_own_for_every_home() -> None:
    """Two homes with all devices in one program."""
    model, moments = ModelBuilder(), moments_from(NIGHTS[2], 24, 60, weather=WEATHER)
    for kind, spec in EXAMPLES.items():
        fleet = DEVICES.get(kind).fleet([spec, spec], 60)
        for home in (0, 1):
            fleet.block(model, home, fleet.start(), moments)
    model.compile()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_state_stays_within_the_limits_that_a_fleet_states(kind: str, data: st.DataObject) -> None:
    """A checkpoint is refused beyond them."""
    specs = data.draw(st.lists(st.none() | SPECS[kind], min_size=1, max_size=3))
    device = DEVICES.get(kind)
    fleet = device.fleet(specs, 60)
    limits = limits_of(device, fleet)
    assert bool(limits) == (kind in {"battery", "ev", "appliance", "flexible_load"})
    moments = moments_from(data.draw(st.sampled_from(NIGHTS)), STEPS, 60, weather=WEATHER)
    _, states = walk(fleet, commands_of(3, len(specs)), moments)
    for state in states:
        for name, (least, most) in limits.items():
            assert ((least <= state[name]) & (state[name] <= most)).all(), name
