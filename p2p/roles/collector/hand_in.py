"""The messages of a batch, read one by one: a refused one does not affect the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import trio

from p2p.errors import RemoteError
from p2p.roles.exchange.wire import REFUSED_MARK, read_batch
from p2p.transports.counters import Refusals

YIELD_AFTER: Final = 16
"""Signatures of a batch that are checked between two checkpoints of the scheduler."""

T = TypeVar("T")


async def read_each(
    peer: str, frame: bytes, chain_id: bytes, read: Callable[[bytes], T], refused: Refusals
) -> list[tuple[bytes, T | RemoteError]]:
    """Return each message of a batch with what it was read as, or why it was refused.

    Args:
        read: Reads one, or raises a RemoteError.
        refused: Where refusals are counted.

    Raises:
        RemoteError: The batch itself is none of this chain.
    """
    found: list[tuple[bytes, T | RemoteError]] = []
    for number, data in enumerate(read_batch(frame, chain_id)):
        if number % YIELD_AFTER == 0:
            await trio.lowlevel.checkpoint()
        try:
            found.append((data, read(data)))
        except RemoteError as error:
            refused.add(peer, error.code, error.detail)
            found.append((data, error))
    return found


def coded(error: RemoteError) -> bytes:
    """The entry of a reply that is the code of a refusal."""
    return REFUSED_MARK + error.code.encode()
