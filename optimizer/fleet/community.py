"""A community that is netted at one meter, with many batteries behind it: least cost, and the peak that this makes."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from market.errors import InfeasibleClearing
from market.horizon import Horizon, Lumps, SimpleOrders, Store
from market.schedule import content_change
from market.units import PPM, BoolArray, FloatArray, IntArray
from optimizer.blocks.clear import Limits, searched
from optimizer.blocks.infeasible import refuse_unreachable
from optimizer.blocks.whole import planned_of, whole_stores
from optimizer.errors import Infeasible
from optimizer.fleet.coordinate import Aim, coordinate, lower_bound_nano, taken_wh
from optimizer.fleet.market import MANY
from optimizer.fleet.response import batteries_of

NOISE_WH = 1e-3
"""What floats may be off a content. [Wh]"""


@dataclass(frozen=True, slots=True, eq=False)
class Community:
    """What a community needs in each interval, and what energy costs outside.

    Args:
        net_wh: What it draws from outside without batteries; negative where it has a surplus. [Wh]
        bought: Of energy from outside. [micro-currency/kWh]
        sold: Of energy given outside, at most `bought`. [micro-currency/kWh]
        import_limit_wh: Most energy from outside in an interval; None without a limit. [Wh]
        shed: What a kWh of load costs that is not served, above every price; counts with a limit. [micro-currency/kWh]
    """

    net_wh: IntArray
    bought: IntArray
    sold: IntArray
    import_limit_wh: int | None = None
    shed: int = 0

    @property
    def price_range(self) -> tuple[int, int]:
        """What surplus is offered at, below every price, and what load bids, above. [micro-currency/kWh]"""
        above = int(self.bought.max()) + 1
        return int(self.sold.min()) - 1, above if self.import_limit_wh is None else max(above, self.shed)

    @property
    def worth_nano(self) -> int:
        """What load and surplus count as in the welfare of a market that trades all of both. [nano-currency]"""
        bottom, top = self.price_range
        return top * int(np.maximum(self.net_wh, 0).sum()) - bottom * int(np.maximum(-self.net_wh, 0).sum())

    def drawn_wh(self, taken_wh: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """From outside, given outside, and not served, when batteries take this in each interval. [Wh]"""
        net = self.net_wh + taken_wh
        most = int(net.max(initial=0)) if self.import_limit_wh is None else self.import_limit_wh
        bought = np.clip(net, 0, most)
        return bought, np.maximum(-net, 0), np.maximum(net, 0) - bought

    def cost_nano(self, taken_wh: IntArray) -> int:
        """Cost of what is drawn from outside and of load that is not served, less what is earned. [nano-currency]"""
        bought, sold, shed = self.drawn_wh(taken_wh)
        return int(self.bought @ bought - self.sold @ sold) + self.shed * int(shed.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Dispatch:
    """Plans of all batteries in whole Wh, and what proves how good they are.

    Args:
        taken_wh: By each battery at its terminals, negative where it gives, shape (batteries, intervals). [Wh]
        cost_nano: Of the community, with wear and less the value of what contents gain. [nano-currency]
        bound_nano: No plans cost less that keep to `no_discharge` and `no_charge`. [nano-currency]
        price: Prices that prove the bound. [micro-currency/kWh]
        no_discharge: Intervals in which no battery discharges, by the rule for prices below 0.
        no_charge: Intervals in which none charges, by the same rule.
        rounds: Rounds of the coordination; 0 where one program was solved.
        complete: Whether the gap asked for was reached before rounding.
    """

    taken_wh: IntArray
    cost_nano: int
    bound_nano: float
    price: FloatArray
    no_discharge: BoolArray
    no_charge: BoolArray
    rounds: int
    complete: bool

    @property
    def gap(self) -> float:
        """By how much the cost may be above the least, as a share of it; infinite where it is 0 and unproven."""
        missing = self.cost_nano - self.bound_nano
        return missing / abs(self.cost_nano) if self.cost_nano else inf if missing > 1 else 0.0


def dispatch(
    community: Community,
    stores: tuple[Store, ...],
    gap: float = Aim().gap,
    limit_s: float = inf,
    many: int = MANY,
) -> Dispatch:
    """Plan many batteries at the least cost of a community, its future known.

    No battery charges and discharges at once. Where prices are so low that it would pay, batteries only charge in
    intervals in which the community has a surplus without them, and only discharge in those in which it has a need.

    Args:
        community: What it needs, and prices.
        stores: At least one battery; rows are theirs to name.
        gap: Largest difference between cost and bound before rounding, as a share of the cost.
        limit_s: Seconds after which the best plans so far are taken.
        many: Batteries from which they are coordinated by prices; fewer are planned in one program, unless a
            price is below 0.

    Raises:
        Unreachable: Batteries cannot reach their final contents.
        SolverFailed: The solver gave no answer, or the time was too short.
    """
    horizon = horizon_of(community, stores)
    refuse_unreachable(horizon)
    done = None
    if len(stores) >= many or horizon.price_range[0] < -1:
        worth, needs = float(community.worth_nano), community.net_wh > 0
        try:
            done = coordinate(horizon, Aim(gap, worth, limit_s=limit_s, needs=needs))
        except Infeasible:
            done = None  # the one program says which batteries make it so
    if done is not None:
        price, rounds, complete = done.price, done.rounds, done.complete
        ways = done.no_discharge, done.no_charge
        planned = taken_wh(batteries_of(stores, horizon.intervals, *ways), done.change)
    else:
        solved = searched(horizon, Limits(horizon.price_range, limit_s))
        best = solved.found.best
        price, rounds, complete = -best.row_price[: horizon.intervals], 0, True
        ways = solved.no_discharge, np.zeros_like(solved.no_discharge)
        planned = planned_of(horizon, solved.model, best.x)[2]
    taken = whole_stores(horizon, planned, *ways)
    bound = lower_bound_nano(horizon, price, *ways, rounded=True) + community.worth_nano
    return Dispatch(taken, total_nano(community, stores, taken), bound, price, *ways, rounds, complete)


def total_nano(community: Community, stores: tuple[Store, ...], taken_wh: IntArray) -> int:
    """Cost of the community with wear, less the value of what contents gain, rounded up to a nano for each battery."""
    total = community.cost_nano(taken_wh.sum(axis=0))
    worn = np.maximum(-taken_wh, 0).sum(axis=1).tolist()
    for store, out_wh, energy in zip(stores, worn, taken_wh, strict=True):
        total += store.terms.wear_micro_per_kwh * out_wh
        if store.left_micro_per_kwh:
            left = content_change(store, energy) * store.left_micro_per_kwh
            total -= left.numerator // left.denominator
    return total


def contents_wh(stores: tuple[Store, ...], taken_wh: IntArray) -> FloatArray:
    """What is in each battery after each interval. [Wh]"""
    gain, yields, initial = (
        np.array([getattr(store.terms, name) for store in stores], dtype=np.float64)[:, None]
        for name in ("charge_ppm", "discharge_ppm", "initial_wh")
    )
    stored = np.maximum(taken_wh, 0) * (gain / PPM) + np.minimum(taken_wh, 0) * (PPM / yields)
    found: FloatArray = initial + np.cumsum(stored, axis=1)
    return found


def check_dispatch(community: Community, stores: tuple[Store, ...], found: Dispatch) -> None:
    """Check plans, their cost and its bound with numpy alone, whoever made them.

    Raises:
        InfeasibleClearing: A power, content, cost, or the bound does not hold.
    """
    horizon, taken = horizon_of(community, stores), found.taken_wh
    ways = found.no_discharge, found.no_charge
    fleet = batteries_of(stores, horizon.intervals, *ways, rounded=True)
    if taken.shape != fleet.charge_wh.shape or found.price.shape != (horizon.intervals,):
        raise InfeasibleClearing("plans or prices have another shape than batteries and intervals")
    if (taken > fleet.charge_wh).any() or (-taken > fleet.discharge_wh).any():
        raise InfeasibleClearing(
            "a battery takes or gives more than its power, or while it is away or may not"
        )
    content = contents_wh(stores, taken)
    if (content < fleet.least_wh - NOISE_WH).any() or (content > fleet.capacity_wh[:, None] + NOISE_WH).any():
        raise InfeasibleClearing(
            "a battery holds more than it can, or less than nothing or than it must in the end"
        )
    if total_nano(community, stores, taken) != found.cost_nano:
        raise InfeasibleClearing("the plans have another cost than is stated")
    if not np.isfinite(found.price).all():
        raise InfeasibleClearing("a price is not a number")
    bound = lower_bound_nano(horizon, found.price, *ways, rounded=True) + community.worth_nano
    if bound < found.bound_nano - 1e-9 * (1 + abs(community.worth_nano)):
        raise InfeasibleClearing(
            f"the prices prove a cost of at least {bound:.0f} nano, not {found.bound_nano:.0f}"
        )


def horizon_of(community: Community, stores: tuple[Store, ...]) -> Horizon:
    """The same as a market: the outside sells and buys, and load and surplus trade at any of its prices."""
    net, (bottom, top) = community.net_wh, community.price_range
    count, one = len(net), np.ones(len(net), dtype=np.int64)
    load, surplus = np.maximum(net, 0), np.maximum(-net, 0)
    imported = load + sum(store.terms.charge_wh for store in stores)
    if community.import_limit_wh is not None:
        imported = np.minimum(imported, community.import_limit_wh)
    exported = surplus + sum(store.terms.discharge_wh for store in stores)
    side = np.concatenate((-one, one, one, -one))
    energy = np.concatenate((imported, exported, load, surplus))
    limit = np.concatenate((community.bought, community.sold, top * one, bottom * one))
    interval = np.tile(np.arange(count), 4)
    order = np.lexsort((limit, interval))
    order = order[energy[order] > 0]
    simple = SimpleOrders(order, interval[order], side[order], energy[order], limit[order])
    nothing = np.zeros(0, dtype=np.int64)
    lumps = Lumps(nothing, np.zeros((0, count), dtype=np.int64), nothing, nothing, nothing, nothing)
    return Horizon(count, simple, lumps, (), stores, (bottom, top))
