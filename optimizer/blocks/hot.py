"""The program of a horizon in HiGHS, re-solved hot with other bounds of shares."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

import numpy as np

from market.units import FloatArray
from optimizer.errors import SolverFailed
from optimizer.solver.compile import CompiledModel, IndexArray
from optimizer.solver.session import Session

LARGE = 30_000
"""Columns from which a solve may take long enough for somebody to want it to stop: below, it takes half a second. To be
asked at each iteration whether to stop takes an eighth of the time of a solve."""


PRIMAL = 4
"""How HiGHS numbers the primal simplex."""


class Answer(NamedTuple):
    """An optimum: values of columns, dual values of rows, and the welfare. [nano-currency]"""

    x: FloatArray
    row_price: FloatArray
    welfare_nano: float


class HotModel(Session):
    """A session whose bounds of some columns change between solves.

    Its answers are not certified here: whoever uses row prices computes the bound that they prove.
    """

    def __init__(self, arrays: CompiledModel, *, grows: bool = False) -> None:
        """Load a model.

        Args:
            arrays: Not changed.
            grows: Whether columns are added between solves: the last basis then stays feasible for the primal simplex,
                which goes on from it, where the dual one would have to start with another phase.

        Raises:
            SolverFailed: HiGHS refuses an option or the model.
        """
        super().__init__(arrays, interruptible=len(arrays.cost) >= LARGE)
        if grows:
            self._require(self._highs.setOptionValue("simplex_strategy", PRIMAL), "the primal simplex")
        self.solves = 0

    def solve(self, columns: IndexArray, lower: FloatArray, upper: FloatArray) -> Answer | None:
        """Solve with these bounds of some columns; None where nothing satisfies all constraints.

        Raises:
            SolverFailed: HiGHS gives no answer, hot and cold.
        """
        if len(columns):
            self._require(
                self._highs.changeColsBounds(len(columns), columns, lower, upper), "the bounds of shares"
            )
        self.solves += 1
        outcome = self._run()
        if outcome not in (self._optimal, self._infeasible):
            self.forget_basis()
            outcome = self._run()
        if outcome == self._infeasible:
            return None
        if outcome != self._optimal:
            raise SolverFailed(f"HiGHS stopped with status {self._highs.modelStatusToString(outcome)!r}")
        solution = self._highs.getSolution()
        x = np.array(solution.col_value)
        return Answer(x, np.array(solution.row_dual), -float(self._model.cost @ x))


class Clock:
    """The time that is left of a limit."""

    def __init__(self, limit_s: float) -> None:
        self.begun_s, self._limit_s = monotonic(), limit_s

    @property
    def is_up(self) -> bool:
        """Whether no time is left."""
        return monotonic() - self.begun_s >= self._limit_s
