"""What batteries answer to prices: the optimum of a linear program each, in numpy and in compiled code alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.units import FloatArray
from optimizer.blocks.hot import HotModel
from optimizer.fleet import response
from optimizer.fleet.coordinate import own_cost_nano, taken_wh
from optimizer.fleet.fast import compiled_change
from optimizer.fleet.response import Batteries, best_change, best_response, lowest_prices, targets
from optimizer.fleet.stored_value import stored_values
from optimizer.solver.builder import ModelBuilder
from tests.kits.sample_kit import some


def fleet_of(rng: np.random.Generator, count: int, steps: int) -> Batteries:
    """Batteries that are away at times, some with a deadline, some with wear or a value of what is left."""
    there = rng.random((count, steps)) < 0.8
    capacity = rng.integers(1_000, 12_000, count).astype(float)
    initial = np.rint(capacity * rng.random(count))
    charge, discharge = rng.choice([0.9, 0.95, 0.98, 1.0], (2, count))
    into = there * rng.choice([0.0, 500.0, 2_000.0, 9_000.0], (count, 1))
    out = there * rng.choice([0.0, 700.0, 2_000.0, 9_000.0], (count, 1))
    most = initial.copy()
    least = np.zeros((count, steps))
    for t in range(steps):  # what can be reached at all
        most = np.minimum(most + into[:, t] * charge, capacity)
        if t == steps - 1 or rng.random() < 0.2:
            least[:, t] = most * rng.choice([0.0, 0.5, 1.0], count)
    wear, left = rng.choice([0.0, 10_000.0], count), rng.choice([0.0, 150_000.0, 300_000.0], count)
    return Batteries(into, out, capacity, initial, least, charge, discharge, wear, left)


def cost_of(fleet: Batteries, price: FloatArray, change: FloatArray) -> FloatArray:
    """What plans cost at prices. [nano-currency]"""
    return own_cost_nano(fleet, change) + taken_wh(fleet, change) @ price


def by_program(fleet: Batteries, i: int, price: FloatArray) -> float:
    """The least cost of one battery, by HiGHS. [nano-currency]"""
    model, steps = ModelBuilder(), len(price)
    into = model.variables("in", steps, 0.0, fleet.charge_wh[i], price - fleet.left[i] * fleet.charge[i])
    cost = fleet.wear[i] - price + fleet.left[i] / fleet.discharge[i]
    out = model.variables("out", steps, 0.0, fleet.discharge_wh[i], cost)
    content = model.variables("content", steps, fleet.least_wh[i], float(fleet.capacity_wh[i]))
    start = np.append(fleet.initial_wh[i], np.zeros(steps - 1))
    before = np.concatenate(([-1], content[:-1])).astype(np.int32)
    terms = [(content, 1.0), (into, -fleet.charge[i]), (out, 1 / fleet.discharge[i]), (before, -1.0)]
    model.constraints("stored", terms, start, start)
    answer = HotModel(model.compile()).solve(np.zeros(0, dtype=np.int32), np.zeros(0), np.zeros(0))
    assert answer is not None
    return -answer.welfare_nano


@settings(max_examples=some(60, 20), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    price=st.lists(st.sampled_from([0, 50, 100, 150, 200, 400]), min_size=1, max_size=30),
)
def test_a_battery_answers_prices_as_a_linear_program_does(seed: int, price: list[int]) -> None:
    """Few prices, so that many tie; powers, deadlines and efficiencies of all kinds."""
    fleet = fleet_of(np.random.default_rng(seed), 4, len(price))
    prices = np.array(price) * 1_000.0
    change = best_change(fleet, prices)
    content = fleet.initial_wh[:, None] + np.cumsum(change, axis=1)
    assert (content >= fleet.least_wh - 1e-6).all()
    assert (content <= fleet.capacity_wh[:, None] + 1e-6).all()
    energy_in, energy_out = best_response(fleet, prices)
    assert (energy_in <= fleet.charge_wh + 1e-6).all()
    assert (energy_out <= fleet.discharge_wh + 1e-6).all()
    assert not ((energy_in > 0) & (energy_out > 0)).any()
    found = cost_of(fleet, prices, change)
    for i in range(4):
        best = by_program(fleet, i, prices)
        assert abs(found[i] - best) <= 1e-9 * (1e9 + abs(best))


@settings(max_examples=some(60, 20), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    price=st.lists(st.sampled_from([0, 50, 100, 200, 400]), min_size=1, max_size=30),
)
def test_the_values_of_stored_energy_prove_that_an_answer_is_best(seed: int, price: list[int]) -> None:
    """Weak duality with a price for every content: the bound is the cost of the answer."""
    fleet = fleet_of(np.random.default_rng(seed), 4, len(price))
    prices = np.array(price) * 1_000.0
    change = best_change(fleet, prices)
    value = stored_values(fleet, prices, change)
    into = (prices - fleet.charge[:, None] * value) * fleet.charge_wh
    out = (fleet.wear[:, None] - prices + value / fleet.discharge[:, None]) * fleet.discharge_wh
    kept = np.column_stack((value[:, :-1] - value[:, 1:], value[:, -1] - fleet.left))
    content = np.minimum(kept * fleet.least_wh, kept * fleet.capacity_wh[:, None]).sum(axis=1)
    least = np.minimum(into, 0).sum(axis=1) + np.minimum(out, 0).sum(axis=1) + content
    bound = least - (value[:, 0] - fleet.left) * fleet.initial_wh
    assert bound == pytest.approx(cost_of(fleet, prices, change), abs=10, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_compiled_code_gives_the_same_numbers(seed: int) -> None:
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    rng = np.random.default_rng(seed)
    fleet = fleet_of(rng, 50, 96)
    price = (
        rng.choice([0.0, 100_000.0, 250_000.0], 96) if seed % 2 else rng.normal(200_000, 90_000, 96).clip(0)
    )
    compiled = compiled_change()
    assert compiled is not None
    assert np.array_equal(compiled(*fleet, price), response.followed(fleet, targets(fleet, price)))


@pytest.mark.parametrize("cells", [1, 100])
def test_batteries_answer_alike_however_many_are_computed_at_once(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)
    fleet, price = fleet_of(rng, 50, 30), rng.normal(200_000, 90_000, 30).clip(0)
    together = best_change(fleet, price)
    monkeypatch.setattr(response, "AT_ONCE_CELLS", cells)
    assert np.array_equal(best_change(fleet, price), together)


def test_below_its_lowest_price_a_battery_would_do_both_at_once() -> None:
    fleet = fleet_of(np.random.default_rng(3), 40, 3)
    lowest = lowest_prices(fleet)
    both = (fleet.charge_wh > 0) & (fleet.discharge_wh > 0)
    for t in range(3):
        for shift, gains in ((1.0, False), (-1.0, True)):
            price = lowest[t] + shift
            gained = (price - fleet.wear) * fleet.discharge - price / fleet.charge
            assert (gained[both[:, t]] > 0).any() == gains
