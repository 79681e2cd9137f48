"""What a chain file holds beside its blocks: true checkpoints and changes of validators stay, others are named."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

import wattswap as ws
from p2p.blocks.genesis import write_genesis
from p2p.blocks.possession import prove_possession
from p2p.ledger.checkpoint import checkpoint_bytes
from p2p.ledger.execution import advance, check_block, genesis_tip
from p2p.ledger.light import SetChange, set_changes
from p2p.ledger.modules.governance import ADD, REMOVE, ApproveArgs, AuthorityArgs
from p2p.ledger.store import ChainStore
from p2p.wire.codec import decode, encode
from tests.kits.chain_kit import authorities
from tests.kits.edit_kit import fit_hashes, forged_checkpoint, sql
from tests.kits.modules_kit import Chain, make_genesis
from wattswap.errors import VerificationFailed
from wattswap.runs.chain_reader import genesis_of
from wattswap.verification.chain_file import check_chain_file

KEYS = authorities(5)


def changed_chain() -> Chain:
    """Four validators let a fifth one in, and a while later one of them out."""
    chain = Chain(make_genesis(4))
    chain.validators |= {key.public_key: key for key in KEYS}
    for number, (action, key) in enumerate(((ADD, KEYS[4]), (REMOVE, KEYS[3]))):
        proof = prove_possession(key, chain.genesis.chain_id) if action == ADD else b""
        args = AuthorityArgs(action, key.public_key, b"", proof, chain.tip.height + 50)
        chain.call(KEYS[0], "governance.propose_authority", args)
        for other in KEYS[1 : 3 + number]:
            chain.call(other, "governance.approve", ApproveArgs(number))
        chain.add()
        chain.add()
    return chain


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A folder with a chain whose validators have changed."""
    chain = changed_chain()
    write_genesis(tmp_path / "genesis.bin", chain.genesis)
    changes = set_changes(chain.made[-1][0].header, chain.made, chain.genesis)
    sets = {change.header.height: change.validators for change in changes}
    assert len(sets) > 1
    with ChainStore.create(tmp_path / "chain.db", chain.genesis) as store:
        for block, cert in chain.made:
            store.append(block, cert, next_set=sets.get(block.header.height))
    return tmp_path


def change_of(run: Path, change: Callable[[SetChange], SetChange]) -> int:
    """Change the first row among the changes of validators; return its height."""
    with closing(sqlite3.connect(run / "chain.db")) as connection, connection:
        height, row = connection.execute("SELECT height, change FROM changes ORDER BY height").fetchone()
        changed = encode(change(decode(SetChange, row)))
        connection.execute("UPDATE changes SET change = ? WHERE height = ?", (changed, height))
    return int(height)


def test_changes_that_the_blocks_announce_are_right(changed: Path) -> None:
    check_chain_file(changed, genesis_of(changed))


@pytest.mark.parametrize(
    "change",
    [
        lambda one: msgspec.structs.replace(one, validators=one.validators[::-1]),
        lambda one: msgspec.structs.replace(one, validators=one.validators[1:]),
        lambda one: msgspec.structs.replace(one, cert=msgspec.structs.replace(one.cert, round=7)),
        lambda one: msgspec.structs.replace(one, header=msgspec.structs.replace(one.header, time_ms=1)),
    ],
    ids=["order", "fewer", "certificate", "header"],
)
def test_another_change_of_validators_is_named(
    change: Callable[[SetChange], SetChange], changed: Path
) -> None:
    """The quorums of closings are counted by these rows."""
    height = change_of(changed, change)
    with pytest.raises(
        VerificationFailed, match=f"the change of validators of height {height} is not the one"
    ):
        check_chain_file(changed, genesis_of(changed))


@pytest.mark.parametrize("statement", ["DELETE FROM changes", "UPDATE changes SET change = 'text'"])
def test_a_missing_change_of_validators_is_named(statement: str, changed: Path) -> None:
    sql(statement)(changed)
    with pytest.raises(VerificationFailed, match="the change of validators of height"):
        check_chain_file(changed, genesis_of(changed))


def checkpoint_at(run: Path, height: int) -> bytes:
    """The state of a chain at a height, as its nodes keep it."""
    genesis = genesis_of(run)
    tip = genesis_tip(genesis)
    with ChainStore.open(run / "chain.db", read_only=True) as store:
        for block, _ in store.blocks(1, height):
            tip = advance(tip, block, *check_block(tip, genesis, block))
    return checkpoint_bytes(tip)


def test_a_true_checkpoint_stays_and_one_byte_of_it_does_not(copied: Callable[[str], Path]) -> None:
    run = copied("live")
    data = checkpoint_at(run, 2)
    forged_checkpoint(2, data)(run)
    fit_hashes(run)
    assert ws.verify(run)["ok"]
    for wrong, checksum in (
        (data[:-1] + bytes([data[-1] ^ 1]), None),
        (data, b"x"),
        (checkpoint_at(run, 1), None),
    ):
        row = (wrong, hashlib.sha256(wrong).digest() if checksum is None else checksum)
        sql("UPDATE checkpoints SET data = ?, checksum = ?", row)(run)
        fit_hashes(run)
        with pytest.raises(VerificationFailed, match=r"chain\.db"):
            ws.verify(run)
