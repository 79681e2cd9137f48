"""Plan: run batteries a day ahead at the outside prices, by the value of what stays in store at the end of an interval.

At the gate the value of every content is worked out from the forecast. When the interval is lived the home chooses what
costs least now, at the outside prices of what it takes beside what it has agreed in the market, and, by that value,
later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from agents.control import CONTROLLERS, Controller, Planning, Present
from agents.devices import Fleet
from agents.devices.battery import Batteries
from agents.response import Response
from agents.rules import AgentRules
from agents.state import State
from agents.storage import Stores, Value
from market.random import tie_words
from market.units import PPM, FloatArray, IntArray

HOUR_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Ties:
    """What decides between plans that cost the same, in the objective itself: a tariff of two prices leaves many.

    Args:
        discharge_early_ppm: By how much an import price counts less for every hour ahead. [parts per million]
        charge_early_ppm: By how much a feed-in price counts more for every hour ahead. [parts per million]
        spread_ppm: Most that an hour's import price counts more for one home than for another, drawn for each home and
            hour, as a share of the mean import price ahead. [parts per million]
    """

    discharge_early_ppm: int = 500
    charge_early_ppm: int = 500
    spread_ppm: int = 7_000


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What an interval costs, step by step of a forecast, as plans count it. [micro-currency/kWh]

    Args:
        bought: Of imported energy, shape (steps, homes).
        sold: Of exported energy, the same shape.
        spread: The part of `bought` in which homes differ.
    """

    bought: FloatArray
    sold: FloatArray
    spread: FloatArray


