"""The one door to HiGHS: options set once, status and certificate checked on every solve, cold retry on failure."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from optimizer.certificate import KktCertificate, certify
from optimizer.compile import CompiledModel, FloatArray, IndexArray
from optimizer.errors import Infeasible, SolverFailed

OPTIONS: dict[str, bool | int | str] = {
    "output_flag": False,
    "presolve": "off",  # quadratic on one dense row, and useless to a re-solve that keeps its basis
    "solver": "simplex",  # the only one that starts from the last basis
    "threads": 1,  # HiGHS allows one value per process; a second one makes run() fail
}


class Solution(NamedTuple):
    """An optimal answer.

    Args:
        x: Value per column.
        row_price: Dual value per row of the minimisation; one of possibly many, so never a market price.
        certificate: Its proof, which holds.
    """

    x: FloatArray
    row_price: FloatArray
    certificate: KktCertificate


class Session:
    """One model in one persistent HiGHS object, re-solved hot with other costs and bounds.

    Not for use by several threads at once: HiGHS releases the GIL while it runs.
    """

    def __init__(self, model: CompiledModel) -> None:
        """Load a compiled model.

        Raises:
            SolverFailed: HiGHS refuses an option or the model.
        """
        import highspy

        self._model = model
        self._status = highspy.HighsStatus
        self._model_status = highspy.HighsModelStatus
        self._highs: Any = highspy.Highs()
        for name, value in OPTIONS.items():
            self._require(self._highs.setOptionValue(name, value), f"option {name}={value}")
        columns = len(model.cost)
        self._columns: IndexArray = np.arange(columns, dtype=np.int32)
        self._lower = np.concatenate(
            (model.lower, model.row_lower)
        )  # columns, then rows: as certify takes them
        self._upper = np.concatenate((model.upper, model.row_upper))
        self._value, self._slope = np.zeros_like(self._lower), np.zeros_like(self._lower)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = columns, len(model.row_lower)
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = model.cost, model.lower, model.upper
        lp.row_lower_, lp.row_upper_ = model.row_lower, model.row_upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = model.start, model.index, model.value
        self._require(self._highs.passModel(lp), "the model")

    def resolve(self, cost: FloatArray, lower: FloatArray, upper: FloatArray) -> Solution:
        """Solve with these costs and column bounds, starting from the basis of the last solve.

        Args:
            cost: Cost per column of the minimisation.
            lower: Lower bound per column.
            upper: Upper bound per column.

        Raises:
            Infeasible: No point satisfies the constraints.
            SolverFailed: HiGHS reports an error, or its answer fails the certificate hot and cold.
        """
        columns = self._columns
        self._require(self._highs.changeColsCost(len(columns), columns, cost), "the costs")
        self._require(self._highs.changeColsBounds(len(columns), columns, lower, upper), "the bounds")
        self._lower[: len(columns)] = lower
        self._upper[: len(columns)] = upper
        solution = self._run(cost)
        if not solution.certificate.holds:  # known faults of hot starts: HiGHS issues 3294 and 3194
            self._highs.clearSolver()
            solution = self._run(cost)
            if not solution.certificate.holds:
                raise SolverFailed(f"HiGHS calls an answer optimal that is not: {solution.certificate}")
        return solution

    def start_from(self, at_upper: int) -> None:
        """Replace the basis of a one-row model whose columns are sorted by cost, highest first.

        Args:
            at_upper: The column at which the row is expected to balance: those after it start at their upper bound.
        """
        import highspy

        basis, status = highspy.HighsBasis(), highspy.HighsBasisStatus
        count = len(self._columns)
        basis.col_status = (
            [status.kLower] * at_upper + [status.kBasic] + [status.kUpper] * (count - at_upper - 1)
        )
        basis.row_status = [status.kLower]
        basis.valid = True
        self._require(self._highs.setBasis(basis), "the starting basis")

    def _run(self, cost: FloatArray) -> Solution:
        highs = self._highs
        # Both are read before any number: after an error HiGHS still hands out an old or empty solution.
        if highs.run() == self._status.kError:
            raise SolverFailed(
                "HiGHS could not run; the usual cause is another solve in this process with a `threads` option other"
                f" than {OPTIONS['threads']}: set it to that everywhere, or clear in a process of its own"
            )
        outcome = highs.getModelStatus()
        if outcome != self._model_status.kOptimal:
            if outcome == self._model_status.kInfeasible:
                raise Infeasible("no point satisfies all constraints of the model")
            raise SolverFailed(f"HiGHS stopped with status {highs.modelStatusToString(outcome)!r}")
        found = highs.getSolution()
        columns, value, slope = len(cost), self._value, self._slope
        x = np.fromiter(found.col_value, np.float64, columns)
        price = np.array(found.row_dual)
        value[:columns], value[columns:] = x, self._model.times(x)
        slope[:columns], slope[columns:] = cost - self._model.transpose_times(price), price
        return Solution(x, price, certify(cost, self._lower, self._upper, value, slope))

    def _require(self, status: Any, what: str) -> None:
        if status != self._status.kOk:
            raise SolverFailed(f"HiGHS refuses {what}; a NaN or an infinite value is the usual cause")
