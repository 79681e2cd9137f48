"""Errors of the agents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from market.errors import one_line, text_of


class AgentError(Exception):
    """Base of everything that `agents` raises on purpose."""

    exit_hint: ClassVar[str] = "invalid"


class BatteryOutOfRange(AgentError, ValueError):
    """A battery whose numbers cannot be simulated."""


Fault = tuple[str, str, str]
"""Key of a scenario table, what is wrong with it, and what to do."""


class ImpossibleDevice(AgentError, ValueError):
    """Parameters that make no device.

    Args:
        faults: Of each, the key of the scenario's table, what is wrong, and what to do.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{key}: {wrong}; {cure}" for key, wrong, cure in faults))
        self.faults = tuple(faults)


class InvalidOrders(AgentError, ValueError):
    """Orders of a strategy that no market could take: a mistake in the strategy's code."""


class InvalidLevels(AgentError, ValueError):
    """Levels of quantiles that are none: a mistake in the strategy's code."""


class NoLimits(AgentError, ValueError):
    """Strategies that cannot trade what the meters show."""

    def __init__(self, names: list[str], others: list[str]) -> None:
        super().__init__(names, others)
        self.names, self.others = names, others

    def __str__(self) -> str:
        several = len(self.names) > 1
        return (
            f"bidding strateg{'ies' if several else 'y'} {', '.join(map(repr, self.names))}"
            f" state{'' if several else 's'} no limits for metered quantities;"
            f' choose {" or ".join(map(repr, self.others))}, or market.quantities = "ordered"'
        )


class InvalidForecast(AgentError, ValueError):
    """A forecast of the wrong type or shape: a mistake in the forecaster's code."""


class InvalidEnergy(AgentError, ValueError):
    """What a device or a controller returns is not energy per home: a mistake in its code."""


class InvalidPolicy(AgentError, ValueError):
    """A policy that does not fit what homes see and may decide, or a file that holds none."""


class InvalidSnapshot(AgentError, ValueError):
    """A snapshot that is not of these homes: damaged, edited, or of others."""


@contextmanager
def reading_snapshot() -> Iterator[None]:
    """Raise the errors of reading a damaged or edited snapshot as one sentence.

    Raises:
        InvalidSnapshot: The snapshot lacks something, or holds it in another form.
    """
    try:
        yield
    except InvalidSnapshot:
        raise
    except KeyError as error:
        raise InvalidSnapshot(f"it has no {error}") from None
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InvalidSnapshot(text_of(error) or one_line(error)) from None
