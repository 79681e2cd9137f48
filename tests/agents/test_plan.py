"""Homes that plan: what they take, what they order, when they fall back to the rule, and what a checkpoint keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.bidding import Orders
from agents.community import Community
from agents.control import CONTROLLERS
from agents.control.plan import Outlook, Ties, planner, stores_of
from agents.control.plan import _ends as ends_of
from agents.devices import DEVICES, Device, Moment
from agents.devices.battery import Batteries, Battery
from agents.rules import AgentRules
from agents.state import State
from agents.storage import Stores, Value
from market.settlement.tariff import IntervalPrices, OutsidePrices
from market.units import PPM, IntArray
from optimizer.solver.builder import Columns, ModelBuilder
from tests.kits.sample_kit import sample_of

DAY = 24
DAYS = 30
BATTERY = Battery(6_000, 3_000, 3_000, 950_000, 950_000)
RULES = AgentRules(forecaster="same_hour_mean", control="plan", minutes=60, gate_closure_minutes=60)
PEAK = np.tile(np.where((np.arange(DAY) >= 17) & (np.arange(DAY) < 21), 500_000, 250_000), DAYS)
TARIFF = OutsidePrices(PEAK, np.full(len(PEAK), 60_000))
OFF_PEAK = IntervalPrices(250_000, 60_000)


def homes(
    count: int = 3,
    *,
    seed: int = 1,
    rules: AgentRules = RULES,
    tariff: OutsidePrices = TARIFF,
    members: Sequence[int] | None = None,
    specs: Sequence[Battery | None] | None = None,
    first: int = 7 * DAY,
    **more: Any,
) -> Community:
    """Homes with sun at noon and use in the evening, with a week of history; some of them by `members`."""
    draw = np.random.default_rng(seed)
    hour = np.arange((7 + DAYS) * DAY) % DAY
    sun = np.maximum(0, 4_000 - 900 * np.abs(hour - 12))[:, None] * draw.random((len(hour), count))
    use = (300 + 900 * ((hour > 16) & (hour < 23)))[:, None] * (0.5 + draw.random((len(hour), count)))
    net_wh = (use - sun).astype(np.int64)
    some = np.arange(count) if members is None else np.array(members)
    owned: list[Any] = [BATTERY] * count if specs is None else list(specs)
    return Community(
        np.maximum(net_wh, 0)[:, some],
        np.maximum(-net_wh, 0)[:, some],
        {"battery": [owned[home] for home in some.tolist()], **more},
        first,
        rules,
        tariff,
        members=some,
    )


def lived(community: Community, steps: int, *, agreed: IntArray | None = None) -> tuple[int, IntArray]:
    """Cost of some intervals with the retailer [nano], and what is stored after each. [Wh]"""
    cost, stored = 0, []
    for t in range(steps):
        community.bids(TARIFF.at(t))
        if agreed is not None:
            community.agree(agreed)
        meters = community.live()
        cost += int((meters.import_wh * PEAK[t] - meters.export_wh * 60_000).sum())
        stored.append(meters.columns["stored_wh"])
    return cost, np.array(stored)


def of(orders: Orders, home: int) -> list[tuple[int, int, int]]:
    """Side, energy and limit of a home's orders."""
    rows = orders.home == home
    return list(
        zip(
            orders.side[rows].tolist(),
            orders.energy_wh[rows].tolist(),
            orders.limit_micro_per_kwh[rows].tolist(),
            strict=True,
        )
    )


@pytest.fixture(scope="module")
def planned() -> int:
    """What ten days of homes that plan cost."""
    return lived(homes(), 10 * DAY)[0]


def test_a_plan_costs_less_than_the_rule_at_a_tariff_with_a_peak(planned: int) -> None:
    by_rule, _ = lived(homes(rules=replace(RULES, control="self_consumption")), 10 * DAY)
    assert planned < 0.97 * by_rule


def test_a_plan_equals_the_rule_at_a_flat_tariff() -> None:
    """There is nothing to plan for: whatever is stored saves the same, whenever it is used."""
    flat = OutsidePrices(np.full(len(PEAK), 250_000), np.full(len(PEAK), 60_000))
    costs = []
    for control in ("plan", "self_consumption"):
        community, cost = homes(tariff=flat, rules=replace(RULES, control=control)), 0
        for _ in range(10 * DAY):
            meters = community.live()
            cost += int((meters.import_wh * 250_000 - meters.export_wh * 60_000).sum())
        costs.append(cost)
    assert costs[0] == pytest.approx(costs[1], rel=0.002)


