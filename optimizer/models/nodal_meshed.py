"""A market on a meshed grid as a linear program: maximum welfare under the DC equations of flows and limits of lines.

Flow = (angle at the start - angle at the end) / x, without losses: the DC approximation of power flow. Angles are in
units of the largest reactance, so that their coefficients are around 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from market.auctions.network import Network
from market.units import IntArray
from optimizer.models.nodal_radial import market_at_nodes, slots_at_nodes
from optimizer.solver.builder import Terms
from optimizer.solver.compile import CompiledModel


def build(
    network: Network,
    node: Sequence[int],
    limit: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
) -> Any:
    """Write the model of one interval.

    Args:
        network: A grid, whose lines may form loops.
        node: Of each order.
        limit: Limit price per order. [micro-currency/kWh]
        lower: Minus the energy of an offer, 0 for a bid. [Wh]
        upper: The energy of a bid, 0 for an offer. [Wh]

    Returns:
        A ConcreteModel: variables `quantity` [Wh], `flow` from the start to the end of each line [Wh] and `angle` of
        every node but the root [Wh per unit of the largest reactance]; objective `welfare` [nano-currency]; constraints
        `balance` of each node and `ohm` of each line that is not open.
    """
    from pyomo.environ import Constraint, Var

    model, grid = market_at_nodes("nodal_meshed", network, node, limit, lower, upper), network.grid
    start, end = grid.lines.start.tolist(), grid.lines.end.tolist()
    share = (grid.lines.x / grid.lines.x.max()).tolist()
    model.angle = Var([n for n in range(len(grid.nodes)) if n != grid.root])

    def ohm(m: Any, line: int) -> Any:
        first, last = (0.0 if n == grid.root else m.angle[n] for n in (start[line], end[line]))
        return share[line] * m.flow[line] - first + last == 0

    model.ohm = Constraint(np.flatnonzero(network.closed).tolist(), rule=ohm)
    return model


def compiled(network: Network, slots: IntArray) -> CompiledModel:
    """The compiled model of a number of order slots at each node, node by node, with limits of 1 and no energy.

    The model is the one of `build`, written without Pyomo.
    """
    grid = network.grid
    lines, count = grid.lines, len(grid.nodes)
    model, flow = slots_at_nodes(network, slots)
    angle = model.variables("angle", count - 1, -np.inf, np.inf)
    column = np.full(count, -1, dtype=np.int32)
    column[np.delete(np.arange(count), grid.root)] = angle
    on = network.closed
    terms: Terms = [
        (flow[on], (lines.x / lines.x.max())[on]),
        (column[lines.start[on]], -1.0),
        (column[lines.end[on]], 1.0),
    ]
    model.constraints("ohm", terms, 0.0, 0.0)
    return model.compile()
