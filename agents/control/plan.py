"""Plan: run batteries a day ahead at the outside prices, by the value of what stays in store at the end of an interval.

At the gate the value of every content is computed from the forecast. When the interval is lived the home chooses what
costs least now, at the outside prices of what it takes beside what it has agreed in the market, and, by that value,
later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final

import numpy as np

from agents import paper
from agents.control import CONTROLLERS, Controller, Planning, Present, self_consuming
from agents.day_plan import Day, DayPlan
from agents.devices import Fleet, Moment
from agents.devices.battery import Batteries
from agents.response import Response
from agents.rules import DAY_MINUTES, AgentRules, tariff_rows
from agents.state import State
from agents.storage import Cost, Stores, Value
from market.random import tie_words
from market.units import PPM, BoolArray, FloatArray, IntArray
from optimizer.errors import OptimizerError

DAYS_AFTER: Final = 4
"""Days like the day ahead that follow it, so that a store of several days is neither emptied nor filled in vain."""
HOUR_S: Final = 3_600
BATTERY: Final = "battery"
PRICE_DAYS: Final = 7
"""Days over which a study averages local prices."""
COUNTED: Final = ("planned", "without_forecast", "infeasible", "fell_back")
"""Columns of the state that count the intervals of each home."""


@dataclass(frozen=True, slots=True)
class Ties:
    """What decides between plans that cost the same, in the objective itself: a tariff of two prices leaves many.

    Args:
        discharge_early_ppm: By how much an import price counts less for every hour ahead. [parts per million]
        charge_early_ppm: By how much a feed-in price counts more for every hour ahead. [parts per million]
        spread_ppm: Most that an hour's import price counts more for one home than for another, drawn for each home and
            hour, as a share of the mean import price ahead. [parts per million]
        gently_ppm: By how much energy charged from the grid counts more for each further quarter of the power. [parts
            per million]
    """

    discharge_early_ppm: int = 500
    charge_early_ppm: int = 500
    spread_ppm: int = 3_000
    gently_ppm: int = 8_000


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What an interval costs, step by step of a forecast, as plans count it. [micro-currency/kWh]

    Args:
        bought: Of imported energy, shape (steps, homes).
        sold: Of exported energy, the same shape.
    """

    bought: FloatArray
    sold: FloatArray


