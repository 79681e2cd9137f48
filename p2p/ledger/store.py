"""The chain on disk: one SQLite file, write-ahead log, synchronous=FULL, one commit a block.

With a block may come a checkpoint of the state after it, in the same commit, so that a restart does not
execute the whole chain again and others can start from it. A chain may begin above height 1, at such a
checkpoint. An open store has a `-wal` and a `-shm` file beside it; `close` folds them in, so that a finished
chain is one file that can be copied.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from p2p.blocks.block import Block, CommitCertificate, block_hash, decode_block, decode_cert
from p2p.blocks.genesis import Genesis, decode_genesis
from p2p.databases import DURABLE, UNREADABLE, is_damage, transaction
from p2p.disk import DISK, Disk
from p2p.errors import GenesisError, OtherFormat, RemoteError, StoreDamaged, StoreError, StoreMismatch
from p2p.ledger.light import SetChange
from p2p.wire.codec import decode, encode

SCHEMA_VERSION = 7
KEPT_CHECKPOINTS = 2
"""Newest checkpoints that are kept; the one before the newest is there for a peer that is reading it."""

_PAGE_BLOCKS = 256
"""Blocks that an iterator reads at a time, so that memory stays flat over a year."""

_PAGE_BYTES = 8192
"""Holds three blocks of 25 validators; SQLite's 4096 holds one and wastes the rest. [B]"""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (height INTEGER PRIMARY KEY, block BLOB NOT NULL, cert BLOB NOT NULL);
CREATE TABLE checkpoints (height INTEGER PRIMARY KEY, data BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE changes (height INTEGER PRIMARY KEY, change BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Base:
    """Where a chain begins that has no blocks from height 1 on.

    Args:
        height: Height of the checkpoint; the first stored block is the one above it.
        block_hash: Of the block at that height.
        checkpoint: Opaque bytes of the state after it.
        changes: Every change of the set of validators up to that height.
    """

    height: int
    block_hash: bytes
    checkpoint: bytes
    changes: tuple[SetChange, ...]


class ChainStore:
    """The blocks of one chain; use it as a context manager or call `close`."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, genesis: Genesis, *, read_only: bool = False
    ) -> None:
        """Use `create` or `open`; this takes a connection with the schema in place."""
        self.path = path
        self._read_only = read_only
        self._is_open = True
        self.genesis = genesis
        self._connection = connection
        self._chain_id = genesis.chain_id
        self._base, self._base_hash = self._find_base()
        self._height, self._head_hash = self._base, self._base_hash
        self._find_head()

    @classmethod
    def create(cls, path: Path, genesis: Genesis, base: Base | None = None, disk: Disk = DISK) -> Self:
        """Start a chain in a new file.

        Args:
            base: Where it begins; None for height 1.
            disk: Where it is written.

        Raises:
            StoreError: The file exists or cannot be written.
        """
        if path.exists():
            raise StoreError(f"chain file {path} exists already; open it, or name another file")
        # Under another name until it is complete: a node killed meanwhile leaves nothing that looks damaged.
        with _explained(path):
            half = disk.cleared_half(path)
            connection = _connect(disk, half, "rwc")
            try:
                with transaction(connection):
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
                    meta = [("schema", str(SCHEMA_VERSION).encode()), ("genesis", encode(genesis))]
                    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
                    if base is not None:
                        _insert_base(connection, base)
                connection.execute("PRAGMA journal_mode=DELETE")
            finally:
                connection.close()
            disk.complete(half, path)
        return cls.open(path, genesis, disk=disk)

    @classmethod
    def open(
        cls, path: Path, genesis: Genesis | None = None, *, read_only: bool = False, disk: Disk = DISK
    ) -> Self:
        """Open an existing chain.

        Args:
            genesis: The chain it must hold; None takes the one in the file.
            read_only: Changes no byte of the file, so that reading a finished chain does not alter it.
            disk: Where it is read and written.

        Raises:
            StoreMismatch: It holds another chain.
            OtherFormat: It was written by an earlier or a later version of this program.
            StoreDamaged: It cannot be read back.
            StoreError: There is no such file, or another program has it open.
        """
        if not path.is_file():
            raise StoreError(f"no chain file {path}")
        with _explained(path):
            connection = _connect(disk, path, "ro" if read_only else "rw")
            try:
                found = _read_genesis(path, connection)
                if genesis is not None and found.chain_id != genesis.chain_id:
                    raise StoreMismatch(path, found.chain_id, genesis.chain_id)
                return cls(path, connection, found, read_only=read_only)
            except BaseException:
                connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def height(self) -> int:
        """Height of the newest block; without blocks, that of the base."""
        return self._height

    @property
    def head_hash(self) -> bytes:
        """Hash of the newest block; without blocks, that of the base."""
        return self._head_hash

    @property
    def base(self) -> int:
        """Height below the first stored block: 0, or that of the checkpoint the chain began at."""
        return self._base

    def append(
        self,
        block: Block,
        cert: CommitCertificate,
        *,
        checkpoint: bytes | None = None,
        next_set: tuple[bytes, ...] | None = None,
    ) -> None:
        """Add the next block with its certificate, durably, in one commit.

        Args:
            checkpoint: State after the block, as opaque bytes; older ones than the last two are dropped.
            next_set: The validators of the next height where the block changes them.

        Raises:
            StoreError: It does not follow the head, or cannot be written; nothing changed.
        """
        header = block.header
        if header.chain_id != self._chain_id:
            raise StoreMismatch(self.path, self._chain_id, header.chain_id)
        if header.height != self._height + 1 or header.parent_hash != self._head_hash:
            raise StoreError(
                f"block {header.height} does not follow block {self._height} of chain file {self.path}"
            )
        row = (header.height, encode(block), encode(cert))
        with _explained(self.path), transaction(self._connection):
            self._connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", row)
            if checkpoint is not None:
                _insert_checkpoint(self._connection, header.height, checkpoint)
            if next_set is not None:
                _insert_change(self._connection, SetChange(header, cert, next_set))
        self._height, self._head_hash = header.height, block_hash(header)

    def head(self) -> tuple[Block, CommitCertificate] | None:
        """The newest block and its certificate, or None where no block is stored."""
        return self.block(self._height) if self._height > self._base else None

    def checkpoint(self, at_most: int | None = None) -> tuple[int, bytes] | None:
        """Height and bytes of the newest checkpoint, or of the newest one that is not above a height.

        Raises:
            StoreDamaged: Its checksum does not hold.
        """
        limit = self._height if at_most is None else at_most
        with _explained(self.path):
            row = self._connection.execute(
                "SELECT height, data, checksum FROM checkpoints WHERE height <= ? ORDER BY height DESC LIMIT 1",
                (limit,),
            ).fetchone()
        if row is None:
            return None
        height, data, checksum = row
        if not isinstance(data, bytes) or sha256(data).digest() != checksum:
            raise StoreDamaged(self.path, f"the checkpoint of height {height} does not match its checksum")
        return height, data

    def changes(self, up_to: int) -> tuple[SetChange, ...]:
        """Every change of the set of validators up to a height, ascending.

        Raises:
            StoreDamaged: A row cannot be read.
        """
        with _explained(self.path):
            rows = self._connection.execute(
                "SELECT change FROM changes WHERE height <= ? ORDER BY height", (up_to,)
            ).fetchall()
        try:
            return tuple(decode(SetChange, row[0]) for row in rows)
        except (RemoteError, TypeError) as error:
            raise StoreDamaged(self.path, f"a change of validators cannot be read ({error})") from None

    def block(self, height: int) -> tuple[Block, CommitCertificate]:
        """One block and its certificate.

        Raises:
            StoreError: There is no such height.
            StoreDamaged: The row cannot be read.
        """
        for found in self.blocks(height, height):
            return found
        raise StoreError(f"chain file {self.path} has no block {height}; its head is {self._height}")

    def blocks(self, first: int = 1, last: int | None = None) -> Iterator[tuple[Block, CommitCertificate]]:
        """Iterate over the blocks first..last, both included, in ascending height.

        Raises:
            StoreDamaged: A row is missing or cannot be read; names the height.
        """
        end = self._height if last is None else min(last, self._height)
        for start in range(max(first, self._base + 1), end + 1, _PAGE_BLOCKS):
            stop = min(start + _PAGE_BLOCKS - 1, end)
            with _explained(self.path):
                rows = self._connection.execute(
                    "SELECT height, block, cert FROM blocks WHERE height BETWEEN ? AND ? ORDER BY height",
                    (start, stop),
                ).fetchall()
            if [row[0] for row in rows] != list(range(start, stop + 1)):
                raise StoreDamaged(self.path, f"a block between heights {start} and {stop} is missing")
            for height, block, cert in rows:
                yield self._decode(height, block, cert)

    def truncate_above(self, height: int) -> None:
        """Delete every block above a height, to resume from a checkpoint.

        Raises:
            StoreError: The chain is not that high; nothing changed.
        """
        if not self._base <= height <= self._height:
            raise StoreError(
                f"chain file {self.path} reaches from {self._base} to {self._height}; it cannot go back to {height}"
            )
        with _explained(self.path), transaction(self._connection):
            for table in ("blocks", "checkpoints", "changes"):
                self._connection.execute(f"DELETE FROM {table} WHERE height > ?", (height,))
        self._find_head()

    def close(self) -> None:
        """Fold the write-ahead log in and close; closing twice does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        with _explained(self.path):
            try:
                if not self._read_only:
                    self._connection.execute("PRAGMA journal_mode=DELETE")
            finally:
                self._connection.close()

    def _find_head(self) -> None:
        with _explained(self.path):
            row = self._connection.execute(
                "SELECT height, block, cert FROM blocks ORDER BY height DESC LIMIT 1"
            ).fetchone()
        self._height = row[0] if row else self._base
        self._head_hash = block_hash(self._decode(*row)[0].header) if row else self._base_hash

    def _find_base(self) -> tuple[int, bytes]:
        with _explained(self.path):
            row = self._connection.execute("SELECT value FROM meta WHERE key = 'base'").fetchone()
        if row is None:
            return 0, self._chain_id
        try:
            height, name = decode(tuple[int, bytes], row[0])
        except (RemoteError, TypeError) as error:
            raise StoreDamaged(self.path, f"the height it begins at cannot be read ({error})") from None
        return height, name

    def _decode(self, height: int, block: object, cert: object) -> tuple[Block, CommitCertificate]:
        if not isinstance(block, bytes) or not isinstance(cert, bytes):
            raise StoreDamaged(self.path, f"block {height} is not bytes")
        try:
            decoded = decode_block(block, self._chain_id), decode_cert(cert)
        except RemoteError as error:
            raise StoreDamaged(self.path, f"block {height} cannot be read ({error})") from None
        if decoded[0].header.height != height:
            raise StoreDamaged(self.path, f"row {height} holds block {decoded[0].header.height}")
        return decoded


def _connect(disk: Disk, path: Path, mode: str) -> sqlite3.Connection:
    return disk.connect(path, mode, *(() if mode == "ro" else (f"page_size={_PAGE_BYTES}", *DURABLE)))


def _refuse_queries(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a file with more than tables and indexes: a view in the place of a table can give rows without an end."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    for name, text in rows:
        if not str(text).startswith(("CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX ")):
            raise StoreDamaged(path, f"{name} in it is no table")


def _read_genesis(path: Path, connection: sqlite3.Connection) -> Genesis:
    _refuse_queries(path, connection)
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    schema = meta.get("schema")
    if schema != str(SCHEMA_VERSION).encode():
        if isinstance(schema, bytes) and schema.isdigit() and 0 < int(schema) < 100:
            raise OtherFormat(int(schema), path)
        raise StoreError(f"chain file {path} has schema {schema!r}, not {SCHEMA_VERSION}")
    genesis = meta.get("genesis")
    if not isinstance(genesis, bytes):
        raise StoreDamaged(path, "its genesis is not bytes")
    try:
        return decode_genesis(genesis)
    except OtherFormat as error:
        raise OtherFormat(error.version, path) from None
    except GenesisError as error:
        raise StoreDamaged(path, str(error)) from None


def _insert_base(connection: sqlite3.Connection, base: Base) -> None:
    head = encode((base.height, base.block_hash))
    connection.execute("INSERT INTO meta VALUES ('base', ?)", (head,))
    _insert_checkpoint(connection, base.height, base.checkpoint)
    for change in base.changes:
        _insert_change(connection, change)


def _insert_checkpoint(connection: sqlite3.Connection, height: int, data: bytes) -> None:
    connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", (height, data, sha256(data).digest()))
    connection.execute(
        "DELETE FROM checkpoints WHERE height NOT IN (SELECT height FROM checkpoints ORDER BY height DESC LIMIT ?)",
        (KEPT_CHECKPOINTS,),
    )


def _insert_change(connection: sqlite3.Connection, change: SetChange) -> None:
    connection.execute("INSERT INTO changes VALUES (?, ?)", (change.header.height, encode(change)))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: damaged content apart from a full disk, a lock or missing rights."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise StoreError(f"chain file {path}: {error}") from None
    except UNREADABLE as error:
        if is_damage(error):
            raise StoreDamaged(path, str(error)) from None
        raise StoreError(f"chain file {path}: {error}; nothing was changed") from None
