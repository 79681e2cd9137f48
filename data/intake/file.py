"""A meter file or folder as formats see it: its name and its head to recognise it, its members to read."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from data.errors import MissingFile, SpecialFile

HEAD_BYTES = 65_536


def require(path: Path) -> None:
    """Refuse what cannot be read to an end.

    Raises:
        MissingFile: Nothing is there.
        SpecialFile: A pipe, a device or a socket.
    """
    if not path.exists():
        raise MissingFile(path)
    if not path.is_file() and not path.is_dir():
        raise SpecialFile(path)


class MeterFile:
    """What the user names: a file, or a folder whose files belong together.

    Args:
        path: The file or folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: list[Path] = []

    @property
    def name(self) -> str:
        """Name of the file or folder."""
        return self.path.name

    @cached_property
    def head(self) -> bytes:
        """The first bytes of the file, read once for all formats; empty for a folder."""
        if not self.path.is_file():
            return b""
        with self.path.open("rb") as file:
            return file.read(HEAD_BYTES)

    @cached_property
    def parquet_schema(self) -> Any | None:
        """The Arrow schema of a Parquet file, read from its footer; None for any other or a damaged one."""
        if not self.head.startswith(b"PAR1"):
            return None
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return parquet.read_schema(self.path)
        except (pa.ArrowInvalid, OSError):
            return None

    def beside(self, member: str) -> Path:
        """Path of a file in the folder, or beside the file."""
        return (self.path if self.path.is_dir() else self.path.parent) / member

    def open(self, member: str) -> BinaryIO:
        """Open a file of the folder, or beside the file; it becomes part of the hash."""
        path = self.beside(member)
        self._opened.append(path)
        return path.open("rb")

    def sha256(self) -> str:
        """Hash of the file; where members were opened, of the lines `sha256 name` of these, sorted by name."""
        if not self._opened:
            return sha256_of(self.path)
        lines = [
            f"{sha256_of(path)} {path.name}\n" for path in sorted(self._opened, key=lambda path: path.name)
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """The hash of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
