"""Ctrl-C as a wish: what is at hand is finished first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Remembers Ctrl-C, so that the interval at hand is finished first."""

    def __init__(self) -> None:
        self.asked = False

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:  # a second Ctrl-C means now
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
