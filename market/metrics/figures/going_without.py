"""What no bill counts: what homes went without, and what batteries wore; each also for the same homes without a market.

Homes that do not react to the market have the same figures with and without it.
"""

from __future__ import annotations

from market.metrics.table import Result, metric
from market.units import NANO_PER_UNIT, WH_PER_KWH

NO_NEEDS = "no home has a car, an appliance or a tank of hot water"
NO_ROOMS = "no home has a heat pump"
NO_WEAR = "no battery has a cost of wear"
MILLI_PER_K = 1_000


@metric(unit="kWh", better="lower", needs=("unmet_wh",), undefined_because=NO_NEEDS)
def unmet_kwh(r: Result) -> float:
    """What trips of cars lacked, and runs of appliances and hot water that came late, too cold or never."""
    return r.total("unmet_wh") / WH_PER_KWH


@metric(unit="kWh", better="lower", needs=("alone_unmet_wh",), undefined_because=NO_NEEDS)
def unmet_alone_kwh(r: Result) -> float:
    """What unmet_kwh would be if homes had no market to react to."""
    return r.total("alone_unmet_wh") / WH_PER_KWH


@metric(
    unit="K h",
    better="lower",
    needs=("outside_comfort_millidegree_h",),
    undefined_because=NO_ROOMS,
    decimals=1,
)
def outside_comfort_k_h(r: Result) -> float:
    """Degree-hours in which rooms were colder or warmer than their comfort band, summed over the homes."""
    return r.total("outside_comfort_millidegree_h") / MILLI_PER_K


@metric(
    unit="K h",
    better="lower",
    needs=("alone_outside_comfort_millidegree_h",),
    undefined_because=NO_ROOMS,
    decimals=1,
)
def outside_comfort_alone_k_h(r: Result) -> float:
    """What outside_comfort_k_h would be if homes had no market to react to."""
    return r.total("alone_outside_comfort_millidegree_h") / MILLI_PER_K


@metric(unit="currency", better="lower", needs=("wear_nano",), undefined_because=NO_WEAR)
def wear_cost(r: Result) -> float:
    """Wear of batteries: sum of the energy that each gave x its cost of wear; no bill has it."""
    return r.total("wear_nano") / NANO_PER_UNIT


@metric(unit="currency", better="lower", needs=("alone_wear_nano",), undefined_because=NO_WEAR)
def wear_cost_alone(r: Result) -> float:
    """What wear_cost would be if homes had no market to react to."""
    return r.total("alone_wear_nano") / NANO_PER_UNIT
