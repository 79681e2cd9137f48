"""Solve such that Ctrl-C, or another signal whose handler raises, ends the solve at once and harms nothing.

A handler runs as soon as any Python code runs in the main thread, and the callback by which HiGHS asks whether to stop
is such code. An exception in it passes through HiGHS, which crashes in a later solve; a solve in a thread crashes where
the process ends before it. So handlers are called during a solve as ever, and what they raise is kept until it ended.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


def run(highs: Any) -> Any:
    """Solve the linear program of a `highspy.Highs`, and say how it ended.

    Raises:
        BaseException: What the handler of a signal raised; HiGHS then has no basis. Only in the main thread, in which
            Python runs handlers.
    """
    if current_thread() is not main_thread():
        return highs.run()
    from highspy import cb

    kept, iterating = _Kept(), cb.HighsCallbackType.kCallbackSimplexInterrupt
    try:
        kept.begin()
        # Not `cbSimplexInterrupt`, whose events take twice as long, and there is one an iteration.
        highs.setCallback(answer, kept)
        highs.startCallback(iterating)
        status = highs.run()
    finally:
        highs.setCallback(None, None)
        if kept.raised:
            highs.clearSolver()
        kept.end()
    if kept.raised:
        raise kept.raised[0]
    return status


def answer(_kind: int, _message: str, _so_far: Any, into: Any, kept: _Kept) -> None:
    """Say whether to stop, at each iteration, as HiGHS keeps the answer for later solves."""
    into.user_interrupt = bool(kept.raised)


class _Kept:
    """What handlers of signals raise between `begin` and `end`."""

    def __init__(self) -> None:
        self.raised: list[BaseException] = []
        self._keeping = True
        self._handlers: dict[int, tuple[Handler, Handler]] = {}

    def begin(self) -> None:
        """Put a handler before each that may raise."""
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler, self._before(handler)
                signal.signal(number, self._handlers[number][1])

    def end(self) -> None:
        """Put the handlers back, but for those that a handler has replaced."""
        self._keeping = False  # first, as from the first one put back a signal may interrupt this loop
        for number, (handler, before) in self._handlers.items():
            if signal.getsignal(number) is before:
                signal.signal(number, handler)

    def _before(self, handler: Handler) -> Handler:
        def call(number: int, frame: FrameType | None) -> None:
            if not self._keeping:
                handler(number, frame)
                return
            try:
                handler(number, frame)
            except BaseException as error:
                self.raised.append(error)

        return call
