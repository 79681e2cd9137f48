"""After a loss of power the files of a node are still there under their names."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from p2p.consensus.sign_state import FILE_NAME, ConsensusStore
from p2p.disk import DISK
from p2p.files import write_new
from p2p.ledger.store import ChainStore
from p2p.roles.exchange.journal import Journal
from p2p.roles.replica.blobs import FolderBlobs
from tests.kits.chain_kit import make_genesis

CHAIN, KEY = bytes(32), bytes(range(32))


def names_blob(folder: Path) -> str:
    name = FolderBlobs(folder).put(b"orders", 900)
    return f"900-{name.hex()}.blob"


def names_chain(folder: Path) -> str:
    ChainStore.create(folder / "chain.db", make_genesis()).close()
    return "chain.db"


def names_journal(folder: Path) -> str:
    Journal(folder / "journal.db").close()
    return "journal.db"


def names_sign_state(folder: Path) -> str:
    ConsensusStore.open(folder, CHAIN, KEY, chain_height=0).close()
    return FILE_NAME


def names_whole(folder: Path) -> str:
    DISK.write_whole(folder / "learned.json", b"{}")
    return "learned.json"


def names_folder(folder: Path) -> str:
    FolderBlobs(folder / "blobs")
    return "blobs"


def names_new(folder: Path) -> str:
    write_new(folder / "key.json", b"{}")
    return "key.json"


MADE: list[Callable[[Path], str]] = [
    names_blob,
    names_chain,
    names_journal,
    names_sign_state,
    names_whole,
    names_folder,
    names_new,
]


@pytest.mark.parametrize("make", MADE)
def test_a_new_file_keeps_its_name(
    make: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is durable once the folder was synced while it held it."""
    durable: set[str] = set()
    usual = os.fsync

    def fsync(descriptor: int) -> None:
        usual(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            durable.update(os.listdir(descriptor))

    monkeypatch.setattr(os, "fsync", fsync)
    name = make(tmp_path)
    assert name in os.listdir(tmp_path)
    assert name in durable
