"""status/1: role, height and counters of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from p2p.errors import WrongChain, WrongVersion
from p2p.transports.base import Transport
from p2p.wire.codec import Record, decode, encode
from p2p.wire.messages import VERSION

STATUS_PROTOCOL = "/wattswap/status/1"
MAX_COUNTERS = 64
_MAX_BYTES = 8 * 1024


class StatusQuery(Record, frozen=True):
    """A question of anybody."""

    version: int
    chain_id: bytes


class NodeStatus(Record, frozen=True):
    """The answer.

    Args:
        role: "validator", "operator", "observer", ...
        name: Peer id of the node.
        height: Of its newest block.
        ready: 1 when it does its work now.
        counters: (name, number), sorted by name.
    """

    version: int
    role: str
    name: str
    height: int
    head_hash: bytes
    ready: int
    counters: tuple[tuple[str, int], ...]


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
) -> None:
    """Answer on status/1.

    Args:
        where: Height, hash of the newest block, and whether the node does its work.
        counters: At most 64 are reported, the first by name.
    """

    async def handle(_peer: str, data: bytes) -> bytes:
        query = decode(StatusQuery, data, max_bytes=128)
        check_head(query.version, query.chain_id, chain_id)
        height, head_hash, ready = where()
        shown = tuple(sorted(counters().items())[:MAX_COUNTERS])
        return encode(NodeStatus(VERSION, role, transport.peer_id, height, head_hash, int(ready), shown))

    transport.serve(STATUS_PROTOCOL, handle)


async def ask_status(transport: Transport, peer: str, chain_id: bytes) -> NodeStatus:
    """Ask a peer.

    Raises:
        P2PError: No answer, or none that can be read.
    """
    reply = await transport.request(peer, STATUS_PROTOCOL, encode(StatusQuery(VERSION, chain_id)))
    return decode(NodeStatus, reply, max_bytes=_MAX_BYTES)
