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
from optimizer.models.nodal_radial import balance as hold_balance
from optimizer.solver.builder import ModelBuilder, Terms
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
    from pyomo.environ import ConcreteModel, Constraint, Objective, Var, maximize

    grid = network.grid
    start, end = grid.lines.start.tolist(), grid.lines.end.tolist()
    orders, nodes, lines = range(len(limit)), range(len(grid.nodes)), range(len(start))
    limited = [(None, None) if np.isinf(wh) else (-float(wh), float(wh)) for wh in network.limit_wh]
    share = (grid.lines.x / grid.lines.x.max()).tolist()
    model = ConcreteModel(name="nodal_meshed")
    model.quantity = Var(orders, bounds=lambda _, i: (lower[i], upper[i]))
    model.flow = Var(lines, bounds=lambda _, line: limited[line])
    model.angle = Var([n for n in nodes if n != grid.root])
    model.welfare = Objective(expr=sum(limit[i] * model.quantity[i] for i in orders), sense=maximize)
    at: list[list[int]] = [[] for _ in nodes]
    for i in orders:
        at[node[i]].append(i)

    def balance(m: Any, n: int) -> Any:
        taken = sum(m.quantity[i] for i in at[n])
        arrives = sum(m.flow[line] for line in lines if end[line] == n)
        leaves = sum(m.flow[line] for line in lines if start[line] == n)
        return taken - arrives + leaves == 0

    model.balance = Constraint(nodes, rule=balance)

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
    model = ModelBuilder()
    quantity = model.variables("quantity", int(slots.sum()), 0.0, 0.0, cost=-1.0)
    flow = model.variables("flow", len(lines), -network.limit_wh, network.limit_wh)
    angle = model.variables("angle", count - 1, -np.inf, np.inf)
    hold_balance(model, network, slots, quantity, flow)
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
