"""The memory that the longest tape of a dishonest collector takes at its reader."""

from __future__ import annotations

import tracemalloc

import trio

from p2p.roles.exchange.tape import COLUMNS, PAGE_ROWS, TapePage, TapeReader
from p2p.wire.codec import encode
from p2p.wire.limits import Limits
from p2p.wire.messages import VERSION

CHAIN, PAGES, ROUND = b"c" * 32, 16, 63
MOST_BYTES = 2 * 8 * len(COLUMNS) + 32
"""Of memory for a row: each column once as read and once joined, and some room."""


def test_a_long_tape_takes_no_more_memory_than_its_columns() -> None:
    rows = PAGES * PAGE_ROWS
    columns = [tuple(range(low, low + PAGE_ROWS)) for low in (0, 0, 10**5, 10**8, 1, 10**8, 0)]
    columns[0], columns[1], columns[6] = (ROUND,) * PAGE_ROWS, (1,) * PAGE_ROWS, (1,) * PAGE_ROWS
    page = encode(TapePage(VERSION, CHAIN, 0, ROUND, rows, *columns))

    async def forged(_question: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return page

    tracemalloc.start()
    try:
        tape = trio.run(TapeReader(CHAIN, Limits(rounds=64), 1_000).fetch, 0, ROUND, forged)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert tape is not None
    assert len(tape.side) == rows
    assert peak_bytes < rows * MOST_BYTES
