"""Unfinished folders as a kill leaves them before the first checkpoint, live runs, and two processes at one folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import wattswap as ws
from p2p.blocks.genesis import read_genesis
from p2p.errors import StoreDamaged
from p2p.ledger.store import ChainStore
from tests.kits.resume_kit import only_partial
from tests.kits.run_kit import call, files_below, start, wait_for_file, write_street
from wattswap.errors import RunBusy, RunNotFound, VerificationFailed
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs import tables as recorder
from wattswap.runs.engine import resume
from wattswap.runs.folder import stored_scenario
from wattswap.runs.layout import CHECKPOINT, LIVE_MARK, LOCK, MANIFEST, PARTIAL, TABLE_FILES, TABLES
from wattswap.runs.lock import folder_lock
from wattswap.runs.prepare import prepare

SCHEMA_ONLY = "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT"


class Killed(BaseException):
    """Represents the end of the process: nothing catches it, nothing tidies up after it."""


def begun(street: Path, out: Path) -> Path:
    """The folder of a run before its first interval."""
    return engine.begin(prepare(ws.load(street)), out)


def assert_same(resumed: RunResult, whole: RunResult) -> None:
    """The same hashes, chain, bytes and files."""
    for name in ("replay_sha256", "chain", "scenario_sha256", "data"):
        assert resumed.manifest[name] == whole.manifest[name], name
    for name in (*TABLE_FILES, "metrics.json", "genesis.bin", "scenario.json"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert files_below(resumed.path) == files_below(whole.path)


# ---- the beginning


def without_scenario(partial: Path) -> None:
    (partial / "scenario.json").rename(partial / "scenario.json.partial")
    (partial / "log.jsonl").unlink()


def without_genesis(partial: Path) -> None:
    without_scenario(partial)
    (partial / "genesis.bin").rename(partial / "genesis.bin.partial")


def nothing_at_all(partial: Path) -> None:
    for path in partial.iterdir():
        path.unlink()


def scenario_without_genesis(partial: Path) -> None:
    (partial / "genesis.bin").unlink()


@pytest.mark.parametrize(
    "window", [without_scenario, without_genesis, nothing_at_all, scenario_without_genesis]
)
def test_a_folder_killed_before_it_was_complete_is_refused_in_one_sentence(
    window: Callable[[Path], None], street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = begun(street, tmp_path)
    window(partial)
    before = files_below(partial)
    outcome = call(capsys, "resume", partial, "-q")
    assert (outcome.code, outcome.out) == (3, "")
    cure = "the name of one ends in .partial"
    assert outcome.err == f"Error: {partial}: no unfinished run is here; {cure}\n"
    assert files_below(partial) == before


def no_chain(partial: Path) -> None:
    pass


def empty_chain(partial: Path) -> None:
    (partial / "chain.db").touch()


def chain_of_garbage(partial: Path) -> None:
    (partial / "chain.db").write_bytes(bytes(4096))


def chain_with_leftovers_of_sqlite(partial: Path) -> None:
    for name in ("chain.db", "chain.db-journal", "chain.db-wal", "chain.db-shm"):
        (partial / name).write_bytes(b"half")


def chain_without_meta(partial: Path) -> None:
    connection = sqlite3.connect(partial / "chain.db")
    connection.execute(SCHEMA_ONLY)
    connection.commit()
    connection.close()


def opened(partial: Path) -> engine.Run:
    """The unfinished run of a folder, as the engine opens it."""
    setup = prepare(stored_scenario(partial))
    return engine.Run(setup, partial, engine.own_chain(setup, partial))


def chain_without_blocks(partial: Path) -> None:
    ChainStore.create(partial / "chain.db", read_genesis(partial / "genesis.bin")).close()


def chain_with_blocks(partial: Path) -> None:
    run = opened(partial)
    for _ in range(5):
        run.step()
    run.close()


def parts_without_checkpoint(partial: Path) -> None:
    run = opened(partial)
    for _ in range(24):
        run.step()
    run.flush()
    run.close()
    (partial / "checkpoint.json.partial").write_bytes(b'{"done": 2')


BEGINNINGS = [
    no_chain,
    empty_chain,
    chain_of_garbage,
    chain_with_leftovers_of_sqlite,
    chain_without_meta,
    chain_without_blocks,
    chain_with_blocks,
    parts_without_checkpoint,
]


@pytest.mark.parametrize("window", BEGINNINGS)
def test_a_run_killed_before_its_first_checkpoint_is_resumed_from_nothing(
    window: Callable[[Path], None], street: Path, finished: RunResult, tmp_path: Path
) -> None:
    """Whatever the chain file looked like when the process ended: without a checkpoint nothing in it counts."""
    partial = begun(street, tmp_path)
    window(partial)
    assert_same(resume(partial), finished)


def test_a_chain_file_that_a_checkpoint_counts_is_never_deleted(street: Path, tmp_path: Path) -> None:
    partial = begun(street, tmp_path)
    run = opened(partial)
    run.step()
    run.checkpoint()
    run.close()
    (partial / "chain.db").write_bytes(b"")
    with pytest.raises(StoreDamaged, match=r"chain\.db"):
        resume(partial)
    assert (partial / CHECKPOINT).exists()


def test_a_part_is_on_the_disk_before_it_gets_its_name(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a checkpoint must not count a part whose bytes are lost."""
    events: list[str] = []
    real_fsync, real_replace = recorder.os.fsync, recorder.os.replace

    def fsync(number: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "fsync")
        real_fsync(number)

    def replace(source: Path, target: Path) -> None:
        events.append(Path(target).name)
        real_replace(source, target)

    partial = begun(street, tmp_path)
    run = opened(partial)
    run.step()
    monkeypatch.setattr(recorder.os, "fsync", fsync)
    monkeypatch.setattr(recorder.os, "replace", replace)
    run.checkpoint()
    run.close()
    parts = [f"{name}.000000.arrow" for name in TABLES]
    assert events == [*(word for name in (*parts, CHECKPOINT) for word in ("fsync", name)), "folder"]


