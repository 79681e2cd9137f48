"""Batches of intervals that were settled by messages, and later versions of them."""

from __future__ import annotations

import msgspec

from p2p.batches.batch import AgainArgs, BatchArgs
from p2p.ledger.modules.settlement import NO_TURN
from tests.kits.chain_kit import make_args
from tests.kits.modules_kit import MEMBERS


def settled(index: int, **changes: object) -> BatchArgs:
    """A batch from messages."""
    fields = {"blob_hash": bytes([1]) * 32} | changes
    return msgspec.structs.replace(make_args(index, MEMBERS)[1], **fields)


def again(index: int = 0, version: int = 2, **changes: object) -> AgainArgs:
    """A later version of an interval, each with other totals and other messages."""
    later = msgspec.structs.replace(
        make_args(index, MEMBERS, seed=1_000 * version + index)[1],
        blob_hash=bytes([version]) * 32,
        next_collector=NO_TURN,
    )
    before = settled(index) if version == 2 else again(index, version - 1).batch
    return msgspec.structs.replace(AgainArgs(version, before.totals, later), **changes)
