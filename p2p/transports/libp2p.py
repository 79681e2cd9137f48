"""Real nodes: py-libp2p with Noise, Yamux and GossipSub on 127.0.0.1, behind the interface of p2p.transports.base.

Every departure from the library's defaults below was caused by a lost message or a crashed host:
docs/reference/protocol/transport.md lists them with what happens otherwise,
tests/p2p/transports/test_transport_traps.py shows that it does not happen here.
libp2p is imported inside the functions: it takes most of a second and 84 MB.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from p2p.transports.admission import HANDSHAKE_S, Admission, Places, RankOf
from p2p.transports.base import Endpoint, Handler, UnknownAddress, peer_id_of
from p2p.transports.counters import TransportStats
from p2p.wire.frames import ByteStream, LinkError, StreamLost, Unreachable
from p2p.wire.identity import Identity

GOSSIP_PROTOCOL: Final = "/meshsub/1.1.0"
"""1.2 and later send an extra signed RPC for every message."""
MAX_SOCKETS: Final = 2_048
"""Connections at which the library itself refuses; the limits of a node are its `Places`."""
PUBLISH_GAP_S: Final = 0.005
"""Pause after each publish: libp2p keeps 32 RPCs per peer and drops the rest without a word. [s]"""
HEARTBEAT_S: Final = 1
CLOSE_TIMEOUT_S: Final = 5.0
DEGREE: Final = 6
DEGREE_LOW: Final = 4
INVALID_MAX: Final = 32.0
"""Gossip that a peer may pass on though it is refused here; of one with more, none is read for a while."""
INVALID_DECAY: Final = 0.9
"""Share of it that is remembered after a heartbeat."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_libp2p(
    identity: Identity, *, port: int = 0, places: Places | None = None
) -> AsyncIterator[Libp2pEndpoint]:
    """Run a node on 127.0.0.1 while the block runs.

    Args:
        identity: Its key; the peer id follows from it.
        port: TCP port, 0 for a free one. Give the old one to a node that returns, so that its peers find it.
        places: For connections from others, who all are members of equal rank until `Endpoint.admit`.

    The services are outside `host.run`, and the host is closed inside it: otherwise a frame in flight at
    shutdown kills the host, and its sockets stay open.
    """
    from libp2p.pubsub.pubsub import Pubsub
    from libp2p.tools.anyio_service import background_trio_service
    from multiaddr import Multiaddr

    _let_it_log_nothing()
    stats = TransportStats()
    admission = Admission(stats.refused, places or Places())
    host = _new_host(identity, admission)
    router = _new_router()
    pubsub = Pubsub(host, router)
    # The default counts from the second of the start: peers would take a restarted node's messages for old.
    pubsub.counter = time.time_ns()
    failure: BaseException | None = None
    stopping = False
    try:
        async with (
            background_trio_service(pubsub),
            background_trio_service(router),
            host.run([Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")]),
        ):
            await pubsub.wait_until_ready()
            async with trio.open_nursery() as nursery:
                endpoint = Libp2pEndpoint(
                    peer_id_of(identity.public_key), host, pubsub, nursery, stats, admission
                )
                try:
                    yield endpoint
                except (Exception, KeyboardInterrupt) as error:  # raised again outside the nurseries' groups
                    failure = error
                finally:
                    stopping = not any(
                        service.manager.did_error for service in (pubsub, router, host.get_network())
                    )
                    endpoint.deaf = True
                    nursery.cancel_scope.cancel()
                    with trio.move_on_after(CLOSE_TIMEOUT_S) as scope:
                        scope.shield = True
                        await host.close()
    except* Exception as errors:
        if not stopping:
            raise
        # A message in flight may still meet a closed socket inside the library.
        _log.debug("libp2p while stopping: %r", errors)
    if failure is not None:
        raise failure


class _NotOfTheLibrary(logging.Filter):
    """Refuses what libp2p writes to the root logger, as it does where a connection ends badly."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "libp2p" not in Path(record.pathname).parent.parts


_NOT_OF_THE_LIBRARY = _NotOfTheLibrary()


def _let_it_log_nothing() -> None:
    """Set the library's logs to nothing, unless LIBP2P_DEBUG asks for them; call it once libp2p is imported.

    It logs an error for every peer that goes away or is not up yet, again with each attempt; what matters is raised or
    counted. Its import sets a level of its own, so that one set before does not last.
    """
    if not os.environ.get("LIBP2P_DEBUG"):
        logging.getLogger("libp2p").setLevel(logging.CRITICAL + 1)
        logging.getLogger().addFilter(_NOT_OF_THE_LIBRARY)


def _new_host(identity: Identity, admission: Admission) -> Any:
    from libp2p import new_host
    from libp2p.crypto import ed25519, x25519
    from libp2p.network.config import ConnectionConfig
    from libp2p.rcmgr import ResourceLimits, new_resource_manager
    from libp2p.rcmgr.connection_limits import ConnectionLimits
    from libp2p.security.noise.transport import PROTOCOL_ID

    from p2p.transports.guard import GuardedNoise, GuardedTcp

    key_pair = ed25519.create_new_key_pair(identity.seed)
    noise = GuardedNoise(key_pair, noise_privkey=x25519.create_new_key_pair().private_key)
    # Without watermarks at 0 the host dials whoever it knows until it has 100 connections.
    connections = ConnectionConfig(
        min_connections=0,
        low_watermark=0,
        high_watermark=MAX_SOCKETS,
        max_connections=MAX_SOCKETS,
        inbound_upgrade_timeout=HANDSHAKE_S,
    )
    # The default accepts 256 connections, whoever they are from.
    resources = new_resource_manager(
        limits=ResourceLimits(max_connections=MAX_SOCKETS), connection_limits=ConnectionLimits()
    )
    return new_host(
        key_pair=key_pair,
        sec_opt={PROTOCOL_ID: noise},  # the default would also accept plain text
        connection_config=connections,
        resource_manager=resources,
        transports=[GuardedTcp(admission)],
    )


def _new_router() -> Any:
    from libp2p.pubsub.gossipsub import GossipSub
    from libp2p.pubsub.score import ScoreParams, TopicScoreParams

    invalid = TopicScoreParams(weight=1.0, cap=2 * INVALID_MAX, decay=INVALID_DECAY)

    return GossipSub(
        [GOSSIP_PROTOCOL],
        degree=DEGREE,
        degree_low=DEGREE_LOW,
        # A mesh above this is pruned, and a pruned node may receive nothing for a minute: never reach it.
        degree_high=MAX_SOCKETS,
        heartbeat_interval=HEARTBEAT_S,
        spam_protection_enabled=False,  # drops what a forwarder passes on above 10 messages/s
        adaptive_gossip_enabled=False,  # sets the heartbeat to 30 or 60 s when it feels unwell
        eclipse_protection_enabled=False,
        score_params=ScoreParams(p4_invalid_messages=invalid, publish_threshold=-INVALID_MAX),
    )


def never_raising(admits: Callable[[str, bytes], bool]) -> Callable[[object, Any], bool]:
    """Return a topic validator of (author, data) -> bool that is a plain function and never raises.

    Where the validator is a coroutine, libp2p delivers a message once for every path; an exception in it ends
    the host.
    """

    def validator(_forwarder: object, message: Any) -> bool:
        try:
            return admits(_peer_name(message.from_id), message.data)
        except Exception:
            _log.exception("gossip validator")
            return False

    return validator


class _Libp2pStream:
    """A libp2p stream whose failures are LinkErrors."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        try:
            await self._stream.write(data)
        except Exception as error:  # the library raises its own, Yamux's, trio's and builtin errors here
            raise StreamLost(f"the stream broke while sending: {error!r}") from error

    async def receive(self, max_bytes: int) -> bytes:
        from libp2p.network.stream.exceptions import StreamEOF

        try:
            data: bytes = await self._stream.read(max_bytes)
        except StreamEOF:
            return b""
        except Exception as error:
            raise StreamLost(f"the stream broke while reading: {error!r}") from error
        return data

    async def close(self) -> None:
        try:
            await self._stream.close()
        except Exception as error:
            _log.debug("closing a stream: %r", error)


class Libp2pEndpoint(Endpoint):
    """A running libp2p node; `open_libp2p` makes it."""

    def __init__(
        self,
        peer_id: str,
        host: Any,
        pubsub: Any,
        nursery: trio.Nursery,
        stats: TransportStats,
        admission: Admission,
    ) -> None:
        super().__init__(peer_id, _address_of(host, peer_id))
        self._stats = stats
        self._admission = admission
        self._host = host
        self._pubsub = pubsub
        self._nursery = nursery
        self._addresses: dict[str, str] = {}
        self._joining = trio.Lock()
        self._publishing = trio.Lock()
        self.deaf = False
        """Set while the node stops: the library cannot pass a message on once its sockets are closed."""

    def serve(self, protocol: str, handler: Handler) -> None:
        super().serve(protocol, handler)

        async def on_stream(stream: Any) -> None:
            await self._answer(stream.muxed_conn.peer_id.to_base58(), protocol, _Libp2pStream(stream))

        self._host.set_stream_handler(protocol, on_stream)

    async def connect(self, address: str) -> str:
        from libp2p.peer.peerinfo import info_from_p2p_addr
        from multiaddr import Multiaddr

        try:
            info = info_from_p2p_addr(Multiaddr(address))
        except Exception as error:
            raise UnknownAddress(
                f"address {address!r} is not like /ip4/127.0.0.1/tcp/4001/p2p/12D3...: {error}"
            ) from None
        peer: str = info.peer_id.to_base58()
        # A peer that was down once would not be dialled for a minute, whether it is up again or not.
        self._host.get_network().unblock_peer(info.peer_id)
        try:
            await self._host.connect(info)
        except Exception as error:
            raise Unreachable(f"no answer of {peer} at {address}: {error!r}") from error
        self._addresses[peer] = address
        return peer

    @property
    def peers(self) -> int:
        return len(self._host.get_connected_peers())

    def admit(self, places: Places, rank_of: RankOf) -> None:
        self._admission.places, self._admission.rank_of = places, rank_of

    def mesh_size(self, topic: str) -> int:
        """How many peers get our messages of a topic directly; 0 for long means that we receive nothing."""
        mesh = self._pubsub.router.mesh.get(topic, ())
        return sum(
            peer in self._pubsub.peers for peer in mesh
        )  # the library may leave a dead one in the mesh

    async def wait_for_subscribers(self, topic: str, peers: int) -> None:
        await self._join(topic)
        while self.mesh_size(topic) < peers:
            await trio.sleep(0.02)

    async def _open(self, peer: str, protocol: str) -> ByteStream:
        from libp2p.peer.id import ID

        peer_id = ID.from_base58(peer)
        if not self._host.is_peer_connected(peer_id):
            if peer not in self._addresses:
                raise Unreachable(f"no connection to peer {peer} and no address of it; connect first")
            await self.connect(self._addresses[peer])
        try:
            return _Libp2pStream(await self._host.new_stream(peer_id, [protocol]))
        except Exception as error:
            raise Unreachable(f"no stream to {peer} on {protocol}: {error!r}") from error

    async def _join(self, topic: str) -> None:
        async with self._joining:
            if topic in self._pubsub.topic_ids:
                return
            self._pubsub.set_topic_validator(topic, never_raising(partial(self._hears, topic)), False)
            self._nursery.start_soon(self._drain, topic, await self._pubsub.subscribe(topic))

    def _hears(self, topic: str, author: str, data: bytes) -> bool:
        return not self.deaf and self._admits(topic, author, data)

    async def _drain(self, topic: str, source: Any) -> None:
        """Move messages to our own queues at once: libp2p's holds 32 and then drops the new ones."""
        while True:
            message = await source.get()
            author = _peer_name(message.from_id)
            if author != self.peer_id:
                self._deliver(topic, author, message.data)

    async def _spread(self, topic: str, data: bytes) -> None:
        await self._join(topic)  # a stranger to a topic reaches no more than DEGREE of its members
        async with self._publishing:
            try:
                await self._pubsub.publish(topic, data)
            except Exception as error:
                raise LinkError(f"gossip on {topic} failed: {error!r}") from error
            await trio.sleep(PUBLISH_GAP_S)


def _peer_name(from_id: bytes) -> str:
    from libp2p.peer.id import ID

    name: str = ID(from_id).to_base58()
    return name


def _address_of(host: Any, peer_id: str) -> str:
    first = str(host.get_addrs()[0])
    return f"{first.split('/p2p/')[0]}/p2p/{peer_id}"
