"""Clear agents through a community manager: one price inside, import and export for all together outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from market.units import FloatArray, IntArray, kwh, money, wh_from_kwh
from market.units import price as decimal_price
from optimizer.bilateral.market import WH_PER_KWH, Agents
from optimizer.bilateral.pool import pool
from optimizer.solver.rounding import whole_wh
from wattswap.cases.agents import AgentCase, read_agents, read_price
from wattswap.inputs.collector import CaseReader, shown

NAME = "community_manager"
_MICRO = 1_000_000


class Outside(NamedTuple):
    """What the manager may trade outside.

    Args:
        import_cost: [currency/kWh]
        export_revenue: At most `import_cost`. [currency/kWh]
        most_wh: Most import, and most export. [Wh]
    """

    import_cost: float
    export_revenue: float
    most_wh: int


def clear_community(case: Mapping[str, Any]) -> dict[str, Any]:
    """Find what each agent produces and what the manager imports or exports, at least cost of all together.

    Args:
        case: {"agents", "params": {"import_cost", "export_revenue", "external"?}} as read from JSON. `external` is
            true, false, or the most kWh that the manager may import, and export. Not changed.

    Returns:
        {"mechanism", "status", "p", "import_kwh", "export_kwh", "price", "price_interval", "objective", "participants",
        "manager_surplus", "certificate"}.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
        Infeasible: What must be produced cannot be consumed or exported, or the other way round.
    """
    read = CaseReader()
    found, outside = read_community(read, case)
    read.refuse()
    everybody = with_outside(found.agents, outside)
    pooled = pool(everybody)
    p_wh = whole_wh(-pooled.p) * -1
    price = round(0.5 * (pooled.low + pooled.high) * _MICRO)
    return _result(found, outside, everybody, p_wh, price, (pooled.low, pooled.high))


def read_community(read: CaseReader, case: Any) -> tuple[AgentCase, Outside]:
    """Read a case and its params; what is wrong is noted."""
    params = case.get("params", {}) if isinstance(case, Mapping) else {}
    external = params.get("external", True) if isinstance(params, Mapping) else True
    found = read_agents(read, case, pairs=False, outside=external is not False, name=NAME)
    return found, _outside(read, found)


def with_outside(agents: Agents, outside: Outside) -> Agents:
    """The agents, and two more of constant marginal cost: import and export."""
    most = float(outside.most_wh)
    return Agents(
        np.append(agents.slope, (0.0, 0.0)),
        np.append(agents.start, (outside.import_cost, outside.export_revenue)),
        np.append(agents.least, (0.0, -most)),
        np.append(agents.most, (most, 0.0)),
    )


def _outside(read: CaseReader, found: AgentCase) -> Outside:
    agents = found.agents
    given = found.params
    external = given.get("external", True) if isinstance(given, Mapping) else True
    required = set() if external is False else {"import_cost", "export_revenue"}
    optional = {"external", "import_cost", "export_revenue"} - required
    params = read.mapping(given, "params", required, optional)
    cost, revenue = (
        read_price(read, params.get(key, 0), f"params.{key}") for key in ("import_cost", "export_revenue")
    )
    if external is not False and cost < revenue:
        read.note(
            "params.export_revenue",
            f"{revenue:g} is above import_cost {cost:g}",
            "trading with oneself would pay",
        )
    enough = int(np.maximum(np.abs(agents.least), np.abs(agents.most)).sum())
    if isinstance(external, bool):
        return Outside(cost, revenue, enough if external else 0)
    number = read.number(external, "params.external")
    if number is not None and number < 0:
        read.note("params.external", f"is {shown(external)}", "give true, false or a limit of at least 0 kWh")
    return Outside(cost, revenue, 0 if number is None or number < 0 else min(wh_from_kwh(number), enough))


def bound_of(everybody: Agents, price: float) -> float:
    """What no p that sum to 0 can cost less than, from any price; numpy alone. [thousandths of currency]"""
    at: FloatArray = np.full(len(everybody), price)
    p = everybody.response(at)
    return float((everybody.cost(p) - price * p).sum())


def _result(
    found: AgentCase,
    outside: Outside,
    everybody: Agents,
    p_wh: IntArray,
    price_micro: int,
    interval: tuple[float, float],
) -> dict[str, Any]:
    p = p_wh.astype(np.float64)
    costs = everybody.cost(p)
    objective, price = float(costs.sum()), 0.5 * sum(interval)
    least = bound_of(everybody, price)
    size = max(float(np.abs(costs).sum()), abs(least))
    own = p_wh[:-2].tolist()
    imported, exported = int(p_wh[-2]), -int(p_wh[-1])
    paid_nano = [-net * price_micro for net in own]
    outside_nano = imported * round(outside.import_cost * _MICRO) - exported * round(
        outside.export_revenue * _MICRO
    )
    return {
        "mechanism": NAME,
        "status": "cleared" if p_wh.any() else "no_trade",
        "p": {name: kwh(net) for name, net in zip(found.ids, own, strict=True)},
        "import_kwh": kwh(imported),
        "export_kwh": kwh(exported),
        "price": decimal_price(price_micro),
        "price_interval": list(interval),
        "objective": objective / WH_PER_KWH,
        "participants": [
            {"participant": name, "payment": money(paid)}
            for name, paid in zip(found.ids, paid_nano, strict=True)
        ],
        "manager_surplus": money(sum(paid_nano) - outside_nano),
        "certificate": {
            "price": price,
            "bound": least / WH_PER_KWH,
            "gap": max(0.0, objective - least) / size if size else 0.0,
        },
    }
