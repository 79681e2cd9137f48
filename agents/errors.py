"""Errors of the agents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from market.errors import did_you_mean


class AgentError(Exception):
    """Base of everything that `agents` raises on purpose."""

    exit_hint: ClassVar[str] = "invalid"


class UnknownChoice(AgentError, KeyError):
    """A forecaster or strategy name that is not registered."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = sorted(known)
        super().__init__(name)
        self.sentence = f"no {what} {name!r}.{did_you_mean(name, self.known)} Known: {', '.join(self.known)}."

    def __str__(self) -> str:
        return self.sentence


class BatteryOutOfRange(AgentError, ValueError):
    """A battery whose numbers cannot be simulated."""
