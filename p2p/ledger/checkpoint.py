"""The tip of a stored chain: a checkpoint of the state, and the blocks after it, executed."""

from __future__ import annotations

from itertools import pairwise

from p2p.blocks.genesis import Genesis
from p2p.errors import NonCanonical, RemoteError, StoreDamaged, WrongVersion
from p2p.ledger.execution import Tip, advance, check_block, genesis_tip
from p2p.ledger.state import export_state, import_state
from p2p.ledger.store import ChainStore
from p2p.wire.codec import Record, decode, encode

MAX_STATE_BYTES = 64 * 1024 * 1024
_CHECKPOINT_VERSION = 1


class Checkpoint(Record, frozen=True):
    """A tip as bytes; fields as in `execution.Tip`, the state as (module, key, value)."""

    version: int
    height: int
    time_ms: int
    block_hash: bytes
    receipts_root: bytes
    state_root: bytes
    entries: tuple[tuple[str, bytes, bytes], ...]


def checkpoint_bytes(tip: Tip) -> bytes:
    """The bytes of a checkpoint."""
    entries = tuple(export_state(tip.state))
    head = (tip.height, tip.time_ms, tip.block_hash, tip.receipts_root)
    return encode(Checkpoint(_CHECKPOINT_VERSION, *head, tip.state.root, entries))


def open_checkpoint(data: bytes, genesis: Genesis) -> Tip:
    """The tip in the bytes of a checkpoint; whether it belongs to the chain is for the caller to check.

    Raises:
        RemoteError: Not a checkpoint.
    """
    found = decode(Checkpoint, data, max_bytes=MAX_STATE_BYTES)
    if found.version != _CHECKPOINT_VERSION:
        raise WrongVersion(
            f"a checkpoint of version {found.version}; this program reads {_CHECKPOINT_VERSION}"
        )
    if any(a[:2] >= b[:2] for a, b in pairwise(found.entries)):
        raise NonCanonical("the entries of a checkpoint are not in their only order")
    state = import_state(found.entries, found.state_root, genesis)
    return Tip(found.height, found.time_ms, found.block_hash, found.receipts_root, state)


def load_tip(store: ChainStore, genesis: Genesis) -> Tip:
    """The tip of a stored chain: its newest checkpoint and the blocks after it, executed.

    Raises:
        StoreDamaged: The checkpoint or a block cannot be read, or does not follow.
    """
    found = store.checkpoint()
    tip = genesis_tip(genesis)
    try:
        if found is not None:
            tip = open_checkpoint(found[1], genesis)
        for block, _ in store.blocks(tip.height + 1):
            state, receipts = check_block(tip, genesis, block, signatures=False)
            tip = advance(tip, block, state, receipts)
    except RemoteError as error:
        raise StoreDamaged(
            store.path, f"it cannot be executed again from height {tip.height}: {error}"
        ) from None
    return tip
