"""The sign-state on disk: what was written comes back, and nothing that is wrong with it is taken for new."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2p.blocks.block import PREVOTE
from p2p.consensus.sign_state import (
    FILE_NAME,
    MARKER_NAME,
    ConsensusStore,
    FolderInUse,
    SignStateError,
    locked_folder,
)
from p2p.consensus.types import RECORD_VERSION, SignState, Vote
from p2p.consensus.votes import LastSigned

CHAIN, KEY = b"c" * 32, b"k" * 32


def record(height: int, block: bytes = b"block") -> SignState:
    vote = Vote(PREVOTE, height, 0, b"h" * 32, 1, b"s" * 64)
    return SignState(
        RECORD_VERSION, height, 0, -1, None, -1, None, (), (vote,), (), None, ((b"h" * 32, block),)
    )


def last(height: int) -> LastSigned:
    return LastSigned(b"\1" + CHAIN + height.to_bytes(8, "big") + bytes(37), b"s" * 64)


def reopen(folder: Path, chain_height: int = 5, **how: int) -> ConsensusStore:
    return ConsensusStore.open(folder, CHAIN, KEY, chain_height=chain_height, **how)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose key has signed at heights 1 to 7."""
    store = reopen(tmp_path, chain_height=0)
    for height in range(1, 8):
        store.write(record(height), last(height))
    store.close()
    return tmp_path


def execute(path: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql, values)
    connection.close()


def test_a_new_key_on_a_new_chain_begins_with_nothing(tmp_path: Path) -> None:
    store = reopen(tmp_path, chain_height=0)
    assert (store.record, store.last, store.sign_from) == (None, None, 0)
    store.close()
    again = reopen(tmp_path)
    assert again.record is None
    again.close()


def test_record_and_guard_come_back_as_they_were_written(folder: Path) -> None:
    store = reopen(folder)
    assert (store.record, store.last) == (record(7), last(7))
    store.close()


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    store = reopen(tmp_path, chain_height=0)
    store.write(record(3), last(3))
    copy = tmp_path / "killed"
    copy.mkdir()
    for file in tmp_path.glob("consensus*"):
        shutil.copy(file, copy)
    found = reopen(copy)
    assert (found.record, found.last) == (record(3), last(3))
    found.close()
    store.close()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_log_that_lost_its_tail_does_not_bring_back_an_older_record(tmp_path: Path, share: float) -> None:
    """The log is folded into the file after each write, so nothing confirmed is in the log alone."""
    store = reopen(tmp_path, chain_height=0)
    for height in range(1, 8):
        store.write(record(height), last(height))
        copy = tmp_path / f"{height}"
        copy.mkdir()
        for file in tmp_path.glob("consensus*"):
            shutil.copy(file, copy)
        log = copy / (FILE_NAME + "-wal")
        data = log.read_bytes()
        log.write_bytes(data[: int(len(data) * share)])
        found = reopen(copy)
        assert (found.record, found.last) == (record(height), last(height))
        found.close()
    store.close()


def test_the_settings_are_durable(tmp_path: Path) -> None:
    store = reopen(tmp_path, chain_height=0)
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("wal_autocheckpoint", 1)):
        assert store._connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a database" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: execute(path, "UPDATE sign_state SET record = x'90'"),
        lambda path: execute(path, "UPDATE sign_state SET record = NULL"),
        lambda path: execute(path, "UPDATE sign_state SET last = NULL"),
        lambda path: execute(path, "UPDATE sign_state SET last_sum = 'text'"),
        lambda path: execute(path, "DELETE FROM sign_state"),
        lambda path: execute(path, "DROP TABLE sign_state"),
        lambda path: execute(path, "DELETE FROM meta"),
        lambda path: execute(path, "UPDATE meta SET value = x'39' WHERE key = 'sign_from'"),
        lambda path: execute(path, "UPDATE meta SET value = x'78' WHERE key = 'sign_from'"),
        lambda path: execute(path, "UPDATE meta SET value = x'39' WHERE key = 'schema'"),
    ],
)
def test_a_damaged_file_is_named_and_refused(folder: Path, damage: Callable[[Path], object]) -> None:
    path = folder / FILE_NAME
    damage(path)
    with pytest.raises(SignStateError, match="does not sign") as refused:
        reopen(folder)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("offset", range(0, 8192, 512))
def test_a_flipped_byte_never_gives_another_record(folder: Path, offset: int) -> None:
    path = folder / FILE_NAME
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)
    try:
        store = reopen(folder)
    except SignStateError:
        return
    assert (store.record, store.last) == (record(7), last(7))
    store.close()


def test_a_missing_file_is_not_taken_for_a_new_key(folder: Path) -> None:
    (folder / FILE_NAME).unlink()
    with pytest.raises(
        SignStateError, match=r"consensus\.signed says that this key has signed.*min_safe_height"
    ):
        reopen(folder, chain_height=0)
    (folder / MARKER_NAME).unlink()
    with pytest.raises(SignStateError, match="the chain beside it has 7 blocks"):
        reopen(folder, chain_height=7)
    assert not (folder / FILE_NAME).exists()


def test_a_restored_validator_remembers_from_where_it_may_sign(folder: Path) -> None:
    (folder / FILE_NAME).unlink()
    store = reopen(folder, min_safe_height=40)
    assert (store.record, store.sign_from) == (None, 40)
    store.close()
    store = reopen(folder)
    assert store.sign_from == 40
    store.close()


def test_the_file_of_another_key_or_chain_is_refused(folder: Path) -> None:
    for chain_id, key in ((CHAIN, b"o" * 32), (b"o" * 32, KEY)):
        with pytest.raises(SignStateError, match="another key or chain"):
            ConsensusStore.open(folder, chain_id, key, chain_height=5)


def test_a_full_disk_keeps_the_record_before(folder: Path) -> None:
    store = reopen(folder)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(SignStateError, match="full"):
        store.write(record(8, bytes(100_000)), last(8))
    store.close()
    store = reopen(folder)
    assert (store.record, store.last) == (record(7), last(7))
    store.close()


def _try_lock(folder: str, answers: multiprocessing.SimpleQueue[str]) -> None:
    try:
        with locked_folder(Path(folder)):
            answers.put("locked")
    except FolderInUse as error:
        answers.put(str(error))


def test_a_second_process_is_told_who_has_the_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")

    def ask() -> str:
        answers = context.SimpleQueue()
        process = context.Process(target=_try_lock, args=(str(tmp_path), answers))
        process.start()
        answer = answers.get()
        process.join()
        return str(answer)

    with locked_folder(tmp_path):
        assert "is in use by process" in ask()
    assert ask() == "locked"


def test_a_first_start_that_was_killed_half_way_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "consensus.db.new").write_bytes(b"SQLite form")
    reopen(tmp_path, chain_height=0).close()
    assert not (tmp_path / "consensus.db.new").exists()


def test_a_marker_that_a_kill_prevented_is_written_at_the_next_start(tmp_path: Path) -> None:
    reopen(tmp_path, chain_height=0).close()
    (tmp_path / MARKER_NAME).unlink()
    reopen(tmp_path, chain_height=0).close()
    assert (tmp_path / MARKER_NAME).exists()
