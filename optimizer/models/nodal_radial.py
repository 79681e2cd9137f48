"""A market on a radial grid as a linear program: maximum welfare, a balance per node, limits of lines and of voltages.

Linearised DistFlow without losses: Baran, Wu, IEEE Trans. Power Delivery 4 (1989), 725-734. Squared voltages are in
parts per million, so that 1 Wh moves them by about as much as it moves a flow, and one tolerance of a solver fits both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from market.auctions.network import Network
from market.units import PPM, FloatArray, IntArray
from optimizer.solver.builder import Columns, ModelBuilder, Terms
from optimizer.solver.compile import CompiledModel


def build(
    network: Network,
    node: Sequence[int],
    limit: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
) -> Any:
    """Write the model of one interval.

    A quantity is positive where energy is bought and negative where it is sold, as in the auction without a grid.

    Args:
        network: A grid whose lines form a tree.
        node: Of each order.
        limit: Limit price per order. [micro-currency/kWh]
        lower: Minus the energy of an offer, 0 for a bid. [Wh]
        upper: The energy of a bid, 0 for an offer. [Wh]

    Returns:
        A ConcreteModel: variables `quantity` [Wh], `flow` from the start to the end of each line [Wh] and, where the
        grid has voltages, `squared_voltage` of every node but the root [ppm]; objective `welfare` [nano-currency];
        constraints `balance` of each node and `fall` of the voltage along each line.
    """
    from pyomo.environ import Constraint, Var

    model, grid = market_at_nodes("nodal_radial", network, node, limit, lower, upper), network.grid
    if network.has_voltages:
        start, end = grid.lines.start.tolist(), grid.lines.end.tolist()
        behind = [n for n in range(len(grid.nodes)) if n != grid.root]
        bounds = (grid.vmin * PPM, grid.vmax * PPM)
        model.squared_voltage = Var(behind, bounds=bounds)
        r, x = network.r_ppm, reactive_fall_ppm(network)

        def fall(m: Any, line: int) -> Any:
            first, last = (PPM if n == grid.root else m.squared_voltage[n] for n in (start[line], end[line]))
            return last - first + r[line] * m.flow[line] == -x[line]

        model.fall = Constraint(range(len(grid.lines)), rule=fall)

    return model


def market_at_nodes(
    name: str,
    network: Network,
    node: Sequence[int],
    limit: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
) -> Any:
    """The part of a model that any grid has: `quantity`, `flow`, `welfare` and `balance`, as of `build`."""
    from pyomo.environ import ConcreteModel, Constraint, Objective, Var, maximize

    grid = network.grid
    start, end = grid.lines.start.tolist(), grid.lines.end.tolist()
    orders, nodes, lines = range(len(limit)), range(len(grid.nodes)), range(len(start))
    limited = [(None, None) if np.isinf(wh) else (-float(wh), float(wh)) for wh in network.limit_wh]
    model = ConcreteModel(name=name)
    model.quantity = Var(orders, bounds=lambda _, i: (lower[i], upper[i]))
    model.flow = Var(lines, bounds=lambda _, line: limited[line])
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
    return model


def compiled(network: Network, slots: IntArray) -> CompiledModel:
    """The compiled model of a number of order slots at each node, node by node, with limits of 1 and no energy.

    The model is the one of `build`, written without Pyomo.
    """
    grid = network.grid
    lines, count = grid.lines, len(grid.nodes)
    model, flow = slots_at_nodes(network, slots)
    if network.has_voltages:
        behind = np.delete(np.arange(count), grid.root)
        voltage = model.variables("squared_voltage", count - 1, grid.vmin * PPM, grid.vmax * PPM)
        column = np.full(count, -1, dtype=np.int32)
        column[behind] = voltage
        right = np.where(lines.start == grid.root, PPM, 0.0) - np.where(lines.end == grid.root, PPM, 0.0)
        right = right - reactive_fall_ppm(network)
        terms: Terms = [(column[lines.end], 1.0), (column[lines.start], -1.0), (flow, network.r_ppm)]
        model.constraints("fall", terms, right, right)
    return model.compile()


def slots_at_nodes(network: Network, slots: IntArray) -> tuple[ModelBuilder, Columns]:
    """The part of a compiled model that any grid has, and its columns of flows; those of slots are the first."""
    lines, count, model = network.grid.lines, len(slots), ModelBuilder()
    quantity = model.variables("quantity", int(slots.sum()), 0.0, 0.0, cost=-1.0)
    flow = model.variables("flow", len(lines), -network.limit_wh, network.limit_wh)
    parts = [
        (quantity, np.repeat(np.arange(count), slots), 1.0),
        (flow, lines.end, -1.0),
        (flow, lines.start, 1.0),
    ]
    model.sums("balance", count, parts, 0.0, 0.0)
    return model, flow


def reactive_fall_ppm(network: Network) -> FloatArray:
    """Fall of the squared voltage along each line by the reactive load behind it, from start to end. [ppm]"""
    rest = network.at_rest.v_ppm
    assert rest is not None
    fall: FloatArray = rest[network.grid.lines.start] - rest[network.grid.lines.end]
    return fall