@pytest.mark.slow
def test_without_tie_rules_a_plan_costs_more(planned: int) -> None:
    CONTROLLERS.register(planner("no_ties", "a test", Ties(0, 0, 0, 0)))
    try:
        bare, _ = lived(homes(rules=replace(RULES, control="no_ties")), 10 * DAY)
    finally:
        CONTROLLERS.forget("no_ties")
    assert planned < bare


def test_a_home_takes_what_it_has_bought_and_gives_what_it_has_sold() -> None:
    """At noon it stores what it bought beyond its surplus; with nothing agreed it only stores its surplus."""
    alone, bought = homes(1), homes(1)
    for community in (alone, bought):
        for _ in range(11):
            community.live()
    bought.agree(np.array([600]))
    without, with_it = alone.live(), bought.live()
    assert int(with_it.columns["stored_wh"][0] - without.columns["stored_wh"][0]) == pytest.approx(570, abs=2)
    assert int((with_it.import_wh - with_it.export_wh - without.import_wh + without.export_wh)[0]) == 600


def test_orders_are_a_staircase_with_bids_below_offers() -> None:
    community = homes(2, specs=[BATTERY, None])
    for _ in range(15):
        community.live()
    orders = community.bids(OFF_PEAK)
    steps = of(orders, 0)
    bids, offers = ([limit for side, _, limit in steps if side == way] for way in (1, -1))
    assert len(steps) > 1
    assert not bids or not offers or max(bids) <= min(offers)
    assert len(of(orders, 1)) <= 1, "a home without a battery orders its plan at one limit, without residuals"


def test_a_home_that_is_full_offers_what_it_would_give_to_the_grid_at_the_feed_in_price() -> None:
    full = Battery(1_000, 3_000, 3_000, 950_000, 950_000, initial_share_ppm=PPM)
    community = homes(1, specs=[full])
    for _ in range(12):
        community.live()
    (offer, *_) = sorted(of(community.bids(OFF_PEAK), 0), key=lambda one: one[2])
    assert offer[0] == -1
    assert offer[2] == 60_000


