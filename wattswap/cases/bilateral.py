"""Clear agents that trade in pairs, all at once or by negotiation: whole Wh, exact payments and a proof either way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from market.units import FloatArray, IntArray, kwh, money
from market.units import price as decimal_price
from optimizer.bilateral.admm import Negotiated, negotiate, terms_of
from optimizer.bilateral.central import Optimum, feasible_pairs, proven, solve
from optimizer.bilateral.forest import Settled, canonical_prices
from optimizer.bilateral.market import WH_PER_KWH, Market, supporting
from optimizer.bilateral.negotiation import Terms
from optimizer.bilateral.whole import whole_trades
from wattswap.cases.agents import AgentCase, read_agents, read_real
from wattswap.errors import Infeasible
from wattswap.inputs.collector import CaseReader

METHODS = ("central", "admm")
NEAR_LIMIT = 1e-3
"""How near to its limit a negotiation leaves an agent that is at it. [unit of energy]"""

_MICRO = 1_000_000
_DEFAULTS: dict[str, float] = {
    "tolerance": 3e-5,
    "max_iterations": 20_000,
    "rho": 1.0,
    "over_relaxation": 1.6,
}
_RANGES: dict[str, tuple[float, float]] = {
    "tolerance": (1e-9, 0.1),
    "max_iterations": (1, 1_000_000),
    "rho": (1e-6, 1e6),
    "over_relaxation": (1.0, 1.9),
}


class Whole(NamedTuple):
    """Trades in whole units.

    Args:
        pair: Pairs that trade.
        energy_wh: Of each trade. [Wh]
        price_micro_per_kwh: Of each trade, a Python integer. [micro-currency/kWh]
        optimum: The same trades with their proof.
    """

    pair: IntArray
    energy_wh: IntArray
    price_micro_per_kwh: list[int]
    optimum: Optimum


class Wanted(NamedTuple):
    """The params of a case."""

    method: str
    values: dict[str, float]

    def terms(self, market: Market) -> Terms:
        """What the agents of a negotiation agree on beforehand."""
        return terms_of(
            market,
            tolerance=self.values["tolerance"],
            over_relaxation=self.values["over_relaxation"],
            rounds_max=int(self.values["max_iterations"]),
        )


def clear_bilateral(case: Mapping[str, Any]) -> dict[str, Any]:
    """Find the trades of least cost between pairs of agents.

    Args:
        case: {"agents", "trade_costs"?, "partners"?, "params": {"method": "central" | "admm", ..}?} as read from JSON.
            Not changed.

    Returns:
        {"mechanism", "status", "p", "trades", "objective", "participants", "certificate"}, of a negotiation also
        "converged", "iterations" and "residuals".

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
        Infeasible: Agents that must trade cannot; says how much or who.
    """
    read = CaseReader()
    found, wanted = read_bilateral(read, case)
    read.refuse()
    market = found.market
    assert market is not None
    refuse_alone(found)
    if wanted.method == "central":
        optimum = solve(market)
        whole = settle(market, optimum.trades, _asked(market, optimum.trades.price))
        return _result(found, whole, optimum.proof, optimum.gap)
    if ((market.agents.least > 0) | (market.agents.most < 0)).any():
        feasible_pairs(market)  # without any, agents would negotiate to the last round
    negotiated = negotiate(market, wanted.terms(market), wanted.values["rho"])
    return result_of_negotiation(found, negotiated)


def read_bilateral(read: CaseReader, case: Any) -> tuple[AgentCase, Wanted]:
    """Read a case and its params; what is wrong is noted."""
    found = read_agents(read, case, pairs=True, outside=False, name="bilateral")
    return found, _params(read, found.params)


def result_of_negotiation(found: AgentCase, negotiated: Negotiated) -> dict[str, Any]:
    """The result of a case whose agents have negotiated."""
    market = found.market
    assert market is not None
    trades = negotiated.trades
    asked = _asked(market, trades.price)
    asked[trades.pair] = negotiated.price
    near = NEAR_LIMIT * negotiated.terms.energy_wh
    whole = settle(market, trades, asked, near)
    gap = proven(market, trades).gap
    verdict = negotiated.verdict
    ruled = canonical_prices(market, whole.optimum.trades)
    proofs = (proven(market, whole.optimum.trades, price) for price in (trades.price, ruled))
    proof = max(proofs, key=lambda one: one.bound).proof
    return _result(found, whole, proof, gap) | {
        "converged": verdict.done,
        "iterations": negotiated.rounds,
        "residuals": {
            "primal_kwh": verdict.apart * negotiated.terms.energy_wh / WH_PER_KWH,
            "dual_per_kwh": verdict.moved * negotiated.terms.money,
            "agent_kwh": verdict.net * negotiated.terms.energy_wh / WH_PER_KWH,
        },
    }


def settle(market: Market, trades: Settled, asked: FloatArray, at_limit_wh: float = 0.5) -> Whole:
    """Round trades to whole Wh and their prices to micro-currency per kWh.

    Args:
        market: m pairs.
        trades: In real numbers.
        asked: Price of every pair, shape (m,). [currency/kWh]
        at_limit_wh: How near to a limit an agent is at the limit. [Wh]
    """
    pair, energy_wh = whole_trades(market, trades.pair, trades.quantity, at_limit_wh)
    quantity = energy_wh.astype(np.float64)
    settled = Settled(market.net(quantity, pair), pair, quantity, trades.price)
    price = [round(x * _MICRO) for x in asked[pair].tolist()]
    return Whole(pair, energy_wh, price, proven(market, settled))


def refuse_alone(found: AgentCase) -> None:
    """Raise if an agent must trade and has no partner.

    Raises:
        Infeasible: Names every one of them.
    """
    market = found.market
    assert market is not None
    agents = market.agents
    stuck = np.flatnonzero(~market.linked & ((agents.least > 0) | (agents.most < 0)))
    if len(stuck):
        names = ", ".join(repr(found.ids[i]) for i in stuck.tolist())
        raise Infeasible.of(
            "agents", f"{names} must trade and may trade with nobody", "give partners or a wider range"
        )


def _asked(market: Market, price: FloatArray) -> FloatArray:
    """What each pair trades at: the seller's price plus what it adds for this buyer. [currency/kWh]"""
    asked: FloatArray = price[market.seller] + market.seller_cost
    return asked


