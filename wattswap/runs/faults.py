"""Checks one after the other, whose faults are raised together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from wattswap.errors import InvalidScenario, is_expected, problems_of

T = TypeVar("T")
U = TypeVar("U")


class Faults:
    """What checks have found wrong so far."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    def of(self, check: Callable[[], T], otherwise: U) -> T | U:
        """What a check returns, or something else where it refuses, for the checks that come after it."""
        try:
            return check()
        except Exception as error:
            if not is_expected(error):
                raise
            self._errors.append(error)
            return otherwise

    @property
    def error(self) -> Exception | None:
        """All that was found as one error: the error itself where it is the only one; None if there is none."""
        if len(self._errors) < 2:
            return self._errors[0] if self._errors else None
        return InvalidScenario(*dict.fromkeys(one for error in self._errors for one in problems_of(error)))

    def finish(self) -> None:
        """Raise all that was found, if there is any.

        Raises:
            Exception: See `error`.
        """
        if self.error is not None:
            raise self.error
