"""Files with damage hold what was committed, or say which file is damaged."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from p2p.consensus.sign_state import SignStateError
from p2p.errors import StoreDamaged
from p2p.roles.exchange.journal import JournalDamaged
from tests.fuzz.damage import Case, cases, damage, examine

KINDS = (
    "chain-closed",
    "chain-killed",
    "consensus-closed",
    "consensus-killed",
    "journal-closed",
    "journal-killed",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {case.folder.name: case for case in cases(tmp_path_factory.mktemp("files"))}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_holds_what_was_committed_or_is_named(
    kind: str, made: dict[str, Case], tmp_path: Path
) -> None:
    rng, seen = random.Random(kind), Counter[str]()
    for _ in range(120):
        done = damage(rng, made[kind], tmp_path / "hurt")
        seen[examine(made[kind], tmp_path / "hurt", done)] += 1
    assert seen["refused"] + seen["earlier"] > 5
    assert seen["whole"] > 5


def test_a_sign_state_that_was_cut_off_is_not_taken_for_one_that_never_signed(
    made: dict[str, Case], tmp_path: Path
) -> None:
    """Found here: SQLite reads the lost page as a row of NULLs, which was the mark of a new file."""
    case = made["consensus-closed"]
    data = (case.folder / case.name).read_bytes()
    for name in ("consensus.db", "consensus.signed"):
        (tmp_path / name).write_bytes((case.folder / name).read_bytes())
    (tmp_path / case.name).write_bytes(data[: len(data) - 2_000])
    with pytest.raises(SignStateError, match="damaged"):
        case.read(tmp_path)


@pytest.mark.parametrize("value", ["text", 10**15])
def test_a_genesis_of_another_type_is_damage(value: object, made: dict[str, Case], tmp_path: Path) -> None:
    """Found here: a number would have asked for as many bytes of memory."""
    case = made["chain-closed"]
    (tmp_path / case.name).write_bytes((case.folder / case.name).read_bytes())
    connection = sqlite3.connect(tmp_path / case.name)
    with connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'genesis'", (value,))
    connection.close()
    with pytest.raises(StoreDamaged, match="genesis is not bytes"):
        case.read(tmp_path)


def test_a_promise_that_an_index_hides_is_damage(made: dict[str, Case], tmp_path: Path) -> None:
    """Found here: the journal would have been read as one without the promise."""
    case = made["journal-closed"]
    (tmp_path / case.name).write_bytes((case.folder / case.name).read_bytes())
    connection = sqlite3.connect(tmp_path / case.name)
    with connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = sql || ' WHERE number > 4' WHERE type = 'index' AND sql NOT NULL"
        )
    connection.close()
    connection = sqlite3.connect(tmp_path / case.name)
    with connection:
        connection.execute("REINDEX")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, ' WHERE number > 4', '')")
    connection.close()
    with pytest.raises(JournalDamaged, match="tables damaged"):
        case.read(tmp_path)
