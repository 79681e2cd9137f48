"""What all that read and write files share: bounds, errors with a name, and names that survive a loss of power."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a path in an error of the system that names none, as that of a full disk while a file is written."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def read_at_most(path: Path, bytes_max: int) -> bytes:
    """Read a file of at most so many bytes; of a larger one, as a device without an end, one byte more.

    Raises:
        OSError: It cannot be read.
    """
    with naming(path), path.open("rb") as file:
        return file.read(bytes_max + 1)


def sync_folder(folder: Path) -> None:
    """Make the names of a folder durable: those of new and of renamed files.

    Raises:
        OSError: The folder cannot be read.
    """
    if os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
