"""Writing of new files: durable, and never without a name in the error."""

from __future__ import annotations

import os
from pathlib import Path

from market.files import naming, sync_folder


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
            write_synced(file.fileno(), data)
        sync_folder(path.parent)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def write_synced(descriptor: int, data: bytes) -> None:
    """Write all of some bytes to an open file, durably."""
    write_all(descriptor, data)
    os.fsync(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of some bytes to an open file."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
