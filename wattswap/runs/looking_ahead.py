"""Whether a scenario's market clears a horizon of intervals, how far it reaches, and what cannot be cleared so."""

from __future__ import annotations

from collections.abc import Sequence

from agents.bidding import STRATEGIES
from market.mechanism import MECHANISMS
from wattswap.errors import InvalidScenario, Problem
from wattswap.scenario.load import Scenario


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
    market, problems = scenario.market, list[Problem]()
    reach = horizon_minutes(scenario)
    if not reach:
        return

    def refuse(key: str, what: str, cure: str) -> None:
        problems.extend(scenario.invalid(key, what, cure).problems)

    if market.rounds > 1:
        what = f"{market.mechanism} clears a horizon of intervals at once"
        refuse("market.rounds", what, "remove it, or choose a mechanism of one interval")
    if reach < minutes:
        what = f"{market.horizon_hours} h is shorter than an interval of {minutes} min"
        refuse("market.horizon_hours", what, "give as many hours as an interval has, or more")
    if scenario.homes.tariffs:
        what = f"{market.mechanism} clears against one retailer, and homes.tariffs gives homes several"
        refuse("market.mechanism", what, "remove homes.tariffs, or choose a mechanism of one interval")
    if scenario.chain.sign_orders:
        what = f"{market.mechanism} clears orders of many intervals, which a run does not sign"
        refuse("chain.sign_orders", what, "write sign_orders = false")
    without = sorted(name for name in set(strategies) if STRATEGIES.get(name).limits is None)
    if without:
        what = (
            f"{market.mechanism} takes quantities from forecasts, and {', '.join(without)} states no limits"
        )
        refuse("homes.strategy", what, "choose a strategy that does, such as staircase or truthful")
    if problems:
        raise InvalidScenario(*problems)
