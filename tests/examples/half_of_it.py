"""Store half of the home's surplus, cover half of its deficit."""

from agents.control import CONTROLLERS, Controller


def command(plan, moment, fleet, state, net_wh):
    """What each home wants at the terminals of a device; positive consumes. [Wh]"""
    return -net_wh // 2


CONTROLLERS.register(Controller("half_of_it", command, "half of surplus and deficit"), contract=1)
