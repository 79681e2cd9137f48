"""A household's proof: it checks offline with the genesis only, is short, and bears no change."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest

from p2p.batches.batch import entry_leaf
from p2p.blocks import block as blocks
from p2p.blocks import merkle
from p2p.blocks.block import sign_tx
from p2p.errors import BadProof, Malformed, RemoteError
from p2p.ledger.light import BatchProof, ProofBundle, check_proof, proof_from_json, proof_to_json
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from tests.kits.chain_kit import (
    OPERATOR,
    START,
    STEP,
    Made,
    certify,
    flip,
    identity,
    line_proof,
    make_args,
    make_chain,
    make_genesis,
    make_postings,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    chain = make_chain(tmp_path_factory.mktemp("light") / "chain.db", n=4, intervals=3, members=13)
    chain.store.close()
    return chain


@pytest.fixture(scope="module")
def proof(made: Made) -> bytes:
    return line_proof(made.batches[1], 5, *made.blocks[1], made.genesis)


def test_every_account_can_prove_its_line_in_every_interval(made: Made) -> None:
    for index, (batch, (block, cert)) in enumerate(zip(made.batches, made.blocks, strict=True)):
        lines = make_postings(13, index).lines.tolist()
        for account in range(16):
            line = check_proof(line_proof(batch, account, block, cert, made.genesis), made.genesis)
            assert list(line.values.values()) == lines[account]
            assert (line.account, line.members, line.height) == (account, 13, index + 1)
            assert line.interval_start == batch.interval_start
            assert line.block_hash == blocks.block_hash(block.header)
            assert line.total_nano == sum(lines[account][7:])
            assert line.signers == (0, 1, 2)


@pytest.mark.parametrize(("account", "wide"), [(0, True), (5, False), (0, False), (5, True)])
def test_the_entry_of_a_home_is_narrow_and_that_of_another_account_is_wide(
    account: int, wide: bool, tmp_path: Path
) -> None:
    """A batch that an operator made up, with a leaf of the other form, although a quorum signed it."""
    numbers = range(1, 13)
    entry = account.to_bytes(4, "big") + b"".join(n.to_bytes(16 if wide else 8, "big") for n in numbers)
    salt = bytes(16)
    leaves = [entry_leaf(salt, entry) if i == account else bytes(32) for i in range(8)]
    args = msgspec.structs.replace(make_args(0)[1], postings_root=merkle.root(leaves))
    forged = make_chain(tmp_path / "chain.db", intervals=0)
    block, cert = forged.producer.append_batch(args, (START + STEP) * 1000)
    forged.store.close()
    right = decode(ProofBundle, line_proof(make_args(0)[0], account, block, cert, forged.genesis))
    path = b"".join(merkle.path(leaves, account))
    data = encode(msgspec.structs.replace(right, entry=entry, salt=salt, batch_path=path))
    if wide == (account >= 5):
        assert list(check_proof(data, forged.genesis).values.values()) == list(numbers)
        return
    with pytest.raises(BadProof, match=f"bytes for account {account} of 5 members"):
        check_proof(data, forged.genesis)


def test_a_flipped_bit_anywhere_in_a_proof_is_refused(made: Made, proof: bytes) -> None:
    choose = random.Random(1)
    for position in range(len(proof)):
        with pytest.raises(RemoteError):
            check_proof(flip(proof, position * 8 + choose.randrange(8)), made.genesis)
    check_proof(proof, made.genesis)


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_truncated_or_extended_proof_is_malformed(made: Made, proof: bytes, length: int) -> None:
    with pytest.raises(Malformed):
        check_proof(proof[:length], made.genesis)
    with pytest.raises(Malformed):
        check_proof(proof + b"\0", made.genesis)


def test_a_proof_at_25_authorities_and_1000_households_is_below_2500_bytes(tmp_path: Path) -> None:
    made = make_chain(tmp_path / "chain.db", n=25, intervals=2, members=1000)
    made.store.close()
    data = line_proof(made.batches[1], 999, *made.blocks[1], made.genesis)
    assert len(data) < 2_500
    assert check_proof(data, made.genesis).account == 999


def test_a_proof_needs_the_genesis_of_its_chain(made: Made, proof: bytes) -> None:
    with pytest.raises(RemoteError):
        check_proof(proof, make_genesis(4, members=13, name="other"))


def changed(proof: bytes, **changes: object) -> bytes:
    """The proof with other fields, of its own or of the batch's proof in it."""
    bundle = decode(ProofBundle, proof)
    inner = {name: value for name, value in changes.items() if name in BatchProof.__struct_fields__}
    outer = {name: value for name, value in changes.items() if name not in inner}
    batch = msgspec.structs.replace(bundle.batch, **inner)
    return encode(msgspec.structs.replace(bundle, batch=batch, **outer))


