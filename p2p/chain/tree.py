"""The tree of a module's state: a sparse Merkle tree of fixed depth 16 whose leaves are buckets of entries.

A key belongs into the bucket that the first 16 bits of SHA-256(key) name. A tree is never changed: `update`
returns a new one that shares every node off the changed paths, so that a block costs what it touches.

    bucket         = SHA-256(0x00 || bucket domain || canonical array of [key, value], sorted by key)
    node           = SHA-256(0x01 || left || right)
    empty subtree  = 32 zero bytes, at every height

No input of SHA-256 is known to give zeros, so an empty subtree passes for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from p2p.chain import domains, merkle
from p2p.codec import Record, encode
from p2p.errors import BadProof

DEPTH = 16
EMPTY = bytes(merkle.HASH_BYTES)
MAX_KEY_BYTES = 128

_BUCKET_PREFIX = bytes((merkle.LEAF_PREFIX[0], domains.LEAF_BUCKET))
_NODE_PREFIX = b"\x01"

Entries = tuple[tuple[bytes, bytes], ...]
_Node = tuple[bytes, "_Node | Entries | None", "_Node | None"]
"""(hash, left, right) above, (hash, entries, None) at the bottom; an empty subtree is None."""


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
        return EMPTY if self._top is None else self._top[0]

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
            left, right = (None, None) if node is None else node[1:]
            sibling, node = (left, right) if where >> level & 1 else (right, left)  # type: ignore[assignment]
            if sibling is not None:
                filled |= 1 << level
                siblings.append(sibling[0])  # type: ignore[arg-type]
        return TreeProof(self._bucket(where), filled, b"".join(reversed(siblings)))

    def _bucket(self, where: int) -> Entries:
        node = self._top
        for level in range(DEPTH - 1, -1, -1):
            if node is None:
                return ()
            node = node[2] if where >> level & 1 else node[1]  # type: ignore[assignment]
        return () if node is None else node[1]  # type: ignore[return-value]


EMPTY_TREE = Tree()


def position(key: bytes) -> int:
    """The bucket of a key: 0..65535."""
    return int.from_bytes(sha256(key).digest()[:2], "big")


def check_tree_proof(root: bytes, key: bytes, proof: TreeProof) -> bytes | None:
    """Return the value that a proof gives a key, or None where it proves that the key is absent.

    Raises:
        BadProof: It does not lead to this root, or holds more or less than this bucket needs.
    """
    where, keys = position(key), [found for found, _ in proof.entries]
    if keys != sorted(set(keys)) or any(position(found) != where for found in keys):
        raise BadProof("the entries of the bucket are not sorted, or belong into another")
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


def _updated(node: _Node | None, placed: list[tuple[int, bytes, bytes | None]], level: int) -> _Node | None:
    """Apply changes, sorted by position, to the subtree whose children differ in bit `level`."""
    if level < 0:
        return _changed_bucket(node, placed)
    left, right = (None, None) if node is None else node[1:]
    split = next((i for i, change in enumerate(placed) if change[0] >> level & 1), len(placed))
    if split:
        left = _updated(left, placed[:split], level - 1)  # type: ignore[arg-type]
    if split < len(placed):
        right = _updated(right, placed[split:], level - 1)
    if left is None and right is None:
        return None
    joined = _NODE_PREFIX + (EMPTY if left is None else left[0]) + (EMPTY if right is None else right[0])  # type: ignore[operator]
    return sha256(joined).digest(), left, right


def _changed_bucket(node: _Node | None, placed: list[tuple[int, bytes, bytes | None]]) -> _Node | None:
    entries: dict[bytes, bytes] = {} if node is None else dict(node[1])  # type: ignore[arg-type]
    for _, key, value in placed:
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = value
    if not entries:
        return None
    bucket = tuple(sorted(entries.items()))
    return _bucket_hash(bucket), bucket, None


def _buckets(node: _Node | None, height: int) -> Iterator[Entries]:
    if node is None:
        return
    if height == 0:
        yield node[1]  # type: ignore[misc]
        return
    for child in node[1:]:
        yield from _buckets(child, height - 1)  # type: ignore[arg-type]


def _bucket_hash(entries: Entries) -> bytes:
    return sha256(_BUCKET_PREFIX + encode(entries)).digest() if entries else EMPTY


def _join(left: bytes, right: bytes) -> bytes:
    if left == right == EMPTY:
        return EMPTY
    return sha256(_NODE_PREFIX + left + right).digest()