def outlook(planning: Planning, steps: int, ties: Ties) -> Outlook:
    """The outside prices of the steps of a forecast, ties decided; after the last price those of the day before it."""
    known, tariff = planning.known, planning.known.tariff
    last, day, step_s = len(tariff) - 1, known.steps_per_day, known.minutes * 60
    ahead = np.arange(steps) - planning.traded
    rows = known.tariff_row + ahead
    rows = np.clip(rows - -(-np.maximum(rows - last, 0) // day) * day, 0, last)
    bought = (tariff.import_micro_per_kwh[rows] + tariff.grid_fee_remote_micro_per_kwh).astype(np.float64)
    hour = ((planning.start_s + ahead * step_s) // HOUR_S).tolist()
    words = {one: tie_words(planning.seed, one * HOUR_S, planning.homes) for one in dict.fromkeys(hour)}
    drawn = np.stack([words[one] >> np.uint64(32) for one in hour]) / 2**32
    spread = drawn * (bought.mean() * ties.spread_ppm / PPM)
    hours_ahead = ahead * (step_s / HOUR_S)
    sold = tariff.feed_in_micro_per_kwh[rows] * (1 + hours_ahead * (ties.charge_early_ppm / PPM))
    bought *= 1 - hours_ahead * (ties.discharge_early_ppm / PPM)
    return Outlook(bought[:, None] + spread, np.repeat(sold[:, None], len(planning.homes), axis=1), spread)


def stores_of(batteries: Batteries) -> Stores:
    """The batteries of all homes as a plan sees them."""
    return Stores(
        capacity_uwh=batteries.capacity_uwh,
        charge_wh=batteries.charge_wh,
        discharge_wh=batteries.discharge_wh,
        charge_efficiency_ppm=batteries.charge_efficiency_ppm,
        discharge_efficiency_ppm=batteries.discharge_efficiency_ppm,
        wear_micro_per_kwh=np.zeros_like(batteries.charge_wh),
    )


def start(homes: IntArray, rules: AgentRules) -> State:
    """Nothing planned yet."""
    none = np.zeros(len(homes), dtype=np.int64)
    return {"follows": none > 0, "planned": none, "without_forecast": none}


def plan(state: State, planning: Planning, ties: Ties) -> State:
    """Work out what every content is worth at the end of the traded interval, and of those before it.

    The day ahead begins with the traded interval, and what is stored at its end is worth nothing. A home without a
    forecast of every interval of it follows the rule of self-consumption.
    """
    batteries, forecast = planning.fleets.get("battery"), planning.forecast
    if not isinstance(batteries, Batteries):
        return state
    owns = batteries.capacity_uwh > 0
    steps = planning.traded + planning.known.steps_per_day
    valid = np.zeros(len(owns), dtype=np.bool_)
    if forecast is not None:
        valid |= True if forecast.valid is None else forecast.valid[:steps].all(axis=0)
    follows = owns & valid
    counts: State = {
        "follows": follows,
        "planned": state["planned"] + follows,
        "without_forecast": state["without_forecast"] + (owns & ~valid),
    }
    if forecast is None:
        return counts
    net_wh = forecast.median_wh[:steps]
    prices = outlook(planning, len(net_wh), ties)
    ends = _values(stores_of(batteries), net_wh, prices, planning.traded)
    return {
        **counts,
        "slope": _side_by_side([end.slope for end in ends]),
        "length_uwh": _side_by_side([end.length_uwh for end in ends]),
        "spread": prices.spread[: planning.traded + 1].T.copy(),
        "start_s": np.full(len(owns), planning.start_s),
    }


def _values(stores: Stores, net_wh: IntArray, prices: Outlook, traded: int) -> list[Value]:
    """The value of what is stored at the end of each step up to the traded one."""
    value, ends = stores.empty(), []
    for step in range(len(net_wh) - 1, 0, -1):
        if step <= traded:
            ends.append(value)
        value = stores.before(value, net_wh[step], prices.bought[step], prices.sold[step])
    return [value, *reversed(ends)]


def _side_by_side(columns: list[Any]) -> Any:
    """Arrays of shape (homes, pieces) in one of shape (homes, steps, pieces), filled up with 0."""
    width = max(column.shape[1] for column in columns)
    return np.stack([np.pad(column, ((0, 0), (0, width - column.shape[1]))) for column in columns], axis=1)


def command(state: State, present: Present, fleet: Fleet, device: State, net_wh: IntArray) -> IntArray:
    """Take or give what costs least with what was agreed; by the rule of self-consumption without a plan. [Wh]"""
    by_rule = -net_wh
    if not isinstance(fleet, Batteries) or not state["follows"].any():
        return by_rule
    prices = present.prices
    bought = prices.import_micro_per_kwh + prices.grid_fee_remote_micro_per_kwh
    value, spread = _at(state, present)
    best = stores_of(fleet).best(
        value, device["stored_uwh"], net_wh - present.agreed_wh, bought + spread, prices.feed_in_micro_per_kwh
    )
    return np.where(state["follows"], best, by_rule)


def respond(
    state: State, present: Present, fleet: Fleet, device: State, net_wh: IntArray, prices: IntArray
) -> Response:
    """Take or give what costs least where any quantity can be bought and sold at a local price, for several of them."""
    wanted = np.zeros((len(prices), len(net_wh)), dtype=np.int64)
    if not isinstance(fleet, Batteries) or not state["follows"].any():
        return Response(wanted, np.zeros(len(net_wh), dtype=np.bool_))
    value, spread = _at(state, present)
    stores, fee = stores_of(fleet), present.prices.grid_fee_local_micro_per_kwh
    for level, price in enumerate(prices.tolist()):
        wanted[level] = stores.best(value, device["stored_uwh"], net_wh, price + fee + spread, price)
    return Response(wanted, state["follows"])


def _at(state: State, present: Present) -> tuple[Value, FloatArray]:
    """The value of what is stored at the end of an interval up to the traded one, and the spread in it."""
    last = state["slope"].shape[1] - 1
    step = last - (int(state["start_s"][0]) - present.start_s) // (present.minutes * 60)
    return Value(state["slope"][:, step], state["length_uwh"][:, step]), state["spread"][:, step]


def notes(state: State) -> tuple[str, ...]:
    """How many intervals of how many homes were not planned."""
    planned, without = int(state["planned"].sum()), int(state["without_forecast"].sum())
    if not without:
        return ()
    return (
        f"in {without:,} of {planned + without:,} intervals of homes with a battery there was no forecast of the day"
        " ahead to plan by; the battery followed the rule of self-consumption",
    )


def planner(name: str, summary: str, ties: Ties) -> Controller:
    """A controller that plans, and decides ties in its way."""
    return Controller(
        name,
        command,
        summary,
        start=start,
        plan=partial(plan, ties=ties),
        hours_ahead=24,
        reacts=True,
        respond=respond,
        notes=notes,
    )


PLAN = CONTROLLERS.register(
    planner("plan", "run batteries a day ahead at the outside prices, by the value of what is stored", Ties())
)
