"""The chain on disk: one SQLite file, write-ahead log, synchronous=FULL, one commit a block.

The only chain file that touches SQLite. An open store has a `-wal` and a `-shm` file beside it; `close`
folds them in, so that a finished chain is one file that can be copied.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from p2p.chain.block import Block, CommitCert, block_hash, decode_block, decode_cert
from p2p.chain.genesis import Genesis, decode_genesis
from p2p.codec import encode
from p2p.errors import GenesisError, RemoteError, StoreDamaged, StoreError, StoreMismatch

SCHEMA_VERSION = 1
_PAGE_BLOCKS = 256
"""Blocks that an iterator reads at a time, so that memory stays flat over a year."""

_PAGE_BYTES = 8192
"""Holds three blocks of 25 authorities; SQLite's 4096 holds one and wastes the rest. [B]"""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (height INTEGER PRIMARY KEY, block BLOB NOT NULL, cert BLOB NOT NULL);
"""


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
        self._height, self._head_hash = 0, self._chain_id
        self._find_head()

    @classmethod
    def create(cls, path: Path, genesis: Genesis) -> Self:
        """Start a chain in a new file.

        Raises:
            StoreError: The file exists or cannot be written.
        """
        if path.exists():
            raise StoreError(f"chain file {path} exists already; open it, or name another file")
        with _explained(path):
            connection = _connect(path, "rwc")
            try:
                connection.executescript(_SCHEMA)
                connection.executemany(
                    "INSERT INTO meta VALUES (?, ?)",
                    [("schema", str(SCHEMA_VERSION).encode()), ("genesis", encode(genesis))],
                )
                return cls(path, connection, genesis)
            except BaseException:
                connection.close()
                raise

    @classmethod
    def open(cls, path: Path, genesis: Genesis | None = None, *, read_only: bool = False) -> Self:
        """Open an existing chain.

        Args:
            genesis: The chain it must hold; None takes the one in the file.
            read_only: Changes no byte of the file, so that looking at a finished chain leaves it as it was.

        Raises:
            StoreMismatch: It holds another chain.
            StoreDamaged: It cannot be read back.
            StoreError: There is no such file, or another program has it open.
        """
        if not path.is_file():
            raise StoreError(f"no chain file {path}")
        with _explained(path):
            connection = _connect(path, "ro" if read_only else "rw")
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
        """Height of the newest block, 0 for none."""
        return self._height

    def append(self, block: Block, cert: CommitCert) -> None:
        """Add the next block with its certificate, durably, in one commit.

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
        with _explained(self.path):
            self._connection.execute(
                "INSERT INTO blocks VALUES (?, ?, ?)", (header.height, encode(block), encode(cert))
            )
        self._height, self._head_hash = header.height, block_hash(header)

    def head(self) -> tuple[Block, CommitCert] | None:
        """The newest block and its certificate, or None below height 1."""
        return self.block(self._height) if self._height else None

    def block(self, height: int) -> tuple[Block, CommitCert]:
        """One block and its certificate.

        Raises:
            StoreError: There is no such height.
            StoreDamaged: The row cannot be read.
        """
        for found in self.blocks(height, height):
            return found
        raise StoreError(f"chain file {self.path} has no block {height}; its head is {self._height}")

    def blocks(self, first: int = 1, last: int | None = None) -> Iterator[tuple[Block, CommitCert]]:
        """Iterate over the blocks first..last, both included, in ascending height.

        Raises:
            StoreDamaged: A row is missing or cannot be read; names the height.
        """
        end = self._height if last is None else min(last, self._height)
        for start in range(max(first, 1), end + 1, _PAGE_BLOCKS):
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
        """Forget every block above a height, to resume from a checkpoint.

        Raises:
            StoreError: The chain is not that high; nothing changed.
        """
        if not 0 <= height <= self._height:
            raise StoreError(
                f"chain file {self.path} ends at height {self._height}; it cannot go back to {height}"
            )
        with _explained(self.path):
            self._connection.execute("DELETE FROM blocks WHERE height > ?", (height,))
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
        self._height = row[0] if row else 0
        self._head_hash = block_hash(self._decode(*row)[0].header) if row else self._chain_id

    def _decode(self, height: int, block: object, cert: object) -> tuple[Block, CommitCert]:
        if not isinstance(block, bytes) or not isinstance(cert, bytes):
            raise StoreDamaged(self.path, f"block {height} is not bytes")
        try:
            decoded = decode_block(block, self._chain_id), decode_cert(cert)
        except RemoteError as error:
            raise StoreDamaged(self.path, f"block {height} cannot be read ({error})") from None
        if decoded[0].header.height != height:
            raise StoreDamaged(self.path, f"row {height} holds block {decoded[0].header.height}")
        return decoded


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # Autocommit: one INSERT is one transaction, and so one durable commit.
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    try:
        if mode != "ro":
            connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _read_genesis(path: Path, connection: sqlite3.Connection) -> Genesis:
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if meta.get("schema") != str(SCHEMA_VERSION).encode():
        raise StoreError(f"chain file {path} has schema {meta.get('schema')!r}, not {SCHEMA_VERSION}")
    try:
        return decode_genesis(bytes(meta.get("genesis", b"")))
    except GenesisError as error:
        raise StoreDamaged(path, str(error)) from None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: damaged content apart from a full disk, a lock or missing rights."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise StoreError(f"chain file {path}: {error}") from None
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT):
            raise StoreDamaged(path, str(error)) from None
        raise StoreError(f"chain file {path}: {error}; nothing was changed") from None
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(path, str(error)) from None
