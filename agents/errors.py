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


class InvalidForecast(AgentError, ValueError):
    """A forecast that is none of these homes: a mistake in the forecaster's code."""


class InvalidEnergy(AgentError, ValueError):
    """What a device says that it moved is not energy per home: a mistake in the device's code."""
