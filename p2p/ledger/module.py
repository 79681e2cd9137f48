"""What every module of the chain is made of, and the registry of all of them.

A module is one file: its records, its methods, its refusal codes, what always holds, and the edge: a sentence and the
arguments of each method and the layout of each entry, from which `edge` builds transactions and shows states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from market.registry import Registry
from p2p.blocks.genesis import Genesis
from p2p.errors import GenesisError
from p2p.ledger.view import Context, View
from p2p.wire.codec import Record

OPERATOR = "operator"
AUTHORITY = "authority"
HOUSEHOLD = "household"


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a module.

    Args:
        about: What it does, one sentence.
        args: Record of its arguments.
        roles: Who may call it.
        execute: Changes the view, or raises `InvalidTx`; what it wrote until then is discarded.
        check: Checks of the arguments alone; runs before `execute`, and in mempools.
        limited: Counts against the sender's quota.
        caller: Key in the arguments that may call it; for methods that need no role.
    """

    about: str
    args: type[Record]
    roles: frozenset[str]
    execute: Callable[[Context, Any], None]
    check: Callable[[Any, Genesis], None]
    limited: bool = True
    caller: Callable[[Any], bytes] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of entry in a module's state.

    Args:
        about: What it says.
        prefix: What its keys begin with; the whole key where `key` is empty.
        key: Parts of the key behind the prefix: name, and "bytes" (32 of them), "u32", "u64" or "i64".
        record: Record of the value; None for plain bytes.
    """

    about: str
    prefix: bytes
    key: tuple[tuple[str, str], ...] = ()
    record: type[Record] | None = None

    def fits(self, key: bytes) -> bool:
        """Whether a key is one of an entry of this kind."""
        size = sum(KEY_BYTES[kind] for _, kind in self.key)
        return key.startswith(self.prefix) and len(key) == len(self.prefix) + size


KEY_BYTES = {"bytes": 32, "u32": 4, "u64": 8, "i64": 8}
"""Length of each kind of part of an entry's key."""


def _nothing(view: View, genesis: Genesis) -> None:
    """A module whose state is empty below the first block."""


def _always(view: View, genesis: Genesis, height: int) -> None:
    """A module without invariants, or to which the end of a block does nothing."""


@dataclass(frozen=True, slots=True)
class ChainModule:
    """One module of the chain.

    Args:
        summary: What it is for, one sentence.
        methods: What transactions may call, by name.
        entries: Every kind of entry it writes.
        codes: Its refusal codes, each with a sentence.
        start: Writes what the genesis gives the module.
        check: Raises `BrokenInvariant` unless its invariants hold; checks what the block touched.
        end_block: Runs after the transactions of every block, with its height.
    """

    name: str
    summary: str
    methods: Mapping[str, Method]
    entries: tuple[Entry, ...]
    codes: Mapping[str, str] = field(default_factory=dict)
    start: Callable[[View, Genesis], None] = _nothing
    check: Callable[[View, Genesis, int], None] = _always
    end_block: Callable[[View, Genesis, int], None] = _always


CHAIN_MODULES = Registry[ChainModule](
    "chain module", folders=("p2p.ledger.modules",), group="wattswap.chain_modules", item=ChainModule
)

ENVELOPE_CODES = {
    "tx_version": "The transaction has a version that this chain does not support.",
    "tx_chain": "The transaction belongs to another chain.",
    "tx_unknown_method": "No module has this method.",
    "tx_signature": "The sender did not sign this transaction.",
    "tx_expired": "The block is above the transaction's valid_until_height.",
    "tx_nonce": "The nonce is not the sender's last plus one.",
    "tx_role": "The sender's key has no role that may call this method.",
    "tx_quota": "The sender has used up its transactions of this window of heights.",
    "tx_args": "The arguments are not those of the method, or one is outside its range.",
    "tx_module": "A third-party module failed, or wrote what it did not declare.",
}
"""Why a transaction is refused whatever its module: code and sentence."""


def refusal_codes() -> dict[str, str]:
    """Every code of `InvalidTx` with a sentence: those of the envelope, then those of the modules."""
    codes = dict(ENVELOPE_CODES)
    for module in CHAIN_MODULES.all().values():
        codes |= module.codes
    return codes


FORMAT_MODULES = {7: ("accounts", "evidence", "governance", "guarantees", "meters", "settlement")}
"""The modules of every chain, by the format version of its genesis; sorted, as their roots enter the state root."""


def modules_of(genesis: Genesis) -> dict[str, ChainModule]:
    """The modules of a chain by name, sorted.

    Raises:
        GenesisError: One of them is not known here.
    """
    # The modules of a format never change; a third-party module may be registered again in a notebook.
    own = FORMAT_MODULES[genesis.version]
    return _modules_named((*own, *genesis.modules)) if genesis.modules else _modules_of_format(own)


@cache
def _modules_of_format(names: tuple[str, ...]) -> dict[str, ChainModule]:
    return _modules_named(names)


def _modules_named(names: tuple[str, ...]) -> dict[str, ChainModule]:
    known = CHAIN_MODULES.all()
    problems = [
        f"it needs the chain module {name!r}, which is not installed; install its package or give its file with"
        " --module"
        for name in names
        if name not in known
    ]
    if problems or len(set(names)) != len(names):
        raise GenesisError(problems or [f"its modules {names} hold one name twice"])
    return {name: known[name] for name in sorted(names)}
