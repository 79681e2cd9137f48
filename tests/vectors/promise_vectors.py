"""Vectors of what convicts: a closing, a broken promise, an omission, and what is wrong about them."""

from __future__ import annotations

from p2p.batches import closings, receipts
from p2p.batches.batch import batch_tx
from p2p.batches.closings import Promised, make_broken_promise, make_closing
from p2p.blocks import domains
from p2p.errors import RemoteError
from p2p.wire.codec import decode, encode
from p2p.wire.messages import (
    VERSION,
    HandedIn,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    message_id,
    order_line,
    sign_message,
)
from tests.vectors.made_up import (
    AUTHORITIES,
    CHAIN,
    GENESIS,
    HOME,
    HOMES,
    HOUSEHOLD,
    MASTER,
    MINUTES,
    OPERATOR,
    START,
    STEP,
    Vectors,
    plain,
    replace,
)
from tests.vectors.proof_vectors import batch_arguments

ABOUT = (VERSION, CHAIN, START, MINUTES, HOUSEHOLD)
ORDER = OrderMessage(*ABOUT, 7, 0, (order_line(1, 250, 231_000),))
READING = ReadingMessage(*ABOUT, 8, 250, 0, 0)
MESSAGES: dict[str, HandedIn] = {"order": ORDER, "reading": READING}
CLOSER = AUTHORITIES[0]


def receipt(message: HandedIn, by: object, code: ReceiptCode = ReceiptCode.ACCEPTED) -> bytes:
    """The receipt of a collector or validator."""
    return sign_message(by, ReceiptMessage(VERSION, CHAIN, START, HOUSEHOLD, message_id(message), code))  # type: ignore[arg-type]


def closed(message: HandedIn, *promised: Promised) -> closings.Closing:
    """The closing of the message's slot by the first validator."""
    slot = receipts.slot_of(message, GENESIS.params.rounds)
    return make_closing(CLOSER, CHAIN, START, slot, promised)


def broken(message: HandedIn) -> bytes:
    """The first validator promised a message of home 0, and closes with one of home 1."""
    parts = (receipt(message, CLOSER), sign_message(HOME, message), HOMES.proof(0))
    return make_broken_promise(*parts, closed(message, Promised(1, 9)))


def omitted(message: HandedIn) -> bytes:
    """The operator promised a message of home 0, and its batch has none of it."""
    inclusion = receipts.include(HOMES.ids, [], MASTER)
    args = replace(batch_arguments(), inclusion_root=inclusion.root)
    parts = (receipt(message, OPERATOR), sign_message(HOME, message), HOMES.proof(0))
    opening = inclusion.opening(0, receipts.slot_of(message, GENESIS.params.rounds))
    return receipts.make_omission(*parts, opening, batch_tx(OPERATOR, CHAIN, 1, 1_000, args))


def promises() -> Vectors:
    """Closings, broken promises and omissions, of an order and of a reading."""
    good = closed(ORDER, Promised(0, 7), Promised(1, 9))
    unsigned = replace(good, signature=b"")
    return {
        "closing": {
            "fields": plain(good),
            "seed": CLOSER.seed.hex(),
            "sign_bytes": (domains.SIGN_CLOSING + encode(unsigned)).hex(),
            "bytes": encode(good).hex(),
        },
        "broken_promises": [
            {"what": what, "convicted": CLOSER.public_key.hex(), "bytes": broken(message).hex()}
            for what, message in MESSAGES.items()
        ],
        "omissions": [
            {"what": what, "convicted": OPERATOR.public_key.hex(), "bytes": omitted(message).hex()}
            for what, message in MESSAGES.items()
        ],
        "refused": [
            {"what": what, "bytes": data.hex(), "code": refusal(data)} for what, data in refused().items()
        ],
    }


def refused() -> dict[str, bytes]:
    """Broken promises that are none."""
    proof = decode(closings.BrokenPromise, broken(ORDER))
    of_another = make_closing(AUTHORITIES[1], CHAIN, START, 0, ())
    later = make_closing(CLOSER, CHAIN, START + STEP, 0, ())
    wrong: dict[str, closings.BrokenPromise] = {
        "the closing has the message": replace(proof, closing=closed(ORDER, Promised(0, 7))),
        "the closing has a later message": replace(proof, closing=closed(ORDER, Promised(0, 8))),
        "the closing of another validator": replace(proof, closing=of_another),
        "the closing of another interval": replace(proof, closing=later),
        "the closing of the readings": replace(proof, closing=closed(READING)),
        "a receipt that promises nothing": replace(proof, receipt=receipt(ORDER, CLOSER, ReceiptCode.LATE)),
        "the receipt of another message": replace(proof, receipt=receipt(READING, CLOSER)),
        "another home": replace(proof, home=HOMES.proof(1)),
        "a closing that was changed": replace(proof, closing=replace(proof.closing, promised=())),
        "a version that is none": replace(proof, version=2),
    }
    return {what: encode(one) for what, one in wrong.items()} | {"a byte behind": encode(proof) + b"\0"}


def refusal(data: bytes) -> str:
    """The code with which our own reader refuses a proof."""
    try:
        closings.check_broken_promise(data, GENESIS)
    except RemoteError as error:
        return error.code
    raise AssertionError(f"{data.hex()} is taken")
