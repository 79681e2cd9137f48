"""Module `evidence`: proofs that a collector or validator broke its word, and what follows: it loses its office.

    k || key || interval_start i64   a conviction: each key and interval counts once

A convicted operator is removed, a convicted validator is jailed; see `offices`. What convicts a validator of two
votes is not here: such evidence is part of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec.structs import replace

from p2p.batches.batch import SETTLE_BATCH, SETTLEMENT, BatchArgs
from p2p.batches.closings import check_broken_promise
from p2p.batches.receipts import check_omission
from p2p.blocks.block import MAX_TX_BYTES, Tx, check_tx_signature
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import Rotated
from p2p.errors import BadProof, BrokenInvariant, InvalidTx, RemoteError, WrongChain
from p2p.ledger import offices
from p2p.ledger.module import AUTHORITY, CHAIN_MODULES, HOUSEHOLD, OPERATOR, ChainModule, Entry, Method
from p2p.ledger.modules.accounts import home_key
from p2p.ledger.view import Context, View
from p2p.wire.codec import Record, decode

NAME = "evidence"
OMISSION = "omission"
BROKEN_PROMISE = "broken_promise"
TWO_BATCHES = "two_batches"


PROOFS: Final[dict[str, Callable[[bytes, Genesis, Rotated], tuple[bytes, int]]]] = {
    OMISSION: check_omission,
    BROKEN_PROMISE: check_broken_promise,
}
"""What checks the proof that a home can write, by method."""


class Conviction(Record, frozen=True):
    """What a key was convicted of.

    Args:
        height: Of the block that convicted it.
    """

    height: int


class ProofArgs(Record, frozen=True):
    """Arguments of evidence.omission and evidence.broken_promise: the canonical bytes of the proof."""

    proof: bytes


class TwoBatchesArgs(Record, frozen=True):
    """Arguments of evidence.two_batches: two batch transactions of one key for one interval."""

    first: Tx
    second: Tx


def check_two_batches(first: Tx, second: Tx, chain_id: bytes) -> tuple[bytes, int]:
    """Return the key that signed two batches of one interval, and the interval.

    The same batch under another nonce is no second one: a collector sends it again until it is decided. Nor is one that
    names another collector: whom it named may have lost its office, and a batch with it is refused for good.

    Raises:
        RemoteError: Not two different batches of one key and interval on this chain, or a signature does not verify.
    """
    batches = []
    for tx in (first, second):
        if tx.chain_id != chain_id:
            raise WrongChain(f"a batch of chain {tx.chain_id.hex()[:16]}")
        if (tx.module, tx.method) != (SETTLEMENT, SETTLE_BATCH):
            raise BadProof(f"the transaction is {tx.module}.{tx.method}, not a settlement")
        check_tx_signature(tx)
        batches.append(decode(BatchArgs, tx.args, max_bytes=MAX_TX_BYTES))
    one, other = batches
    if first.sender != second.sender or one.interval_start != other.interval_start:
        raise BadProof("the batches are of different keys or intervals")
    if replace(one, next_collector=other.next_collector) == other:
        raise BadProof("the batches are the same")
    return first.sender, one.interval_start


def accused(tx: Tx, genesis: Genesis, rotated: Rotated) -> bytes:
    """Return the key that a transaction of this module convicts.

    Args:
        rotated: Keys to which homes have rotated.

    Raises:
        RemoteError: It proves nothing.
    """
    if tx.method == TWO_BATCHES:
        args = decode(TwoBatchesArgs, tx.args, max_bytes=MAX_TX_BYTES)
        return check_two_batches(args.first, args.second, genesis.chain_id)[0]
    return PROOFS[tx.method](decode(ProofArgs, tx.args, max_bytes=MAX_TX_BYTES).proof, genesis, rotated)[0]


def conviction_key(key: bytes, interval_start: int) -> bytes:
    """Key of the entry of a conviction."""
    return b"k" + key + interval_start.to_bytes(8, "big", signed=True)


def _omission(ctx: Context, args: ProofArgs) -> None:
    _convict(ctx, lambda: check_omission(args.proof, ctx.genesis, partial(home_key, ctx.view)))


def _broken_promise(ctx: Context, args: ProofArgs) -> None:
    _convict(ctx, lambda: check_broken_promise(args.proof, ctx.genesis, partial(home_key, ctx.view)))


def _two_batches(ctx: Context, args: TwoBatchesArgs) -> None:
    _convict(ctx, lambda: check_two_batches(args.first, args.second, ctx.genesis.chain_id))


def _convict(ctx: Context, check: Callable[[], tuple[bytes, int]]) -> None:
    try:
        key, interval_start = check()
    except RemoteError as error:
        raise InvalidTx("evidence_proof", str(error)) from None
    entry = conviction_key(key, interval_start)
    if ctx.view.get(NAME, entry) is not None:
        raise InvalidTx("evidence_known", f"key {key.hex()[:16]} is convicted of {interval_start} already")
    offices.convict(ctx.view, key)
    ctx.view.write(NAME, entry, Conviction(ctx.height))


def _invariants(view: View, genesis: Genesis, height: int) -> None:
    for key in view.touched(NAME):
        if view.before(NAME, key) is not None or view.read(NAME, key, Conviction) != Conviction(height):
            raise BrokenInvariant(height, NAME, f"conviction {key[1:].hex()[:16]} was changed or deleted")


def _any_arguments(args: Record, genesis: Genesis) -> None:
    """Proofs are checked when they are executed: that costs signatures, which a mempool has counted by then."""


_MEMBERS = frozenset({OPERATOR, AUTHORITY, HOUSEHOLD})

MODULE = CHAIN_MODULES.register(
    ChainModule(
        NAME,
        "Proofs that a collector or validator broke its word; it loses its office.",
        {
            OMISSION: Method(
                "Convict a collector whose batch lacks a message that it promised to include.",
                ProofArgs,
                _MEMBERS,
                _omission,
                _any_arguments,
            ),
            BROKEN_PROMISE: Method(
                "Convict a validator whose closing lacks a message that it promised to include.",
                ProofArgs,
                _MEMBERS,
                _broken_promise,
                _any_arguments,
            ),
            TWO_BATCHES: Method(
                "Convict a collector that signed two batches of one interval.",
                TwoBatchesArgs,
                _MEMBERS,
                _two_batches,
                _any_arguments,
            ),
        },
        (Entry("A conviction.", b"k", (("key", "bytes"), ("interval_start", "i64")), Conviction),),
        codes={
            "evidence_proof": "The proof proves nothing: it is malformed, or the promise was kept.",
            "evidence_known": "The key is convicted of this interval already.",
            "evidence_office": "The key is neither an operator nor a validator that is free.",
        },
        check=_invariants,
    )
)
