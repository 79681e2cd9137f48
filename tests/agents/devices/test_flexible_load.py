"""Flexible load: the split by constant elasticity, energy of every local day, limits, and what homes order by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.community import Community
from agents.control import CONTROLLERS, Present
from agents.devices import Moment
from agents.devices.flexible_load import FlexibleLoad, FlexibleLoads
from agents.rules import AgentRules
from market.settlement.tariff import OutsidePrices
from market.units import IntArray
from optimizer.solver.builder import ModelBuilder
from tests.kits.device_kit import BERLIN, NIGHTS, flexible_loads, moments_from, walk
from tests.kits.sample_kit import some

DAY = 24
MONDAY = "2016-06-06T00:00"
BY_HOUR = np.array([200] * 7 + [300] * 10 + [600] * 5 + [300] * 2) * 1_000
many = settings(max_examples=some(60, 20), suppress_health_check=[HealthCheck.too_slow], deadline=None)


def priced(moments: list[Moment], bought: IntArray, sold: int = 50_000, fee: int = 0) -> list[Moment]:
    """The same intervals with outside prices, from the first of them on."""
    tariff = OutsidePrices(bought - fee, np.full(len(bought), sold), 0, fee)
    return [replace(moment, tariff=tariff, tariff_row=i) for i, moment in enumerate(moments)]


def taken(spec: FlexibleLoad, moments: list[Moment], commands: IntArray | None = None) -> list[int]:
    """What one home takes in each interval; where nobody commands more, at import prices. [Wh]"""
    asked = np.zeros(len(moments), dtype=np.int64) if commands is None else commands
    moved, _ = walk(FlexibleLoads([spec], moments[0].minutes), list(asked[:, None]), moments)
    return [int(one[0]) for one in moved]


def oracle(energy: float, most: float, elasticity: float, prices: Sequence[float]) -> list[float]:
    """The split that is decided once: min(most, scale x price^-elasticity), with the scale found by halving."""
    weights = [max(price, 1.0) ** -elasticity for price in prices]
    low, high = 0.0, most / min(weights)
    for _ in range(400):
        scale = (low + high) / 2
        if sum(min(most, scale * weight) for weight in weights) < energy:
            low = scale
        else:
            high = scale
    return [min(most, high * weight) for weight in weights]


@many
@given(
    st.integers(1_000, 15_000),
    st.integers(700, 5_000),
    st.sampled_from((0, 100, 200, 1_000, 2_500, 8_000)),
    st.integers(0, 9_999),
)
def test_it_is_the_split_that_a_home_would_decide_once(
    daily_wh: int, power_w: int, milli: int, seed: int
) -> None:
    """Though it decides again in every interval from what is left; every rounding is made up later.

    So an interval is within half a Wh of its part of what is left, and of the split decided once within what all
    intervals up to it were rounded by.
    """
    prices = np.random.default_rng(seed).integers(50_000, 600_000, DAY)
    spec = FlexibleLoad(daily_wh, power_w, milli)
    found = taken(spec, priced(moments_from(MONDAY, DAY, 60), prices))
    once, left = (
        oracle(daily_wh, power_w, milli / 1_000, prices.tolist()),
        float(min(daily_wh, DAY * power_w)),
    )
    for hour, wh in enumerate(found):
        part = oracle(left, power_w, milli / 1_000, prices.tolist()[hour:])[0]
        assert abs(wh - part) <= 0.5 + 1e-3, hour
        assert abs(wh - once[hour]) <= 0.5 * (hour + 1) + 1e-3, hour
        left -= wh
    assert left == 0


def test_the_ratio_of_two_hours_is_their_price_ratio_to_the_elasticity() -> None:
    """By hand: with an elasticity of 1 twice the price takes half, and all 24 hours pay the same for it."""
    found = taken(FlexibleLoad(6_000, 1_000, 1_000), priced(moments_from(MONDAY, DAY, 60), BY_HOUR))
    assert found == [360] * 7 + [240] * 10 + [120] * 5 + [240] * 2


def test_the_fee_for_energy_from_outside_is_part_of_the_price() -> None:
    moments, spec = moments_from(MONDAY, DAY, 60), FlexibleLoad(6_000, 1_000, 1_000)
    assert taken(spec, priced(moments, BY_HOUR, fee=150_000)) == taken(spec, priced(moments, BY_HOUR))


@many
@given(
    flexible_loads,
    st.sampled_from((*NIGHTS, "2016-03-27T01:00", "2016-10-30T00:30")),
    st.sampled_from((15, 30, 60)),
    st.integers(0, 9_999),
    st.booleans(),
)
def test_every_local_day_has_its_energy_whatever_is_commanded(
    spec: FlexibleLoad, start: str, minutes: int, seed: int, tariff: bool
) -> None:
    """To the Wh, on days of 23, 24 and 25 hours, at any prices; a day that is cut has its part of it."""
    draw, steps = np.random.default_rng(seed), 60 * 60 // minutes
    moments = moments_from(start, steps, minutes)
    if tariff:
        moments = priced(
            moments, draw.integers(-100_000, 400_000, steps), sold=int(draw.integers(-9, 500_000))
        )
    found = taken(spec, moments, draw.integers(-4_000, 9_000, steps))
    assert max(found) <= -(-spec.power_w * minutes // 60)
    assert min(found) >= 0
    zone = ZoneInfo(BERLIN)
    local = [datetime.fromtimestamp(one.start_s, zone).date() for one in moments]
    for day, rows in groupby(range(steps), key=lambda t: local[t]):
        mine = list(rows)
        begins, ends = (
            datetime.fromordinal(day.toordinal() + more).replace(tzinfo=zone).timestamp() for more in (0, 1)
        )
        whole = int(ends - begins) // (minutes * 60)
        energy = sum(found[t] for t in mine)
        if mine[-1] < steps - 1:  # the last day goes on
            assert energy == spec.daily_wh * len(mine) // whole
        assert energy <= spec.daily_wh


def test_the_most_that_is_accepted_fits_into_the_shortest_day() -> None:
    """Though the power gives no whole Wh in a quarter of an hour."""
    spec = FlexibleLoad(50 * 23, 50, 1_000)
    found = taken(spec, priced(moments_from("2016-03-27T00:00", 92, 15), np.arange(92) * 1_000))
    assert sum(found) == 50 * 23
    assert max(found) == 13


@pytest.mark.parametrize("start", NIGHTS)
@pytest.mark.parametrize("daily_wh", [6_000, 6_007, 31])
def test_without_elasticity_the_energy_is_even(start: str, daily_wh: int) -> None:
    """On days of any length; also where nobody knows prices."""
    midnight = start[:10] + "T00:00"
    moments = moments_from(midnight, 48, 60)
    bare = taken(FlexibleLoad(daily_wh, 1_000, 900), moments)
    found = taken(FlexibleLoad(daily_wh, 1_000, 0), priced(moments, np.arange(48) * 10_000))
    assert found == bare
    first = [wh for wh, one in zip(found, moments, strict=True) if one.start_s - moments[0].start_s < 86_400]
    assert max(first) - min(first) <= 1


def test_a_large_elasticity_takes_the_cheapest_hours_in_turn() -> None:
    """At full power, also where they come last: what they cannot take goes to the next cheapest."""
    dear_first = np.array([600] * 5 + [500] * 15 + [100] * 4) * 1_000
    for prices in (dear_first, dear_first[::-1].copy()):
        found = taken(FlexibleLoad(6_000, 1_000, 20_000), priced(moments_from(MONDAY, DAY, 60), prices))
        by_price = {int(p): sum(np.array(found)[prices == p]) for p in np.unique(prices)}
        assert by_price[100_000] == 4_000
        assert by_price[500_000] >= 1_980


def test_the_cost_of_a_day_falls_with_the_elasticity() -> None:
    for power_w in (500, 1_000, 5_000):
        moments = priced(moments_from(MONDAY, DAY, 60), BY_HOUR)
        specs = [FlexibleLoad(6_000, power_w, milli) for milli in (0, 200, 1_000, 5_000, 20_000)]
        costs = [int((np.array(taken(spec, moments)) * BY_HOUR).sum()) for spec in specs]
        assert all(a > b for a, b in pairwise(costs)), (power_w, costs)


@many
@given(flexible_loads, st.integers(0, 47), st.integers(0, 9_999))
def test_it_takes_less_at_a_higher_price_and_follows_commands_between_import_and_feed_in(
    spec: FlexibleLoad, walked: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    moments = priced(moments_from(MONDAY, 48, 30), draw.integers(100_000, 400_000, 48))
    fleet = FlexibleLoads([spec], 30)
    _, states = walk(fleet, [np.zeros(1, dtype=np.int64)] * walked, moments[:walked])
    state, moment = states[-1], moments[walked]
    assert moment.tariff is not None
    bought = moment.tariff.at(walked).import_micro_per_kwh
    at_price = [int(fleet.demand_wh(state, moment, price)[0]) for price in range(0, 500_001, 20_000)]
    assert at_price == sorted(at_price, reverse=True)
    least, most = (int(fleet.demand_wh(state, moment, price)[0]) for price in (bought, 50_000))
    for command in (-1_000, least, (least + most) // 2, most, 50_000):
        moved, after = fleet.step(state, np.array([command]), moment)
        assert int(moved[0]) == min(max(command, least), most)
        assert int(after["left_wh"][0]) == int(states[-1]["left_wh"][0]) - int(moved[0]) or walked == 0


def test_after_the_last_price_those_of_the_day_before_count() -> None:
    """A run may end within a local day, and its tariff with it."""
    moments = moments_from(MONDAY, 2 * DAY, 60)
    whole = priced(moments, np.tile(BY_HOUR, 2))
    cut = OutsidePrices(np.tile(BY_HOUR, 2)[:30], np.full(30, 50_000))
    spec = FlexibleLoad(6_000, 1_000, 700)
    assert taken(spec, [replace(one, tariff=cut) for one in whole]) == taken(spec, whole)


def test_a_plan_counts_with_what_it_takes_at_import_prices() -> None:
    """The linear program has that as a fixed load, from within one day through the next."""
    moments, spec = (
        priced(moments_from(MONDAY, 2 * DAY, 60), np.tile(BY_HOUR, 2)),
        FlexibleLoad(6_000, 900, 700),
    )
    fleet = FlexibleLoads([None, spec], 60)
    nothing = [np.zeros(2, dtype=np.int64)] * (2 * DAY)
    moved, states = walk(fleet, nothing, moments)
    model = ModelBuilder()
    takes, gives = fleet.block(model, 1, states[10], moments[10:34])
    compiled = model.compile()
    assert (compiled.lower[takes] == compiled.upper[takes]).all()
    assert compiled.lower[takes].tolist() == pytest.approx([int(one[1]) for one in moved[10:34]], abs=1.5)
    assert not compiled.upper[gives].any()


RULES = AgentRules(forecaster="same_hour_mean", control="plan", minutes=60, gate_closure_minutes=60)
TARIFF = OutsidePrices(np.tile(BY_HOUR, 5), np.full(5 * DAY, 60_000), 10_000, 30_000)
LOAD = FlexibleLoad(12_000, 2_000, 800)


def homes(
    specs: Sequence[FlexibleLoad | None], net_wh: int = 500, rules: AgentRules = RULES, **more: Any
) -> Community:
    """Homes that always use the same, with a week of history."""
    use = np.full((12 * DAY, len(specs)), net_wh)
    devices = {"flexible_load": list(specs)}
    return Community(np.maximum(use, 0), np.maximum(-use, 0), devices, 7 * DAY, rules, TARIFF, **more)


def lived(community: Community, steps: int) -> list[list[int]]:
    """Orders, registers and columns of some intervals."""
    found = []
    for t in range(steps):
        orders = community.bids(TARIFF.at(t))
        meters = community.live()
        rows = [orders.home, orders.side, orders.energy_wh, orders.limit_micro_per_kwh]
        found.append(
            [meters.import_wh.tolist(), meters.columns["flexible_wh"].tolist(), *map(np.ndarray.tolist, rows)]
        )
    return found


@pytest.mark.parametrize("control", ["plan", "self_consumption"])
def test_a_home_does_alone_what_it_does_among_others(control: str) -> None:
    rules = replace(RULES, control=control)
    specs = [LOAD, None, FlexibleLoad(3_000, 500, 140), replace(LOAD, elasticity_milli=0)]
    together = lived(homes(specs, rules=rules), 30)
    for home, spec in enumerate(specs):
        alone = lived(homes([spec], rules=rules, members=np.array([home])), 30)
        for mine, ours in zip(alone, together, strict=True):
            assert mine[:2] == [[ours[0][home]], [ours[1][home]]]
            rows = [i for i, one in enumerate(ours[2]) if one == home]
            assert mine[2:] == [[column[i] for i in rows] for column in ours[2:]]


def test_a_home_that_plans_orders_more_where_energy_is_cheap_and_takes_what_it_agreed() -> None:
    """Its orders are its use and the demand at each price; it takes what it bought beyond its use, exactly."""
    community = homes([LOAD])
    prices = TARIFF.at(0)
    orders = community.bids(prices)
    assert (orders.side == 1).all()
    assert len(set(orders.limit_micro_per_kwh.tolist())) > 3
    least = lived(homes([LOAD]), 1)[0][1][0]
    at_cap = orders.energy_wh[orders.limit_micro_per_kwh == prices.buy_cap_micro_per_kwh].sum()
    assert at_cap == 500 + least
    all_wh = int(orders.energy_wh.sum())
    assert all_wh > at_cap + 300
    for agreed in (0, at_cap, (at_cap + all_wh) // 2, all_wh):
        again = homes([LOAD])
        again.bids(prices)
        again.agree(np.array([agreed]))
        meters = again.live()
        assert meters.import_wh[0] == max(agreed, at_cap)
        assert meters.columns["flexible_left_wh"][0] == 12_000 - meters.import_wh[0] + 500


def test_only_a_home_whose_load_depends_on_the_price_answers_by_price() -> None:
    """Others order by the quantiles of their forecast, as homes without flexible load do."""
    fleet = FlexibleLoads([LOAD, None, replace(LOAD, elasticity_milli=0), LOAD], 60)
    none, follows = np.zeros(4, dtype=np.int64), np.array([True, True, True, False])
    present = Present(
        0, 60, {}, prices=TARIFF.at(0), agreed_wh=none, tariff=TARIFF, homes=np.arange(4, dtype=np.int64)
    )
    respond = CONTROLLERS.get("plan").respond
    assert respond is not None
    answer = respond({"follows": follows}, present, fleet, fleet.start(), none, np.array([60_000, 220_000]))
    assert answer.known.tolist() == [True, False, False, False]
    assert answer.net_wh[0, 0] > answer.net_wh[1, 0]
    assert answer.net_wh[:, 2].tolist() == [500, 500]


def test_own_surplus_counts_as_cheap() -> None:
    """A home that gives energy away for the feed-in price takes more of it, up to what it would at that price."""
    for control in ("plan", "self_consumption"):
        rules = replace(RULES, control=control)
        plain, sunny = (lived(homes([LOAD], net_wh, rules), 1)[0][1][0] for net_wh in (500, -3_000))
        fleet, moment = FlexibleLoads([LOAD], 60), moments_from("1970-01-08T00:00", 1, 60, "UTC")[0]
        at_feed_in = fleet.demand_wh(fleet.start(), replace(moment, tariff=TARIFF), 60_000)
        assert sunny == at_feed_in[0] > 1.5 * plain
