"""The value of stored energy is that of a programme on a grid, and its commands are those of the linear program."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.day_plan import Day, DayPlan
from agents.devices import Moment
from agents.devices.battery import Batteries, Battery
from agents.state import State
from agents.storage import Stores, Value
from market.units import PPM, FloatArray, IntArray
from tests.kits.sample_kit import some

STEPS = 24
COLUMNS = [field.name for field in fields(Stores) if field.name != "gently_ppm"]


def stores_of(fleet: Batteries, wear: int = 0) -> Stores:
    """The stores of batteries."""
    return Stores(
        fleet.capacity_uwh,
        fleet.charge_wh,
        fleet.discharge_wh,
        fleet.charge_efficiency_ppm,
        fleet.discharge_efficiency_ppm,
        np.full(len(fleet.charge_wh), wear),
    )


def drawn(seed: int, homes: int = 1) -> tuple[Batteries, IntArray, FloatArray, FloatArray, IntArray]:
    """Batteries of some homes, a day of net energy and prices, and what is stored at its start."""
    draw = np.random.default_rng(seed)
    capacity, power = draw.integers(0, 12, homes) * 1_000, draw.integers(500, 6_000, (homes, 2))
    specs = [
        Battery(int(kwh), int(charge), int(discharge), 950_000, 900_000) if kwh else None
        for kwh, (charge, discharge) in zip(capacity, power, strict=True)
    ]
    fleet = Batteries.from_specs(specs, 60)
    net_wh = draw.integers(-4_000, 4_000, (STEPS, homes))
    bought: FloatArray = draw.integers(200, 600, (STEPS, homes)) * np.float64(1_000)
    sold: FloatArray = bought - draw.integers(0, 300, (STEPS, homes)) * np.float64(1_000)
    stored_uwh = draw.integers(0, fleet.capacity_uwh + 1)
    return fleet, net_wh, bought, sold, stored_uwh


def walked(
    stores: Stores, net_wh: IntArray, bought: FloatArray, sold: FloatArray, left: float
) -> list[Value]:
    """The value at the end of each step and, last, before the first."""
    values = [stores.left(left)]
    for t in range(len(net_wh) - 1, -1, -1):
        values.append(stores.before(values[-1], stores.cost(net_wh[t], bought[t], sold[t])))
    return values


def cost_nano(
    fleet: Batteries, values: list[Value], day: tuple[IntArray, FloatArray, FloatArray], start: IntArray
) -> tuple[FloatArray, IntArray]:
    """What each home pays that follows the values through the day, and what is left. [nano, uWh]"""
    stores = stores_of(fleet)
    state: State = {"stored_uwh": start}
    total = np.zeros(len(start))
    for t, (net_wh, bought, sold) in enumerate(zip(*day, strict=True)):
        wanted = stores.best(values[len(values) - 2 - t], state["stored_uwh"], net_wh, bought, sold)
        moved, state = fleet.step(state, wanted, Moment(t * 3_600, 60, {}))
        assert moved.tolist() == wanted.tolist(), "no command is beyond the battery"
        metered = net_wh + moved
        total += np.where(metered > 0, bought, sold) * metered
    return total, state["stored_uwh"]


@pytest.mark.parametrize("seed", range(12))
def test_following_the_values_costs_what_the_linear_program_says(seed: int) -> None:
    fleet, net_wh, bought, sold, stored = drawn(seed, homes=3)
    left = 150_000.0
    values = walked(stores_of(fleet), net_wh, bought, sold, left)
    cost, rest = cost_nano(fleet, values, (net_wh, bought, sold), stored)
    cost -= left * 0.9 * rest / PPM
    moments = [Moment(t * 3_600, 60, {}) for t in range(STEPS)]
    for home in range(3):
        day = Day(
            moments=moments,
            net_wh=net_wh[:, home],
            bought=bought[:, home],
            sold=sold[:, home],
            left=left * 0.9,
        )
        _, best = DayPlan().solve({"battery": fleet}, home, {"battery": {"stored_uwh": stored}}, day)
        assert cost[home] == pytest.approx(best, rel=1e-3, abs=1e6 * STEPS)


def on_a_grid(
    capacity: float,
    power: tuple[float, float],
    net_wh: IntArray,
    bought: FloatArray,
    sold: FloatArray,
    left: float,
) -> FloatArray:
    """Cost to come at 65 contents, by trying every move to another one, to net zero and at full power."""
    contents = np.linspace(0, capacity, 65)
    value = -left * 0.9 * contents
    for t in range(len(net_wh) - 1, -1, -1):
        best = np.full(65, np.inf)
        for i, content in enumerate(contents):
            delta = contents - content
            moves = np.where(delta > 0, delta / 0.95, delta * 0.9)
            zero = -float(net_wh[t])
            moves = np.append(moves, [zero, power[0], -power[1]])
            after = content + np.where(moves > 0, moves * 0.95, moves / 0.9)
            ok = (
                (moves <= power[0] + 1e-9)
                & (moves >= -power[1] - 1e-9)
                & (after >= -1e-9)
                & (after <= capacity + 1e-9)
            )
            metered = net_wh[t] + moves[ok]
            cost = np.where(metered > 0, bought[t], sold[t]) * metered
            best[i] = (cost + np.interp(after[ok], contents, value)).min()
        value = best
    return value


@pytest.mark.parametrize("seed", range(4))
def test_the_value_of_every_content_is_that_of_a_dynamic_programme_on_a_grid(seed: int) -> None:
    draw = np.random.default_rng(seed)
    fleet = Batteries.from_specs([Battery(6_400, 5_000, 4_000, 950_000, 900_000)], 60)
    net_wh = draw.integers(-4_000, 4_000, (STEPS, 1))
    bought = np.where(np.arange(STEPS) % 24 > 15, 540_000.0, 220_000.0)[:, None]
    sold = np.full((STEPS, 1), 50_000.0)
    value = walked(stores_of(fleet), net_wh, bought, sold, 200_000.0)[-1]
    expected = on_a_grid(6_400, (5_000, 4_000), net_wh[:, 0], bought[:, 0], sold[:, 0], 200_000.0)
    contents = np.linspace(0, 6_400_000_000, 65).astype(np.int64)
    ours = np.array([value.at(np.array([content]))[0] for content in contents])
    assert ours == pytest.approx(expected - expected[0], abs=0.003 * np.ptp(expected))


@settings(max_examples=some(60, 20), deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_the_mean_of_values_is_the_mean_at_every_content(seed: int, scenarios: int) -> None:
    fleet, net_wh, bought, sold, _ = drawn(seed, homes=3)
    stores, draw = stores_of(fleet), np.random.default_rng(seed)
    each = [
        walked(stores, net_wh + draw.integers(-900, 900, net_wh.shape), bought, sold, 150_000.0)[-1]
        for _ in range(scenarios)
    ]
    width = max(one.slope.shape[1] for one in each)
    several = Value(
        *(
            np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])
            for parts in zip(*each, strict=True)
        )
    )
    mean = several.mean(scenarios)
    assert (np.diff(mean.slope, axis=1)[mean.length_uwh[:, 1:] > 0] > -1e-6).all()
    for content in (fleet.capacity_uwh * share // 16 for share in range(17)):
        expected = np.mean([one.at(content) for one in each], axis=0)
        assert mean.at(content) == pytest.approx(expected, rel=1e-9, abs=1e-3)
    alone = Value(*(column[1::3] for column in several)).mean(scenarios)
    assert alone.at(fleet.capacity_uwh[1:2]).tolist() == mean.at(fleet.capacity_uwh)[1:2].tolist()


@settings(max_examples=some(60, 20), deadline=None)
@given(st.integers(0, 10**6))
def test_homes_do_not_depend_on_each_other(seed: int) -> None:
    fleet, net_wh, bought, sold, stored = drawn(seed, homes=4)
    stores = stores_of(fleet)
    value = walked(stores, net_wh, bought, sold, 1e5)[-2]
    together = stores.best(value, stored, net_wh[0], bought[0], sold[0])
    for home in ([2], [3, 1]):
        rows = np.array(home)
        some = Stores(*(getattr(stores, column)[rows] for column in COLUMNS))
        own = walked(some, net_wh[:, rows], bought[:, rows], sold[:, rows], 1e5)[-2]
        alone = some.best(own, stored[rows], net_wh[0, rows], bought[0, rows], sold[0, rows])
        assert alone.tolist() == together[rows].tolist()


@settings(max_examples=some(60, 20), deadline=None)
@given(st.integers(0, 10**6), st.integers(-600, 600))
def test_more_is_taken_at_a_lower_price_and_slopes_ascend(seed: int, price: int) -> None:
    """Negative prices too, at which a store cannot charge and give at once."""
    fleet, net_wh, bought, sold, stored = drawn(seed, homes=3)
    value = walked(stores_of(fleet), net_wh, bought + price * 1_000, sold + price * 1_000, 0.0)[-2]
    rising = np.diff(value.slope, axis=1) >= 0
    assert rising[value.length_uwh[:, 1:] > 0].all()
    levels = np.linspace(-2e5, 6e5, 9)
    taken = [stores_of(fleet).best(value, stored, net_wh[0], np.full(3, level), level) for level in levels]
    assert (np.diff(taken, axis=0) <= 0).all()


def test_wear_is_paid_for_what_is_given() -> None:
    """One full kWh, worth .30 now and nothing later: given unless wear costs more than that."""
    fleet = Batteries.from_specs([Battery(1_000, 1_000, 1_000, PPM, PPM)], 60)
    price = np.array([300_000.0])
    for wear, taken in ((0, -1_000), (299_999, -1_000), (300_001, 0)):
        stores = stores_of(fleet, wear)
        command = stores.best(stores.left(0.0), np.array([10**9]), np.array([1_000]), price, 0.0)
        assert command.tolist() == [taken]
