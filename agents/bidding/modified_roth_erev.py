"""Roth-Erev as modified for electricity auctions: limits that paid are chosen more often, the others fade slowly."""

from __future__ import annotations

import numpy as np

from agents.bidding import STRATEGIES, OwnResults, Strategy
from agents.reinforcement import (
    EXPLORE,
    FORGET,
    STEPS,
    learned,
    rewards,
    roth_erev_bid,
    roth_erev_look,
    roth_erev_start,
    side_scores,
)
from agents.state import State


def learn_own(state: State, results: OwnResults) -> State:
    """Reward the chosen limit.

    Every score fades by a tenth. The chosen one gains four fifths of the home's gain, any other a 29th of a fifth of
    its own score. In the plain rule the others gain a share of the home's gain instead: all limits then stay likely,
    the bad ones too, and where nothing was gained nothing is learned.

    Source: Nicolaisen, Petrov, Tesfatsion, IEEE Transactions on Evolutionary Computation 5 (2001), 504-523.
    """
    reward, planned = rewards(state, results)
    score, homes = side_scores(state, np.sign(state["plan_wh"])), np.arange(len(reward))
    changed = (1 - FORGET + EXPLORE / (STEPS - 1)) * score
    changed[homes, state["step"]] = (1 - FORGET) * score[homes, state["step"]] + (1 - EXPLORE) * reward
    return learned(state, planned, changed)


MODIFIED_ROTH_EREV = STRATEGIES.register(
    Strategy(
        "modified_roth_erev",
        roth_erev_bid,
        "a limit drawn by what each has gained before, modified for electricity auctions",
        start=roth_erev_start,
        learn_own=learn_own,
        look=roth_erev_look,
        by_worth=True,
    ),
    contract=2,
)
