"""Many batteries coordinated by prices: the total of one linear program, and a bound that nothing falls below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import InfeasibleClearing
from market.horizon import Horizon, Store
from market.units import FloatArray
from optimizer.blocks.infeasible import Unreachable
from optimizer.errors import Infeasible, SolverFailed
from optimizer.fleet import coordinate as module
from optimizer.fleet.community import Community, check_dispatch, contents_wh, dispatch, horizon_of
from optimizer.fleet.coordinate import Aim, bound_nano, coordinate, lower_bound_nano, own_cost_nano, taken_wh
from optimizer.fleet.response import batteries_of, best_change, lowest_prices
from optimizer.fleet.steps import in_full, steps_of
from optimizer.progress import Progress, listening
from tests.kits.fleet_kit import community_of, least_cost_nano, ruled_cost_nano
from tests.kits.sample_kit import sample_of, some

GAP = 1e-4


def aim_of(community: Community, gap: float = GAP) -> Aim:
    return Aim(gap, float(community.worth_nano))


@pytest.mark.parametrize(("seed", "count"), [(0, 1), (1, 3), (2, 12), (3, 40), (4, 100)])
@pytest.mark.parametrize("limit", [None, 0.9, 0.7])
def test_the_total_is_that_of_one_program(seed: int, count: int, limit: float | None) -> None:
    community, stores = community_of(seed, count, limit=limit)
    horizon = horizon_of(community, stores)
    found, least = coordinate(horizon, aim_of(community)), least_cost_nano(horizon)
    size = abs(community.worth_nano + least)
    assert found.complete
    assert found.bound_nano <= least + 1e-9 * size
    assert least - 1e-9 * size <= found.cost_nano <= least + GAP * size * 1.001
    proven = lower_bound_nano(horizon, found.price, found.no_discharge)
    assert proven == pytest.approx(found.bound_nano, rel=1e-12)


@settings(max_examples=some(40, 13), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0, 1, 10, 100, 1_000]))
def test_no_prices_prove_more_than_the_optimum(seed: int, spread: int) -> None:
    """Prices anywhere, also below 0: those there are raised to where nobody would burn energy."""
    community, stores = community_of(seed % 50, 6, intervals=12, limit=0.9 if seed % 2 else None)
    horizon = horizon_of(community, stores)
    rng = np.random.default_rng(seed)
    price = rng.choice([-300.0, 0.0, 80.0, 280.0, 3_000.0]) + spread * rng.normal(size=12)
    least, nothing = least_cost_nano(horizon), np.zeros(12, dtype=np.bool_)
    proven = lower_bound_nano(horizon, price * 1_000, nothing)
    assert proven <= least + 1e-9 * abs(community.worth_nano)


def _without_steps(horizon: Horizon, price: FloatArray) -> float:
    fleet = batteries_of(horizon.stores, horizon.intervals, np.zeros(horizon.intervals, dtype=np.bool_))
    change = best_change(fleet, price)
    return float(own_cost_nano(fleet, change).sum() + taken_wh(fleet, change).sum(axis=0) @ price)


def _with_idle_batteries(horizon: Horizon, price: FloatArray) -> float:
    fleet = batteries_of(horizon.stores, horizon.intervals, np.zeros(horizon.intervals, dtype=np.bool_))
    nothing = np.zeros_like(fleet.charge_wh)
    return bound_nano(steps_of(horizon), price, nothing, nothing.sum(axis=1))


def _with_other_prices(horizon: Horizon, price: FloatArray) -> float:
    fleet = batteries_of(horizon.stores, horizon.intervals, np.zeros(horizon.intervals, dtype=np.bool_))
    change = best_change(fleet, price[::-1].copy())
    return bound_nano(steps_of(horizon), price, taken_wh(fleet, change), own_cost_nano(fleet, change))


def _with_more_wear(horizon: Horizon, price: FloatArray) -> float:
    more = tuple(
        replace(s, terms=replace(s.terms, wear_micro_per_kwh=s.terms.wear_micro_per_kwh + 40_000))
        for s in horizon.stores
    )
    return lower_bound_nano(replace(horizon, stores=more), price, np.zeros(horizon.intervals, dtype=np.bool_))


def _with_less_power(horizon: Horizon, price: FloatArray) -> float:
    less = tuple(replace(s, terms=replace(s.terms, charge_wh=s.terms.charge_wh // 2)) for s in horizon.stores)
    return lower_bound_nano(replace(horizon, stores=less), price, np.zeros(horizon.intervals, dtype=np.bool_))


@pytest.mark.parametrize(
    "mutant", [_without_steps, _with_idle_batteries, _with_other_prices, _with_more_wear, _with_less_power]
)
def test_a_wrong_bound_is_above_the_optimum(mutant: Callable[[Horizon, FloatArray], float]) -> None:
    """What the tests above compare is sharp enough to tell each of these mistakes."""
    community, stores = community_of(5, 20)
    horizon = horizon_of(community, stores)
    found, least = coordinate(horizon, aim_of(community)), least_cost_nano(horizon)
    assert mutant(horizon, found.price) > least + GAP * abs(community.worth_nano + least)


def test_the_order_of_batteries_decides_nothing() -> None:
    community, stores = community_of(6, 50)
    order = np.random.default_rng(1).permutation(50)
    one = coordinate(horizon_of(community, stores), aim_of(community))
    other = coordinate(horizon_of(community, tuple(stores[i] for i in order)), aim_of(community))
    assert np.array_equal(one.change[order], other.change)
    assert one.cost_nano == other.cost_nano
    assert np.array_equal(one.price, other.price)


def test_plans_that_are_not_kept_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    community, stores = community_of(6, 50)
    horizon = horizon_of(community, stores)
    kept = coordinate(horizon, aim_of(community))
    monkeypatch.setattr(module, "KEPT_BYTES", 50 * 24 * 8 * 5)
    assert np.array_equal(coordinate(horizon, aim_of(community)).change, kept.change)


def test_batteries_of_one_kind_are_balanced_too() -> None:
    """Every one of them is indifferent at the best prices, and would jump to the same intervals."""
    community, stores = community_of(7, 60)
    same = tuple(replace(store, terms=stores[0].terms) for store in stores)
    horizon = horizon_of(community, same)
    found, least = coordinate(horizon, aim_of(community)), least_cost_nano(horizon)
    assert found.complete
    assert found.cost_nano <= least + GAP * 1.001 * abs(community.worth_nano + least)


@pytest.mark.parametrize(
    ("feed_in", "sunny"),
    sample_of([(-20_000, 2.0), (-300_000, 4.0), (-20_000, 4.0), (-300_000, 2.0)], [(-20_000, 2.0)]),
)
def test_nobody_charges_and_discharges_at_once_where_wasting_would_pay(sunny: float, feed_in: int) -> None:
    """Batteries then go one way only, in by day and out by night, which costs little beyond what burning would."""
    community, stores = community_of(1, 30, feed_in=feed_in, sunny=sunny)
    horizon = horizon_of(community, stores)
    found = coordinate(horizon, aim_of(community)._replace(needs=community.net_wh > 0))
    ways = found.no_discharge, found.no_charge
    fleet = batteries_of(stores, horizon.intervals, *ways)
    assert found.no_discharge.any()
    assert not (found.no_discharge & (community.net_wh > 0)).any()
    assert not (found.no_charge & (community.net_wh <= 0)).any()
    assert (found.price >= lowest_prices(fleet)).all()
    assert (found.change[:, found.no_discharge] >= 0).all()
    assert (found.change[:, found.no_charge] <= 0).all()
    burning = community.worth_nano + least_cost_nano(horizon)
    cost = community.worth_nano + found.cost_nano
    assert burning < cost < 1.01 * burning
    proven = lower_bound_nano(horizon, found.price, *ways)
    assert proven == pytest.approx(found.bound_nano, rel=1e-12)
    assert proven > found.cost_nano - GAP * 1.001 * abs(cost)
    planned = dispatch(community, stores)
    check_dispatch(community, stores, planned)
    assert planned.gap < 1e-3


def test_a_market_forbids_discharging_there_as_its_one_program_does() -> None:
    community, stores = community_of(0, 30, feed_in=-300_000, sunny=4)
    horizon = horizon_of(community, stores)
    found = coordinate(horizon, aim_of(community))
    least, stopped = ruled_cost_nano(horizon)
    assert np.array_equal(found.no_discharge, stopped)
    assert not found.no_charge.any()
    assert found.cost_nano == pytest.approx(least, abs=GAP * 1.001 * abs(community.worth_nano + least))


@pytest.mark.parametrize("many", [1, 1_000])
@pytest.mark.parametrize("limit", [None, 0.8])
def test_plans_are_whole_and_proven(many: int, limit: float | None) -> None:
    community, stores = community_of(8, 80, intervals=48, limit=limit)
    found = dispatch(community, stores, many=many)
    check_dispatch(community, stores, found)
    assert found.taken_wh.dtype == np.int64
    assert (found.rounds > 0) == (many == 1)
    assert 0 <= found.gap <= 1e-3
    short = np.array([s.terms.final_wh for s in stores]) - contents_wh(stores, found.taken_wh)[:, -1]
    assert (short <= np.array([1e6 / s.terms.discharge_ppm for s in stores]) + 1e-6).all()
    bought, sold, shed = community.drawn_wh(found.taken_wh.sum(axis=0))
    assert np.array_equal(bought + shed - sold, community.net_wh + found.taken_wh.sum(axis=0))
    if limit is not None:
        assert bought.max() <= community.import_limit_wh


def test_least_cost_makes_a_peak_and_a_limit_takes_it_away() -> None:
    community, stores = community_of(9, 200)
    free = dispatch(community, stores, many=100)
    before = int(community.net_wh.max())
    peak = int(community.drawn_wh(free.taken_wh.sum(axis=0))[0].max())
    assert peak > before
    limited = replace(community, import_limit_wh=before)
    kept = dispatch(limited, stores, many=100)
    bought, _, shed = limited.drawn_wh(kept.taken_wh.sum(axis=0))
    assert bought.max() <= before
    assert not shed.any()
    assert kept.cost_nano > free.cost_nano


def test_load_is_shed_where_the_limit_leaves_too_little() -> None:
    community, stores = community_of(10, 5, limit=0.05)
    found = dispatch(community, stores, many=1)
    check_dispatch(community, stores, found)
    _, _, shed = community.drawn_wh(found.taken_wh.sum(axis=0))
    assert shed.any()
    least = community.worth_nano + least_cost_nano(horizon_of(community, stores))
    assert found.cost_nano == pytest.approx(least, rel=2e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: replace(d, bound_nano=d.bound_nano + 1e-4 * d.cost_nano), "the prices prove"),
        (lambda d: replace(d, price=d.price * 1.05), "the prices prove"),
        (lambda d: replace(d, price=d.price * np.nan), "not a number"),
        (lambda d: replace(d, cost_nano=d.cost_nano - 1), "another cost"),
        (lambda d: replace(d, taken_wh=d.taken_wh[:, ::-1]), "holds more than it can"),
        (lambda d: replace(d, taken_wh=d.taken_wh * 2), "more than its power"),
        (lambda d: replace(d, taken_wh=d.taken_wh[:-1]), "another shape"),
        (lambda d: replace(d, no_discharge=~d.no_discharge), "may not"),
    ],
)
def test_a_tampered_dispatch_is_refused(change: Callable[..., object], said: str) -> None:
    community, stores = community_of(11, 30)
    found = dispatch(community, stores, many=1)
    check_dispatch(community, stores, found)
    with pytest.raises(InfeasibleClearing, match=said):
        check_dispatch(community, stores, change(found))  # type: ignore[arg-type]


def test_prices_of_a_similar_day_need_fewer_rounds() -> None:
    community, stores = community_of(12, 100, intervals=48)
    first = coordinate(horizon_of(community, stores), aim_of(community))
    more = replace(community, net_wh=community.net_wh + np.abs(community.net_wh) // 50)
    horizon = horizon_of(more, stores)
    again = coordinate(horizon, aim_of(more), first.price)
    assert again.complete
    assert again.rounds < coordinate(horizon, aim_of(more), np.full(48, 200_000.0)).rounds


def test_what_cannot_be_reached_is_said() -> None:
    community, stores = community_of(13, 5, intervals=4)
    full = replace(
        stores[2], terms=replace(stores[2].terms, final_wh=stores[2].terms.capacity_wh, charge_wh=1)
    )
    with pytest.raises(Unreachable):
        dispatch(community, (*stores[:2], full, *stores[3:]), many=1)


def test_too_little_energy_for_the_final_contents_is_infeasible() -> None:
    community, stores = community_of(14, 5, intervals=4)
    need = tuple(
        replace(s, terms=replace(s.terms, initial_wh=0, final_wh=s.terms.charge_wh // 2)) for s in stores
    )
    horizon = horizon_of(community, need)
    simple = horizon.simple
    nothing = replace(
        horizon, simple=replace(simple, energy_wh=np.where(simple.side < 0, 0, simple.energy_wh))
    )
    with pytest.raises(Infeasible, match="cannot keep to their contents"):
        coordinate(nothing, Aim())


def test_time_that_is_up_ends_it_with_what_is_known() -> None:
    """After one round: shed load makes up for what is not planned yet."""
    community, stores = community_of(15, 50)
    horizon = horizon_of(community, stores)
    found = coordinate(horizon, aim_of(community)._replace(limit_s=1e-9))
    assert (found.rounds, found.complete) == (1, False)
    assert found.bound_nano <= least_cost_nano(horizon) < found.cost_nano


def test_time_too_short_to_balance_is_said() -> None:
    community, stores = community_of(15, 50)
    horizon = horizon_of(community, stores)
    simple = horizon.simple
    scarce = np.where(simple.side < 0, simple.energy_wh // 30, simple.energy_wh)
    poor = replace(horizon, simple=replace(simple, energy_wh=scarce))
    with pytest.raises(SolverFailed, match="no plans that balance"):
        coordinate(poor, Aim(limit_s=1e-9), np.where(np.arange(24) % 2, 1e9, -1e9))


def test_progress_is_told_with_cost_and_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.progress.TELL_EVERY_S", 0.0)
    told: list[Progress] = []
    community, stores = community_of(16, 50)
    with listening(told.append):
        found = coordinate(horizon_of(community, stores), aim_of(community))
    assert len(told) == found.rounds
    assert told[-1].gap <= GAP * 1.001
    assert all(one.welfare_nano <= one.bound_nano for one in told)
    assert told[0].gap > told[-1].gap


def test_an_interrupt_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    community, stores = community_of(17, 50)

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("optimizer.progress.TELL_EVERY_S", 0.0)
    with listening(interrupt), pytest.raises(KeyboardInterrupt):
        coordinate(horizon_of(community, stores), aim_of(community))


def test_steps_cost_what_the_cheapest_orders_cost() -> None:
    community, stores = community_of(18, 4, intervals=3)
    horizon = horizon_of(community, stores)
    every, merged = in_full(horizon), steps_of(horizon)
    assert len(merged.price) <= len(every.price)
    for net in (np.zeros(3), np.array([100.0, -200.0, 50.0])):
        assert merged.cost_nano(net) == pytest.approx(every.cost_nano(net), rel=1e-12)
        expected = community.cost_nano(net.astype(np.int64)) - community.worth_nano
        assert merged.cost_nano(net) == pytest.approx(expected, rel=1e-12)
        assert np.bincount(every.interval, every.sold_wh(net), 3) == pytest.approx(net)


def test_stores_of_a_kit_differ() -> None:
    """Otherwise the tests above would be about one kind only."""
    _, stores = community_of(0, 40)
    kinds: set[Store] = {replace(store, row=0) for store in stores}
    assert len(kinds) == 40
