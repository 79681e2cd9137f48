"""RFC 9162 Merkle trees over SHA-256: roots, inclusion paths, and the check of a path.

A leaf is SHA-256(0x00 || data), a node SHA-256(0x01 || left || right), the empty tree SHA-256(""). The RFC
splits at the largest power of two below n; pairing neighbours and carrying an odd last node up gives the
same tree without recursion.

Source: RFC 9162, sections 2.1.1 and 2.1.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from p2p.errors import BadProof

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

LEAF_PREFIX = b"\x00"
_NODE_PREFIX = b"\x01"


def leaf_hash(data: bytes) -> bytes:
    """Hash the data of one leaf."""
    return sha256(LEAF_PREFIX + data).digest()


def hash_rows(rows: bytes, width: int) -> list[bytes]:
    """Hash consecutive rows of `width` bytes each, which carry the leaf prefix 0x00 already.

    Preparing the prefix in the buffer saves one concatenation a leaf on the hot path.
    """
    return [sha256(rows[start : start + width]).digest() for start in range(0, len(rows), width)]


Levels = tuple[list[bytes], ...]
"""All hashes of a tree, level by level: the leaves first, the root last."""


def levels(leaves: Sequence[bytes]) -> Levels:
    """Return all levels over leaf hashes, for one who wants many paths of the same tree."""
    found = [list(leaves) or [EMPTY_ROOT]]
    while len(found[-1]) > 1:
        found.append(_parents(found[-1]))
    return tuple(found)


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def root_of(data: Iterable[bytes]) -> bytes:
    """Return the root over leaf data."""
    return root([leaf_hash(item) for item in data])


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the inclusion path of one leaf, from its sibling to the child of the root.

    Raises:
        IndexError: No leaf has this index.
    """
    if not leaves:
        raise IndexError(f"leaf {index} of an empty tree")
    return path_in(levels(leaves), index)


def path_in(tree: Levels, index: int) -> list[bytes]:
    """Return the inclusion path of one leaf in a tree of which all levels are known; as `path`."""
    if not 0 <= index < len(tree[0]):
        raise IndexError(f"leaf {index} of a tree of {len(tree[0])}")
    siblings = ((level, (index >> depth) ^ 1) for depth, level in enumerate(tree[:-1]))
    return [level[sibling] for level, sibling in siblings if sibling < len(level)]


def root_from_path(leaf: bytes, index: int, size: int, steps: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion path leads to; the caller compares it with the one it trusts.

    Args:
        leaf: Leaf hash.
        index: Position of the leaf, less than `size`.
        size: Number of leaves of the tree.
        steps: The path. All of it must be consumed, no more and no less.

    Raises:
        BadProof: Index outside the tree, a step of another length than a hash, or a path of another length
            than this position has.
    """
    if not 0 <= index < size:
        raise BadProof(f"leaf {index} of a tree of {size}")
    node, last = leaf, size - 1
    for step in steps:
        if len(step) != HASH_BYTES:
            raise BadProof(f"a path step of {len(step)} bytes; it must have {HASH_BYTES}")
        if last == 0:
            raise BadProof(f"a path of {len(steps)} steps is too long for leaf {index} of {size}")
        if index & 1 or index == last:
            node = sha256(_NODE_PREFIX + step + node).digest()
            # An odd last node was carried up without a sibling: skip the levels where it had none.
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(_NODE_PREFIX + node + step).digest()
        index, last = index >> 1, last >> 1
    if last != 0:
        raise BadProof(f"a path of {len(steps)} steps is too short for a tree of {size}")
    return node


def _parents(level: list[bytes]) -> list[bytes]:
    digest, prefix = sha256, _NODE_PREFIX
    parents = [
        digest(prefix + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)
    ]
    if len(level) & 1:
        parents.append(level[-1])
    return parents
