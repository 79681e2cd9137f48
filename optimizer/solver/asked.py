"""Programs that are solved on the way to a clearing: their answers are kept, or given and proven without a solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.units import FloatArray
from market.witness import Reader, numbers, refuse
from optimizer.errors import Infeasible, SolverFailed
from optimizer.solver.certificate import certify
from optimizer.solver.compile import CompiledModel
from optimizer.solver.session import Session

ANSWERED, NOTHING_FOUND = 0, 1


class Asked:
    """The answers to the programs of one clearing, in the order in which they are asked.

    Args:
        given: Where to read them; None to ask the solver, and keep what it says.
    """

    def __init__(self, given: Reader | None = None) -> None:
        self._given = given
        self._kept: list[bytes] | None = []

    @property
    def written(self) -> bytes | None:
        """All answers so far; None where one of them cannot be proven without a solver."""
        return None if self._kept is None else b"".join(self._kept)

    def keep(self, data: bytes) -> None:
        """Add bytes to what is written."""
        if self._kept is not None:
            self._kept.append(data)

    def cannot_be_written(self) -> None:
        """Say that an answer has no proof."""
        self._kept = None

    def of(self, model: CompiledModel, whole: int = 0) -> Asking | Reading:
        """A program whose costs and bounds may change between answers.

        Args:
            model: Not changed.
            whole: Number of its first columns that take whole numbers only; such an answer has no proof, and whoever
                uses it proves what follows.
        """
        if self._given is None:
            return Asking(self, model, whole)
        return Reading(self._given, model, whole)


class Asking:
    """A program in a session of its own, so that an answer does not depend on what was solved before."""

    def __init__(self, asked: Asked, model: CompiledModel, whole: int) -> None:
        self._asked, self._whole = asked, whole
        self._session = Session(model, whole)

    def answer(self, cost: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
        """Solve with these costs and bounds of all columns.

        Raises:
            Infeasible: No point satisfies the constraints.
            SolverFailed: HiGHS gives no answer.
        """
        if self._whole:
            try:
                x = self._session.answer(cost, lower, upper)
            except (Infeasible, SolverFailed):
                self._asked.keep(bytes([NOTHING_FOUND]))
                raise
            self._asked.keep(bytes([ANSWERED]) + numbers(x))
            return x
        found = self._session.solution(cost, lower, upper)
        self._asked.keep(bytes([ANSWERED]) + numbers(found.x) + numbers(found.row_price))
        if not found.certificate.holds:
            self._asked.cannot_be_written()
        return found.x


class Reading:
    """A program whose answers are read, each proven to be feasible and optimal."""

    def __init__(self, given: Reader, model: CompiledModel, whole: int) -> None:
        self._given, self._model, self._whole = given, model, whole

    def answer(self, cost: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
        """The next answer.

        Raises:
            InfeasibleClearing: It breaks a constraint, or is not optimal.
            Infeasible: The solver found no whole numbers.
        """
        model = self._model
        if self._given.byte(NOTHING_FOUND if self._whole else ANSWERED) == NOTHING_FOUND:
            raise Infeasible("no whole numbers were found")
        x = self._given.numbers(len(cost))
        y = np.zeros(len(model.row_lower)) if self._whole else self._given.numbers(len(model.row_lower))
        certificate = certify(
            cost,
            np.concatenate((lower, model.row_lower)),
            np.concatenate((upper, model.row_upper)),
            np.concatenate((x, model.times(x))),
            np.concatenate((cost - model.transpose_times(y), y)),
        )
        if self._whole:  # whoever uses it proves what follows: only that it is a point is proven here
            certificate = replace(certificate, dual_residual=0.0, gap=0.0)
        if not certificate.holds:
            refuse(f"answers a program with what is not its optimum: {certificate}")
        return x
