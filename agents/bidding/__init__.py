"""Bidding strategies by name: their inputs, their outputs and their registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from agents.forecast import Forecast
from agents.rules import AgentRules, Known
from agents.state import State, stateless
from market.clearing import PriceInterval
from market.random import WordArray
from market.registry import Registry
from market.settlement.tariff import IntervalPrices
from market.units import Int8Array, IntArray


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
    """

    known: Known
    prices: IntervalPrices
    net_wh: IntArray
    forecast: Forecast | None
    traded: int
    plan: State
    words: WordArray
    homes: IntArray


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
    """

    name: str
    bid: Callable[[State, View], Orders]
    summary: str
    start: Callable[[IntArray, AgentRules], State] = stateless
    learn: Callable[[State, Outcome], State] | None = None
    identical_limits: bool = False
    several_orders: bool = False
    learn_own: Callable[[State, OwnResults], State] | None = None

    @property
    def learns(self) -> bool:
        """Whether its orders depend on the results of earlier ones."""
        return self.learn is not None or self.learn_own is not None


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
