"""Many households behind one gateway, and the collectors they hand in to, over the network in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.testing

from p2p.blocks.genesis import Genesis
from p2p.roles.collector.gateway import Gateway
from p2p.roles.collector.operator import Collected, Operator
from p2p.roles.exchange.collectors import Collector, Collectors
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.wire import BATCH_PROTOCOL, HandIn, HandInReply
from p2p.transports.base import Endpoint, peer_id_of
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    HandedIn,
    Kind,
    OrderMessage,
    ReceiptMessage,
    ResultMessage,
    open_message,
)
from tests.kits.chain_kit import OPERATOR, START, identity
from tests.kits.signed_kit import MINUTES, RIVAL, homes, key_of, keyed_genesis, names

COLLECTORS = (OPERATOR, RIVAL)
GATEWAY = identity("gateway", "0")


def result(
    genesis: Genesis, start: int = START, height: int = 1, next_collector: Identity = OPERATOR
) -> ResultMessage:
    roots = (b"b" * 32, b"k" * 32, b"p" * 32, b"h" * 32)
    head = (VERSION, genesis.chain_id, start, MINUTES, height)
    return ResultMessage(*head, *roots, None, b"r" * 32, 0, next_collector.public_key)


@dataclass
class Place:
    """Where one collector listens; it can be switched off and on again."""

    network: MemoryNetwork
    genesis: Genesis
    identity: Identity
    journal: Journal | None = None

    @property
    def address(self) -> str:
        return f"/memory/p2p/{peer_id_of(self.identity.public_key)}"

    @asynccontextmanager
    async def on(self) -> AsyncIterator[Operator]:
        roster = names(self.genesis.members)
        keys = homes(len(roster)).by_id
        async with self.network.endpoint(self.identity) as node:
            yield Operator(node, self.identity, self.genesis.chain_id, roster, keys, MINUTES, self.journal)


@dataclass
class Street:
    """A gateway that runs, and places for its collectors, none of them switched on."""

    genesis: Genesis
    network: MemoryNetwork
    places: list[Place]
    node: Endpoint
    gateway: Gateway
    collectors: Collectors
    heard: list[ResultMessage] = field(default_factory=list)

    @property
    def roster(self) -> tuple[str, ...]:
        return names(self.genesis.members)

    async def hand_in(self, messages: Sequence[HandedIn]) -> list[ReceiptMessage]:
        """Every household hands in its own at once; the receipts come in the same order."""
        receipts: dict[int, ReceiptMessage] = {}

        async def one(number: int, message: HandedIn) -> None:
            receipts[number] = await self.gateway.hand_in(message)

        async with trio.open_nursery() as nursery:
            for number, message in enumerate(messages):
                nursery.start_soon(one, number, message)
        return [receipts[number] for number in range(len(messages))]


@asynccontextmanager
async def street(
    members: int,
    *,
    carried: Sequence[str] | None = None,
    journal: Journal | None = None,
    faults: Faults | None = None,
    failover_s: float = 3.0,
) -> AsyncIterator[Street]:
    """Args: carried: households behind the gateway, all of them where none are named."""
    genesis = keyed_genesis(members)
    network = MemoryNetwork(faults or Faults())
    places = [Place(network, genesis, collector) for collector in COLLECTORS]
    heard: list[ResultMessage] = []

    async def hear(message: ResultMessage) -> None:
        heard.append(message)

    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(network.endpoint(GATEWAY))
        nursery = await stack.enter_async_context(trio.open_nursery())
        lines = [Collector(place.identity.public_key, place.address) for place in places]
        collectors = Collectors(node, lines, failover_s=failover_s)
        identities = {household: key_of(household) for household in carried or names(members)}
        gateway = Gateway(node, identities, genesis.chain_id, collectors, MINUTES, journal, hear)
        nursery.start_soon(gateway.run)
        yield Street(genesis, network, places, node, gateway, collectors, heard)
        nursery.cancel_scope.cancel()


def run(body: Callable[[], Awaitable[None]]) -> None:
    """Run on a clock that jumps to the next thing to do."""
    trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))


async def collect(
    operator: Operator, *says: Callable[[], Awaitable[object]], start: int = START, deadline_s: float = 10.0
) -> Collected[OrderMessage]:
    """Keep the gate open while each of `says` runs."""
    collected: list[Collected[OrderMessage]] = []

    async def gate() -> None:
        collected.append(await operator.collect(start, deadline_s))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate)
        for say in says:
            nursery.start_soon(say)
    return collected[0]


async def send_batch(
    node: Endpoint, peer: str, genesis: Genesis, messages: Sequence[bytes], protocol: str = BATCH_PROTOCOL
) -> tuple[bytes, ...]:
    """Send a frame as it is and return the entries of the reply."""
    frame = encode(HandIn(VERSION, genesis.chain_id, tuple(messages)))
    return decode(HandInReply, await node.request(peer, protocol, frame), max_bytes=2**20).entries


def receipt_in(entry: bytes, genesis: Genesis, household: str) -> ReceiptMessage:
    """The receipt of the operator that an entry of a reply is."""
    keys = {household: key_of(household).public_key}
    opened = open_message(
        entry,
        chain_id=genesis.chain_id,
        kinds=(Kind.RECEIPT,),
        household_keys=keys,
        collector_keys=(OPERATOR.public_key,),
    )
    assert isinstance(opened, ReceiptMessage)
    return opened
