"""Order as an environment for learning decides (`wattswap.env`); without one, as `truthful` does."""

from __future__ import annotations

from typing import Final

import numpy as np

from agents import observation
from agents.bidding import STRATEGIES, Orders, Strategy, View
from agents.observation import SCALE, orders, remember
from agents.rules import AgentRules
from agents.state import State
from market.units import IntArray

LIMITS: Final = "limits_ppm"
"""Column that an environment sets: what `agents.observation.orders` takes, shape (homes, parts)."""


def start(homes: IntArray, rules: AgentRules) -> State:
    """One limit, at the home's worth."""
    return {**observation.start(homes, rules), LIMITS: np.full((len(homes), 1), SCALE)}


def bid(state: State, view: View) -> Orders:
    """The orders of the limits that were set."""
    return orders(view, state[LIMITS])


STEERED = STRATEGIES.register(
    Strategy(
        "steered",
        bid,
        "what an environment for learning decides; in a run as truthful",
        start=start,
        several_orders=True,
        learn_own=remember,
    ),
    contract=2,
)
