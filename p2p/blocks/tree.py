"""The tree of a module's state: a sparse Merkle tree of fixed depth 16 whose leaves are buckets of entries.

A key belongs into the bucket that the first 16 bits of SHA-256(key) name. A tree is never changed: `update`
returns a new one that shares every node off the changed paths, so that a block costs what it touches.

    bucket         = SHA-256(0x00 || bucket domain || canonical array of [key, value], sorted by key)
    node           = SHA-256(0x01 || left || right)
    empty subtree  = 32 zero bytes, at every height

No input of SHA-256 is known to give zeros, so an empty subtree passes for nothing else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

from p2p.blocks import domains, merkle
from p2p.errors import BadProof
from p2p.wire.codec import Record, encode

DEPTH = 16
EMPTY = bytes(merkle.HASH_BYTES)

_BUCKET_PREFIX = bytes((merkle.LEAF_PREFIX[0], domains.LEAF_BUCKET))
_NODE_PREFIX = b"\x01"
_EMPTY_LEFT = _NODE_PREFIX + EMPTY

Entries = tuple[tuple[bytes, bytes], ...]
_Node = tuple[Any, ...]
"""(hash, left, right) above, (hash, entries) at the bottom; an empty subtree is None. Plain tuples: a block
makes some fifty of them."""

_Change = tuple[int, bytes, bytes | None]
"""Position, key, value."""


class TreeProof(Record, frozen=True):
    """What a bucket holds, and the way from it to the root; it proves that a key is there, or is not.

    Args:
        entries: All entries of the bucket, sorted by key.
        filled: Bit i is set when the sibling i levels above the bucket is not empty.
        siblings: Hashes of those siblings from the bucket up, 32 bytes each, joined.
    """

    entries: Entries
    filled: int
    siblings: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Keys and values with a root; build it with `EMPTY_TREE.update`."""

    _top: _Node | None = field(default=None, repr=False)

    @property
    def root(self) -> bytes:
        """Hash of the whole content; equal contents have equal roots, however they came about."""
        root: bytes = EMPTY if self._top is None else self._top[0]
        return root

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self.root == other.root

    def __hash__(self) -> int:
        return hash(self.root)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        for found, value in self._bucket(position(key)):
            if found == key:
                return value
        return None

    def update(self, changes: Mapping[bytes, bytes | None]) -> Tree:
        """Return the tree after these changes; None deletes, which is nothing where no such key is."""
        if not changes:
            return self
        placed = sorted((position(key), key, value) for key, value in changes.items())
        return Tree(_updated(self._top, placed, DEPTH - 1))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values, sorted by key."""
        return iter(sorted(entry for bucket in _buckets(self._top, DEPTH) for entry in bucket))

    def prove(self, key: bytes) -> TreeProof:
        """Return the proof that a key has its value, or is absent."""
        where, node, filled = position(key), self._top, 0
        siblings: list[bytes] = []
        for level in range(DEPTH - 1, -1, -1):
            children = (None, None) if node is None else node[1:]
            sibling, node = children[1 - (where >> level & 1)], children[where >> level & 1]
            if sibling is not None:
                filled |= 1 << level
                siblings.append(sibling[0])
        return TreeProof(self._bucket(where), filled, b"".join(reversed(siblings)))

    def _bucket(self, where: int) -> Entries:
        node = self._top
        for level in range(DEPTH - 1, -1, -1):
            if node is None:
                return ()
            node = node[1 + (where >> level & 1)]
        entries: Entries = () if node is None else node[1]
        return entries


EMPTY_TREE = Tree()


@lru_cache(maxsize=1 << 16)
def position(key: bytes) -> int:
    """The bucket of a key: 0..65535."""
    return int.from_bytes(sha256(key).digest()[:2], "big")


def check_tree_proof(root: bytes, key: bytes, proof: TreeProof) -> bytes | None:
    """Return the value that a proof gives a key, or None where it proves that the key is absent.

    Raises:
        BadProof: It does not lead to this root, or holds more or less than this bucket needs.
    """
    where = position(key)
    if not 0 <= proof.filled < 1 << DEPTH or len(proof.siblings) != 32 * proof.filled.bit_count():
        raise BadProof(f"{len(proof.siblings)} bytes of siblings do not fit their bits")
    node, used = _bucket_hash(proof.entries), 0
    for level in range(DEPTH):
        sibling = EMPTY
        if proof.filled >> level & 1:
            sibling, used = proof.siblings[used : used + 32], used + 32
            if sibling == EMPTY:
                raise BadProof("an empty sibling is marked as filled")
        node = _join(sibling, node) if where >> level & 1 else _join(node, sibling)
    if node != root:
        raise BadProof("the bucket does not lead to the root")
    return next((value for found, value in proof.entries if found == key), None)


def _updated(node: _Node | None, placed: Sequence[_Change], level: int) -> _Node | None:
    """Apply changes, sorted by position, to the subtree whose children differ in bit `level`."""
    if level < 0 or len(placed) == 1:
        return _updated_path(node, placed, level)
    left, right = (None, None) if node is None else node[1:]
    # Above this bit all positions agree, so the bit of the last one says where the right half starts.
    split = bisect_left(placed, ((placed[-1][0] >> level | 1) << level,))
    if split:
        left = _updated(left, placed[:split], level - 1)
    if split < len(placed):
        right = _updated(right, placed[split:], level - 1)
    return _parent(left, right)


def _updated_path(node: _Node | None, placed: Sequence[_Change], level: int) -> _Node | None:
    """Apply changes to one bucket, `level` + 1 levels below the node: the loop that most blocks are made of."""
    where, above = placed[0][0], []
    for bit in range(level, -1, -1):
        side = where >> bit & 1
        above.append((side, None if node is None else node[2 - side]))
        node = None if node is None else node[1 + side]
    node, hashed, prefix = _changed_bucket(node, placed), sha256, _NODE_PREFIX
    for side, sibling in reversed(above):
        if node is None or sibling is None:
            node = _parent(sibling, node) if side else _parent(node, sibling)
        elif side:
            node = hashed(prefix + sibling[0] + node[0]).digest(), sibling, node
        else:
            node = hashed(prefix + node[0] + sibling[0]).digest(), node, sibling
    return node


def _parent(left: _Node | None, right: _Node | None) -> _Node | None:
    if left is None:
        if right is None:
            return None
        return sha256(_EMPTY_LEFT + right[0]).digest(), None, right
    hashed = _NODE_PREFIX + left[0] + (EMPTY if right is None else right[0])
    return sha256(hashed).digest(), left, right


def _changed_bucket(node: _Node | None, placed: Sequence[_Change]) -> _Node | None:
    entries: dict[bytes, bytes] = {} if node is None else dict(node[1])
    for _, key, value in placed:
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = value
    if not entries:
        return None
    bucket = tuple(sorted(entries.items()))
    return _bucket_hash(bucket), bucket


def _buckets(node: _Node | None, height: int) -> Iterator[Entries]:
    if node is None:
        return
    if height == 0:
        yield node[1]
        return
    for child in node[1:]:
        yield from _buckets(child, height - 1)


def _bucket_hash(entries: Entries) -> bytes:
    return sha256(_BUCKET_PREFIX + encode(entries)).digest() if entries else EMPTY


def _join(left: bytes, right: bytes) -> bytes:
    if left == right == EMPTY:
        return EMPTY
    return sha256(_NODE_PREFIX + left + right).digest()
