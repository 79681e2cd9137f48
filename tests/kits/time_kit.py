"""Waiting in tests: for a condition, with a deadline; for one to last; or on a clock that jumps. Nobody else sleeps."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
import trio
import trio.testing

T = TypeVar("T")
POLL_S = 0.02


def eventually(
    condition: Callable[[], T],
    what: str | Callable[[], str],
    deadline_s: float = 60.0,
    poll_s: float = POLL_S,
) -> T:
    """Wait in real time until a condition gives something true, and return that; fails with what it waited for."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() >= end:
            pytest.fail(_missed(what, deadline_s))
        time.sleep(poll_s)
    return value


async def eventually_trio(
    condition: Callable[[], T | Awaitable[T]],
    what: str | Callable[[], str],
    deadline_s: float = 60.0,
    poll_s: float = POLL_S,
) -> T:
    """`eventually` by the clock of trio, real or not, for a condition that may be awaited."""
    end = trio.current_time() + deadline_s
    while True:
        found = condition()
        value: T = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if trio.current_time() >= end:
            pytest.fail(_missed(what, deadline_s))
        await trio.sleep(poll_s)


def _missed(what: str | Callable[[], str], deadline_s: float) -> str:
    return f"not within {deadline_s:g} s: {what if isinstance(what, str) else what()}"


def stays(condition: Callable[[], object], what: str, for_s: float, poll_s: float = 0.25) -> None:
    """Fail as soon as a condition does not hold within so many real seconds; for processes that must stand still."""
    begun = time.monotonic()
    while (passed_s := time.monotonic() - begun) < for_s:
        if not condition():
            pytest.fail(f"after {passed_s:.1f} s no longer: {what}")
        time.sleep(min(poll_s, for_s - passed_s))
    assert condition(), what


def until_still(value: Callable[[], T], what: str, still_s: float, deadline_s: float = 60.0) -> T:
    """Wait until a value has not changed for so many real seconds; return it."""
    last, since = value(), time.monotonic()

    def is_still() -> bool:
        nonlocal last, since
        now = value()
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since >= still_s

    eventually(is_still, f"{what} stands still for {still_s:g} s", deadline_s, 0.1)
    return last


async def time_passes(seconds: float) -> None:
    """Let time pass on a clock that jumps: it costs no real time, and fails under a real clock."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock), "time passes by itself under trio's MockClock only"
    await trio.sleep(seconds)


async def beat(pause_s: float) -> AsyncIterator[None]:
    """The beat of a sender of traffic over real sockets, one round each `pause_s`, until it is cancelled."""
    while True:
        yield
        await trio.sleep(pause_s)
