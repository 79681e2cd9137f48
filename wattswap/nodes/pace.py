"""Opens intervals at wall-clock times or at a fixed minimum spacing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from wattswap.nodes.config import Clock


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

    async def opening(self, i: int) -> None:
        """Wait until the i-th interval may open."""
        if self.clock.begin_unix_ms:
            await trio.sleep(max(0.0, (self.clock.opens_ms(i) - self.now_ms()) / 1_000))
        elif self._opened > float("-inf"):
            await trio.sleep_until(self._opened + self.clock.pace_s)

    def opened(self) -> None:
        """Note that an interval has opened."""
        self._opened = trio.current_time()
