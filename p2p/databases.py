"""What the database files of a node have in common: atomic creation, durable transactions, kinds of errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from market.files import sync_folder


def cleared_half(path: Path) -> Path:
    """The name under which a database is made until it is complete.

    What an earlier attempt left under it is removed, and so is a write-ahead log without its database: it would be
    read into the new one.
    """
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    for name in (half.name, path.name):
        for end in ("-wal", "-shm"):
            path.with_name(name + end).unlink(missing_ok=True)
    return half


def complete(half: Path, path: Path) -> None:
    """Give a finished database its name, durably: a journal or a chain that lost it would be begun again, empty."""
    half.rename(path)
    sync_folder(path.parent)


def connect(path: Path, mode: str, *pragmas: str) -> sqlite3.Connection:
    """Open a database in autocommit, with these PRAGMA statements executed.

    Args:
        mode: Of SQLite: "ro", "rw" or, to make the file, "rwc".
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


DURABLE = ("journal_mode=WAL", "synchronous=FULL")
"""With these a commit is on the disk when it returns."""


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, also when the disk is full in the middle."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back by itself
            connection.execute("ROLLBACK")
        raise


UNREADABLE = (UnicodeDecodeError, sqlite3.DatabaseError)
"""What reading a database raises; the first is the text of a damaged schema or row."""


def is_damage(error: BaseException) -> bool:
    """Whether one of `UNREADABLE` means damaged content, and not a full disk, a lock or missing rights."""
    if not isinstance(error, sqlite3.OperationalError):
        return True
    # The module's own errors, as of a text that is not UTF-8, carry no code of SQLite's.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT)
