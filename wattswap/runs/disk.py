"""What a full disk, missing rights or a folder that has gone do to work that can go on later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from market.files import naming
from p2p.errors import StoreDamaged, StoreError, StoreMismatch
from wattswap.errors import InvalidData, words_of


class Stopped(InvalidData):
    """Work that the disk has stopped: what is done is kept, and the sentence says how it goes on."""


@contextmanager
def continuable(folder: Path, kept: Callable[[], bool], command: str) -> Iterator[None]:
    """Say how the work in a folder goes on after the disk has stopped it.

    Args:
        folder: Where the work is kept; named where the system names no file.
        kept: Whether enough is kept to go on.
        command: What continues it.

    Raises:
        Stopped: The disk has stopped it and it can go on.
        OSError: The disk has stopped it and nothing is kept.
    """
    try:
        with naming(folder):
            yield
    except BrokenPipeError:
        raise
    except (OSError, StoreError) as error:
        if isinstance(error, StoreDamaged | StoreMismatch) or not kept():
            raise
        where, what, cure = words_of(error) if isinstance(error, OSError) else ("", str(error), "")
        cure = cure or "make room there, or give access to it"
        raise Stopped.of(where, what, f"{cure}; then continue with: {command}") from None
