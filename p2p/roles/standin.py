"""Names that other modules of the chain are about to bring; each is replaced by the import of the same name."""

from __future__ import annotations

from hashlib import sha256

from p2p.chain.block import MAX_TX_BYTES, Tx
from p2p.chain.consensus_types import Evidence
from p2p.chain.genesis import Genesis
from p2p.chain.state import SETTLE_BATCH, SETTLEMENT, BatchArgs, State, apply
from p2p.codec import decode, encode


def export_state(state: State) -> bytes:
    """Canonical bytes of a state."""
    return encode(state)


def import_state(data: bytes, genesis: Genesis) -> State:
    """The state in canonical bytes."""
    return decode(State, data, max_bytes=64 * 1024 * 1024)


def check_tx(state: State, tx: Tx, height: int, genesis: Genesis) -> None:
    """Raise unless this could be the sender's next transaction."""
    apply(state, tx, height, genesis)


def batch_of(tx: Tx) -> BatchArgs | None:
    """The arguments of a settlement batch, None for another method."""
    if (tx.module, tx.method) != (SETTLEMENT, SETTLE_BATCH):
        return None
    return decode(BatchArgs, tx.args, max_bytes=MAX_TX_BYTES)


def blob_hash_of(args: BatchArgs) -> bytes:
    """Hash of the blob behind a batch."""
    return args.book_root


def blob_hash(data: bytes) -> bytes:
    """Name of a blob."""
    return sha256(b"wattswap/blob/1\0" + data).digest()


def evidence_bytes(evidence: Evidence) -> bytes | None:
    """What goes into a block; nothing while blocks take no evidence."""
    return None
