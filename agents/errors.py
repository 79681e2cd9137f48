"""Errors of the agents."""

from __future__ import annotations


class AgentError(Exception):
    """Base of everything that `agents` raises on purpose."""


class BatteryOutOfRange(AgentError, ValueError):
    """A battery whose numbers cannot be simulated."""


class InvalidOrders(AgentError, ValueError):
    """Orders of a strategy that no market could take: a mistake in the strategy's code."""
