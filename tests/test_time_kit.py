"""The helpers that wait say what they waited for, and let virtual time pass on a virtual clock only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import pytest
import trio
import trio.testing

from tests.kits.time_kit import eventually, eventually_trio, stays, time_passes, until_still

Failed = pytest.fail.Exception


def test_a_condition_that_comes_true_is_returned() -> None:
    numbers = count()
    assert eventually(lambda: next(numbers) > 2 and "there", "the third", 5, 0.001) == "there"
    assert next(numbers) == 4


def test_a_condition_that_never_comes_true_fails_with_its_name() -> None:
    with pytest.raises(Failed, match=r"^not within 0\.01 s: the moon rises$"):
        eventually(lambda: False, "the moon rises", 0.01, 0.001)
    with pytest.raises(Failed, match=r"^not within 0\.01 s: last seen 3$"):
        eventually(lambda: 0, lambda: f"last seen {1 + 2}", 0.01, 0.001)


def test_a_condition_is_awaited_on_the_clock_of_trio() -> None:
    async def main() -> None:
        begun = time.monotonic()

        async def late() -> bool:
            await trio.lowlevel.checkpoint()
            return trio.current_time() >= 30

        assert await eventually_trio(late, "half a minute", 40)
        assert 30 <= trio.current_time() < 30.1
        with pytest.raises(Failed, match=r"^not within 5 s: another one$"):
            await eventually_trio(lambda: trio.current_time() >= 60, "another one", 5)
        assert time.monotonic() - begun < 60

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_condition_that_ends_too_early_fails_with_its_name() -> None:
    numbers = count()
    stays(lambda: True, "the sun shines", 0.01, 0.001)
    with pytest.raises(Failed, match=r"^after 0\.\d s no longer: the sun shines$"):
        stays(lambda: next(numbers) < 3, "the sun shines", 5, 0.001)
    assert next(numbers) == 4


def test_what_goes_on_changing_is_not_still() -> None:
    def rising() -> Iterator[int]:
        yield from (1, 2, 3)
        while True:
            yield 4

    assert until_still(rising().__next__, "the tide", 0.01, 5) == 4
    numbers = count()
    with pytest.raises(Failed, match=r"^not within 0\.3 s: the tide stands still for 5 s$"):
        until_still(lambda: next(numbers), "the tide", 5, 0.3)


def test_time_passes_by_itself_on_a_jumping_clock_only() -> None:
    async def main() -> None:
        await time_passes(1_000)
        assert trio.current_time() == 1_000

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    with pytest.raises(AssertionError, match="MockClock"):
        trio.run(main)
