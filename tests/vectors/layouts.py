"""The layout of every record of the wire, read off the code: names, types and order of the fields."""

from __future__ import annotations

import types
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from p2p import snapshot, sync
from p2p.chain import blob, block, consensus_types, evidence, genesis, light, settlement
from p2p.codec import Record
from p2p.messages import (
    LineQueryMessage,
    NothingMessage,
    OrderMessage,
    PriceLine,
    ReadingMessage,
    ReceiptMessage,
    ResultMessage,
    Signed,
)
from p2p.receipts import Omission
from p2p.roles import blobs, mempool, peers, status, wire

RECORDS: tuple[type[Record], ...] = (
    Signed,
    OrderMessage,
    NothingMessage,
    ReadingMessage,
    ReceiptMessage,
    ResultMessage,
    PriceLine,
    LineQueryMessage,
    wire.IntervalQuery,
    wire.HandIn,
    wire.HandInReply,
    status.StatusQuery,
    status.NodeStatus,
    mempool.TxReply,
    blobs.BlobQuery,
    blobs.BlobPiece,
    sync.SyncQuery,
    sync.SyncReply,
    snapshot.SnapshotQuery,
    snapshot.SnapshotPiece,
    snapshot.Snapshot,
    peers.ConsensusFrame,
    peers.Commit,
    consensus_types.Vote,
    consensus_types.Proposal,
    consensus_types.Status,
    evidence.Pair,
    genesis.Genesis,
    genesis.Params,
    genesis.Governed,
    block.Tx,
    block.Header,
    block.Block,
    block.CommitCert,
    settlement.BatchArgs,
    light.SetChange,
    light.ProofBundle,
    blob.Blob,
    blob.Line,
    Omission,
)
"""Every record that crosses the wire."""


def layout(kind: type[Record]) -> list[list[str]]:
    """Name and type of each field, in the order of the array."""
    hints = get_type_hints(kind)
    return [[name, _type(hints[name])] for name in kind.__struct_fields__]


def layouts() -> dict[str, list[list[str]]]:
    """The layouts of all records by name."""
    return {kind.__name__: layout(kind) for kind in RECORDS}


def _type(hint: Any) -> str:
    """int, bytes, str, bool, the name of a record, `T?` or nil, `[T]` any number, `(T, U)` a fixed array."""
    if get_origin(hint) is types.UnionType:
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return f"{_type(inner)}?"
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if parts[-1] is Ellipsis:
            return f"[{_type(parts[0])}]"
        return f"({', '.join(map(_type, parts))})"
    name: str = hint.__name__
    return name


def plain(value: object) -> Any:
    """A value as JSON has it: bytes as hexadecimal digits, integers beyond 53 bits as text, records as objects."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53 - 1:
        return str(value)
    return value
