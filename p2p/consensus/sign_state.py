"""The sign-state of one validator on disk: what it signed, durable before it is sent.

One SQLite file with one row: the core's newest record and the guard's last signature, written in one
transaction, each with a checksum. After every commit the write-ahead log is folded into the file
(`wal_autocheckpoint=1`), so that a log that loses its tail cannot bring back an older record.

A file that is missing, damaged or of another key is an error and never an empty start: a validator that
forgot what it signed would sign again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Self, TypeVar

from p2p.consensus.types import MAX_RECORD_BYTES, RECORD_VERSION, SignState
from p2p.consensus.votes import LastSigned
from p2p.databases import DURABLE, UNREADABLE, is_damage
from p2p.disk import DISK, Disk
from p2p.errors import LocalError, RemoteError
from p2p.wire.codec import Record, decode, encode

FILE_NAME = "consensus.db"
MARKER_NAME = "consensus.signed"
"""Marks, beside the file, that this key may have signed, so that a lost file is noticed."""
LOCK_NAME = "lock"

_R = TypeVar("_R", bound=Record)

_SCHEMA_VERSION = b"2"
_SUM_DOMAIN = b"wattswap/sign-state/1\0"
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE sign_state (
    id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB, record_sum BLOB, last BLOB, last_sum BLOB
);
"""


class SignStateError(LocalError):
    """The sign-state cannot be used; this validator must not sign. Names the file and what to do."""

    exit_hint = "invalid"

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        self.path = path
        super().__init__(f"sign-state {path} {what}. This validator does not sign. {remedy}")


class FolderInUse(LocalError):
    """Another process runs with this folder."""

    exit_hint = "invalid"


