"""The durable journal of a node: promises, closings and batches that were given, messages that were signed.

One SQLite file a node, write-ahead log, synchronous=FULL. A receipt is a promise, so it is written here before it
leaves; a signature binds who gives it, so a node never signs two messages, closings or batches for one purpose.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Self

from p2p.databases import DURABLE, transaction
from p2p.disk import DISK, Disk
from p2p.errors import LocalError

SCHEMA_VERSION = 5
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE promises (
  number INTEGER PRIMARY KEY, interval_start INTEGER NOT NULL, slot INTEGER NOT NULL,
  name BLOB NOT NULL, message BLOB NOT NULL, receipt BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE INDEX promises_by_interval ON promises (interval_start, slot);
CREATE TABLE closed (
  interval_start INTEGER NOT NULL, slot INTEGER NOT NULL, PRIMARY KEY (interval_start, slot)) WITHOUT ROWID;
CREATE TABLE signed (
  slot INTEGER NOT NULL, interval_start INTEGER NOT NULL, household TEXT NOT NULL, nonce INTEGER NOT NULL,
  message BLOB NOT NULL, checksum BLOB NOT NULL, PRIMARY KEY (slot, interval_start, household, nonce)
) WITHOUT ROWID;
CREATE TABLE given (
  what TEXT NOT NULL, interval_start INTEGER NOT NULL, slot INTEGER NOT NULL, data BLOB NOT NULL,
  checksum BLOB NOT NULL, PRIMARY KEY (what, interval_start, slot)) WITHOUT ROWID;
"""
_VERSION_ROW = f"INSERT INTO meta VALUES ('schema', CAST('{SCHEMA_VERSION}' AS BLOB));"
_TABLES = {"meta", "promises", "closed", "signed", "given"}


class JournalDamaged(LocalError):
    """A journal that cannot be read back as it was written, or written at all."""

    exit_hint = "invalid"

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        super().__init__(
            f"journal {path}: {what}. Nothing was sent. A collector whose journal is lost must not collect the"
            " current interval again: wait until another one has settled it, then move the file away and restart"
        )


class SignedOtherwise(LocalError):
    """A second, different message of a home for one purpose; it was not signed."""

    exit_hint = "invalid"


class Promise(NamedTuple):
    """A message that a receipt was given for.

    Args:
        name: Id of the message.
        message: Its signed bytes.
        receipt: Signed bytes of the receipt.
    """

    name: bytes
    message: bytes
    receipt: bytes


