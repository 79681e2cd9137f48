"""Self-consumption: store the home's surplus, cover its deficit, nothing else."""

from __future__ import annotations

from agents.control import CONTROLLERS, Controller, self_consuming
from agents.devices import Fleet, Moment
from agents.state import State
from market.units import IntArray


def command(plan: State, moment: Moment, fleet: Fleet, state: State, net_wh: IntArray) -> IntArray:
    """See `self_consuming`. [Wh]"""
    return self_consuming(fleet, state, moment, net_wh)


SELF_CONSUMPTION = CONTROLLERS.register(
    Controller("self_consumption", command, "store the home's surplus, cover the home's deficit")
)
