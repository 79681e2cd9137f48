"""A street of homes and an operator over the in-memory network, for the tests of the roles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio
import trio.testing

from p2p.roles.collector.intake import Collected
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.collectors import Collector, Collectors
from p2p.roles.household import Household
from p2p.transports.base import Endpoint
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    NothingMessage,
    OrderMessage,
    PriceLine,
    ReadingMessage,
    ResultMessage,
    order_line,
)

CHAIN = b"c" * 32
MINUTES = 15
STEP = MINUTES * 60
T0 = 1_700_000_100 // STEP * STEP
OPERATOR = Identity.from_seed(b"o" * 32)
ROSTER = ("h1", "h2", "h3")


def key_of(household: str) -> Identity:
    return Identity.from_seed(household.encode().ljust(32, b"."))


def order(household: str, nonce: int = 1, start: int = T0, **changes: object) -> OrderMessage:
    fields = {
        "version": VERSION,
        "chain_id": CHAIN,
        "interval_start": start,
        "minutes": MINUTES,
        "household": household,
        "nonce": nonce,
        "round": 0,
    }
    line = {
        name: changes.pop(name) for name in ("side", "energy_wh", "limit_micro_per_kwh") if name in changes
    }
    orders = (order_line(**({"side": 1, "energy_wh": 250, "limit_micro_per_kwh": 200_000} | line)),)
    return OrderMessage(**(fields | {"orders": orders} | changes))


def nothing(household: str, nonce: int = 1, start: int = T0, number: int = 0) -> NothingMessage:
    return NothingMessage(VERSION, CHAIN, start, MINUTES, household, nonce, number)


def reading(household: str, nonce: int = 1, start: int = T0) -> ReadingMessage:
    return ReadingMessage(VERSION, CHAIN, start, MINUTES, household, nonce, 300, 0, 0)


def result(start: int = T0, height: int = 1) -> ResultMessage:
    roots = (b"b" * 32, b"k" * 32, b"p" * 32, b"h" * 32)
    return ResultMessage(
        VERSION,
        CHAIN,
        start,
        MINUTES,
        height,
        *roots,
        PriceLine(80_000, 300_000, 190_000),
        b"r" * 32,
        500,
        OPERATOR.public_key,
    )


def home_at(node: Endpoint, household: str, operator_address: str) -> Household:
    """A household that knows one operator."""
    collectors = Collectors(node, [Collector(OPERATOR.public_key, operator_address)])
    return Household(node, key_of(household), CHAIN, household, collectors, MINUTES)


@dataclass
class Street:
    """An operator and its households, all joined."""

    network: MemoryNetwork
    operator: Operator
    operator_node: Endpoint
    households: dict[str, Household]
    nodes: dict[str, Endpoint]

    async def collect(
        self, *says: Callable[[], Awaitable[object]], start: int = T0
    ) -> Collected[OrderMessage]:
        """Keep the gate open for 10 s while each of `says` runs on its own."""
        collected: list[Collected[OrderMessage]] = []

        async def gate() -> None:
            collected.append(await self.operator.collect(start, 10.0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(gate)
            await trio.testing.wait_all_tasks_blocked()
            for say in says:
                nursery.start_soon(say)
        return collected[0]


@asynccontextmanager
async def street(roster: tuple[str, ...] = ROSTER, faults: Faults | None = None) -> AsyncIterator[Street]:
    async with AsyncExitStack() as stack:
        network = MemoryNetwork(faults or Faults())
        keys = {name: key_of(name).public_key for name in roster}
        node = await stack.enter_async_context(network.endpoint(OPERATOR))
        operator = Operator(node, OPERATOR, CHAIN, roster, keys, MINUTES)
        nodes, households = {}, {}
        for name in roster:
            nodes[name] = await stack.enter_async_context(network.endpoint(key_of(name)))
            households[name] = home_at(nodes[name], name, node.address)
            await households[name].join()
        yield Street(network, operator, node, households, nodes)


def on_street(body: Callable[[Street], Awaitable[None]], faults: Faults | None = None) -> None:
    async def main() -> None:
        async with street(faults=faults) as homes:
            await body(homes)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
