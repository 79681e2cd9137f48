"""`verify_chain`: an honest chain holds, and whatever is changed in it is found at its height."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import msgspec
import pytest

from p2p.batches.batch import BatchArgs, batch_tx
from p2p.blocks import block as blocks
from p2p.blocks.block import Block, Header
from p2p.blocks.genesis import Genesis
from p2p.errors import InvalidBlock
from p2p.ledger.execution import advance, check_block, genesis_tip, next_header
from p2p.ledger.store import ChainStore
from p2p.ledger.verify import ChainReport, verify_chain
from p2p.wire.codec import encode
from tests.kits.chain_kit import OPERATOR, certify, flip, make_args, make_chain, make_genesis


def overwrite(store: ChainStore, height: int, column: str, data: bytes) -> None:
    sql = {"block": "UPDATE blocks SET block = ?", "cert": "UPDATE blocks SET cert = ?"}[column]
    connection = sqlite3.connect(store.path)
    with connection:
        connection.execute(f"{sql} WHERE height = ?", (data, height))
    connection.close()


def verify_one(path: Path, genesis: Genesis, block: Block, cert: blocks.CommitCertificate) -> ChainReport:
    with ChainStore.create(path, genesis) as store:
        connection = store._connection
        connection.execute("INSERT INTO blocks VALUES (1, ?, ?)", (encode(block), encode(cert)))
    with ChainStore.open(path, genesis) as store:
        return verify_chain(store, genesis)


@pytest.mark.parametrize("n", [1, 4, 5, 7, 25])
def test_a_chain_of_n_authorities_holds(tmp_path: Path, n: int) -> None:
    made = make_chain(tmp_path / "chain.db", n=n, intervals=4)
    with made.store:
        report = verify_chain(made.store, made.genesis)
    assert report.finding is None
    assert report.ok
    assert (report.height, report.transactions, report.signatures) == (4, 4, 4 + 4 * n)
    assert report.head_hash == made.producer.tip.block_hash
    assert report.state == made.producer.tip.state


def test_the_proposer_goes_round_and_every_authority_signs(tmp_path: Path) -> None:
    made = make_chain(tmp_path / "chain.db", n=4, intervals=5)
    made.store.close()
    assert [block.header.proposer_idx for block, _ in made.blocks] == [1, 2, 3, 0, 1]
    assert all(blocks.signers(cert) == [0, 1, 2, 3] for _, cert in made.blocks)


@pytest.mark.parametrize("column", ["block", "cert"])
@pytest.mark.parametrize("height", [1, 2, 3])
def test_a_flipped_bit_anywhere_in_a_stored_row_is_found_at_its_height(
    tmp_path: Path, height: int, column: str
) -> None:
    """One random bit of every byte of every block and certificate."""
    made = make_chain(tmp_path / "chain.db", n=4, intervals=3)
    choose = random.Random(height)
    original = encode(made.blocks[height - 1][0 if column == "block" else 1])
    with made.store as store:
        for position in range(0, len(original), 2):
            bit = position * 8 + choose.randrange(8)
            overwrite(store, height, column, flip(original, bit))
            report = verify_chain(store, made.genesis)
            assert report.finding is not None, f"bit {bit} of {column} {height}"
            assert report.finding.height == height
            assert report.height == height - 1
        overwrite(store, height, column, original)
        assert verify_chain(store, made.genesis).ok


def test_an_exchanged_block_is_found(tmp_path: Path) -> None:
    made = make_chain(tmp_path / "chain.db", n=4, intervals=3)
    with made.store as store:
        overwrite(store, 3, "cert", encode(made.blocks[1][1]))
        finding = verify_chain(store, made.genesis).finding
        assert finding is not None
        assert (finding.height, finding.field) == (3, "cert")
        assert str(finding).startswith("block 3, cert: ")


def test_any_quorum_of_signatures_will_do_so_no_header_names_a_certificate(tmp_path: Path) -> None:
    """Validators gather different quorums for one block: a hash of one of them could not be agreed on."""
    made = make_chain(tmp_path / "chain.db", n=4, intervals=3)
    with made.store as store:
        overwrite(store, 2, "cert", encode(blocks.trim_cert(made.blocks[1][1], 4)))
        assert verify_chain(store, made.genesis).ok


def test_a_chain_is_not_verified_against_another_genesis(tmp_path: Path) -> None:
    made = make_chain(tmp_path / "chain.db", n=4, intervals=1)
    with made.store as store:
        finding = verify_chain(store, make_genesis(name="other")).finding
    assert finding is not None
    assert finding.field == "chain_id"


GENESIS = make_genesis(4)


@pytest.mark.parametrize("field", [name for name in Header.__struct_fields__ if name != "time_ms"])
def test_a_wrong_header_field_is_named_even_if_every_authority_signed_it(tmp_path: Path, field: str) -> None:
    tip = genesis_tip(GENESIS)
    txs = (batch_tx(OPERATOR, GENESIS.chain_id, 1, 10, make_args(0)[1]),)
    header = next_header(tip, GENESIS, tip.time_ms + 1, 1, txs)
    value = getattr(header, field)
    wrong = msgspec.structs.replace(header, **{field: value + 1 if isinstance(value, int) else bytes(32)})
    if wrong == header:  # the parent certificate of the first block is all zeros
        wrong = msgspec.structs.replace(header, **{field: b"\1" * 32})
    block = Block(wrong, txs, ())
    if field in {"chain_id", "height"}:  # the store refuses to open such a row; a peer may still send it
        with pytest.raises(InvalidBlock, match=f"block 1, {field}"):
            check_block(tip, GENESIS, block)
        return
    finding = verify_one(tmp_path / "chain.db", GENESIS, block, certify(wrong, 4)).finding
    assert finding is not None
    assert (finding.height, finding.field) == (1, field)


def signed_block(args: BatchArgs, time_ms: int | None = None) -> Block:
    tip = genesis_tip(GENESIS)
    txs = (batch_tx(OPERATOR, GENESIS.chain_id, 1, 10, args),)
    return Block(next_header(tip, GENESIS, time_ms or tip.time_ms + 1, 1, txs), txs, ())


def test_time_must_advance(tmp_path: Path) -> None:
    block = signed_block(make_args(0)[1], GENESIS.time_ms)
    report = verify_one(tmp_path / "chain.db", GENESIS, block, certify(block.header, 4))
    assert report.finding is not None
    assert report.finding.field == "time_ms"


def test_totals_that_do_not_sum_to_zero_are_found_even_if_everybody_signed(tmp_path: Path) -> None:
    args = make_args(0)[1]
    totals = ((*args.totals[0][:-1], args.totals[0][-1] + 1), *args.totals[1:])
    block = signed_block(msgspec.structs.replace(args, totals=totals))
    report = verify_one(tmp_path / "chain.db", GENESIS, block, certify(block.header, 4))
    assert report.finding is not None
    assert report.finding.field == "txs[0]"
    assert "grid_fee_nano sums to 1" in report.finding.detail


def test_a_batch_that_the_operator_did_not_sign_is_found(tmp_path: Path) -> None:
    tx = msgspec.structs.replace(signed_block(make_args(0)[1]).txs[0], signature=bytes(64))
    tip = genesis_tip(GENESIS)
    block = Block(next_header(tip, GENESIS, tip.time_ms + 1, 1, (tx,)), (tx,), ())
    report = verify_one(tmp_path / "chain.db", GENESIS, block, certify(block.header, 4))
    assert report.finding is not None
    assert report.finding.field == "txs[0]"
    assert "signature" in report.finding.detail


def test_evidence_that_proves_nothing_is_found_even_if_everybody_signed(tmp_path: Path) -> None:
    block = signed_block(make_args(0)[1])
    evidence = (b"x",)
    header = msgspec.structs.replace(block.header, evidence_root=blocks.evidence_root(evidence))
    report = verify_one(
        tmp_path / "chain.db", GENESIS, Block(header, block.txs, evidence), certify(header, 4)
    )
    assert report.finding is not None
    assert report.finding.field == "evidence[0]"


def test_a_later_round_may_commit_the_block_of_an_earlier_one(tmp_path: Path) -> None:
    """Rounds 0 and 1 of height 1 belong to authorities 1 and 2: round 1 commits a block of either."""
    tip = genesis_tip(GENESIS)
    txs = signed_block(make_args(0)[1]).txs
    for proposer, ok in ((1, True), (2, True), (3, False), (0, False)):
        block = Block(next_header(tip, GENESIS, tip.time_ms + 1, proposer, txs), txs, ())
        cert = certify(block.header, 4, round_=1)
        report = verify_one(tmp_path / f"{proposer}.db", GENESIS, block, cert)
        assert report.ok is ok
        assert ok or (report.finding is not None and report.finding.field == "proposer_idx")


def test_a_wrong_state_root_is_found_in_the_next_block(tmp_path: Path) -> None:
    """The root after a block is in its child; a child that claims another state is refused."""
    made = make_chain(tmp_path / "chain.db", n=4, intervals=1)
    made.store.close()
    tip = genesis_tip(made.genesis)
    block, _ = made.blocks[0]
    after = advance(tip, block, *check_block(tip, made.genesis, block))
    header = msgspec.structs.replace(
        next_header(after, made.genesis, after.time_ms + 1, 2, ()), state_root=tip.state.root
    )
    with pytest.raises(InvalidBlock, match="block 2, state_root"):
        check_block(after, made.genesis, Block(header, (), ()))
