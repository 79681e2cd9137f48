"""Small linear programs over the supporting prices: their range at each node, and a point where the search failed."""

from __future__ import annotations

import numpy as np

from market.units import FloatArray
from optimizer.errors import Infeasible, Unproven
from optimizer.solver.asked import Asked
from optimizer.solver.builder import Columns, ModelBuilder

SAME_MICRO = 0.01
"""Up to here two prices found within different distances are one. [micro-currency/kWh]"""
WIDE_MICRO = 1e9
"""Prices are looked for within this distance of the price without limits. [micro-currency/kWh]"""


def smallest_distance(
    columns: FloatArray, constraints: FloatArray, least: FloatArray, asked: Asked
) -> FloatArray:
    """The y with constraints y >= least whose largest |columns y| is smallest, and then the sum of them.

    Raises:
        Unproven: No y satisfies the constraints.
    """
    zones, unknowns = columns.shape
    model = ModelBuilder()
    y = model.variables("y", unknowns, -WIDE_MICRO, WIDE_MICRO)
    most = model.variables("most", 1, 0.0)
    each = model.variables("each", zones, 0.0)
    support(model, y, constraints, least)
    for zone in range(zones):
        row = list(zip(y.tolist(), columns[zone].tolist(), strict=True))
        minus = [(column, -value) for column, value in row]
        for name, terms in (("over", row), ("under", minus)):
            model.constraint(f"{name}_{zone}", [*terms, (int(each[zone]), -1.0)], upper=0.0)
        model.constraint(f"most_{zone}", [(int(each[zone]), 1.0), (int(most[0]), -1.0)], upper=0.0)
    compiled = model.compile()
    cost, lower, upper = np.zeros_like(compiled.lower), compiled.lower, compiled.upper.copy()
    cost[most] = 1.0
    session = asked.of(compiled)
    try:
        first = session.answer(cost, lower, upper)
        upper[most] = first[most] * (1 + 1e-9) + 1e-9
        cost[most], cost[each] = 0.0, 1.0
        found: FloatArray = session.answer(cost, lower, upper)[y]
    except Infeasible:
        raise Unproven("the solver's allocation is not optimal: no prices support it") from None
    return found


def ranges(
    columns: FloatArray, constraints: FloatArray, least: FloatArray, asked: Asked
) -> tuple[FloatArray, FloatArray]:
    """The lowest and the highest value of each row of columns y with constraints y >= least; +-inf where there is none.

    Raises:
        Unproven: No y satisfies the constraints.
    """
    model = ModelBuilder()
    y = model.variables("y", columns.shape[1], -WIDE_MICRO, WIDE_MICRO)
    support(model, y, constraints, least)
    compiled = model.compile()
    session = asked.of(compiled)
    lo, hi = np.full(len(columns), -np.inf), np.full(len(columns), np.inf)
    for i, row in enumerate(columns):
        for sign, into in ((1.0, lo), (-1.0, hi)):
            try:
                found = session.answer(sign * row, compiled.lower, compiled.upper)
            except Infeasible:
                raise Unproven("the solver's allocation is not optimal: no prices support it") from None
            value = float(row @ found)
            if np.abs(found).max() >= WIDE_MICRO * (1 - 1e-6):
                # At the end of where prices are looked for: of this row too, or of others only?
                further = float(row @ session.answer(sign * row, 2 * compiled.lower, 2 * compiled.upper))
                if abs(further - value) > SAME_MICRO:
                    continue
            into[i] = value
    return lo, hi


def support(model: ModelBuilder, y: Columns, constraints: FloatArray, least: FloatArray) -> None:
    """Hold constraints y at or above their least values."""
    rows, columns = np.nonzero(constraints)
    model.sums("support", len(least), [(y[columns], rows, constraints[rows, columns])], least)
