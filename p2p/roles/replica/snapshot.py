"""snapshot/1: a state with the proof that a quorum signed for it, so that a node need not execute the whole chain.

The state after block h is certified by header h + 1, which carries its root. The validators who signed that
header follow from the genesis through every change of the set: each is a header, its certificate by the old
set, and the new set that the header names.
"""

from __future__ import annotations

import trio

from p2p.blocks import block as blocks
from p2p.blocks.block import CommitCertificate, Header
from p2p.blocks.genesis import Genesis
from p2p.errors import BadProof, OutOfRange, RemoteError, WrongChain, WrongVersion
from p2p.ledger.checkpoint import MAX_STATE_BYTES, open_checkpoint
from p2p.ledger.execution import Tip
from p2p.ledger.light import SetChange
from p2p.ledger.store import Base
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.status import check_head
from p2p.transports.base import PEER_FAILED, Transport
from p2p.wire.codec import Record, decode, encode
from p2p.wire.messages import VERSION

SNAPSHOT_PROTOCOL = "/wattswap/snapshot/1"
CHUNK_BYTES = 128 * 1024
MAX_SNAPSHOT_BYTES = MAX_STATE_BYTES + 1024 * 1024
CHUNK_TIMEOUT_S = 5.0


class NoSnapshot(RemoteError):
    """There is no such snapshot here."""

    code = "no_snapshot"


class SnapshotQuery(Record, frozen=True):
    """Asks for a piece of a snapshot.

    Args:
        height: Of its state; 0 for the newest.
        chunk: From 0 on.
    """

    version: int
    chain_id: bytes
    height: int
    chunk: int


class SnapshotPiece(Record, frozen=True):
    """A piece.

    Args:
        height: Of the state.
        chunks: How many pieces there are.
    """

    height: int
    chunks: int
    data: bytes


class Snapshot(Record, frozen=True):
    """A state that can be checked with nothing but the genesis.

    Args:
        changes: Every change of the set of validators up to the height, ascending.
        header: Of the block the state is after.
        next_header: Of the block above it.
        next_cert: Of that block.
        checkpoint: See `ledger.Checkpoint`.
    """

    version: int
    changes: tuple[SetChange, ...]
    header: Header
    next_header: Header
    next_cert: CommitCertificate
    checkpoint: bytes


def make_snapshot(ledger: Ledger) -> tuple[int, bytes] | None:
    """Height and bytes of the newest snapshot a node can give, None where it has none yet."""
    found = ledger.store.checkpoint(ledger.height - 1)
    if found is None or found[0] <= ledger.store.base:
        return None
    height, checkpoint = found
    (block, _), (above, cert) = ledger.store.blocks(height, height + 1)
    changes = ledger.store.changes(height)
    return height, encode(Snapshot(VERSION, changes, block.header, above.header, cert, checkpoint))


def open_snapshot(data: bytes, genesis: Genesis) -> Base:
    """Check a snapshot and return the base of a chain that begins at it.

    Raises:
        RemoteError: It does not hold.
    """
    snapshot = decode(Snapshot, data, max_bytes=MAX_SNAPSHOT_BYTES)
    if snapshot.version != VERSION:
        raise WrongVersion(f"a snapshot of version {snapshot.version}")
    header, above, cert = snapshot.header, snapshot.next_header, snapshot.next_cert
    validators = _authorities(snapshot.changes, header.height, genesis)
    name = blocks.block_hash(header)
    if above.chain_id != genesis.chain_id:
        raise WrongChain(f"a snapshot of chain {above.chain_id.hex()[:16]}")
    if above.height != header.height + 1 or above.parent_hash != name:
        raise BadProof("the two headers of the snapshot do not follow each other")
    _check_signed(above, cert, validators, genesis)
    tip = open_checkpoint(snapshot.checkpoint, genesis)
    wanted = Tip(header.height, header.time_ms, name, above.receipts_root, tip.state)
    if tip != wanted or tip.state.root != above.state_root:
        raise BadProof("the state of the snapshot is not the one the header names")
    return Base(header.height, name, snapshot.checkpoint, snapshot.changes)


