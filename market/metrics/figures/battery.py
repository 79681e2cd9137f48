"""The battery that homes have in common: what it gains and costs, and how much it is used."""

from __future__ import annotations

from market.metrics.table import Result, metric
from market.units import NANO_PER_UNIT, PPM, WH_PER_KWH

NO_BATTERY = "the homes have no battery in common"
NO_COST = "the homes have no battery in common, or nothing says what it costs"


@metric(unit="currency", better="higher", needs=("battery_gained_nano",), undefined_because=NO_BATTERY)
def battery_gain(r: Result) -> float:
    """What the battery in common was credited less what it paid, part of the bills; what it holds is not counted."""
    return r.facts["battery_gained_nano"] / NANO_PER_UNIT


@metric(unit="currency", better="lower", needs=("battery_paid_nano",), undefined_because=NO_COST)
def battery_cost(r: Result) -> float:
    """What of the purchase of the battery in common falls on the run, over its years of life; no bill counts it."""
    return r.facts["battery_paid_nano"] / NANO_PER_UNIT


@metric(unit="currency", better="higher", needs=("battery_paid_nano",), undefined_because=NO_COST)
def saving_less_battery_cost(r: Result) -> float:
    """C_ret - C_mkt less what of the purchase of the battery in common falls on the run, signed."""
    saved_nano = int(r.saving_nano.sum())
    return (saved_nano - r.facts["battery_paid_nano"]) / NANO_PER_UNIT


@metric(unit="kWh", needs=("battery_given_wh",), undefined_because=NO_BATTERY)
def battery_given_kwh(r: Result) -> float:
    """Energy that the battery in common gave, at its terminals."""
    return r.facts["battery_given_wh"] / WH_PER_KWH


@metric(unit="kWh", needs=("battery_taken_wh",), undefined_because=NO_BATTERY)
def battery_taken_kwh(r: Result) -> float:
    """Energy that the battery in common took, at its terminals."""
    return r.facts["battery_taken_wh"] / WH_PER_KWH


@metric(unit="kWh", needs=("battery_stored_wh",), undefined_because=NO_BATTERY)
def battery_left_kwh(r: Result) -> float:
    """Content of the battery in common at the end, from its reserve on; no bill counts its worth."""
    return r.facts["battery_stored_wh"] / WH_PER_KWH


@metric(unit="cycles", needs=("battery_given_wh",), undefined_because=NO_BATTERY)
def battery_cycles(r: Result) -> float:
    """Energy drawn from the store of the battery in common / its usable capacity."""
    drawn_wh = r.facts["battery_given_wh"] * PPM / r.facts["battery_yields_ppm"]
    return float(drawn_wh / r.facts["battery_capacity_wh"])
