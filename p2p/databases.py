"""What the database files of a node have in common: durable transactions and kinds of errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

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
