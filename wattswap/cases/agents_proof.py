"""Check a result of agents from the case and the result alone: feasibility, bound and gap, without a solver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from market.units import FloatArray
from optimizer.bilateral.market import WH_PER_KWH, Market, bound, supporting
from wattswap.cases.agents import AgentCase
from wattswap.cases.bilateral import read_bilateral
from wattswap.cases.community_manager import bound_of, read_community, with_outside
from wattswap.inputs.collector import CaseReader

_MICRO = 1_000_000
_NANO = 1_000_000_000
_RELATIVE = 1e-9
"""Difference of a stated number from the recomputed one that is rounding."""

_PRICE = {"central": 2e-6, "admm": 2e-3}
"""How far the price of a trade may be from those that prove the bound, relative to the spread of marginal costs."""


class AgentProof(NamedTuple):
    """What a result proves.

    Args:
        problems: Everything that is wrong with it, a sentence each.
        objective: Cost of what it says, recomputed. [currency]
        bound: What nothing can cost less than, by its certificate, recomputed. [currency]
        gap: (objective - bound) / sum of the absolute costs.
    """

    problems: tuple[str, ...]
    objective: float
    bound: float
    gap: float

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong; the gap is for the reader to weigh."""
        return not self.problems


def check_agents(case: Mapping[str, Any], result: Mapping[str, Any]) -> AgentProof:
    """Check a result of `bilateral` or `community_manager`.

    Args:
        case: As it was cleared.
        result: As it came back, also through JSON.

    Raises:
        InvalidCase: The case itself is wrong.
    """
    return (_check_bilateral if result.get("mechanism") == "bilateral" else _check_community)(case, result)


