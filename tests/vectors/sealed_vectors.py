"""Vectors of envelopes: sealed to four and to seven validators, opened by some of them, and refused."""

from __future__ import annotations

from typing import Any

from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    VERSION,
    NothingMessage,
    OrderMessage,
    Said,
    SealedMessage,
    message_id,
    order_line,
    range_problem,
    sign_message,
)
from p2p.wire.sealed import seal_message, sealing_context
from p2p.wire.sealing import combine, key_for, needed, open_share
from tests.vectors.made_up import CHAIN, HOME, HOUSEHOLD, MINUTES, START, Vectors, plain, replace

SEALED_BYTES = 96
LIMITS = Limits(sealed_bytes=SEALED_BYTES)
VALIDATORS = tuple(Identity.from_seed(bytes([i + 1]) * 32) for i in range(7))


def sealed_example(said: Said, count: int) -> SealedMessage:
    """What a home says, sealed to the first validators."""
    return seal_message(HOME, said, [one.public_key for one in VALIDATORS[:count]], LIMITS)


def envelopes() -> Vectors:
    """What is said, the envelope, the shares of all validators, and the signed message."""
    head = (VERSION, CHAIN, START, MINUTES, HOUSEHOLD)
    order = OrderMessage(*head, 7, 0, (order_line(1, 250, 231_000), order_line(-1, 60_000, -5, 2)))
    return {
        "chain_id": CHAIN.hex(),
        "sealed_bytes": SEALED_BYTES,
        "seed": HOME.seed.hex(),
        "validators": [{"seed": one.seed.hex(), "key": one.public_key.hex()} for one in VALIDATORS],
        "good": [_good(said, count) for said in (order, NothingMessage(*head, 8, 0)) for count in (4, 7)],
        "refused": _refused(sealed_example(order, 4)),
    }


def _good(said: Said, count: int) -> dict[str, Any]:
    sealed = sealed_example(said, count)
    content = encode(said.orders if isinstance(said, OrderMessage) else ())
    context, envelope = sealing_context(sealed), sealed.envelope
    shares = [open_share(envelope, place, VALIDATORS[place], context) for place in range(count)]
    key = combine({place: share for place, share in enumerate(shares) if share}, needed(count))
    assert key == key_for(HOME, envelope.sealed_to, context, content)
    return {
        "validators": count,
        "needed": needed(count),
        "context": context.hex(),
        "content": content.hex(),
        "key": key.hex(),
        "shares": [share.hex() for share in shares if share],
        "envelope": plain(envelope),
        "body": encode(sealed).hex(),
        "id": message_id(sealed).hex(),
        "bytes": sign_message(HOME, sealed, LIMITS).hex(),
    }


def _refused(sealed: SealedMessage) -> list[dict[str, str]]:
    envelope = sealed.envelope
    piece = envelope.pieces[0]
    bad = {
        "digest too short": replace(envelope, sealed_to=envelope.sealed_to[:-1]),
        "hash too long": replace(envelope, key_hash=envelope.key_hash + b"\0"),
        "box too short": replace(envelope, box=envelope.box[:-1]),
        "commitment too short": replace(envelope, pieces=(replace(piece, commitment=piece.commitment[:-1]),)),
        "masked share too long": replace(envelope, pieces=(replace(piece, masked=piece.masked + b"\0"),)),
        "one-time key of order 1": replace(envelope, one_time=bytes(32)),
        "one-time key of order 4": replace(envelope, one_time=(1).to_bytes(32, "little")),
        "one-time key that is not reduced": replace(
            envelope, one_time=(2**255 - 19 + 9).to_bytes(32, "little")
        ),
    }
    found = []
    for what, other in bad.items():
        message = replace(sealed, envelope=other)
        assert range_problem(message, LIMITS), what
        found.append({"what": what, "body": encode(message).hex(), "code": "out_of_range"})
    return found
