"""The journal: what was promised or signed is there after a crash, and a file that cannot say so is refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.roles.exchange.journal import Journal, JournalDamaged, Promise, SignedOtherwise

START, STEP = 1_700_000_100, 900
ORDERS, READINGS = 0, 1


def promise(number: int, size: int = 250) -> Promise:
    name = number.to_bytes(32, "big")
    return Promise(name, name + b"m" * size, name + b"r" * size)


def meddle(path: Path, statement: str, *values: object) -> None:
    """Change a journal from outside, as a careless hand would."""
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def filled(path: Path, count: int = 3) -> Path:
    with Journal(path) as journal:
        journal.promise(START, ORDERS, [promise(i) for i in range(count)])
        journal.sign_once(ORDERS, START, "h1", 1, lambda: b"signed")
    return path


def read_all(path: Path) -> None:
    with Journal(path) as journal:
        journal.promises(START, ORDERS)
        journal.sign_once(ORDERS, START, "h1", 1, lambda: b"signed")


def refused(path: Path) -> str:
    """Open a journal and read all of it; return the sentence of the refusal."""
    with pytest.raises(JournalDamaged) as caught:
        read_all(path)
    assert caught.value.path == path
    return str(caught.value)


# --- promises ---------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([ORDERS, READINGS]), st.integers(0, 2), st.lists(st.integers(0, 9), max_size=3)
        ),
        max_size=8,
    )
)
def test_promises_survive_reopening_in_order(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, int, list[int]]]
) -> None:
    """The model is a list for each slot and interval."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    model: dict[tuple[int, int], list[Promise]] = {}
    for slot, interval, numbers in writes:
        given_now = [promise(number) for number in numbers]
        with Journal(path) as journal:
            journal.promise(START + interval * STEP, slot, given_now)
        model.setdefault((slot, interval), []).extend(given_now)
    with Journal(path) as journal:
        for slot in (ORDERS, READINGS):
            for interval in range(3):
                assert journal.promises(START + interval * STEP, slot) == model.get((slot, interval), [])