def test_nobody_gets_a_neighbours_line_for_its_own(made: Made, proof: bytes) -> None:
    """The index is in the entry: a neighbour's entry under the own path or the reverse does not check."""
    other = decode(ProofBundle, line_proof(made.batches[1], 6, *made.blocks[1], made.genesis))
    for changes in (
        {"entry": other.entry},
        {"entry": other.entry, "salt": other.salt},
        {"salt": other.salt},
        {"batch_path": other.batch_path},
    ):
        with pytest.raises(BadProof, match="the entry is not in the batch"):
            check_proof(changed(proof, **changes), made.genesis)


def test_a_line_of_another_interval_does_not_check(made: Made, proof: bytes) -> None:
    other = decode(ProofBundle, line_proof(made.batches[2], 5, *made.blocks[2], made.genesis))
    with pytest.raises(BadProof, match="the entry is not in the batch"):
        check_proof(changed(proof, entry=other.entry, salt=other.salt), made.genesis)
    with pytest.raises(BadProof, match="the transaction is not in the block"):
        check_proof(changed(proof, tx=other.batch.tx), made.genesis)
    with pytest.raises(RemoteError, match="another block than the header"):
        check_proof(changed(proof, header=other.batch.header), made.genesis)


THIEF = identity("operator", "thief")


@pytest.mark.parametrize(
    ("tx_changes", "signer", "header_changes", "reason"),
    [
        ({}, OPERATOR, {}, None),
        ({"sender": THIEF.public_key}, THIEF, {}, "not by an operator"),
        ({}, THIEF, {}, "signature of transaction"),
        ({"method": "mint"}, OPERATOR, {}, r"settlement\.mint, not a settlement"),
        ({"chain_id": bytes(32)}, OPERATOR, {}, "not a settlement of this chain"),
        ({}, OPERATOR, {"validators_hash": bytes(32)}, "other validators"),
        ({}, OPERATOR, {"proposer_idx": 0}, "turn"),
        ({}, OPERATOR, {"chain_id": bytes(32)}, "the proof is of chain"),
    ],
)
def test_what_a_quorum_may_not_sign_does_not_check_even_if_it_did(
    made: Made,
    proof: bytes,
    tx_changes: dict[str, object],
    signer: Identity,
    header_changes: dict[str, object],
    reason: str | None,
) -> None:
    """All authorities together put a wrong block on the chain; the household still sees it."""
    tx = sign_tx(signer, msgspec.structs.replace(made.blocks[1][0].txs[0], **tx_changes))
    header = msgspec.structs.replace(
        made.blocks[1][0].header, tx_root=blocks.tx_root((tx,)), **header_changes
    )
    bad = changed(proof, tx=tx, header=header, cert=certify(header, 4))
    if reason is None:
        assert check_proof(bad, made.genesis).account == 5
    else:
        with pytest.raises(RemoteError, match=reason):
            check_proof(bad, made.genesis)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 1},
        {"tx_index": 1},
        {"tx_count": 2},
        {"tx_count": 0},
        {"tx_index": -1},
        {"salt": b""},
        {"entry": b""},
        {"batch_path": b""},
        {"batch_path": bytes(31)},
        {"tx_path": bytes(32)},
    ],
)
def test_a_bundle_that_does_not_fit_together_is_refused(
    made: Made, proof: bytes, changes: dict[str, object]
) -> None:
    with pytest.raises(BadProof):
        check_proof(changed(proof, **changes), made.genesis)


def test_a_proof_survives_json(made: Made, proof: bytes) -> None:
    line = check_proof(proof, made.genesis)
    text = proof_to_json(proof, line)
    assert proof_from_json(text) == proof
    content = json.loads(text)
    assert content["values"] == line.values
    assert content["total_nano"] == line.total_nano


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "wattswap-proof-2", "bundle": ""}',
        '{"format": "wattswap-proof-1"}',
        '{"format": "wattswap-proof-1", "bundle": "*"}',
        '{"format": "wattswap-proof-1", "bundle": 3}',
    ],
)
def test_json_that_is_no_proof_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        proof_from_json(text)