def _authorities(changes: tuple[SetChange, ...], height: int, genesis: Genesis) -> tuple[bytes, ...]:
    """The set that follows from the genesis through these changes."""
    validators, below = genesis.authorities, 0
    for change in changes:
        if not below < change.header.height <= height:
            raise BadProof("the changes of validators are not in order")
        below = change.header.height
        _check_signed(change.header, change.cert, validators, genesis)
        if blocks.validators_hash(change.validators) != change.header.next_validators_hash:
            raise BadProof(f"height {below}: another set of validators than the header names")
        validators = change.validators
    return validators


def _check_signed(
    header: Header, cert: CommitCertificate, validators: tuple[bytes, ...], genesis: Genesis
) -> None:
    if header.chain_id != genesis.chain_id:
        raise WrongChain(f"a header of chain {header.chain_id.hex()[:16]}")
    if header.validators_hash != blocks.validators_hash(validators):
        raise BadProof(f"height {header.height}: signed by other validators than the changes lead to")
    if cert.height != header.height or cert.block_hash != blocks.block_hash(header):
        raise BadProof(f"height {header.height}: header and certificate do not belong together")
    blocks.check_cert(cert, validators, genesis.chain_id)


def serve_snapshots(transport: Transport, ledger: Ledger) -> None:
    """Answer on snapshot/1 with the newest snapshot; the one before stays for peers that are reading it."""
    made: dict[int, bytes] = {}

    def newest() -> int:
        found = ledger.store.checkpoint(ledger.height - 1)
        height = found[0] if found else 0
        if height not in made and (snapshot := make_snapshot(ledger)) is not None:
            made[snapshot[0]] = snapshot[1]
            for old in sorted(made)[:-2]:
                del made[old]
        return height

    async def handle(_peer: str, data: bytes) -> bytes:
        query = decode(SnapshotQuery, data, max_bytes=256)
        check_head(query.version, query.chain_id, ledger.genesis.chain_id)
        height = query.height or newest()
        if height not in made:
            raise NoSnapshot(f"no snapshot of height {height} here")
        snapshot = made[height]
        chunks = -(-len(snapshot) // CHUNK_BYTES)
        if not 0 <= query.chunk < chunks:
            raise OutOfRange(f"chunk {query.chunk} of {chunks}")
        start = query.chunk * CHUNK_BYTES
        return encode(SnapshotPiece(height, chunks, snapshot[start : start + CHUNK_BYTES]))

    transport.serve(SNAPSHOT_PROTOCOL, handle)


async def fetch_snapshot(transport: Transport, genesis: Genesis, peers: list[str]) -> Base | None:
    """Ask peers for a snapshot, one after the other, until one holds; None where no peer has one.

    A peer whose snapshot does not hold is counted in `stats.refused`. Create the chain with
    `ChainStore.create(path, genesis, base)` and follow from there.
    """
    for peer in peers:
        try:
            with trio.fail_after(CHUNK_TIMEOUT_S) as patience:
                data = await _fetch_from(transport, genesis.chain_id, peer, patience)
            return open_snapshot(data, genesis)
        except RemoteError as error:
            transport.stats.refused.add(peer, error.code, error.detail)
        except (*PEER_FAILED, trio.TooSlowError):
            continue
    return None


async def _fetch_from(transport: Transport, chain_id: bytes, peer: str, patience: trio.CancelScope) -> bytes:
    data, height, chunk = bytearray(), 0, 0
    while True:
        patience.deadline = trio.current_time() + CHUNK_TIMEOUT_S
        query = encode(SnapshotQuery(VERSION, chain_id, height, chunk))
        reply = await transport.request(peer, SNAPSHOT_PROTOCOL, query)
        piece = decode(SnapshotPiece, reply, max_bytes=CHUNK_BYTES + 64)
        if piece.height < 1 or (height and piece.height != height) or not piece.data:
            raise BadProof("a piece of another snapshot, or an empty one")
        height, chunk = piece.height, chunk + 1
        data += piece.data
        if len(data) > MAX_SNAPSHOT_BYTES:
            raise OutOfRange(f"a snapshot of more than {MAX_SNAPSHOT_BYTES} bytes")
        if chunk >= piece.chunks:
            return bytes(data)
