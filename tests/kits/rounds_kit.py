"""Two homes in a market of several rounds, each with a node of its own, and the addresses of two collectors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import trio
import trio.testing

from market.rounds import Tape
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.wire import BID_PROTOCOL, READING_PROTOCOL
from p2p.roles.household.collectors import Collectors, Sets
from p2p.roles.household.gateway import Gateway
from p2p.roles.household.member import Member
from p2p.transports.base import Endpoint, peer_id_of
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.frames import StreamLost
from p2p.wire.identity import Identity
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    HandedIn,
    ReadingMessage,
    ReceiptMessage,
    sign_message,
)
from tests.kits.keys_kit import home_keys
from tests.kits.roles_kit import (
    CHAIN,
    GENESIS,
    MINUTES,
    OPERATOR,
    key_of,
    receipt_in,
)
from tests.kits.settled_kit import OpenGates, settled

ROSTER = ("h1", "h2")
ROUNDS = 3
LIMITS = Limits(rounds=ROUNDS)
ANY = Limits(rounds=64)
RIVAL = Identity.from_seed(b"r" * 32)
STRANGER = Identity.from_seed(b"s" * 32)


@dataclass
class Street:
    """Two homes with nodes of their own and the addresses of two collectors."""

    network: MemoryNetwork
    stack: AsyncExitStack
    gates: OpenGates = field(default_factory=OpenGates)
    homes: dict[str, Member] = field(default_factory=dict)
    nodes: dict[str, Endpoint] = field(default_factory=dict)

    async def operator(self, identity: Identity = OPERATOR) -> Operator:
        return operator_on(await self.node(identity), identity, self.gates)

    async def node(self, identity: Identity) -> Endpoint:
        """An endpoint that is open as long as the street."""
        return await self.stack.enter_async_context(self.network.endpoint(identity))


def operator_on(
    node: Endpoint, identity: Identity, gates: OpenGates, journal: Journal | None = None
) -> Operator:
    keys = {name: key_of(name).public_key for name in ROSTER}
    return Operator(node, identity, CHAIN, ROSTER, home_keys(keys), MINUTES, gates, journal, LIMITS)


def ways_of(node: Endpoint, *collectors: Identity) -> Collectors:
    """The way to some collectors, which are operators."""
    keys = [one.public_key for one in collectors]
    sets, addresses = Sets(tuple(keys), ()), {one.public_key: address(one) for one in collectors}
    return Collectors(node, addresses, lambda: sets, failover_s=1.0)


def gateway_on(node: Endpoint, names: tuple[str, ...], *collectors: Identity, homes: int) -> Gateway:
    keys = {name: key_of(name) for name in names}
    ways = ways_of(node, *collectors)
    read = lambda data: settled(GENESIS, data)  # noqa: E731
    return Gateway(node, keys, CHAIN, ways, MINUTES, read, limits=LIMITS, homes=homes)


def address(identity: Identity) -> str:
    return f"/memory/p2p/{peer_id_of(identity.public_key)}"


@asynccontextmanager
async def street() -> AsyncIterator[Street]:
    async with AsyncExitStack() as stack:
        found = Street(MemoryNetwork(Faults()), stack)
        nursery = await stack.enter_async_context(trio.open_nursery())
        for name in ROSTER:
            found.nodes[name] = await found.node(key_of(name))
            gateway = gateway_on(found.nodes[name], (name,), OPERATOR, RIVAL, homes=len(ROSTER))
            found.homes[name] = Member(gateway, name)
            nursery.start_soon(gateway.run)
        yield found
        nursery.cancel_scope.cancel()


def run(body: Callable[[], Awaitable[None]]) -> None:
    trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))


def tape(rows: int, number: int = 0) -> Tape:
    """A made-up tape whose last orders came in a round."""
    counted = np.arange(rows, dtype=np.int64)
    return Tape(
        round_of=counted * (number + 1) // max(rows, 1),
        side=np.where(counted % 2, 1, -1).astype(np.int8),
        energy_wh=counted + 2,
        limit_micro_per_kwh=-counted,
        accepted_wh=counted,
        price_micro_per_kwh=counted * 3,
        took=counted % 3 == 0,
    )


def same(one: Tape, other: Tape) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("round_of", "side", "energy_wh", "limit_micro_per_kwh", "accepted_wh", "took")
    )


async def send(street_: Street, message: HandedIn, household: str = "h1") -> ReceiptMessage:
    """Send a message of a home once, as it is, over its own connection; return the receipt."""
    node = street_.nodes[household]
    signed = sign_message(key_of(household), message, ANY)
    protocol = READING_PROTOCOL if isinstance(message, ReadingMessage) else BID_PROTOCOL
    peer = await node.connect(address(OPERATOR))
    try:
        reply = await node.request(peer, protocol, signed)
    except StreamLost:  # of a collector that was started again
        reply = await node.request(peer, protocol, signed)
    return receipt_in(reply, household)
