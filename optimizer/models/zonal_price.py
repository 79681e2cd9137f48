"""A market of zones as a linear program: maximum welfare less the fees of energy between zones."""

from __future__ import annotations

from typing import Any

import numpy as np

from market.book import OrderBook
from market.zones import Zones
from optimizer.solver.builder import ModelBuilder
from optimizer.solver.compile import CompiledModel

COST_PER_MICRO = 1e-3
"""Costs are in thousands of micro-currency: around 1e5 the simplex's tolerance is beyond a float's digits."""


def build(book: OrderBook, zones: Zones) -> Any:
    """Write the model of one interval.

    Args:
        book: The orders, `node` an index into the zones.
        zones: The fees.

    Returns:
        A ConcreteModel: variables `accepted` by order and `flow` between zones [Wh]; objective `welfare`
        [micro-currency]; constraints `sold` and `bought` by zone.
    """
    from pyomo.environ import ConcreteModel, Constraint, NonNegativeReals, Objective, Var, maximize

    orders, names = range(len(book)), range(len(zones))
    side, node = book.side.tolist(), book.node.tolist()
    energy, limit, fee = (
        book.energy_wh.tolist(),
        book.limit_micro_per_kwh.tolist(),
        zones.fee_micro_per_kwh.tolist(),
    )
    model = ConcreteModel(name="zonal_price")
    model.accepted = Var(orders, bounds=lambda _, i: (0, energy[i]))
    model.flow = Var(names, names, within=NonNegativeReals)
    worth = sum(side[i] * limit[i] * model.accepted[i] for i in orders)
    fees = sum(fee[a][b] * model.flow[a, b] for a in names for b in names)
    model.welfare = Objective(expr=COST_PER_MICRO * (worth - fees), sense=maximize)

    def total(of_side: int, zone: int) -> Any:
        return sum(model.accepted[i] for i in orders if side[i] == of_side and node[i] == zone)

    model.sold = Constraint(names, rule=lambda m, z: sum(m.flow[z, b] for b in names) - total(-1, z) == 0)
    model.bought = Constraint(names, rule=lambda m, z: sum(m.flow[a, z] for a in names) - total(1, z) == 0)
    return model


def compiled(book: OrderBook, zones: Zones) -> CompiledModel:
    """The arrays of the model of `build`, written without Pyomo."""
    model, count = ModelBuilder(), len(zones)
    worth = (COST_PER_MICRO * book.side * book.limit_micro_per_kwh).astype(np.float64)
    fees = (COST_PER_MICRO * zones.fee_micro_per_kwh.ravel()).astype(np.float64)
    accepted = model.variables("accepted", len(book), 0.0, book.energy_wh.astype(np.float64), -worth)
    flow = model.variables("flow", count * count, cost=fees)
    start, end = np.divmod(np.arange(count * count), count)
    for name, side, zone in (("sold", -1, start), ("bought", 1, end)):
        rows = np.flatnonzero(book.side == side)
        model.sums(name, count, [(flow, zone, 1.0), (accepted[rows], book.node[rows], -1.0)], 0.0, 0.0)
    return model.compile()
