"""Coordinate many batteries by prices: plans of groups are mixed, and a bound says how good the mix is.

Column generation. A round asks every battery for its best plan at a price of each interval, adds up plans and costs by
group, and mixes all plans so far at the least cost. The prices of that mix, drawn towards those of the best bound, are
the next to ask at. Whatever the prices are, what all batteries and orders would do at them bounds the cost from below.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import NamedTuple

import numpy as np

from market.horizon import Horizon, Store
from market.units import BoolArray, FloatArray, IntArray
from optimizer.blocks.hot import Clock
from optimizer.errors import Infeasible, SolverFailed
from optimizer.fleet.aggregate import start_prices
from optimizer.fleet.master import Master, Mix
from optimizer.fleet.response import Batteries, batteries_of, best_change, lowest_prices
from optimizer.fleet.steps import Steps, steps_of
from optimizer.progress import Teller

TOLERANCE_WH = 1e-3
"""Less energy than this from or to nowhere is none. [Wh]"""
MOST_ROUNDS = 2_000
KEPT_BYTES = 1 << 28
"""Plans that are kept; those beyond it are computed again from their prices when they are mixed. [bytes]"""
NOWHERE = "storages cannot keep to their contents with the energy that simple orders buy and sell"
NOTHING = Mix(np.inf, np.zeros(0), np.zeros((0, 0)), np.zeros(0), np.zeros(0))
"""Before the first round."""


class Aim(NamedTuple):
    """What is asked of a coordination.

    Args:
        gap: Largest difference between cost and bound, as a share of the cost.
        unsettled_nano: What orders and storages together may gain by other plans at the prices of the mix. [nano]
        worth_nano: The cost is this less the welfare: 0 in a market, elsewhere what load and surplus count as. [nano]
        groups: Groups of batteries.
        smoothing: Weight of the prices of the best bound in those that are tried next.
        limit_s: Seconds after which the best mix so far is taken.
        needs: Intervals that become ones without charging, where others become ones without discharging, by the rule
            for prices below 0; none where None.
    """

    gap: float = 3e-4
    worth_nano: float = 0.0
    unsettled_nano: float = np.inf
    groups: int = 10
    smoothing: float = 0.95
    limit_s: float = np.inf
    needs: BoolArray | None = None

    def is_met(self, cost_nano: float, bound_nano: float) -> bool:
        """Whether a cost is near enough to its bound."""
        return cost_nano - bound_nano <= self.gap * abs(self.worth_nano + cost_nano)


class Coordinated(NamedTuple):
    """Plans of all batteries, and the prices that prove what they miss.

    Args:
        change: What each battery's content changes by, shape (batteries, intervals). [Wh]
        price: Prices of the best bound. [micro-currency/kWh]
        mixed_price: Prices of the mix, at which its simple orders want nothing else. [micro-currency/kWh]
        cost_nano: Of orders and batteries, recomputed from the plans: minus the welfare. [nano-currency]
        bound_nano: No plans cost less. [nano-currency]
        no_discharge: Intervals in which no battery discharges, by the rule for prices below 0.
        no_charge: Intervals in which none charges, by the same rule.
        rounds: Rounds that were done in all.
        complete: Whether the gap was reached.
    """

    change: FloatArray
    price: FloatArray
    mixed_price: FloatArray
    cost_nano: float
    bound_nano: float
    no_discharge: BoolArray
    no_charge: BoolArray
    rounds: int
    complete: bool


def coordinate(horizon: Horizon, aim: Aim, start: FloatArray | None = None) -> Coordinated:
    """Plan the storages of a horizon that has simple orders and at least one storage, and nothing else.

    Where a price is so low that a battery would gain by charging and discharging at once, energy would be burnt; such
    an interval becomes one in which no battery discharges, or charges (`Aim.needs`), and the coordination goes on from
    its prices.

    Args:
        horizon: Its orders.
        aim: Gap, groups and time.
        start: Prices to begin with, as those of a similar horizon; None asks a few aggregated batteries. [micro/kWh]

    Raises:
        Infeasible: Storages cannot reach their final contents with what the orders trade.
        SolverFailed: The solver gave no answer, or the time was too short to find plans that balance.
    """
    steps, clock, order = steps_of(horizon), Clock(aim.limit_s), _by_kind(horizon.stores)
    stores = tuple(horizon.stores[i] for i in order.tolist())
    stopped = np.zeros(horizon.intervals, dtype=np.bool_)
    needs = np.zeros_like(stopped) if aim.needs is None else aim.needs
    price, rounds = start_prices(horizon) if start is None else start, 0
    while True:
        fleet = batteries_of(stores, horizon.intervals, stopped & ~needs, stopped & needs)
        found = _Rounds(steps, fleet, horizon.price_range, aim, clock, rounds).run(price)
        price, rounds = found.price, found.rounds
        burnt = found.mix.spare_wh > TOLERANCE_WH
        if not burnt.any() or (burnt & ~found.may_stop).any():
            break
        stopped |= burnt
    if burnt.any() or found.mix.short_wh.max(initial=0.0) > TOLERANCE_WH:
        if clock.is_up:
            raise SolverFailed(f"no plans that balance were found in {aim.limit_s:g} s; allow more")
        raise Infeasible(NOWHERE)
    change = found.mixed()
    cost = steps.cost_nano(taken_wh(fleet, change).sum(axis=0)) + float(own_cost_nano(fleet, change).sum())
    back = np.empty_like(change)
    back[order] = change
    complete = aim.is_met(cost, found.bound_nano)
    ways = stopped & ~needs, stopped & needs
    return Coordinated(back, price, found.mix.price, cost, found.bound_nano, *ways, rounds, complete)


def lower_bound_nano(
    horizon: Horizon,
    price: FloatArray,
    no_discharge: BoolArray,
    no_charge: BoolArray | None = None,
    *,
    rounded: bool = False,
) -> float:
    """No plans of the storages of a horizon cost less, whatever the prices are; numpy alone. [nano-currency]

    What all orders and storages would do at the prices, each for itself. Prices at which a storage would charge and
    discharge at once are raised to where none would: any prices give a bound.

    Args:
        horizon: Simple orders and at least one storage.
        price: By interval. [micro-currency/kWh]
        no_discharge: Intervals in which no storage discharges.
        no_charge: Intervals in which none charges; none where None.
        rounded: Whether final contents may be short by what one Wh out takes, as those of plans in whole Wh.
    """
    fleet = batteries_of(horizon.stores, horizon.intervals, no_discharge, no_charge, rounded=rounded)
    price = np.maximum(price, lowest_prices(fleet))
    change = best_change(fleet, price)
    return bound_nano(steps_of(horizon), price, taken_wh(fleet, change), own_cost_nano(fleet, change))


def bound_nano(steps: Steps, price: FloatArray, taken: FloatArray, own_cost: FloatArray) -> float:
    """The bound that prices prove with the plans that are best at them. [nano-currency]"""
    return steps.bound_nano(price) + float(own_cost.sum() + taken.sum(axis=0) @ price)


def taken_wh(fleet: Batteries, change: FloatArray) -> FloatArray:
    """What batteries take from the balance, negative where they give, shape (batteries, intervals). [Wh]"""
    return np.maximum(change, 0) / fleet.charge[:, None] + np.minimum(change, 0) * fleet.discharge[:, None]


def own_cost_nano(fleet: Batteries, change: FloatArray) -> FloatArray:
    """Wear of each battery less the value of what its content gains. [nano-currency]"""
    drawn = np.minimum(change, 0).sum(axis=1)
    found: FloatArray = -fleet.wear * fleet.discharge * drawn - fleet.left * change.sum(axis=1)
    return found


def _by_kind(stores: tuple[Store, ...]) -> IntArray:
    """Storages sorted by what they are, those that answer prices alike beside each other.

    So a group has a mind of its own, which takes fewer rounds than groups that all answer alike; and the order in which
    storages come decides nothing.
    """

    def kind(i: int) -> tuple[int, ...]:
        t = stores[i].terms
        lost = t.charge_ppm * t.discharge_ppm
        return t.wear_micro_per_kwh, stores[i].left_micro_per_kwh, lost, *astuple(t)

    return np.array(sorted(range(len(stores)), key=kind), dtype=np.int64)


class _Rounds:
    """Rounds of a coordination with the same intervals that go one way only."""

    def __init__(
        self,
        steps: Steps,
        fleet: Batteries,
        price_range: tuple[int, int],
        aim: Aim,
        clock: Clock,
        rounds: int,
    ) -> None:
        self._steps, self._fleet, self._aim, self._clock, self.rounds = steps, fleet, aim, clock, rounds
        groups = min(aim.groups, len(fleet.charge))
        self._first = np.arange(groups) * len(fleet.charge) // groups  # the first battery of each group
        lowest, highest = price_range
        span, floor = 1.0 + highest - lowest, lowest_prices(fleet)
        self._lowest, self._highest = np.maximum(floor, lowest - span), np.full(len(floor), highest + span)
        self.may_stop = floor >= lowest - span
        unit_wh = max(1.0, float(fleet.charge_wh.max(axis=1, initial=0.0).sum()) / groups)
        self._master = Master(steps, groups, self._highest, self._lowest, unit_wh)
        self._asked: list[FloatArray] = []  # prices of each round
        self._plans: list[FloatArray] = []  # of the first rounds
        self.price, self.bound_nano, self.mix = self._lowest, -np.inf, NOTHING
        self._tell = Teller(clock.begun_s)

    def run(self, price: FloatArray) -> _Rounds:
        """Ask and mix until the gap is closed or the time is up."""
        share = self._aim.smoothing
        while True:
            self._ask(np.clip(price, self._lowest, self._highest))
            self.mix = self._master.mix()
            self.rounds += 1
            worth = self._aim.worth_nano
            self._tell(worth + self.mix.cost_nano, worth + self.bound_nano, self.rounds)
            closed = self._aim.is_met(self.mix.cost_nano, self.bound_nano)
            if (closed and self._is_settled()) or self._clock.is_up or len(self._asked) >= MOST_ROUNDS:
                return self
            price = self.mix.price if closed else share * self.price + (1 - share) * self.mix.price

    def _ask(self, price: FloatArray) -> None:
        """The best plans at these prices: a bound, and one more plan of each group."""
        change, taken, cost, bound = self._best(price)
        if bound > self.bound_nano:
            self.bound_nano, self.price = bound, price
        self._asked.append(price)
        if change.nbytes * len(self._asked) <= KEPT_BYTES:
            self._plans.append(change)
        self._master.add(np.add.reduceat(taken, self._first, axis=0), np.add.reduceat(cost, self._first))

    def _is_settled(self) -> bool:
        """Whether nobody would gain much by another plan at the prices of the mix."""
        if np.isinf(self._aim.unsettled_nano):
            return True
        return self.mix.cost_nano - self._best(self.mix.price)[3] <= self._aim.unsettled_nano

    def _best(self, price: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, float]:
        """What is best for all batteries at prices: changes, what they take, their cost, and the bound that proves."""
        change = best_change(self._fleet, price)
        taken, cost = taken_wh(self._fleet, change), own_cost_nano(self._fleet, change)
        return change, taken, cost, bound_nano(self._steps, price, taken, cost)

    def mixed(self) -> FloatArray:
        """The mean of each battery's plans with the weights of its group, on the side of the store. [Wh]

        Plans are a convex set there. Where one plan charges and another discharges, their mean does the difference,
        which costs no more at prices at which nothing is burnt.
        """
        count = len(self._fleet.charge)
        members = np.diff(np.append(self._first, count))
        change = np.zeros_like(self._fleet.charge_wh)
        for i, (price, weight) in enumerate(zip(self._asked, self.mix.weight, strict=True)):
            if weight.any():
                plan = self._plans[i] if i < len(self._plans) else best_change(self._fleet, price)
                change += np.repeat(weight, members)[:, None] * plan
        return change
