"""Merkle trees against the published vectors and against the recursive definition of the RFC."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.blocks import merkle
from p2p.errors import BadProof

# The test tree of the Certificate Transparency logs (RFC 6962, hashing as RFC 9162): roots of 1..8 leaves.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def oracle_root(data: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word by word."""
    if not data:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return sha256(b"\x01" + oracle_root(data[:k]) + oracle_root(data[k:])).digest()


def oracle_path(index: int, data: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1, word by word."""
    if len(data) == 1:
        return []
    k = 1
    while k * 2 < len(data):
        k *= 2
    if index < k:
        return [*oracle_path(index, data[:k]), oracle_root(data[k:])]
    return [*oracle_path(index - k, data[k:]), oracle_root(data[:k])]


def tree(size: int) -> tuple[list[bytes], list[bytes]]:
    data = [bytes([i]) * 3 for i in range(size)]
    return data, [merkle.leaf_hash(item) for item in data]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_tree_has_its_published_roots(size: int) -> None:
    assert merkle.root_of(CT_LEAVES[:size]).hex() == CT_ROOTS[size - 1]


@pytest.mark.parametrize("size", range(34))
def test_roots_and_paths_are_those_of_the_recursive_definition(size: int) -> None:
    data, leaves = tree(size)
    assert merkle.root(leaves) == oracle_root(data)
    for index in range(size):
        steps = merkle.path(leaves, index)
        assert steps == oracle_path(index, data)
        assert merkle.root_from_path(leaves[index], index, size, steps) == oracle_root(data)


@pytest.mark.parametrize("size", range(1, 18))
def test_a_path_proves_no_other_position_or_size(size: int) -> None:
    data, leaves = tree(size)
    root = oracle_root(data)
    for index in range(size):
        steps = merkle.path(leaves, index)
        for other_index in range(size):
            if other_index != index:
                assert root_or_none(leaves[index], other_index, size, steps) != root
        for other_size in range(size * 2 + 2):
            # The RFC's check may accept a neighbouring size with the same path shape only for the same root;
            # a bundle takes the size from signed content. What must hold: never a wrong leaf.
            assert root_or_none(sha256(b"other").digest(), index, other_size, steps) != root


def root_or_none(leaf: bytes, index: int, size: int, steps: list[bytes]) -> bytes | None:
    try:
        return merkle.root_from_path(leaf, index, size, steps)
    except BadProof:
        return None


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (5, 4), (0, 0)])
def test_an_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(BadProof, match=f"leaf {index} of a tree of {size}"):
        merkle.root_from_path(bytes(32), index, size, [])


def test_a_path_must_be_consumed_whole_and_reach_the_root() -> None:
    _, leaves = tree(6)
    steps = merkle.path(leaves, 4)
    with pytest.raises(BadProof, match="too short"):
        merkle.root_from_path(leaves[4], 4, 6, steps[:-1])
    with pytest.raises(BadProof, match="too long"):
        merkle.root_from_path(leaves[4], 4, 6, [*steps, bytes(32)])
    with pytest.raises(BadProof, match="31 bytes"):
        merkle.root_from_path(leaves[4], 4, 6, [steps[0][:31], *steps[1:]])


def test_a_node_cannot_pass_for_a_leaf() -> None:
    data, leaves = tree(4)
    left, right = sha256(b"\x01" + leaves[0] + leaves[1]).digest(), sha256(b"\x01" + leaves[2] + leaves[3])
    assert merkle.root_of([left, right.digest()]) != oracle_root(data)
    assert merkle.leaf_hash(leaves[0] + leaves[1]) != left


def test_a_path_to_a_leaf_that_is_not_there_is_our_own_mistake() -> None:
    with pytest.raises(IndexError, match="leaf 3 of a tree of 3"):
        merkle.path(tree(3)[1], 3)


@given(st.lists(st.binary(min_size=4, max_size=4), max_size=40))
def test_rows_of_fixed_width_hash_like_leaves(data: list[bytes]) -> None:
    rows = b"".join(merkle.LEAF_PREFIX + item for item in data)
    assert merkle.hash_rows(rows, 5) == [merkle.leaf_hash(item) for item in data]
