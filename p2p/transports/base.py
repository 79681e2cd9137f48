"""The common part of all transports: persistent acknowledged streams, gossip queues, limits, counters.

A transport differs only in how it opens a byte stream and how it spreads gossip (`Endpoint._open`, `_join`,
`_spread`). Everything a peer can see or get wrong is here, once, so that the in-memory network and libp2p
carry the same bytes and refuse the same things. One request is in flight per stream (p2p.wire.frames).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol, Self

import trio

from p2p.errors import LocalError, Malformed, P2PError, RemoteError, TooLarge
from p2p.transports.admission import Places, RankOf
from p2p.transports.counters import TransportStats
from p2p.wire.frames import (
    FRAME_MAX_BYTES,
    ByteStream,
    Frame,
    FrameKind,
    FrameReader,
    LinkError,
    NoReply,
    StreamLost,
)
from p2p.wire.identity import PUBLIC_KEY_BYTES

GOSSIP_MAX_BYTES: Final = 64 * 1024
"""Largest gossip message. [B]"""
QUEUE_MAX: Final = 256
"""Messages a subscription holds for a slow reader; newer ones are dropped and counted."""
HANDLER_TIMEOUT_S: Final = 5.0
REQUEST_TIMEOUT_S: Final = 10.0
"""Longer than the handler's, so that a slow handler is reported as such and not as a lost peer. [s]"""

_ID_MAX: Final = 2**32 - 1
_CLOSE_TIMEOUT_S: Final = 1.0
_STREAM_FAULT: Final = 0
"""Request id of an error frame that answers no readable request."""

_log = logging.getLogger(__name__)

Handler = Callable[[str, bytes], Awaitable[bytes]]
"""Answers a frame: (peer id, payload) -> payload. A RemoteError it raises goes back as its code."""
GossipCheck = Callable[[str, bytes], None]
"""Raises a RemoteError for gossip that is neither delivered nor passed on: (author, data)."""


class FrameTooLarge(LocalError, ValueError):
    """A frame or gossip message of ours beyond the limit; nothing was sent."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(f"a {what} of {size} bytes; the limit is {limit}. Split it.")


class UnknownAddress(LocalError, ValueError):
    """An address this transport cannot dial."""


class RequestRefused(P2PError):
    """The peer answered with an error frame."""

    def __init__(self, peer: str, protocol: str, code: str) -> None:
        self.peer = peer
        self.protocol = protocol
        self.code = code
        super().__init__(f"peer {peer} refused a request on {protocol}: {code}")


PEER_FAILED: Final = (LinkError, RequestRefused)
"""What a request may end with that is not a fault of ours; a LocalError is never among it."""


@dataclass(frozen=True, slots=True)
class Gossip:
    """One message of a topic and the peer that wrote it (not the one that passed it on)."""

    author: str
    data: bytes


class Transport(Protocol):
    """What the roles may use of an endpoint."""

    @property
    def peer_id(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def stats(self) -> TransportStats: ...

    @property
    def peers(self) -> int: ...

    async def connect(self, address: str) -> str: ...

    async def request(self, peer: str, protocol: str, frame: bytes) -> bytes: ...

    def serve(self, protocol: str, handler: Handler) -> None: ...

    async def publish(self, topic: str, data: bytes) -> None: ...

    async def subscribe(self, topic: str) -> Subscription: ...

    async def wait_for_subscribers(self, topic: str, peers: int) -> None: ...

    def admit(self, places: Places, rank_of: RankOf) -> None: ...

    def check_gossip(self, topic: str, check: GossipCheck) -> None: ...


class Subscription:
    """A bounded queue of one topic; iterate it, or `receive`. What does not fit is dropped and counted."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.dropped = 0
        self._send, self._receive = trio.open_memory_channel[Gossip](QUEUE_MAX)

    def offer(self, message: Gossip) -> bool:
        """Queue a message; False where the reader is too slow."""
        try:
            self._send.send_nowait(message)
        except trio.WouldBlock:
            self.dropped += 1
            return False
        return True

    async def receive(self) -> Gossip:
        """Wait for the next message."""
        return await self._receive.receive()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Gossip:
        return await self.receive()


@dataclass(slots=True)
class _Link:
    """Our persistent stream to one peer and protocol; the lock keeps one request in flight."""

    lock: trio.Lock = field(default_factory=trio.Lock)
    stream: ByteStream | None = None
    reader: FrameReader | None = None
    last_id: int = 0

    async def __aenter__(self) -> None:
        try:
            self.lock.acquire_nowait()  # the other one lets all tasks run first, also where nobody holds it
        except trio.WouldBlock:
            await self.lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.lock.release()


