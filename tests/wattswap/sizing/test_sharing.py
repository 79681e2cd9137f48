"""Who gains how much by a common battery: shares that sum exactly, the core, and games recomputed by the solver."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

import wattswap as ws
from market.cooperative.core import core_check
from market.cooperative.game import coalition_values
from market.units import IntArray
from optimizer.storage.plan import Planner
from optimizer.storage.rules import self_consuming
from optimizer.storage.store import Demand, Store
from tests.kits.run_kit import write_street
from wattswap.sizing import sharing
from wattswap.sizing.homes import Homes, homes_of

STORE = Store(4_000, 2_000, 950_000, 900_000)
HOMES = 4


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    """Four homes over two days, with a dear evening and fees."""
    folder = write_street(tmp_path_factory.mktemp("sharing"), homes=HOMES, days=2)
    evening = 'tariff.time_of_use=[{ days = "all", from = "17:00", to = "21:00", import_per_kwh = 0.5 }]'
    return homes_of(ws.load(folder, overrides=[evening, 'tariff.zone="UTC"']))


def shared(homes: Homes, goal: str = "welfare", samples: int = 200) -> sharing.Sharing:
    return sharing.share(homes, STORE, Planner(homes.demand, STORE), goal, samples, seed=1)


def by_solver(homes: Homes, store: Store) -> IntArray:
    """What each group saves, from one program a group with its part of the battery. [nano-currency]"""
    alone = sharing.alone_nano(homes)
    value = np.zeros(1 << HOMES, dtype=np.int64)
    for size in range(1, HOMES + 1):
        part = replace(
            store, capacity_wh=store.capacity_wh * size // HOMES, power_wh=store.power_wh * size // HOMES
        )
        for group in combinations(range(HOMES), size):
            members = list(group)
            demand = Demand.of_homes(homes.import_wh[:, members], homes.export_wh[:, members], homes.prices)
            cost = Planner(demand, part).plan(part).cost_nano + demand.fee * int(demand.need_wh.sum())
            value[sum(1 << i for i in group)] = round(int(alone[members].sum()) - cost)
    return value


def test_the_shares_are_those_of_the_game_that_the_solver_computes(homes: Homes) -> None:
    from market.cooperative.shapley import shapley
    from optimizer.cooperative import nucleolus

    value, found = by_solver(homes, STORE), shared(homes)
    assert found.method == "exact"
    assert np.abs(found.with_battery.by_shapley - shapley(value)).max() <= 1_000
    assert np.abs(found.with_battery.by_nucleolus - nucleolus(value)).max() <= 1_000


def test_without_a_battery_the_shares_are_those_of_netting(homes: Homes) -> None:
    """The game of `market.cooperative`, which shares no line with this one."""
    from market.cooperative.shapley import shapley

    value = coalition_values(homes.import_wh, homes.export_wh, homes.prices)
    assert shared(homes).without_battery.by_shapley.tolist() == shapley(value).tolist()


@pytest.mark.parametrize("rule", sharing.RULES)
def test_the_shares_sum_exactly_to_what_all_save(homes: Homes, rule: str) -> None:
    found = shared(homes)
    for shares in (found.with_battery, found.without_battery):
        assert int(getattr(shares, f"by_{rule}").sum()) == int(shares.by_shapley.sum())
    planned = Planner(homes.demand, STORE).plan(STORE)
    cost = planned.cost_nano + homes.demand.fee * int(homes.demand.need_wh.sum())
    saved = int(found.alone_nano.sum()) - cost
    assert int(found.with_battery.by_shapley.sum()) == pytest.approx(saved, abs=1_000)


def test_prices_and_nucleolus_leave_no_group_a_reason_to_leave(homes: Homes) -> None:
    """A linear production game: its core holds what the prices of the best plan of all give (Owen 1975)."""
    value, found = by_solver(homes, STORE), shared(homes).with_battery
    for shares in (found.by_price, found.by_nucleolus):
        scaled = value.copy()
        scaled[-1] = int(shares.sum())
        assert core_check(scaled, shares, tolerance_nano=2_000).in_core
        assert (shares >= value[1 << np.arange(HOMES)] - 2_000).all()


def test_two_groups_together_are_never_worth_less_than_apart(homes: Homes) -> None:
    value = by_solver(homes, STORE)
    for group in range(1, 1 << HOMES):
        for other in range(1, 1 << HOMES):
            if not group & other:
                assert value[group | other] >= value[group] + value[other] - 1_000


def test_equal_homes_gain_equally(homes: Homes) -> None:
    twins = replace(
        homes, import_wh=homes.import_wh[:, [0, 1, 1, 2]], export_wh=homes.export_wh[:, [0, 1, 1, 2]]
    )
    found = shared(twins).with_battery
    for rule in sharing.RULES:
        shares = getattr(found, f"by_{rule}")
        assert abs(int(shares[1] - shares[2])) <= 2, rule


def test_sampled_shares_come_close_and_sum_exactly(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = shared(homes)
    monkeypatch.setattr(sharing, "MOST_EXACT", 2)
    drawn = shared(homes, samples=400)
    assert (drawn.method, drawn.samples) == ("sampled", 400)
    assert int(drawn.with_battery.by_shapley.sum()) == int(exact.with_battery.by_shapley.sum())
    off = np.abs(drawn.with_battery.by_shapley - exact.with_battery.by_shapley).max()
    assert off < 0.05 * int(exact.with_battery.by_shapley.sum())
    assert drawn.with_battery.by_nucleolus is None
    assert "nucleolus" in drawn.reasons
    assert drawn.with_battery.by_price.tolist() == exact.with_battery.by_price.tolist()
    again = shared(homes, samples=400)
    assert again.with_battery.by_shapley.tolist() == drawn.with_battery.by_shapley.tolist()


def test_too_long_a_window_has_prices_alone(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "WORK", 100)
    found = shared(homes)
    assert found.method is None
    assert found.with_battery.by_shapley is None
    assert found.with_battery.by_price is not None
    assert set(found.reasons) == {"shapley", "nucleolus"}


def test_the_rule_is_shared_without_a_price(homes: Homes) -> None:
    found = shared(homes, "self_consumption")
    assert found.with_battery.by_price is None
    done = self_consuming(homes.demand, STORE)
    saved = int(found.alone_nano.sum()) - homes.demand.cost_nano(done.taken_wh)
    assert int(found.with_battery.by_shapley.sum()) == pytest.approx(saved, abs=2 * 48 * 600_000)


def test_a_price_below_0_has_no_shares_and_says_why(homes: Homes) -> None:
    prices = homes.prices
    below = replace(prices, feed_in_micro_per_kwh=prices.feed_in_micro_per_kwh * 0 - 10_000)
    negative = _With(homes, below)
    found = sharing.share(negative, STORE, Planner(negative.demand, STORE), "welfare", 100, 1)  # type: ignore[arg-type]
    assert found.with_battery.by_price is None
    assert all("below 0" in why for why in found.reasons.values())


class _With:
    """Homes at other prices."""

    def __init__(self, homes: Homes, prices: object) -> None:
        self.import_wh, self.export_wh, self.prices = homes.import_wh, homes.export_wh, prices
        self.demand = Demand.of_homes(homes.import_wh, homes.export_wh, prices)  # type: ignore[arg-type]
