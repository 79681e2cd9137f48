"""Opens intervals at wall-clock times or at a fixed minimum spacing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from wattswap.nodes.config import Clock

LOOK_S: Final = 60.0
"""After how long of waiting the clock is read again: it may be years behind when a machine starts. [s]"""
NEVER_MS: Final = 2**62
"""When an interval opens of which nothing is known yet. [ms since 1970, UTC]"""


@dataclass(slots=True)
class Pace:
    """Opening times of intervals at one node.

    Args:
        clock: Of its configuration. With `begin_unix_ms` the i-th interval opens at that instant plus i times the
            pace; without, the pace is the minimum time between openings, and a longer interval delays all later
            ones.
        now_ms: The clock. [ms since 1970, UTC]
    """

    clock: Clock
    now_ms: Callable[[], int]
    _opened: float = field(default=float("-inf"))
    _began_ms: int = 0
    _opens_ms: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._began_ms = self.now_ms()

    async def opening(self, i: int) -> None:
        """Wait until the i-th interval may open."""
        if self.clock.begin_unix_ms:
            await self.until(self.clock.opens_ms(i))
        elif self._opened > float("-inf"):
            await trio.sleep_until(self._opened + self.clock.pace_s)

    def opened(self) -> None:
        """Note that an interval has opened."""
        self._opened = trio.current_time()

    async def until(self, at_ms: int) -> None:
        """Wait until the clock shows a time, also where it is set right meanwhile."""
        await trio.lowlevel.checkpoint()
        while (left_s := self.left_s(at_ms)) > 0:
            await trio.sleep(min(left_s, LOOK_S))

    def left_s(self, at_ms: int) -> float:
        """Time left until the clock shows a time; 0 where it has passed. [s]"""
        return max(0.0, (at_ms - self.now_ms()) / 1_000)

    def opens_ms(self, i: int, settled_ms: int | None) -> int:
        """When the i-th interval opens, at a node that follows the chain. [ms since 1970, UTC]

        Args:
            settled_ms: When the interval before it was settled; None where it is not settled.
        """
        if self.clock.begin_unix_ms:
            return self.clock.opens_ms(i)
        if i == 0:
            return self._began_ms
        if settled_ms is None:
            return NEVER_MS
        if i not in self._opens_ms:
            pace_ms = round(self.clock.pace_s * 1_000)
            before_ms = self._began_ms if i == 1 else self._opens_ms.get(i - 1, settled_ms)
            self._opens_ms = {i: max(settled_ms, before_ms + pace_ms)}
        return self._opens_ms[i]
