"""The disk of a node: every way in which a running node changes its folder.

The methods with an underscore are the single steps. A simulation overrides them, so that what is put together from
them here is what it tests.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from market.files import naming, sync_folder
from p2p.files import write_all, write_synced


class Disk:
    """Files and databases that survive a crash, and all but the last lines of a log a loss of power."""

    def write_whole(self, path: Path, data: bytes) -> None:
        """Write a file under another name, durably, and rename it.

        Raises:
            OSError: It cannot be written; nothing is left of it.
        """
        partial = path.with_name(path.name + ".partial")
        try:
            with naming(path):
                self._write(partial, data)
            self._rename(partial, path)
            self._sync(path.parent)
        except OSError:
            self.remove(partial)
            raise

    def append_line(self, path: Path, line: bytes) -> None:
        """Add a line to a file, not durably; one that a loss of power cut short before it stays a line of its own.

        Args:
            line: Without its end.

        Raises:
            OSError: It cannot be written; nothing of it is added.
        """
        with naming(path), path.open("a+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            is_cut = file.read(1) not in (b"", b"\n")
            try:
                write_all(file.fileno(), b"\n" * is_cut + line + b"\n")
            except OSError:
                file.truncate(end)
                raise

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there; not durably."""
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path, mode: int = 0o777) -> None:
        """Make a folder where it is missing, durably.

        Args:
            mode: Rights on it, less what the process masks.
        """
        self._make(path, mode)
        self._sync(path.parent)

    def cleared_half(self, path: Path) -> Path:
        """The name under which a database is made until it is complete.

        What an earlier attempt left under it is removed, and so is a write-ahead log without its database: it would be
        read into the new one.
        """
        half = path.with_name(path.name + ".new")
        self.remove(half)
        for name in (half.name, path.name):
            for end in ("-wal", "-shm"):
                self.remove(path.with_name(name + end))
        return half

    def complete(self, half: Path, path: Path) -> None:
        """Give a finished database its name, durably: a journal or a chain that lost it would be begun again, empty."""
        self._rename(half, path)
        self._sync(path.parent)

    def connect(self, path: Path, mode: str, *pragmas: str, any_thread: bool = False) -> sqlite3.Connection:
        """Open a database in autocommit, with these PRAGMA statements executed.

        Args:
            path: The file.
            mode: Of SQLite: "ro", "rw" or, to make the file, "rwc".
            pragmas: What follows the word.
            any_thread: Whether other threads than this one may use it, one at a time.
        """
        connection = self._open(path, mode, any_thread, sqlite3.Connection)
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _write(self, path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            write_synced(file.fileno(), data)

    def _rename(self, old: Path, new: Path) -> None:
        old.replace(new)

    def _sync(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        sync_folder(folder)

    def _make(self, path: Path, mode: int) -> None:
        path.mkdir(mode, parents=True, exist_ok=True)

    def _open(
        self, path: Path, mode: str, any_thread: bool, kind: type[sqlite3.Connection]
    ) -> sqlite3.Connection:
        address = f"{path.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(
            address, uri=True, isolation_level=None, check_same_thread=not any_thread, factory=kind
        )


DISK: Final = Disk()
"""The machine's own."""
