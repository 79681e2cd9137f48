"""How far a search has come, for whoever waits: set a listener around a clearing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import isfinite

TELL_EVERY_S = 2.0
"""Time between two reports, and before the first. [s]"""


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


class Teller:
    """Reports a search that minimises a cost to the listener of this context, every two seconds.

    Args:
        begun_s: When the search began, by the monotonic clock; now where None.
    """

    def __init__(self, begun_s: float | None = None) -> None:
        self._begun_s = self._told_s = time.monotonic() if begun_s is None else begun_s

    def __call__(self, cost_nano: float, bound_nano: float, nodes: int) -> None:
        """Report the least cost so far, what no answer undercuts, and the parts done, if it is time to."""
        tell, now_s = listener(), time.monotonic()
        if tell is None or now_s < self._told_s + TELL_EVERY_S or not isfinite(cost_nano - bound_nano):
            return
        self._told_s = now_s
        tell(Progress(now_s - self._begun_s, -cost_nano, -bound_nano, nodes))
