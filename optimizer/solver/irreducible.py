"""An irreducible set of conditions that no point satisfies: without any one of them, some point does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.units import FloatArray
from optimizer.errors import Infeasible, SolverFailed
from optimizer.solver.compile import CompiledModel
from optimizer.solver.session import Session


def irreducible(model: CompiledModel, rows: list[int], columns: list[int]) -> tuple[list[int], list[int]]:
    """Leave out of a set that has no solution what can be left out; the rest has one without any single member.

    Args:
        model: Not changed.
        rows: Rows of it, such as the solver names; it may name more than it needs.
        columns: Columns of it, for their bounds.

    Raises:
        SolverFailed: The set has a solution.
    """
    bounded = np.isfinite(model.lower) | np.isfinite(model.upper)
    columns = [column for column in columns if bounded[column]]
    if _has_solution(model, rows, columns):
        raise SolverFailed("the solver names conditions that contradict each other, and they do not")
    for column in list(columns):
        fewer = [c for c in columns if c != column]
        columns = columns if _has_solution(model, rows, fewer) else fewer
    for row in list(rows):
        fewer = [r for r in rows if r != row]
        rows = rows if _has_solution(model, fewer, columns) else fewer
    return rows, columns


def _has_solution(model: CompiledModel, rows: list[int], columns: list[int]) -> bool:
    def only(bound: FloatArray, kept: list[int], free: float) -> FloatArray:
        found = np.full_like(bound, free)
        found[kept] = bound[kept]
        return found

    relaxed = replace(
        model,
        cost=np.zeros_like(model.cost),
        lower=only(model.lower, columns, -np.inf),
        upper=only(model.upper, columns, np.inf),
        row_lower=only(model.row_lower, rows, -np.inf),
        row_upper=only(model.row_upper, rows, np.inf),
    )
    try:
        Session(relaxed).answer(relaxed.cost, relaxed.lower, relaxed.upper)
    except Infeasible:
        return False
    return True
