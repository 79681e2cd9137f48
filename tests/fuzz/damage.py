"""Damaged files: chain.db, consensus.db and journal.db, cut or with other bytes, read as far as a node reads them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2p.blocks.block import PREVOTE
from p2p.blocks.genesis import Genesis
from p2p.consensus.sign_state import ConsensusStore, SignStateError
from p2p.consensus.types import RECORD_VERSION, SignState, Vote
from p2p.consensus.votes import LastSigned
from p2p.errors import StoreError
from p2p.ledger.checkpoint import load_tip
from p2p.ledger.store import ChainStore
from p2p.ledger.verify import verify_chain
from p2p.roles.exchange.journal import Journal, JournalDamaged, Promise
from tests.kits.chain_kit import make_chain

CHAIN, KEY = b"c" * 32, b"k" * 32
DAMAGED = "damaged"
MARKS = (StoreError, SignStateError, JournalDamaged)
"""What the three files raise on their own account."""


@dataclass(frozen=True)
class Case:
    """A folder with a file of each kind: how it is read, and everything it held, commit by commit.

    Args:
        name: Of the file.
        read: Opens the file in a folder and returns what it holds.
        held: What it held after each commit; the last is what it holds.
    """

    name: str
    folder: Path
    read: Callable[[Path], object]
    held: Sequence[object]


def cases(folder: Path) -> list[Case]:
    """The three files twice: as a clean end leaves them, and as a killed process does, with their logs."""
    made: list[Case] = []
    for make in (_chain, _consensus, _journal):
        for kind in ("closed", "killed"):
            place = folder / f"{make.__name__[1:]}-{kind}"
            place.mkdir(parents=True)
            made.append(make(place, kind == "closed"))
    return made


def _chain(folder: Path, closed: bool) -> Case:
    live = folder / "live"
    live.mkdir()
    made = make_chain(live / "chain.db", n=4, intervals=4)
    _leave(live, folder, "chain.db", made.store.close, closed)
    held = [tuple(made.blocks[:count]) for count in range(5)]
    return Case("chain.db", folder, lambda place: _read_chain(place, made.genesis), held)


def _read_chain(folder: Path, genesis: Genesis) -> object:
    with ChainStore.open(folder / "chain.db", genesis) as store:
        load_tip(store, genesis)
        found = tuple(store.blocks())
        # Blocks carry no checksums: their hashes and signatures are what shows that a byte has changed.
        return found if verify_chain(store, genesis).ok else DAMAGED


def _consensus(folder: Path, closed: bool) -> Case:
    live = folder / "live"
    live.mkdir()
    store = ConsensusStore.open(live, CHAIN, KEY, chain_height=0)
    held: list[object] = [(None, None, 0)]
    for height in range(1, 5):
        vote = Vote(PREVOTE, height, 0, b"h" * 32, 1, b"s" * 64)
        record = SignState(
            RECORD_VERSION, height, 0, -1, None, -1, None, (), (vote,), (), None, ((b"h" * 32, b"block"),)
        )
        last = LastSigned(b"\1" + CHAIN + height.to_bytes(8, "big") + bytes(37), b"s" * 64)
        store.write(record, last)
        held.append((record, last, 0))
    _leave(live, folder, "consensus.db", store.close, closed)
    return Case("consensus.db", folder, _read_consensus, held)


def _read_consensus(folder: Path) -> object:
    store = ConsensusStore.open(folder, CHAIN, KEY, chain_height=4)
    found = store.record, store.last, store.sign_from
    store.close()
    return found


def _journal(folder: Path, closed: bool) -> Case:
    live = folder / "live"
    live.mkdir()
    journal = Journal(live / "journal.db")
    held: list[object] = [([], [])]
    given: list[Promise] = []
    for number in range(1, 5):
        given.append(Promise(bytes((number,)) * 32, b"message" * number, b"receipt" * number))
        journal.promise(0, 900, given[-1:])
        held.append((list(given), []))
    _leave(live, folder, "journal.db", journal.close, closed)
    return Case("journal.db", folder, _read_journal, held)


def _read_journal(folder: Path) -> object:
    with Journal(folder / "journal.db") as journal:
        return journal.promises(0, 900), journal.promises(1, 900)


def _leave(live: Path, folder: Path, name: str, close: Callable[[], None], closed: bool) -> None:
    if closed:
        close()
    for file in live.iterdir():
        if not file.name.endswith("-shm"):
            shutil.copy(file, folder)
    if not closed:
        close()
    shutil.rmtree(live)


def damage(rng: random.Random, case: Case, folder: Path) -> str:
    """Copy the files of a case, damage one of them, and return what was done to which."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(case.folder, folder)
    names = [name for name in (case.name, case.name + "-wal") if (folder / name).exists()]
    path = folder / rng.choice(names)
    data = bytearray(path.read_bytes())
    if rng.random() < 0.25:
        size = rng.randrange(len(data))
        path.write_bytes(data[:size])
        return f"{path.name} cut to {size} of {len(data)} bytes"
    busy = [at for at in range(len(data)) if data[at]]
    places = [
        rng.choice(busy) if rng.random() < 0.8 else rng.randrange(len(data))
        for _ in range(rng.choice((1, 1, 3)))
    ]
    for at in places:
        data[at] ^= rng.randint(1, 255)
    path.write_bytes(data)
    return f"{path.name} changed at {places}"


def examine(case: Case, folder: Path, done: str) -> str:
    """Read a damaged folder; return how it came out.

    Raises:
        AssertionError: A wrong value, or an error that does not name the file.
    """
    try:
        found = case.read(folder)
    except MARKS as error:
        if case.name in str(error):
            return "refused"
        raise AssertionError(f"{done}: the error does not name the file") from error
    if isinstance(found, str):
        return "refused"
    assert found in case.held, f"{done}: it holds what was never written"
    whole = found == case.held[-1]
    assert whole or "-wal" in done, f"{done}: commits are gone without a word"
    return "whole" if whole else "earlier"
