"""Handle SIGINT gracefully: finish the current interval, then stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Records SIGINT, so that the caller can stop after the current interval."""

    def __init__(self) -> None:
        self.asked = False

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:  # a second SIGINT stops at once
            raise KeyboardInterrupt
        self.asked = True

    @contextmanager
    def listening(self) -> Iterator[Interrupt]:
        """Catch SIGINT inside the block (only the main thread can)."""
        try:
            before = signal.signal(signal.SIGINT, self._ask)
        except ValueError:
            yield self
            return
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)
