"""The best plan of a common battery, against a dynamic programme, all plans one by one, and what must hold of any."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from market.units import PPM
from optimizer.errors import Infeasible
from optimizer.models.community_storage import build, compiled
from optimizer.solver.compile import compile_model
from optimizer.solver.session import Session
from optimizer.storage.plan import Planner
from optimizer.storage.prices import lower_bound_nano, values_of
from optimizer.storage.rules import least_peak_wh, self_consuming
from optimizer.storage.store import Demand, Store
from optimizer.storage.whole import whole
from optimizer.storage.worth import Groups, least_costs_nano, rule_costs_nano
from tests.kits.storage_kit import by_all_whole_plans, by_grid, community, strange

CLOSE = 1e-9
DRAWN = range(60)


def close(a: float, b: float) -> bool:
    return abs(a - b) <= CLOSE * (1 + abs(a) + abs(b)) * 100


def best(demand: Demand, store: Store) -> float:
    """Least cost, with the fee of what homes need. [nano-currency]"""
    return Planner(demand, store).plan(store).cost_nano + demand.fee * int(demand.need_wh.sum())


def alone(demand: Demand, store: Store) -> Groups:
    """A community as one home that is the only group."""
    size = np.array([store.capacity_wh], dtype=np.float64), np.array([store.power_wh], dtype=np.float64)
    return Groups(demand.net_wh[:, None].astype(np.float64), np.ones((1, 1)), *size)


# ---- the optimum


@pytest.mark.parametrize("seed", DRAWN)
def test_the_plan_costs_what_the_value_of_stored_energy_says(seed: int) -> None:
    """The dynamic programme on slopes shares no line with the linear program."""
    demand, store = community(seed, flat=seed % 4 == 0, fee=seed % 3 * 20_000)
    worth = least_costs_nano(alone(demand, store), demand, store)[0]
    assert close(worth, Planner(demand, store).plan(store).cost_nano)


@pytest.mark.parametrize("seed", range(12))
def test_no_plan_on_a_grid_of_contents_costs_less_and_a_fine_grid_comes_close(seed: int) -> None:
    demand, store = community(seed, fee=10_000)
    least, coarse, fine = best(demand, store), by_grid(demand, store, 31), by_grid(demand, store, 301)
    assert least <= coarse + 1
    assert least <= fine + 1 <= coarse + 2
    assert fine - least <= 0.02 * (demand.cost_nano() - least) + 1e6


def test_all_whole_plans_of_a_battery_without_losses() -> None:
    """Without losses a corner of the program is whole, so the best of all whole plans is the optimum."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        need, offer = draw.integers(0, 4, 4), draw.integers(0, 4, 4)
        sold = draw.integers(-2, 5, 4) * 10_000
        demand = Demand(need, offer, sold + draw.integers(0, 5, 4) * 10_000, sold)
        store = Store(3, 2, initial_wh=int(draw.integers(0, 4)))
        assert by_all_whole_plans(demand, store, 1) == pytest.approx(best(demand, store), abs=1e-3)


def test_a_time_of_use_tariff_by_hand() -> None:
    """Without losses and limits all 9 kWh of the evening are bought in the night: 9 x (0.54 - 0.22) saved."""
    demand = Demand(
        np.array([0, 4_000, 5_000]),
        np.zeros(3, dtype=np.int64),
        np.array([220_000, 540_000, 540_000]),
        np.full(3, 50_000),
    )
    store = Store(1_000_000, 1_000_000)
    assert demand.cost_nano() - best(demand, store) == pytest.approx(9_000 * 320_000)
    assert whole(demand, store, Planner(demand, store).plan(store)).taken_wh.tolist() == [
        9_000,
        -4_000,
        -5_000,
    ]


@pytest.mark.parametrize("seed", range(20))
def test_more_capacity_never_costs_more_and_helps_less_and_less(seed: int) -> None:
    demand, store = community(seed)
    planner, costs = Planner(demand, store), []
    for capacity in range(0, 5_000, 500):
        costs.append(planner.plan(replace(store, capacity_wh=capacity)).cost_nano)
    steps = np.diff(costs)
    assert close(costs[0], demand.cost_nano())
    assert (steps <= 1e-3).all()
    assert (np.diff(steps) >= -1e-3 * (1 + abs(costs[0]) * 1e-9)).all()


