"""Who gains how much by a common battery: by price, by the Shapley value, and by the nucleolus.

Every home owns an equal part of the battery. A group of homes is worth what it saves with its part, against each of
its homes alone with the retailer and without a battery. So two groups together are never worth less than apart, and
prices that support the plan of all give nobody a reason to leave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from market.cooperative.shapley import sampled_shapley, shapley
from market.units import FloatArray, IntArray
from optimizer.cooperative import nucleolus
from optimizer.errors import OptimizerError
from optimizer.storage.plan import Plan, Planner, without_battery
from optimizer.storage.prices import values_of
from optimizer.storage.store import Demand, Store
from optimizer.storage.worth import Groups, least_costs_nano, levels_of, netted_costs_nano, rule_costs_nano
from wattswap.scenario.load import Scenario
from wattswap.sizing.game import Game
from wattswap.sizing.homes import Homes
from wattswap.sizing.peak import STEPS_OF_A_GROUP, PeakGame

MOST_EXACT: Final = 16
MOST_IN_NUCLEOLUS: Final = 13
MOST_SAMPLED: Final = 62
LEAST_SAMPLES: Final = 10
WORK: Final = 200_000_000
"""Slopes that a study may touch, over groups and intervals: some seconds."""
_CHUNK: Final = 1 << 20

Costs = Callable[[Groups, Demand, Store], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """What each home saves over the window against being alone, by rule. [nano-currency]

    Args:
        by_price: At the local prices that support the best plan, with an equal part of what the battery earns at
            them.
        by_shapley: The Shapley value.
        by_nucleolus: The nucleolus.
    """

    by_price: IntArray | None
    by_shapley: IntArray | None
    by_nucleolus: IntArray | None


@dataclass(frozen=True, slots=True, eq=False)
class Sharing:
    """The shares of all homes at one size.

    Args:
        alone_nano: What each home pays alone with the retailer, without a battery. [nano-currency]
        with_battery: Shares of what sharing and the battery save.
        without_battery: Shares of what sharing alone saves.
        method: "exact" or "sampled", how Shapley values were computed; None without any.
        samples: Orders drawn; None where none were.
        reasons: By rule, why it has no shares.
    """

    alone_nano: IntArray
    with_battery: Shares
    without_battery: Shares
    method: str | None
    samples: int | None
    reasons: dict[str, str]


class _CostGame(Game):
    """What groups of homes are worth where they share the least cost, or that of a rule.

    Args:
        homes: The community.
        store: The battery of all homes; of a group its homes' equal parts.
        costs: How the battery of a group is run.
    """

    def __init__(self, homes: Homes, store: Store, costs: Costs) -> None:
        super().__init__(homes.import_wh.shape[1], max(1, _CHUNK // len(levels_of(homes.demand, store))))
        self._net_wh = (homes.import_wh - homes.export_wh).astype(np.float64)
        self._demand, self._store, self._costs = homes.demand, store, costs
        self._alone_nano = alone_nano(homes).astype(np.float64)
        self._fee_nano = self._demand.fee * np.maximum(self._net_wh, 0).sum(axis=0)

    def _worth(self, masks: IntArray) -> IntArray:
        member = self._member(masks).astype(np.float64)
        part = member.sum(axis=0) / self.count
        groups = Groups(self._net_wh, member, part * self._store.capacity_wh, part * self._store.power_wh)
        cost = self._costs(groups, self._demand, self._store) + self._fee_nano @ member
        found: IntArray = np.rint(self._alone_nano @ member - cost).astype(np.int64)
        return found


def alone_nano(homes: Homes) -> IntArray:
    """What each home pays alone with the retailer. [nano-currency]"""
    net_wh, prices = homes.import_wh - homes.export_wh, homes.prices
    bought = prices.buy_cap_micro_per_kwh + prices.grid_fee_local_micro_per_kwh
    cost: IntArray = bought @ np.maximum(net_wh, 0) - prices.feed_in_micro_per_kwh @ np.maximum(-net_wh, 0)
    return cost


def share(homes: Homes, store: Store, planner: Planner, goal: str, samples: int, seed: int) -> Sharing:
    """Share what a battery saves among the homes.

    Args:
        homes: The community.
        store: Its battery.
        planner: Of batteries with its efficiencies.
        goal: "welfare" is shared as its best plan saves, "self_consumption" as the rule does, and of "peak" what the
            charge for the peak falls by, if the tariff has one.
        samples: Orders of arrival that are drawn where there are too many groups for all of them.
        seed: Of the draw.
    """
    demand, reasons = homes.demand, {}
    none = Shares(None, None, None)
    if goal == "peak":
        return _share_of_peak(homes, store, samples, seed)
    if not demand.convex.all():
        every = "a price is below 0 in some interval, where no price supports a plan"
        return Sharing(alone_nano(homes), none, none, None, None, dict.fromkeys(RULES, every))
    priced = goal == "welfare"
    if not priced:
        reasons["price"] = "the rule of self-consumption follows no price"
    method, samples = _method(homes.import_wh.shape, len(levels_of(demand, store)), samples, reasons)
    costs = least_costs_nano if priced else rule_costs_nano
    nothing = Store(0, 0, store.charge_efficiency_ppm, store.discharge_efficiency_ppm)
    games = _CostGame(homes, store, costs), _CostGame(homes, nothing, netted_costs_nano)
    by_price: list[IntArray | None] = [None, None]
    if priced:
        by_price = [
            _by_price(homes, store, planner.plan(store), games[0]),
            _by_price(homes, nothing, without_battery(demand), games[1]),
        ]
    with_battery, without = (
        _shares(game, one, method, samples, seed, reasons) for game, one in zip(games, by_price, strict=True)
    )
    return Sharing(
        alone_nano(homes),
        with_battery,
        without,
        method,
        samples if method == "sampled" else None,
        reasons,
    )


def _share_of_peak(homes: Homes, store: Store, samples: int, seed: int) -> Sharing:
    """Share what the charge for the peak falls by."""
    none = Shares(None, None, None)
    if not charges_peak(homes.setup.scenario):
        return Sharing(alone_nano(homes), none, none, None, None, dict.fromkeys(RULES, NO_PEAK_PRICE))
    reasons = {"price": "the least peak follows no price of an interval"}
    method, samples = _method(homes.import_wh.shape, STEPS_OF_A_GROUP, samples, reasons)
    nothing = Store(0, 0, store.charge_efficiency_ppm, store.discharge_efficiency_ppm)
    with_battery, without = (
        _shares(PeakGame(homes, one), None, method, samples, seed, reasons) for one in (store, nothing)
    )
    drawn = samples if method == "sampled" else None
    return Sharing(alone_nano(homes), with_battery, without, method, drawn, reasons)


def charges_peak(scenario: Scenario) -> bool:
    """Whether the tariff of a scenario has a charge for the peak."""
    return scenario.tariff.surcharges.peak_micro_per_kw_month > 0


NO_PEAK_PRICE: Final = "a battery that is run for the least peak saves no money that a group could claim"
RULES: Final = ("price", "shapley", "nucleolus")


def _method(
    shape: tuple[int, ...], work: int, samples: int, reasons: dict[str, str]
) -> tuple[str | None, int]:
    """How Shapley values can be computed, from how many orders, and why others cannot.

    Args:
        shape: Intervals and homes.
        work: Of one interval of one group, in slopes.
    """
    intervals, count = shape
    a_group = intervals * work
    method, orders = "exact", samples
    if count > MOST_EXACT or (1 << count) * a_group > WORK:
        method, orders = "sampled", min(samples, WORK // (a_group * count))
    if count > MOST_IN_NUCLEOLUS or method == "sampled":
        needs = f"it needs the value of every group, of at most {MOST_IN_NUCLEOLUS} homes"
        reasons["nucleolus"] = f"{needs}, and this window is too long for all groups of {count} homes"
        if count > MOST_IN_NUCLEOLUS:
            reasons["nucleolus"] = f"{needs}, and these are {count}"
    if method == "sampled" and (count > MOST_SAMPLED or orders < LEAST_SAMPLES):
        reasons["shapley"] = (
            f"too many homes ({count}) or prices for this window; take a shorter one or fewer homes"
        )
        return None, 0
    return method, orders


def _shares(
    game: Game,
    by_price: IntArray | None,
    method: str | None,
    samples: int,
    seed: int,
    reasons: dict[str, str],
) -> Shares:
    """The shares of a game; why one has none goes to the reasons."""
    count = game.count
    if method is None:
        return Shares(by_price, None, None)
    if method == "sampled":
        return Shares(by_price, sampled_shapley(game.values, count, samples, seed), None)
    value, found = game.values(np.arange(1 << count)), None
    if "nucleolus" not in reasons:
        try:
            found = nucleolus(value)
        except OptimizerError as error:
            reasons["nucleolus"] = str(error)
    return Shares(by_price, shapley(value), found)


def _by_price(homes: Homes, store: Store, plan: Plan, game: Game) -> IntArray:
    """Savings at the prices that support the best plan; what the battery earns at them is shared equally."""
    demand, net_wh = homes.demand, homes.import_wh - homes.export_wh
    price = values_of(demand, store, plan).price
    paid = price @ net_wh + demand.fee * np.maximum(net_wh, 0).sum(axis=0)
    earned = float(price @ demand.net_wh) - plan.cost_nano
    saved: IntArray = np.rint(alone_nano(homes) - paid + earned / game.count).astype(np.int64)
    if game.count <= MOST_SAMPLED:  # to the nano: what rounding left, one by one from the first home on
        left = game.whole() - int(saved.sum())
        saved = saved + left // len(saved)
        saved[: left % len(saved)] += 1
    return saved
