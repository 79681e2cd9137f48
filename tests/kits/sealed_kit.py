"""A street whose homes seal their orders, and what opens them: for the tests of closed orders and of who opens them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from p2p.batches.blob import blob_hash
from p2p.batches.closed_orders import ClosedOrders, JunkWord, make_closed, read_closed, sign_junk
from p2p.blocks.genesis import Genesis
from p2p.wire.limits import Limits
from p2p.wire.messages import Said, SealedMessage, sign_message
from p2p.wire.sealed import seal_message, sealing_context
from p2p.wire.sealing import open_share
from tests.kits.chain_kit import START, authorities
from tests.kits.signed_kit import homes, key_of, keyed_genesis, names, order

SEALED_BYTES = 96
LIMITS = Limits(sealed_bytes=SEALED_BYTES)
KEYS = authorities(4)
VALIDATORS = tuple(one.public_key for one in KEYS)
Change = Callable[[SealedMessage], SealedMessage]


def sealed_genesis(members: int) -> Genesis:
    return keyed_genesis(members, limits=LIMITS)


def sealed(said: Said, validators: Sequence[bytes] = VALIDATORS) -> SealedMessage:
    return seal_message(key_of(said.household), said, validators, LIMITS)


def signed_sealed(message: SealedMessage) -> bytes:
    return sign_message(key_of(message.household), message, LIMITS)


def with_junk(message: SealedMessage, places: Iterable[int]) -> SealedMessage:
    """The same, with pieces that hold nothing for the validators at some places."""
    wrong = set(places)
    pieces = tuple(
        msgspec.structs.replace(piece, masked=bytes(32)) if place in wrong else piece
        for place, piece in enumerate(message.envelope.pieces)
    )
    return with_envelope(message, pieces=pieces)


def with_envelope(message: SealedMessage, **changes: Any) -> SealedMessage:
    return msgspec.structs.replace(message, envelope=msgspec.structs.replace(message.envelope, **changes))


def closed_bytes(messages: Iterable[SealedMessage], members: int, start: int = START) -> bytes:
    return make_closed(names(members), start, VALIDATORS, map(signed_sealed, messages))


def closed_of(members: int, changed: dict[str, Change] | None = None) -> tuple[Genesis, ClosedOrders]:
    """The closed orders of a street, the envelopes of some homes changed before they are signed."""
    genesis, changed = sealed_genesis(members), changed or {}
    messages = [
        changed.get(name, lambda one: one)(sealed(order(genesis, name, energy_wh=100 + i)))
        for i, name in enumerate(names(members))
    ]
    data = closed_bytes(messages, members)
    return genesis, read_closed(data, blob_hash(data), genesis, homes(members))


def answer_of(
    genesis: Genesis, closed: ClosedOrders, place: int
) -> tuple[int, tuple[bytes, ...], JunkWord | None]:
    """What an honest validator answers."""
    shares, junk = [], []
    for number in closed.openable:
        message = closed.messages[number]
        share = open_share(message.envelope, place, KEYS[place], sealing_context(message))
        shares.append(share or b"")
        if share is None:
            junk.append(number)
    word = sign_junk(KEYS[place], genesis.chain_id, closed.name, junk) if junk else None
    return place, tuple(shares), word
