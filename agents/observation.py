"""What a home that learns to bid sees at the gate, what it remembers for that, and the orders that follow from it.

All of it is in integers, so that what was learnt gives the same orders on every machine, in a run and in an
environment.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import Final

import numpy as np

from agents.bidding import Orders, OwnResults, View
from agents.rules import DAY_MINUTES, AgentRules
from agents.state import State
from market.units import PPM, IntArray

OBSERVED: Final = {
    "forecast_net_kw": (-1_000, 1_000),
    "day_sin": (-1, 1),
    "day_cos": (-1, 1),
    "week_sin": (-1, 1),
    "week_cos": (-1, 1),
    "outside_per_kwh": (-1_000, 1_000),
    "feed_in_per_kwh": (-1_000, 1_000),
    "last_price_per_kwh": (-1_000, 1_000),
    "price_a_day_ago_per_kwh": (-1_000, 1_000),
    "stored_share": (0, 1),
}
"""What is observed, in this order, with the least and the most that is stated of it: import less export that the home
plans to order [kW], the local time of day and of week as angles, what a neighbour's energy may cost at most and the
feed-in price, the last local price and that of the day before [currency/kWh], what its battery is expected to hold
when the interval begins, as a share of its capacity."""
SCALE: Final = PPM
"""An observation or a decision of 1 as an integer."""
_LOW, _HIGH = SCALE * np.array(list(OBSERVED.values())).T
_NONE: Final = np.iinfo(np.int64).min
_WEEK_MINUTES: Final = 7 * DAY_MINUTES
_MONDAY: Final = 4 * DAY_MINUTES
"""The first Monday of 1970, in minutes."""


def start(homes: IntArray, rules: AgentRules) -> State:
    """No local price is known yet."""
    per_day = DAY_MINUTES // rules.minutes
    return {
        "last_price": np.full(len(homes), _NONE),
        "day_prices": np.full((len(homes), per_day), _NONE),
    }


def remember(state: State, results: OwnResults) -> State:
    """Remember the one price of an interval, which is public; of one without a price, that it had none."""
    per_day = state["day_prices"].shape[1]
    price = _NONE if results.price is None else results.price.price
    day = state["day_prices"].copy()
    day[:, results.start_s * per_day // (DAY_MINUTES * 60) % per_day] = price
    return {
        **state,
        "day_prices": day,
        "last_price": state["last_price"] if price == _NONE else np.full(len(day), price),
    }


def observe(state: State, view: View) -> IntArray:
    """The observation of every home, shape (homes, names of `OBSERVED`), in millionths of its units."""
    known, homes = view.known, len(view.homes)
    per_day = state["day_prices"].shape[1]
    minute = int(known.local_minute[(view.start_s - known.start_s) // (known.minutes * 60)])
    cap, floor = view.prices.buy_cap_micro_per_kwh, view.prices.feed_in_micro_per_kwh
    last = np.where(state["last_price"] == _NONE, (cap + floor) // 2, state["last_price"])
    before = state["day_prices"][:, view.start_s * per_day // (DAY_MINUTES * 60) % per_day]
    seen = [
        view.net_wh * 60 // known.minutes * (SCALE // 1_000),
        *_angle(minute, DAY_MINUTES),
        *_angle(minute - _MONDAY, _WEEK_MINUTES),
        cap,
        floor,
        last,
        np.where(before == _NONE, last, before),
        0 if view.stored_ppm is None else view.stored_ppm,
    ]
    columns = np.stack([np.broadcast_to(np.asarray(one, dtype=np.int64), homes) for one in seen], axis=1)
    return np.clip(columns, _LOW, _HIGH)


def _angle(minute: int, turn: int) -> tuple[int, int]:
    """Sine and cosine of a time, of which `turn` minutes are a whole turn, as integers."""
    angle = 2 * pi * (minute % turn) / turn
    return round(SCALE * sin(angle)), round(SCALE * cos(angle))


def orders(view: View, decided: IntArray) -> Orders:
    """The forecast quantity in equal parts, a limit each.

    Args:
        view: What the homes see.
        decided: Limit of each part, shape (homes, parts): `SCALE` is the home's worth, as the truthful strategy
            orders, minus `SCALE` the other end of the outside prices, and between them in proportion.
    """
    homes, parts = decided.shape
    (buy, sell), quantity_wh = view.worth, np.abs(view.net_wh)
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    buys = (view.net_wh > 0)[:, None]
    far = (SCALE - decided) // 2
    bids = buy[:, None] - np.maximum(buy - low, 0)[:, None] * far // SCALE
    offers = sell[:, None] + np.maximum(high - sell, 0)[:, None] * far // SCALE
    energy_wh = (quantity_wh[:, None] + np.arange(parts)[::-1]) // parts
    return Orders(
        home=np.repeat(np.arange(homes), parts),
        side=np.repeat(np.where(buys[:, 0], 1, -1).astype(np.int8), parts),
        energy_wh=energy_wh.ravel(),
        limit_micro_per_kwh=np.where(buys, bids, offers).ravel(),
    )