def outlook(state: State, planning: Planning, steps: int, ties: Ties) -> Outlook:
    """The outside prices of the steps of a forecast, ties decided; after the last price those of the day before it."""
    known, tariff = planning.known, planning.known.tariff
    step_s = known.minutes * 60
    ahead = np.arange(steps) - planning.traded
    rows = tariff_rows(tariff, known.tariff_row + ahead, known.steps_per_day)
    bought = (tariff.import_micro_per_kwh[rows] + tariff.grid_fee_remote_micro_per_kwh).astype(np.float64)
    hour = ((planning.start_s + ahead * step_s) // HOUR_S).tolist()
    words = {one: tie_words(planning.seed, one * HOUR_S, planning.homes) for one in dict.fromkeys(hour)}
    drawn = np.stack([words[one] >> np.uint64(32) for one in hour]) / 2**32
    spread = drawn * (bought.mean() * ties.spread_ppm / PPM)
    hours_ahead = ahead * (step_s / HOUR_S)
    sold = tariff.feed_in_micro_per_kwh[rows] * (1 + hours_ahead * (ties.charge_early_ppm / PPM))
    bought *= 1 - hours_ahead * (ties.discharge_early_ppm / PPM)
    return Outlook(bought[:, None] + spread, np.repeat(sold[:, None], len(planning.homes), axis=1))


def stores_of(batteries: Batteries, ties: Ties) -> Stores:
    """The batteries of all homes as a plan sees them: from their reserve on."""
    return Stores(
        capacity_uwh=batteries.capacity_uwh - batteries.reserve_uwh,
        charge_wh=batteries.charge_wh,
        discharge_wh=batteries.discharge_wh,
        charge_efficiency_ppm=batteries.charge_efficiency_ppm,
        discharge_efficiency_ppm=batteries.discharge_efficiency_ppm,
        wear_micro_per_kwh=batteries.wear_micro_per_kwh,
        gently_ppm=ties.gently_ppm,
    )


def start(homes: IntArray, rules: AgentRules) -> State:
    """Nothing planned yet."""
    none = np.zeros(len(homes), dtype=np.int64)
    return {"follows": none > 0, **dict.fromkeys(COUNTED, none), **paper.blank(len(homes))}


def plan(
    state: State,
    planning: Planning,
    ties: Ties,
    days: dict[int, DayPlan],
    last: dict[tuple[object, ...], list[Value]],
    look: Callable[[State, Planning, int, Ties], Outlook],
    falls_back: bool,
    by_scenarios: bool,
) -> State:
    """Compute what every content is worth at the end of the traded interval, and of those before it.

    The day ahead begins with the traded interval. What is stored at its end is worth what DAYS_AFTER further days
    like it make of it, and the feed-in price after them. The other devices follow the least costly plan of all
    devices together; the battery reacts to what comes.
    A home without a forecast of every interval, or without a feasible plan, follows the rule of self-consumption.
    """
    forecast = planning.forecast
    has = np.logical_or.reduce(
        [planning.owns[name] for name in planning.fleets] or [state["follows"] & False]
    )
    steps = planning.traded + planning.known.steps_per_day
    valid = np.zeros(len(has), dtype=np.bool_)
    if forecast is not None:
        valid |= True if forecast.valid is None else forecast.valid[:steps].all(axis=0)
    if forecast is None or not planning.fleets:
        return {**_kept_of(state), **_counted(state, has & valid, has & ~valid, has & False, has & False)}
    net_wh = forecast.median_wh[:steps]
    prices = look(state, planning, len(net_wh), ties)
    # Perfect foresight ends with the run, and so does what is worth something to it.
    ahead = len(net_wh) == steps
    left = prices.bought.min(axis=0) * ahead
    others_wh, infeasible = _others(planning, net_wh, prices, left, has & valid, days)
    columns = {_key(planning.fleets[name]): energy_wh for name, energy_wh in others_wh.items()}
    follows, worse = has & valid & ~infeasible, has & False
    batteries, owned = planning.fleets.get(BATTERY), _kept_of(state)
    if isinstance(batteries, Batteries):
        stores = stores_of(batteries, ties)
        with_others_wh = net_wh + sum(energy_wh.T for energy_wh in others_wh.values())
        errors_wh = planning.errors_wh() if by_scenarios else None
        ends = _ends(last, stores, with_others_wh, errors_wh, prices, planning.traded, DAYS_AFTER * ahead)
        owned = _written(state, planning, batteries, ties)
        worse = follows & paper.rule_was_better(owned, ends[-1]) & (falls_back and not planning.scheduled)
        owned |= {
            "slope": _side_by_side([end.slope for end in ends]),
            "length_uwh": _side_by_side([end.length_uwh for end in ends]),
        }
    # A market that schedules batteries is told what the other devices will take all day.
    shown = steps if planning.scheduled else planning.traded + 1
    return {
        **_counted(state, follows & ~worse, has & ~valid, infeasible, worse),
        **{key: energy_wh[:, :shown].copy() for key, energy_wh in columns.items()},
        **owned,
        "bought": prices.bought[: planning.traded + 1].T.copy(),
        "sold": prices.sold[: planning.traded + 1].T.copy(),
        "start_s": np.full(len(has), planning.start_s),
    }


def _counted(
    state: State, follows: BoolArray, blind: BoolArray, infeasible: BoolArray, worse: BoolArray
) -> State:
    """Which homes follow their plan in this interval, and in how many intervals they have and have not so far."""
    now = {"planned": follows, "without_forecast": blind, "infeasible": infeasible, "fell_back": worse}
    return {"follows": follows, **{name: state[name] + now[name] for name in COUNTED}}


def _kept_of(state: State) -> dict[str, Any]:
    return {name: column for name, column in state.items() if name.startswith(("paper_", "local_"))}


def _written(state: State, planning: Planning, batteries: Batteries, ties: Ties) -> dict[str, Any]:
    """The paper with the interval that has become known, by the plan that was made for it before its reading."""
    known = planning.known
    if "slope" not in state or not len(known.net_wh):
        return _kept_of(state)
    step_s, depth = known.minutes * 60, state["bought"].shape[1]
    start_s = int(state["start_s"][0]) - (depth - 1) * step_s
    row = len(known.net_wh) - 1
    if start_s != known.start_s + row * step_s:  # perfect foresight knows no readings
        return _kept_of(state)
    moment = Moment(start_s, known.minutes, {})
    net_wh = known.net_wh[row] + sum(
        state[_key(fleet)][:, 0] for name, fleet in planning.fleets.items() if name != BATTERY
    )
    at = known.tariff_row - (planning.start_s - start_s) // step_s
    if at < 0:  # before the run
        return _kept_of(state)
    prices = known.tariff.at(at)
    planned_wh = stores_of(batteries, ties).best(
        _value(state, 0),
        state["paper_uwh"][:, 0] - batteries.reserve_uwh,
        net_wh,
        state["bought"][:, 0],
        state["sold"][:, 0],
    )
    return {
        **_kept_of(state),
        **paper.written(
            state,
            batteries,
            moment,
            int(known.local_minute[row]),
            net_wh,
            planned_wh,
            prices.import_micro_per_kwh + prices.grid_fee_remote_micro_per_kwh,
            prices.feed_in_micro_per_kwh,
        ),
    }


def _others(
    planning: Planning,
    net_wh: IntArray,
    prices: Outlook,
    left: FloatArray,
    planned: BoolArray,
    days: dict[int, DayPlan],
) -> tuple[dict[str, IntArray], BoolArray]:
    """What the devices beside batteries take in each step of the least costly day [Wh]; which homes have none."""
    names = [name for name in planning.fleets if name != BATTERY]
    energy_wh = {name: np.zeros(net_wh.T.shape, dtype=np.int64) for name in names}
    infeasible = np.zeros(len(planned), dtype=np.bool_)
    flexible = np.logical_or.reduce([planning.owns[name] for name in names] or [infeasible])
    for home in np.flatnonzero(flexible & planned).tolist():
        day = Day(
            moments=planning.moments[: len(net_wh)],
            net_wh=net_wh[:, home],
            bought=prices.bought[:, home],
            sold=prices.sold[:, home],
            left=float(left[home]),
        )
        solver = days.setdefault(int(planning.homes[home]), DayPlan())
        # Only what the home owns: with more, of equal plans another could come out for it among others than alone.
        own = {name: fleet for name, fleet in planning.fleets.items() if planning.owns[name][home]}
        try:
            taken, _ = solver.solve(own, home, planning.states, day)
        except OptimizerError:
            infeasible[home] = True
            continue
        for name in names:
            if name in taken:
                energy_wh[name][home] = np.rint(taken[name])
    return energy_wh, infeasible


def _key(fleet: Fleet) -> str:
    """Column of the state with what the devices of a fleet shall take."""
    return f"{type(fleet).__name__}_wh"


def _ends(
    last: dict[tuple[object, ...], list[Value]],
    stores: Stores,
    net_wh: IntArray,
    errors_wh: IntArray | None,
    prices: Outlook,
    traded: int,
    days: int,
) -> list[Value]:
    """See `_values`: at the end of a day that the given number of days like it follow, and before it.

    With errors the day ahead is each of the days that would have come if the forecast were as wrong as then, and the
    value is their mean: the store is used without knowing which of them will come, and what follows as if one knew.

    The last answer is kept: homes that live a second time, without a market or with other orders, differ in what they
    have stored alone.
    """
    given = net_wh, prices.bought, prices.sold, *(getattr(stores, one.name) for one in fields(stores))
    errors = None if errors_wh is None else errors_wh.tobytes()
    key = (net_wh.shape, traded, days, errors, *(np.asarray(array).tobytes() for array in given))
    if key not in last:
        last.clear()
        steps = enumerate(net_wh)
        costs = [stores.cost(wh, prices.bought[step], prices.sold[step]) for step, wh in steps]
        value = stores.left(prices.sold.min(axis=0) * (days > 0))
        for step in [*range(len(costs) - 1, traded - 1, -1)] * days:
            value = stores.before(value, costs[step])
        if errors_wh is None:
            last[key] = _values(stores, value, costs, traded)
        else:
            last[key] = _mean_values(stores, value, net_wh + errors_wh[:, : len(net_wh)], prices, traded)
    return last[key]


def _mean_values(
    stores: Stores, value: Value, days_wh: IntArray, prices: Outlook, traded: int
) -> list[Value]:
    """As `_values`, on average over days that may come, shape (days, steps, homes)."""
    days, steps, homes = days_wh.shape
    many = stores.times(days)
    at_end = Value(np.tile(value.slope, (days, 1)), np.tile(value.length_uwh, (days, 1)))
    bought, sold = (np.tile(price, days) for price in (prices.bought, prices.sold))
    net_wh = days_wh.transpose(1, 0, 2).reshape(steps, days * homes)
    costs = [many.cost(net_wh[step], bought[step], sold[step]) for step in range(steps)]
    return [end.mean(days) for end in _values(many, at_end, costs, traded)]


def _values(stores: Stores, value: Value, costs: list[Cost], traded: int) -> list[Value]:
    """The value of what is stored at the end of each step up to the traded one, from that at the end of the last."""
    ends = []
    for step in range(len(costs) - 1, 0, -1):
        if step <= traded:
            ends.append(value)
        value = stores.before(value, costs[step])
    return [value, *reversed(ends)]


def _side_by_side(columns: list[Any]) -> Any:
    """Arrays of shape (homes, pieces) in one of shape (homes, steps, pieces), filled up with 0."""
    width = max(column.shape[1] for column in columns)
    return np.stack([np.pad(column, ((0, 0), (0, width - column.shape[1]))) for column in columns], axis=1)


def command(
    state: State, present: Present, fleet: Fleet, device: State, net_wh: IntArray, ties: Ties
) -> IntArray:
    """Take or give what costs least with what was agreed; by the rule of self-consumption without a plan. [Wh]"""
    by_rule = self_consuming(fleet, device, present, net_wh)
    if not state["follows"].any():
        return by_rule
    if hasattr(fleet, "demand_wh"):
        return np.where(state["follows"], present.agreed_wh - net_wh, by_rule)
    step = _step(state, present)
    if not isinstance(fleet, Batteries):
        planned: IntArray = state[_key(fleet)][:, step]
        return np.where(state["follows"], planned, by_rule)
    best = stores_of(fleet, ties).best(
        _value(state, step),
        device["stored_uwh"] - fleet.reserve_uwh,
        net_wh - present.agreed_wh,
        state["bought"][:, step],
        state["sold"][:, step],
    )
    return np.where(state["follows"], best, by_rule)


def respond(
    state: State,
    present: Present,
    fleet: Fleet,
    device: State,
    net_wh: IntArray,
    prices: IntArray,
    ties: Ties,
) -> Response:
    """Take or give what costs least where any quantity can be bought and sold at a local price, for several of them."""
    wanted = np.zeros((len(prices), len(net_wh)), dtype=np.int64)
    demand, outside = getattr(fleet, "demand_wh", None), present.prices
    if demand is not None:
        for level, price in enumerate(prices.tolist()):
            wanted[level] = demand(device, present, price + outside.grid_fee_local_micro_per_kwh)
        return Response(wanted, state["follows"] & (wanted != wanted[0]).any(axis=0))
    if not isinstance(fleet, Batteries) or not state["follows"].any():
        return Response(wanted, np.zeros(len(net_wh), dtype=np.bool_))
    step, stores = _step(state, present), stores_of(fleet, ties)
    value, content_uwh = _value(state, step), device["stored_uwh"] - fleet.reserve_uwh
    retail = outside.import_micro_per_kwh + outside.grid_fee_remote_micro_per_kwh
    spread = state["bought"][:, step] - retail
    for level, price in enumerate(prices.tolist()):
        bought = price + outside.grid_fee_local_micro_per_kwh + spread
        wanted[level] = stores.best(value, content_uwh, net_wh, bought, price)
    return Response(wanted, state["follows"] & (fleet.capacity_uwh > 0))


def worth(state: State, fleet: Fleet, device: State) -> IntArray:
    """What batteries hold at the end of the interval that was planned last, at its value. [nano-currency]"""
    if not isinstance(fleet, Batteries) or "slope" not in state:
        return np.zeros(len(state["follows"]), dtype=np.int64)
    held = _value(state, -1).at(device["stored_uwh"] - fleet.reserve_uwh)
    return -np.rint(held).astype(np.int64)


def _value(state: State, step: int) -> Value:
    """The value of what is stored at the end of a step of the last plan."""
    return Value(state["slope"][:, step], state["length_uwh"][:, step])


def _step(state: State, present: Present) -> int:
    """Which step of the last plan an interval is."""
    last: int = state["bought"].shape[1] - 1
    return last - (int(state["start_s"][0]) - present.start_s) // (present.minutes * 60)


def notes(state: State) -> tuple[str, ...]:
    """In how many intervals homes did not follow a plan, and why."""
    counts = {name: int(state[name].sum()) for name in COUNTED}
    every = sum(counts.values())
    return tuple(
        f"in {counts[name]:,} of {every:,} intervals of homes with devices {why}; they followed the rule of"
        " self-consumption"
        for name, why in (
            ("without_forecast", "there was no forecast of the day ahead to plan by"),
            ("infeasible", "no plan kept to the limits of all devices"),
            ("fell_back", "the rule would have cost them less over their own last four weeks"),
        )
        if counts[name]
    )


def planner(name: str, summary: str, ties: Ties, *, by_scenarios: bool = False) -> Controller:
    """A controller that plans, decides ties in its way, and may count with the errors of its own forecasts."""
    return Controller(
        name,
        partial(command, ties=ties),
        summary,
        start=start,
        plan=partial(
            plan, ties=ties, days={}, last={}, look=outlook, falls_back=True, by_scenarios=by_scenarios
        ),
        hours_ahead=24,
        reacts=True,
        respond=partial(respond, ties=ties),
        worth=worth,
        notes=notes,
        submits=True,
    )


PLAN = CONTROLLERS.register(
    planner("plan", "run batteries a day ahead at the outside prices, by the value of what is stored", Ties())
)

BY_SCENARIOS = CONTROLLERS.register(
    planner(
        "plan_by_scenarios",
        "as plan, with the errors that its own forecasts had on each of up to 27 days before",
        Ties(),
        by_scenarios=True,
    )
)


def start_without_prices(homes: IntArray, rules: AgentRules) -> State:
    """No price received yet, at any time of day."""
    slots = len(homes), DAY_MINUTES // rules.minutes
    none = {"local_price": np.zeros(slots), "local_known": np.zeros(slots, dtype=np.bool_)}
    return {**start(homes, rules), **none}


def receive(state: State, start_s: int, price: int | None) -> State:
    """Move the price expected at a time of day by a seventh towards the one that was received."""
    if price is None:
        return state
    local, known = state["local_price"].copy(), state["local_known"].copy()
    slot = start_s // (DAY_MINUTES * 60 // local.shape[1]) % local.shape[1]
    before = np.where(known[:, slot], local[:, slot], price)
    local[:, slot], known[:, slot] = before + (price - before) / PRICE_DAYS, True
    return {**state, "local_price": local, "local_known": known}


def local_outlook(state: State, planning: Planning, steps: int, ties: Ties) -> Outlook:
    """The expected local price, for any quantity bought or sold: that is the error of the study."""
    outside = outlook(state, planning, steps, Ties(0, 0, 0, 0))
    slots, step_s = state["local_known"].shape[1], planning.known.minutes * 60
    slot = (planning.start_s // step_s + np.arange(steps) - planning.traded) % slots
    middle = (outside.bought + outside.sold) / 2
    price = np.where(state["local_known"][:, slot].T, state["local_price"][:, slot].T, middle)
    return Outlook(price, price)


BY_PRICES = CONTROLLERS.register(
    Controller(
        "plan_by_local_prices",
        partial(command, ties=Ties(0, 0, 0, 0)),
        "a study, not for use: plan by the local prices of last week; homes that all do so cost more than no batteries",
        start=start_without_prices,
        plan=partial(
            plan,
            ties=Ties(0, 0, 0, 0),
            days={},
            last={},
            look=local_outlook,
            falls_back=False,
            by_scenarios=False,
        ),
        hours_ahead=24,
        receive=receive,
        notes=notes,
    )
)
