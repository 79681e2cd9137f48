"""Vectors of keys, encoding, frames and signed messages."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec

from p2p.chain import domains
from p2p.codec import INT64_MAX, INT64_MIN, Record, decode, encode
from p2p.errors import RemoteError
from p2p.frames import Frame, FrameKind
from p2p.identity import Identity
from p2p.messages import (
    Kind,
    LineQueryMessage,
    Message,
    NothingMessage,
    OrderMessage,
    PriceLine,
    Quality,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    ResultMessage,
    Signed,
    kind_of,
    message_id,
    open_message,
    sign_message,
)
from p2p.roles.wire import IntervalQuery
from p2p.transport import peer_id_of
from tests.p2p import chain_kit as kit
from tests.vectors.layouts import plain

MESSAGE_DOMAIN = b"wattswap/msg/1\0"
HOUSE = "house-1"
HOUSEHOLD = kit.identity("household", HOUSE)
CHAIN_ID = sha256(b"the chain of the vectors").digest()
START = kit.START

Json = dict[str, Any]


def code_of(action: Callable[[], object]) -> str:
    """The code with which something is refused."""
    try:
        action()
    except RemoteError as error:
        return error.code
    raise AssertionError("was accepted")


def keys() -> Json:
    named = {"household": HOUSEHOLD, "operator": kit.OPERATOR, "authority 0": kit.authorities(1)[0]}
    domain, data = b"wattswap/test/1\0", b"what is signed"
    return {
        "keys": [
            {
                "name": name,
                "seed": one.seed.hex(),
                "public_key": one.public_key.hex(),
                "peer_id": peer_id_of(one.public_key),
                "domain": domain.hex(),
                "data": data.hex(),
                "signature": one.sign(domain, data).hex(),
            }
            for name, one in named.items()
        ]
    }


# --- encoding ---------------------------------------------------------------------------------------------


class Sample(Record, frozen=True):
    """One field of every type."""

    number: int
    text: str
    data: bytes
    flag: bool
    price: PriceLine | None
    rows: tuple[tuple[int, ...], ...]


def encoding() -> Json:
    edges = sorted(
        {0, *(s * (2**p + d) for p in (5, 7, 8, 15, 16, 31, 32) for s in (1, -1) for d in (-1, 0))}
    )
    numbers = [*edges, 2**53, -(2**53), INT64_MAX - 1, INT64_MAX, INT64_MIN, INT64_MIN + 1]
    lengths = (0, 1, 31, 32, 255, 256, 65_535, 65_536)
    sample = Sample(-5, "Zoë", b"\0\1", True, PriceLine(-1, 300_000, 2), ((1, 2), (), (INT64_MIN,)))
    return {
        "integers": [{"value": str(n), "bytes": encode(n).hex()} for n in numbers],
        # Head only: what stands before the first of so many bytes, letters or items.
        "heads": [
            {
                "length": n,
                "bytes": encode(bytes(n))[: len(encode(bytes(n))) - n].hex(),
                "str": encode("a" * n)[: len(encode("a" * n)) - n].hex(),
                "array": encode((0,) * n)[: len(encode((0,) * n)) - n].hex(),
            }
            for n in lengths
        ],
        "sample": {
            "layout": [
                ["number", "int"],
                ["text", "str"],
                ["data", "bytes"],
                ["flag", "bool"],
                ["price", "PriceLine?"],
                ["rows", "[[int]]"],
            ],
            "value": plain(sample),
            "bytes": encode(sample).hex(),
        },
        "refused": [refused_encoding(name, data) for name, data in wrong_encodings().items()],
    }


def wrong_encodings() -> dict[str, bytes]:
    """Bytes that are no IntervalQuery, or not its only bytes: version 1, 4 bytes of chain id, interval start 300."""
    right = encode(IntervalQuery(1, b"abcd", 300))
    head, start = right[:-3], b"\xcd\x01\x2c"
    assert right.endswith(start)
    return {
        "cut short": right[:-1],
        "nothing": b"",
        "a byte behind the end": right + b"\0",
        "one field too few": b"\x92" + right[1:-3],
        "one field too many": b"\x94" + right[1:] + b"\x01",
        "a map": b"\x83" + right[1:],
        "text where bytes are due": right.replace(b"\xc4\x04abcd", b"\xa4abcd"),
        "bytes where an integer is due": head + b"\xc4\x01\x05",
        "a float": head + b"\xca\x43\x96\x00\x00",
        "a bool where an integer is due": head + b"\xc3",
        "nil where an integer is due": head + b"\xc0",
        "an integer in 4 bytes that fits 2": head + b"\xce\x00\x00\x01\x2c",
        "a positive integer as a signed one": head + b"\xd1\x01\x2c",
        "bytes with a 2-byte length that fits 1": right.replace(b"\xc4\x04", b"\xc5\x00\x04"),
        "an array with a 2-byte length that fits the head": b"\xdc\x00\x03" + right[1:],
        "an integer of 2^63": head + b"\xcf" + (2**63).to_bytes(8, "big"),
        "more bytes than the limit": bytes(129),
    }


QUERY_MAX = 128


def refused_encoding(name: str, data: bytes) -> Json:
    code = code_of(lambda: decode(IntervalQuery, data, max_bytes=QUERY_MAX))
    return {"name": name, "bytes": data.hex(), "code": code}


# --- frames -----------------------------------------------------------------------------------------------


def frames() -> Json:
    made = [
        Frame(1, FrameKind.REQUEST, b"hello"),
        Frame(1, FrameKind.REPLY, b""),
        Frame(2**32 - 1, FrameKind.ERROR, b"wrong_signature"),
        Frame(0, FrameKind.ERROR, b"too_large"),
    ]
    return {
        "frames": [
            {
                "id": frame.request_id,
                "kind": int(frame.kind),
                "payload": frame.payload.hex(),
                "bytes": frame.pack().hex(),
            }
            for frame in made
        ],
        "refused": [
            {
                "name": "a payload of 1 byte more than the limit",
                "bytes": "0004000600000001",
                "code": "too_large",
            },
            {"name": "shorter than its own head", "bytes": "0000000400000001", "code": "malformed"},
            {"name": "a kind that does not exist", "bytes": "00000005000000010300", "code": "malformed"},
        ],
    }


# --- messages ---------------------------------------------------------------------------------------------


def all_messages() -> list[tuple[Identity, Message]]:
    """One of every kind, and of those with nil or negative numbers two."""
    head = (1, CHAIN_ID, START, 15, HOUSE)
    order = OrderMessage(*head, 7, -1, 1_234, -50_000, 0)
    roots = tuple(bytes([i]) * 32 for i in range(1, 5))
    price = PriceLine(90_000, 231_000, 160_500)
    next_key = kit.OPERATOR.public_key
    return [
        (HOUSEHOLD, order),
        (HOUSEHOLD, OrderMessage(*head, INT64_MAX, 1, 1_000_000, 1_000_000_000, 1_000_000)),
        (HOUSEHOLD, NothingMessage(*head, 8)),
        (HOUSEHOLD, ReadingMessage(*head, 9, 250, 0, Quality.ESTIMATED)),
        (HOUSEHOLD, LineQueryMessage(*head, 10)),
        (kit.OPERATOR, ReceiptMessage(1, CHAIN_ID, START, HOUSE, message_id(order), ReceiptCode.ACCEPTED)),
        (kit.OPERATOR, ResultMessage(1, CHAIN_ID, START, 15, 12, *roots, price, 1_234, next_key)),
        (kit.OPERATOR, ResultMessage(1, CHAIN_ID, START, 15, 13, *roots, None, 0, next_key)),
    ]


def messages() -> Json:
    cases = []
    for identity, message in all_messages():
        kind, body = kind_of(message), encode(message)
        signed = sign_message(identity, message)
        cases.append(
            {
                "kind": int(kind),
                "record": type(message).__name__,
                "signer": "household" if identity is HOUSEHOLD else "operator",
                "value": plain(message),
                "body": body.hex(),
                "sign_bytes": (MESSAGE_DOMAIN + bytes((kind,)) + body).hex(),
                "message_id": message_id(message).hex(),
                "signature": decode(Signed, signed).signature.hex(),
                "signed": signed.hex(),
            }
        )
    return {
        "chain_id": CHAIN_ID.hex(),
        "household": HOUSE,
        "household_key": HOUSEHOLD.public_key.hex(),
        "household_seed": HOUSEHOLD.seed.hex(),
        "operator_key": kit.OPERATOR.public_key.hex(),
        "operator_seed": kit.OPERATOR.seed.hex(),
        "messages": cases,
        "refused": [
            {"name": name, "kind": int(kind), "signed": data.hex(), "code": code_of(open_as(kind, data))}
            for name, (kind, data) in wrong_messages().items()
        ],
    }


def open_as(kind: Kind, data: bytes) -> Callable[[], Message]:
    return lambda: open_message(
        data,
        chain_id=CHAIN_ID,
        kinds=(kind,),
        household_keys={HOUSE: HOUSEHOLD.public_key},
        collector_keys=(kit.OPERATOR.public_key,),
    )


def wrong_messages() -> dict[str, tuple[Kind, bytes]]:
    """Signed messages with one thing wrong each, and the kind that is expected where they come in."""
    order = all_messages()[0][1]
    receipt = all_messages()[5][1]
    good = decode(Signed, sign_message(HOUSEHOLD, order))
    flipped = bytes((good.signature[0] ^ 1, *good.signature[1:]))

    def order_with(**fields: object) -> bytes:
        return sign_anything(HOUSEHOLD, Kind.ORDER, encode(msgspec.structs.replace(order, **fields)))

    def envelope(**fields: object) -> bytes:
        return encode(msgspec.structs.replace(good, **fields))

    wrong = {
        "another byte in the signature": envelope(signature=flipped),
        "another byte in the body": envelope(body=good.body[:-1] + bytes((good.body[-1] ^ 1,))),
        "the signature of another kind": envelope(
            signature=HOUSEHOLD.sign(MESSAGE_DOMAIN, bytes((Kind.NOTHING,)) + good.body)
        ),
        "the signature of another domain": envelope(
            signature=HOUSEHOLD.sign(domains.SIGN_TX, bytes((Kind.ORDER,)) + good.body)
        ),
        "the key of the operator": sign_anything(kit.OPERATOR, Kind.ORDER, good.body),
        "a signature of 63 bytes": envelope(signature=good.signature[:-1]),
        "a kind that does not exist": sign_anything(HOUSEHOLD, 9, good.body),
        "a body of another kind": sign_anything(HOUSEHOLD, Kind.ORDER, encode(all_messages()[2][1])),
        "a body in other bytes than its only ones": sign_anything(
            HOUSEHOLD, Kind.ORDER, b"\xdc\x00\x0a" + good.body[1:]
        ),
        "version 2": order_with(version=2),
        "another chain": order_with(chain_id=bytes(32)),
        "a chain id of 31 bytes": order_with(chain_id=CHAIN_ID[:31]),
        "off the boundary of its interval": order_with(interval_start=START + 60),
        "7 minutes": order_with(minutes=7, interval_start=0),
        "side 0": order_with(side=0),
        "side 2": order_with(side=2),
        "negative energy": order_with(energy_wh=-1),
        "more energy than the limit": order_with(energy_wh=1_000_001),
        "a price beyond the limit": order_with(limit_micro_per_kwh=-1_000_000_001),
        "a negative nonce": order_with(nonce=-1),
        "no household": order_with(household=""),
        "a household of 65 bytes": order_with(household="h" * 65),
        "more than 1,024 bytes": order_with(household="h" * 1_024),
    }
    return {
        **{name: (Kind.ORDER, data) for name, data in wrong.items()},
        "an order where a receipt is due": (Kind.RECEIPT, encode(good)),
        "a receipt by a household": (
            Kind.RECEIPT,
            sign_anything(HOUSEHOLD, Kind.RECEIPT, encode(receipt)),
        ),
    }


def sign_anything(identity: Identity, kind: int, body: bytes) -> bytes:
    """Sign what `sign_message` would refuse to sign."""
    signature = identity.sign(MESSAGE_DOMAIN, bytes((kind,)) + body)
    return encode(Signed(kind, body, identity.public_key, signature))
