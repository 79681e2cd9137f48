"""One case cleared as a pool, through a community manager and in pairs: what it costs, what it trades, what is sent.

Usage: python -m benchmarks.three_designs [FILE]

FILE is a case of `bilateral` with `import_cost` and `export_revenue` in its params; docs/explanation/three-designs.md
has one. Without a file the case is random, 40 agents.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wattswap.cases.contract import clear_case

Case = dict[str, Any]
NUMBERS = 4
"""What describes a cost and its limits: a, b, pmin, pmax."""

OUTSIDE_KWH = 1_000_000


def random_case(n: int = 40, seed: int = 1) -> Case:
    """Agents of a neighbourhood, a cost for each pair that grows with the distance, and prices outside."""
    draw = np.random.default_rng(seed)
    agents = []
    for i in range(n):
        most = round(float(draw.uniform(1, 5)), 3)
        sells = i % 2 == 0
        agents.append(
            {
                "id": f"{'pv' if sells else 'home'}-{i:02}",
                "type": "producer" if sells else "consumer",
                "a": round(float(draw.uniform(0.01, 0.1)), 4),
                "b": round(float(draw.uniform(0.05, 0.2) if sells else draw.uniform(0.2, 0.5)), 4),
                "pmin": 0 if sells else -most,
                "pmax": most if sells else 0,
            }
        )
    costs = [
        {"agent": one["id"], "partner": two["id"], "cost": round(0.002 * abs(i - j), 4)}
        for i, one in enumerate(agents)
        for j, two in enumerate(agents)
        if one["type"] != two["type"]
    ]
    return {"agents": agents, "trade_costs": costs, "params": {"import_cost": 0.2, "export_revenue": 0.08}}


def designs_of(case: Mapping[str, Any]) -> dict[str, tuple[str, Case]]:
    """The mechanism and the case of each design; in pairs, importing and exporting are two agents more."""
    agents, params = list(case["agents"]), case["params"]
    outside = [
        {
            "id": "import",
            "type": "producer",
            "a": 0,
            "b": params["import_cost"],
            "pmin": 0,
            "pmax": OUTSIDE_KWH,
        },
        {
            "id": "export",
            "type": "consumer",
            "a": 0,
            "b": params["export_revenue"],
            "pmin": -OUTSIDE_KWH,
            "pmax": 0,
        },
    ]
    partners = case.get("partners")
    known = {} if partners is None else {"partners": [*partners, *_with_everybody(agents)]}
    costs = {"trade_costs": case.get("trade_costs", []), **known}
    return {
        "pool": ("community_manager", {"agents": agents, "params": {"external": False}}),
        "community manager": ("community_manager", {"agents": agents, "params": dict(params)}),
        "pairs, central": ("bilateral", {"agents": agents + outside, **costs}),
        "pairs, negotiated": (
            "bilateral",
            {"agents": agents + outside, **costs, "params": {"method": "admm"}},
        ),
    }


def _with_everybody(agents: list[Any]) -> list[list[str]]:
    return [[end, one["id"]] for end in ("import", "export") for one in agents]


def figures(name: str, result: Mapping[str, Any], case: Case) -> dict[str, float]:
    """What a design came to: objective, energy, prices, and numbers that each agent sends."""
    p = {agent: net for agent, net in result["p"].items() if agent not in ("import", "export")}
    trades = result.get("trades", [])
    imported = result.get("import_kwh", result["p"].get("import", 0.0))
    exported = result.get("export_kwh", abs(result["p"].get("export", 0.0)))
    prices = [trade["price_per_kwh"] for trade in trades] or [result.get("price") or 0.0]
    partners = 2 * len(_pairs(case)) / len(case["agents"])
    sent = {"pairs, central": NUMBERS + partners, "pairs, negotiated": partners * result.get("iterations", 0)}
    return {
        "objective": result["objective"],
        "inside_kwh": sum(max(net, 0.0) for net in p.values()) - exported,
        "import_kwh": imported,
        "export_kwh": exported,
        "low": min(prices),
        "high": max(prices),
        "sent": sent.get(name, NUMBERS),
    }


def _pairs(case: Case) -> set[frozenset[str]]:
    """Pairs of agents one of whom may sell and the other buy."""
    sells = {one["id"] for one in case["agents"] if one["pmax"] > 0}
    buys = {one["id"] for one in case["agents"] if one["pmin"] < 0}
    every = {frozenset((one, two)) for one in sells for two in buys if one != two}
    given = case.get("partners")
    return every if given is None else every & {frozenset(pair) for pair in given}


def main(argv: list[str]) -> None:
    """Clear the case by every design and print a row for each."""
    case = json.loads(Path(argv[0]).read_text(encoding="utf-8")) if argv else random_case()
    print(
        f"{'design':<18} {'objective':>10} {'inside':>8} {'import':>8} {'export':>8}  {'prices':<15}"
        f" {'numbers sent':>12} {'CPU ms':>7}"
    )
    for name, (mechanism, one) in designs_of(case).items():
        clear_case(one, mechanism)  # imports and first use do not count
        begun = time.process_time()
        found = figures(name, clear_case(one, mechanism), one)
        cpu_ms = 1_000 * (time.process_time() - begun)
        print(
            f"{name:<18} {found['objective']:10.4f} {found['inside_kwh']:8.3f} {found['import_kwh']:8.3f}"
            f" {found['export_kwh']:8.3f}  {found['low']:.4f}..{found['high']:.4f}"
            f" {found['sent']:12,.0f} {cpu_ms:7.1f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
