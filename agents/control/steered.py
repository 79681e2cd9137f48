"""Run batteries as an environment for learning decides (`wattswap.env`); without one, by self-consumption."""

from __future__ import annotations

from typing import Final

import numpy as np

from agents.control import CONTROLLERS, Controller, Present, self_consuming
from agents.devices import Fleet
from agents.devices.battery import Batteries
from agents.rules import AgentRules
from agents.state import State
from market.units import PPM, IntArray

POWER: Final = "power_ppm"
"""Column that an environment sets: powers of the last intervals, the traded one included, shape (homes, lead + 1)."""


def start(homes: IntArray, rules: AgentRules) -> State:
    """The rule, in all intervals."""
    return {POWER: np.zeros((len(homes), rules.lead + 1), dtype=np.int64)}


def place_of(start_s: int, minutes: int, kept: int) -> int:
    """Column of the power of an interval, of so many that are kept."""
    return start_s // (60 * minutes) % kept


def command(state: State, present: Present, fleet: Fleet, device: State, net_wh: IntArray) -> IntArray:
    """The power of a battery: 0 is that of the self-consumption rule, -1 and 1 are its ends, others between. [Wh]

    Other devices follow the rule.
    """
    wanted_wh = self_consuming(fleet, device, present, net_wh)
    if not isinstance(fleet, Batteries):
        return wanted_wh
    rule_wh, power = np.clip(wanted_wh, -fleet.discharge_wh, fleet.charge_wh), state[POWER]
    share = power[:, place_of(present.start_s, present.minutes, power.shape[1])]
    way_wh = np.where(share > 0, fleet.charge_wh - rule_wh, rule_wh + fleet.discharge_wh)
    moved_wh: IntArray = rule_wh + way_wh * share // PPM
    return moved_wh


STEERED = CONTROLLERS.register(
    Controller(
        "steered",
        command,
        "what an environment for learning decides; in a run by self-consumption",
        start=start,
    )
)
