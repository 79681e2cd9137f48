"""Bidding strategies by name: their inputs, their outputs and their registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from agents.errors import InvalidLevels, NoLimits
from agents.forecast import Forecast
from agents.response import Response
from agents.rules import AgentRules, Known
from agents.state import State, stateless
from market.clearing import PriceInterval
from market.random import WordArray
from market.registry import Registry
from market.rounds import Tape
from market.settlement.tariff import IntervalPrices
from market.units import PPM, BoolArray, Int8Array, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Orders:
    """Orders of one interval as columns: any number per home; orders of 0 Wh are ignored.

    Args:
        home: Index of each order's home among the homes asked.
        side: +1 buys, -1 sells.
        energy_wh: At least 0. [Wh]
        limit_micro_per_kwh: Limit price. [micro-currency/kWh]
    """

    home: IntArray
    side: Int8Array
    energy_wh: IntArray
    limit_micro_per_kwh: IntArray

    def of_rows(self, rows: slice | IntArray | BoolArray) -> Orders:
        """Some of the orders."""
        return Orders(self.home[rows], self.side[rows], self.energy_wh[rows], self.limit_micro_per_kwh[rows])


Limits = tuple[IntArray, IntArray]
"""Of each home, the limit to buy at and the limit to sell at. [micro-currency/kWh]"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """The input of a strategy: what its homes know at gate closure, and what they plan.

    Args:
        known: Readings, calendar, weather, prices and knowledge time.
        prices: Outside prices of the traded interval.
        net_wh: Planned import minus export per home, simulated devices included; 0 without a forecast. [Wh]
        forecast: Quantiles before simulated devices, from the first unknown interval on; None without enough history.
        traded: Step of the forecast that is traded.
        plan: What the controller stores after planning, such as the value of stored energy.
        words: One random word per home, from the seed, the interval and the home alone.
        homes: Index of each home in the roster.
        quantiles_wh: Quantiles of `net_wh` at the strategy's levels, shape (levels, homes), ascending; None where it
            asks for none or no home has any. [Wh]
        has_quantiles: Which homes have them: those with two weeks of residuals of their own, where the forecaster
            states no quantiles itself. The others have `net_wh` at every level.
        planned_at: Says what the homes want to take at each of some local prices [micro-currency/kWh], and which of
            them have a controller that knows; None without a forecast.
        round: Which round of the interval's market this is, from 0; `net_wh` is what is left of the plan in it.
        rounds: How many there are.
        bought_wh: Bought less sold in the earlier rounds per home; None in the first. [Wh]
        tape: The earlier rounds; None in the first.
        values: What energy is worth to each home, bought and sold; None for the outside prices.
        start_s: Start of the traded interval. [s since 1970 UTC]
        stored_ppm: What the battery of each home is expected to hold when the interval begins, as a share of its
            capacity; 0 for a home without one. None where no home has one. [parts per million]
    """

    known: Known
    prices: IntervalPrices
    net_wh: IntArray
    forecast: Forecast | None
    traded: int
    plan: State
    words: WordArray
    homes: IntArray
    quantiles_wh: IntArray | None = None
    has_quantiles: BoolArray | None = None
    planned_at: Callable[[IntArray], Response] | None = None
    round: int = 0
    rounds: int = 1
    bought_wh: IntArray | None = None
    tape: Tape | None = None
    values: Limits | None = None
    start_s: int = 0
    stored_ppm: IntArray | None = None

    @property
    def worth(self) -> Limits:
        """The most that a home should pay and the least that it should take: its values, else the outside prices."""
        if self.values is not None:
            return self.values
        size = len(self.homes)
        prices = self.prices.buy_cap_micro_per_kwh, self.prices.feed_in_micro_per_kwh
        return np.full(size, prices[0]), np.full(size, prices[1])


@dataclass(frozen=True, slots=True, eq=False)
class Quotes:
    """All orders of an interval without their homes, and how much of each was accepted."""

    side: Int8Array
    energy_wh: IntArray
    limit_micro_per_kwh: IntArray
    accepted_wh: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """The market's result for the orders of a strategy's homes; known before the next gate closes.

    Args:
        start_s: Start of the interval. [s since 1970 UTC]
        orders: The orders that were sent.
        accepted_wh: Per order. [Wh]
        payment_nano: Per order, paid (positive) or received (negative), fees included. [nano-currency]
        price: The one price interval; None where there is none.
        quotes: The whole market, without names.
    """

    start_s: int
    orders: Orders
    accepted_wh: IntArray
    payment_nano: IntArray
    price: PriceInterval | None
    quotes: Quotes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnResults:
    """The results of each home's own orders, a row per home; known before the next gate closes.

    Args:
        start_s: Start of the interval. [s since 1970 UTC]
        bought_wh: Accepted of the orders to buy. [Wh]
        sold_wh: Accepted of the orders to sell. [Wh]
        payment_nano: Paid for them (positive) or received (negative), fees included. [nano-currency]
        price: The one price interval, which is public; None where there is none.
    """

    start_s: int
    bought_wh: IntArray
    sold_wh: IntArray
    payment_nano: IntArray
    price: PriceInterval | None

    def of_homes(self, rows: IntArray) -> OwnResults:
        """The same for some of the homes."""
        return replace(
            self,
            bought_wh=self.bought_wh[rows],
            sold_wh=self.sold_wh[rows],
            payment_nano=self.payment_nano[rows],
        )


@dataclass(frozen=True, slots=True)
class Strategy:
    """A bidding strategy, vectorised over homes; each home depends on its own row of state and view only.

    Args:
        name: As scenarios call it.
        bid: The orders of the traded interval.
        summary: One line for people.
        start: What the homes (their indices in the roster) know before the first interval.
        learn: What they know after an interval from the results of the whole market, which a run in process has and
            the nodes of homes have not; None for a strategy that does not learn from them.
        identical_limits: Whether all homes state the same two limits, one to buy and one to sell.
        several_orders: Whether a home may place more than one order an interval.
        learn_own: What they know after an interval from their own results, also on a network of nodes; None for a
            strategy that does not learn from them.
        quantiles_ppm: Levels, ascending, at which `bid` needs quantiles of the planned energy. [parts per million]
        limits: The limits of homes whose quantities come from their meters; they have no forecast then, and plan 0
            Wh. None for a strategy that cannot be used in that way.
        look: What they know when they see a view: asked before every `bid` and `limits`, and again after the last
            round, where `round` equals `rounds` and nothing is ordered. None for a strategy that remembers no view.
        needs_rounds: Whether it is of use only where a market has several rounds, between which it reacts.
        by_worth: Whether its limits follow `View.worth`, as homes with preferences need.
    """

    name: str
    bid: Callable[[State, View], Orders]
    summary: str
    start: Callable[[IntArray, AgentRules], State] = stateless
    learn: Callable[[State, Outcome], State] | None = None
    identical_limits: bool = False
    several_orders: bool = False
    learn_own: Callable[[State, OwnResults], State] | None = None
    quantiles_ppm: tuple[int, ...] = ()
    limits: Callable[[State, View], Limits] | None = None
    look: Callable[[State, View], State] | None = None
    needs_rounds: bool = False
    by_worth: bool = False

    def __post_init__(self) -> None:
        levels = self.quantiles_ppm
        if isinstance(levels, tuple) and not (
            all(isinstance(level, int) and 0 < level < PPM for level in levels)
            and all(low < high for low, high in pairwise(levels))
        ):
            raise InvalidLevels(
                f"bidding strategy {self.name!r} has the levels {levels}; give whole parts per million between 0 and"
                f" {PPM}, in ascending order"
            )

    @property
    def learns(self) -> bool:
        """Whether its orders depend on what it saw or on the results of earlier ones."""
        return not (self.learn is None and self.learn_own is None and self.look is None)


STRATEGIES: Registry[Strategy] = Registry(
    "bidding strategy", folders=("agents.bidding",), group="wattswap.strategies", item=Strategy, contract=2
)


def one_order_a_home(net_wh: IntArray, buy_limit: int | IntArray, sell_limit: int | IntArray) -> Orders:
    """Order the net energy: a deficit at the buy limit, a surplus at the sell limit.

    Args:
        net_wh: Import minus export per home. [Wh]
        buy_limit: Of all homes, or per home. [micro-currency/kWh]
        sell_limit: Of all homes, or per home. [micro-currency/kWh]
    """
    buys = net_wh > 0
    return Orders(
        home=np.arange(len(net_wh), dtype=np.int64),
        side=np.where(buys, 1, -1).astype(np.int8),
        energy_wh=np.abs(net_wh),
        limit_micro_per_kwh=np.where(buys, buy_limit, sell_limit),
    )


def outside_limits(state: State, view: View) -> Limits:
    """Buy up to the price of the outside option, sell from the feed-in price."""
    return view.worth


def refuse_without_limits(names: Iterable[str]) -> None:
    """Refuse strategies that cannot say at which limits homes trade what their meters show.

    Raises:
        NoLimits: Names them all.
    """
    without = sorted(name for name in set(names) if STRATEGIES.get(name).limits is None)
    if without:
        stating = [name for name, strategy in STRATEGIES.all().items() if strategy.limits is not None]
        raise NoLimits(without, sorted(stating))
