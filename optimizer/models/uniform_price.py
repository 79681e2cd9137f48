"""The uniform-price call auction as a linear program: maximum welfare, energy bought = energy sold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optimizer.solver.builder import ModelBuilder
from optimizer.solver.compile import CompiledModel


def build(limit: Sequence[float], lower: Sequence[float], upper: Sequence[float]) -> Any:
    """Write the model of one interval.

    A quantity is positive where energy is bought and negative where it is sold, so an order slot is a bid
    or an offer by its bounds alone, [0, energy] or [-energy, 0], and never by the structure of the model.

    Args:
        limit: Limit price per order. [micro-currency/kWh]
        lower: Minus the energy of an offer, 0 for a bid. [Wh]
        upper: The energy of a bid, 0 for an offer. [Wh]

    Returns:
        A ConcreteModel: variables `quantity` [Wh], objective `welfare` [nano-currency], constraint `balance`.
    """
    from pyomo.environ import ConcreteModel, Constraint, Objective, Var, maximize

    model = ConcreteModel(name="uniform_price")
    orders = range(len(limit))
    model.quantity = Var(orders, bounds=lambda _, order: (lower[order], upper[order]))
    model.welfare = Objective(expr=sum(limit[i] * model.quantity[i] for i in orders), sense=maximize)
    model.balance = Constraint(expr=sum(model.quantity[i] for i in orders) == 0)
    return model


def compiled(orders: int) -> CompiledModel:
    """The compiled model of a number of orders, with limits of 1 and no energy; Pyomo is not imported for it.

    A process that clears needs neither its 200 modules nor their memory. The model is the one of `build`.
    """
    model = ModelBuilder()
    quantity = model.variables("quantity", orders, 0.0, 0.0, cost=-1.0)
    model.constraint("balance", [(column, 1.0) for column in quantity], 0.0, 0.0)
    return model.compile()
