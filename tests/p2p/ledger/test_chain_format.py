"""A verifier written from docs/reference/protocol/chain-format.md alone, with hashlib, struct and a msgpack reader."""

from __future__ import annotations

import re
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from p2p.batches.batch import interval_secret, make_batch
from p2p.blocks.block import PRECOMMIT, vote_bytes
from p2p.blocks.domains import SIGN_CONSENSUS
from p2p.blocks.members import household_hash
from p2p.ledger.module import AUTHORITY, CHAIN_MODULES, HOUSEHOLD, OPERATOR
from p2p.wire.codec import encode
from p2p.wire.identity import Identity, derive_seed
from p2p.wire.messages import OrderMessage, message_id, order_line, sign_message
from tests.kits.chain_kit import Made, line_proof, make_chain, make_postings, order_leaf

ROLES = (OPERATOR, AUTHORITY, HOUSEHOLD)
DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "protocol" / "chain-format.md"


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
    _, _, _, _, authorities, operators, _, members, accounts, _ = msgspec.msgpack.decode(genesis_file)
    bundle: list[Any] = msgspec.msgpack.decode(proof)
    entry, salt, batch_path, (_, tx, tx_index, tx_count, tx_path, header, cert, changes, shown) = bundle
    height, round_, block_hash, bitmap, signatures = cert

    assert header[1] == chain_id
    assert header[2] == height
    assert sha256(b"blk" + msgspec.msgpack.encode(header)).digest() == block_hash
    assert header[6] == sha256(b"val" + msgspec.msgpack.encode(authorities)).digest()
    who = [i for i in range(len(authorities)) if bitmap[i // 8] >> i % 8 & 1]
    assert len(who) >= 2 * len(authorities) // 3 + 1
    vote = b"wattswap/cons/1\0\x02" + chain_id + struct.pack(">QIB", height, round_, 1) + block_hash
    for i, index in enumerate(who):
        VerifyKey(authorities[index]).verify(vote, signatures[64 * i : 64 * i + 64])

    assert (changes, shown) == ([], None)
    assert tx[2] in operators
    VerifyKey(tx[2]).verify(b"wattswap/tx/1\0" + msgspec.msgpack.encode(tx[:8]), tx[8])
    assert (
        tree_root(leaf_hash(b"\x08" + msgspec.msgpack.encode(tx)), tx_index, tx_count, tx_path) == header[9]
    )
    args = msgspec.msgpack.decode(tx[7])
    assert args[2] == members

    (account,) = struct.unpack(">I", entry[:4])
    size = 8 if account < members else 16
    assert len(entry) == 4 + 12 * size
    others = members + len(accounts) + 3
    assert tree_root(leaf_hash(b"\x07" + salt + entry), account, others, batch_path) == args[5]
    return [int.from_bytes(entry[i : i + size], "big", signed=True) for i in range(4, len(entry), size)]


@pytest.mark.parametrize("account", range(9))
def test_a_verifier_written_from_the_document_accepts_our_proofs(made: Made, account: int) -> None:
    proof = line_proof(made.batches[1], account, *made.blocks[1], made.genesis)
    values = verify_from_the_document(proof, encode(made.genesis))
    assert values == make_postings(6, 1).lines[account].tolist()


def test_and_it_refuses_a_changed_one(made: Made) -> None:
    proof = line_proof(made.batches[1], 1, *made.blocks[1], made.genesis)
    vote_signature = proof[-100:-99]
    changed = proof[:-100] + bytes([vote_signature[0] ^ 1]) + proof[-99:]
    with pytest.raises(BadSignatureError):
        verify_from_the_document(changed, encode(made.genesis))


def vectors() -> dict[str, str]:
    """The values of the last section of the document."""
    chain_id = bytes(range(32))
    seed = derive_seed(b"wattswap", "household", "house-1")
    house = Identity.from_seed(seed)
    order = OrderMessage(4, chain_id, 1_760_000_400, 15, "house-1", 7, 0, (order_line(1, 250, 231_000),))
    postings = make_postings(5, 1)
    postings.lines[:] = 0
    return {
        "seed": seed.hex(),
        "public key": house.public_key.hex(),
        "order body": encode(order).hex(),
        "order id": message_id(order).hex(),
        "signed order": sign_message(house, order).hex(),
        "household hash": household_hash("house-1").hex(),
        "order leaf": order_leaf(1_760_000_400, "house-1", 0, 1, 250, 231_000, 0).hex(),
        "interval secret": interval_secret(bytes(32), 1_760_000_400).hex(),
        "postings root": make_batch(postings, 1_760_000_400, bytes(32)).root.hex(),
        "precommit": (SIGN_CONSENSUS + vote_bytes(PRECOMMIT, chain_id, 9, 2, chain_id)).hex(),
    }


@pytest.mark.parametrize("name", sorted(vectors()))
def test_the_vectors_in_the_document_are_right(name: str) -> None:
    text = "".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"{name.replace(' ', '')}:{vectors()[name]}" in text


# --- the state, read from section 6 alone ---------------------------------------------------------------------


def module_root(entries: dict[bytes, bytes]) -> bytes:
    nodes: dict[int, bytes] = {}
    for where in {bucket_of(key) for key in entries}:
        bucket = [[key, entries[key]] for key in sorted(entries) if bucket_of(key) == where]
        nodes[where] = leaf_hash(b"\x0c" + msgspec.msgpack.encode(bucket))
    for _ in range(16):
        nodes = {
            where: sha256(
                b"\x01" + nodes.get(2 * where, bytes(32)) + nodes.get(2 * where + 1, bytes(32))
            ).digest()
            for where in {child // 2 for child in nodes}
        }
    return nodes.get(0, bytes(32))


def bucket_of(key: bytes) -> int:
    return int.from_bytes(sha256(key).digest()[:2], "big")


def test_the_state_of_the_genesis_and_of_a_batch_are_what_the_document_says(made: Made) -> None:
    *_, params, authorities, operators, _, _, accounts, modules = msgspec.msgpack.decode(encode(made.genesis))
    assert (len(operators), accounts, modules) == (1, [], [])
    args = msgspec.msgpack.decode(made.blocks[0][0].txs[0].args)
    sums = b"".join(number.to_bytes(16, "big", signed=True) for row in args[10] for number in row)
    pack = msgspec.msgpack.encode
    entries = {
        "accounts": {},
        "evidence": {},
        "guarantees": {},
        "governance": {
            b"council": pack([authorities, authorities, [], []]),
            b"history": pack([[[1, authorities]]]),
            b"operators": pack([operators]),
            b"governed": pack(params[10]),
        },
        "meters": {},
        "settlement": {b"sums": pack([0, -1, operators[0], bytes(4 * 12 * 16)])},
    }

    def state_root() -> bytes:
        leaves = [leaf_hash(b"\x0a" + name.encode() + module_root(entries[name])) for name in sorted(entries)]
        pairs = [sha256(b"\x01" + leaves[i] + leaves[i + 1]).digest() for i in (0, 2, 4)]
        return sha256(b"\x01" + sha256(b"\x01" + pairs[0] + pairs[1]).digest() + pairs[2]).digest()

    assert state_root() == made.blocks[0][0].header.state_root
    entries["accounts"][b"a" + operators[0]] = pack([1, -1, 0])
    slot = args[0] // 900 % (92 * 96)
    entries["settlement"][b"p" + slot.to_bytes(4, "big")] = pack([args[0], args[5]])
    entries["settlement"][b"sums"] = pack([1, args[0], operators[0], sums])
    assert state_root() == made.blocks[1][0].header.state_root


def test_the_document_lists_every_method_with_its_roles_and_arguments() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = {
        row[0].strip(): row[1].strip()
        for row in re.findall(r"^\| (\w+\.\w+) \|([^|]*)\|", text, re.MULTILINE)
    }
    assert rows == {
        f"{module.name}.{name}": ", ".join(role for role in ROLES if role in method.roles)
        or "the key in args"
        for module in CHAIN_MODULES.all().values()
        for name, method in module.methods.items()
    }
