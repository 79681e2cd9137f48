"""The bucketed sparse tree against a plain dict, and its proofs against every change."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.blocks.tree import EMPTY, EMPTY_TREE, TreeProof, check_tree_proof, position
from p2p.errors import BadProof
from tests.kits.sample_kit import some

# Ten keys of one bucket, so that buckets with several entries are met at all.
CROWD = [key for key in (b"k%d" % i for i in range(200_000)) if position(key) == position(b"k0")][:3]
keys = st.sampled_from([*CROWD, *(b"x%d" % i for i in range(40))])
contents = st.dictionaries(keys, st.binary(max_size=8), max_size=30)
changes = st.dictionaries(keys, st.none() | st.binary(max_size=8), max_size=12)


def textbook_root(content: dict[bytes, bytes]) -> bytes:
    """The definition, top down and without sharing."""
    buckets: dict[int, list[list[bytes]]] = {}
    for key in sorted(content):
        where = int.from_bytes(sha256(key).digest()[:2], "big")
        buckets.setdefault(where, []).append([key, content[key]])

    def node(first: int, width: int) -> bytes:
        if not any(first <= where < first + width for where in buckets):
            return bytes(32)
        if width == 1:
            return sha256(b"\0\x0c" + msgspec.msgpack.encode(buckets[first])).digest()
        half = width // 2
        return sha256(b"\1" + node(first, half) + node(first + half, half)).digest()

    return node(0, 2**16)


def test_several_keys_share_a_bucket() -> None:
    assert len(CROWD) == 3


@settings(max_examples=some(60, 20), deadline=None)
@given(contents, st.lists(changes, max_size=4))
def test_updates_step_by_step_give_the_root_of_the_definition(
    content: dict[bytes, bytes], steps: list[dict[bytes, bytes | None]]
) -> None:
    tree, model = EMPTY_TREE.update(dict(content)), dict(content)
    for step in steps:
        before = tree.root
        after = tree.update(step)
        assert tree.root == before
        tree = after
        model = {key: value for key, value in (model | step).items() if value is not None}
    assert tree.root == textbook_root(model)
    assert dict(tree.items()) == model
    assert list(tree.items()) == sorted(model.items())
    assert all(tree.get(key) == model.get(key) for key in [*CROWD, b"x1", b"x2"])


@given(contents)
def test_the_order_of_a_dict_does_not_matter(content: dict[bytes, bytes]) -> None:
    backwards = dict(reversed(list(content.items())))
    assert EMPTY_TREE.update(dict(content)).root == EMPTY_TREE.update(dict(backwards)).root


@given(contents, keys)
def test_a_proof_gives_the_value_or_proves_that_there_is_none(
    content: dict[bytes, bytes], key: bytes
) -> None:
    tree = EMPTY_TREE.update(dict(content))
    assert check_tree_proof(tree.root, key, tree.prove(key)) == content.get(key)


@given(contents.filter(bool), st.data())
def test_a_changed_proof_is_refused(content: dict[bytes, bytes], data: st.DataObject) -> None:
    tree = EMPTY_TREE.update(dict(content))
    key = data.draw(st.sampled_from(sorted(content)))
    proof = tree.prove(key)
    others = [
        msgspec.structs.replace(proof, entries=()),
        msgspec.structs.replace(proof, entries=((key, content[key] + b"!"),)),
        msgspec.structs.replace(proof, entries=(*proof.entries, (b"zzz", b""))),
        msgspec.structs.replace(proof, filled=proof.filled ^ 1),
        msgspec.structs.replace(proof, filled=proof.filled | 1, siblings=bytes(32) + proof.siblings),
        msgspec.structs.replace(proof, filled=1 << 16),
        msgspec.structs.replace(proof, siblings=proof.siblings + bytes(32)),
    ]
    for other in others:
        if other != proof:
            with pytest.raises(BadProof):
                check_tree_proof(tree.root, key, other)
    with pytest.raises(BadProof):
        check_tree_proof(bytes(31) + b"\1", key, proof)


def test_a_key_cannot_be_hidden_behind_an_empty_bucket() -> None:
    tree = EMPTY_TREE.update({b"a": b"1"})
    with pytest.raises(BadProof, match="root"):
        check_tree_proof(tree.root, b"a", TreeProof((), 0, b""))
    assert check_tree_proof(EMPTY, b"a", TreeProof((), 0, b"")) is None


def test_an_update_shares_what_it_does_not_touch() -> None:
    tree = EMPTY_TREE.update({b"k%d" % i: b"v" for i in range(1_000)})
    assert tree.update({}) is tree
    assert tree.update({b"k5": b"v"}) == tree
    assert tree.update({b"k5": b"w"}) != tree