def _lost_remedy(path: Path) -> str:
    return (
        f"Move {path.name} back if it is elsewhere. If it is lost, move what is left of it away, set min_safe_height"
        " in config.toml above every height this key may have signed (the height of the other validators plus"
        " 10 is safe), and start again."
    )


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for this process: two processes with one key would sign against each other.

    The lock is the kernel's, so that a killed process leaves none behind.

    Raises:
        FolderInUse: Another process holds it, or it cannot be locked.
    """
    import fcntl

    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise FolderInUse(f"folder {folder} cannot be locked ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace") or "unknown"
            raise FolderInUse(
                f"folder {folder} is in use by process {holder}; stop that one, or name another folder"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


class ConsensusStore:
    """The sign-state of one key on one chain; open it with `open`, close it with `close`.

    Attributes:
        record: Newest record of the core, or None.
        last: What the guard signed last, or None.
        sign_from: First height at which this validator may sign.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, owner: bytes, sign_from: int) -> None:
        self.path = path
        self._connection = connection
        self._owner = owner
        self.sign_from = sign_from
        self.record: SignState | None = None
        self.last: LastSigned | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        chain_id: bytes,
        public_key: bytes,
        *,
        chain_height: int,
        min_safe_height: int = 0,
        disk: Disk = DISK,
    ) -> Self:
        """Open the sign-state in a folder; a new one is made only where this key cannot have signed.

        Args:
            chain_height: Height of the stored chain beside it.
            min_safe_height: First height at which a restored validator may sign, 0 for one that is not
                restored. Remembered in a file that is made with it.
            disk: Where it is written.

        Raises:
            SignStateError: Missing although the chain has blocks or this key has signed, damaged, or of
                another key or chain.
        """
        path, owner = folder / FILE_NAME, chain_id + public_key
        if not path.exists():
            _refuse_if_lost(path, chain_height, min_safe_height)
            cls._create(path, owner, min_safe_height, disk)
        if not path.stat().st_size:  # SQLite would take it for a new one
            raise SignStateError(path, "is empty", _lost_remedy(path))
        with _explained(path):
            connection = _connect(disk, path, "rw")
            try:
                store = cls._read(path, connection, owner, min_safe_height)
                marker = path.with_name(MARKER_NAME)
                if not marker.exists():  # after the file: a kill between the two must not look like a loss
                    _write_marker(marker, owner, disk)
                return store
            except BaseException:
                connection.close()
                raise

    @classmethod
    def _create(cls, path: Path, owner: bytes, sign_from: int, disk: Disk) -> None:
        # Under another name until it is complete: a node killed meanwhile has signed nothing and starts from scratch.
        with _explained(path):
            half = disk.cleared_half(path)
            connection = _connect(disk, half, "rwc")
            try:
                meta = _meta(owner, sign_from)
                connection.executescript("BEGIN;" + _SCHEMA)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
                store = cls(path, connection, owner, sign_from)
                nothing = store._sum(None)
                connection.execute("INSERT INTO sign_state VALUES (1, NULL, ?, NULL, ?)", (nothing, nothing))
                connection.execute("COMMIT")
                connection.execute("PRAGMA journal_mode=DELETE")
            finally:
                connection.close()
            disk.complete(half, path)

    @classmethod
    def _read(cls, path: Path, connection: sqlite3.Connection, owner: bytes, min_safe_height: int) -> Self:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        rows = connection.execute("SELECT record, record_sum, last, last_sum FROM sign_state").fetchall()
        if meta.get("schema") != _SCHEMA_VERSION or len(rows) != 1:
            raise SignStateError(path, "is damaged: it has no sign-state of this format", _lost_remedy(path))
        if meta.get("owner") != owner:
            raise SignStateError(
                path, "belongs to another key or chain", "Name the folder that belongs to this key and chain."
            )
        sign_from = meta.get("sign_from")
        if (
            not isinstance(sign_from, bytes)
            or not sign_from.isdigit()
            or meta != _meta(owner, int(sign_from))
        ):
            raise SignStateError(path, "is damaged: sign_from cannot be read", _lost_remedy(path))
        store = cls(path, connection, owner, max(int(sign_from), min_safe_height))
        record, record_sum, last, last_sum = rows[0]
        store.record = store._open_row(SignState, record, record_sum)
        store.last = store._open_row(LastSigned, last, last_sum)
        if store.record is not None and store.record.version != RECORD_VERSION:
            raise SignStateError(
                path, f"has version {store.record.version}", "Run the program that wrote it."
            )
        return store

    def write(self, record: SignState, last: LastSigned | None) -> None:
        """Make the record and the guard's memory durable, both or neither.

        Raises:
            SignStateError: It could not be written; nothing that it covers may be sent.
        """
        rows = [encode(record), encode(last) if last else None]
        sums = [self._sum(row) for row in rows]
        with _explained(self.path):
            self._connection.execute(
                "UPDATE sign_state SET record = ?, record_sum = ?, last = ?, last_sum = ?",
                (rows[0], sums[0], rows[1], sums[1]),
            )
        self.record, self.last = record, last

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with _explained(self.path):
            self._connection.close()

    def _sum(self, data: bytes | None) -> bytes:
        # "Nothing yet" has a sum as well: SQLite reads a page that was cut off as a row of NULLs.
        return sha256(_SUM_DOMAIN + self._owner + (data or b"")).digest()

    def _open_row(self, kind: type[_R], data: object, checksum: object) -> _R | None:
        if not isinstance(data, bytes | None) or self._sum(data) != checksum:
            raise SignStateError(
                self.path,
                f"is damaged: the checksum of its {kind.__name__} does not hold",
                _lost_remedy(self.path),
            )
        if data is None:
            return None
        try:
            return decode(kind, data, max_bytes=MAX_RECORD_BYTES)
        except RemoteError as error:
            raise SignStateError(self.path, f"is damaged: {error.detail}", _lost_remedy(self.path)) from None


def _meta(owner: bytes, sign_from: int) -> dict[str, bytes]:
    text = str(sign_from).encode()
    checksum = sha256(_SUM_DOMAIN + owner + text).digest()
    return {"schema": _SCHEMA_VERSION, "owner": owner, "sign_from": text, "sum": checksum}


def _refuse_if_lost(path: Path, chain_height: int, min_safe_height: int) -> None:
    if min_safe_height > 0:
        return
    if path.with_name(MARKER_NAME).exists():
        raise SignStateError(
            path, f"is missing, but {MARKER_NAME} says that this key has signed", _lost_remedy(path)
        )
    if chain_height > 0:
        raise SignStateError(
            path, f"is missing, but the chain beside it has {chain_height} blocks", _lost_remedy(path)
        )


def _write_marker(path: Path, owner: bytes, disk: Disk) -> None:
    try:
        disk.write_whole(path, owner.hex().encode() + b"\n")
    except OSError as error:
        raise SignStateError(
            path, f"cannot be written ({error.strerror})", "Give this user write access to the folder."
        ) from error


def _connect(disk: Disk, path: Path, mode: str) -> sqlite3.Connection:
    return disk.connect(path, mode, *DURABLE, "wal_autocheckpoint=1")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say which file it was: a full disk and missing rights apart from damage."""
    try:
        yield
    except UNREADABLE as error:
        if is_damage(error):
            raise SignStateError(path, f"is damaged: {error}", _lost_remedy(path)) from None
        raise SignStateError(
            path, f"cannot be used: {error}", "Make room on the disk or give write access, and start again."
        ) from None
