"""A total below a table against the sum of its rows: a contradiction is a finding, for one of both is wrong.

Only a line that is a total beyond doubt is compared: its first cell is a word for it, at most with a unit, its cells
stand below those of the rows, it is the only one, and every row of the column has energy of an interval in one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from data.intake.raw import UNITS, FloatArray, IntakeLog
from data.recipes.infer_words import is_total
from data.recipes.model import Recipe
from data.recipes.plan import Column, Plan, unit_named
from data.recipes.text import Chunk

MOST_DECIMALS = 6


@dataclass(slots=True)
class _Sum:
    """What the rows of a column add up to.

    Args:
        value: Their sum, in the unit of the column.
        rows: Number of rows.
        decimals: Most decimals of a row.
        known: Whether every row was a number.
    """

    value: float = 0.0
    rows: int = 0
    decimals: int = 0
    known: bool = True

    def add(self, cells: Any) -> None:
        """Add the cells of a chunk, an Arrow column."""
        import pyarrow as pa

        if cells.null_count or not pa.types.is_floating(cells.type):
            self.known = False
            return
        values: FloatArray = cells.to_numpy()
        self.value += float(values.sum())
        self.rows += len(values)
        while self.decimals < MOST_DECIMALS and not _has_decimals(values, self.decimals):
            self.decimals += 1


@dataclass(slots=True)
class Totals:
    """The columns of a file of which a total below the table can be compared.

    Args:
        recipe: The layout.
        plan: What the columns hold.
    """

    recipe: Recipe
    plan: Plan
    _sums: dict[int, _Sum] = field(default_factory=dict)
    _columns: dict[int, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.recipe.file.end is not None and not self.recipe.rows.only:
            self._columns = {c.places[0]: c for c in self.plan.columns if _can_be_summed(c)}
            self._sums = {at: _Sum() for at in self._columns}

    def add(self, chunk: Chunk) -> None:
        """Add the rows of a chunk."""
        for at, sum_ in self._sums.items():
            sum_.add(chunk.columns[at])

    def compare(self, footer: Sequence[tuple[int, Sequence[str]]], log: IntakeLog) -> None:
        """Report totals that the rows contradict by more than rounding.

        Args:
            footer: Lines below the table and their cells.
            log: Where findings go.
        """
        lines = [
            (line, cells, words) for line, cells in footer if cells and (words := _total_of_all(cells[0]))
        ]
        if len(lines) != 1:
            return
        line, cells, (_, *units) = lines[0]
        for at, sum_ in self._sums.items():
            column = self._columns[at]
            total = _number(cells[at], column.unit, self.recipe.file.decimal) if at < len(cells) else None
            other_unit = any(unit_named(unit) != column.unit for unit in units)
            if total is None or other_unit or not sum_.known or not sum_.rows or at == 0:
                continue
            exponent = total.as_tuple().exponent
            own = 0.5 * 10.0 ** int(exponent) if isinstance(exponent, int) else 0.0
            slack = own + 0.5 * sum_.rows * 10.0**-sum_.decimals
            if abs(float(total) - sum_.value) > slack:
                message = (
                    f"the total of {column.label} is {total} {column.unit}, and the rows add up to"
                    f" {sum_.value:.{max(sum_.decimals, 1)}f} {column.unit}: rows are lacking, or some are twice"
                )
                log.add("warning", "footer_total", message, line=line)


def _can_be_summed(column: Column) -> bool:
    energy = column.unit is not None and not UNITS[column.unit][1] and column.kind == "interval"
    return energy and len(column.places) == 1 and column.holds is not None


def _total_of_all(label: str) -> list[str]:
    """The words of a label that is the total of all, and of no cost or year: one for it, and at most a unit."""
    words = label.strip(" :=").replace("(", " ").replace(")", " ").split()
    plain = bool(words) and is_total(words[0]) and not any(char.isdigit() for char in words[0])
    return words if plain and len(words) <= 2 and all(map(unit_named, words[1:])) else []


def _number(cell: str, unit: str | None, decimal: str) -> Decimal | None:
    """A cell as a number; None where it is none or names another unit."""
    number, _, named = cell.strip().partition(" ")
    if named and unit_named(named) != unit:
        return None
    if decimal == ",":
        number = number.replace(",", ".") if "." not in number else ""
    try:
        found = Decimal(number)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _has_decimals(values: FloatArray, decimals: int) -> bool:
    """Whether no value has more decimals than these."""
    scaled = values * 10.0**decimals
    return bool((np.abs(scaled - np.rint(scaled)) <= 1e-6 * np.maximum(1, np.abs(scaled))).all())
