"""A street of homes, each with a node of its own, and an operator over the network in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.testing

from p2p.blocks.genesis import VERSION as GENESIS_VERSION
from p2p.blocks.genesis import Genesis, make_params
from p2p.blocks.members import Members
from p2p.ledger.light import SettledInterval
from p2p.roles.collector.intake import Collected
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import result_topic
from p2p.roles.household.collectors import Collectors, Sets
from p2p.roles.household.gateway import Gateway, OnResult
from p2p.roles.household.member import Member
from p2p.transports.base import Endpoint
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.identity import Identity
from p2p.wire.limits import DEFAULT_LIMITS, Limits
from p2p.wire.messages import (
    VERSION,
    Kind,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptMessage,
    lasting,
    open_message,
    order_line,
)
from tests.kits.chain_kit import authorities
from tests.kits.keys_kit import home_keys
from tests.kits.settled_kit import OpenGates, proof_of, settled

MINUTES = 15
STEP = MINUTES * 60
T0 = 1_700_000_100 // STEP * STEP
OPERATOR = Identity.from_seed(b"o" * 32)
ROSTER = ("h1", "h2", "h3")


def key_of(household: str) -> Identity:
    return Identity.from_seed(household.encode().ljust(32, b"."))


def genesis_of(roster: tuple[str, ...], limits: Limits = DEFAULT_LIMITS) -> Genesis:
    """A chain of one operator and four validators for these homes."""
    return Genesis(
        version=GENESIS_VERSION,
        name="street of nodes",
        time_ms=T0 * 1000,
        params=make_params("EUR", MINUTES, limits=limits),
        authorities=tuple(authority.public_key for authority in authorities(4)),
        operators=(OPERATOR.public_key,),
        members_root=Members(roster, tuple(key_of(name).public_key for name in roster)).root,
        members=len(roster),
        accounts=(),
        modules=(),
    )


GENESIS = genesis_of(ROSTER)
CHAIN = GENESIS.chain_id


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


def result(start: int = T0, height: int = 1) -> bytes:
    """The proof that the operator has settled an interval."""
    return proof_of(GENESIS, start, height, OPERATOR, OPERATOR)


def receipt_in(data: bytes, household: str, collector: Identity = OPERATOR) -> ReceiptMessage:
    """The receipt of a collector for a message of a home."""
    found = open_message(
        data,
        chain_id=CHAIN,
        kinds=(Kind.RECEIPT,),
        key_of=lasting({household: key_of(household).public_key}),
        collector_keys=(collector.public_key,),
    )
    assert isinstance(found, ReceiptMessage)
    return found


def home_at(
    node: Endpoint,
    household: str,
    operator_address: str,
    on_result: OnResult | None = None,
    genesis: Genesis = GENESIS,
) -> Member:
    """A home that knows one operator; its gateway must be run."""
    sets = Sets((OPERATOR.public_key,), ())
    collectors = Collectors(node, {OPERATOR.public_key: operator_address}, lambda: sets)
    identities = {household: key_of(household)}
    read = lambda data: settled(genesis, data)  # noqa: E731
    gateway = Gateway(node, identities, genesis.chain_id, collectors, MINUTES, read, on_result)
    return Member(gateway, household)


@dataclass
class Street:
    """An operator and its homes, all of them running.

    Attributes:
        received: Settled intervals that gossip brought, by home.
    """

    network: MemoryNetwork
    operator: Operator
    operator_node: Endpoint
    gates: OpenGates
    households: dict[str, Member]
    nodes: dict[str, Endpoint]
    received: dict[str, list[SettledInterval]] = field(default_factory=dict)

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

    async def announce(self, proof: bytes) -> None:
        """Gossip a result, and keep it for those who ask."""
        self.operator.answers.provide_result(settled(GENESIS, proof).interval_start, proof)
        await self.operator_node.publish(result_topic(CHAIN), proof)


@asynccontextmanager
async def street(roster: tuple[str, ...] = ROSTER, faults: Faults | None = None) -> AsyncIterator[Street]:
    async with AsyncExitStack() as stack:
        network, gates = MemoryNetwork(faults or Faults()), OpenGates()
        keys = {name: key_of(name).public_key for name in roster}
        node = await stack.enter_async_context(network.endpoint(OPERATOR))
        operator = Operator(node, OPERATOR, CHAIN, roster, home_keys(keys), MINUTES, gates)
        made = Street(network, operator, node, gates, {}, {})
        nursery = await stack.enter_async_context(trio.open_nursery())
        for name in roster:
            made.nodes[name] = await stack.enter_async_context(network.endpoint(key_of(name)))
            mine = made.received.setdefault(name, [])

            async def receive(one: SettledInterval, mine: list[SettledInterval] = mine) -> None:
                mine.append(one)

            made.households[name] = home_at(made.nodes[name], name, node.address, receive)
            nursery.start_soon(made.households[name].gateway.run)
        await node.wait_for_subscribers(result_topic(CHAIN), len(roster))
        yield made
        nursery.cancel_scope.cancel()


def on_street(body: Callable[[Street], Awaitable[None]], faults: Faults | None = None) -> None:
    async def main() -> None:
        async with street(faults=faults) as homes:
            await body(homes)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
