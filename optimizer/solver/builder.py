"""Write a linear program in blocks of columns and rows, without Pyomo, straight to the arrays that a session takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from market.units import FloatArray, IntArray
from optimizer.solver.compile import CompiledModel, IndexArray, by_column

Columns = IndexArray
"""Columns of a model, in the order of their variables."""
Terms = list[tuple[Columns, float | FloatArray]]
"""Columns with one coefficient for all of them or one for each."""
NONE: Final = -1
"""In the columns of a term: this row has none."""


class ModelBuilder:
    """A minimisation that grows: blocks of variables, constraints on them, and costs."""

    def __init__(self) -> None:
        self._blocks: dict[str, Columns] = {}
        self._names_of_rows: set[str] = set()
        # By block: bounds and cost of columns, bounds of rows, and column, row and coefficient of entries.
        self._columns: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self._rows: list[tuple[FloatArray, FloatArray]] = []
        self._entries: list[tuple[IndexArray, IndexArray, FloatArray]] = []
        self._more: list[tuple[Columns, FloatArray]] = []
        self._width = self._height = 0

    def variables(
        self,
        name: str,
        size: int,
        lower: float | FloatArray = 0.0,
        upper: float | FloatArray = np.inf,
        cost: float | FloatArray = 0.0,
    ) -> Columns:
        """Add a block of variables; bounds and cost are one for all or one for each.

        Raises:
            ValueError: The model has variables of this name.
        """
        if name in self._blocks:
            raise _taken(name)
        self._columns.append((_each(lower, size), _each(upper, size), _each(cost, size)))
        columns = np.arange(self._width, self._width + size, dtype=np.int32)
        self._blocks[name], self._width = columns, self._width + size
        return columns

    def named(self, name: str) -> Columns | None:
        """The variables of a name; None where the model has none."""
        return self._blocks.get(name)

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
        listed = list(terms)
        row = np.full(len(listed), self._add_rows(name, 1, lower, upper)[0])
        column = np.array([one for one, _ in listed], dtype=np.int32)
        self._entries.append((column, row, np.array([factor for _, factor in listed], dtype=np.float64)))

    def constraints(
        self,
        name: str,
        terms: Sequence[tuple[Columns, float | FloatArray]],
        lower: float | FloatArray = -np.inf,
        upper: float | FloatArray = np.inf,
    ) -> None:
        """Add a block of constraints: each row is the sum of one column of every term, between its bounds.

        Args:
            name: Of the block.
            terms: Columns with one coefficient for all or one for each; NONE leaves a term out of a row.
            lower: One for all rows or one for each.
            upper: As `lower`.

        Raises:
            ValueError: The model has constraints of this name, or terms have different numbers of columns.
        """
        size = len(terms[0][0])
        if any(len(columns) != size for columns, _ in terms):
            raise ValueError(f"the terms of {name!r} have different numbers of columns")
        rows = self._add_rows(name, size, lower, upper)
        self._entries += [(columns, rows, _each(factor, size)) for columns, factor in terms]

    def sums(
        self,
        name: str,
        size: int,
        parts: Iterable[tuple[Columns, IndexArray | IntArray, float | FloatArray]],
        lower: float | FloatArray = -np.inf,
        upper: float | FloatArray = np.inf,
    ) -> None:
        """Add a block of constraints, each of which sums any number of columns.

        Args:
            name: Of the block.
            size: Number of rows.
            parts: Columns, the row of the block of each, and one coefficient for all or one for each.
            lower: One for all rows or one for each.
            upper: As `lower`.

        Raises:
            ValueError: The model has constraints of this name.
        """
        rows = self._add_rows(name, size, lower, upper)
        self._entries += [(columns, rows[row], _each(factor, len(columns))) for columns, row, factor in parts]

    def _add_rows(
        self, name: str, size: int, lower: float | FloatArray, upper: float | FloatArray
    ) -> IndexArray:
        if name in self._names_of_rows:
            raise _taken(name)
        self._names_of_rows.add(name)
        self._rows.append((_each(lower, size), _each(upper, size)))
        rows = np.arange(self._height, self._height + size, dtype=np.int32)
        self._height += size
        return rows

    def add_cost(self, columns: Columns, cost: float | FloatArray) -> None:
        """Add to the cost of columns, one value for all or one for each."""
        self._more.append((columns, _each(cost, len(columns))))

    def compile(self) -> CompiledModel:
        """The arrays of the model in its present state."""
        lower, upper, cost = _joined(self._columns, 3)
        row_lower, row_upper = _joined(self._rows, 2)
        for columns, more in self._more:
            np.add.at(cost, columns, more)
        column, row, value = _joined(self._entries, 3)
        return CompiledModel(
            cost=cost,
            offset=0.0,
            maximises=False,
            lower=lower,
            upper=upper,
            row_lower=row_lower,
            row_upper=row_upper,
            **by_column(column, row, value, self._width, self._height),
        )


def _each(value: float | FloatArray, size: int) -> FloatArray:
    """A value for each of them.

    Raises:
        ValueError: There are values of another number.
    """
    if not isinstance(value, np.ndarray):
        same = np.empty(size)
        same.fill(value)
        return same
    if value.shape != (size,):
        raise ValueError(f"{len(value)} values for {size} columns or rows")
    return value.astype(np.float64)


def _joined(blocks: Sequence[tuple[Any, ...]], parts: int) -> list[Any]:
    """The parts of all blocks, each one behind the other."""
    if not blocks:
        return [np.zeros(0)] * parts
    return [np.concatenate(part) for part in zip(*blocks, strict=True)]


def _taken(name: str) -> ValueError:
    return ValueError(f"the model has {name!r} already; give each block a name of its own")
