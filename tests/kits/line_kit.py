"""A transport without a network, whose peers are away, silent or refusing as a test says, and the collectors on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
import trio

from p2p.roles.household.collectors import Collector, Collectors, Sets
from p2p.transports.base import RequestRefused
from p2p.wire.frames import LinkError, StreamLost, Unreachable
from tests.kits.gateway_kit import run
from tests.kits.time_kit import time_passes

FAILOVER_S = 3.0


def named(prefix: str, count: int) -> list[Collector]:
    return [Collector(f"{prefix}{i}".encode().ljust(32, b"."), f"{prefix}{i}") for i in range(count)]


@dataclass
class Line:
    """A transport whose peers are away, silent or refusing as the test says; every other one echoes."""

    away: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    breaking: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)

    async def connect(self, address: str) -> str:
        await trio.lowlevel.checkpoint()
        self.dialled.append(address)
        if address in self.away:
            raise Unreachable(f"nobody at {address}")
        return f"peer {address}"

    async def request(self, peer: str, protocol: str, frame: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        address = peer.removeprefix("peer ")
        self.asked.append(address)
        if address in self.away:
            raise Unreachable(f"nobody at {address}")
        if address in self.breaking:
            raise StreamLost("the stream broke")
        if address in self.silent:
            await trio.sleep_forever()
        if address in self.refusing:
            raise RequestRefused(peer, protocol, "out_of_range")
        return frame + b" by " + address.encode()


def collectors(
    line: Line, operators: Sequence[Collector], authorities: Sequence[Collector] = ()
) -> Collectors:
    sets = Sets(tuple(one.key for one in operators), tuple(one.key for one in authorities))
    addresses = {one.key: one.address for one in (*operators, *authorities)}
    return Collectors(line, addresses, lambda: sets, failover_s=FAILOVER_S)  # type: ignore[arg-type]


async def fail_over(ways: Collectors) -> str:
    """Ask until another one is current; return its address."""
    before = ways.current
    deadline = trio.current_time() + 5 * FAILOVER_S
    while ways.current == before:
        assert trio.current_time() < deadline, f"nobody after {before.address}"
        with pytest.raises(LinkError):
            await ways.request("p", b"f")
        await time_passes(0.5)
    return ways.current.address


async def walk(ways: Collectors, steps: int) -> list[str]:
    return [ways.current.address, *[await fail_over(ways) for _ in range(steps)]]


def on_line(body: Callable[[Line], Awaitable[None]], **faults: set[str]) -> None:
    async def main() -> None:
        await body(Line(**faults))

    run(main)


def everybody(operators: int, authorities: int) -> set[str]:
    return {one.address for one in (*named("o", operators), *named("a", authorities))}