def _params(read: CaseReader, given: Any) -> Wanted:
    params = read.mapping(given, "params", set(), {"method", *_DEFAULTS})
    method = read.choice(params.get("method", "central"), "params.method", METHODS)
    values = dict(_DEFAULTS)
    for key, (least, most) in _RANGES.items():
        if key not in params:
            continue
        where = f"params.{key}"
        if method == "central":
            read.note(where, "is of the method admm", "leave it out, or choose that method")
        before = len(read.problems)
        values[key] = (
            read.whole(params[key], where) if key == "max_iterations" else read_real(read, params[key], where)
        )
        if len(read.problems) == before and not least <= values[key] <= most:
            read.note(where, f"is {values[key]:g}", f"give {least:g} to {most:g}")
    return Wanted(method, values)


def _result(found: AgentCase, whole: Whole, proof: FloatArray, gap_before: float) -> dict[str, Any]:
    market = found.market
    assert market is not None
    best = whole.optimum
    trades = best.trades
    best = proven(market, trades, proof)
    sellers, buyers = market.seller[whole.pair].tolist(), market.buyer[whole.pair].tolist()
    rows = list(zip(sellers, buyers, whole.energy_wh.tolist(), whole.price_micro_per_kwh, strict=True))
    paid_nano = [0] * len(found.ids)
    for seller, buyer, energy_wh, price in rows:
        paid_nano[buyer] += energy_wh * price
        paid_nano[seller] -= energy_wh * price
    net_wh = trades.p.astype(np.int64).tolist()
    return {
        "mechanism": "bilateral",
        "status": "cleared" if rows else "no_trade",
        "traded_kwh": kwh(int(whole.energy_wh.sum())),
        "p": {name: kwh(net) for name, net in zip(found.ids, net_wh, strict=True)},
        "trades": [
            {
                "seller": found.ids[seller],
                "buyer": found.ids[buyer],
                "quantity_kwh": kwh(energy_wh),
                "price_per_kwh": decimal_price(price),
            }
            for seller, buyer, energy_wh, price in rows
        ],
        "objective": best.objective / WH_PER_KWH,
        "participants": [
            {"participant": name, "payment": money(paid)}
            for name, paid in zip(found.ids, paid_nano, strict=True)
        ],
        "certificate": {
            "bound": best.bound / WH_PER_KWH,
            "gap": best.gap,
            "gap_before_rounding": gap_before,
            "prices": dict(zip(found.ids, supporting(market, best.proof).tolist(), strict=True)),
        },
    }
