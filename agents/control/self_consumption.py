"""Self-consumption: store the home's surplus, cover its deficit, nothing else."""

from __future__ import annotations

from agents.control import CONTROLLERS, Controller
from agents.devices import Fleet, Moment
from agents.state import State
from market.units import IntArray


def command(plan: State, moment: Moment, fleet: Fleet, state: State, net_wh: IntArray) -> IntArray:
    """Take the surplus of the home, or give its deficit, as far as the device can; never both. [Wh]"""
    return -net_wh


SELF_CONSUMPTION = CONTROLLERS.register(
    Controller("self_consumption", command, "store the home's surplus, cover the home's deficit")
)
