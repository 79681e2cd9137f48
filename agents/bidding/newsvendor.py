"""One order for the quantile of the expected energy that pays at the price that is expected: a study that collapses."""

from __future__ import annotations

from typing import Final

import numpy as np

from agents.bidding import STRATEGIES, Orders, OwnResults, Strategy, View, one_order_a_home, outside_limits
from agents.rules import AgentRules
from agents.state import State
from market.units import PPM, IntArray

STEPS: Final = 16
LEVELS_PPM: Final = tuple(PPM * level // STEPS for level in range(1, STEPS))
HOURS: Final = 24
NEWS: Final = 0.3
"""Weight of the newest price of an hour of the day in the price that is expected there."""


def start(homes: IntArray, rules: AgentRules) -> State:
    """No price is known of any hour."""
    shape = (len(homes), HOURS)
    return {"price": np.zeros(shape), "known": np.zeros(shape, dtype=np.bool_)}


def bid(state: State, view: View) -> Orders:
    """Order the quantile (r - p) / (r - f) of the net energy, at the expected price p, whichever side it is on.

    f is the feed-in price and r the outside price; p is a mean of the prices at this hour of earlier days, weighted to
    the newest, and the middle of f and r before there is one. The order has the limits of `truthful`, so it is filled
    at any price. All homes expect the same price and lean to the same side, and the price turns to the other end: the
    gain of the newsvendor assumes a price that its own side does not move.

    A home without quantiles orders its mean.
    """
    cap, floor = view.prices.buy_cap_micro_per_kwh, view.prices.feed_in_micro_per_kwh
    if view.quantiles_wh is None or view.has_quantiles is None or cap <= floor:
        return one_order_a_home(view.net_wh, *outside_limits(state, view))
    hour = view.start_s // 3_600 % HOURS
    price = np.where(state["known"][:, hour], state["price"][:, hour], (cap + floor) / 2)
    level = np.clip(np.rint((cap - price) / (cap - floor) * STEPS).astype(np.int64) - 1, 0, STEPS - 2)
    wanted_wh = view.quantiles_wh[level, np.arange(len(level))]
    return one_order_a_home(
        np.where(view.has_quantiles, wanted_wh, view.net_wh), *outside_limits(state, view)
    )


def learn_own(state: State, results: OwnResults) -> State:
    """Remember the price of this hour."""
    if results.price is None:
        return state
    hour = results.start_s // 3_600 % HOURS
    price, known = state["price"].copy(), state["known"].copy()
    weight = np.where(known[:, hour], NEWS, 1.0)
    price[:, hour] += weight * (results.price.price - price[:, hour])
    known[:, hour] = True
    return {"price": price, "known": known}


NEWSVENDOR = STRATEGIES.register(
    Strategy(
        "newsvendor",
        bid,
        "a study that collapses: the quantile that pays at the expected price, at one limit",
        start=start,
        learn_own=learn_own,
        quantiles_ppm=LEVELS_PPM,
        by_worth=True,
    ),
    contract=2,
)
