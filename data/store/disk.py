"""Files of a store on disk: whole or absent, durable, and written by one process at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.store.errors import BusyStore
from market.files import naming, sync_folder

LOCK = "lock"
PARTIAL = ".partial"
WAIT_S = 10.0
"""How long a writer waits for another one; appending the readings of an interval takes far less. [s]"""


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let a function write a file under another name, then make it durable and give it its own.

    Raises:
        OSError: It cannot be written; nothing is left of it.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        with naming(path):
            write(partial)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
            sync_folder(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def writer_lock(folder: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Keep other writers off a store; the system frees the lock when its process ends, however it ends.

    Without `fcntl` (Windows) nothing is locked.

    Raises:
        BusyStore: Another process has held it for `wait_s`.
    """
    with (folder / LOCK).open("a+b") as file:
        _take(file.fileno(), folder, wait_s)
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        yield


def _take(descriptor: int, folder: Path, wait_s: float) -> None:
    try:
        import fcntl
    except ImportError:
        return
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                holder = (folder / LOCK).read_text(encoding="ascii", errors="replace").strip()
                raise BusyStore(folder, holder or "of an unknown number") from None
            time.sleep(0.02)
