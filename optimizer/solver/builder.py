"""Write a linear program column by column, without Pyomo, straight to the arrays that a session takes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from market.units import FloatArray
from optimizer.solver.compile import CompiledModel, IndexArray, by_column

Columns = IndexArray
"""Columns of a model, in the order of their variables."""


class ModelBuilder:
    """A minimisation that grows: blocks of variables, constraints on them, and costs."""

    def __init__(self) -> None:
        self._columns: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._bounds: list[tuple[float, float]] = []
        self._row_bounds: list[tuple[float, float]] = []
        self._cost: list[float] = []
        self._entries: list[tuple[int, int, float]] = []

    def variables(
        self,
        name: str,
        size: int,
        lower: float | FloatArray = 0.0,
        upper: float | FloatArray = np.inf,
        cost: float = 0.0,
    ) -> Columns:
        """Add `size` variables NAME[0], NAME[1], .. with the same cost; each bound is one for all or one for each.

        Raises:
            ValueError: The model has variables of this name.
        """
        first = len(self._cost)
        for i in range(size):
            _add(self._columns, f"{name}[{i}]")
        low = lower.tolist() if isinstance(lower, np.ndarray) else [lower] * size
        high = upper.tolist() if isinstance(upper, np.ndarray) else [upper] * size
        self._bounds += zip(low, high, strict=True)
        self._cost += [cost] * size
        return np.arange(first, first + size, dtype=np.int32)

    def constraint(
        self,
        name: str,
        terms: Iterable[tuple[int | np.int32, float]],
        lower: float = -np.inf,
        upper: float = np.inf,
    ) -> None:
        """Hold a sum of (column, coefficient) terms between two bounds; a column that comes twice is summed.

        Raises:
            ValueError: The model has a constraint of this name.
        """
        row = _add(self._rows, name)
        listed = list(terms)
        summed = dict(listed)
        if len(summed) < len(listed):
            summed = dict.fromkeys(summed, 0.0)
            for column, coefficient in listed:
                summed[column] += coefficient
        self._entries += [(int(column), row, coefficient) for column, coefficient in summed.items()]
        self._row_bounds.append((lower, upper))

    def add_cost(self, columns: Columns, cost: float | FloatArray) -> None:
        """Add to the cost of columns, one value for all or one for each."""
        for column, more in zip(columns.tolist(), np.broadcast_to(cost, len(columns)).tolist(), strict=True):
            self._cost[column] += more

    def compile(self) -> CompiledModel:
        """The arrays of the model in its present state."""
        lower, upper = np.array(self._bounds, dtype=np.float64).reshape(-1, 2).T.copy()
        row_lower, row_upper = np.array(self._row_bounds, dtype=np.float64).reshape(-1, 2).T.copy()
        return CompiledModel(
            cost=np.array(self._cost, dtype=np.float64),
            offset=0.0,
            maximises=False,
            lower=lower,
            upper=upper,
            row_lower=row_lower,
            row_upper=row_upper,
            columns=dict(self._columns),
            rows=dict(self._rows),
            **by_column(self._entries, len(self._columns), len(self._rows)),
        )


def _add(names: dict[str, int], name: str) -> int:
    if name in names:
        raise ValueError(f"the model has {name!r} already; give each block a name of its own")
    names[name] = len(names)
    return names[name]
