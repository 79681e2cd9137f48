"""Writing of files: whole or absent, and never without a name in the error."""

from __future__ import annotations

import os
from pathlib import Path

from market.files import naming, sync_folder


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name, durably, and rename it.

    Raises:
        OSError: It cannot be written; nothing is left of it.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with naming(path), partial.open("wb") as file:
            _write(file.fileno(), data)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_new(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Make a file that does not exist yet, durably.

    Args:
        path: Its place.
        data: Its content.
        mode: Rights on it, less what the process masks.

    Raises:
        FileExistsError: It does; nothing is overwritten.
        OSError: It cannot be written; nothing is left of it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with naming(path), os.fdopen(descriptor, "wb") as file:
            _write(file.fileno(), data)
        sync_folder(path.parent)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)