# ---- live runs


def test_a_live_run_killed_while_it_got_its_name_is_only_named(finished: RunResult, tmp_path: Path) -> None:
    partial = shutil.copytree(finished.path, tmp_path / f"run{PARTIAL}")
    (partial / LIVE_MARK).touch()
    assert_same(resume(partial), finished)


# ---- two processes


@pytest.fixture(scope="module")
def long_street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street that runs for seconds, so that the second process comes in time."""
    return write_street(tmp_path_factory.mktemp("long"), days=3, minutes=15)


def test_a_run_that_another_process_is_working_on_is_not_resumed(
    long_street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start("run", long_street, "--out", tmp_path, "--json", "-q")
    try:
        wait_for_file(process, tmp_path, CHECKPOINT)
        process.send_signal(signal.SIGSTOP)
        partial = only_partial(tmp_path)
        before = files_below(partial)
        outcome = call(capsys, "resume", partial, "-q")
        assert (outcome.code, outcome.out) == (3, "")
        sentence = "another process is working on this run; wait until it has ended"
        assert outcome.err == f"Error: {partial}: {sentence}\n"
        assert files_below(partial) == before
    finally:
        process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert not (Path(json.loads(out)["run"]) / LOCK).exists()


def test_a_process_that_was_killed_holds_no_lock(long_street: Path, tmp_path: Path) -> None:
    process = start("run", long_street, "--out", tmp_path, "-q")
    wait_for_file(process, tmp_path, LOCK)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    partial = only_partial(tmp_path)
    with folder_lock(partial):
        assert (partial / LOCK).exists()


def test_a_lock_is_exclusive_and_ends_with_its_block(tmp_path: Path) -> None:
    with folder_lock(tmp_path), pytest.raises(RunBusy, match="another process is working on this run"):
        folder_lock(tmp_path).__enter__()
    with folder_lock(tmp_path):
        pass


def test_a_run_that_was_finished_while_its_lock_was_awaited_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def last_moment(file: object, _how: int) -> None:
        (tmp_path / LOCK).unlink()

    monkeypatch.setattr(fcntl, "flock", last_moment)
    with pytest.raises(RunNotFound, match="another process has just finished this run"):
        folder_lock(tmp_path).__enter__()


def test_without_file_locks_on_the_platform_nothing_is_locked_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with folder_lock(tmp_path), folder_lock(tmp_path):
        assert files_below(tmp_path) == []


def test_changed_data_leave_the_lock_free(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street")
    partial = begun(street, tmp_path / "runs")
    file = street / "meter.csv"
    good = file.read_bytes()
    *_, last = good.splitlines(keepends=True)
    file.write_bytes(good.removesuffix(last) + last.replace(b"0.", b"7.", 1))
    assert file.read_bytes() != good
    with pytest.raises(VerificationFailed, match="data have changed"):
        resume(partial)
    file.write_bytes(good)
    assert (resume(partial).path / MANIFEST).exists()
