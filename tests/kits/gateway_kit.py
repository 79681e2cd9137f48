"""Many homes behind one gateway, and the collectors to which it gives their messages, over the network in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.testing

from p2p.blocks.genesis import Genesis
from p2p.ledger.light import SettledInterval
from p2p.roles.collector.intake import Collected
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.wire import BATCH_PROTOCOL, HandIn, HandInReply, result_topic
from p2p.roles.household.collectors import Collectors, Sets
from p2p.roles.household.gateway import Gateway
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
    lasting,
    open_message,
)
from tests.kits.chain_kit import OPERATOR, START, authorities, identity
from tests.kits.keys_kit import home_keys
from tests.kits.settled_kit import OpenGates, settled
from tests.kits.signed_kit import MINUTES, RIVAL, homes, key_of, keyed_genesis, names

COLLECTORS = (OPERATOR, RIVAL)
GATEWAY = identity("gateway", "0")


@dataclass
class Place:
    """Where one collector listens; it can be switched off and on again.

    Attributes:
        node: Its endpoint while it is on.
    """

    network: MemoryNetwork
    genesis: Genesis
    identity: Identity
    journal: Journal | None = None
    gates: OpenGates = field(default_factory=OpenGates)
    node: Endpoint | None = None

    @property
    def address(self) -> str:
        return f"/memory/p2p/{peer_id_of(self.identity.public_key)}"

    @asynccontextmanager
    async def on(self) -> AsyncIterator[Operator]:
        async with self.network.endpoint(self.identity) as self.node:
            yield operator_on(self.node, self.genesis, self.identity, self.gates, self.journal)

    async def announce(self, proof: bytes) -> None:
        """Gossip a result once somebody listens."""
        assert self.node is not None
        topic = result_topic(self.genesis.chain_id)
        await self.node.wait_for_subscribers(topic, 1)
        await self.node.publish(topic, proof)


def operator_on(
    node: Endpoint,
    genesis: Genesis,
    identity: Identity = OPERATOR,
    gates: OpenGates | None = None,
    journal: Journal | None = None,
) -> Operator:
    """A collector of all homes of a genesis; one that is a validator closes slots for operators."""
    roster = names(genesis.members)
    operators = {peer_id_of(key) for key in genesis.operators}
    closes_for = operators.__contains__ if identity.public_key in genesis.authorities else None
    return Operator(
        node,
        identity,
        genesis.chain_id,
        roster,
        home_keys(homes(len(roster)).by_id),
        MINUTES,
        gates or OpenGates(),
        journal,
        genesis.params.limits,
        closes_for=closes_for,
    )


@dataclass
class Street:
    """A gateway that runs, and places for its collectors, none of them switched on.

    Attributes:
        places: Of the two operators, then of the validators.
        received: Settled intervals that gossip brought to the gateway.
    """

    genesis: Genesis
    network: MemoryNetwork
    places: list[Place]
    node: Endpoint
    gateway: Gateway
    collectors: Collectors
    received: list[SettledInterval] = field(default_factory=list)

    @property
    def roster(self) -> tuple[str, ...]:
        return names(self.genesis.members)

    @property
    def validators(self) -> list[Place]:
        """Places of the validators."""
        return self.places[len(COLLECTORS) :]

    async def submit(self, messages: Sequence[HandedIn]) -> list[ReceiptMessage]:
        """Each home submits its own at once; the receipts come in the same order."""
        receipts: dict[int, ReceiptMessage] = {}

        async def one(number: int, message: HandedIn) -> None:
            receipts[number] = await self.gateway.submit(message)

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
    validators: int = 0,
) -> AsyncIterator[Street]:
    """A street of homes.

    Args:
        carried: Homes behind the gateway, all of them where none are named.
        validators: How many of them the gateway knows.
    """
    genesis = keyed_genesis(members)
    network = MemoryNetwork(faults or Faults())
    keys = authorities(validators)
    places = [Place(network, genesis, collector) for collector in (*COLLECTORS, *keys)]
    received: list[SettledInterval] = []

    async def receive(one: SettledInterval) -> None:
        received.append(one)

    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(network.endpoint(GATEWAY))
        nursery = await stack.enter_async_context(trio.open_nursery())
        addresses = {place.identity.public_key: place.address for place in places}
        sets = Sets(genesis.operators, tuple(key.public_key for key in keys))
        collectors = Collectors(node, addresses, lambda: sets, failover_s=failover_s)
        gateway = Gateway(
            node,
            {household: key_of(household) for household in carried or names(members)},
            genesis.chain_id,
            collectors,
            MINUTES,
            lambda data: settled(genesis, data),
            receive,
            journal,
        )
        nursery.start_soon(gateway.run)
        yield Street(genesis, network, places, node, gateway, collectors, received)
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


def receipt_in(
    entry: bytes, genesis: Genesis, household: str, collector: Identity = OPERATOR
) -> ReceiptMessage:
    """The receipt of a collector that an entry of a reply is."""
    keys = {household: key_of(household).public_key}
    opened = open_message(
        entry,
        chain_id=genesis.chain_id,
        kinds=(Kind.RECEIPT,),
        key_of=lasting(keys),
        collector_keys=(collector.public_key,),
    )
    assert isinstance(opened, ReceiptMessage)
    return opened
