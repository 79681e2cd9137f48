"""Waiting for a time by a clock that is set right meanwhile."""

from __future__ import annotations

import trio
import trio.testing

from tests.kits.time_kit import time_passes
from wattswap.nodes.config import Clock
from wattswap.nodes.pace import LOOK_S, Pace


def test_a_clock_that_is_set_right_while_a_node_waits_ends_the_wait() -> None:
    """A machine without a battery begins in 1970; its node would wait for decades."""
    begin_ms, behind = 1_700_000_000_000, [True]

    def now_ms() -> int:
        passed_ms = round(trio.current_time() * 1_000)
        return passed_ms if behind[0] else begin_ms + passed_ms

    async def main() -> None:
        pace = Pace(Clock(begin_unix_ms=begin_ms, pace_s=10.0, gate_s=2.0, takeover_s=1.0), now_ms)
        began_s = trio.current_time()

        async def set_right() -> None:
            await time_passes(5)
            behind[0] = False

        async with trio.open_nursery() as nursery:
            nursery.start_soon(set_right)
            with trio.fail_after(2 * LOOK_S):
                await pace.opening(1)
        assert trio.current_time() - began_s <= LOOK_S

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_time_is_waited_for_to_the_millisecond() -> None:
    async def main() -> None:
        began_s = trio.current_time()
        pace = Pace(
            Clock(begin_unix_ms=1, pace_s=1.0, gate_s=0.5, takeover_s=1.0),
            lambda: round((trio.current_time() - began_s) * 1_000),
        )
        await pace.until(150_250)
        assert abs(trio.current_time() - began_s - 150.25) < 0.002

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
