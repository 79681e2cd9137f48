"""The view of a module: the state's entries below the changes of a block and of a transaction.

A transaction writes into a journal of its own. `accept` adds the journal to the block, `reject` drops it, so
a refused transaction leaves nothing behind, whatever it had written before it was refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from p2p.blocks.genesis import Genesis
from p2p.blocks.tree import Tree
from p2p.wire.codec import Record, decode, encode

MAX_VALUE_BYTES = 64 * 1024

R = TypeVar("R", bound=Record)
Changes = dict[str, dict[bytes, bytes | None]]
"""Module name -> key -> value; None deletes."""


@lru_cache(maxsize=4096)
def record(kind: type[R], value: bytes) -> R:
    """Return the record in a value; most blocks read a few again and again."""
    return decode(kind, value, max_bytes=MAX_VALUE_BYTES)


class View:
    """Entries that can be changed, over trees that cannot."""

    def __init__(self, trees: Mapping[str, Tree]) -> None:
        self._trees = trees
        self._block: Changes = {name: {} for name in trees}
        self._journal: Changes = {name: {} for name in trees}

    def get(self, module: str, key: bytes) -> bytes | None:
        """The value of a key of a module, or None."""
        for changes in (self._journal[module], self._block[module]):
            if key in changes:
                return changes[key]
        return self._trees[module].get(key)

    def put(self, module: str, key: bytes, value: bytes | None) -> None:
        """Set the value of a key of a module; None deletes it."""
        self._journal[module][key] = value

    def read(self, module: str, key: bytes, kind: type[R]) -> R | None:
        """The record under a key, or None."""
        value = self.get(module, key)
        return None if value is None else record(kind, value)

    def write(self, module: str, key: bytes, record: Record) -> None:
        """Set the record under a key."""
        self._journal[module][key] = encode(record)

    def accept(self) -> None:
        """Keep what was written since the last `accept` or `reject`."""
        for name, changes in self._journal.items():
            if changes:
                self._block[name].update(changes)
                self._journal[name] = {}

    def reject(self) -> None:
        """Discard what was written since the last `accept` or `reject`."""
        for name, changes in self._journal.items():
            if changes:
                self._journal[name] = {}

    def pending(self) -> Iterator[tuple[str, bytes, bytes | None]]:
        """What was written since the last `accept` or `reject`: module, key, value."""
        for name, changes in self._journal.items():
            for key, value in changes.items():
                yield name, key, value

    def touched(self, module: str) -> list[bytes]:
        """Keys of a module that the block has written, sorted."""
        return sorted(self._block[module])

    def before(self, module: str, key: bytes) -> bytes | None:
        """The value of a key before the block."""
        return self._trees[module].get(key)

    def trees(self) -> dict[str, Tree]:
        """The trees after the accepted changes."""
        return {name: tree.update(self._block[name]) for name, tree in self._trees.items()}


@dataclass(frozen=True, slots=True)
class Context:
    """What a method knows of the transaction it executes."""

    view: View
    genesis: Genesis
    height: int
    sender: bytes
