"""Random agents with quadratic costs, and a second formulation of their optimum: an interior point on one program."""

from __future__ import annotations

from typing import Any

import numpy as np

from market.units import FloatArray
from optimizer.bilateral.market import Agents, Market, everybody
from wattswap.cases.agents import read_agents
from wattswap.inputs.collector import CaseReader

Case = dict[str, Any]


def agents(*rows: tuple[float, float, float, float]) -> Agents:
    """Agents from (a, b, pmin, pmax) in currency and kWh."""
    a, b, least, most = np.array(rows, dtype=np.float64).T
    return Agents(a / 1_000, b.copy(), least * 1_000, most * 1_000)


def market(some: Agents, costs: dict[tuple[int, int], tuple[float, float]] | None = None) -> Market:
    """Everybody with everybody; costs by (seller, buyer) are (of the seller, of the buyer)."""
    seller, buyer = everybody(some)
    added = [
        (costs or {}).get(ends, (0.0, 0.0)) for ends in zip(seller.tolist(), buyer.tolist(), strict=True)
    ]
    ours, theirs = np.array(added, dtype=np.float64).reshape(-1, 2).T
    return Market(some, seller, buyer, ours.copy(), theirs.copy())


def random_case(
    n: int, seed: int, *, prosumers: float = 0.0, must: float = 0.0, coarse: bool = False, degree: int = 0
) -> Case:
    """A case of n agents, half producers and half consumers before prosumers are drawn.

    Args:
        n: At least 2.
        seed: Of the draws.
        prosumers: Share of agents that may do both.
        must: Share of the others that must trade 0.1 kWh.
        coarse: Few prices, some constant marginal costs: many ties.
        degree: Partners of each agent, about; 0 for everybody.
    """
    draw = np.random.default_rng(seed)
    found = []
    for i in range(n):
        kind = "prosumer" if draw.random() < prosumers else ("producer", "consumer")[i % 2]
        a, b = draw.uniform(0.01, 0.1), draw.uniform(0.05, 0.2) if i % 2 == 0 else draw.uniform(0.2, 0.5)
        most = round(draw.uniform(1, 5), 3)
        if coarse:
            a, b, most = round(a / 0.05) * 0.05, round(b / 0.05) * 0.05, float(np.ceil(most))
        least = 0.1 if draw.random() < must and degree == 0 and not coarse else 0.0
        limits = {"producer": (least, most), "consumer": (-most, -least), "prosumer": (-most, most)}[kind]
        found.append({"id": f"a{i}", "type": kind, "a": a, "b": b, "pmin": limits[0], "pmax": limits[1]})
    costs = []
    for one in found:
        for other in found:
            if one is not other and draw.random() < 0.8:
                cost = draw.uniform(0, 0.05)
                costs.append(
                    {
                        "agent": one["id"],
                        "partner": other["id"],
                        "cost": round(cost / 0.05) * 0.05 if coarse else cost,
                    }
                )
    case: Case = {"agents": found, "trade_costs": costs}
    if degree:
        case["partners"] = [
            [f"a{i}", f"a{j}"] for i in range(n) for j in range(i) if draw.random() < 2 * degree / n
        ]
    return case


def market_of(case: Case) -> Market:
    """The market of a case."""
    read = CaseReader()
    found = read_agents(read, case, pairs=True, outside=False, name="bilateral").market
    read.refuse()
    assert found is not None
    return found


def interior_point(some: Market) -> float:
    """The least cost, by a primal-dual interior point on the trades alone; in currency. [kWh]

    min 1/2 x'Qx + c'x with Gx <= h: p is eliminated, so costs become one dense matrix and limits rows.
    """
    n, m = len(some.agents), len(some.seller)
    net = np.zeros((n, m))
    net[some.seller, np.arange(m)] = 1.0
    net[some.buyer, np.arange(m)] -= 1.0
    slope, least, most = some.agents.slope * 1_000, some.agents.least / 1_000, some.agents.most / 1_000
    q = net.T @ (slope[:, None] * net)
    c = net.T @ some.agents.start + some.pair_cost
    # Circles among prosumers that cost nothing would let trades grow for ever: none needs more than all can sell.
    g = np.vstack((-np.eye(m), np.eye(m), net, -net))
    h = np.concatenate((np.zeros(m), np.full(m, np.maximum(most, 0).sum() + 1.0), most, -least))
    x, z = np.full(m, 0.1), np.ones(len(h))
    s = np.maximum(h - g @ x, 1.0)
    dual, primal = q @ x + c + g.T @ z, g @ x + s - h
    gap, before = float(s @ z) / len(s), np.inf
    while gap * len(s) > 5e-7 and gap < 0.9 * before:
        x, s, z = _step(q, g, x, s, z, dual, primal, gap)
        dual, primal = q @ x + c + g.T @ z, g @ x + s - h
        gap, before = float(s @ z) / len(s), gap if gap < 1e-6 else np.inf
    assert gap * len(s) < 5e-7
    assert max(np.abs(dual).max(), np.abs(primal).max()) < 1e-6
    return float(0.5 * x @ q @ x + c @ x)


def _step(
    q: FloatArray,
    g: FloatArray,
    x: FloatArray,
    s: FloatArray,
    z: FloatArray,
    dual: FloatArray,
    primal: FloatArray,
    gap: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One step of Mehrotra's method: a prediction, then a correction towards the centre."""
    system = q + g.T @ ((z / s)[:, None] * g) + 1e-9 * np.eye(len(x))

    def direction(centre: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        dx = np.linalg.solve(system, -dual - g.T @ ((z * primal - centre) / s))
        ds = -primal - g @ dx
        return dx, ds, -(centre + z * ds) / s

    dx, ds, dz = direction(s * z)
    ahead = min(_room(s, ds), _room(z, dz))
    reached = float((s + ahead * ds) @ (z + ahead * dz)) / len(s)
    dx, ds, dz = direction(s * z + ds * dz - (reached / gap) ** 3 * gap)
    ahead = 0.99 * min(_room(s, ds), _room(z, dz))
    return x + ahead * dx, s + ahead * ds, z + ahead * dz


def _room(value: FloatArray, change: FloatArray) -> float:
    falling = change < 0
    return float(min(1.0, (-value[falling] / change[falling]).min(initial=1.0)))
