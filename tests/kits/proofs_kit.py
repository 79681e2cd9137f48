"""Proofs that a collector or validator broke its word, about home 2 of the keyed street."""

from __future__ import annotations

import msgspec

from p2p.batches.batch import BatchArgs, batch_tx
from p2p.batches.closings import Promised, make_broken_promise, make_closing
from p2p.batches.receipts import include, make_omission, slot_of
from p2p.blocks.block import Tx
from p2p.blocks.genesis import Genesis
from p2p.wire.codec import decode
from p2p.wire.identity import Identity
from p2p.wire.messages import HandedIn, ReceiptCode
from tests.kits.chain_kit import OPERATOR, START
from tests.kits.signed_kit import batch_of, homes, names, order, receipt, signed

HOME = 2
SECRET = b"i" * 32


def promised_message(genesis: Genesis, start: int = START) -> HandedIn:
    return order(genesis, names(genesis.members)[HOME], nonce=4, start=start)


def omission(genesis: Genesis, collector: Identity = OPERATOR, start: int = START) -> bytes:
    """The batch of a collector lacks a message that it had promised to include."""
    message, inclusion = promised_message(genesis, start), include(names(genesis.members), [], SECRET)
    return make_omission(
        receipt(message, ReceiptCode.ACCEPTED, collector),
        signed(message),
        homes(genesis.members).proof(HOME),
        inclusion.opening(HOME),
        batch_of(inclusion, genesis, start, collector=collector),
    )


def broken_promise(
    genesis: Genesis,
    validator: Identity,
    message: HandedIn | None = None,
    promised: tuple[Promised, ...] = (Promised(0, 9), Promised(3, 9)),
) -> bytes:
    """The closing of a validator lacks a message that it had promised to include."""
    mine = message or promised_message(genesis)
    slot = slot_of(mine, genesis.params.rounds)
    return make_broken_promise(
        receipt(mine, ReceiptCode.ACCEPTED, validator),
        signed(mine),
        homes(genesis.members).proof(HOME),
        make_closing(validator, genesis.chain_id, mine.interval_start, slot, promised),
    )


def two_batches(genesis: Genesis, collector: Identity, start: int = START) -> tuple[Tx, Tx]:
    """Two different batches of one interval and key."""
    first = batch_of(include(names(genesis.members), [], SECRET), genesis, start, collector)
    args = msgspec.structs.replace(decode(BatchArgs, first.args, max_bytes=len(first.args)), orders=9)
    return first, batch_tx(collector, genesis.chain_id, 2, 100, args)
