"""The disk of a simulated node: real files, with crashes, a full disk and losses of power at any write.

It runs the steps of the real disk, and counts and may refuse each before it is done. What it keeps besides is how to
undo what is not durable yet. Folders on a memory file system are advised: syncing costs nothing there.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Final

from p2p.disk import Disk

BeforeWrite = Callable[[int, str], None]
"""Called with the number of a write, from 1, and what it is, as "rename chain.db" or "COMMIT journal.db"; may raise."""

_READING: Final = frozenset({"SELECT", "PRAGMA", "ROLLBACK", "EXPLAIN"})
"""First words of statements that change no content; all others are writes."""
_TAKES_ROOM: Final = frozenset({"write", "append", "folder"})


class Crashed(BaseException):
    """The node is dead, and its disk takes nothing from it; not an `Exception`, so that no role handles it."""


def _unhindered(_number: int, _what: str) -> None:
    """Let every write through."""


class SimulatedDisk(Disk):
    """The disk of one node, over all its lives.

    A dead node can still read, roll back and close: what ends its tasks changes no content.

    Args:
        folder: The node's; a write anywhere else is an error of the simulation.
        before_write: See `BeforeWrite`; `Crashed` kills the node, an `OSError` is a fault of this one write.

    Attributes:
        alive: Whether the node runs.
        full: Whether there is no room left.
        writes: Writes so far, in all lives; also those that were refused.
    """

    def __init__(self, folder: Path, before_write: BeforeWrite = _unhindered) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.before_write = before_write
        self.alive, self.full, self.writes = True, False, 0
        self._open_databases: list[_Watched] = []
        self._undo: dict[Path, list[Callable[[], None]]] = {}
        """By folder, how to take back each change of its names since they were last durable, oldest first."""
        self._durable_bytes: dict[Path, int] = {}
        """By file, how much of what was appended a loss of power leaves. [B]"""
        self._names: dict[Path, str] = {}

    def kill(self) -> None:
        """End the node at once; what it wrote stays."""
        self.alive = False

    def restart(self) -> None:
        """Let a dead node write again, once its tasks have ended; the files it had open are closed, as by a system."""
        self._close_databases()
        self.alive = True

    def lose_power(self, random: Random) -> None:
        """Kill the node, and take back part of what is not durable.

        Of the changed names of a folder the first few stay, as of a file system with a log; of appended lines any
        number of bytes.
        """
        self.kill()
        self._close_databases()
        for undo in self._undo.values():
            kept = random.randint(0, len(undo))
            for take_back in reversed(undo[kept:]):
                take_back()
        for path, durable in self._durable_bytes.items():
            if path.exists():
                os.truncate(path, random.randint(durable, path.stat().st_size))
        self._undo.clear()
        self._durable_bytes.clear()

    def bytes_held(self) -> int:
        """Size of all files of the node. [B]"""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def append_line(self, path: Path, line: bytes) -> None:
        """See `Disk`; how much of it a loss of power leaves is drawn."""
        self._step("append", path)
        if not path.exists():
            self._on_power_loss(path, lambda: path.unlink(missing_ok=True))
        self._durable_bytes.setdefault(path, path.stat().st_size if path.exists() else 0)
        super().append_line(path, line)

    def remove(self, path: Path) -> None:
        """See `Disk`; a loss of power may bring it back."""
        if not path.exists():
            return
        self._step("remove", path)
        content = path.read_bytes()
        super().remove(path)
        self._on_power_loss(path, lambda: _put_back(path, content))

    def _write(self, path: Path, data: bytes) -> None:
        self._step("write", path)
        if not path.exists():
            self._on_power_loss(path, lambda: path.unlink(missing_ok=True))
        super()._write(path, data[: len(data) // 2])
        self._step("write", path)  # a crash in the middle leaves half of it
        super()._write(path, data)

    def _rename(self, old: Path, new: Path) -> None:
        self._step("rename", new)
        replaced = new.read_bytes() if new.exists() else None
        super()._rename(old, new)

        def take_back() -> None:
            new.replace(old)
            if replaced is not None:
                _put_back(new, replaced)

        self._on_power_loss(new, take_back)

    def _sync(self, folder: Path) -> None:
        self._step("sync", folder)
        super()._sync(folder)
        self._undo.pop(folder, None)

    def _make(self, path: Path, mode: int) -> None:
        if path.exists():
            super()._make(path, mode)
            return
        self._step("folder", path)
        super()._make(path, mode)
        self._on_power_loss(path, lambda: shutil.rmtree(path))

    def _open(
        self, path: Path, mode: str, any_thread: bool, kind: type[sqlite3.Connection]
    ) -> sqlite3.Connection:
        if mode == "rwc" and not path.exists():
            self._step("create", path)
            connection = super()._open(path, mode, any_thread, _Watched)
            self._on_power_loss(path, lambda: path.unlink(missing_ok=True))
        else:
            self._refuse_the_dead(path)
            connection = super()._open(path, mode, any_thread, _Watched)
        assert isinstance(connection, _Watched)
        connection.watch(self, path)
        self._open_databases.append(connection)
        return connection

    def _statement(self, connection: _Watched, word: str) -> None:
        """Before a statement that writes."""
        self._step(word, connection.path)
        if self.full:
            if connection.in_transaction:  # as SQLite does, where it can
                connection.execute("ROLLBACK")
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
            raise error

    def _closed(self, connection: _Watched) -> None:
        if connection in self._open_databases:
            self._open_databases.remove(connection)

    def _close_databases(self) -> None:
        for connection in list(self._open_databases):
            connection.close()

    def _step(self, what: str, path: Path) -> None:
        self._refuse_the_dead(path)
        self.writes += 1
        try:
            self.before_write(self.writes, f"{what} {self._name(path)}")
        except Crashed:
            self.kill()
            raise
        if self.full and what in _TAKES_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def _name(self, path: Path) -> str:
        """A file's name in the folder; kept, because a few files are written again and again."""
        name = self._names.get(path)
        if name is None:
            name = self._names[path] = str(Path(os.path.abspath(path)).relative_to(self.folder))
        return name

    def _refuse_the_dead(self, path: Path) -> None:
        if not self.alive:
            raise Crashed(f"a dead node writes to {path}")

    def _on_power_loss(self, path: Path, take_back: Callable[[], None]) -> None:
        self._undo.setdefault(path.parent, []).append(take_back)


