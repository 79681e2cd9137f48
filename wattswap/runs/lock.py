"""One process at a time works on an unfinished run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wattswap.errors import RunBusy, RunNotFound
from wattswap.runs.layout import LOCK

"""File that the process working on an unfinished run holds a lock on."""


@contextmanager
def folder_lock(partial: Path) -> Iterator[None]:
    """Keep other processes off an unfinished run; the system frees the lock when its process ends, however it ends.

    Without `fcntl` (Windows) nothing is locked.

    Raises:
        RunBusy: Another process holds it.
        RunNotFound: Another process has finished the run in the meantime.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (partial / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunBusy.of(
                str(partial), "another process is working on this run", "wait until it has ended"
            ) from None
        if not (partial / LOCK).exists():
            raise RunNotFound.of(str(partial), "another process has just finished this run")
        yield
