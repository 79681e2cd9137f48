"""Random right values of every record, from its type."""

from __future__ import annotations

import importlib
import pkgutil
import random
from typing import Any

import msgspec
from msgspec import inspect

import p2p
from p2p.wire.codec import Record
from tests.fuzz.mutate import INTERESTING


def all_records() -> list[type[Record]]:
    """Every concrete record of `p2p`, by name."""
    for module in pkgutil.walk_packages(p2p.__path__, "p2p."):
        importlib.import_module(module.name)
    found, waiting = [], [Record]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            if kind.__module__.startswith("p2p."):
                found.append(kind)
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


def value_of(rng: random.Random, kind: Any) -> Any:
    """A random value of a type that records are built from."""
    return _value(rng, inspect.type_info(kind), 0)


def _value(rng: random.Random, info: inspect.Type, depth: int) -> Any:
    match info:
        case inspect.IntType():
            return rng.choice((rng.randint(-5, 300), rng.choice(INTERESTING)))
        case inspect.StrType():
            return rng.choice(("", "house-1", "settlement", "batch", "é" * 20))
        case inspect.BytesType():
            return rng.randbytes(rng.choice((0, 1, 16, 32, 32, 32, 64, 64, 300)))
        case inspect.BoolType():
            return rng.random() < 0.5
        case inspect.NoneType():
            return None
        case inspect.UnionType():
            return _value(rng, rng.choice(info.types), depth)
        case inspect.StructType():
            return info.cls(*(_value(rng, field.type, depth + 1) for field in info.fields))
        case inspect.TupleType():
            return tuple(_value(rng, part, depth + 1) for part in info.item_types)
        case inspect.VarTupleType():
            size = rng.choice((0, 1, 2, 4)) if depth < 4 else 0
            return tuple(_value(rng, info.item_type, depth + 1) for _ in range(size))
    raise TypeError(f"records have no fields of {info}")


def encoded(value: Any) -> bytes:
    """Canonical bytes, without the check of our own encoder."""
    return msgspec.msgpack.encode(value)
