"""Read agents with quadratic costs, and the pairs of them that may trade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from market.units import INT64_SAFE, MICRO_PER_UNIT, wh_from_kwh
from optimizer.bilateral.market import WH_PER_KWH, Agents, Market, everybody
from wattswap.errors import suggest
from wattswap.inputs.collector import CaseReader, shown

TYPES = ("producer", "consumer", "prosumer")
MOST_PAIRS = 1_000_000
LARGEST_KWH = 10**9
LARGEST_PRICE = INT64_SAFE / MICRO_PER_UNIT
BEYOND = ("is a price beyond what 64 bits hold", "use a larger currency unit")
LEAST_SLOPE = 1e-12
"""A smaller rise of the marginal cost is lost in rounding. [currency/kWh per kWh]"""

_KEYS = {"id", "type", "a", "b", "pmin", "pmax"}


@dataclass(frozen=True, slots=True, eq=False)
class AgentCase:
    """The agents of a case, and its params as they are.

    Args:
        ids: Name of each agent.
        agents: Their costs and limits.
        market: The pairs that may trade; None where the mechanism has no pairs.
        params: Not read yet.
    """

    ids: list[str]
    agents: Agents
    market: Market | None
    params: Any


def read_agents(read: CaseReader, case: Any, *, pairs: bool, outside: bool, name: str) -> AgentCase:
    """Read a case; everything that is wrong is noted and the result then not usable.

    Args:
        read: Collects what is wrong.
        case: {"agents", "trade_costs"?, "partners"?, "params"?} as read from JSON.
        pairs: Whether agents trade in pairs; otherwise neither costs of pairs nor partners may be given.
        outside: Whether others buy and sell too, so that agents of one kind alone are enough.
        name: Of the mechanism.
    """
    top = read.mapping(case, "case", {"agents"}, {"trade_costs", "partners", "params"})
    rows = [
        _agent(read, one, f"agents[{i}]") for i, one in enumerate(read.items(top.get("agents", []), "agents"))
    ]
    ids = [row[0] for row in rows]
    for i, one in enumerate(ids):
        if one in ids[:i]:
            read.note(f"agents[{i}].id", f"{one!r} is the id of agents[{ids.index(one)}] already")
    slope, start, least, most = (np.array([row[k] for row in rows], dtype=np.float64) for k in (1, 2, 3, 4))
    agents = Agents(slope / WH_PER_KWH, start, least, most)
    if not rows and isinstance(top.get("agents"), list | tuple):
        read.note("agents", "are none", "give at least one")
    elif not outside and rows:
        _need_both_sides(read, [row[5] for row in rows])
    if not pairs:
        for key in ("trade_costs", "partners"):
            if top.get(key):
                read.note(
                    key,
                    f"is not used by {name}, whose agents trade with the pool",
                    "leave it out, or choose bilateral",
                )
        return AgentCase(ids, agents, None, top.get("params", {}))
    costs = _trade_costs(read, top.get("trade_costs", []), ids)
    partners = _partners(read, top["partners"], ids) if "partners" in top else None
    market = None if read.problems else _market(read, agents, ids, costs, partners)
    return AgentCase(ids, agents, market, top.get("params", {}))


def read_real(read: CaseReader, value: Any, where: str) -> float:
    """Read a finite number as a float; 0 where it is none."""
    found = read.number(value, where)
    return 0.0 if found is None else float(found)


def read_price(read: CaseReader, value: Any, where: str) -> float:
    """Read a price that fits into 64 bits in micro-currency per kWh; 0 where it is none."""
    found = read_real(read, value, where)
    if abs(found) >= LARGEST_PRICE:
        read.note(where, *BEYOND)
        return 0.0
    return found


def _agent(read: CaseReader, value: Any, where: str) -> tuple[str, float, float, int, int, str]:
    """Read one agent: id, a, b, limits in Wh, and its type."""
    given = read.mapping(value, where, _KEYS, set())
    if not isinstance(value, Mapping):
        return where, 0.0, 0.0, 0, 0, ""
    named = read.name(given["id"], f"{where}.id") if "id" in given else where
    kind = read.choice(given["type"], f"{where}.type", TYPES) if "type" in given else ""
    if given.get("type") not in TYPES:
        kind = ""  # it is not held against the limits, nor missed among the kinds
    slope, start = (read_price(read, given.get(key, 0), f"{where}.{key}") for key in ("a", "b"))
    if slope < 0:
        read.note(
            f"{where}.a", f"is {slope:g}", "give at least 0: a cost that falls ever faster has no optimum"
        )
    elif 0 < slope < LEAST_SLOPE:
        read.note(f"{where}.a", f"is {slope:g}", f"give 0 or at least {LEAST_SLOPE:g}")
    least, most = (_limit_wh(read, given.get(key, 0), f"{where}.{key}") for key in ("pmin", "pmax"))
    if least > most:
        read.note(where, f"pmin {least / WH_PER_KWH:g} is above pmax {most / WH_PER_KWH:g}", "exchange them")
    elif kind == "producer" and least < 0:
        read.note(
            f"{where}.pmin",
            f"is {least / WH_PER_KWH:g} of a producer",
            "give at least 0, or the type prosumer",
        )
    elif kind == "consumer" and most > 0:
        read.note(
            f"{where}.pmax", f"is {most / WH_PER_KWH:g} of a consumer", "give at most 0, or the type prosumer"
        )
    if slope * max(abs(least), abs(most)) / WH_PER_KWH + abs(start) >= LARGEST_PRICE:
        read.note(f"{where}.a", "times its limits " + BEYOND[0], BEYOND[1])
    return named, max(slope, 0.0), start, least, max(most, least), kind


def _limit_wh(read: CaseReader, value: Any, where: str) -> int:
    found = read.number(value, where)
    if found is None:
        return 0
    if found.copy_abs() > LARGEST_KWH:
        read.note(where, f"is beyond {LARGEST_KWH:g} kWh", "split the case")
        return 0
    return wh_from_kwh(found)


def _need_both_sides(read: CaseReader, kinds: list[str]) -> None:
    for kind, other in (("producer", "produce"), ("consumer", "consume")):
        if all(one not in (kind, "prosumer", "") for one in kinds):
            read.note("agents", f"none is a {kind} or prosumer", f"give one that can {other}")


def _trade_costs(read: CaseReader, value: Any, ids: list[str]) -> dict[tuple[str, str], float]:
    """Read what an agent adds per kWh for trading with a partner."""
    found: dict[tuple[str, str], float] = {}
    for i, one in enumerate(read.items(value, "trade_costs")):
        where = f"trade_costs[{i}]"
        given = read.mapping(one, where, {"agent", "partner", "cost"}, set())
        if not {"agent", "partner", "cost"} <= set(given):
            continue
        ends = tuple(_known(read, given[key], f"{where}.{key}", ids) for key in ("agent", "partner"))
        cost = read_price(read, given["cost"], f"{where}.cost")
        if ends[0] == ends[1]:
            read.note(where, f"{ends[0]!r} is its own partner", "name two agents")
        elif found.setdefault((ends[0], ends[1]), cost) != cost:
            first = found[ends[0], ends[1]]
            read.note(where, f"gives {ends[0]!r} with {ends[1]!r} {cost:g} after {first:g}", "keep one")
    return found


def _partners(read: CaseReader, value: Any, ids: list[str]) -> set[frozenset[str]]:
    """Read who may trade with whom."""
    found = set()
    for i, one in enumerate(read.items(value, "partners")):
        where = f"partners[{i}]"
        if not isinstance(one, list | tuple) or len(one) != 2:
            read.note(where, f"must be a list of two agents, not {shown(one)}")
            continue
        ends = [_known(read, end, f"{where}[{k}]", ids) for k, end in enumerate(one)]
        if ends[0] == ends[1]:
            read.note(where, f"{ends[0]!r} is its own partner", "name two agents")
        found.add(frozenset(ends))
    return found


def _known(read: CaseReader, value: Any, where: str, ids: list[str]) -> str:
    before = len(read.problems)
    name = read.name(value, where)
    if len(read.problems) == before and name not in ids:
        read.note(where, f"no agent {name!r}", suggest(name, ids))
    return name


def _market(
    read: CaseReader,
    agents: Agents,
    ids: list[str],
    costs: dict[tuple[str, str], float],
    partners: set[frozenset[str]] | None,
) -> Market | None:
    """The pairs that may trade, with what each side adds."""
    row = {name: i for i, name in enumerate(ids)}
    seller, buyer = everybody(agents)
    n = len(agents)
    if partners is not None:
        allowed = np.zeros((n, n), dtype=np.bool_)
        for pair in partners:
            i, j = (row[name] for name in pair)
            allowed[i, j] = allowed[j, i] = True
        kept = allowed[seller, buyer]
        seller, buyer = seller[kept], buyer[kept]
    if len(seller) > MOST_PAIRS:
        read.note(
            "agents", f"make {len(seller):,} pairs; at most {MOST_PAIRS:,} are cleared", "give partners"
        )
        return None
    added = np.zeros((n, n))
    for (one, other), cost in costs.items():
        added[row[one], row[other]] = cost
    market = Market(agents, seller, buyer, added[seller, buyer], added[buyer, seller])
    both_ways = (agents.least[seller] < 0) & (agents.most[buyer] > 0)
    for k in np.flatnonzero(both_ways & (market.pair_cost < 0)).tolist():
        if seller[k] < buyer[k]:
            who = f"{ids[seller[k]]!r} and {ids[buyer[k]]!r}"
            read.note(
                "trade_costs",
                f"{who} gain by every kWh that they send back and forth",
                "two prosumers need costs that sum to at least 0",
            )
    return market
