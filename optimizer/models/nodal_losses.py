"""A market on a radial grid that loses energy as a linear program: maximum welfare, a balance per node, line limits.

A line has two flows of at least 0, one from each end; of each the stated share arrives at the other end. At prices of
at least 0 no optimum needs both: sending back and forth only loses energy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from market.auctions.network import Network
from market.units import IntArray
from optimizer.solver.builder import ModelBuilder
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
        network: A grid whose lines form a tree.
        node: Of each order.
        limit: Limit price per order, at least 0. [micro-currency/kWh]
        lower: Minus the energy of an offer, 0 for a bid. [Wh]
        upper: The energy of a bid, 0 for an offer. [Wh]

    Returns:
        A ConcreteModel: variables `quantity` [Wh], `from_start` and `from_end`, what the ends of each line send into it
        [Wh]; objective `welfare` [nano-currency]; constraints `balance` of each node.
    """
    from pyomo.environ import ConcreteModel, Constraint, Objective, Var, maximize

    grid = network.grid
    start, end, share = grid.lines.start.tolist(), grid.lines.end.tolist(), grid.lines.arriving.tolist()
    orders, nodes, lines = range(len(limit)), range(len(grid.nodes)), range(len(start))
    most = [None if np.isinf(wh) else float(wh) for wh in network.limit_wh]
    model = ConcreteModel(name="nodal_losses")
    model.quantity = Var(orders, bounds=lambda _, i: (lower[i], upper[i]))
    model.from_start = Var(lines, bounds=lambda _, line: (0.0, most[line]))
    model.from_end = Var(lines, bounds=lambda _, line: (0.0, most[line]))
    model.welfare = Objective(expr=sum(limit[i] * model.quantity[i] for i in orders), sense=maximize)

    def balance(m: Any, n: int) -> Any:
        taken = sum(m.quantity[i] for i in orders if node[i] == n)
        at_end = sum(share[k] * m.from_start[k] - m.from_end[k] for k in lines if end[k] == n)
        at_start = sum(share[k] * m.from_end[k] - m.from_start[k] for k in lines if start[k] == n)
        return taken - at_end - at_start == 0

    model.balance = Constraint(nodes, rule=balance)
    return model


def compiled(network: Network, slots: IntArray) -> CompiledModel:
    """The compiled model of a number of order slots at each node, node by node, with limits of 1 and no energy.

    The model is the one of `build`, written without Pyomo; behind the slots are the columns of `from_start` and
    `from_end`.
    """
    lines, count, model = network.grid.lines, len(slots), ModelBuilder()
    quantity = model.variables("quantity", int(slots.sum()), 0.0, 0.0, cost=-1.0)
    from_start = model.variables("from_start", len(lines), 0.0, network.limit_wh)
    from_end = model.variables("from_end", len(lines), 0.0, network.limit_wh)
    model.sums(
        "balance",
        count,
        [
            (quantity, np.repeat(np.arange(count), slots), 1.0),
            (from_start, lines.end, -lines.arriving),
            (from_start, lines.start, 1.0),
            (from_end, lines.start, -lines.arriving),
            (from_end, lines.end, 1.0),
        ],
        0.0,
        0.0,
    )
    return model.compile()