class Endpoint(ABC):
    """The common half of a transport. Subclasses open byte streams and spread gossip."""

    def __init__(self, peer_id: str, address: str) -> None:
        self._peer_id = peer_id
        self._address = address
        self._stats = TransportStats()
        self._handlers: dict[str, Handler] = {}
        self._links: dict[tuple[str, str], _Link] = {}
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._gossip_checks: dict[str, GossipCheck] = {}

    @property
    def peer_id(self) -> str:
        """Name of this node; it is its public key in another form (`peer_id_of`)."""
        return self._peer_id

    @property
    def address(self) -> str:
        """Where others `connect` to, with the peer id."""
        return self._address

    @property
    def stats(self) -> TransportStats:
        """Live counters."""
        return self._stats

    @property
    @abstractmethod
    def peers(self) -> int:
        """Nodes that are connected now."""

    @abstractmethod
    def admit(self, places: Places, rank_of: RankOf) -> None:
        """Say how many connections from others this node has, and who is who; before, everybody is a member."""

    @abstractmethod
    async def connect(self, address: str) -> str:
        """Dial an address, store it for later dials, and return the peer id that answered.

        Raises:
            UnknownAddress: Not an address of this transport.
            Unreachable: Nobody with that peer id answered.
        """

    @abstractmethod
    async def wait_for_subscribers(self, topic: str, peers: int) -> None:
        """Wait until a message to `topic` would be sent to at least this number of peers."""

    @abstractmethod
    async def _open(self, peer: str, protocol: str) -> ByteStream: ...

    @abstractmethod
    async def _join(self, topic: str) -> None: ...

    @abstractmethod
    async def _spread(self, topic: str, data: bytes) -> None: ...

    def serve(self, protocol: str, handler: Handler) -> None:
        """Answer every frame that arrives on `protocol`; one handler at a time per stream.

        A handler that raises or takes longer than HANDLER_TIMEOUT_S is answered for by an error frame.
        """
        self._handlers[protocol] = handler

    async def request(self, peer: str, protocol: str, frame: bytes) -> bytes:
        """Send a frame over the persistent stream to `peer` and return its reply.

        Raises:
            FrameTooLarge: `frame` is beyond FRAME_MAX_BYTES.
            RequestRefused: The peer answered with an error code.
            LinkError: The way failed; the next request opens a new stream.
            RemoteError: The peer answered with something that is not a frame.
        """
        if len(frame) > FRAME_MAX_BYTES:
            raise FrameTooLarge("frame", len(frame), FRAME_MAX_BYTES)
        link = self._links.setdefault((peer, protocol), _Link())
        async with link:
            with trio.move_on_after(REQUEST_TIMEOUT_S):
                try:
                    reply = await self._exchange(link, peer, protocol, frame)
                except BaseException as error:  # a cancelled exchange leaves the stream half read
                    await _drop(link)
                    if isinstance(error, RemoteError):
                        self._stats.refused.add(peer, error.code, error.detail)
                    raise
                if reply.kind == FrameKind.ERROR:
                    if reply.request_id == _STREAM_FAULT:
                        await _drop(link)
                    raise RequestRefused(peer, protocol, reply.payload.decode("ascii", "replace"))
                return reply.payload
        raise NoReply(f"no reply from {peer} on {protocol} within {REQUEST_TIMEOUT_S:g} s")

    async def _exchange(self, link: _Link, peer: str, protocol: str, payload: bytes) -> Frame:
        if link.stream is None or link.reader is None:
            link.stream = await self._open(peer, protocol)
            link.reader = FrameReader(link.stream)
            self._stats.streams_opened += 1
        link.last_id = link.last_id % _ID_MAX + 1
        await self._send(link.stream, Frame(link.last_id, FrameKind.REQUEST, payload))
        while True:
            reply = await link.reader.read()
            if reply is None:
                raise StreamLost(f"{peer} closed the stream on {protocol} before its reply")
            self._received(reply)
            if reply.kind == FrameKind.REQUEST:
                raise Malformed("a request where a reply was due")
            if reply.request_id in (link.last_id, _STREAM_FAULT):
                return reply  # an older id answers a request that arrived twice

    async def publish(self, topic: str, data: bytes) -> None:
        """Gossip a message to all subscribers; a hint without an acknowledgement, it may be lost.

        Raises:
            FrameTooLarge: `data` is beyond GOSSIP_MAX_BYTES.
        """
        if len(data) > GOSSIP_MAX_BYTES:
            raise FrameTooLarge("gossip message", len(data), GOSSIP_MAX_BYTES)
        await self._spread(topic, data)
        self._stats.gossip_sent += 1

    async def subscribe(self, topic: str) -> Subscription:
        """Join a topic; a node does not receive its own messages. Every subscription gets every message."""
        subscription = Subscription(topic)
        self._subscriptions.setdefault(topic, []).append(subscription)
        await self._join(topic)
        return subscription

    def check_gossip(self, topic: str, check: GossipCheck) -> None:
        """Check the gossip of a topic before it is delivered here or passed on."""
        self._gossip_checks[topic] = check

    def _admits(self, topic: str, author: str, data: bytes) -> bool:
        """Whether gossip is within its limit and right; what is not is counted and goes no further."""
        try:
            if len(data) > GOSSIP_MAX_BYTES:
                raise TooLarge(f"{len(data)} bytes of gossip; the limit is {GOSSIP_MAX_BYTES}")
            if topic in self._gossip_checks:
                self._gossip_checks[topic](author, data)
        except RemoteError as error:
            self._stats.refused.add(author, error.code, error.detail)
            return False
        return True

    def _deliver(self, topic: str, author: str, data: bytes) -> None:
        self._stats.gossip_received += 1
        for subscription in self._subscriptions.get(topic, ()):
            if not subscription.offer(Gossip(author, data)):
                self._stats.gossip_dropped += 1

    async def _answer(self, peer: str, protocol: str, stream: ByteStream) -> None:
        """Serve one incoming stream until it ends; never raises an Exception, whatever the peer does."""
        reader = FrameReader(stream)
        try:
            while (frame := await reader.read()) is not None:
                self._received(frame)
                if frame.kind != FrameKind.REQUEST:
                    raise Malformed("a reply where a request was due")
                in_time = trio.move_on_after(HANDLER_TIMEOUT_S)
                await self._send(stream, await self._reply(peer, protocol, frame, in_time))
        except RemoteError as error:  # where the next frame begins is unknown, so this stream is over
            self._stats.refused.add(peer, error.code, error.detail)
            await self._last_word(stream, error.code)
        except LinkError:
            pass
        except Exception:
            _log.exception("stream of %s on %s", peer, protocol)
        finally:
            await _close(stream)

    async def _reply(self, peer: str, protocol: str, frame: Frame, scope: trio.CancelScope) -> Frame:
        """Call the handler, in a scope that ends after HANDLER_TIMEOUT_S."""
        code, detail = "handler_timeout", f"no answer on {protocol} within {HANDLER_TIMEOUT_S:g} s"
        with scope:
            try:
                payload = await self._handlers[protocol](peer, frame.payload)
                if len(payload) <= FRAME_MAX_BYTES:
                    return Frame(frame.request_id, FrameKind.REPLY, payload)
                code, detail = "reply_too_large", f"{len(payload)} bytes on {protocol}"
            except RemoteError as error:
                code, detail = error.code, error.detail
            except Exception as error:  # a fault of ours: the log has the rest
                _log.exception("handler of %s", protocol)
                code, detail = "handler_failed", f"{type(error).__name__} on {protocol}"
        self._stats.refused.add(peer, code, detail)
        return Frame(frame.request_id, FrameKind.ERROR, code.encode())

    async def _send(self, stream: ByteStream, frame: Frame) -> None:
        data = frame.pack()
        await stream.send(data)
        self._stats.frames_sent += 1
        self._stats.bytes_sent += len(data)

    def _received(self, frame: Frame) -> None:
        self._stats.frames_received += 1
        self._stats.bytes_received += len(frame)

    async def _last_word(self, stream: ByteStream, code: str) -> None:
        with trio.move_on_after(_CLOSE_TIMEOUT_S):
            try:
                await self._send(stream, Frame(_STREAM_FAULT, FrameKind.ERROR, code.encode()))
            except LinkError:
                return


