"""Signed messages: orders, readings, receipts; each one canonical bytes with a signature.

A message is a `Record` that starts with the schema version and the chain id. It travels as `Signed`: kind,
body bytes, public key, signature. The signature covers kind and body under its own domain, so it survives
relays and gateways and can never pass for a vote or a transaction. Homes sign orders, readings and
"nothing"; collectors and validators sign receipts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from enum import IntEnum
from functools import cache

import msgspec

from market.interval import ALLOWED_MINUTES, begins_interval
from market.orders import (
    MAX_HORIZON,
    Flexible,
    Quote,
    Storage,
    Terms,
    busiest_wh,
    numbers_of,
    problem_of,
    reach_of,
    terms_from,
)
from market.orders import kind_of as kind_of_terms
from p2p.errors import (
    InvalidMessage,
    Malformed,
    OutOfRange,
    UnknownHousehold,
    WrongChain,
    WrongKind,
    WrongSignature,
    WrongVersion,
)
from p2p.wire.codec import INT64_MAX, Record, decode, encode
from p2p.wire.identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from p2p.wire.limits import DEFAULT_LIMITS, Limits
from p2p.wire.sealing import Envelope, shape_problem

VERSION = 4
MAX_MESSAGE_BYTES = 4 * 1024
HASH_BYTES = 32
MAX_ID_BYTES = 64
MAX_TIME_S = 2**36
"""Latest interval start that is accepted, about the year 4147; keeps times in ms far inside int64. [s]"""

_MESSAGE_DOMAIN = b"wattswap/msg/1\0"
_MESSAGE_ID_DOMAIN = b"wattswap/msg-id/1\0"


class Kind(IntEnum):
    """The kind byte of a signed message."""

    ORDER = 1
    READING = 2
    RECEIPT = 3
    NOTHING = 5
    LINE_QUERY = 6
    SEALED = 7


class Quality(IntEnum):
    """Where a meter reading comes from."""

    MEASURED = 0
    ESTIMATED = 1
    MISSING = 2


class ReceiptCode(IntEnum):
    """The operator's answer to an order, a reading or a "nothing"."""

    ACCEPTED = 0
    DUPLICATE = 1
    REPLACED = 2
    LATE = 3
    EARLY = 4
    STALE_NONCE = 5
    REFUSED = 6


PROMISES = (ReceiptCode.ACCEPTED, ReceiptCode.REPLACED)
"""Receipts that promise to include the message, or a later one of the same home."""


class OrderLine(Record, frozen=True):
    """One order.

    Args:
        side: +1 buy, -1 sell.
        energy_wh: At least 0. [Wh]
        limit_micro_per_kwh: Worst acceptable price; may be negative. [micro-currency/kWh]
        node: Index into the grid's nodes; 0 without a grid.
        kind: `market.orders.OrderKind`; 0 is a simple order.
        terms: What an order of this kind holds beyond the above, see `market.orders`; empty for a simple one.
    """

    side: int
    energy_wh: int
    limit_micro_per_kwh: int
    node: int
    kind: int
    terms: tuple[int, ...]


class OrderMessage(Record, frozen=True):
    """All orders of one home for one round of an interval.

    Args:
        interval_start: Start of the interval, a multiple of its length. [s since 1970, UTC]
        minutes: Length of the interval. [min]
        nonce: Grows with each message of a home; a higher one replaces the orders of the same round.
        round: Of the interval's market, from 0; what is left of the home's orders of earlier rounds is withdrawn when
            it opens.
        orders: At least one; what they can move together in any one interval stays within the largest energy of the
            chain.
    """

    version: int
    chain_id: bytes
    interval_start: int
    minutes: int
    household: str
    nonce: int
    round: int
    orders: tuple[OrderLine, ...]


class ReadingMessage(Record, frozen=True):
    """What a home's meter counted in one interval, both registers at least 0. [Wh]"""

    version: int
    chain_id: bytes
    interval_start: int
    minutes: int
    household: str
    nonce: int
    import_wh: int
    export_wh: int
    quality: int


class ReceiptMessage(Record, frozen=True):
    """A collector's or validator's signed answer; ACCEPTED and REPLACED promise that this message, or a later one of
    the same home, is in every batch and every closing of the slot that this key signs."""

    version: int
    chain_id: bytes
    interval_start: int
    household: str
    message_id: bytes
    code: int


