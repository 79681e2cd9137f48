"""What a node says of the validators that it knows: one line when one is away, and one when it answers again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from p2p.roles.replica.status import serve_status
from p2p.transports.base import Transport
from p2p.transports.memory import MemoryNetwork
from p2p.wire.identity import Identity
from tests.kits.time_kit import time_passes
from wattswap.nodes.watch import MISSES, WELL_PACES, Watch

CHAIN, HEAD = b"c" * 32, b"h" * 32
PACE_S = 10.0
NAMES = [f"validator-{number}" for number in range(4)]
OWNER = Identity.from_seed(b"o" * 32)
KEYS = {name: Identity.from_seed(name.encode().ljust(32, b"-")) for name in NAMES}


class Street:
    """Validators that come and go on a network in memory, and a home that watches them."""

    def __init__(self, names: list[str], nursery: trio.Nursery) -> None:
        self.names, self.network, self._nursery = names, MemoryNetwork(), nursery
        self.addresses: dict[str, str] = {}
        self._up: dict[str, trio.CancelScope] = {}

    async def start(self, *names: str) -> None:
        for name in names:
            await self._nursery.start(self._validator, name)

    async def stop(self, *names: str) -> None:
        for name in names:
            self._up.pop(name).cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def _validator(self, name: str, *, task_status: Any) -> None:
        with trio.CancelScope() as self._up[name]:
            async with self.network.endpoint(KEYS[name]) as node:
                serve_status(node, CHAIN, "validator", lambda: (7, HEAD, True), dict, lambda: 0)
                self.addresses[name] = node.address
                task_status.started()
                await trio.sleep_forever()

    def watch(self, transport: Transport) -> Watch:
        peers = [
            SimpleNamespace(
                name=name, role="validator", address=self.addresses[name], key=KEYS[name].public_key
            )
            for name in self.names
        ]
        config: Any = SimpleNamespace(name="home-1", peers=peers, clock=SimpleNamespace(pace_s=PACE_S))
        return Watch(config, transport, CHAIN, lambda: 0)


def watched(
    caplog: pytest.LogCaptureFixture,
    story: Callable[[Street, Callable[[], Awaitable[list[str]]]], Awaitable[None]],
    names: list[str] = NAMES,
) -> None:
    """Run a story; what it is given beside the street waits for every question, and returns the new lines."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            street = Street(names, nursery)
            await street.start(*names)
            async with street.network.endpoint(OWNER) as own, trio.open_nursery() as watching:
                watching.start_soon(street.watch(own).run)

                async def lines() -> list[str]:
                    caplog.clear()
                    await time_passes(3 * WELL_PACES * len(names) * PACE_S)
                    return caplog.messages

                await story(street, lines)
                watching.cancel_scope.cancel()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_validator_that_is_away_is_named_once_and_once_when_it_answers_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(street: Street, lines: Callable[[], Awaitable[list[str]]]) -> None:
        assert await lines() == []
        await street.stop("validator-2")
        assert await lines() == ["home-1: validator-2 does not answer"]
        assert await lines() == []
        await street.stop("validator-0")
        assert await lines() == ["home-1: validator-0 does not answer"]
        await street.start("validator-2")
        assert await lines() == ["home-1: validator-2 answers again"]
        await street.start("validator-0")
        assert await lines() == ["home-1: validator-0 answers again"]
        assert await lines() == []

    watched(caplog, story)


@pytest.mark.parametrize(("misses", "lines_of_all"), [(MISSES, 0), (1, 8)])
def test_a_restart_between_two_questions_is_no_event(
    misses: int, lines_of_all: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one question without an answer were enough, each validator would be named."""
    monkeypatch.setattr("wattswap.nodes.watch.MISSES", misses)

    async def story(street: Street, lines: Callable[[], Awaitable[list[str]]]) -> None:
        said = await lines()
        for name in NAMES:
            # Away for less than a round of questions, and more often than there are pauses between two rounds.
            for _ in range(2 * len(NAMES) * WELL_PACES):
                await street.stop(name)
                await time_passes((len(NAMES) - 1) * PACE_S)
                await street.start(name)
                said += await lines()
                await time_passes(PACE_S)
        named = {line for line in said if "validator-" in line}
        assert len(named) == lines_of_all

    watched(caplog, story)


def test_where_none_answers_one_line_says_it_of_all(caplog: pytest.LogCaptureFixture) -> None:
    async def story(street: Street, lines: Callable[[], Awaitable[list[str]]]) -> None:
        await lines()
        await street.stop(*NAMES)
        assert (await lines())[-1] == "home-1: cut off: none of 4 validators answers"
        assert await lines() == []
        await street.start("validator-1")
        told = await lines()
        assert told[0] == "home-1: one of 4 validators answers"
        assert sorted(told[1:]) == [
            f"home-1: {name} does not answer" for name in NAMES if name != "validator-1"
        ]
        await street.start("validator-0", "validator-2", "validator-3")
        assert sorted(await lines()) == [
            f"home-1: {name} answers again" for name in NAMES if name != "validator-1"
        ]

    watched(caplog, story)


def test_of_a_single_validator_there_is_no_plural(caplog: pytest.LogCaptureFixture) -> None:
    async def story(street: Street, lines: Callable[[], Awaitable[list[str]]]) -> None:
        await lines()
        await street.stop("validator-0")
        assert await lines() == ["home-1: cut off: its only validator does not answer"]
        await street.start("validator-0")
        assert await lines() == ["home-1: its validator answers"]

    watched(caplog, story, NAMES[:1])
