"""Errors of the optimizer: one class per broken rule, a sentence for people."""

from __future__ import annotations

from typing import ClassVar


class OptimizerError(Exception):
    """Base of everything that `optimizer` raises on purpose."""

    exit_hint: ClassVar[str] = "infeasible"


class NotLinear(OptimizerError, ValueError):
    """A model that is not a linear program over continuous variables."""


class Infeasible(OptimizerError):
    """No point satisfies all constraints of the model."""


class SolverFailed(OptimizerError, RuntimeError):
    """The solver gave no answer."""


class Unproven(SolverFailed):
    """The solver gave an answer that its certificate does not confirm, not even after a cold start."""


class MissingPackage(OptimizerError, ImportError):
    """An optional package that is not installed."""


class NoPowerFlow(OptimizerError):
    """Loads for which a grid has no state."""