class PriceLine(Record, frozen=True):
    """The price interval of a uniform price. [micro-currency/kWh]"""

    lo: int
    hi: int
    price: int


class NothingMessage(Record, frozen=True):
    """A home that orders nothing in a round, so that the operator need not wait for it; its older orders stay."""

    version: int
    chain_id: bytes
    interval_start: int
    minutes: int
    household: str
    nonce: int
    round: int


class SealedMessage(Record, frozen=True):
    """An order or "nothing" that is opened once its interval takes no more, in markets that seal them.

    Args:
        envelope: Kind byte and body of the message in it, sealed under `sealing_context`.
    """

    version: int
    chain_id: bytes
    interval_start: int
    minutes: int
    household: str
    nonce: int
    round: int
    envelope: Envelope


class LineQueryMessage(Record, frozen=True):
    """A home that asks for its own data of an interval, through a gateway or another carrier.

    Args:
        slot: Of the leaf or the position: a round, or behind all rounds the readings; 0 where a line is asked for,
            which is of the whole interval.
    """

    version: int
    chain_id: bytes
    interval_start: int
    minutes: int
    household: str
    nonce: int
    slot: int


class Signed(Record, frozen=True):
    """The envelope of every message."""

    kind: int
    body: bytes
    public_key: bytes
    signature: bytes


Said = OrderMessage | NothingMessage
"""What a home says about its orders in a round."""
HandedIn = Said | SealedMessage | ReadingMessage
"""What a home submits to a collector."""
Message = HandedIn | ReceiptMessage | LineQueryMessage

_TYPES: dict[int, type[Message]] = {
    Kind.ORDER: OrderMessage,
    Kind.READING: ReadingMessage,
    Kind.RECEIPT: ReceiptMessage,
    Kind.NOTHING: NothingMessage,
    Kind.LINE_QUERY: LineQueryMessage,
    Kind.SEALED: SealedMessage,
}
_KINDS: dict[type[Message], Kind] = {message_type: Kind(kind) for kind, message_type in _TYPES.items()}


def said_kinds(limits: Limits) -> tuple[Kind, ...]:
    """Kinds of messages in which homes say what they order."""
    return (Kind.SEALED,) if limits.sealed_bytes else (Kind.ORDER, Kind.NOTHING)


def kind_of(message: Message) -> Kind:
    """The kind byte of a message."""
    return _KINDS[type(message)]


def message_id(message: Message) -> bytes:
    """Return the 32-byte name of a message's content, the same whoever relays it."""
    return hashlib.sha256(_MESSAGE_ID_DOMAIN + bytes((kind_of(message),)) + encode(message)).digest()


