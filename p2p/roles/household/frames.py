"""Cutting of messages into batches that fit into a frame, and the pauses of those who send them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeVar

from p2p.wire.frames import FRAME_MAX_BYTES

MESSAGES_MAX: Final = 256
"""Messages of a frame, at most; fewer where they hold many orders, because a frame has 256 KiB."""
FRAME_BYTES: Final = FRAME_MAX_BYTES - 64
"""Room of a frame for its messages; the rest is for version, chain and count. [B]"""
ENTRY_BYTES: Final = 5
"""What the encoding adds to a message, at most. [B]"""
AGAIN_MIN_S: Final = 0.05
AGAIN_MAX_S: Final = 1.0
"""Pause before what came too early, or found nobody, is sent again; doubled up to the second. [s]"""
RESULT_AGAIN_S: Final = 5.0
"""How often a collector that has no answer yet is asked before others are. [s]"""


class HasData(Protocol):
    """Something with bytes to send."""

    data: bytes


T = TypeVar("T", bound=HasData)


def in_frames(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Cut items into parts of at most `most`, each of which fits into a frame."""
    part: list[T] = []
    room = FRAME_BYTES
    for item in items:
        needed = len(item.data) + ENTRY_BYTES
        if part and (needed > room or len(part) == most):
            yield part
            part, room = [], FRAME_BYTES
        part.append(item)
        room -= needed
    if part:
        yield part
