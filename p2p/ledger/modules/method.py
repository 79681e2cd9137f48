"""What every module is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2p.blocks.genesis import Genesis
from p2p.ledger.view import Context, View
from p2p.wire.codec import Record

OPERATOR = "operator"
AUTHORITY = "authority"
HOUSEHOLD = "household"


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a module.

    Args:
        args: Record of its arguments.
        roles: Who may call it.
        execute: Changes the view, or raises `InvalidTx`; what it wrote until then is forgotten.
        check: What can be told from the arguments alone; runs before `execute`, and in mempools.
        limited: Counts against the sender's quota.
    """

    args: type[Record]
    roles: frozenset[str]
    execute: Callable[[Context, Any], None]
    check: Callable[[Any, Genesis], None]
    limited: bool = True


@dataclass(frozen=True, slots=True)
class Module:
    """One module of the chain.

    Args:
        start: Writes what the genesis gives the module.
        check: Raises `BrokenInvariant` unless what must always hold does; looks at what the block touched.
    """

    name: str
    methods: dict[str, Method]
    start: Callable[[View, Genesis], None]
    check: Callable[[View, Genesis, int], None]
