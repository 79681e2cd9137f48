"""Keep what a library writes from C out of standard output, which belongs to the answer of a command."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_STDOUT = 1
_ONE_AT_A_TIME = Lock()


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send what is written to file descriptor 1 inside, also from C, nowhere.

    The descriptor is the whole process's: what another thread writes in the meantime is lost too, so only the shortest
    stretch may be inside.
    """
    with _ONE_AT_A_TIME:
        try:
            kept = os.dup(_STDOUT)
        except OSError:  # a process without standard output
            yield
            return
        libc = ctypes.CDLL(None)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            libc.fflush(None)  # what C holds back from before goes where it was meant to go
            os.dup2(nowhere, _STDOUT)
            yield
        finally:
            libc.fflush(None)
            os.dup2(kept, _STDOUT)
            os.close(nowhere)
            os.close(kept)
