"""Learning of a limit by its results: steps from a home's worth to the far end of the prices, and what each gained.

Buying and selling are learned apart. What a home chose, and for what, is in the state, so that its own settlement
line is enough to learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.bidding import Orders, OwnResults, View, one_order_a_home
from agents.rules import AgentRules
from agents.state import State
from market.random import fractions
from market.units import PPM, BoolArray, IntArray

FloatArray = npt.NDArray[np.float64]

BUY, SELL = "buy_score", "sell_score"

STEPS: Final = 30
SHADE_PPM: Final = PPM * np.arange(STEPS) // (STEPS - 1)
"""Steps of both rules of Roth and Erev, evenly from a home's worth to the far end of the prices. [parts per million]"""
FORGET, EXPLORE = 0.1, 0.2
FIRST: Final = 9 / STEPS
"""Their first scores. The source says 9 times an average profit over the steps; here it is the most that a home can
gain, because an average is not known before, and with less a home settles on the first steps that it happens to try."""


def roth_erev_start(homes: IntArray, rules: AgentRules) -> State:
    """All steps score the same."""
    return scores(len(homes), STEPS, FIRST)


def roth_erev_look(state: State, view: View) -> State:
    """Choose a step in proportion to its score."""
    return chosen(state, view, lambda score: _drawn(score, fractions(view.words, 0)))


def roth_erev_bid(state: State, view: View) -> Orders:
    """Order what is left of the plan at the chosen limit."""
    return orders(state, view, SHADE_PPM)


def scores(homes: int, steps: int, first: float) -> State:
    """The state before the first interval: each step of each side has the same score."""
    one = np.full((homes, steps), first)
    nothing = np.zeros(homes, dtype=np.int64)
    return {
        BUY: one,
        SELL: one,
        "step": nothing,
        "plan_wh": nothing,
        "worth": nothing,
        "span": nothing,
    }


def side_scores(state: State, side: IntArray) -> FloatArray:
    """The scores of the side on which each home trades, shape (homes, steps)."""
    found: FloatArray = np.where((side > 0)[:, None], state[BUY], state[SELL])
    return found


def chosen(state: State, view: View, choose: Callable[[FloatArray], IntArray]) -> State:
    """The state with the steps that homes take in this interval; those of its first round in all its rounds."""
    if view.round:
        return state
    side = np.sign(view.net_wh)
    span = max(view.prices.buy_cap_micro_per_kwh - view.prices.feed_in_micro_per_kwh, 0)
    return {
        **state,
        "step": choose(side_scores(state, side)),
        "plan_wh": view.net_wh,
        "worth": np.where(side > 0, *view.worth),
        "span": np.full(len(side), span),
    }


def orders(state: State, view: View, shade_ppm: IntArray) -> Orders:
    """What is left of the plan at the limit of the chosen step.

    Args:
        shade_ppm: Of each step, the share of the way from a home's worth to the far end. [parts per million]
    """
    (buy, sell), share = view.worth, shade_ppm[state["step"]]
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    way_down, way_up = np.maximum(buy - low, 0), np.maximum(high - sell, 0)
    return one_order_a_home(view.net_wh, buy - way_down * share // PPM, sell + way_up * share // PPM)


def rewards(state: State, results: OwnResults) -> tuple[FloatArray, BoolArray]:
    """What each home gained against the outside, of the most it could have gained, and which homes had a plan."""
    plan_wh, side = state["plan_wh"], np.sign(state["plan_wh"])
    got_wh = np.where(side > 0, results.bought_wh, results.sold_wh)
    gain_nano = side * state["worth"] * got_wh - results.payment_nano
    most_nano = np.abs(plan_wh) * state["span"]
    planned = most_nano > 0
    return np.clip(gain_nano / np.maximum(most_nano, 1), 0, None), planned


def learned(state: State, planned: BoolArray, changed: FloatArray) -> State:
    """The state with these scores of the side on which homes with a plan traded."""
    buys, sells = planned & (state["plan_wh"] > 0), planned & (state["plan_wh"] < 0)
    return {
        **state,
        BUY: np.where(buys[:, None], changed, state[BUY]),
        SELL: np.where(sells[:, None], changed, state[SELL]),
    }


def _drawn(score: FloatArray, fraction: FloatArray) -> IntArray:
    """A step of each home, drawn in proportion to the scores.

    Args:
        fraction: Of each home, from 0 to below 1.
    """
    running = np.cumsum(score, axis=1)
    beyond = (running <= (fraction * running[:, -1])[:, None]).sum(axis=1)
    found: IntArray = np.minimum(beyond, score.shape[1] - 1)
    return found
