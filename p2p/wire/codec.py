"""One canonical encoding: msgspec msgpack of array-like frozen Structs, checked by encoding again.

msgspec refuses floats, bools, extra fields and trailing bytes, but accepts integers and lengths that are
not in their shortest form. Encoding the decoded value again and comparing closes that: one value, one byte
string. Structs have no defaults, so that a short array is refused as well.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from market.errors import with_article
from p2p.errors import Malformed, NonCanonical, OutOfRange, TooLarge, Unencodable

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)

DEFAULT_MAX_BYTES = 64 * 1024
"""Limit of one decoded object where the caller states none. [B]"""

WIDE_BYTES = 16

Wide = int | bytes
"""A number up to 128 bits: an integer where it fits into 64 bits, else 16 bytes, big endian, signed."""

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_beyond_int64 = re.compile(rb"\xcf[\x80-\xff]").search
"""Finds the only form of such an integer, or bytes that look like it: the fields of most messages need no look."""


class Record(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Base of everything that is encoded: a fixed-length array in field order, without defaults."""


def wide(number: int) -> Wide:
    """The only form of a number up to 128 bits.

    Raises:
        Unencodable: It has more.
    """
    if INT64_MIN <= number <= INT64_MAX:
        return number
    try:
        return number.to_bytes(WIDE_BYTES, "big", signed=True)
    except OverflowError:
        raise Unencodable("a sum does not fit into 128 bits") from None


def narrow(number: Wide) -> int:
    """The number in a `Wide`.

    Raises:
        NonCanonical: Bytes of another length, or of a number that an integer could say.
    """
    if isinstance(number, int):
        return number
    found = int.from_bytes(number, "big", signed=True)
    if len(number) != WIDE_BYTES or INT64_MIN <= found <= INT64_MAX:
        raise NonCanonical(f"a number in {len(number)} bytes that is not in its only form")
    return found


def encode(value: object) -> bytes:
    """Return the canonical bytes of a `Record` (or a tuple of records).

    Raises:
        Unencodable: An integer beyond int64 or a type that msgpack lacks.
    """
    try:
        data = _encoder.encode(value)
    except OverflowError as error:
        raise Unencodable(f"an integer of {type(value).__name__} does not fit into 64 bits") from error
    except (TypeError, UnicodeEncodeError) as error:
        raise Unencodable(f"{type(value).__name__} cannot be encoded: {error}") from error
    if _beyond_int64(data) and not _fits_int64(value):
        raise Unencodable(f"an integer of {type(value).__name__} does not fit into 64 bits")
    return data


def decode(kind: type[T], data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> T:
    """Read canonical bytes as `kind`.

    Args:
        kind: A `Record` subclass, or a type of msgspec built from them.
        data: The bytes, whole.
        max_bytes: Larger inputs are refused unread. [B]

    Raises:
        TooLarge: `data` is longer than `max_bytes`.
        Malformed: Not this structure.
        OutOfRange: An integer beyond int64.
        NonCanonical: The structure, in other bytes than `encode` would write.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes for {with_article(_name(kind))}; the limit is {max_bytes}")
    try:
        value: T = _decoder(kind).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise Malformed(f"not {with_article(_name(kind))}: {error}") from None
    if _beyond_int64(data) and not _fits_int64(value):
        raise OutOfRange(f"an integer of the {_name(kind)} does not fit into 64 bits")
    if _encoder.encode(value) != data:
        raise NonCanonical(f"{with_article(_name(kind))} in other bytes than its only encoding")
    return value


_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    return decoder


def _name(kind: type[Any]) -> str:
    return getattr(kind, "__name__", str(kind))


def _fits_int64(value: object) -> bool:
    # A loop, not a generator: this runs over every field of large blocks.
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.astuple(value)
    if not isinstance(value, tuple):
        return type(value) is not int or INT64_MIN <= value <= INT64_MAX
    for part in value:
        kind = type(part)
        if kind is int:
            if not INT64_MIN <= part <= INT64_MAX:
                return False
        elif kind is not bytes and kind is not str and not _fits_int64(part):
            return False
    return True