def test_promises_survive_a_kill(tmp_path: Path) -> None:
    """The process ends without closing anything, as after kill -9."""
    path = tmp_path / "journal.db"
    program = (
        "import os, sys; from pathlib import Path; from p2p.roles.exchange.journal import Journal, Promise\n"
        f"Journal(Path(sys.argv[1])).promise({START}, 0, [Promise(b'n', b'm', b'r')]); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 9
    with Journal(path) as journal:
        assert journal.promises(START, ORDERS) == [Promise(b"n", b"m", b"r")]


def test_several_promises_are_one_commit(tmp_path: Path) -> None:
    """125 orders of a batch cost one sync of the disk, not 125."""
    statements: list[str] = []
    with Journal(tmp_path / "journal.db") as journal:
        journal._connection.set_trace_callback(statements.append)
        journal.promise(START, ORDERS, [promise(i) for i in range(125)])
        assert len(journal.promises(START, ORDERS)) == 125
    assert statements.count("COMMIT") == 1


def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        full = journal._connection.execute("PRAGMA synchronous").fetchone()[0]
        mode = journal._connection.execute("PRAGMA journal_mode").fetchone()[0]
    assert (full, mode) == (2, "wal")


def test_a_failing_write_raises_and_leaves_no_promise(tmp_path: Path) -> None:
    """A full disk: the pages of the file are used up in the middle of a batch."""
    path = filled(tmp_path / "journal.db")
    with Journal(path) as journal:
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count={pages + 1}")
        with pytest.raises(JournalDamaged, match="full"):
            journal.promise(START, ORDERS, [promise(i) for i in range(3, 200)])
        assert len(journal.promises(START, ORDERS)) == 3
    with Journal(path) as journal:
        assert journal.promises(START, ORDERS) == [promise(i) for i in range(3)]


def test_a_journal_goes_on_once_there_is_room_again(tmp_path: Path) -> None:
    """The failed transaction is over: it does not hold up the next one."""
    with Journal(filled(tmp_path / "journal.db")) as journal:
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(JournalDamaged):
            journal.promise(START, ORDERS, [promise(i) for i in range(3, 200)])
        journal._connection.execute("PRAGMA max_page_count=100000")
        journal.promise(START, ORDERS, [promise(3)])
        assert journal.promises(START, ORDERS)[-1] == promise(3)


def test_a_source_of_promises_that_fails_leaves_none(tmp_path: Path) -> None:
    def failing() -> object:
        yield promise(1)
        raise RuntimeError("the source broke")

    with Journal(tmp_path / "journal.db") as journal:
        with pytest.raises(RuntimeError):
            journal.promise(START, ORDERS, failing())  # type: ignore[arg-type]
        assert journal.promises(START, ORDERS) == []


# --- closed gates -----------------------------------------------------------------------------------------


def test_a_gate_that_was_closed_is_closed_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        journal.close_gate(START, ORDERS)
        journal.close_gate(START, ORDERS)
    with Journal(path) as journal:
        assert journal.is_closed(START, ORDERS)
        assert not journal.is_closed(START, READINGS)
        assert not journal.is_closed(START + STEP, ORDERS)


# --- sign_once --------------------------------------------------------------------------------------------


def test_the_same_message_gets_the_same_bytes_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for _ in range(2):
        with Journal(path) as journal:
            assert journal.sign_once(ORDERS, START, "h1", 7, lambda: b"signed") == b"signed"


def test_another_message_under_the_same_nonce_is_refused_after_reopening(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal.db")
    with Journal(path) as journal, pytest.raises(SignedOtherwise, match=r"h1 .* under nonce 1"):
        journal.sign_once(ORDERS, START, "h1", 1, lambda: b"other")


def test_a_refused_message_does_not_take_the_place_of_the_first() -> None:
    journal = Journal(None)
    journal.sign_once(ORDERS, START, "h1", 1, lambda: b"first")
    with pytest.raises(SignedOtherwise):
        journal.sign_once(ORDERS, START, "h1", 1, lambda: b"other")
    assert journal.sign_once(ORDERS, START, "h1", 1, lambda: b"first") == b"first"


@pytest.mark.parametrize(
    ("slot", "start", "household", "nonce"),
    [
        (READINGS, START, "h1", 1),
        (ORDERS, START + STEP, "h1", 1),
        (ORDERS, START, "h2", 1),
        (ORDERS, START, "h1", 2),
    ],
)
def test_another_purpose_may_be_signed(slot: int, start: int, household: str, nonce: int) -> None:
    journal = Journal(None)
    journal.sign_once(ORDERS, START, "h1", 1, lambda: b"first")
    assert journal.sign_once(slot, start, household, nonce, lambda: b"other") == b"other"


def test_what_cannot_be_written_is_not_signed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(JournalDamaged):
            journal.sign_once(ORDERS, START, "h1", 1, lambda: bytes(20_000))
        assert journal.sign_once(ORDERS, START, "h1", 1, lambda: b"short") == b"short"


# --- what is given once ------------------------------------------------------------------------------------


def test_what_is_given_once_is_the_same_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        assert journal.given("closing", START, 0) is None
        assert journal.give("closing", START, 0, b"first") == b"first"
        assert journal.give("closing", START, 0, b"other") == b"first"
    with Journal(path) as journal:
        assert journal.give("closing", START, 0, b"third") == b"first"
        assert journal.given("closing", START, 0) == b"first"


@pytest.mark.parametrize(
    ("what", "start", "slot"), [("batch", START, 0), ("closing", START + STEP, 0), ("closing", START, 1)]
)
def test_something_else_may_be_given(what: str, start: int, slot: int) -> None:
    journal = Journal(None)
    journal.give("closing", START, 0, b"first")
    assert journal.give(what, start, slot, b"other") == b"other"


@pytest.mark.parametrize("column", ["data", "checksum"])
def test_what_was_given_and_has_changed_is_refused(tmp_path: Path, column: str) -> None:
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        journal.give("closing", START, 0, b"first")
    meddle(path, f"UPDATE given SET {column} = ?", b"x" * 16)
    assert f"the closing of interval {START} has changed" in refused(path)


def test_what_cannot_be_written_is_not_given(tmp_path: Path) -> None:
    with Journal(filled(tmp_path / "journal.db")) as journal:
        journal._connection.execute("PRAGMA query_only=ON")
        with pytest.raises(JournalDamaged, match="readonly"):
            journal.give("closing", START, 0, b"first")
        journal._connection.execute("PRAGMA query_only=OFF")
        assert journal.give("closing", START, 0, b"other") == b"other"


# --- forgetting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [START, START + STEP, START + 2 * STEP, START + 3 * STEP])
def test_only_earlier_intervals_are_forgotten(tmp_path: Path, before: int) -> None:
    starts = [START, START + STEP, START + 2 * STEP]
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        for start in starts:
            for slot in (ORDERS, READINGS):
                journal.promise(start, slot, [promise(slot)])
                journal.sign_once(slot, start, "h1", 1, lambda: b"first")
                journal.close_gate(start, slot)
                journal.give("closing", start, slot, b"first")
        journal.forget_before(before)
    with Journal(path) as journal:
        for start in starts:
            for slot in (ORDERS, READINGS):
                kept = start >= before
                assert journal.promises(start, slot) == ([promise(slot)] if kept else [])
                assert journal.is_closed(start, slot) is kept
                assert journal.given("closing", start, slot) == (b"first" if kept else None)
                if kept:
                    with pytest.raises(SignedOtherwise):
                        journal.sign_once(slot, start, "h1", 1, lambda: b"other")
                else:
                    assert journal.sign_once(slot, start, "h1", 1, lambda: b"other") == b"other"


def test_the_file_does_not_grow_when_old_intervals_are_forgotten(tmp_path: Path) -> None:
    sizes = []
    with Journal(tmp_path / "journal.db") as journal:
        for i in range(40):
            start = START + i * STEP
            journal.promise(start, ORDERS, [promise(n) for n in range(50)])
            journal.forget_before(start)
            sizes.append(journal._connection.execute("PRAGMA page_count").fetchone()[0])
    assert max(sizes[20:]) <= max(sizes[:20])


# --- files that cannot be used ----------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["name", "message", "receipt", "checksum"])
def test_a_damaged_promise_is_refused(tmp_path: Path, column: str) -> None:
    path = filled(tmp_path / "journal.db")
    meddle(path, f"UPDATE promises SET {column} = ? WHERE number = 2", b"x" * 32)
    sentence = refused(path)
    assert str(path) in sentence
    assert f"a promise of interval {START} has changed" in sentence


def test_a_promise_whose_parts_were_shifted_is_refused(tmp_path: Path) -> None:
    """The checksum knows where one part ends."""
    path = filled(tmp_path / "journal.db")
    meddle(
        path,
        "UPDATE promises SET name = ?, message = ? WHERE number = 1",
        promise(0).name + b"\0",
        promise(0).message[1:],
    )
    assert "has changed" in refused(path)


@pytest.mark.parametrize("column", ["message", "checksum"])
def test_a_damaged_signature_is_refused(tmp_path: Path, column: str) -> None:
    path = filled(tmp_path / "journal.db")
    meddle(path, f"UPDATE signed SET {column} = ?", b"x" * 16)
    assert "h1 signed" in refused(path)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: float) -> None:
    path = filled(tmp_path / "journal.db", count=200)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert str(path) in refused(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"these are my holiday photographs " * 200)
    assert "not a database" in refused(path)
    assert path.read_bytes().startswith(b"these are my")


def _other_tables(path: Path) -> None:
    meddle(path, "CREATE TABLE photographs (name TEXT)")


def _chain_like(path: Path) -> None:
    """The chain file and the sign-state keep their schema in a table of the same name."""
    meddle(path, "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    with Journal(None) as journal:
        schema = journal._connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()[0]
    meddle(path, "INSERT INTO meta VALUES ('schema', ?)", schema)


@pytest.mark.parametrize("make", [_other_tables, _chain_like])
def test_a_database_of_something_else_is_refused_when_opened(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "journal.db"
    make(path)
    with pytest.raises(JournalDamaged, match="not a journal") as caught:
        Journal(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("make", [_other_tables, _chain_like])
def test_a_refused_database_is_left_as_it_was(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "journal.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(JournalDamaged):
        Journal(path)
    assert path.read_bytes() == before
    assert [other.name for other in tmp_path.iterdir()] == ["journal.db"]


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal.db")
    meddle(path, "UPDATE meta SET value = ? WHERE key = 'schema'", b"99")
    assert "of this version" in refused(path)


def test_a_crash_while_the_file_is_made_leaves_one_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and version appear together: a file with one of them would never open again."""
    path = tmp_path / "journal.db"
    monkeypatch.setattr(
        "p2p.roles.exchange.journal._SCHEMA", "CREATE TABLE meta (key TEXT); CREATE TABLE broken (;"
    )
    with pytest.raises(JournalDamaged):
        Journal(path)
    monkeypatch.undo()
    filled(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only files")
def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal.db")
    path.chmod(stat.S_IRUSR)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(JournalDamaged, match="readonly") as caught, Journal(path) as journal:
            journal.promise(START, ORDERS, [promise(9)])
        assert str(path) in str(caught.value)
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_file_that_may_only_be_read_is_refused_when_something_is_promised(tmp_path: Path) -> None:
    """The same for any user: SQLite itself is told to refuse writes."""
    path = filled(tmp_path / "journal.db")
    with Journal(path) as journal:
        journal._connection.execute("PRAGMA query_only=ON")
        with pytest.raises(JournalDamaged, match="readonly") as caught:
            journal.promise(START, ORDERS, [promise(9)])
        assert str(path) in str(caught.value)
        assert len(journal.promises(START, ORDERS)) == 3


@pytest.mark.parametrize("where", ["", "missing/journal.db"])
def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path, where: str) -> None:
    with pytest.raises(JournalDamaged, match="unable to open"):
        Journal(tmp_path / where)


def test_the_sentence_says_what_a_collector_must_do(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal.db")
    meddle(path, "UPDATE promises SET receipt = ?", b"x")
    assert "must not collect the current interval again" in refused(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE promises SET interval_start = interval_start + 900",
        "UPDATE promises SET slot = 1 - slot",
        "UPDATE signed SET interval_start = interval_start + 900",
        "UPDATE signed SET household = 'house-9'",
        "UPDATE signed SET nonce = nonce + 1",
        "UPDATE given SET what = 'closing'",
        "UPDATE given SET interval_start = interval_start + 900",
        "UPDATE given SET slot = slot + 1",
    ],
)
def test_a_row_whose_key_was_changed_is_found_when_the_file_is_opened(statement: str, tmp_path: Path) -> None:
    """Looked for under its old key it would seem never to have been written."""
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        journal.promise(900, 0, [Promise(b"n" * 32, b"message", b"receipt")])
        journal.sign_once(0, 900, "house-1", 1, lambda: b"signed")
        journal.give("batch", 900, 0, b"a batch")
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(JournalDamaged, match="has changed"):
        Journal(path)


def test_an_emptied_file_is_no_new_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    Journal(path).close()
    path.write_bytes(b"")
    with pytest.raises(JournalDamaged, match="it is empty"):
        Journal(path)
    assert path.read_bytes() == b""
