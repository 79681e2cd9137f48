"""A bandit that finds out how far it pays to shade: a few steps away from the home's worth, the best so far mostly."""

from __future__ import annotations

from typing import Final

import numpy as np

from agents.bidding import STRATEGIES, Orders, OwnResults, Strategy, View
from agents.reinforcement import chosen, learned, orders, rewards, scores, side_scores
from agents.rules import AgentRules
from agents.state import State
from market.random import fractions
from market.units import PPM, IntArray

SHADE_PPM: Final = PPM * np.array([0, 10, 25, 50, 75]) // 100
EXPLORE, NEWS = 0.1, 0.1


def start(homes: IntArray, rules: AgentRules) -> State:
    """Every step is expected to gain half of the most, so that each is tried."""
    return scores(len(homes), len(SHADE_PPM), 0.5)


def look(state: State, view: View) -> State:
    """Choose the step with the best score, the least shaded of equals, and one at random in every tenth interval."""
    explores = fractions(view.words, 0) < EXPLORE
    other = (fractions(view.words, 1) * len(SHADE_PPM)).astype(np.int64)
    return chosen(state, view, lambda score: np.where(explores, other, np.argmax(score, axis=1)))


def bid(state: State, view: View) -> Orders:
    """Order what is left of the plan at a limit that goes 0, 10, 25, 50 or 75 % of the way to the far end."""
    return orders(state, view, SHADE_PPM)


def learn_own(state: State, results: OwnResults) -> State:
    """Move the score of the chosen step a tenth of the way to what was gained of the most."""
    reward, planned = rewards(state, results)
    changed, homes = side_scores(state, np.sign(state["plan_wh"])).copy(), np.arange(len(reward))
    changed[homes, state["step"]] += NEWS * (reward - changed[homes, state["step"]])
    return learned(state, planned, changed)


SHADER = STRATEGIES.register(
    Strategy(
        "shader",
        bid,
        "a bandit over how far its limit is shaded, by its own results",
        start=start,
        learn_own=learn_own,
        look=look,
        by_worth=True,
    ),
    contract=2,
)
