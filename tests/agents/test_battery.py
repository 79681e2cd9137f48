"""Batteries obey physics, in the simulation and in a linear program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.devices import Moment
from agents.devices.battery import Batteries, Battery
from agents.errors import BatteryOutOfRange, ImpossibleDevice
from market.units import PPM
from tests.kits.community_kit import homes_of

NOW = Moment(0, 15, {})
HOUR = Moment(0, 60, {})


@given(
    st.lists(st.integers(-4_000, 4_000), min_size=1, max_size=50),
    st.integers(1, 20_000),
    st.integers(1, 12_000),
    st.integers(1, 12_000),
    st.integers(500_000, 1_000_000),
    st.integers(500_000, 1_000_000),
)
def test_a_battery_keeps_its_limits_and_creates_no_energy(
    net: list[int], capacity: int, charge: int, discharge: int, charge_ppm: int, discharge_ppm: int
) -> None:
    spec = Battery(capacity, charge, discharge, charge_ppm, discharge_ppm)
    battery = Batteries.from_specs([spec], 15)
    state = battery.start()
    given_wh = taken_wh = 0
    for value in net:
        moved, state = battery.step(state, np.array([-value]), NOW)
        energy = int(moved[0])
        assert 0 <= int(state["stored_uwh"][0]) <= capacity * 1_000_000
        assert -(discharge // 4) <= energy <= charge // 4
        assert energy * value <= 0, "it charges only from surplus and discharges only into a deficit"
        assert abs(energy) <= abs(value), "it never sells or buys for the battery's own sake"
        taken_wh, given_wh = taken_wh + max(energy, 0), given_wh + max(-energy, 0)
    assert given_wh * 10**12 <= taken_wh * charge_ppm * discharge_ppm


def test_a_full_cycle_loses_exactly_the_efficiencies() -> None:
    battery = Batteries.from_specs([Battery(10_000, 40_000, 40_000, 900_000, 800_000)], 15)
    moved, state = battery.step(battery.start(), np.array([1_000]), NOW)
    assert (moved.tolist(), state["stored_uwh"].tolist()) == ([1_000], [900_000_000])
    moved, state = battery.step(state, np.array([-5_000]), NOW)
    assert (moved.tolist(), state["stored_uwh"].tolist()) == ([-720], [0])


@pytest.mark.parametrize(
    "spec",
    [Battery(2_000_000, 1, 1, 1, 1), Battery(1, 1, 1, 1_000_000, 1_000_000)],
    ids=["too large", "fine"],
)
def test_only_a_battery_beyond_household_size_is_refused(spec: Battery) -> None:
    if spec.capacity_wh > 1_000_000:
        with pytest.raises(BatteryOutOfRange, match="2000000 Wh"):
            Batteries.from_specs([None, spec], 15)
    else:
        assert Batteries.from_specs([spec], 15).capacity_uwh.any()


both_registers = st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)), min_size=1, max_size=30)


@given(both_registers, st.integers(1, 9_000), st.integers(1, 12_000))
def test_a_battery_changes_the_registers_by_what_it_charged_or_discharged_and_nothing_else(
    readings: list[tuple[int, int]], capacity_wh: int, power_w: int
) -> None:
    """Where a meter ran both ways in one interval, the part that the battery did not move stays on both registers."""
    imported, exported = (np.array(column, dtype=np.int64)[:, None] for column in zip(*readings, strict=True))
    spec = Battery(capacity_wh, power_w, power_w, 1_000_000, 1_000_000, initial_share_ppm=500_000)
    homes = homes_of(imported, exported, [spec], first=0)
    stored = capacity_wh // 2
    for wh_in, wh_out in readings:
        meters = homes.live()
        now_in, now_out = int(meters.import_wh[0]), int(meters.export_wh[0])
        now_stored = int(meters.columns["stored_wh"][0])
        discharged, charged = wh_in - now_in, wh_out - now_out
        assert min(discharged, charged) == 0, "never both in one interval"
        assert max(discharged, charged) <= min(abs(wh_in - wh_out), power_w // 4)
        assert now_stored - stored == charged - discharged, "without losses the content says it all"
        assert min(now_in, now_out) >= 0
        stored = now_stored


def test_a_battery_of_one_wh_changes_at_most_one_wh() -> None:
    imported, exported = np.array([[900], [200]]), np.array([[400], [700]])
    spec = Battery(1, 10_000, 10_000, 1_000_000, 1_000_000, initial_share_ppm=1_000_000)
    homes = homes_of(imported, exported, [spec], first=0)
    lived = [homes.live() for _ in range(2)]
    assert [[int(m.import_wh[0]), int(m.export_wh[0])] for m in lived] == [[899, 400], [200, 699]]


def brute_force_cost(
    net: list[int], prices: list[tuple[int, int]], capacity: int, power: int, start: int
) -> int:
    """Cheapest cost of a lossless battery over whole Wh: every content at the end of every interval."""
    cost = {start: 0}
    for wh, (bought, sold) in zip(net, prices, strict=True):
        after: dict[int, int] = {}
        for stored, so_far in cost.items():
            for moved in range(max(-power, -stored), min(power, capacity - stored) + 1):
                meter = wh + moved
                total = so_far + (meter * bought if meter > 0 else meter * sold)
                after[stored + moved] = min(total, after.get(stored + moved, total))
        cost = after
    return min(cost.values())


tariffs = st.tuples(st.integers(10, 40), st.integers(0, 9))
intervals = st.tuples(st.integers(-6, 6), tariffs)


@given(st.lists(intervals, min_size=1, max_size=5), st.integers(1, 8), st.integers(1, 5), st.integers(0, 8))
def test_the_block_finds_the_cheapest_plan_that_brute_force_finds(
    steps: list[tuple[int, tuple[int, int]]], capacity: int, power: int, start: int
) -> None:
    """A lossless battery behind a meter with two prices; the optimum of the linear program lies on whole Wh."""
    from optimizer.solver.builder import ModelBuilder
    from optimizer.solver.session import Session

    net, prices = [step[0] for step in steps], [step[1] for step in steps]
    start = min(start, capacity)
    spec = Battery(capacity, power, power, 1_000_000, 1_000_000)
    fleet = Batteries.from_specs([spec], 60)
    model = ModelBuilder()
    moments = [Moment(t * 3_600, 60, {}) for t in range(len(net))]
    state = {"stored_uwh": np.array([start * 1_000_000])}
    takes, gives = fleet.block(model, 0, state, moments)
    imported, exported = (model.variables(name, len(net)) for name in ("import_wh", "export_wh"))
    for t, wh in enumerate(net):
        terms = [(imported[t], 1.0), (exported[t], -1.0), (takes[t], -1.0), (gives[t], 1.0)]
        model.constraint(f"meter[{t}]", terms, lower=wh, upper=wh)
    model.add_cost(imported, np.array([bought for bought, _ in prices], dtype=np.float64))
    model.add_cost(exported, -np.array([sold for _, sold in prices], dtype=np.float64))
    compiled = model.compile()
    solution = Session(compiled).resolve(compiled.cost, compiled.lower, compiled.upper)
    found = float(compiled.cost @ solution.x)
    assert found == pytest.approx(brute_force_cost(net, prices, capacity, power, start), abs=1e-6)


def test_the_block_loses_what_the_step_loses() -> None:
    """Surplus of 1,000 Wh, then a deficit: 1,000 x .9 x .8 = 720 Wh come back, in closed form."""
    from optimizer.solver.builder import ModelBuilder
    from optimizer.solver.session import Session

    fleet = Batteries.from_specs([Battery(10_000, 40_000, 40_000, 900_000, 800_000)], 15)
    model = ModelBuilder()
    takes, gives = fleet.block(model, 0, fleet.start(), [NOW, NOW])
    model.constraint("surplus", [(takes[0], 1.0)], upper=1_000.0)
    model.constraint("deficit", [(takes[1], 1.0), (gives[0], 1.0)], upper=0.0)
    model.add_cost(gives, -1.0)
    compiled = model.compile()
    solution = Session(compiled).resolve(compiled.cost, compiled.lower, compiled.upper)
    assert solution.x[gives].tolist() == pytest.approx([0.0, 720.0])


def test_a_reserve_is_kept_by_the_step_and_by_the_plan() -> None:
    """It gives down to its reserve, and one that starts below it gives nothing but is charged."""
    from optimizer.solver.builder import ModelBuilder
    from optimizer.solver.session import Session

    full = Battery(
        10_000, 4_000, 4_000, PPM, PPM, initial_share_ppm=PPM // 2, reserve_share_ppm=PPM * 3 // 10
    )
    fleet = Batteries.from_specs([full, replace(full, initial_share_ppm=PPM // 10)], 60)
    state = fleet.start()
    moved, state = fleet.step(state, np.array([-4_000, -4_000]), HOUR)
    assert moved.tolist() == [-2_000, 0]
    moved, state = fleet.step(state, np.array([-4_000, 1_000]), HOUR)
    assert moved.tolist() == [0, 1_000]
    for home, most in ((0, 2_000.0), (1, 0.0)):
        model = ModelBuilder()
        takes, gives = fleet.block(model, home, fleet.start(), [HOUR, HOUR])
        model.constraint("no charge", [(column, 1.0) for column in takes], upper=0.0)
        model.add_cost(gives, -1.0)
        compiled = model.compile()
        solution = Session(compiled).resolve(compiled.cost, compiled.lower, compiled.upper)
        assert solution.x[gives].sum() == pytest.approx(most)


def test_a_plan_counts_the_wear_of_what_is_given() -> None:
    """Where the spread of two prices is below the cost of wear, nothing is moved."""
    from optimizer.solver.builder import ModelBuilder
    from optimizer.solver.session import Session

    for wear, moves in ((50_000, True), (150_000, False)):
        spec = Battery(10_000, 4_000, 4_000, PPM, PPM, wear_micro_per_kwh=wear)
        model = ModelBuilder()
        fleet = Batteries.from_specs([spec], 60)
        takes, gives = fleet.block(model, 0, fleet.start(), [HOUR, HOUR])
        model.add_cost(takes, np.array([200_000.0, 300_000.0]))
        model.add_cost(gives, -np.array([200_000.0, 300_000.0]))
        compiled = model.compile()
        solution = Session(compiled).resolve(compiled.cost, compiled.lower, compiled.upper)
        assert bool(solution.x[gives].sum() > 1) == moves


def test_a_negative_cost_of_wear_is_refused() -> None:
    with pytest.raises(ImpossibleDevice, match=r"wear_cost_per_kwh: is -0\.1; give a cost of at least 0"):
        Battery(10_000, 4_000, 4_000, PPM, PPM, wear_micro_per_kwh=-100_000)


def test_wear_is_what_a_battery_gives_times_its_cost_and_no_column_where_none_has_one() -> None:
    """Not what it takes, and only of the battery that has a cost."""
    worn = [Battery(10_000, 5_000, 5_000, PPM, PPM, wear_micro_per_kwh=wear) for wear in (30_000, 0)]
    fleet = Batteries.from_specs(worn, 60)
    state, costs = fleet.start(), []
    for command in (2_000, -1_500, 0):
        _, state = fleet.step(state, np.array([command, command]), HOUR)
        costs.append(fleet.read(state)["battery_wear_nano"].tolist())
    assert costs == [[0, 0], [45_000_000, 0], [0, 0]]
    assert Batteries.from_specs(worn[1:], 60).columns == ("stored_wh",)
