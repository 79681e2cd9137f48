"""Whether a scenario's market clears a horizon of intervals, how far it reaches, and what cannot be cleared so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agents.bidding import STRATEGIES
from market.mechanism import MECHANISMS
from market.orders import MAX_LINES
from wattswap.scenario.load import Scenario
from wattswap.scenario.time import Faults

DEVICES_LINES: Final = 32
"""Room of a message for a home's battery and for what else it lets the market move."""
MAX_STEPS: Final = MAX_LINES - DEVICES_LINES
"""Intervals of a horizon of which a message has room for one order each."""


def horizon_minutes(scenario: Scenario) -> int:
    """How far ahead the market clears; 0 where it clears one interval at a time. [min]"""
    ahead = MECHANISMS.get(scenario.market.mechanism).scope == "horizon"
    return scenario.market.horizon_hours * 60 if ahead else 0


def refuse_to_look_ahead(scenario: Scenario, minutes: int, strategies: Sequence[str]) -> None:
    """Refuse what a market that clears a horizon does not know.

    Args:
        scenario: Whose market may be one.
        minutes: Length of an interval. [min]
        strategies: Name of each home's strategy.

    Raises:
        InvalidScenario: All of it, with what to do.
    """
    market = scenario.market
    faults: Faults = []
    reach = horizon_minutes(scenario)
    if not reach:
        return
    if market.rounds > 1:
        what = f"{market.mechanism} clears a horizon of intervals at once"
        faults.append(("market.rounds", what, "remove it, or choose a mechanism of one interval"))
    if reach < minutes:
        what = f"{market.horizon_hours} h is shorter than an interval of {minutes} min"
        faults.append(("market.horizon_hours", what, "give as many hours as an interval has, or more"))
    if scenario.homes.tariffs:
        what = f"{market.mechanism} clears against one retailer, and homes.tariffs gives homes several"
        faults.append(
            ("market.mechanism", what, "remove homes.tariffs, or choose a mechanism of one interval")
        )
    without = sorted(name for name in set(strategies) if STRATEGIES.get(name).limits is None)
    if without:
        what = (
            f"{market.mechanism} takes quantities from forecasts, and {', '.join(without)} states no limits"
        )
        faults.append(("homes.strategy", what, "choose a strategy that does, such as staircase or truthful"))
    scenario.refuse(faults)
    if scenario.chain.sign_orders:
        refuse_long_horizon(scenario, minutes)


def refuse_long_horizon(scenario: Scenario, minutes: int) -> None:
    """Refuse a horizon of more intervals than a message of a home has room for.

    Args:
        scenario: Whose market may clear one.
        minutes: Length of an interval. [min]

    Raises:
        InvalidScenario: With what to do.
    """
    steps = horizon_minutes(scenario) // minutes
    if steps > MAX_STEPS:
        what = f"has {steps} intervals of {minutes} min, and the message of a home has room for {MAX_STEPS}"
        cure = f"give {MAX_STEPS * minutes // 60} or fewer, or choose longer intervals"
        raise scenario.invalid("market.horizon_hours", what, cure)
