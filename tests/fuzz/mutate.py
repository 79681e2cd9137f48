"""Wrong bytes out of right ones: by hand on the bytes, and by the structure of msgpack."""

from __future__ import annotations

import random
import struct
from typing import Any

import msgspec

INTERESTING = (0, 1, -1, 31, 32, 127, 128, 255, 256, 2**16, 2**31, 2**32, 2**36, 2**63 - 1, -(2**63))
_HUGE = (b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff")
_BEYOND = (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xcf\x80\0\0\0\0\0\0\0")
_OTHERS = (b"\xc0", b"\xc2", b"\xc3", b"\xc1", b"\x80", b"\x90", b"\xa1\xff", b"\xca\0\0\0\0", b"\xd4\0\0")


def mutated(rng: random.Random, data: bytes, other: bytes = b"") -> bytes:
    """Change `data` in one to four places.

    Args:
        rng: Decides everything.
        data: Any bytes.
        other: Bytes of a second input, to splice from.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        try:
            data = rng.choice(_WAYS)(rng, data, other or data)
        except RecursionError:  # nested too deeply for us as well
            break
    return data


def _flip(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    if not data:
        return b"\0"
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def _insert(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice((rng.randbytes(rng.randint(1, 9)), *_HUGE, *_BEYOND, *_OTHERS)) + data[at:]


def _delete(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + data[at + rng.choice((1, 1, 2, 8, 33, len(data))) :]


def _duplicate(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    at, size = rng.randint(0, len(data)), rng.choice((1, 2, 9, 34, 66))
    return data[: at + size] + data[at:]


def _splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


def _field(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Change one field and encode again: canonical bytes of a wrong value."""
    tree, second = _tree(data), _tree(other)
    if not isinstance(tree, list):
        return _flip(rng, data, other)
    return msgspec.msgpack.encode(_changed(rng, tree, second))


def _longer(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Encode the same value in other lengths."""
    tree = _tree(data)
    return _flip(rng, data, other) if tree is None else _write(rng, tree)


def _nested(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + b"\x91" * rng.choice((2, 40, 2_000)) + data[at:]


_WAYS = (_flip, _insert, _delete, _duplicate, _splice, _longer, _nested, _field, _field, _field, _field)


def _tree(data: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _changed(rng: random.Random, value: Any, second: Any, depth: int = 0) -> Any:
    if isinstance(value, list) and value and depth < 8:
        at = rng.randrange(len(value))
        way = rng.randrange(12)
        if way == 0:
            return value[:at] + value[at + 1 :]
        if way == 1:
            return [*value[:at], value[at], *value[at:]]
        if way == 2:
            swap = rng.randrange(len(value))
            value = list(value)
            value[at], value[swap] = value[swap], value[at]
            return value
        inner = second[at] if isinstance(second, list) and at < len(second) else second
        if way == 3:
            return [*value[:at], inner, *value[at + 1 :]]
        return [*value[:at], _changed(rng, value[at], inner, depth + 1), *value[at + 1 :]]
    return _leaf(rng, value)


def _leaf(rng: random.Random, value: Any) -> Any:
    if isinstance(value, int) and rng.random() < 0.8:
        near = max(-(2**63), min(2**64 - 1, value + rng.choice((-1, 1, 2, 900))))
        return rng.choice((near, *INTERESTING, 2**64 - 1))
    if isinstance(value, bytes) and rng.random() < 0.8:
        if value and rng.random() < 0.5 and isinstance(_tree(value), list):
            return mutated(rng, value)
        return rng.choice((_flip(rng, value, b""), value[:-1], value + b"\0", b"", bytes(len(value))))
    if isinstance(value, str) and rng.random() < 0.8:
        return rng.choice((value + "x", value[1:], "", "\x00", "é" * 40, "\U0001f50c", value.upper()))
    return rng.choice((0, -1, None, b"", b"\0" * 32, "", [], [[]], 1.5, True, {}))


def _write(rng: random.Random, value: Any) -> bytes:
    """Msgpack of a tree, each head in a length drawn by lot."""
    if isinstance(value, int) and not isinstance(value, bool):
        sizes = [(code, form) for code, form in _INTS if _packs(form, value)]
        return rng.choice([msgspec.msgpack.encode(value), *(c + struct.pack(f, value) for c, f in sizes)])
    if isinstance(value, list):
        head = rng.choice([b"\xdd" + struct.pack(">I", len(value)), msgspec.msgpack.encode(value)[:1]])
        if len(value) > 15:
            head = b"\xdd" + struct.pack(">I", len(value))
        return head + b"".join(_write(rng, part) for part in value)
    if isinstance(value, bytes):
        return rng.choice((msgspec.msgpack.encode(value), b"\xc6" + struct.pack(">I", len(value)) + value))
    if isinstance(value, str):
        raw = value.encode()
        return rng.choice((msgspec.msgpack.encode(value), b"\xdb" + struct.pack(">I", len(raw)) + raw))
    return msgspec.msgpack.encode(value)


_INTS = (
    (b"\xcc", ">B"),
    (b"\xcd", ">H"),
    (b"\xce", ">I"),
    (b"\xcf", ">Q"),
    (b"\xd0", ">b"),
    (b"\xd1", ">h"),
    (b"\xd2", ">i"),
    (b"\xd3", ">q"),
)


def _packs(form: str, value: int) -> bool:
    try:
        struct.pack(form, value)
    except struct.error:
        return False
    return True