class _Notes:
    """Collects sentences."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def unless(self, fine: bool, sentence: str) -> None:
        if not fine:
            self.sentences.append(sentence)

    def near(self, stated: Any, found: float, size: float, what: str) -> None:
        fine = isinstance(stated, int | float) and abs(stated - found) <= _RELATIVE * max(size, 1e-9)
        self.unless(fine, f"{what} is stated as {stated} and is {found:.12g}")


def _check_bilateral(case: Mapping[str, Any], result: Mapping[str, Any]) -> AgentProof:
    read, notes = CaseReader(), _Notes()
    found, wanted = read_bilateral(read, case)
    read.refuse()
    market = found.market
    assert market is not None
    row = {name: i for i, name in enumerate(found.ids)}
    position = {
        ends: k for k, ends in enumerate(zip(market.seller.tolist(), market.buyer.tolist(), strict=True))
    }
    quantity, paid_nano = np.zeros(len(market.seller)), [0] * len(row)
    prices = _prices(found, result["certificate"], notes)
    spread = _spread(market)
    kept = np.abs(supporting(market, prices) - prices).max(initial=0.0) <= _RELATIVE * max(spread, 1e-9)
    notes.unless(
        bool(kept),
        "a price of the certificate is not the least at which its agent could buy, or leaves a gain",
    )
    slack = _PRICE[wanted.method] * spread + 2e-6
    for trade in result["trades"]:
        ends = row.get(trade["seller"], -1), row.get(trade["buyer"], -1)
        k = position.get(ends)
        name = f"the trade of {trade['seller']!r} with {trade['buyer']!r}"
        if k is None:
            notes.unless(False, f"{name} is between agents that may not trade")
            continue
        energy_wh, price = trade["quantity_kwh"] * WH_PER_KWH, trade["price_per_kwh"] * _MICRO
        notes.unless(quantity[k] == 0, f"{name} is listed twice")
        notes.unless(
            energy_wh > 0 and abs(energy_wh - round(energy_wh)) < 1e-6 + 1e-15 * energy_wh,
            f"{name} is not of whole Wh above 0",
        )
        quantity[k] = round(energy_wh)
        paid_nano[ends[1]] += round(energy_wh) * round(price)
        paid_nano[ends[0]] -= round(energy_wh) * round(price)
        asked = prices[ends[0]] + market.seller_cost[k], prices[ends[1]] - market.buyer_cost[k]
        notes.unless(
            result.get("converged") is False
            or min(asked) - slack <= trade["price_per_kwh"] <= max(asked) + slack,
            f"{name} has a price of {trade['price_per_kwh']:g}, its agents {asked[0]:g} and {asked[1]:g}",
        )
    pair = np.flatnonzero(quantity > 0)
    p = market.net(quantity[pair], pair)
    _check_p(found, result, p, notes)
    _check_payments(found, result, paid_nano, notes)
    notes.near(result["traded_kwh"], float(quantity.sum()) / WH_PER_KWH, float(quantity.sum()), "traded_kwh")
    objective = market.objective(p, quantity[pair], pair)
    size = market.size(p, quantity[pair], pair)
    return _proof(result, objective, bound(market, prices), size, notes)


def _check_community(case: Mapping[str, Any], result: Mapping[str, Any]) -> AgentProof:
    read, notes = CaseReader(), _Notes()
    found, outside = read_community(read, case)
    read.refuse()
    everybody = with_outside(found.agents, outside)
    stated = [result["p"].get(name, 0.0) for name in found.ids]
    own = np.rint(np.array(stated) * WH_PER_KWH)
    imported, exported = (round(result[key] * WH_PER_KWH) for key in ("import_kwh", "export_kwh"))
    p = np.append(own, (imported, -exported))
    notes.unless(p.sum() == 0, f"production, import, consumption and export differ by {p.sum():g} Wh")
    notes.unless(
        0 <= imported <= outside.most_wh and 0 <= exported <= outside.most_wh,
        "import or export is beyond what the manager may trade",
    )
    _check_p(found, result, own, notes)
    price_micro, price = round(result["price"] * _MICRO), result["certificate"]["price"]
    notes.unless(
        abs(result["price"] - price) <= 1e-6 + _RELATIVE * abs(price),
        f"price is {result['price']:g} and the certificate's {price:g}",
    )
    paid_nano = [-int(net) * price_micro for net in own.tolist()]
    _check_payments(found, result, paid_nano, notes)
    spent = imported * round(outside.import_cost * _MICRO) - exported * round(outside.export_revenue * _MICRO)
    surplus = (sum(paid_nano) - spent) / _NANO
    notes.near(result["manager_surplus"], surplus, 1.0, "manager_surplus")
    best = bound_of(everybody, price)
    for end in result["price_interval"]:
        least = bound_of(everybody, end)
        notes.near(least, best, abs(best), f"the bound at {end:g}, an end of the price interval,")
    costs = everybody.cost(p)
    return _proof(result, float(costs.sum()), bound_of(everybody, price), float(np.abs(costs).sum()), notes)


def _prices(found: AgentCase, certificate: Mapping[str, Any], notes: _Notes) -> FloatArray:
    """The prices of a certificate, by row."""
    given = certificate["prices"]
    notes.unless(set(given) == set(found.ids), "the certificate does not have a price for each agent")
    prices = np.array([float(given.get(name, 0.0)) for name in found.ids])
    notes.unless(bool(np.isfinite(prices).all()), "a price of the certificate is not a number")
    return np.where(np.isfinite(prices), prices, 0.0)


def _spread(market: Market) -> float:
    agents = market.agents
    ends = np.concatenate((agents.marginal(agents.least), agents.marginal(agents.most)))
    return float(np.ptp(ends))


def _check_p(found: AgentCase, result: Mapping[str, Any], p: FloatArray, notes: _Notes) -> None:
    """Every p is the sum of its trades to the Wh, and within its limits."""
    notes.unless(set(result["p"]) == set(found.ids), "p is not given for each agent")
    agents = found.agents
    for i, name in enumerate(found.ids):
        stated = result["p"].get(name)
        fine = isinstance(stated, int | float) and abs(stated * WH_PER_KWH - p[i]) < 1e-6 * max(
            1.0, abs(p[i]) * 1e-6
        )
        notes.unless(fine, f"p of {name!r} is stated as {stated} kWh and is {p[i] / WH_PER_KWH:g}")
        notes.unless(agents.least[i] <= p[i] <= agents.most[i], f"p of {name!r} is beyond its limits")


def _check_payments(found: AgentCase, result: Mapping[str, Any], paid_nano: list[int], notes: _Notes) -> None:
    """Everybody pays exactly what its trades say."""
    stated = {one["participant"]: one["payment"] for one in result["participants"]}
    notes.unless(
        len(result["participants"]) == len(found.ids) and set(stated) == set(found.ids),
        "participants are not the agents of the case",
    )
    for name, paid in zip(found.ids, paid_nano, strict=True):
        notes.unless(
            stated.get(name) == paid / _NANO, f"{name!r} pays {stated.get(name)} and owes {paid / _NANO}"
        )


def _proof(
    result: Mapping[str, Any], objective: float, least: float, size: float, notes: _Notes
) -> AgentProof:
    """Compare objective, bound and gap with the stated ones."""
    size = max(size, abs(least))
    gap = max(0.0, objective - least) / size if size else 0.0
    certificate = result["certificate"]
    notes.near(result["objective"], objective / WH_PER_KWH, size / WH_PER_KWH, "objective")
    notes.near(certificate["bound"], least / WH_PER_KWH, size / WH_PER_KWH, "the bound")
    notes.near(certificate["gap"], gap, 1.0, "the gap")
    notes.unless(objective >= least - _RELATIVE * size, "the objective is below the bound")
    return AgentProof(tuple(notes.sentences), objective / WH_PER_KWH, least / WH_PER_KWH, gap)
