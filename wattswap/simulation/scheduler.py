"""Runs of trio that a seed repeats: the order of ready tasks, ties of deadlines, and a clock that jumps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import Any, TypeVar

import trio
from trio._core import _run as runs

T = TypeVar("T")

_SWITCHES = ("_ALLOW_DETERMINISTIC_SCHEDULING", "_r", "Deadlines")


class NotRepeatable(RuntimeError):
    """This version of trio has no switch for a repeatable order of tasks."""


class VirtualClock(trio.abc.Clock):
    """A clock that stands while a task can run, and else jumps to the next deadline or the end of the next sleep."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._numbers = count()
        self._sleepers: list[tuple[float, int, list[trio.lowlevel.Task]]] = []
        """A heap of when, in which order, and who; nobody where the sleep was cancelled."""

    def start_clock(self) -> None:
        """See `trio.abc.Clock`."""

    def current_time(self) -> float:
        """[s since the begin]"""
        return self._now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Jump: trio asks when no task can run."""
        sleepers = self._sleepers
        while sleepers and not sleepers[0][2]:
            heappop(sleepers)
        next_s = min(deadline, sleepers[0][0]) if sleepers else deadline
        if next_s == inf:  # everybody waits for somebody else
            return inf
        self._now_s = max(self._now_s, next_s)
        while sleepers and sleepers[0][0] <= self._now_s:
            for task in heappop(sleepers)[2]:
                trio.lowlevel.reschedule(task)
        return 0.0

    async def pause(self, seconds: float) -> None:
        """Sleep as `trio.sleep` does, without a cancel scope of its own: messages do little else."""
        sleeper = [trio.lowlevel.current_task()]
        heappush(self._sleepers, (self._now_s + seconds, next(self._numbers), sleeper))

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            sleeper.clear()
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)


async def pause(seconds: float) -> None:
    """Sleep by the clock of the run; elsewhere as `trio.sleep` does."""
    clock = trio.lowlevel.current_clock()
    await (clock.pause(seconds) if isinstance(clock, VirtualClock) else trio.sleep(seconds))


def run_repeatably(main: Callable[[], Awaitable[T]], seed: str) -> T:
    """Run a trio program in virtual time; the same seed gives the same order of its tasks again.

    Threads, sockets and the machine's clock are outside of this: the program must not use them.

    Raises:
        NotRepeatable: trio has changed.
        KeyboardInterrupt: Ctrl-C.
    """
    with _repeatable(seed):
        try:
            # Ctrl-C ends the run itself: in one of its nodes it would be an error of that node.
            return trio.run(main, clock=VirtualClock(), restrict_keyboard_interrupt_to_checkpoints=True)
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is None:
                raise
            raise KeyboardInterrupt from None


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
