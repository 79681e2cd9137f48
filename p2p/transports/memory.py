"""A network in memory: the same frames and limits as libp2p, without sockets, with seeded faults.

Every fault is drawn from a generator of its own link (sender, receiver, channel), never from a shared one:
trio wakes ready tasks in random order, and a shared generator would make the faults of a run depend on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final, NamedTuple

import trio

from p2p.errors import LocalError
from p2p.transports.admission import Places, RankOf
from p2p.transports.base import Endpoint, UnknownAddress, peer_id_of
from p2p.wire.frames import ByteStream, StreamLost, Unreachable
from p2p.wire.identity import Identity

_SCHEME: Final = "/memory/p2p/"
_CHUNKS_MAX: Final = 64


class PeerIdTaken(LocalError, ValueError):
    """A second endpoint with the identity of one that is open."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What may go wrong on the way, the same again for the same seed.

    Args:
        seed: Seed of all draws.
        delay_min_s: Shortest way of a frame or gossip message. [s]
        delay_max_s: Longest. [s]
        loss: Chance that a frame breaks its stream, or a gossip message does not arrive.
        duplication: Chance that a frame or gossip message arrives twice.
    """

    seed: int = 0
    delay_min_s: float = 0.0
    delay_max_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.delay_min_s <= self.delay_max_s:
            raise ValueError(f"delays of {self.delay_min_s} to {self.delay_max_s} s; need 0 <= min <= max")
        for name in ("loss", "duplication"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in 0 <= {name} < 1")


class Fate(NamedTuple):
    """What happens to one message on its way.

    Args:
        delay_s: How long it takes. [s]
        copies: How often it arrives; 0 where it is lost.
    """

    delay_s: float
    copies: int


def drawn_fate(faults: Faults, random: Random) -> Fate:
    """Draw what happens to the next message; always three draws, so that no rate shifts another."""
    delay, lost, twice = random.random(), random.random(), random.random()
    span = faults.delay_max_s - faults.delay_min_s
    copies = 0 if lost < faults.loss else 1 + (twice < faults.duplication)
    return Fate(faults.delay_min_s + delay * span, copies)


@dataclass(slots=True, eq=False)
class _MemoryStream:
    """One end of a pair; every `send` is one frame."""

    carry: Callable[[], Awaitable[int]]
    outgoing: trio.MemorySendChannel[bytes]
    incoming: trio.MemoryReceiveChannel[bytes]
    rest: bytes = b""
    closed: bool = False

    async def send(self, data: bytes) -> None:
        copies = await self.carry()
        if not copies:
            await self.close()
            raise StreamLost("the stream broke")
        try:
            for _ in range(copies):
                await self.outgoing.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise StreamLost("the other side closed the stream") from None

    async def receive(self, max_bytes: int) -> bytes:
        try:
            data = self.rest or await self.incoming.receive()
        except trio.EndOfChannel:
            return b""
        except trio.ClosedResourceError:
            raise StreamLost("the stream is closed") from None
        self.rest = data[max_bytes:]
        return data[:max_bytes]

    async def close(self) -> None:
        self.closed = True
        self.outgoing.close()
        self.incoming.close()


@dataclass(slots=True)
class MemoryNetwork:
    """Everybody who can meet in memory; open endpoints with `endpoint`."""

    faults: Faults = field(default_factory=Faults)
    _open: dict[str, MemoryEndpoint] = field(default_factory=dict)
    _randoms: dict[tuple[str, str, str], Random] = field(default_factory=dict)

    @asynccontextmanager
    async def endpoint(self, identity: Identity) -> AsyncIterator[MemoryEndpoint]:
        """Open an endpoint; on the way out its streams break, as those of a stopped process do.

        Raises:
            PeerIdTaken: The identity has an endpoint already.
        """
        peer_id = peer_id_of(identity.public_key)
        if peer_id in self._open:
            raise PeerIdTaken(f"peer {peer_id} is open already; close it first, or use another identity")
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            endpoint = self._open[peer_id] = self.make(peer_id, nursery)
            try:
                yield endpoint
            except (
                Exception,
                KeyboardInterrupt,
            ) as error:  # raised again outside the nursery, which would wrap it into a group
                failure = error
            finally:
                del self._open[peer_id]
                await endpoint.break_streams()
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def find(self, peer: str) -> MemoryEndpoint:
        """Return an open endpoint.

        Raises:
            Unreachable: There is none of that name.
        """
        if peer not in self._open:
            raise Unreachable(f"no peer {peer} in this network")
        return self._open[peer]

    def endpoints(self) -> list[MemoryEndpoint]:
        """All open endpoints, in the order of their peer ids."""
        return [self._open[peer] for peer in sorted(self._open)]

    def make(self, peer_id: str, nursery: trio.Nursery) -> MemoryEndpoint:
        """A new endpoint of this network."""
        return MemoryEndpoint(peer_id, self, nursery)

    def random(self, sender: str, receiver: str, channel: str) -> Random:
        """The generator of a link; it survives restarts, so that a retry draws again."""
        key = (sender, receiver, channel)
        if key not in self._randoms:
            self._randoms[key] = Random(f"{self.faults.seed}|{'|'.join(key)}")
        return self._randoms[key]

    def fate(self, sender: str, receiver: str, channel: str) -> Fate:
        """Draw what happens to the next message of a link."""
        return drawn_fate(self.faults, self.random(sender, receiver, channel))

    async def carry(self, sender: str, receiver: str, channel: str) -> int:
        """Wait for the time that a frame takes on a link, and return how often it arrives."""
        fate = self.fate(sender, receiver, channel)
        if fate.delay_s:
            await trio.sleep(fate.delay_s)
        return fate.copies


class MemoryEndpoint(Endpoint):
    """A node of a MemoryNetwork."""

    def __init__(self, peer_id: str, network: MemoryNetwork, nursery: trio.Nursery) -> None:
        super().__init__(peer_id, _SCHEME + peer_id)
        self._network = network
        self._nursery = nursery
        self._streams: list[_MemoryStream] = []

    @property
    def peers(self) -> int:
        return sum(other is not self for other in self._network.endpoints())

    async def connect(self, address: str) -> str:
        await trio.lowlevel.checkpoint()
        if not address.startswith(_SCHEME):
            raise UnknownAddress(f"address {address!r}; one in memory starts with {_SCHEME}")
        return self._network.find(address.removeprefix(_SCHEME)).peer_id

    async def wait_for_subscribers(self, topic: str, peers: int) -> None:
        while sum(topic in other.topics for other in self._network.endpoints() if other is not self) < peers:
            await trio.sleep(0.01)

    def admit(self, places: Places, rank_of: RankOf) -> None:
        """See `Endpoint`; without connections there are no places to take."""

    @property
    def topics(self) -> set[str]:
        """Topics with a local subscription."""
        return set(self._subscriptions)

    async def break_streams(self) -> None:
        """Close every stream from and to this endpoint."""
        for stream in list(self._streams):
            await stream.close()

    async def _open(self, peer: str, protocol: str) -> ByteStream:
        await trio.lowlevel.checkpoint()
        other = self._network.find(peer)
        if protocol not in other._handlers:
            raise Unreachable(f"peer {peer} does not serve {protocol}")
        to_peer, at_peer = trio.open_memory_channel[bytes](_CHUNKS_MAX)
        to_us, at_us = trio.open_memory_channel[bytes](_CHUNKS_MAX)
        carry = self._network.carry
        ours = _MemoryStream(partial(carry, self.peer_id, peer, protocol), to_peer, at_us)
        theirs = _MemoryStream(partial(carry, peer, self.peer_id, protocol), to_us, at_peer)
        self._keep(ours)
        other._keep(theirs)
        other._nursery.start_soon(other._answer, self.peer_id, protocol, theirs)
        return ours

    def _keep(self, stream: _MemoryStream) -> None:
        self._streams = [other for other in self._streams if not other.closed] + [stream]

    async def _join(self, topic: str) -> None:
        await trio.lowlevel.checkpoint()

    async def _spread(self, topic: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        for other in self._network.endpoints():
            if other is self or topic not in other.topics:
                continue
            fate = self._network.fate(self.peer_id, other.peer_id, topic)
            for _ in range(fate.copies):
                if fate.delay_s:
                    other._nursery.start_soon(other._arrive_later, fate.delay_s, topic, self.peer_id, data)
                else:  # a task would arrive in trio's random order
                    other._arrive(topic, self.peer_id, data)

    async def _arrive_later(self, delay_s: float, topic: str, author: str, data: bytes) -> None:
        await trio.sleep(delay_s)
        self._arrive(topic, author, data)

    def _arrive(self, topic: str, author: str, data: bytes) -> None:
        if self._admits(topic, author, data):
            self._deliver(topic, author, data)
