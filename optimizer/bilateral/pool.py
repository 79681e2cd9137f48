"""One price for agents with quadratic costs, exactly: bisection over the prices at which an agent meets a limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from market.units import FloatArray
from optimizer.bilateral.market import WH_PER_KWH, Agents
from optimizer.errors import Infeasible

_TINY = 1e-12
"""A sum that floating point cannot distinguish from 0, relative to the sum of all limits."""


class Pooled(NamedTuple):
    """The optimum of a pool.

    Args:
        p: What each agent produces, shape (n,), summing to 0 up to floating point. [Wh]
        low: Lowest price at which that is everybody's choice. [currency/kWh]
        high: Highest. Equal to `low` where some agent is between its limits. [currency/kWh]
    """

    p: FloatArray
    low: float
    high: float


def pool(agents: Agents) -> Pooled:
    """The p that sum to 0 at least cost.

    What all produce at a price only rises with it. Between two prices at which an agent meets a limit it is a straight
    line, so the price is exact; at the price of an agent with constant marginal cost it jumps, and such
    agents share what is left in proportion to their room.

    Raises:
        Infeasible: What must be produced cannot be consumed, or the other way round.
    """
    if agents.least.sum() > 0 or agents.most.sum() < 0:
        raise Infeasible(_imbalance(agents))
    tiny = _TINY * float(np.abs(agents.least).sum() + np.abs(agents.most).sum())
    kinks = np.unique(np.concatenate((agents.marginal(agents.least), agents.marginal(agents.most))))
    first = _first(lambda k: _highest(agents, kinks[k]).sum() >= -tiny, len(kinks))
    price = float(kinks[first])
    p = _lowest(agents, price)
    if p.sum() > tiny:
        return _between(agents, float(kinks[first - 1]), price)
    room = _highest(agents, price) - p
    if p.sum() < -tiny:
        p += room * min(1.0, -p.sum() / room.sum())
    # Where all are at their limits, the price may rise to the kink at which the first one moves.
    beyond = _first(lambda k: _lowest(agents, kinks[k]).sum() > tiny, len(kinks))
    return Pooled(p, price, float(kinks[beyond - 1]))


def _between(agents: Agents, below: float, above: float) -> Pooled:
    """The optimum strictly between two neighbouring kinks, where agents between their limits move."""
    # By the kinks themselves: a p that comes from a price may be off its limit by a rounding.
    moving = (agents.slope > 0) & (agents.marginal(agents.least) <= below)
    moving &= agents.marginal(agents.most) >= above
    p = _highest(agents, below)
    held = p[~moving].sum()
    a, b = agents.slope[moving], agents.start[moving]
    if not moving.any():  # all jump between the two, and rounding hid which kink it is
        return Pooled(p, below, above)
    price = float(np.clip(((b / a).sum() - held) / (1.0 / a).sum(), below, above))
    p[moving] = np.clip((price - b) / a, agents.least[moving], agents.most[moving])
    return Pooled(p, price, price)


def _highest(agents: Agents, price: float) -> FloatArray:
    return agents.response(np.full(len(agents), price))


def _lowest(agents: Agents, price: float) -> FloatArray:
    p = _highest(agents, price)
    return np.where((agents.slope == 0) & (agents.start == price), agents.least, p)


def _first(holds: Callable[[int], bool], count: int) -> int:
    """The first k in 0 .. count - 1 from which a monotone condition holds; `count` where it never does."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _imbalance(agents: Agents) -> str:
    if agents.least.sum() > 0:
        return f"{agents.least.sum() / WH_PER_KWH:g} kWh that must be produced have no consumer"
    return f"{-agents.most.sum() / WH_PER_KWH:g} kWh that must be consumed have no producer"