def sign_message(identity: Identity, message: Message, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of the signed message.

    Raises:
        InvalidMessage: A peer would refuse it.
    """
    problem = range_problem(message, limits)
    if problem:
        raise InvalidMessage(f"{type(message).__name__}: {problem}")
    kind, body = kind_of(message), encode(message)
    signature = identity.sign(_MESSAGE_DOMAIN, bytes((kind,)) + body)
    data = encode(Signed(kind, body, identity.public_key, signature))
    if len(data) > MAX_MESSAGE_BYTES:
        raise InvalidMessage(f"{type(message).__name__}: {len(data)} bytes; the limit is {MAX_MESSAGE_BYTES}")
    return data


KeyOf = Callable[[str, int, Kind], bytes | None]
"""The public key that signs a home's messages of an interval, from the home's id, the interval's start [s] and the kind
of the message; None for a home that is not in the roster."""


def lasting(keys: Mapping[str, bytes]) -> KeyOf:
    """Keys of homes that sign all messages of every interval."""
    return lambda household, interval_start, kind: keys.get(household)


def open_message(
    data: bytes,
    *,
    chain_id: bytes,
    kinds: Collection[Kind],
    key_of: KeyOf,
    collector_keys: Collection[bytes] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Message:
    """Check a signed message from a peer and return it.

    Args:
        data: Bytes from the wire.
        chain_id: The chain we are on.
        kinds: Kinds that are expected here.
        key_of: Who signs for the homes of the roster.
        collector_keys: Public keys that may sign receipts; `signer_of` names the signer.
        limits: Ranges of the chain.

    Raises:
        RemoteError: With the code malformed, non_canonical, too_large, wrong_kind, wrong_version,
            wrong_chain, out_of_range, unknown_household or wrong_signature. Cheap checks come first; the
            signature is last.
    """
    signed = decode(Signed, data, max_bytes=MAX_MESSAGE_BYTES)
    if len(signed.public_key) != PUBLIC_KEY_BYTES or len(signed.signature) != SIGNATURE_BYTES:
        raise Malformed("a key or signature of another length than Ed25519 has")
    message_type = _TYPES.get(signed.kind)
    if message_type is None or signed.kind not in kinds:
        expected_kinds = ", ".join(Kind(kind).name.lower() for kind in sorted(kinds))
        raise WrongKind(f"kind {signed.kind}; expected {expected_kinds}")
    message = decode(message_type, signed.body, max_bytes=MAX_MESSAGE_BYTES)
    if message.version != VERSION:
        raise WrongVersion(f"version {message.version}; this program supports {VERSION}")
    if message.chain_id != chain_id:
        raise WrongChain(f"chain {message.chain_id.hex()[:16]}; this is chain {chain_id.hex()[:16]}")
    problem = range_problem(message, limits)
    if problem:
        raise OutOfRange(problem)
    if signed.public_key not in _signers(message, key_of, collector_keys):
        raise WrongSignature(f"a {kind_of(message).name.lower()} by a key that may not sign it")
    if not verify(signed.public_key, _MESSAGE_DOMAIN, bytes((signed.kind,)) + signed.body, signed.signature):
        raise WrongSignature(f"the signature of the {kind_of(message).name.lower()} does not verify")
    return message


def content_of(data: bytes) -> bytes:
    """Return what a signed message says, whoever has signed it."""
    signed = decode(Signed, data, max_bytes=MAX_MESSAGE_BYTES)
    return bytes((signed.kind,)) + signed.body


def signer_of(data: bytes) -> bytes:
    """Return the public key that a signed message names; `open_message` has checked the signature."""
    return decode(Signed, data, max_bytes=MAX_MESSAGE_BYTES).public_key


def household_of(data: bytes) -> str:
    """Return the home that a signed message names, unchecked.

    Raises:
        RemoteError: It is malformed, or of a kind that names none.
    """
    return _unchecked(data).household


def interval_of(data: bytes) -> int:
    """Return the start of the interval that a signed message names, unchecked; raises as `household_of`. [s]"""
    return _unchecked(data).interval_start


def _unchecked(data: bytes) -> Message:
    signed = decode(Signed, data, max_bytes=MAX_MESSAGE_BYTES)
    message_type = _TYPES.get(signed.kind)
    if message_type is None:
        raise WrongKind(f"kind {signed.kind}, which names no home")
    return decode(message_type, signed.body, max_bytes=MAX_MESSAGE_BYTES)


def _signers(message: Message, key_of: KeyOf, collector_keys: Collection[bytes]) -> Collection[bytes]:
    key = key_of(message.household, message.interval_start, kind_of(message))
    if key is None:
        raise UnknownHousehold(f"home {message.household!r} is not in the roster")
    return collector_keys if isinstance(message, ReceiptMessage) else (key,)


def range_problem(message: Message, limits: Limits) -> str | None:
    """Say which field is out of range, or None."""
    bounds = _bounds(limits)
    for name, value in zip(message.__struct_fields__, msgspec.structs.astuple(message), strict=True):
        if name in _HASHES and len(value) != HASH_BYTES:
            return f"{name} has {len(value)} bytes; it must have {HASH_BYTES}"
        bound = bounds.get(name)
        if bound is not None and not bound[0] <= value <= bound[1]:
            return f"{name} is {value}; it must lie in {bound[0]}..{bound[1]}"
    if not 0 < len(message.household.encode()) <= MAX_ID_BYTES:
        return f"`household` has {len(message.household.encode())} bytes; it must have 1..{MAX_ID_BYTES}"
    if isinstance(message, OrderMessage):
        problem = _orders_problem(message.orders, limits)
        if problem:
            return problem
    if isinstance(message, SealedMessage):
        problem = _sealed_problem(message, limits)
        if problem:
            return problem
    if isinstance(message, ReceiptMessage):
        return None
    if message.minutes not in ALLOWED_MINUTES:
        return f"minutes is {message.minutes}; it must be one of {ALLOWED_MINUTES}"
    if not begins_interval(message.interval_start, message.minutes):
        return f"interval_start {message.interval_start} is not on a {message.minutes}-minute boundary"
    return None


def _sealed_problem(message: SealedMessage, limits: Limits) -> str | None:
    if not limits.sealed_bytes:
        return "an envelope; this market takes orders in the open"
    return shape_problem(message.envelope, limits.sealed_bytes)


def order_line(
    side: int, energy_wh: int, limit_micro_per_kwh: int, node: int = 0, terms: Terms | None = None
) -> OrderLine:
    """Return an order as messages carry it."""
    return OrderLine(side, energy_wh, limit_micro_per_kwh, node, int(kind_of_terms(terms)), numbers_of(terms))


def terms_of(order: OrderLine) -> Terms | None:
    """The terms of an order that `open_message` has checked; None of a simple one."""
    return terms_from(order.kind, order.terms)


def _orders_problem(orders: tuple[OrderLine, ...], limits: Limits) -> str | None:
    if not 1 <= len(orders) <= limits.max_orders:
        return f"{len(orders)} orders; a message has 1..{limits.max_orders}"
    for order in orders:
        problem = _order_problem(order, limits)
        if problem:
            return problem
    energy_wh = busiest_wh([reach_of(order.energy_wh, terms_of(order)) for order in orders])
    if energy_wh > limits.max_energy_wh:
        return f"energy_wh adds up to {energy_wh}; it must lie in 0..{limits.max_energy_wh}"
    return None


def ordered_wh(orders: tuple[OrderLine, ...]) -> int:
    """What valid orders can move in all intervals together. [Wh]"""
    return sum(reach_of(order.energy_wh, terms_of(order)).whole_wh for order in orders)


def _order_problem(order: OrderLine, limits: Limits) -> str | None:
    bounds = _bounds(limits)
    for name in ("side", "energy_wh", "limit_micro_per_kwh", "node"):
        value, (low, high) = getattr(order, name), bounds[name]
        if not low <= value <= high:
            return f"{name} is {value}; it must lie in {low}..{high}"
    if order.side == 0:
        return "side is 0; it must be +1 (buy) or -1 (sell)"
    if order.kind not in limits.order_kinds:
        return f"kind is {order.kind}; this market takes {limits.order_kinds}"
    try:
        terms = terms_from(order.kind, order.terms)
    except ValueError as error:
        return str(error)
    if terms is None:
        return None
    outside = _outside(terms, limits)
    if outside:
        return f"a {kind_of_terms(terms).word} order whose {outside} is outside the limits"
    return problem_of(terms, order.side, order.energy_wh, order.limit_micro_per_kwh)


def _outside(terms: Terms, limits: Limits) -> str | None:
    """Name what an order's terms hold that is larger than an order of this chain may be, or None."""
    most_wh, most_price = limits.max_energy_wh, limits.max_price_micro_per_kwh
    if isinstance(terms, Quote):
        larger = terms.sell_wh > most_wh or terms.sell_limit_micro_per_kwh > most_price
        return "selling half" if larger else None
    if isinstance(terms, Flexible):
        return "power" if terms.power_wh > most_wh else None
    if isinstance(terms, Storage):
        larger = terms.discharge_wh > most_wh or terms.capacity_wh > MAX_HORIZON * most_wh
        return "energy or wear" if larger or terms.wear_micro_per_kwh > most_price else None
    return None


_HASHES = frozenset({"chain_id", "message_id"})
"""Fields of 32 bytes."""


@cache
def _bounds(limits: Limits) -> dict[str, tuple[int, int]]:
    return {
        "interval_start": (0, MAX_TIME_S),
        "nonce": (0, INT64_MAX),
        "round": (0, limits.rounds - 1),
        "slot": (0, limits.rounds),
        "side": (-1, 1),
        "energy_wh": (0, limits.max_energy_wh),
        "import_wh": (0, limits.max_energy_wh),
        "export_wh": (0, limits.max_energy_wh),
        "limit_micro_per_kwh": (-limits.max_price_micro_per_kwh, limits.max_price_micro_per_kwh),
        "node": (0, limits.max_node),
        "quality": (min(Quality), max(Quality)),
        "code": (min(ReceiptCode), max(ReceiptCode)),
    }
