"""The optimum on given active pairs: each connected group of agents is a pool with one price, shifted by costs.

On an active pair the buyer's price is the seller's plus what both add. So the prices of a connected group differ by
constants, one price decides what all of its members produce, and on a tree that decides the trades too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.units import FloatArray, IntArray
from optimizer.bilateral.market import Agents, Market
from optimizer.bilateral.pool import pool
from optimizer.errors import Infeasible

_ACTIVE_WH = 1e-6
"""A trade above it is active, and a p within it of a limit is at the limit. [Wh]"""

_ROUNDS = 20
"""How often pairs whose trade would be negative are dropped."""


class Forest(NamedTuple):
    """The groups that active pairs connect.

    Args:
        group: Group of each agent, shape (n,).
        shift: What each agent's price exceeds that of its group by, shape (n,). [currency/kWh]
        order: Agents, parents before children.
        parent: The agent through which each was reached, or -1 for the first of a group, shape (n,).
        edge: Position among the active pairs of the one that leads there; -1 also.
        groups: How many groups there are.
    """

    group: IntArray
    shift: FloatArray
    order: list[int]
    parent: list[int]
    edge: list[int]
    groups: int


class Settled(NamedTuple):
    """Trades with what they make of the agents.

    Args:
        p: What each agent produces, shape (n,). [Wh]
        pair: Pairs that trade.
        quantity: Of each. [Wh]
        price: Price of each agent, shape (n,). [currency/kWh]
    """

    p: FloatArray
    pair: IntArray
    quantity: FloatArray
    price: FloatArray


def forest(market: Market, pair: IntArray) -> Forest:
    """Connect agents by active pairs; where pairs form a cycle, one of them is left out of the tree."""
    n = len(market.agents)
    neighbours: list[list[tuple[int, int, float]]] = [[] for _ in range(n)]
    ends = zip(
        market.seller[pair].tolist(),
        market.buyer[pair].tolist(),
        market.pair_cost[pair].tolist(),
        strict=True,
    )
    for position, (i, j, pair_cost) in enumerate(ends):
        neighbours[i].append((j, position, pair_cost))
        neighbours[j].append((i, position, -pair_cost))
    group, shift, order = np.full(n, -1), np.zeros(n), []
    parent, edge = [-1] * n, [-1] * n
    groups = 0
    for root in range(n):
        if group[root] >= 0:
            continue
        group[root] = groups
        queue = [root]
        for i in queue:
            for j, position, pair_cost in neighbours[i]:
                if group[j] < 0:
                    group[j], shift[j] = groups, shift[i] + pair_cost
                    parent[j], edge[j] = i, position
                    queue.append(j)
        order += queue
        groups += 1
    return Forest(group, shift, order, parent, edge, groups)


def finish(market: Market, pair: IntArray, quantity: FloatArray) -> Settled | None:
    """The optimum if exactly these pairs trade, in closed form; pairs whose trade would be negative are dropped.

    Args:
        market: m pairs.
        pair: Pairs that may be active.
        quantity: A guess of each trade; kept for a pair that closes a cycle. [Wh]

    Returns:
        Trades that are optimal on their own pairs, or None where there are none: agents that must trade are cut off.
    """
    active = quantity > _ACTIVE_WH
    pair, quantity = pair[active], quantity[active]
    for _ in range(_ROUNDS):
        woods = forest(market, pair)
        try:
            p, price = _pools(market.agents, woods)
        except Infeasible:
            return None
        traded = _on_trees(market, woods, pair, quantity, p)
        keep = traded > -_ACTIVE_WH
        if keep.all():
            traded = np.maximum(traded, 0.0)
            return Settled(market.net(traded, pair), pair, traded, price)
        pair, quantity = pair[keep], np.maximum(traded[keep], 0.0)
    return None


def _pools(agents: Agents, woods: Forest) -> tuple[FloatArray, FloatArray]:
    """What every agent produces, and its price, group by group."""
    p, price = np.zeros(len(agents)), agents.start.copy()
    if ((agents.least > 0) | (agents.most < 0))[(np.bincount(woods.group) == 1)[woods.group]].any():
        raise Infeasible("an agent that must trade has no active pair")
    by_group = np.argsort(woods.group, kind="stable")
    for rows in np.split(by_group, np.flatnonzero(np.diff(woods.group[by_group])) + 1):
        if len(rows) == 1:
            continue
        some = agents.rows(rows)
        shifted = Agents(some.slope, some.start - woods.shift[rows], some.least, some.most)
        found = pool(shifted)
        p[rows] = found.p
        price[rows] = 0.5 * (found.low + found.high) + woods.shift[rows]
    return p, price


def _on_trees(
    market: Market, woods: Forest, pair: IntArray, quantity: FloatArray, p: FloatArray
) -> FloatArray:
    """The trades that give every agent its p: from the leaves of each tree upwards."""
    traded = quantity.copy()
    tree = [position for position in woods.edge if position >= 0]
    traded[tree] = 0.0
    left = (p - market.net(traded, pair)).tolist()
    seller = market.seller[pair].tolist()
    for i in reversed(woods.order):
        position, above = woods.edge[i], woods.parent[i]
        if position >= 0:
            traded[position] = left[i] if seller[position] == i else -left[i]
            left[above] += left[i]
    return traded


def canonical_prices(market: Market, settled: Settled, k: float = 0.5) -> FloatArray:
    """Prices that support trades, chosen by rule where several do: lowest + k (highest - lowest) of each agent.

    Supporting prices are bounded by marginal costs (one-sided at a limit) and by pairs: the buyer's is at most the
    seller's plus what both add, and exactly that on an active pair. Such inequalities have a lowest and a highest
    solution, and any mixture of the two satisfies them too. Where no agent bounds a price, the outermost price or
    marginal cost that occurs does.

    Args:
        market: m pairs.
        settled: Optimal trades.
        k: 0 favours buyers, 1 sellers.

    Returns:
        Price of each agent, shape (n,). [currency/kWh]
    """
    agents = market.agents
    woods = forest(market, settled.pair[settled.quantity > _ACTIVE_WH])
    marginal = agents.marginal(settled.p)
    at_most = settled.p >= agents.most - _ACTIVE_WH
    at_least = settled.p <= agents.least + _ACTIVE_WH
    low = np.full(woods.groups, -np.inf)
    high = np.full(woods.groups, np.inf)
    np.maximum.at(low, woods.group, np.where(at_least, -np.inf, marginal) - woods.shift)
    np.minimum.at(high, woods.group, np.where(at_most, np.inf, marginal) - woods.shift)
    step = market.pair_cost + woods.shift[market.seller] - woods.shift[market.buyer]
    tail, head = woods.group[market.seller], woods.group[market.buyer]
    apart = tail != head
    tail, head, step = tail[apart], head[apart], step[apart]
    low = -_lowered(-low, head, tail, step)
    high = _lowered(high, tail, head, step)
    limits = np.concatenate((agents.marginal(agents.least), agents.marginal(agents.most)))
    both = np.concatenate((low, high, limits))
    both = both[np.isfinite(both)]
    high = _lowered(np.minimum(high, both.max()), tail, head, step)
    low = -_lowered(-np.maximum(low, both.min()), head, tail, step)
    price: FloatArray = (low + k * (high - low))[woods.group] + woods.shift
    return price


def _lowered(price: FloatArray, tail: IntArray, head: IntArray, step: FloatArray) -> FloatArray:
    """The highest prices below these with price[head] <= price[tail] + step."""
    found = price.copy()
    for _ in range(len(found)):
        before = found.copy()
        np.minimum.at(found, head, found[tail] + step)
        if (found >= before).all():
            break
    return found
