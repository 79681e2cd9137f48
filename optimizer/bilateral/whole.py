"""From real trades to whole Wh: each trade to a neighbouring Wh, the limits of every agent kept exactly.

Limits are whole and every trade adds to one agent what it takes from another, so the matrix is that of a network and a
vertex of the program is whole.
"""

from __future__ import annotations

import numpy as np

from market.units import FloatArray, IntArray
from optimizer.bilateral.market import Market
from optimizer.errors import Infeasible, SolverFailed
from optimizer.solver.builder import ModelBuilder
from optimizer.solver.rounding import NOISE_WH
from optimizer.solver.session import Session

_FURTHER = 2.0
"""Cost of a Wh beyond the two neighbouring ones; within these it lies between -1 and 1."""


def whole_trades(
    market: Market, pair: IntArray, quantity: FloatArray, at_limit_wh: float = 0.5
) -> tuple[IntArray, IntArray]:
    """Round trades so that every agent is within its limits; where these pairs do not suffice, others are used.

    An agent at a limit stays there, because there a Wh is worth more than what rounding costs otherwise; the others go
    to a neighbouring Wh. Where that is impossible for all together, the limits alone count.

    Args:
        market: m pairs.
        pair: Pairs that trade.
        quantity: Of each; nearly within the limits. [Wh]
        at_limit_wh: How near to a limit an agent is at the limit. [Wh]

    Returns:
        Pairs and whole quantities above 0. [Wh]

    Raises:
        Infeasible: No trades satisfy all limits.
        SolverFailed: The solver gave no whole numbers.
    """
    agents = market.agents
    p = market.net(quantity, pair)
    p = np.where(agents.most - p <= at_limit_wh, agents.most, p)
    p = np.where(p - agents.least <= at_limit_wh, agents.least, p)
    noise = np.rint(p)
    p = np.clip(np.where(np.abs(p - noise) < NOISE_WH, noise, p), agents.least, agents.most)
    every = np.zeros(len(market.seller))
    every[pair] = quantity
    for low, high, pairs in (
        (np.floor(p), np.ceil(p), pair),
        (agents.least, agents.most, pair),
        (agents.least, agents.most, np.arange(len(every))),
    ):
        try:
            return _rounded(market, pairs, every[pairs], low, high)
        except Infeasible:
            continue
    raise Infeasible("no trades satisfy the limits of all agents")


def _rounded(
    market: Market, pair: IntArray, quantity: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[IntArray, IntArray]:
    nearest = np.rint(quantity)
    settled = np.where(np.abs(quantity - nearest) < NOISE_WH, nearest, quantity)
    base = np.floor(settled)
    m = len(pair)
    net = market.net(base, pair)
    model = ModelBuilder()
    above = model.variables("above", m, upper=1.0, cost=1.0 - 2.0 * (settled - base))
    further = model.variables("further", m, cost=_FURTHER)
    below = model.variables("below", m, upper=base, cost=_FURTHER)
    ends = ((market.seller[pair], 1.0), (market.buyer[pair], -1.0))
    parts = [
        (columns, agent, sign * more)
        for columns, sign in ((above, 1.0), (further, 1.0), (below, -1.0))
        for agent, more in ends
    ]
    model.sums("limits", len(market.agents), parts, low - net, high - net)
    program = model.compile()
    found = base
    if m:
        x = Session(program).resolve(program.cost, program.lower, program.upper).x
        found = base + np.rint(x[above] + x[further] - x[below])
    p = market.net(found, pair)
    if (p < low).any() or (p > high).any() or (found < 0).any():
        if m:
            raise SolverFailed("the solver's rounding of trades to whole Wh is not whole")
        raise Infeasible("agents that must trade have no pairs")
    traded = found > 0
    return pair[traded], found[traded].astype(np.int64)
