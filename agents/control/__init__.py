"""Controllers by name: how homes run their devices, and their registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agents.devices import Fleet, Moment
from agents.forecast import Forecast
from agents.response import Response
from agents.rules import AgentRules, Known
from agents.state import State, stateless
from market.registry import Registry
from market.settlement.tariff import IntervalPrices
from market.units import BoolArray, IntArray

MOST_HOURS: Final = 24 * 366
"""Longest view ahead of a controller. [h]"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Present(Moment):
    """One interval as a controller sees it.

    Args:
        prices: Outside prices.
        agreed_wh: What each home has bought less what it has sold in the market of the interval; 0 where that is not
            yet known, and where quantities come from the meters. [Wh]
    """

    prices: IntervalPrices
    agreed_wh: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planning:
    """What a plan is made from at gate closure.

    Args:
        known: Readings, calendar, weather, prices and knowledge time.
        forecast: From the first unknown interval on; None without enough history.
        traded: Step of the forecast that is traded.
        start_s: Start of the traded interval. [s since 1970 UTC]
        moments: The steps of the forecast.
        fleets: The devices by name.
        owns: Which homes have each of them.
        states: Their states before the first step of the forecast.
        errors_wh: How far readings were from their forecasts on days before, from the first step of the forecast on,
            shape (days, steps, homes); None with fewer than two weeks of them. [Wh]
        homes: Index of each home in the roster.
        seed: From which random draws of the agents follow.
        scheduled: Whether a market schedules the batteries that are submitted to it.
    """

    known: Known
    forecast: Forecast | None
    traded: int
    start_s: int
    moments: Sequence[Moment]
    fleets: Mapping[str, Fleet]
    owns: Mapping[str, BoolArray]
    states: Mapping[str, State]
    errors_wh: Callable[[], IntArray | None]
    homes: IntArray
    seed: int
    scheduled: bool = False


def self_consuming(fleet: Fleet, state: State, moment: Moment, net_wh: IntArray) -> IntArray:
    """Take the surplus of the home, or give its deficit, as far as the device can and can spare; never both. [Wh]

    What a home needs the device takes by itself: a car is ready when it leaves, a room stays warm.
    """
    spare = getattr(fleet, "spare_wh", None)
    return -net_wh if spare is None else np.maximum(-net_wh, -spare(state, moment))


def _no_notes(state: State) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller of devices, vectorised over homes; each home depends on its own row only.

    Args:
        name: As scenarios call it.
        command: Energy wanted at the terminals of one device [Wh], given what was planned, the interval, the device,
            its state, and the net energy that the home has before it [Wh]. It is asked when orders are planned, with
            the forecast, and again when the interval is lived, with the meter.
        summary: One line for people.
        start: What the homes know before the first interval.
        plan: What they know after planning an interval; None for a controller that does not plan.
        hours_ahead: Hours beyond the traded interval that the forecast has to reach. [h]
        reacts: Whether `command` depends on what homes have agreed in the market.
        respond: Energy wanted at the terminals of one device at each of some local prices, at which a home can buy and
            sell what it wants, shape (prices, homes) [Wh], and which homes have such an answer; None for a controller
            that has none. Its arguments are those of `command`, and the prices [micro-currency/kWh].
        worth: What homes put the content of one device at when the interval that was planned last is over
            [nano-currency]; None for a controller that puts no value on it.
        receive: What they know after an interval from its start [s] and the one price of its market, None where there
            is none [micro-currency/kWh].
        notes: Sentences for people about what was done so far, from the state.
        submits: Whether homes submit their batteries to a market that clears a horizon. `command` must then answer
            for the other devices up to `hours_ahead` after the traded interval. Devices that can say their windows are
            submitted too.
        keeps: Names of devices that homes which submit run by `command` all the same.
    """

    name: str
    command: Callable[[State, Present, Fleet, State, IntArray], IntArray]
    summary: str
    start: Callable[[IntArray, AgentRules], State] = stateless
    plan: Callable[[State, Planning], State] | None = None
    hours_ahead: int = 0
    reacts: bool = False
    respond: Callable[[State, Present, Fleet, State, IntArray, IntArray], Response] | None = None
    worth: Callable[[State, Fleet, State], IntArray] | None = None
    receive: Callable[[State, int, int | None], State] | None = None
    notes: Callable[[State], tuple[str, ...]] = _no_notes
    submits: bool = False
    keeps: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not 0 <= self.hours_ahead <= MOST_HOURS:
            raise ValueError(f"hours_ahead is {self.hours_ahead}; it must be 0 to {MOST_HOURS}")


CONTROLLERS: Registry[Controller] = Registry(
    "controller", folders=("agents.control",), group="wattswap.controllers", item=Controller
)
