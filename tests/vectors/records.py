"""The layout of every record that crosses the wire, read off the code, each with a made-up value and its bytes."""

from __future__ import annotations

import types
from itertools import count
from textwrap import wrap
from typing import Any, get_args, get_origin, get_type_hints

from p2p.batches import batch as settlement
from p2p.batches import blob, closed_orders, closings, receipts
from p2p.blocks import block, genesis, members, tree
from p2p.consensus import evidence
from p2p.consensus import types as consensus_types
from p2p.ledger import balances, checkpoint, light, state
from p2p.ledger.modules import accounts, governance, guarantees, meters
from p2p.ledger.modules import evidence as convictions
from p2p.roles.exchange import tape, wire
from p2p.roles.replica import blobs, peers, snapshot, status, sync
from p2p.roles.validator import mempool
from p2p.wire import messages, sealing
from p2p.wire.codec import INT64_MAX, INT64_MIN, Record, Wide, encode, wide

RECORDS: dict[str, tuple[type[Record], ...]] = {
    "messages": (
        messages.Signed,
        messages.OrderMessage,
        messages.OrderLine,
        messages.ReadingMessage,
        messages.ReceiptMessage,
        messages.PriceLine,
        messages.NothingMessage,
        messages.LineQueryMessage,
        messages.SealedMessage,
        sealing.Envelope,
        sealing.Piece,
    ),
    "protocols of the market": (
        wire.IntervalQuery,
        wire.SlotQuery,
        wire.CloseQuery,
        wire.CloseReply,
        wire.Closings,
        wire.OpenQuery,
        wire.OpenReply,
        wire.Accusation,
        wire.HandIn,
        wire.HandInReply,
        wire.Position,
        wire.Moves,
        tape.TapeQuery,
        tape.TapePage,
    ),
    "protocols of the chain": (
        status.StatusQuery,
        status.NodeStatus,
        status.Refused,
        mempool.TxReply,
        blobs.BlobQuery,
        blobs.BlobPiece,
        blob.Blob,
        blob.Line,
        closings.Closing,
        closings.Promised,
        closed_orders.Closed,
        closed_orders.SealedLine,
        closed_orders.Opened,
        closed_orders.JunkWord,
        closed_orders.OtherKey,
        sync.SyncQuery,
        sync.SyncReply,
        snapshot.SnapshotQuery,
        snapshot.SnapshotPiece,
        snapshot.Snapshot,
        checkpoint.Checkpoint,
    ),
    "consensus": (
        peers.ConsensusFrame,
        consensus_types.Vote,
        consensus_types.Proposal,
        consensus_types.Status,
        peers.Commit,
        evidence.Pair,
    ),
    "chain": (
        genesis.Genesis,
        genesis.Params,
        genesis.Governed,
        members.MemberFile,
        members.Member,
        block.Block,
        block.Header,
        block.Tx,
        block.CommitCertificate,
        settlement.BatchArgs,
        settlement.CloseArgs,
        settlement.AgainArgs,
    ),
    "proofs": (
        light.ProofBundle,
        light.BatchProof,
        light.SetChange,
        state.EntryProof,
        tree.TreeProof,
        receipts.Omission,
        receipts.Opening,
        closings.BrokenPromise,
        members.MemberProof,
    ),
    "arguments of transactions": (
        accounts.RotateArgs,
        accounts.EnterArgs,
        meters.RegisterArgs,
        meters.AnchorArgs,
        meters.ConfirmArgs,
        guarantees.IssueArgs,
        meters.Reading,
        balances.Balance,
        guarantees.SplitArgs,
        guarantees.TransferArgs,
        guarantees.ClaimArgs,
        guarantees.CorrectArgs,
        guarantees.NameArgs,
        governance.AuthorityArgs,
        governance.OperatorArgs,
        governance.ParameterArgs,
        governance.ApproveArgs,
        convictions.ProofArgs,
        convictions.TwoBatchesArgs,
    ),
}
"""Every record that crosses the wire, by what it is for."""

WIDTH = 116
"""Of a line of the page, in characters."""
SAMPLE_WIDE = (0, -1, INT64_MAX + 1, INT64_MIN - 1, 2**127 - 1, -(2**127))
SAMPLE_INTS = (0, 127, -1, 128, -32, 255, -33, 256, -129, 65_536, INT64_MAX, INT64_MIN)


def all_records() -> list[type[Record]]:
    """Every record, whatever it is for."""
    return [kind for kinds in RECORDS.values() for kind in kinds]


def layout(kind: type[Record]) -> list[tuple[str, str]]:
    """Name and type of each field, in the order of the array."""
    hints = get_type_hints(kind)
    return [(name, type_text(hints[name])) for name in kind.__struct_fields__]


def layout_line(kind: type[Record]) -> str:
    """A layout as docs/reference/protocol/messages.md shows it."""
    return f"{kind.__name__} [{', '.join(f'{name}: {text}' for name, text in layout(kind))}]"


def page_lines() -> str:
    """All layouts as docs/reference/protocol/messages.md shows them, by what they are for."""
    lines = []
    for what, kinds in RECORDS.items():
        lines.append(f"    # {what}")
        for kind in kinds:
            lines += wrap(layout_line(kind), WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)
    return "\n".join(lines) + "\n"


def type_text(hint: Any) -> str:
    """int, wide, bytes, str, bool, the name of a record, `T?` or nil, `[T]` any number, `(T, U)` a fixed array."""
    if hint == Wide:
        return "wide"
    if get_origin(hint) is types.UnionType:
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return f"{type_text(inner)}?"
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if parts[-1] is Ellipsis:
            return f"[{type_text(parts[0])}]"
        return f"({', '.join(map(type_text, parts))})"
    name: str = hint.__name__
    return name


def samples(kind: type[Record]) -> list[Record]:
    """A value with everything that may be nil, and one without where that differs."""
    full, bare = (_value(kind, count(), with_nil) for with_nil in (False, True))
    return [full] if full == bare else [full, bare]


def _value(hint: Any, number: count[int], with_nil: bool) -> Any:
    """A made-up value of a type; nothing but the type is kept, so it need not make sense."""
    if hint == Wide:
        return wide(SAMPLE_WIDE[next(number) % len(SAMPLE_WIDE)])
    if get_origin(hint) is types.UnionType:
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return None if with_nil else _value(inner, number, with_nil)
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        items = (parts[0],) * 2 if parts[-1] is Ellipsis else parts
        return tuple(_value(item, number, with_nil) for item in items)
    i = next(number)
    if hint is int:
        return SAMPLE_INTS[i % len(SAMPLE_INTS)]
    if hint is bytes:
        return bytes([i % 256]) * (i % 40)
    if hint is str:
        return f"Zoë {i}" if i % 2 else ""
    if hint is bool:
        return i % 2 == 0
    hints = get_type_hints(hint)
    return hint(*(_value(hints[name], number, with_nil) for name in hint.__struct_fields__))


def records(plain: Any) -> dict[str, Any]:
    """The vectors: layout, values and bytes of every record.

    Args:
        plain: Gives the JSON form of a value.
    """
    return {
        "layouts": {kind.__name__: [list(field) for field in layout(kind)] for kind in all_records()},
        "good": [
            {"record": kind.__name__, "fields": plain(one), "bytes": encode(one).hex()}
            for kind in all_records()
            for one in samples(kind)
        ],
    }
