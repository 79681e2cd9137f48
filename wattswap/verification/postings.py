"""The postings of a run against its chain: every root recomputed from the table, interval by interval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from market.errors import AmountTooLarge, UnbalancedPostings
from market.settlement.accounts import COLUMNS, Postings, check_balanced
from p2p.batches.batch import postings_root
from wattswap.errors import VerificationFailed
from wattswap.runs.chain_reader import genesis_of, newest_settled, open_chain, stamp
from wattswap.runs.layout import table_file
from wattswap.runs.stored import CURE

if TYPE_CHECKING:
    from market.units import IntArray

POSTINGS = table_file("postings")


def check_postings(folder: Path, salts: bytes) -> str:
    """Recompute every postings root from the table and compare it with the chain, interval by interval."""
    genesis = genesis_of(folder)
    path = folder / POSTINGS
    count = 0
    with open_chain(folder) as store:
        chain = newest_settled(store)
        for start_s, lines in _intervals(path, genesis.members + len(genesis.account_names)):
            found = next(chain, None)
            if found is None:
                raise VerificationFailed.of(str(path), f"has intervals after the {count} of the chain", CURE)
            (height, batch), postings = found, Postings(lines, genesis.members, len(genesis.accounts))
            committed = (batch.interval_start, batch.postings_root)
            if (start_s, postings_root(postings, start_s, salts)) != committed:
                what = f"the postings of {stamp(batch.interval_start)} are not those of block {height}"
                raise VerificationFailed.of(str(path), what, CURE)
            try:
                check_balanced(postings)
            except (AmountTooLarge, UnbalancedPostings) as error:
                raise VerificationFailed.of(f"{path}, {stamp(start_s)}", str(error), CURE) from None
            count += 1
        left = sum(1 for _ in chain)
        if left:
            raise VerificationFailed.of(str(path), f"ends after {count} of {count + left} intervals", CURE)
    return f"postings of {count} intervals as their blocks commit to them; money and energy sum to zero"


def _intervals(path: Path, accounts: int) -> Iterator[tuple[int, IntArray]]:
    """Read the postings interval by interval: its start and the lines of all accounts.

    Raises:
        VerificationFailed: The table cannot be read, or ends within an interval.
    """
    import pyarrow as pa

    rows_left = 0
    try:
        for starts, lines, rest in _chunks(path, accounts):
            yield from zip(starts, lines, strict=True)
            rows_left = rest
    except (OSError, KeyError, pa.ArrowException) as error:
        raise VerificationFailed.of(str(path), f"cannot be read: {error}", CURE) from None
    if rows_left:
        raise VerificationFailed.of(str(path), f"{rows_left} rows follow the last whole interval", CURE)


def _chunks(path: Path, accounts: int) -> Iterator[tuple[list[int], IntArray, int]]:
    """Read the postings in whole intervals, about ten thousand rows at a time, and count the rows left over."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rest_starts, rest = np.empty(0, dtype=np.int64), np.empty((0, len(COLUMNS)), dtype=np.int64)
    with pq.ParquetFile(path) as file:
        for chunk in file.iter_batches():
            # Parquet has no seconds: the stamps come back in milliseconds.
            stamps = chunk.column("interval_start").cast(pa.timestamp("s", tz="UTC"))
            lines = np.column_stack([chunk.column(name).to_numpy() for name in COLUMNS])
            starts = np.concatenate((rest_starts, stamps.cast("int64").to_numpy()))
            lines = np.concatenate((rest, lines))
            whole = len(lines) // accounts * accounts
            rest_starts, rest = starts[whole:], lines[whole:]
            intervals = np.ascontiguousarray(lines[:whole]).reshape(-1, accounts, len(COLUMNS))
            yield starts[:whole:accounts].tolist(), intervals, len(rest)
