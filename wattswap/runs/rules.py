"""The rules of a run's market and of its agents, from the scenario."""

from __future__ import annotations

from agents.rules import AgentRules
from market.mechanism import MECHANISMS
from market.parameters import rules_with
from market.rules import MarketRules
from market.settlement.imbalance import Imbalance, ImbalanceRule, Shares
from wattswap.inputs.parameters import run_defaults
from wattswap.runs.looking_ahead import horizon_minutes
from wattswap.scenario.load import Scenario
from wattswap.scenario.params import values_of


def market_rules(scenario: Scenario) -> MarketRules:
    """The rules of the market that do not change from interval to interval."""
    market = scenario.market
    rules = MarketRules(
        k_ppm=market.k_ppm, rationing=market.rationing, seed=scenario.seed, solver=market.solver
    )
    own = run_defaults(MECHANISMS.get(market.mechanism)) | values_of(market.params, market.mechanism)
    return rules_with(rules, own)


def agent_rules(scenario: Scenario, minutes: int) -> AgentRules:
    """How the homes behave, at intervals of some length. [min]"""
    homes = scenario.homes
    return AgentRules(
        forecaster=homes.forecast,
        forecaster_pv=homes.forecast_pv,
        forecast_days=homes.forecast_days,
        strategy=homes.strategy,
        control=homes.control,
        gate_closure_minutes=scenario.market.gate_closure_minutes,
        minutes=minutes,
        seed=scenario.seed,
        rounds=scenario.market.rounds,
        horizon_minutes=horizon_minutes(scenario),
    )


def imbalance_rule(scenario: Scenario) -> ImbalanceRule:
    """How imbalances are settled; with the retailer where there are none, or no local market."""
    market = scenario.market
    local = MECHANISMS.get(market.mechanism).promises.local_market
    if market.quantities == "metered" or not local:
        return ImbalanceRule(Imbalance.RETAILER)
    return ImbalanceRule(Imbalance(market.imbalance), Shares(market.imbalance_shares or "throughput"))
