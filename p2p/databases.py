"""Atomic creation of the database files of a node."""

from __future__ import annotations

from pathlib import Path


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
