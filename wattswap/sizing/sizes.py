"""Each size of a common battery: what it saves at most, what its simple rule saves, and what that is worth a year."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, inf

import numpy as np

from market.metrics.energy import self_consumption_metered
from market.units import NANO_PER_UNIT, WH_PER_KWH, kwh, money
from optimizer.storage.plan import Planner
from optimizer.storage.rules import least_peak_wh, self_consuming
from optimizer.storage.store import Demand, Lived, Store
from optimizer.storage.whole import whole
from wattswap.runs.common_battery import store_of
from wattswap.scenario.community import CommonBattery
from wattswap.sizing.homes import Homes

OnSize = Callable[[int, int], None]
"""Called with how many of how many sizes are done."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a study.

    Args:
        capacities_wh: Sizes, ascending. [Wh]
        power_w_per_kwh: Power of each kWh of capacity. [W]
        battery: Efficiencies, reserve and cost.
        goal: "welfare", "peak" or "self_consumption".
    """

    capacities_wh: Sequence[int]
    power_w_per_kwh: Fraction
    battery: CommonBattery
    goal: str

    def store(self, capacity_wh: int, minutes: int) -> Store:
        """A battery as plans see it: from its reserve on, and empty at the start."""
        return store_of(self.battery, capacity_wh, self.power_w(capacity_wh), minutes)

    def power_w(self, capacity_wh: int) -> int:
        """Power of a size. [W]"""
        return int(capacity_wh * self.power_w_per_kwh / WH_PER_KWH)

    def purchase(self, capacity_wh: int) -> float | None:
        """What a size costs to buy; None where nothing says it. [currency]"""
        nano = self.battery.purchase_nano(capacity_wh)
        return None if nano is None else nano / NANO_PER_UNIT


@dataclass(frozen=True, slots=True)
class Way:
    """What a battery does for a community in one way of running it.

    Args:
        cost: Of all homes over the window. [currency]
        saving: Against no battery, of homes that net among themselves in both cases. [currency]
        saving_per_year: The same, of 365 days. [currency]
        payback_years: Purchase over saving a year; None where nothing is saved, bought, or known of the purchase.
        peak_import_kw: Highest mean power from outside in an interval. [kW]
        self_consumption: Share of production that is not given outside; None where the data do not have it.
        cycles_per_year: Energy drawn from the store over its usable capacity; None without one.
    """

    cost: float
    saving: float
    saving_per_year: float
    payback_years: float | None
    peak_import_kw: float
    self_consumption: float | None
    cycles_per_year: float | None


@dataclass(frozen=True, slots=True)
class Size:
    """One size of the study.

    Args:
        capacity_kwh: [kWh]
        power_kw: [kW]
        cost_per_year: Purchase over its years of life; None where nothing says it. [currency]
        best: Run for the goal with the future known: no plan costs less or saves more; the other figures are of the
            best plan in whole Wh.
        rule: Run by the rule of self-consumption, which knows nothing of the future.
        unproven: How much of `best.saving` no plan that was found reaches, apart from rounding; above 0 where prices
            below 0 make a search of it that ended early. [currency]
        planned: Run by plans from forecasts, day by day; None where not asked.
    """

    capacity_kwh: float
    power_kw: float
    cost_per_year: float | None
    best: Way
    rule: Way
    unproven: float = 0.0
    planned: Way | None = None

    @property
    def best_net_per_year(self) -> float | None:
        """What the bound saves a year beyond the cost of the battery. [currency]"""
        return None if self.cost_per_year is None else self.best.saving_per_year - self.cost_per_year

    @property
    def rule_net_per_year(self) -> float | None:
        """What the rule saves a year beyond the cost of the battery. [currency]"""
        return None if self.cost_per_year is None else self.rule.saving_per_year - self.cost_per_year


def planner_of(homes: Homes, asked: Asked) -> Planner:
    """The program of all sizes; only its bounds change from one to the next."""
    return Planner(homes.demand, asked.store(0, homes.setup.minutes))


def sizes_of(homes: Homes, asked: Asked, planner: Planner, on_size: OnSize | None = None) -> Iterator[Size]:
    """Every size that is asked, one after the other."""
    demand, minutes = homes.demand, homes.setup.minutes
    for done, capacity_wh in enumerate(asked.capacities_wh, 1):
        store = asked.store(capacity_wh, minutes)
        rule = self_consuming(demand, store)
        purchase = asked.purchase(capacity_wh)
        by_rule = way(homes, demand, store, rule, purchase)
        best, unproven_nano = by_rule, 0.0
        if asked.goal != "self_consumption":
            best, unproven_nano = _best(homes, planner, store, asked.goal, purchase, rule)
        yield Size(
            capacity_kwh=kwh(capacity_wh),
            power_kw=asked.power_w(capacity_wh) / 1_000,
            cost_per_year=None if purchase is None else purchase / asked.battery.life_years,
            best=best,
            rule=by_rule,
            unproven=unproven_nano / NANO_PER_UNIT,
        )
        if on_size is not None:
            on_size(done, len(asked.capacities_wh))


def _best(
    homes: Homes, planner: Planner, store: Store, goal: str, purchase: float | None, rule: Lived
) -> tuple[Way, float]:
    """The best plan for a goal, with the cost that no plan undercuts, and by how much its own may be above it.

    A plan in whole Wh costs a little more than the program says, so its own saving would be no bound. [nano-currency]
    """
    demand = homes.demand
    most_wh = least_peak_wh(demand, store) if goal == "peak" else inf
    plan = planner.plan(store, most_wh)
    done = whole(demand, store, plan, most_wh)
    if goal == "welfare" and demand.cost_nano(rule.taken_wh) < demand.cost_nano(done.taken_wh):
        done = rule  # by what rounding to whole Wh costs
    least_nano = demand.cost_nano(done.taken_wh)
    if done.taken_wh.any():  # a store that can do nothing saves exactly nothing
        least_nano = min(least_nano, floor(plan.bound_nano) + demand.fee * int(demand.need_wh.sum()))
    return way(homes, demand, store, done, purchase, least_nano), plan.cost_nano - plan.bound_nano


def way(
    homes: Homes,
    demand: Demand,
    store: Store,
    done: Lived,
    purchase: float | None,
    cost_nano: int | None = None,
) -> Way:
    """The figures of a battery that took what it took; at another cost where one is given. [nano-currency]"""
    net_wh = demand.net_wh + done.taken_wh
    without = demand.cost_nano()
    cost = demand.cost_nano(done.taken_wh) if cost_nano is None else cost_nano
    saving_per_year = money(without - cost) * homes.per_year
    drawn_wh = done.given_wh() / store.yields
    return Way(
        cost=money(cost),
        saving=money(without - cost),
        saving_per_year=saving_per_year,
        payback_years=purchase / saving_per_year if purchase and saving_per_year > 0 else None,
        peak_import_kw=homes.kw(max(0, int(net_wh.max()))),
        self_consumption=(
            None
            if homes.generation_wh is None
            else self_consumption_metered(homes.generation_wh, np.maximum(-net_wh, 0))
        ),
        cycles_per_year=drawn_wh / store.capacity_wh * homes.per_year if store.capacity_wh else None,
    )