async def _drop(link: _Link) -> None:
    stream, link.stream, link.reader = link.stream, None, None
    if stream is not None:
        await _close(stream)


async def _close(stream: ByteStream) -> None:
    with trio.move_on_after(_CLOSE_TIMEOUT_S) as scope:
        scope.shield = True
        await stream.close()


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519_PEER_PREFIX = bytes.fromhex("002408011220")
_PEER_ID_MAX: Final = 64
"""More digits than any peer id has."""


@lru_cache(maxsize=4_096)
def peer_id_of(public_key: bytes) -> str:
    """Return the libp2p peer id of an Ed25519 public key: base58 of the key as an identity multihash.

    Both transports name peers so; an authenticated peer id is therefore a proof of the key behind it.

    Source: libp2p specs, peer-ids.md.
    """
    data = _ED25519_PEER_PREFIX + public_key
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    leading_zeros = len(data) - len(data.lstrip(b"\0"))
    return _BASE58[0] * leading_zeros + digits


@lru_cache(maxsize=4_096)
def public_key_of(peer: str) -> bytes:
    """Return the Ed25519 public key in a libp2p peer id, as `peer_id_of` writes it.

    Raises:
        Malformed: It is the peer id of no such key.
    """
    number = 0
    for digit in peer[:_PEER_ID_MAX]:
        number = 58 * number + _BASE58.find(digit)
    key: bytes = (number % (1 << 8 * PUBLIC_KEY_BYTES)).to_bytes(PUBLIC_KEY_BYTES, "big")
    if peer_id_of(key) != peer:
        raise Malformed(f"{peer[:_PEER_ID_MAX]!r} is no peer id of an Ed25519 key")
    return key


def is_peer_id(text: str) -> bool:
    """Whether a text is the peer id of an Ed25519 public key, as `peer_id_of` writes it."""
    try:
        return bool(public_key_of(text))
    except Malformed:
        return False
