"""A stored tip is read again as it was written, or not at all."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from p2p.errors import NonCanonical, StoreDamaged, WrongVersion
from p2p.ledger.checkpoint import Checkpoint, checkpoint_bytes, load_tip, open_checkpoint
from p2p.ledger.execution import replay
from p2p.ledger.store import ChainStore
from p2p.wire.codec import decode, encode
from tests.kits.chain_kit import Made, make_chain


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make_chain(tmp_path / "chain.db")


def test_a_checkpoint_reads_back_as_the_tip_that_was_written(made: Made) -> None:
    tip = replay(made.blocks, made.genesis)
    assert open_checkpoint(checkpoint_bytes(tip), made.genesis) == tip


def test_a_checkpoint_has_one_form_and_one_version(made: Made) -> None:
    found = decode(Checkpoint, checkpoint_bytes(replay(made.blocks, made.genesis)))
    backwards = msgspec.structs.replace(found, entries=found.entries[::-1])
    with pytest.raises(NonCanonical, match="only order"):
        open_checkpoint(encode(backwards), made.genesis)
    with pytest.raises(WrongVersion):
        open_checkpoint(encode(msgspec.structs.replace(found, version=2)), made.genesis)


def test_a_checkpoint_of_another_chain_of_blocks_is_found_when_the_chain_is_opened(made: Made) -> None:
    """Its row is whole: a file of another node was copied over, or somebody wrote it."""
    tip = replay(made.blocks, made.genesis)
    found = decode(Checkpoint, checkpoint_bytes(tip))
    data = encode(msgspec.structs.replace(found, block_hash=b"b" * 32))
    path = made.store.path
    made.store.close()
    with sqlite3.connect(path) as connection:
        row = (tip.height, data, sha256(data).digest())
        connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", row)
    connection.close()
    with (
        ChainStore.open(path, made.genesis) as store,
        pytest.raises(StoreDamaged, match="not of its newest block"),
    ):
        load_tip(store, made.genesis)