def test_the_errors_of_days_before_are_those_of_each_interval_at_its_own_gate() -> None:
    """And they go on as they did then, from each day into the next."""
    community, row, steps = homes(first=22 * DAY), 25 * DAY + 7, DAY + 3
    forecasts, net_wh = community._forecasts, community._readings.net_wh
    errors_wh = forecasts.errors_wh(row, steps)
    assert errors_wh is not None
    first = row - RULES.lead
    for day in range(len(errors_wh)):
        for step in range(steps):
            then = first + step - (day + 2) * DAY
            whole_days = min(7, (then - RULES.lead) // DAY)
            past = [then - back * DAY for back in range(1, whole_days + 1)]
            if not past:
                assert not errors_wh[day, step].any()
                continue
            mean = np.rint(np.mean([net_wh[one] for one in past], axis=0))
            assert np.abs(errors_wh[day, step] - (net_wh[then] - mean)).max() <= 1


@pytest.mark.slow
def test_with_too_few_errors_a_plan_by_scenarios_is_a_plan_and_then_it_costs_less() -> None:
    plain, drawn = (
        homes(5, rules=replace(RULES, control=control)) for control in ("plan", "plan_by_scenarios")
    )
    _, own = lived(plain, 8 * DAY)
    _, other = lived(drawn, 8 * DAY)
    assert own.tolist() == other.tolist()
    cost, _ = lived(plain, 20 * DAY)
    by_scenarios, _ = lived(drawn, 20 * DAY)
    assert by_scenarios < cost


@pytest.mark.parametrize("members", sample_of([[2], [2, 0]], [[2, 0]]))
def test_a_home_does_the_same_alone_and_among_others(members: list[int]) -> None:
    together, some = homes(3), homes(3, members=members)
    for t in range(3 * DAY):
        agreed = np.array([70, -30, 110]) * (t % 5)
        all_orders, own_orders = together.bids(TARIFF.at(t)), some.bids(TARIFF.at(t))
        assert all(of(all_orders, home) == of(own_orders, home) for home in members)
        together.agree(agreed)
        some.agree(agreed[members])
        everything, own = together.live(), some.live()
        assert own.columns["stored_wh"].tolist() == everything.columns["stored_wh"][members].tolist()


def test_a_checkpoint_keeps_plans_positions_and_the_paper() -> None:
    agreed = np.array([200, -300, 50])
    first = homes()
    lived(first, 15 * DAY + 5, agreed=agreed)
    saved = json.loads(json.dumps(first.snapshot()))
    again = homes()
    again.restore(saved)
    for _ in range(30):
        before, after = first.bids(OFF_PEAK), again.bids(OFF_PEAK)
        assert before.energy_wh.tolist() == after.energy_wh.tolist()
        assert first.live().import_wh.tolist() == again.live().import_wh.tolist()
    assert first.snapshot() == again.snapshot()


def test_a_home_follows_the_rule_after_two_weeks_in_which_it_did_better() -> None:
    """A controller whose ties are turned round dumps what it should store; the paper shows it."""
    CONTROLLERS.register(planner("perverse", "a test", Ties(-300_000, -300_000, 0, 0)))
    try:
        perverse = homes(rules=replace(RULES, control="perverse"))
        by_rule = homes(rules=replace(RULES, control="self_consumption"))
        _, own = lived(perverse, 18 * DAY)
        _, rule = lived(by_rule, 18 * DAY)
    finally:
        CONTROLLERS.forget("perverse")
    assert own[: 5 * DAY].tolist() != rule[: 5 * DAY].tolist()
    (note,) = perverse.control_notes()
    assert "the rule would have cost them less" in note


def test_homes_without_a_forecast_follow_the_rule_and_it_is_counted() -> None:
    """Without history the first forecast comes when a day is known at a gate: after 24 intervals and the lead."""
    planned, ruled = (
        homes(first=0, rules=replace(RULES, control=control)) for control in ("plan", "self_consumption")
    )
    _, own = lived(planned, 2 * DAY)
    _, rule = lived(ruled, 2 * DAY)
    assert own[: DAY + 1].tolist() == rule[: DAY + 1].tolist()
    assert own.tolist() != rule.tolist()
    (note,) = planned.control_notes()
    assert note.startswith(
        "in 75 of 144 intervals of homes with devices there was no forecast of the day ahead"
    )


class Impossible(Batteries):
    """Batteries that ask for what no plan can give."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ("impossible_wh",)

    def read(self, state: State) -> dict[str, IntArray]:
        return {"impossible_wh": state["stored_uwh"] // PPM}

    def block(self, model: ModelBuilder, home: int, state: State, moments: Sequence[Moment]) -> list[Columns]:
        taken = model.variables(f"impossible{home}.takes_wh", len(moments), upper=1.0)
        model.constraint(f"impossible{home}", [(taken[0], 1.0)], lower=2.0)
        return [taken, model.variables(f"impossible{home}.gives_wh", len(moments), upper=0.0)]


def test_an_infeasible_plan_falls_back_to_the_rule_and_is_counted() -> None:
    kind: Device = replace(
        DEVICES.get("battery"), name="impossible", in_data=None, fleet=Impossible.from_specs
    )
    DEVICES.register(kind)
    try:
        planned = homes(2, impossible=[BATTERY, None])
        ruled = homes(2, impossible=[BATTERY, None], rules=replace(RULES, control="self_consumption"))
        _, own = lived(planned, 3 * DAY)
        _, rule = lived(ruled, 3 * DAY)
    finally:
        DEVICES.forget("impossible")
    assert own[:, 0].tolist() == rule[:, 0].tolist()
    assert own[:, 1].tolist() != rule[:, 1].tolist()
    (note,) = planned.control_notes()
    assert note.startswith(
        "in 72 of 144 intervals of homes with devices no plan kept to the limits of all devices"
    )


def test_values_that_are_kept_are_those_of_the_same_inputs_alone() -> None:
    draw = np.random.default_rng(0)
    net_wh, bought = draw.integers(-2_000, 2_000, (26, 2)), draw.uniform(2e5, 5e5, (26, 2))
    prices = Outlook(bought, bought / 4)

    def stores(capacity_wh: int) -> Stores:
        spec = replace(BATTERY, capacity_wh=capacity_wh)
        return stores_of(Batteries.from_specs([spec, spec], 60), Ties())

    given = stores(40_000), net_wh, None, prices, 1, 4
    errors_wh = draw.integers(-300, 300, (3, 26, 2))
    kept: dict[tuple[object, ...], list[Value]] = {}
    for varied in (
        given,
        (stores(50_000), *given[1:]),
        (given[0], net_wh + 100, *given[2:]),
        (*given[:2], errors_wh, *given[3:]),
        (*given[:3], replace(prices, bought=bought + 1e4), *given[4:]),
        (*given[:3], replace(prices, sold=bought / 3), *given[4:]),
        (*given[:4], 0, 4),
        (*given[:5], 0),
    ):
        ends_of(kept, *given)
        found, anew = ends_of(kept, *varied), ends_of({}, *varied)
        assert [[array.tolist() for array in end] for end in found] == [
            [array.tolist() for array in end] for end in anew
        ]
