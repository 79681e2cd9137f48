"""How far a search has come, for whoever waits: set a listener around a clearing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a search.

    Args:
        elapsed_s: Since its start.
        welfare_nano: Of the best clearing so far. [nano-currency]
        bound_nano: No clearing has more. [nano-currency]
        nodes: Parts of the search done.
    """

    elapsed_s: float
    welfare_nano: float
    bound_nano: float
    nodes: int

    @property
    def gap(self) -> float:
        """How much more welfare there may be, as a share of the bound; 0 where the bound is 0."""
        return (self.bound_nano - self.welfare_nano) / abs(self.bound_nano) if self.bound_nano else 0.0


Listener = Callable[[Progress], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Report searches inside to a listener, every two seconds from the second on."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def listener() -> Listener | None:
    """The listener of this context, if any."""
    return _LISTENER.get()
