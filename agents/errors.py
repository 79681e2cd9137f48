"""Errors of the agents."""

from __future__ import annotations

from typing import ClassVar


class AgentError(Exception):
    """Base of everything that `agents` raises on purpose."""

    exit_hint: ClassVar[str] = "invalid"


class BatteryOutOfRange(AgentError, ValueError):
    """A battery whose numbers cannot be simulated."""


class InvalidOrders(AgentError, ValueError):
    """Orders of a strategy that no market could take: a mistake in the strategy's code."""