@pytest.mark.parametrize("seed", range(20))
def test_twice_the_energy_and_the_battery_cost_twice_as_much(seed: int) -> None:
    demand, store = community(seed, fee=5_000)
    double = demand._replace(need_wh=2 * demand.need_wh, offer_wh=2 * demand.offer_wh)
    large = replace(store, capacity_wh=2 * store.capacity_wh, power_wh=2 * store.power_wh)
    assert close(best(double, large), 2 * best(demand, store))


@pytest.mark.parametrize("seed", range(10))
def test_the_program_is_the_one_that_is_written_in_pyomo(seed: int) -> None:
    demand, store = community(seed, fee=7_000)
    store = replace(store, initial_wh=store.capacity_wh // 3)
    pyomo, ours = compile_model(build(demand, store)), compiled(demand, store)
    upper, row_upper = ours.bounds(store)
    assert upper.tolist() == pyomo.upper.tolist()
    assert row_upper.tolist() == pyomo.row_upper.tolist()
    for name in ("cost", "lower", "row_lower", "start", "index", "value"):
        assert getattr(ours.model, name).tolist() == getattr(pyomo, name).tolist(), name


def test_sizes_one_after_the_other_cost_what_each_costs_alone() -> None:
    demand, store = community(5)
    planner = Planner(demand, store)
    for capacity in (0, 4_000, 1_000, 2_500, 0):
        size = replace(store, capacity_wh=capacity)
        assert close(planner.plan(size).cost_nano, Planner(demand, size).plan(size).cost_nano)


# ---- prices below 0, and energy that earns more than it costs


@pytest.mark.parametrize("seed", range(40))
def test_branching_finds_the_best_of_all_ways_to_charge_or_discharge(seed: int) -> None:
    """All 2^8 ways to close one column of each pair, of which each is a plain linear program."""
    demand, store = strange(seed, steps=4)
    plan = Planner(demand, store).plan(store)
    model = compiled(demand, store)
    session = Session(model.model)
    upper, row_upper = model.bounds(store)
    upper[model.imported] = np.maximum(demand.net_wh + store.power_wh, 0)
    upper[model.exported] = np.maximum(store.power_wh - demand.net_wh, 0)
    pairs = [
        *zip(model.charged, model.discharged, strict=True),
        *zip(model.imported, model.exported, strict=True),
    ]
    costs = []
    for closed in product(*pairs):
        node = upper.copy()
        node[list(closed)] = 0
        rows = model.model.row_lower, row_upper
        try:
            x = session.answer(model.model.cost, model.model.lower, node, *rows)
        except Infeasible:
            continue
        costs.append(float(model.model.cost @ x))
    assert close(plan.cost_nano, min(costs))
    assert plan.bound_nano <= plan.cost_nano
    assert close(plan.bound_nano, plan.cost_nano)


@pytest.mark.parametrize("seed", range(40))
def test_a_battery_never_wastes_energy_to_be_paid_for_it(seed: int) -> None:
    demand, store = strange(seed, steps=8)
    plan = Planner(demand, store).plan(store)
    done = whole(demand, store, plan)
    assert done.broken(store) == ""
    moved = np.diff(plan.stored_wh, prepend=store.initial_wh)
    single = np.where(moved > 0, moved / store.gain, moved * store.yields)
    assert np.abs(plan.taken_wh - single).max() < 1e-4


# ---- whole numbers, prices and bound


@pytest.mark.parametrize("seed", DRAWN)
def test_rounding_keeps_every_limit_and_costs_a_few_watt_hours(seed: int) -> None:
    demand, store = community(seed, fee=seed % 3 * 20_000)
    store = replace(store, initial_wh=store.capacity_wh * (seed % 2) // 2)
    plan = Planner(demand, store).plan(store)
    done = whole(demand, store, plan)
    assert done.broken(store) == ""
    fee = demand.fee * int(demand.need_wh.sum())
    highest = int(max(demand.bought.max(), 1))
    lost = demand.cost_nano(done.taken_wh) - fee - plan.cost_nano
    assert -1 - 2 * highest <= lost <= 15 * highest
    assert np.abs(done.stored_uwh / PPM - plan.stored_wh).max() < 15


@pytest.mark.parametrize("seed", DRAWN)
def test_the_prices_prove_the_plan_by_numpy_alone(seed: int) -> None:
    demand, store = community(seed, flat=seed % 4 == 0, fee=seed % 3 * 20_000)
    store = replace(store, initial_wh=store.capacity_wh * (seed % 2) // 2)
    plan = Planner(demand, store).plan(store)
    values = values_of(demand, store, plan)
    assert close(lower_bound_nano(demand, store, values), plan.cost_nano)
    assert (values.price >= demand.sold - 1e-6).all()
    assert (values.price <= demand.bought + 1e-6).all()


@pytest.mark.parametrize("seed", range(30))
def test_no_prices_prove_more_than_the_optimum(seed: int) -> None:
    """Weak duality at any prices, also where the program is branched."""
    for demand, store in (community(seed, fee=9_000), strange(seed, steps=4)):
        plan = Planner(demand, store).plan(store)
        draw, values = np.random.default_rng(seed), values_of(demand, store, plan)
        for noise in (0.0, 1e3, 1e5):
            other = values._replace(
                price=values.price + draw.normal(size=len(values.price)) * noise,
                stored=values.stored + draw.normal(size=len(values.price)) * noise,
            )
            assert lower_bound_nano(demand, store, other) <= plan.cost_nano + 1


def test_prices_do_not_depend_on_which_of_equal_plans_is_found() -> None:
    """Energy of the first interval may be stored in either of two; both have the same price."""
    need, offer = np.array([0, 0, 0, 1_000]), np.array([1_000, 1_000, 1_000, 0])
    demand = Demand(need, offer, np.full(4, 300_000), np.full(4, 80_000))
    store = Store(1_000, 1_000)
    plan = Planner(demand, store).plan(store)
    other = plan._replace(
        taken_wh=np.array([400.0, 0, 600, -1_000]),
        stored_wh=np.array([400.0, 400, 1_000, 0]),
        net_wh=np.array([-600.0, -1_000, -400, 0]),
    )
    first, second = values_of(demand, store, plan), values_of(demand, store, other)
    assert first.price[:3].tolist() == second.price[:3].tolist() == [80_000] * 3
    assert close(lower_bound_nano(demand, store, first), lower_bound_nano(demand, store, second))


# ---- rules


@pytest.mark.parametrize("seed", range(30))
def test_the_rule_takes_as_little_from_outside_as_any_plan(seed: int) -> None:
    """At a price of 1 for import and 0 for export the optimum is the least import."""
    demand, store = community(seed)
    steps = len(demand.need_wh)
    energy = demand._replace(bought=np.full(steps, PPM), sold=np.zeros(steps, dtype=np.int64))
    done = self_consuming(energy, store)
    assert done.broken(store) == ""
    least = Planner(energy, store).plan(store).cost_nano
    assert -1 <= energy.cost_nano(done.taken_wh) - least <= 2 * steps * PPM
    assert energy.cost_nano(done.taken_wh) <= energy.cost_nano()


@pytest.mark.parametrize("seed", range(30))
def test_the_rule_in_fractions_costs_what_the_rule_in_whole_wh_does(seed: int) -> None:
    demand, store = community(seed, fee=4_000)
    done = self_consuming(demand, store)
    fractions = rule_costs_nano(alone(demand, store), demand, store)[0] + demand.fee * int(
        demand.need_wh.sum()
    )
    off = abs(demand.cost_nano(done.taken_wh) - fractions)
    assert off <= 2 * len(demand.need_wh) * int(demand.bought.max() + demand.fee)


@pytest.mark.parametrize("seed", range(30))
def test_the_least_peak_can_be_kept_and_less_cannot(seed: int) -> None:
    demand, store = community(seed)
    least = least_peak_wh(demand, store)
    assert least <= max(0, int(demand.net_wh.max()))
    planner = Planner(demand, store)
    planner.plan(store, most_import_wh=least)
    if least:
        with pytest.raises(
            Infeasible
        ):  # a Wh less cannot be kept in fractions either, but for what rounding costs
            planner.plan(store, most_import_wh=least - 2 - len(demand.need_wh))
    done = whole(demand, store, planner.plan(store, least), least)
    assert (demand.net_wh + done.taken_wh).max() <= least + 15