class _Watched(sqlite3.Connection):
    """A connection that asks its disk before each statement that writes."""

    disk: SimulatedDisk
    path: Path
    is_durable: bool = False
    """Whether its commits are known to be durable."""

    def watch(self, disk: SimulatedDisk, path: Path) -> None:
        self.disk, self.path = disk, path

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self._ask(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        def asking() -> Iterator[Any]:
            for row in parameters:
                self._ask(sql)
                yield row

        return super().executemany(sql, asking())

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """One statement after another; none may hold a semicolon."""
        cursor = self.cursor()
        for statement in sql_script.split(";"):
            cursor = self.execute(statement)
        return cursor

    def close(self) -> None:
        self.disk._closed(self)
        super().close()

    def _ask(self, sql: str) -> None:
        word = _first_word(sql)
        if word == "PRAGMA":
            self.is_durable = False  # until it is asked again
        if word in _READING:
            return
        if not self.is_durable:
            self._check_durability()
        self.disk._statement(self, word)

    def _check_durability(self) -> None:
        (level,) = super().execute("PRAGMA synchronous").fetchone()
        if level < _FULL:
            raise RuntimeError(
                f"{self.path} is written with synchronous={level}, less than FULL: a loss of power could take"
                " back its commits, which this disk cannot do; open it with `databases.DURABLE`"
            )
        self.is_durable = True


_FULL: Final = 2
"""Of PRAGMA synchronous."""


@lru_cache(maxsize=256)
def _first_word(sql: str) -> str:
    return sql.split(maxsplit=1)[0].strip(";").upper() if sql.strip() else "SELECT"


def _put_back(path: Path, content: bytes) -> None:
    path.write_bytes(content)