class Journal:
    """The journal of one node; use it as a context manager or call `close`.

    Args:
        path: The file; made when it is missing. None keeps the journal in memory, for tests and simulations.
        disk: Where it is written.

    Raises:
        JournalDamaged: The file cannot be used.
    """

    def __init__(self, path: Path | None, disk: Disk = DISK) -> None:
        self._path = path or Path("in memory")
        with self._explained():
            # One thread at a time: roles hand the calls of a batch to a worker thread.
            if path is None:
                self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            else:
                self._make_or_refuse(path, disk)
                self._connection = disk.connect(path, "rw", any_thread=True)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def promise(self, interval_start: int, slot: int, promises: Iterable[Promise]) -> None:
        """Write promises, durably and all together, before their receipts leave."""
        key = _key(interval_start, slot)
        rows = [(interval_start, slot, *promise, _checksum(key, *promise)) for promise in promises]
        with self._explained(), transaction(self._connection):
            self._connection.executemany(
                "INSERT INTO promises (interval_start, slot, name, message, receipt, checksum)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )

    def promises(self, interval_start: int, slot: int) -> list[Promise]:
        """The promises of a slot of an interval, in the order they were given.

        Raises:
            JournalDamaged: A row is not as it was written.
        """
        with self._explained():
            rows = self._connection.execute(
                "SELECT name, message, receipt, checksum FROM promises"
                " WHERE interval_start = ? AND slot = ? ORDER BY number",
                (interval_start, slot),
            ).fetchall()
        found = [Promise(*row[:3]) for row in rows]
        key = _key(interval_start, slot)
        if not all(_holds(row[3], key, *promise) for promise, row in zip(found, rows, strict=True)):
            raise JournalDamaged(self._path, f"a promise of interval {interval_start} has changed")
        return found

    def close_gate(self, interval_start: int, slot: int) -> None:
        """Write, durably, that nothing more is promised for a slot: its result may be sent or signed now."""
        with self._explained():
            self._connection.execute("INSERT OR IGNORE INTO closed VALUES (?, ?)", (interval_start, slot))

    def is_closed(self, interval_start: int, slot: int) -> bool:
        """Whether the gate of a slot was closed, by this process or one before it."""
        with self._explained():
            found = self._connection.execute(
                "SELECT 1 FROM closed WHERE interval_start = ? AND slot = ?", (interval_start, slot)
            ).fetchone()
        return found is not None

    def give(self, what: str, interval_start: int, slot: int, data: bytes) -> bytes:
        """Keep what this node signs once for a slot of an interval, durably; return what it has signed first.

        Args:
            what: Its sort: "closing" or "batch".

        Raises:
            JournalDamaged: What is kept has changed.
        """
        key = _key(what, interval_start, slot)
        row = (what, interval_start, slot, data, _checksum(key, data))
        with self._explained():
            self._connection.execute("INSERT OR IGNORE INTO given VALUES (?, ?, ?, ?, ?)", row)
        given = self.given(what, interval_start, slot)
        assert given is not None, "it was written above"
        return given

    def given(self, what: str, interval_start: int, slot: int) -> bytes | None:
        """What this node has signed for a slot of an interval, or None; as `give`."""
        with self._explained():
            row = self._connection.execute(
                "SELECT data, checksum FROM given WHERE what = ? AND interval_start = ? AND slot = ?",
                (what, interval_start, slot),
            ).fetchone()
        if row is None:
            return None
        data: bytes = row[0]
        if not _holds(row[1], _key(what, interval_start, slot), data):
            raise JournalDamaged(self._path, f"the {what} of interval {interval_start} has changed")
        return data

    def forget_before(self, interval_start: int) -> None:
        """Drop what concerns earlier intervals."""
        with self._explained(), transaction(self._connection):
            for table in ("promises", "closed", "signed", "given"):
                self._connection.execute(f"DELETE FROM {table} WHERE interval_start < ?", (interval_start,))

    def signed(self, slot: int, interval_start: int, household: str, nonce: int) -> bytes | None:
        """The signed bytes of a message that were written before, or None.

        Raises:
            JournalDamaged: They are not those that were written.
        """
        with self._explained():
            row = self._connection.execute(
                "SELECT message, checksum FROM signed"
                " WHERE slot = ? AND interval_start = ? AND household = ? AND nonce = ?",
                (slot, interval_start, household, nonce),
            ).fetchone()
        if row is None:
            return None
        if not _holds(row[1], _key(slot, interval_start, household, nonce), row[0]):
            raise JournalDamaged(self._path, f"what {household} signed for {interval_start} has changed")
        kept: bytes = row[0]  # by the key of then, which may have been rotated since
        return kept

    def sign_once(
        self,
        slot: int,
        interval_start: int,
        household: str,
        nonce: int,
        sign: Callable[[], bytes],
        content: Callable[[bytes], bytes] = bytes,
    ) -> bytes:
        """Return the signed bytes of a message: those that were written before, or new ones, written first.

        Args:
            sign: Makes the signed bytes; the same content gives the same bytes.
            content: What two messages of one purpose must have in common: all of it, or what another key signs, too.

        Raises:
            SignedOtherwise: Another message was signed under the same nonce.
        """
        signed, key = sign(), _key(slot, interval_start, household, nonce)
        before = self.signed(slot, interval_start, household, nonce)
        if before is None:
            with self._explained():
                self._connection.execute(
                    "INSERT INTO signed VALUES (?, ?, ?, ?, ?, ?)",
                    (slot, interval_start, household, nonce, signed, _checksum(key, signed)),
                )
            return signed
        if content(before) != content(signed):
            raise SignedOtherwise(
                f"{household} has signed another message for interval {interval_start} under nonce {nonce};"
                " a second process may be using its key"
            )
        return before

    def _prepare(self) -> None:
        names = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        tables = {name for (name,) in names}
        if tables:  # before anything is written: it may be another file of the node
            found = None
            if tables == _TABLES:
                found = self._connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
            if found is None or found[0] != str(SCHEMA_VERSION).encode():
                raise JournalDamaged(self._path, "it is not a journal of this version")
        for pragma in DURABLE:
            self._connection.execute(f"PRAGMA {pragma}")
        if not tables:  # in memory
            self._connection.executescript(f"BEGIN; {_SCHEMA} {_VERSION_ROW} COMMIT;")
        # A damaged index would hide promises from the reader without an error; the file is small.
        if self._connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            raise JournalDamaged(self._path, "SQLite finds its tables damaged")
        self._check_rows()

    def _make_or_refuse(self, path: Path, disk: Disk) -> None:
        """Make a missing file, under another name until it is complete; an empty one was complete before."""
        if path.exists():
            if not path.stat().st_size:
                raise JournalDamaged(path, "it is empty")
            return
        half = disk.cleared_half(path)
        connection = disk.connect(half, "rwc")
        try:
            connection.executescript(f"BEGIN; {_SCHEMA} {_VERSION_ROW} COMMIT;")
        finally:
            connection.close()
        disk.complete(half, path)

    def _check_rows(self) -> None:
        """Check every row with its key: one whose key has changed would not be found."""
        for start, slot, *promise, checksum in self._connection.execute(
            "SELECT interval_start, slot, name, message, receipt, checksum FROM promises"
        ):
            if not _holds(checksum, _key(start, slot), *promise):
                raise JournalDamaged(self._path, f"a promise of interval {start} has changed")
        for slot, start, household, nonce, message, checksum in self._connection.execute(
            "SELECT slot, interval_start, household, nonce, message, checksum FROM signed"
        ):
            if not _holds(checksum, _key(slot, start, household, nonce), message):
                raise JournalDamaged(self._path, f"what {household} signed for {start} has changed")
        for what, start, slot, data, checksum in self._connection.execute(
            "SELECT what, interval_start, slot, data, checksum FROM given"
        ):
            if not _holds(checksum, _key(what, start, slot), data):
                raise JournalDamaged(self._path, f"the {what} of interval {start} has changed")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (
            sqlite3.Error,
            UnicodeDecodeError,
            OSError,
        ) as error:  # the latter: the text of a damaged schema or row
            raise JournalDamaged(self._path, str(error)) from None


def _holds(checksum: object, *parts: object) -> bool:
    return all(isinstance(part, bytes) for part in parts) and _checksum(*parts) == checksum  # type: ignore[arg-type]


def _key(*parts: int | str) -> bytes:
    """The key of a row as bytes, for its checksum."""
    return repr(parts).encode()


def _checksum(*parts: bytes) -> bytes:
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()[:16]
