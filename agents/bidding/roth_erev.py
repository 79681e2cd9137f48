"""Roth-Erev reinforcement: limits that paid are chosen more often."""

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
    """Reward the chosen limit, and the others a little.

    Every score fades by a tenth. The chosen one gains four fifths of the home's gain, all others share the last fifth.

    Source: Roth, Erev, Games and Economic Behavior 8 (1995), 164-212; Erev, Roth, American Economic Review 88 (1998),
    848-881, the three-parameter model.
    """
    reward, planned = rewards(state, results)
    changed = (1 - FORGET) * side_scores(state, np.sign(state["plan_wh"]))
    others = EXPLORE / (STEPS - 1) * reward
    changed += others[:, None]
    changed[np.arange(len(reward)), state["step"]] += (1 - EXPLORE) * reward - others
    return learned(state, planned, changed)


ROTH_EREV = STRATEGIES.register(
    Strategy(
        "roth_erev",
        roth_erev_bid,
        "a limit drawn by what each has gained before",
        start=roth_erev_start,
        learn_own=learn_own,
        look=roth_erev_look,
        by_worth=True,
    ),
    contract=2,
)
