"""A chain whose households have keys, and what they sign: for the tests of receipts, blobs and collectors."""

from __future__ import annotations

from p2p.batches.batch import batch_args, batch_tx, make_batch, pack_entries
from p2p.batches.receipts import Inclusion
from p2p.blocks.block import Tx
from p2p.blocks.genesis import VERSION as GENESIS_VERSION
from p2p.blocks.genesis import Genesis, make_params
from p2p.blocks.members import Members
from p2p.wire.identity import Identity
from p2p.wire.limits import DEFAULT_LIMITS, Limits
from p2p.wire.messages import (
    VERSION,
    Message,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    message_id,
    order_line,
    sign_message,
)
from tests.kits.chain_kit import MASTER, OPERATOR, START, STEP, authorities, identity, make_postings

MINUTES = STEP // 60
RIVAL = identity("operator", "1")
ANY_ROUND = Limits(rounds=64)
"""Limits under which a message of any round is signed; the reader has those of its chain."""


def names(members: int) -> tuple[str, ...]:
    return tuple(f"house-{i}" for i in range(members))


def key_of(household: str) -> Identity:
    return identity("household", household)


def homes(members: int) -> Members:
    roster = names(members)
    return Members(roster, tuple(key_of(household).public_key for household in roster))


def keyed_genesis(
    members: int, name: str = "keyed street", *, full_entries: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Genesis:
    return Genesis(
        version=GENESIS_VERSION,
        name=name,
        time_ms=START * 1000,
        params=make_params("EUR", MINUTES, limits=limits, full_entries=full_entries),
        authorities=tuple(authority.public_key for authority in authorities(4)),
        operators=(OPERATOR.public_key, RIVAL.public_key),
        members_root=homes(members).root,
        members=members,
        accounts=(),
        modules=(),
    )


def order(
    genesis: Genesis,
    household: str,
    nonce: int = 1,
    start: int = START,
    energy_wh: int = 250,
    *,
    number: int = 0,
) -> OrderMessage:
    lines = (order_line(1, energy_wh, 200_000),)
    return OrderMessage(VERSION, genesis.chain_id, start, MINUTES, household, nonce, number, lines)


def nothing(
    genesis: Genesis, household: str, nonce: int = 1, start: int = START, *, number: int = 0
) -> NothingMessage:
    return NothingMessage(VERSION, genesis.chain_id, start, MINUTES, household, nonce, number)


def reading(genesis: Genesis, household: str, nonce: int = 1, start: int = START) -> ReadingMessage:
    return ReadingMessage(VERSION, genesis.chain_id, start, MINUTES, household, nonce, 300, 20, 0)


def signed(message: OrderMessage | NothingMessage | ReadingMessage) -> bytes:
    return sign_message(key_of(message.household), message, ANY_ROUND)


def receipt(message: Message, code: ReceiptCode, collector: Identity = OPERATOR) -> bytes:
    fields = (message.chain_id, message.interval_start, getattr(message, "household"))  # noqa: B009
    return sign_message(collector, ReceiptMessage(VERSION, *fields, message_id(message), code))


def batch_of(
    inclusion: Inclusion,
    genesis: Genesis,
    start: int = START,
    collector: Identity = OPERATOR,
    *,
    full: bool = False,
) -> Tx:
    """A batch with an inclusion root; its postings are made up."""
    postings = make_postings(max(genesis.members, 2), 1)
    args = batch_args(
        make_batch(postings, start, MASTER),
        postings,
        orders=genesis.members,
        book_root=b"b" * 32,
        clearing_root=b"c" * 32,
        prices_root=b"p" * 32,
        prices=1,
        price=None,
        traded_wh=int(postings.column("bought_wh").sum()),
        next_collector=collector.public_key,
        inclusion_root=inclusion.root,
        entries=pack_entries(postings, start, MASTER) if full else b"",
    )
    return batch_tx(collector, genesis.chain_id, 1, 100, args)
