"""The only interface to HiGHS: options set once, every status checked, every answer certified."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from market.certificate import KktResiduals
from market.units import FloatArray
from optimizer.errors import Infeasible, SolverFailed, Unproven
from optimizer.solver import interruptible
from optimizer.solver.certificate import certify
from optimizer.solver.compile import CompiledModel, IndexArray
from optimizer.solver.quiet import quiet_stdout

OPTIONS: dict[str, bool | int | float | str] = {
    "output_flag": False,
    "presolve": "off",  # quadratic on one dense row, and it would throw the basis of the last solve away
    "solver": "simplex",  # the only one that starts from the last basis
    "threads": 1,  # HiGHS allows one value per process; a second one makes run() fail
    "rebuild_refactor_solution_error_tolerance": -1.0,  # no residual check inside: every answer is proven outside
}

WHOLE: dict[str, int | float | str] = {
    "solver": "choose",
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 1e-4,
    "mip_max_nodes": 500,
}
"""Other options for whole numbers: up to the optimum, or the best within a limit of work, which is no limit of time."""
FEASIBLE = 2
"""How HiGHS marks a solution that satisfies all constraints."""


def solver_is_installed() -> bool:
    """Whether HiGHS can be imported; clearings are checked without it, and not computed."""
    try:
        import highspy  # noqa: F401
    except ImportError:
        return False
    return True


class Solution(NamedTuple):
    """An optimal answer.

    Args:
        x: Value per column.
        row_price: Dual value per row of the minimisation; one of possibly many, so never a market price.
        certificate: Its proof, which holds.
    """

    x: FloatArray
    row_price: FloatArray
    certificate: KktResiduals


class Session:
    """One model in one persistent HiGHS object, re-solved hot with other costs and bounds.

    Not for use by several threads at once: HiGHS releases the GIL while it runs.
    """

    def __init__(self, model: CompiledModel, whole: int = 0, *, interruptible: bool = False) -> None:
        """Load a compiled model.

        Args:
            model: Not changed.
            whole: Number of its first columns that take whole numbers only. The answer then is the best found with a
                limited amount of work; it has no certificate here.
            interruptible: Whether Ctrl-C ends a solve at once and not after it, for linear programs that take seconds.

        Raises:
            SolverFailed: HiGHS refuses an option or the model.
        """
        import highspy

        self._model, self._whole, self._interruptible = model, whole, interruptible
        self._ok, self._error = highspy.HighsStatus.kOk, highspy.HighsStatus.kError
        self._optimal = highspy.HighsModelStatus.kOptimal
        self._infeasible = highspy.HighsModelStatus.kInfeasible
        with quiet_stdout():  # some versions print their name before they can be told not to
            self._highs: Any = highspy.Highs()
            for name, value in OPTIONS.items():
                self._require(self._highs.setOptionValue(name, value), f"option {name}={value}")
        self._columns: IndexArray = np.arange(len(model.cost), dtype=np.int32)
        kinds = np.full(len(model.cost), int(highspy.HighsVarType.kContinuous), dtype=np.int32)
        if whole:
            kinds[:whole] = int(highspy.HighsVarType.kInteger)
            for name, value in WHOLE.items():
                self._require(self._highs.setOptionValue(name, value), f"option {name}={value}")
        # As arrays and not as a HighsLp, which takes longer to fill from Python than a small program takes to solve.
        passed = self._highs.passModel(
            len(model.cost),
            len(model.row_lower),
            len(model.value),
            int(highspy.MatrixFormat.kColwise),
            int(highspy.ObjSense.kMinimize),
            0.0,
            model.cost,
            model.lower,
            model.upper,
            model.row_lower,
            model.row_upper,
            model.start,
            model.index,
            model.value,
            kinds,
        )
        self._require(passed, "the model")

    def resolve(self, cost: FloatArray, lower: FloatArray, upper: FloatArray) -> Solution:
        """Solve with these costs and column bounds, certified, starting from the basis of the last solve.

        Args:
            cost: Cost per column of the minimisation.
            lower: Lower bound per column.
            upper: Upper bound per column.

        Raises:
            Infeasible: No point satisfies the constraints.
            SolverFailed: HiGHS reports an error, or neither an optimum nor that there is none, hot and cold.
            Unproven: Its answer fails the certificate hot and cold.
        """
        return self.resolve_rows(cost, lower, upper, self._model.row_lower, self._model.row_upper)

    def solution(self, cost: FloatArray, lower: FloatArray, upper: FloatArray) -> Solution:
        """Solve as `answer` does, with a certificate that may not hold, to a caller with a proof of its own."""
        return self._certified(cost, lower, upper, self._model.row_lower, self._model.row_upper)

    def resolve_rows(
        self,
        cost: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        row_lower: FloatArray,
        row_upper: FloatArray,
    ) -> Solution:
        """Solve as `resolve` does, with these bounds of the rows too; later solves that name none keep them."""
        solution = self._certified(cost, lower, upper, row_lower, row_upper)
        if not solution.certificate.holds:
            self.forget_basis()
            solution = self._certified(cost, lower, upper, row_lower, row_upper)
            if not solution.certificate.holds:
                raise Unproven(f"HiGHS calls an answer optimal that is not: {solution.certificate}")
        return solution

    def answer(
        self,
        cost: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        row_lower: FloatArray | None = None,
        row_upper: FloatArray | None = None,
    ) -> FloatArray:
        """Solve as `resolve` does and return x without a certificate, to a caller with a proof in integers.

        Bounds of the rows stay as they are where none are given. Costs and bounds of fewer columns than the model has
        are those of its first ones: the others stay as they are, and only the values of the first ones are returned.

        Such a caller calls `forget_basis` and asks again where its own proof fails.
        """
        highs, columns = self._highs, self._columns[: len(cost)]
        if highs.changeColsCost(len(columns), columns, cost) != self._ok:
            raise SolverFailed("HiGHS refuses the costs")
        if highs.changeColsBounds(len(columns), columns, lower, upper) != self._ok:
            raise SolverFailed("HiGHS refuses the bounds; a NaN is the usual cause")
        if row_lower is not None and row_upper is not None:
            rows = np.arange(len(row_lower), dtype=np.int32)
            if highs.changeRowsBounds(len(rows), rows, row_lower, row_upper) != self._ok:
                raise SolverFailed("HiGHS refuses the bounds of the rows; a NaN is the usual cause")
        outcome = self._run()
        if self._whole and highs.getInfo().primal_solution_status == FEASIBLE:
            outcome = self._optimal
        if outcome not in (self._optimal, self._infeasible):
            # A hot start can lose its way (HiGHS issues 3294 and 3194): the same question is asked once more, cold.
            self.forget_basis()
            outcome = self._run()
        if outcome == self._infeasible:
            raise Infeasible("no point satisfies all constraints of the model")
        if outcome != self._optimal:
            status = highs.modelStatusToString(outcome)
            cure = "; give bounds to the variables of the objective" * ("nbounded" in status)
            raise SolverFailed(f"HiGHS stopped with status {status!r}{cure}")
        return np.fromiter(highs.getSolution().col_value, np.float64, len(columns))

    def add_columns(
        self, cost: FloatArray, lower: FloatArray, upper: FloatArray, added: dict[str, Any]
    ) -> None:
        """Add columns behind those that are there; the basis stays.

        Args:
            cost: Cost of each new column.
            lower: Lower bound of each.
            upper: Upper bound of each.
            added: `start`, `index` and `value` of their entries, as in `CompiledModel`.

        Raises:
            SolverFailed: HiGHS refuses the columns.
        """
        count, start, index, value = len(cost), added["start"], added["index"], added["value"]
        done = self._highs.addCols(count, cost, lower, upper, len(value), start[:-1], index, value)
        self._require(done, "new columns")
        model = self._model
        self._model = replace(
            model,
            cost=np.concatenate((model.cost, cost)),
            lower=np.concatenate((model.lower, lower)),
            upper=np.concatenate((model.upper, upper)),
            start=np.concatenate((model.start, model.start[-1] + start[1:])).astype(np.int32),
            index=np.concatenate((model.index, index)).astype(np.int32),
            value=np.concatenate((model.value, value)),
            dense=None,
        )
        self._columns = np.arange(len(self._model.cost), dtype=np.int32)

    def _run(self) -> Any:
        """Solve, and say how it ended."""
        # Both are read before any number: after an error HiGHS still returns an old or empty solution.
        if (interruptible.run(self._highs) if self._interruptible else self._highs.run()) == self._error:
            raise SolverFailed(
                "HiGHS could not run; the usual cause is another solve in this process with a `threads`"
                f" option other than {OPTIONS['threads']}: set it to that everywhere, or use another process"
            )
        return self._highs.getModelStatus()

    def forget_basis(self) -> None:
        """Make the next solve start cold: hot starts have known faults (HiGHS issues 3294 and 3194)."""
        self._highs.clearSolver()

    def irreducible(self) -> tuple[list[int], list[int]]:
        """Rows and columns of the program last solved whose bounds no point satisfies, and without one of them some do.

        Returns:
            Both empty where the solver finds none.
        """
        # The default strategy returns empty lists, and says that all went well.
        self._require(self._highs.setOptionValue("iis_strategy", 2), "option iis_strategy=2")
        status, found = self._highs.getIis()
        self._require(status, "to look for an irreducible set")
        return [int(row) for row in found.row_index_], [int(column) for column in found.col_index_]

    def start_from(self, basic: int) -> None:
        """Start the next solve of a one-row model from the basis of a merit order.

        Args:
            basic: The column that is expected to balance the row; the columns before it start at their lower
                bounds, those after it at their upper bounds.
        """
        import highspy

        basis, status = highspy.HighsBasis(), highspy.HighsBasisStatus
        after = len(self._columns) - basic - 1
        basis.col_status = [status.kLower] * basic + [status.kBasic] + [status.kUpper] * after
        basis.row_status = [status.kLower]
        basis.valid = True
        self._require(self._highs.setBasis(basis), "the starting basis")

    def _certified(
        self,
        cost: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        row_lower: FloatArray,
        row_upper: FloatArray,
    ) -> Solution:
        model = self._model
        own = row_lower is model.row_lower and row_upper is model.row_upper
        x = self.answer(cost, lower, upper) if own else self.answer(cost, lower, upper, row_lower, row_upper)
        row_price = np.array(self._highs.getSolution().row_dual)
        certificate = certify(
            cost,
            np.concatenate((lower, row_lower)),
            np.concatenate((upper, row_upper)),
            np.concatenate((x, model.times(x))),
            np.concatenate((cost - model.transpose_times(row_price), row_price)),
        )
        return Solution(x, row_price, certificate)

    def _require(self, status: Any, what: str) -> None:
        if status != self._ok:
            raise SolverFailed(f"HiGHS refuses {what}")
