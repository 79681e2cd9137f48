"""Runs of trio that a seed repeats: the order of ready tasks, ties of deadlines, and a clock that jumps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from heapq import heappush
from itertools import count
from random import Random
from typing import Any, TypeVar

import trio
import trio.testing
from trio._core import _run as runs

T = TypeVar("T")

_SWITCHES = ("_ALLOW_DETERMINISTIC_SCHEDULING", "_r", "Deadlines")


class NotRepeatable(RuntimeError):
    """This version of trio has no switch for a repeatable order of tasks."""


def run_repeatably(main: Callable[[], Awaitable[T]], seed: str) -> T:
    """Run a trio program in virtual time; the same seed gives the same order of its tasks again.

    Threads, sockets and the machine's clock are outside of this: the program must not use them.

    Raises:
        NotRepeatable: trio has changed.
    """
    with _repeatable(seed):
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@contextmanager
def _repeatable(seed: str) -> Iterator[None]:
    missing = [name for name in _SWITCHES if not hasattr(runs, name)]
    if missing:
        raise NotRepeatable(f"this trio has no {', '.join(missing)}; use trio 0.35")
    of_trio: Any = runs
    numbers = count()

    def add(deadlines: Any, deadline: float, cancel_scope: trio.CancelScope) -> None:
        # trio breaks ties by the address of the scope.
        heappush(deadlines._heap, (deadline, next(numbers), cancel_scope))
        deadlines._active += 1

    before = of_trio._ALLOW_DETERMINISTIC_SCHEDULING, of_trio._r, of_trio.Deadlines.add
    of_trio._ALLOW_DETERMINISTIC_SCHEDULING, of_trio._r, of_trio.Deadlines.add = True, Random(seed), add
    try:
        yield
    finally:
        of_trio._ALLOW_DETERMINISTIC_SCHEDULING, of_trio._r, of_trio.Deadlines.add = before
