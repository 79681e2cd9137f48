"""A verifier written from docs/chain-format.md alone, with hashlib, struct and a plain msgpack reader."""

from __future__ import annotations

import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chain_kit import Made, make_chain, make_postings
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from p2p.chain import roots
from p2p.chain.block import PRECOMMIT, vote_bytes
from p2p.chain.domains import SIGN_CONSENSUS
from p2p.chain.light import make_proof
from p2p.chain.settlement import interval_secret, make_batch
from p2p.codec import encode
from p2p.identity import Identity, derive_seed
from p2p.messages import OrderMessage, message_id, sign_message

DOCUMENT = Path(__file__).parents[2] / "docs" / "chain-format.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    chain = make_chain(tmp_path_factory.mktemp("format") / "chain.db", n=7, intervals=2, members=6)
    chain.store.close()
    return chain


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def tree_root(leaf: bytes, index: int, size: int, joined: bytes) -> bytes:
    steps = [joined[i : i + 32] for i in range(0, len(joined), 32)]

    def subtree(index: int, size: int) -> bytes:
        if size == 1:
            return leaf
        split = 1 << (size - 1).bit_length() - 1
        if index < split:
            left = subtree(index, split)
            return sha256(b"\x01" + left + steps.pop(0)).digest()
        right = subtree(index - split, size - split)
        return sha256(b"\x01" + steps.pop(0) + right).digest()

    root = subtree(index, size)
    assert not steps
    return root


def verify_from_the_document(proof: bytes, genesis_file: bytes) -> list[int]:
    """Return the columns of the proven line."""
    chain_id = sha256(genesis_file).digest()
    _, _, _, _, authorities, operators, _, members, _ = msgspec.msgpack.decode(genesis_file)
    bundle: list[Any] = msgspec.msgpack.decode(proof)
    _, entry, salt, batch_path, tx, tx_index, tx_count, tx_path, header, cert, changes, role = bundle
    height, round_, block_hash, bitmap, signatures = cert

    assert header[1] == chain_id
    assert header[2] == height
    assert sha256(b"blk" + msgspec.msgpack.encode(header)).digest() == block_hash
    assert header[7] == sha256(b"val" + msgspec.msgpack.encode(authorities)).digest()
    who = [i for i in range(len(authorities)) if bitmap[i // 8] >> i % 8 & 1]
    assert len(who) >= 2 * len(authorities) // 3 + 1
    vote = b"wattswap/cons/1\0\x02" + chain_id + struct.pack(">QIB", height, round_, 1) + block_hash
    for i, index in enumerate(who):
        VerifyKey(authorities[index]).verify(vote, signatures[64 * i : 64 * i + 64])

    assert (changes, role) == ([], None)
    assert tx[2] in operators
    VerifyKey(tx[2]).verify(b"wattswap/tx/1\0" + msgspec.msgpack.encode(tx[:8]), tx[8])
    assert (
        tree_root(leaf_hash(b"\x08" + msgspec.msgpack.encode(tx)), tx_index, tx_count, tx_path) == header[10]
    )
    args = msgspec.msgpack.decode(tx[7])
    assert args[2] == members

    start, account, *values = struct.unpack(">qI11q", entry)
    assert start == args[0]
    assert tree_root(leaf_hash(b"\x07" + salt + entry), account, members + 3, batch_path) == args[5]
    return values


@pytest.mark.parametrize("account", range(9))
def test_a_verifier_written_from_the_document_accepts_our_proofs(made: Made, account: int) -> None:
    proof = make_proof(made.batches[1], account, *made.blocks[1], made.genesis)
    values = verify_from_the_document(proof, encode(made.genesis))
    assert values == make_postings(6, 1).lines[account].tolist()


def test_and_it_refuses_a_changed_one(made: Made) -> None:
    proof = make_proof(made.batches[1], 1, *made.blocks[1], made.genesis)
    vote_signature = proof[-100:-99]
    changed = proof[:-100] + bytes([vote_signature[0] ^ 1]) + proof[-99:]
    with pytest.raises(BadSignatureError):
        verify_from_the_document(changed, encode(made.genesis))


def vectors() -> dict[str, str]:
    """The values of the last section of the document."""
    chain_id = bytes(range(32))
    seed = derive_seed(b"wattswap", "household", "house-1")
    house = Identity.from_seed(seed)
    order = OrderMessage(1, chain_id, 1_760_000_400, 15, "house-1", 7, 1, 250, 231_000, 0)
    postings = make_postings(5, 1)
    postings.lines[:] = 0
    return {
        "seed": seed.hex(),
        "public key": house.public_key.hex(),
        "order body": encode(order).hex(),
        "order id": message_id(order).hex(),
        "signed order": sign_message(house, order).hex(),
        "household hash": roots.household_hash("house-1").hex(),
        "order leaf": roots.order_leaf(1_760_000_400, "house-1", 0, 1, 250, 231_000, 0).hex(),
        "interval secret": interval_secret(bytes(32), 1_760_000_400).hex(),
        "postings root": make_batch(postings, 1_760_000_400, bytes(32)).root.hex(),
        "precommit": (SIGN_CONSENSUS + vote_bytes(PRECOMMIT, chain_id, 9, 2, chain_id)).hex(),
    }


@pytest.mark.parametrize("name", sorted(vectors()))
def test_the_vectors_in_the_document_are_right(name: str) -> None:
    text = "".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"{name.replace(' ', '')}:{vectors()[name]}" in text
