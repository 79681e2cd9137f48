"""Compile a linear Pyomo model to arrays, once; afterwards only arrays change.

Pyomo's own LinearStandardFormCompiler needs scipy, splits two-sided rows and negates a maximised objective.
Reading the standard representation of each expression needs none of that, keeps an equation as one row and
states the sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from market.units import FloatArray, IntArray
from optimizer.errors import NotLinear

IndexArray = npt.NDArray[np.int32]

_DENSE_CELLS_PER_ENTRY = 4
_KEPT_ENTRIES = 20_000
"""Layouts of more entries are not kept for the next model: sorting them takes little of what solving takes."""


@dataclass(frozen=True, slots=True, eq=False)
class CompiledModel:
    """min cost x + offset with lower <= x <= upper and row_lower <= A x <= row_upper, A by columns.

    Args:
        cost: Cost per column; already negated where the Pyomo model maximises.
        offset: Constant of the objective; also negated.
        maximises: Whether the Pyomo model maximises; its objective is then minus the one here.
        start: Where each column begins in `index` and `value`, one more than there are columns.
        index: Row of each entry.
        value: Value of each entry.
        dense: The matrix written out where few of its cells are 0, as products are then one BLAS call; else
            None.
    """

    cost: FloatArray
    offset: float
    maximises: bool
    lower: FloatArray
    upper: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    start: IndexArray
    index: IndexArray
    value: FloatArray
    dense: FloatArray | None

    def times(self, x: FloatArray) -> FloatArray:
        """Return A x, one value per row."""
        if self.dense is not None:
            product: FloatArray = self.dense @ x
            return product
        return np.bincount(self.index, self.value * x[self._column()], len(self.row_lower)).astype(np.float64)

    def transpose_times(self, y: FloatArray) -> FloatArray:
        """Return A' y, one value per column."""
        if self.dense is not None:
            product: FloatArray = y @ self.dense
            return product
        return np.bincount(self._column(), self.value * y[self.index], len(self.cost)).astype(np.float64)

    def _column(self) -> IndexArray:
        return np.repeat(np.arange(len(self.cost), dtype=np.int32), np.diff(self.start))


def compile_model(model: Any) -> CompiledModel:
    """Read the variables, the objective and the constraints of a Pyomo ConcreteModel.

    Args:
        model: A ConcreteModel with one active objective, linear in continuous variables. Not changed.

    Raises:
        NotLinear: Names the component that is not linear, not continuous, not single, or holds NaN.
    """
    from pyomo.environ import Constraint, Objective, Var, maximize, value

    variables = list(model.component_data_objects(Var, active=True))
    column_of = {id(v): i for i, v in enumerate(variables)}
    for v in variables:
        if not v.is_continuous():
            raise NotLinear(f"variable {v.name} is not continuous; only linear programs are compiled")
    objectives = list(model.component_data_objects(Objective, active=True))
    if len(objectives) != 1:
        raise NotLinear(f"the model has {len(objectives)} active objectives; it needs exactly one")
    maximises = objectives[0].sense == maximize
    sign = -1.0 if maximises else 1.0
    cost = np.zeros(len(variables))
    constant, coefficients = _linear(objectives[0].expr, objectives[0].name, column_of)
    for column, coefficient in coefficients.items():
        cost[column] = sign * coefficient
    entries: list[tuple[int, int, float]] = []
    row_lower: list[float] = []
    row_upper: list[float] = []
    for row, c in enumerate(model.component_data_objects(Constraint, active=True)):
        shift, coefficients = _linear(c.body, c.name, column_of)
        row_lower.append(-np.inf if c.lower is None else value(c.lower) - shift)
        row_upper.append(np.inf if c.upper is None else value(c.upper) - shift)
        if np.isnan([row_lower[-1], row_upper[-1], *coefficients.values()]).any():
            raise NotLinear(f"{c.name} holds NaN, which is no number; correct it")
        entries += [(column, row, coefficient) for column, coefficient in coefficients.items()]
    bounds = np.array([_bounds(v) for v in variables]).reshape(-1, 2)
    return CompiledModel(
        cost=cost,
        offset=sign * constant,
        maximises=maximises,
        lower=bounds[:, 0].copy(),
        upper=bounds[:, 1].copy(),
        row_lower=np.array(row_lower),
        row_upper=np.array(row_upper),
        **by_column(
            np.array([entry[0] for entry in entries], dtype=np.int32),
            np.array([entry[1] for entry in entries], dtype=np.int32),
            np.array([entry[2] for entry in entries], dtype=np.float64),
            len(variables),
            len(row_lower),
        ),
    )


def _linear(expression: Any, name: str, column_of: dict[int, int]) -> tuple[float, dict[int, float]]:
    from pyomo.repn import generate_standard_repn

    form = generate_standard_repn(expression, compute_values=True)
    if not form.is_linear():
        raise NotLinear(f"{name} is not linear; only linear programs are compiled")
    coefficients: dict[int, float] = {}
    for coefficient, variable in zip(form.linear_coefs, form.linear_vars, strict=True):
        if id(variable) not in column_of:
            raise NotLinear(
                f"{name} uses variable {variable.name}, which is not an active variable of the model"
            )
        coefficients[column_of[id(variable)]] = float(coefficient)
    return float(form.constant), coefficients


def _bounds(variable: Any) -> tuple[float, float]:
    if variable.fixed:
        return float(variable.value), float(variable.value)
    lower, upper = variable.bounds
    return (-np.inf if lower is None else float(lower)), (np.inf if upper is None else float(upper))


def by_column(
    column: IndexArray, row: IndexArray, value: FloatArray, columns: int, rows: int
) -> dict[str, Any]:
    """Sort matrix entries by column, then row, into the arrays of a compressed matrix.

    Entries of a negative column are left out; those of the same cell are summed.
    """
    lay_out = _layout if len(column) <= _KEPT_ENTRIES else _layout.__wrapped__
    layout = lay_out(column.astype(np.int32).tobytes(), row.astype(np.int32).tobytes(), columns, rows)
    value = value[layout.order]
    if len(layout.row) < len(value):
        value = np.add.reduceat(value, layout.first)
    dense = None
    if rows * columns <= _DENSE_CELLS_PER_ENTRY * len(value):
        dense = np.zeros((rows, columns))
        dense[layout.row, np.repeat(np.arange(columns), np.diff(layout.start))] = value
    return {"start": layout.start, "index": layout.row, "value": value, "dense": dense}


class _Layout(NamedTuple):
    """Of a compressed matrix: the order of entries, the first of each cell, the starts of columns, and the rows."""

    order: IntArray
    first: IntArray
    start: IndexArray
    row: IndexArray


@lru_cache(maxsize=256)
def _layout(column_bytes: bytes, row_bytes: bytes, columns: int, rows: int) -> _Layout:
    """Sort the cells; models that are written again and again have the same ones."""
    column = np.frombuffer(column_bytes, dtype=np.int32).astype(np.int64)
    cell = column * rows + np.frombuffer(row_bytes, dtype=np.int32)
    order = np.argsort(cell, kind="stable")[np.count_nonzero(column < 0) :]
    cell = cell[order]
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    column, index = np.divmod(cell[first], max(rows, 1))
    start = np.zeros(columns + 1, dtype=np.int32)
    np.cumsum(np.bincount(column, minlength=columns), out=start[1:])
    layout = _Layout(order, first, start, index.astype(np.int32))
    for array in layout:
        array.flags.writeable = False
    return layout
