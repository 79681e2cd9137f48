"""The network of a simulated neighbourhood: cuts, slow ways, hangs, and every message seen by observers.

A request may go as frames over streams, as between processes, or directly: then the other node's handler runs in the
task of the one that asks, which is faster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import trio

from p2p.transports.base import HANDLER_TIMEOUT_S, _Link
from p2p.transports.memory import Fate, Faults, MemoryEndpoint, MemoryNetwork, drawn_fate
from p2p.wire.frames import Frame, FrameKind, StreamLost, Unreachable
from wattswap.simulation.disk import Crashed
from wattswap.simulation.scheduler import pause

CONNECT_TIMEOUT_S = 5.0
"""How long a node that does not answer is dialled. [s]"""
NO_FAULTS = Faults()


class Seen(Protocol):
    """Called with every message: kind ("ask", "reply", "gossip", "arrival"), sender, receiver, channel, data.

    A question is seen when it leaves, and a reply, with its question before it, when it has arrived.
    """

    def __call__(
        self, kind: str, sender: str, receiver: str, channel: str, data: bytes, asked: bytes
    ) -> None: ...


@dataclass(slots=True)
class Trace:
    """What happened on the network, as one hash: two runs of a seed have the same."""

    lines: list[str] | None = None
    events: int = 0
    _digest: Any = field(default_factory=sha256)

    def __call__(
        self, kind: str, sender: str, receiver: str, channel: str, data: bytes, asked: bytes = b""
    ) -> None:
        """Add one message."""
        short = sha256(data).hexdigest()[:16]
        line = f"{trio.current_time():.6f} {kind} {sender} {receiver} {channel} {short}"
        self._digest.update(line.encode() + b"\n")
        self.events += 1
        if self.lines is not None:
            self.lines.append(line)

    def hexdigest(self) -> str:
        """The hash so far."""
        return str(self._digest.hexdigest())


@dataclass(slots=True)
class SimulatedNetwork(MemoryNetwork):
    """A network in memory whose ways change while it runs.

    Args:
        faults: What may go wrong at first; `weather` replaces it.
        names: Node by peer id.
        direct: Whether requests run without streams.

    Attributes:
        weather: What may go wrong now.
        slow: How many times longer a way takes, by (sender, receiver).
        seen: Observers.
    """

    names: dict[str, str] = field(default_factory=dict)
    direct: bool = False
    weather: Faults = NO_FAULTS
    slow: dict[tuple[str, str], float] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    _cuts: dict[tuple[str, str], int] = field(default_factory=dict)
    _hung: dict[str, int] = field(default_factory=dict)
    _changed: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.weather = self.faults

    def make(self, peer_id: str, nursery: trio.Nursery) -> MemoryEndpoint:
        """A new endpoint of this network."""
        return (DirectEndpoint if self.direct else FramedEndpoint)(peer_id, self, nursery)

    # --- what acts change -----------------------------------------------------------------------------

    def cut(self, ways: Iterable[tuple[str, str]]) -> None:
        """Let nothing through from the first to the second of each pair of nodes until it is joined again."""
        for way in ways:
            self._cuts[way] = self._cuts.get(way, 0) + 1

    def join(self, ways: Iterable[tuple[str, str]]) -> None:
        """Undo one `cut`."""
        for way in ways:
            self._cuts[way] -= 1
        self._notify()

    def hang(self, name: str) -> None:
        """Hold back what goes to and from a node until it goes on."""
        self._hung[name] = self._hung.get(name, 0) + 1

    def go_on(self, name: str) -> None:
        """Undo one `hang`."""
        self._hung[name] -= 1
        self._notify()

    def drop(self, peer: str) -> None:
        """Let a node be gone at once: it sends nothing more, and nobody reaches it."""
        endpoint = self._open.pop(peer, None)
        if isinstance(endpoint, SimulatedEndpoint):
            endpoint.gone = True
            endpoint.stop_serving()

    def _notify(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    # --- what endpoints ask -----------------------------------------------------------------------------

    def fate(self, sender: str, receiver: str, channel: str) -> Fate:
        """Draw what happens to the next message of a way."""
        fate = drawn_fate(self.weather, self.random(sender, receiver, channel))
        factor = self.slow.get((self.names[sender], self.names[receiver]))
        return fate if factor is None else Fate(fate.delay_s * factor, fate.copies)

    async def carry(self, sender: str, receiver: str, channel: str) -> int:
        """See `MemoryNetwork`; waits while the way is cut, as a connection that sends again does."""
        fate = self.fate(sender, receiver, channel)
        if fate.delay_s:
            await pause(fate.delay_s)
        while self.is_barred(sender, receiver):
            await self._changed.wait()
        return fate.copies

    def is_barred(self, sender: str, receiver: str) -> bool:
        """Whether nothing goes from one node to another now."""
        a, b = self.names[sender], self.names[receiver]
        return self._cuts.get((a, b), 0) > 0 or self._hung.get(a, 0) > 0 or self._hung.get(b, 0) > 0

    def note(
        self, kind: str, sender: str, receiver: str, channel: str, data: bytes, asked: bytes = b""
    ) -> None:
        """Show a message to the observers."""
        for seen in self.seen:
            seen(kind, self.names[sender], self.names[receiver], channel, data, asked)


class SimulatedEndpoint(MemoryEndpoint):
    """A node's endpoint; once it is gone nothing leaves it."""

    _network: SimulatedNetwork

    def __init__(self, peer_id: str, network: SimulatedNetwork, nursery: trio.Nursery) -> None:
        super().__init__(peer_id, network, nursery)
        self.gone = False
        self.serving: dict[trio.CancelScope, None] = {}

    async def connect(self, address: str) -> str:
        """See `Endpoint`; a node that does not answer in time is unreachable."""
        self._alive()
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            peer = await super().connect(address)
            for way in ((self.peer_id, peer), (peer, self.peer_id)):
                await self._network.carry(*way, "connect")
            self._network.find(peer)
            return peer
        raise Unreachable(f"no answer at {address} within {CONNECT_TIMEOUT_S:g} s")

    def stop_serving(self) -> None:
        """End all handlers: those who ask lose their answer."""
        scopes, self.serving = self.serving, {}
        for scope in scopes:
            scope.cancel()

    def _alive(self) -> None:
        if self.gone:
            raise StreamLost("this node is gone")

    async def _spread(self, topic: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self.gone:
            return
        for other in self._network.endpoints():
            if other is self or topic not in other.topics:
                continue
            fate = self._network.fate(self.peer_id, other.peer_id, topic)
            if self._network.is_barred(self.peer_id, other.peer_id):
                continue
            self._network.note("gossip", self.peer_id, other.peer_id, topic, data)
            for _ in range(fate.copies):
                other._nursery.start_soon(other._arrive_later, fate.delay_s, topic, self.peer_id, data)

    def _arrive(self, topic: str, author: str, data: bytes) -> None:
        if not self.gone:
            self._network.note("arrival", author, self.peer_id, topic, data)
            super()._arrive(topic, author, data)


class FramedEndpoint(SimulatedEndpoint):
    """An endpoint whose requests go as frames over streams."""

    async def _exchange(self, link: _Link, peer: str, protocol: str, payload: bytes) -> Frame:
        self._alive()
        self._network.note("ask", self.peer_id, peer, protocol, payload)
        reply = await super()._exchange(link, peer, protocol, payload)
        self._network.note("reply", peer, self.peer_id, protocol, reply.payload, payload)
        return reply

    async def _send(self, stream: object, frame: Frame) -> None:
        self._alive()
        await super()._send(stream, frame)  # type: ignore[arg-type]


class DirectEndpoint(SimulatedEndpoint):
    """An endpoint whose requests call the handler of the other node."""

    async def _exchange(self, link: _Link, peer: str, protocol: str, payload: bytes) -> Frame:
        self._alive()
        network = self._network
        network.note("ask", self.peer_id, peer, protocol, payload)
        copies = await network.carry(self.peer_id, peer, protocol)
        self._alive()
        other = network.find(peer)
        if protocol not in other._handlers:
            raise Unreachable(f"peer {peer} does not serve {protocol}")
        if not copies:
            raise StreamLost("the stream broke")
        assert isinstance(other, DirectEndpoint)
        request = Frame(1, FrameKind.REQUEST, payload)
        self._count_sent(request)
        replies = [await other.serve_directly(self.peer_id, protocol, request) for _ in range(copies)]
        if not await network.carry(peer, self.peer_id, protocol):
            raise StreamLost("the stream broke")
        self._alive()
        reply = replies[0]
        self._received(reply)
        network.note("reply", peer, self.peer_id, protocol, reply.payload, payload)
        return reply

    async def serve_directly(self, peer: str, protocol: str, request: Frame) -> Frame:
        """Answer a request in the task of the one who asks.

        Raises:
            StreamLost: This node stopped meanwhile.
        """
        scope = trio.move_on_after(HANDLER_TIMEOUT_S)
        self.serving[scope] = None
        try:
            self._received(request)
            reply = await self._reply(peer, protocol, request, scope)
            if scope in self.serving:
                self._count_sent(reply)
                return reply
        except Crashed:
            pass
        finally:
            self.serving.pop(scope, None)
        raise StreamLost(f"{self.peer_id} stopped")

    async def break_streams(self) -> None:
        """End every request from and to this endpoint."""
        self.stop_serving()
        await super().break_streams()

    def _count_sent(self, frame: Frame) -> None:
        self._stats.frames_sent += 1
        self._stats.bytes_sent += len(frame)
