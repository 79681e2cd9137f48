"""The store: what was appended comes back, damage is named, and nothing else is written."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from p2p.errors import InvalidBlock, OtherFormat, StoreDamaged, StoreError, StoreMismatch
from p2p.ledger.producer import Producer, WrongKeys
from p2p.ledger.store import ChainStore
from p2p.ledger.verify import verify_chain
from tests.kits.chain_kit import OPERATOR, Made, authorities, extend, make_args, make_chain, make_genesis


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    chain = make_chain(tmp_path / "chain.db", n=4, intervals=5)
    yield chain
    chain.store.close()


def execute(path: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql, values)
    connection.close()


def test_blocks_come_back_as_they_were_appended(made: Made) -> None:
    made.store.close()
    with ChainStore.open(made.store.path) as store:
        assert list(store.blocks()) == made.blocks
        assert list(store.blocks(2, 3)) == made.blocks[1:3]
        assert list(store.blocks(4, 99)) == made.blocks[3:]
        assert store.block(3) == made.blocks[2]
        assert store.head() == made.blocks[-1]
        assert store.height == 5
        assert store.genesis == made.genesis


def test_a_closed_chain_is_one_file(made: Made) -> None:
    made.store.close()
    made.store.close()
    assert [file.name for file in made.store.path.parent.iterdir()] == ["chain.db"]


def test_every_block_is_on_disk_before_append_returns(made: Made) -> None:
    """A second connection sees each block without the first being closed: no open transaction."""
    with ChainStore.open(made.store.path, read_only=True) as other:
        assert other.height == 5
    extend(made, 5, 6)
    with ChainStore.open(made.store.path, read_only=True) as other:
        assert other.head() == made.blocks[-1]


def crash(made: Made, folder: Path, lost_bytes: int = 0) -> Path:
    """Copy what is on disk while the store is open, as a killed process leaves it."""
    folder.mkdir()
    copy = folder / "chain.db"
    shutil.copy(made.store.path, copy)
    log = made.store.path.with_name("chain.db-wal").read_bytes()
    copy.with_name("chain.db-wal").write_bytes(log[: len(log) - lost_bytes])
    return copy


def test_a_killed_process_loses_no_block(made: Made, tmp_path: Path) -> None:
    with ChainStore.open(crash(made, tmp_path / "crashed"), made.genesis) as store:
        assert list(store.blocks()) == made.blocks


def test_a_torn_tail_of_the_log_costs_the_last_block_only_and_the_rest_holds(
    made: Made, tmp_path: Path
) -> None:
    with ChainStore.open(crash(made, tmp_path / "torn", 100), made.genesis) as store:
        assert list(store.blocks()) == made.blocks[:4]
        assert verify_chain(store, made.genesis).ok


def test_the_settings_are_durable(made: Made) -> None:
    connection = made.store._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_reading_a_finished_chain_changes_no_byte(made: Made) -> None:
    made.store.close()
    before = made.store.path.read_bytes()
    with ChainStore.open(made.store.path, made.genesis, read_only=True) as store:
        assert verify_chain(store, made.genesis).ok
    assert made.store.path.read_bytes() == before


def test_truncation_and_the_same_blocks_again_give_the_same_head(made: Made) -> None:
    head = made.store.head()
    made.store.truncate_above(2)
    assert made.store.height == 2
    assert made.store.head() == made.blocks[1]
    again = Made(
        made.genesis,
        made.store,
        Producer(made.genesis, authorities(4), OPERATOR, made.store),
        made.batches[:2],
        made.blocks[:2],
    )
    extend(again, 2, 5)
    assert made.store.head() == head
    assert verify_chain(made.store, made.genesis).ok


def test_truncation_to_nothing_leaves_an_empty_chain(made: Made) -> None:
    made.store.truncate_above(0)
    assert made.store.head() is None
    report = verify_chain(made.store, made.genesis)
    assert (report.ok, report.height, report.head_hash) == (True, 0, made.genesis.chain_id)


def test_a_producer_continues_a_stored_chain(made: Made) -> None:
    made.store.close()
    with ChainStore.open(made.store.path, made.genesis) as store:
        producer = Producer(made.genesis, authorities(4), OPERATOR, store)
        assert producer.tip == made.producer.tip
        assert producer.tip.state.root == made.producer.tip.state.root


def test_a_chain_with_another_id_is_refused(made: Made) -> None:
    made.store.close()
    with pytest.raises(StoreMismatch, match=r"chain\.db holds chain .*, not "):
        ChainStore.open(made.store.path, make_genesis(name="other"))
    foreign = make_genesis(name="other")
    with (
        ChainStore.create(made.store.path.with_name("b.db"), foreign) as store,
        pytest.raises(StoreMismatch),
    ):
        store.append(*made.blocks[0])


def test_a_producer_needs_the_keys_and_the_store_of_its_genesis(made: Made) -> None:
    with pytest.raises(WrongKeys, match="validators"):
        Producer(made.genesis, authorities(4)[::-1], OPERATOR, made.store)
    with pytest.raises(WrongKeys, match="operator"):
        Producer(made.genesis, authorities(4), authorities(4)[0], made.store)
    with pytest.raises(StoreMismatch):
        Producer(make_genesis(name="other"), authorities(4), OPERATOR, made.store)


def test_a_block_that_does_not_follow_the_head_is_refused(made: Made) -> None:
    for block, cert in (made.blocks[-1], made.blocks[0]):
        with pytest.raises(StoreError, match="does not follow block 5"):
            made.store.append(block, cert)
    assert made.store.height == 5
    made.store.truncate_above(2)
    with pytest.raises(StoreError, match="block 4 does not follow block 2"):
        made.store.append(*made.blocks[3])
    header = msgspec.structs.replace(made.blocks[2][0].header, parent_hash=bytes(32))
    with pytest.raises(StoreError, match="block 3 does not follow block 2"):
        made.store.append(msgspec.structs.replace(made.blocks[2][0], header=header), made.blocks[2][1])


def test_a_refused_batch_leaves_the_chain_as_it_was(made: Made) -> None:
    tip = made.producer.tip
    stale = make_args(4, made.genesis.members)[1]
    with pytest.raises(InvalidBlock, match=r"block 6, txs\[0\]: settle_late: interval"):
        made.producer.append_batch(stale, tip.time_ms + 1)
    with pytest.raises(InvalidBlock, match="block 6, time_ms"):
        made.producer.append_batch(stale, tip.time_ms)
    assert made.producer.tip == tip
    assert made.store.height == 5


def test_files_are_not_overwritten_and_missing_ones_not_made(made: Made, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="exists already"):
        ChainStore.create(made.store.path, made.genesis)
    with pytest.raises(StoreError, match="no chain file"):
        ChainStore.open(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(StoreError, match="unable to open"):
        ChainStore.create(tmp_path / "no folder" / "chain.db", made.genesis)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda path: path.write_bytes(b""), "no such table"),
        (lambda path: path.write_bytes(b"not a database" * 1000), "not a database"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "malformed"),
        (lambda path: execute(path, "UPDATE meta SET value = x'00' WHERE key = 'genesis'"), "genesis"),
        (lambda path: execute(path, "DELETE FROM meta WHERE key = 'genesis'"), "genesis"),
        (lambda path: execute(path, "UPDATE blocks SET block = x'90' WHERE height = 5"), "block 5"),
        (lambda path: execute(path, "UPDATE blocks SET block = 'text' WHERE height = 5"), "block 5"),
        (lambda path: execute(path, "UPDATE blocks SET height = 9 WHERE height = 5"), "row 9 holds block 5"),
        (lambda path: execute(path, "DROP TABLE blocks"), "no such table"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(
    made: Made, damage: Callable[[Path], object], what: str
) -> None:
    made.store.close()
    damage(made.store.path)
    with pytest.raises(StoreDamaged, match=what) as caught:
        ChainStore.open(made.store.path)
    assert "chain.db" in str(caught.value)
    assert "backup" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "columns"),
    [("meta", "key, value"), ("blocks", "height, block, cert"), ("changes", "height, change")],
)
def test_a_view_in_the_place_of_a_table_is_refused_before_it_is_read(
    made: Made, table: str, columns: str
) -> None:
    """It can give rows without an end: who read them would not come back, or run out of memory."""
    made.store.close()
    execute(made.store.path, f"ALTER TABLE {table} RENAME TO other")
    more = columns.replace(columns.split(",")[0], "1", 1)
    endless = (
        f"WITH RECURSIVE t AS (SELECT {columns} FROM other UNION ALL SELECT {more} FROM t) SELECT * FROM t"
    )
    execute(made.store.path, f"CREATE VIEW {table} AS {endless}")
    with pytest.raises(StoreDamaged, match=f"{table} in it is no table"):
        ChainStore.open(made.store.path)


def test_a_missing_block_is_found_when_it_is_read(made: Made) -> None:
    execute(made.store.path, "DELETE FROM blocks WHERE height = 3")
    with pytest.raises(StoreDamaged, match="between heights 1 and 5 is missing"):
        list(made.store.blocks())


@pytest.mark.parametrize(
    ("schema", "error", "sentence"),
    [
        ("x'39'", OtherFormat, "a chain of format 9; this program reads format 7"),
        ("x'30'", StoreError, "has schema b'0'"),
        ("x'7a'", StoreError, "has schema b'z'"),
        ("x''", StoreError, "has schema b''"),
        ("'3'", StoreError, "has schema '3'"),
    ],
)
def test_a_chain_of_another_schema_is_refused(
    schema: str, error: type[Exception], sentence: str, made: Made
) -> None:
    made.store.close()
    execute(made.store.path, f"UPDATE meta SET value = {schema} WHERE key = 'schema'")
    with pytest.raises(error, match=sentence):
        ChainStore.open(made.store.path)


def test_a_store_used_after_closing_says_so(made: Made) -> None:
    made.store.close()
    with pytest.raises(StoreError, match="closed database"):
        made.store.block(1)


def test_a_file_locked_by_another_program_is_not_called_damaged(made: Made) -> None:
    other = sqlite3.connect(made.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    made.store._connection.execute("PRAGMA busy_timeout = 1")
    try:
        with pytest.raises(StoreError, match="locked; nothing was changed") as caught:
            made.store.truncate_above(1)
    finally:
        other.close()
    assert not isinstance(caught.value, StoreDamaged)
    assert made.store.height == 5


def test_a_start_that_was_killed_half_way_is_begun_anew(made: Made, tmp_path: Path) -> None:
    path, genesis = tmp_path / "begun" / "chain.db", made.store.genesis
    path.parent.mkdir()
    path.with_name("chain.db.new").write_bytes(b"SQLite form")
    with ChainStore.create(path, genesis) as store:
        assert store.height == 0
    assert [file.name for file in path.parent.iterdir()] == ["chain.db"]


def test_a_log_whose_chain_was_deleted_is_not_read_into_a_new_one(made: Made, tmp_path: Path) -> None:
    log = made.store.path.with_name(made.store.path.name + "-wal").read_bytes()
    assert log
    path = tmp_path / "begun.db"
    path.with_name("begun.db-wal").write_bytes(log)
    with ChainStore.create(path, made.store.genesis) as store:
        assert store.height == 0
