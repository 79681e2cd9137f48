"""status/2: role, height, clock, counters and refusals of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from p2p.errors import WrongChain, WrongVersion
from p2p.transports.base import Transport
from p2p.wire.codec import Record, decode, encode
from p2p.wire.messages import VERSION

STATUS_PROTOCOL = "/wattswap/status/2"
MAX_COUNTERS = 64
MAX_REFUSED = 16
"""Pairs of peer and code whose refusals are reported, the most frequent ones."""
_MAX_BYTES = 8 * 1024


class StatusQuery(Record, frozen=True):
    """A question of anybody."""

    version: int
    chain_id: bytes


class Refused(Record, frozen=True):
    """How often a node has refused something of a peer, and the code of the reason."""

    peer: str
    code: str
    times: int


class NodeStatus(Record, frozen=True):
    """The answer.

    Args:
        role: "validator", "operator", "observer", ...
        name: Peer id of the node.
        height: Of its newest block.
        ready: 1 when it does its work now.
        now_ms: Its clock. [ms since 1970, UTC]
        counters: (name, number), sorted by name.
        refused: What it refused most often.
    """

    version: int
    role: str
    name: str
    height: int
    head_hash: bytes
    ready: int
    now_ms: int
    counters: tuple[tuple[str, int], ...]
    refused: tuple[Refused, ...]


def check_head(version: int, found: bytes, chain_id: bytes) -> None:
    """Raise unless a request has our version and our chain.

    Raises:
        WrongVersion: Another version.
        WrongChain: Another chain.
    """
    if version != VERSION:
        raise WrongVersion(f"version {version}; this program supports {VERSION}")
    if found != chain_id:
        raise WrongChain(f"chain {found.hex()[:16]}; this is chain {chain_id.hex()[:16]}")


def serve_status(
    transport: Transport,
    chain_id: bytes,
    role: str,
    where: Callable[[], tuple[int, bytes, bool]],
    counters: Callable[[], Mapping[str, int]],
    now_ms: Callable[[], int],
) -> None:
    """Answer on status/2.

    Args:
        where: Height, hash of the newest block, and whether the node does its work.
        counters: At most 64 are reported, the first by name.
        now_ms: The node's clock. [ms since 1970, UTC]
    """

    async def handle(_peer: str, data: bytes) -> bytes:
        query = decode(StatusQuery, data, max_bytes=128)
        check_head(query.version, query.chain_id, chain_id)
        height, head_hash, ready = where()
        shown = tuple(sorted(counters().items())[:MAX_COUNTERS])
        most = transport.stats.refused.counts.most_common(MAX_REFUSED)
        refused = tuple(Refused(peer, code, times) for (peer, code), times in most)
        head = (VERSION, role, transport.peer_id, height, head_hash, int(ready), now_ms())
        return encode(NodeStatus(*head, shown, refused))

    transport.serve(STATUS_PROTOCOL, handle)


def offset_ms(status: NodeStatus, asked_ms: int, answered_ms: int) -> int:
    """How far a peer's clock is ahead of ours, half of the way there and back taken off. [ms]

    Args:
        asked_ms: Our clock when it was asked. [ms since 1970, UTC]
        answered_ms: Our clock when it had answered.
    """
    return status.now_ms - (asked_ms + answered_ms) // 2


async def ask_status(transport: Transport, peer: str, chain_id: bytes) -> NodeStatus:
    """Ask a peer.

    Raises:
        P2PError: No answer, or none that can be read.
    """
    reply = await transport.request(peer, STATUS_PROTOCOL, encode(StatusQuery(VERSION, chain_id)))
    return decode(NodeStatus, reply, max_bytes=_MAX_BYTES)
