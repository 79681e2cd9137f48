"""A writer that is killed anywhere leaves the store as it was, and a reader sees whole versions while one appends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from data.store.errors import BusyStore
from data.store.manifest import MANIFEST
from data.store.read import is_store, load_store, read_store
from data.store.write import is_begun, writing
from tests.kits.sample_kit import sampled, some
from tests.kits.store_kit import ROOT, files_of, import_killed, imported, write_plain_csv


@sampled
def test_an_import_that_is_killed_at_any_step_is_whole_or_absent(tmp_path: Path) -> None:
    """In `make test` at every third step."""
    june = write_plain_csv(tmp_path / "june.csv", {"anna": range(8)})
    july = write_plain_csv(tmp_path / "july.csv", {"anna": range(100, 108)}, "2026-06-01T02:00:00")
    imported(tmp_path / "base", june)
    at, killed, states = 0, 0, set()
    while True:
        store = tmp_path / f"s{at}"
        shutil.copytree(tmp_path / "base", store)
        before = files_of(store)
        steps = import_killed(july, store, at)
        rows = load_store(store).intervals
        states.add(rows)
        assert rows in (8, 16)
        if rows == 8:
            assert files_of(store)[MANIFEST] == before[MANIFEST]
        imported(store, july)  # what was left behind is no hindrance, and is removed
        assert load_store(store).import_wh[:, 0].tolist() == [*range(8), *range(100, 108)]
        named = {part.name for part in read_store(store).manifest.parts}
        assert {str(file.relative_to(store)) for file in store.rglob("*.parquet*")} == named
        assert not list(store.rglob("*.partial"))
        if steps is not None:
            break
        killed, at = killed + 1, at + some(1, 3)
    assert killed >= some(8, 3)
    assert states == {8, 16}


@pytest.mark.slow
def test_a_first_import_that_is_killed_at_any_step_leaves_nothing_that_is_in_the_way(tmp_path: Path) -> None:
    june = write_plain_csv(tmp_path / "june.csv", {"anna": range(8)})
    at, begun = 0, 0
    while True:
        store = tmp_path / f"s{at}"
        steps = import_killed(june, store, at)
        if store.exists() and not is_store(store):
            assert is_begun(store)
            begun += 1
        if not is_store(store):
            found = imported(store, june)
            assert found.made
        assert load_store(store).import_wh[:, 0].tolist() == list(range(8))
        assert not list(store.rglob("*.partial"))
        if steps is not None:
            break
        at += 2  # every second step: each takes a process
    assert begun >= 3


APPEND = """
import sys
from pathlib import Path
from data.store.append import appended
from data.store.read import read_store
from data.store.write import writing
from tests.kits.store_kit import START, series
store = Path(sys.argv[1])
for number in range(int(sys.argv[2])):
    with writing(store) as writer:
        old = read_store(store).one("anna")
        new = series(energy=[old.intervals] * 2, start_s=old.end_s)
        writer.append(appended(old, new).rows, [], "a pair")
"""


@sampled
def test_readers_see_whole_versions_while_another_process_appends(tmp_path: Path) -> None:
    """Each append adds a pair of readings, which are seen both or not at all; undone layers take files away."""
    store = tmp_path / "s"
    imported(store, write_plain_csv(tmp_path / "a.csv", {"anna": [0, 0]}))
    appends = some(25, 10)
    child = subprocess.Popen([sys.executable, "-c", APPEND, str(store), str(appends)], cwd=ROOT)
    seen = set()
    try:
        while child.poll() is None:
            data = load_store(store)
            seen.add(data.intervals)
            assert data.intervals % 2 == 0
            pairs = data.import_wh[:, 0].reshape(-1, 2)
            assert (pairs[:, 0] == pairs[:, 1]).all()
            assert (data.quality == 0).all()
    finally:
        child.wait(60)
    assert child.returncode == 0
    assert load_store(store).intervals == 2 + 2 * appends
    assert len(seen) > 2


def test_a_reader_takes_the_new_version_where_a_file_of_the_old_one_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data.store import read
    from data.store.layers import Patch
    from data.store.repair import repair

    store = tmp_path / "s"
    imported(store, write_plain_csv(tmp_path / "a.csv", {"anna": [1, 2, -1, 4]}))
    old = read_store(store).one("anna")
    assert old is not None
    patch = repair(old, "zero", None).patch
    assert isinstance(patch, Patch)
    with writing(store) as writer:
        writer.repair([patch], "zero", "a repair")
    usual, asked = read.read_layer, []

    def late(path, layer):  # type: ignore[no-untyped-def]
        if not asked:  # between the manifest and the layer another process takes the layer away
            asked.append(layer.name)
            with writing(store) as writer:
                writer.undo("taken away")
            with writing(store):  # the next writer removes its file
                pass
            assert not (path / layer.name).exists()
        return usual(path, layer)

    monkeypatch.setattr(read, "read_layer", late)
    assert read_store(store).series[0].quality.tolist() == [0, 0, 2, 0]
    assert asked


def test_there_is_one_writer_and_the_lock_of_a_dead_one_is_taken_over(tmp_path: Path) -> None:
    store = tmp_path / "s"
    imported(store, write_plain_csv(tmp_path / "a.csv", {"anna": [1, 2]}))
    hold = (
        "import sys, time\nfrom pathlib import Path\nfrom data.store.write import writing\n"
        "with writing(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", hold, str(store)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyStore, match=f"process {child.pid} is writing into this store"),
            writing(store, 0.1),
        ):
            pass
        assert load_store(store).intervals == 2, "a reader waits for nobody"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(30)
        child.stdout.close()
    with writing(store, 5.0) as writer:
        assert len(writer.manifest.parts) == 1


def test_a_writer_waits_for_one_that_is_about_to_end(tmp_path: Path) -> None:
    store = tmp_path / "s"
    imported(store, write_plain_csv(tmp_path / "a.csv", {"anna": [1, 2]}))
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with writing(store):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(30)
    threading.Timer(0.2, leave.set).start()
    begun = time.monotonic()
    with writing(store, 30.0):
        assert leave.is_set()
    assert time.monotonic() - begun < 30
    thread.join()


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_full_disk_leaves_the_store_as_it_was(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    june = write_plain_csv(tmp_path / "june.csv", {"anna": range(8)})
    july = write_plain_csv(tmp_path / "july.csv", {"anna": range(8)}, "2026-06-01T02:00:00")
    imported(tmp_path / "s", june)
    before = files_of(tmp_path / "s")
    usual, done = os.fsync, [0]

    def full(descriptor: int) -> None:
        done[0] += 1
        if done[0] > at:
            raise OSError(28, "No space left on device")
        usual(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        imported(tmp_path / "s", july)
    assert error.value.filename is not None
    done[0] = 0
    with pytest.raises(OSError, match="No space left on device"):
        imported(tmp_path / "new" / "store", june)
    monkeypatch.undo()
    # The last step makes the new manifest's name durable: by then both are whole.
    assert load_store(tmp_path / "s").intervals == (16 if at == 3 else 8)
    if at < 3:
        assert not (tmp_path / "new").exists()
        assert files_of(tmp_path / "s")[MANIFEST] == before[MANIFEST]
