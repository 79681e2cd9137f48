"""sync/1: decided blocks with their certificates, by range, with a long poll for the next one."""

from __future__ import annotations

from collections import Counter

import trio

from p2p.blocks.block import MAX_BLOCK_BYTES, MAX_CERT_BYTES
from p2p.errors import Malformed, OutOfRange, RemoteError, TooLarge
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.status import check_head
from p2p.transports.base import Transport
from p2p.wire.codec import Record, decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.messages import VERSION

SYNC_PROTOCOL = "/wattswap/sync/1"
MAX_BLOCKS = 256
MAX_WAIT_MS = 3_000
"""Longest poll; shorter than the time a handler may take. [ms]"""
POLLS_PER_PEER = 2
_REPLY_BYTES = FRAME_MAX_BYTES - 4 * 1024


class Busy(RemoteError):
    """This peer has as many questions open as it may."""

    code = "busy"


class Pruned(RemoteError):
    """Blocks below the height this chain begins at; ask for a snapshot."""

    code = "pruned"


class SyncQuery(Record, frozen=True):
    """Asks for blocks from a height on.

    Args:
        max_blocks: 1 to 256.
        wait_ms: How long to wait for `from_height`, at most 3,000. [ms]
    """

    version: int
    chain_id: bytes
    from_height: int
    max_blocks: int
    wait_ms: int


class SyncReply(Record, frozen=True):
    """As many blocks as fit into a frame.

    Args:
        height: Of the newest block the peer has.
        blocks: (block, certificate), canonical bytes, ascending.
    """

    height: int
    blocks: tuple[tuple[bytes, bytes], ...]


def serve_range(transport: Transport, ledger: Ledger) -> None:
    """Answer on sync/1."""
    polls: Counter[str] = Counter()

    async def handle(peer: str, data: bytes) -> bytes:
        query = decode(SyncQuery, data, max_bytes=256)
        check_head(query.version, query.chain_id, ledger.genesis.chain_id)
        if not (1 <= query.max_blocks <= MAX_BLOCKS and query.from_height >= 1):
            raise OutOfRange(f"{query.max_blocks} blocks from height {query.from_height}")
        if not 0 <= query.wait_ms <= MAX_WAIT_MS:
            raise OutOfRange(f"wait_ms {query.wait_ms}; at most {MAX_WAIT_MS}")
        if query.from_height <= ledger.store.base:
            raise Pruned(f"this chain begins above height {ledger.store.base}")
        if polls[peer] >= POLLS_PER_PEER:
            raise Busy(f"{polls[peer]} questions are open")
        polls[peer] += 1
        try:
            with trio.move_on_after(query.wait_ms / 1_000):
                await ledger.wait_height(query.from_height)
        finally:
            polls[peer] -= 1
            if not polls[peer]:
                del polls[peer]
        return _reply(ledger, query)

    transport.serve(SYNC_PROTOCOL, handle)


def _reply(ledger: Ledger, query: SyncQuery) -> bytes:
    found: list[tuple[bytes, bytes]] = []
    room = _REPLY_BYTES
    last = min(query.from_height + query.max_blocks - 1, ledger.height)
    for block, cert in ledger.store.blocks(query.from_height, last):
        pair = encode(block), encode(cert)
        room -= len(pair[0]) + len(pair[1]) + 16
        if room < 0:
            break
        found.append(pair)
    return encode(SyncReply(ledger.height, tuple(found)))


async def ask_range(
    transport: Transport,
    peer: str,
    chain_id: bytes,
    from_height: int,
    *,
    max_blocks: int = MAX_BLOCKS,
    wait_ms: int = 0,
) -> SyncReply:
    """Ask a peer for blocks from a height on. What it sends is not checked yet.

    Raises:
        P2PError: No answer, or none that can be read.
    """
    query = encode(SyncQuery(VERSION, chain_id, from_height, max_blocks, wait_ms))
    reply = decode(SyncReply, await transport.request(peer, SYNC_PROTOCOL, query), max_bytes=FRAME_MAX_BYTES)
    if len(reply.blocks) > max_blocks:
        raise TooLarge(f"{len(reply.blocks)} blocks; {max_blocks} were asked for")
    for block, cert in reply.blocks:
        if len(block) > MAX_BLOCK_BYTES or len(cert) > MAX_CERT_BYTES:
            raise TooLarge(f"a block of {len(block)} bytes with a certificate of {len(cert)}")
    if reply.height >= from_height and not reply.blocks:
        raise Malformed(f"no block, although the peer claims height {reply.height}")
    return reply
