"""The simulated disk: a crash at any write and a loss of power leave each store with what it had promised to keep."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from p2p.consensus.sign_state import ConsensusStore, SignStateError
from p2p.consensus.types import RECORD_VERSION, SignState
from p2p.disk import DISK, Disk
from p2p.errors import StoreError
from p2p.ledger.store import ChainStore
from p2p.roles.exchange.journal import Journal, JournalDamaged, Promise
from p2p.roles.replica.blobs import FolderBlobs, blob_hash
from tests.kits.chain_kit import Made, make_chain
from wattswap.errors import InvalidData
from wattswap.nodes.learned import Learned
from wattswap.nodes.stats import STATS, Stats, read_stats
from wattswap.simulation.disk import Crashed, SimulatedDisk

CHAIN, KEY = bytes(32), bytes(range(32))
MEMORY = Path("/dev/shm")
SEEDS = range(6)
STEP = 900


@dataclass(frozen=True)
class Case:
    """A store, and what is done to it.

    Args:
        open: Opens it, or makes it, in a folder.
        steps: Change it, each all or nothing.
        state: What it holds.
        full: What it raises, and says, when the disk is full.
        fleeting: Indexes of the steps that a loss of power may take back.
        made: Whether opening it the first time writes.
    """

    open: Callable[[Path, Disk], Any]
    steps: tuple[Callable[[Any], object], ...]
    state: Callable[[Any], object]
    full: tuple[type[Exception], str]
    fleeting: frozenset[int] = frozenset()
    made: bool = True


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the machine has one: what is synced a thousand times takes long on a disk."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


BLOBS = (b"first", b"second", b"third")


def learned_rows(learned: Learned) -> list[int]:
    rows = []
    for start in count(0, STEP):
        try:
            rows.append(learned.before(start)["row"])
        except InvalidData:
            return rows
    raise AssertionError


def open_chain(folder: Path, disk: Disk) -> ChainStore:
    path, genesis = folder / "chain.db", chain().genesis
    if path.exists():
        return ChainStore.open(path, genesis, disk=disk)
    return ChainStore.create(path, genesis, disk=disk)


@cache
def chain() -> Made:
    """Blocks to store."""
    with TemporaryDirectory() as folder:
        made = make_chain(Path(folder) / "chain.db", intervals=3)
        made.store.close()
    return made


def promise(number: int) -> Promise:
    return Promise(number.to_bytes(32, "big"), b"message", b"receipt")


def journal_state(journal: Journal) -> object:
    rows = journal._connection.execute("SELECT household, message FROM signed ORDER BY household").fetchall()
    given = journal.given("closing", STEP, 0)
    return journal.promises(STEP, 0), journal.promises(0, 0), journal.is_closed(STEP, 0), given, rows


def open_signs(folder: Path, disk: Disk) -> ConsensusStore:
    return ConsensusStore.open(folder, CHAIN, KEY, chain_height=0, disk=disk)


def record(height: int) -> SignState:
    return SignState(RECORD_VERSION, height, 0, -1, None, -1, None, (), (), (), None, ())


CASES = {
    "blobs": Case(
        lambda folder, disk: FolderBlobs(folder / "blobs", disk),
        (
            *(lambda blobs, i=i: blobs.put(BLOBS[i], i * STEP) for i in range(3)),
            lambda blobs: blobs.forget_before(STEP),
        ),
        lambda blobs: [blobs.get(blob_hash(data)) for data in BLOBS],
        (StoreError, "blob .*No space left on device.*; nothing was changed"),
        frozenset({3}),
    ),
    "chain": Case(
        open_chain,
        (
            lambda store: store.append(*chain().blocks[0]),
            lambda store: store.append(*chain().blocks[1], checkpoint=b"state"),
            lambda store: store.append(*chain().blocks[2]),
            lambda store: store.truncate_above(1),
        ),
        lambda store: (store.height, store.head_hash, store.checkpoint(), list(store.blocks())),
        (StoreError, "chain file .*: database or disk is full; nothing was changed"),
    ),
    "journal": Case(
        lambda folder, disk: Journal(folder / "journal.db", disk),
        (
            lambda journal: journal.promise(0, 0, [promise(1)]),
            lambda journal: journal.promise(STEP, 0, [promise(2), promise(3)]),
            lambda journal: journal.sign_once(0, 0, "home-1", 1, lambda: b"signed"),
            lambda journal: journal.close_gate(STEP, 0),
            lambda journal: journal.give("closing", STEP, 0, b"closing"),
            lambda journal: journal.forget_before(STEP),
        ),
        journal_state,
        (JournalDamaged, "database or disk is full. Nothing was sent"),
    ),
    "signs": Case(
        open_signs,
        tuple(lambda store, h=h: store.write(record(h), None) for h in (1, 2, 3)),
        lambda store: store.record,
        (SignStateError, "database or disk is full.*Make room on the disk"),
    ),
    "learned": Case(
        lambda folder, disk: Learned(folder / "learned-0.json", "aa", "home-1", disk),
        tuple(lambda learned, i=i: learned.keep(i * STEP, {"row": i}) for i in range(3)),
        learned_rows,
        (InvalidData, "cannot be written: No space left on device"),
        made=False,
    ),
    "stats": Case(
        lambda folder, disk: Stats(folder / STATS, "home-1", [], lambda: 0, None, disk=disk),
        tuple(lambda stats, i=i: stats.add(i * STEP, what="lived") for i in range(3)),
        lambda stats: [line["interval_start"] // STEP for line in read_stats([stats.path.parent])],
        (InvalidData, "cannot be written: No space left on device"),
        frozenset({0, 1, 2}),
        made=False,
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def close(store: Any) -> None:
    if store is not None and hasattr(store, "close"):
        store.close()


def play(case: Case, folder: Path, disk: Disk, first: int = 0, *, closes: bool = True) -> int:
    """Open a store and change it, from a step on, until the node crashes; return the number of steps done."""
    folder.mkdir(exist_ok=True)
    store, done = None, first
    try:
        store = case.open(folder, disk)
        for step in case.steps[first:]:
            step(store)
            done += 1
    except Crashed:
        pass
    finally:
        if closes:
            close(store)
    return done


def state_in(case: Case, folder: Path) -> object:
    """What a node finds that starts on a real disk."""
    store = case.open(folder, DISK)
    try:
        return case.state(store)
    finally:
        close(store)


def states_of(case: Case, folder: Path) -> list[object]:
    """What the store holds before the first step and after each."""
    folder.mkdir()
    store = case.open(folder, DISK)
    states = [case.state(store)]
    for step in case.steps:
        step(store)
        states.append(case.state(store))
    close(store)
    return states


def writes_of(case: Case, folder: Path) -> list[str]:
    """What is written when nothing fails."""
    told: list[str] = []
    disk = SimulatedDisk(folder, lambda number, what: told.append(what))
    assert play(case, folder, disk) == len(case.steps)
    return told


def crash_at(nth: int) -> Callable[[int, str], None]:
    def before_write(number: int, what: str) -> None:
        if number == nth:
            raise Crashed(what)

    return before_write


def live_on(case: Case, folder: Path, disk: SimulatedDisk, first: int) -> object:
    """Take the steps that are left, after a restart; return what a node then finds."""
    disk.before_write = lambda number, what: None
    assert play(case, folder, disk, first) == len(case.steps)
    return state_in(case, folder)


def kept(case: Case, states: list[object], done: int) -> list[object]:
    """What a store may hold after a loss of power."""
    first = done
    while first - 1 in case.fleeting:
        first -= 1
    return states[first : done + 2]


@every_case
@pytest.mark.parametrize("closes", [True, False], ids=["cancelled", "killed"])
def test_a_crash_at_any_write_leaves_what_was_done_before(case: Case, closes: bool, quick: Path) -> None:
    """The step in which it crashed is there as a whole or not at all; and the node lives on from there."""
    states = states_of(case, quick / "calm")
    writes = len(writes_of(case, quick / "counted"))
    assert writes >= len(case.steps)
    for nth in range(1, writes + 1):
        folder = quick / f"crash-{nth}"
        disk = SimulatedDisk(folder, crash_at(nth))
        done = play(case, folder, disk, closes=closes)
        assert not disk.alive
        assert done < len(case.steps)
        disk.restart()
        found = state_in(case, folder)
        assert found in states[done : done + 2], nth
        assert live_on(case, folder, disk, states.index(found)) == states[-1], nth


@every_case
def test_a_loss_of_power_at_any_write_takes_only_what_was_not_durable(case: Case, quick: Path) -> None:
    states = states_of(case, quick / "calm")
    for nth in range(1, len(writes_of(case, quick / "counted")) + 2):
        for seed in SEEDS:
            folder = quick / f"off-{nth}-{seed}"
            disk = SimulatedDisk(folder, crash_at(nth))
            done = play(case, folder, disk)
            disk.lose_power(Random(seed))
            disk.restart()
            found = state_in(case, folder)
            assert found in kept(case, states, done), (nth, seed)
            assert live_on(case, folder, disk, states.index(found)) == states[-1], (nth, seed)


@every_case
def test_a_full_disk_is_refused_in_the_stores_own_words(case: Case, quick: Path) -> None:
    states = states_of(case, quick / "calm")
    kind, words = case.full
    folder = quick / "full"
    disk = SimulatedDisk(folder)
    disk.full = case.made
    folder.mkdir()
    if case.made:
        with pytest.raises(kind, match=r"No space left on device|disk is full") as caught:
            case.open(folder, disk)
        assert str(folder) in str(caught.value)
    disk.full = False
    store = case.open(folder, disk)
    case.steps[0](store)
    disk.full = True
    with pytest.raises(kind, match=re.compile(words, re.DOTALL)) as caught:
        case.steps[1](store)
    assert str(folder) in str(caught.value)
    assert case.state(store) == states[1]
    disk.full = False
    for step in case.steps[1:]:
        step(store)
    assert case.state(store) == states[-1]
    close(store)


def unsynced_complete(disk: Disk, half: Path, path: Path) -> None:
    disk._rename(half, path)


def unsynced_write_whole(disk: Disk, path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    disk._write(partial, data)
    disk._rename(partial, path)


@pytest.mark.parametrize(
    ("name", "method", "mutant"),
    [
        ("chain", "complete", unsynced_complete),
        ("journal", "complete", unsynced_complete),
        ("blobs", "write_whole", unsynced_write_whole),
        ("learned", "write_whole", unsynced_write_whole),
    ],
)
def test_a_disk_that_does_not_sync_its_folder_is_seen(
    name: str, method: str, mutant: Callable[..., None], quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    states = states_of(case, quick / "calm")
    monkeypatch.setattr(Disk, method, mutant)
    lost = set()
    for seed in SEEDS:
        folder = quick / f"off-{seed}"
        disk = SimulatedDisk(folder)
        done = play(case, folder, disk)
        disk.lose_power(Random(seed))
        if state_in(case, folder) not in kept(case, states, done):
            lost.add(seed)
    assert lost


def test_a_database_that_does_not_sync_its_commits_is_seen(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p.roles.exchange.journal.DURABLE", ("journal_mode=WAL", "synchronous=NORMAL"))
    with (
        Journal(quick / "journal.db", SimulatedDisk(quick)) as journal,
        pytest.raises(RuntimeError, match="synchronous=1, less than FULL"),
    ):
        journal.promise(0, 0, [promise(1)])


def test_a_dead_node_reads_and_closes_and_changes_nothing(quick: Path) -> None:
    """Its tasks are cancelled after it died: they close what they had open."""
    disk = SimulatedDisk(quick)
    stores = {name: case.open(quick, disk) for name, case in CASES.items()}
    for name, store in stores.items():
        CASES[name].steps[0](store)
    states = {name: CASES[name].state(store) for name, store in stores.items()}
    disk.kill()
    written = disk.writes
    for name, store in stores.items():
        with pytest.raises(Crashed):
            CASES[name].steps[1](store)
        assert CASES[name].state(store) == states[name]
    for store in stores.values():
        close(store)
    assert disk.writes == written
    assert {name: state_in(case, quick) for name, case in CASES.items()} == states


def test_a_write_is_told_by_its_number_and_its_file(quick: Path) -> None:
    told = writes_of(CASES["journal"], quick / "node")
    tables = ["BEGIN journal.db.new", *["CREATE journal.db.new"] * 6]
    filling = ["INSERT journal.db.new", "COMMIT journal.db.new"]
    making = ["create journal.db.new", *tables, *filling, "rename journal.db", "sync ."]
    one, two = (["BEGIN journal.db", *["INSERT journal.db"] * n, "COMMIT journal.db"] for n in (1, 2))
    forgetting = ["BEGIN journal.db", *["DELETE journal.db"] * 4, "COMMIT journal.db"]
    assert told == [*making, *one, *two, *["INSERT journal.db"] * 3, *forgetting]


def test_a_fault_of_one_write_is_not_a_crash(quick: Path) -> None:
    def fail_once(number: int, _what: str) -> None:
        if number == 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk = SimulatedDisk(quick, fail_once)
    blobs = FolderBlobs(quick / "blobs", disk)
    with pytest.raises(StoreError, match=r"Input/output error.*nothing was changed"):
        blobs.put(BLOBS[0], 0)
    assert disk.alive
    blobs.put(BLOBS[0], 0)
    assert blobs.get(blob_hash(BLOBS[0])) == BLOBS[0]


def test_all_files_of_a_node_are_counted(quick: Path) -> None:
    disk = SimulatedDisk(quick)
    FolderBlobs(quick / "blobs", disk).put(bytes(1000), 0)
    disk.append_line(quick / STATS, b"{}")
    assert disk.bytes_held() == 1003


def test_a_write_into_another_nodes_folder_is_an_error_of_the_simulation(quick: Path) -> None:
    with pytest.raises(ValueError, match="is not in the subpath"):
        SimulatedDisk(quick / "home-1").write_whole(quick / "home-2" / "file", b"")
