"""The tape of a round on the wire: all orders of an interval so far, without names, in pages that fit into a frame.

A collector may be dishonest, so the reader checks every page against the question and the ranges of the chain, and
accepts no more rows than the market can have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from market.rounds import Tape
from market.units import IntArray
from p2p.errors import OutOfRange, WrongChain, WrongVersion
from p2p.roles.exchange.wire import check_round
from p2p.wire.codec import Record, decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.limits import Limits
from p2p.wire.messages import VERSION

TAPE_PROTOCOL: Final = "/wattswap/tape/1"
"""A TapeQuery -> a TapePage; empty while the gate of the round is open."""
PAGE_ROWS: Final = 4_096
"""Rows of a page; one has at most 47 bytes."""
MAX_ROWS: Final = 2**20
"""Most rows of a tape that is read: about as many orders as a blob can hold."""


class TapeQuery(Record, frozen=True):
    """A question for a page of the tape.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        round: The last one that the tape covers, from 0.
        page: From 0.
    """

    version: int
    chain_id: bytes
    interval_start: int
    round: int
    page: int


class TapePage(Record, frozen=True):
    """Consecutive rows of a tape, column by column; what they mean is in `market.rounds.Tape`.

    Args:
        rows: Of the whole tape.
        took: 1 or 0.
    """

    version: int
    chain_id: bytes
    interval_start: int
    round: int
    rows: int
    round_of: tuple[int, ...]
    side: tuple[int, ...]
    energy_wh: tuple[int, ...]
    limit_micro_per_kwh: tuple[int, ...]
    accepted_wh: tuple[int, ...]
    price_micro_per_kwh: tuple[int, ...]
    took: tuple[int, ...]


COLUMNS: Final = tuple(column.name for column in fields(Tape))


@dataclass(frozen=True, slots=True)
class TapeReader:
    """Reads the tapes of one chain.

    Args:
        limits: Ranges of the chain.
        homes: Number of members, each of which has one message a round.
    """

    chain_id: bytes
    limits: Limits
    homes: int

    async def fetch(
        self, interval_start: int, number: int, request: Callable[[bytes], Awaitable[bytes]]
    ) -> Tape | None:
        """Ask for all pages of a tape; None while it is not available.

        Args:
            request: Sends a question to a collector and returns the reply.

        Raises:
            RemoteError: A page is not of that round, contradicts the first page, or has values outside the ranges of
                this chain.
        """
        pages: list[dict[str, IntArray]] = []
        rows = 0
        while not pages or len(pages) * PAGE_ROWS < rows:
            query = TapeQuery(VERSION, self.chain_id, interval_start, number, len(pages))
            reply = await request(encode(query))
            if not reply:
                return None
            page = self.read(reply, interval_start, number, len(pages))
            rows = rows if pages else page.rows
            if page.rows != rows:
                raise OutOfRange(f"a tape of {page.rows} rows, on its first page of {rows}")
            # As arrays: Python's integers would take several times the memory, and a dishonest collector could send
            # the longest tape that is read.
            pages.append({name: np.array(getattr(page, name), dtype=np.int64) for name in COLUMNS})
        tape = _joined(pages)
        if (np.diff(tape.round_of) < 0).any():
            raise OutOfRange("a tape whose orders are not in the order of their rounds")
        return tape

    def read(self, data: bytes, interval_start: int, number: int, page: int) -> TapePage:
        """Read one page.

        Raises:
            RemoteError: As `fetch`.
        """
        found = decode(TapePage, data, max_bytes=FRAME_MAX_BYTES)
        _check_head(found.version, found.chain_id, self.chain_id)
        if (found.interval_start, found.round) != (interval_start, number):
            raise OutOfRange(
                f"the tape of {found.interval_start}, round {found.round};"
                f" asked for {interval_start}, round {number}"
            )
        most = min(MAX_ROWS, self.homes * self.limits.max_orders * (number + 1))
        if not 0 <= found.rows <= most:
            raise OutOfRange(f"a tape of {found.rows} rows; it must have 0..{most}")
        due = min(max(found.rows - page * PAGE_ROWS, 0), PAGE_ROWS)
        lengths = {name: len(getattr(found, name)) for name in COLUMNS}
        wrong = next((name for name, length in lengths.items() if length != due), None)
        if wrong is not None:
            raise OutOfRange(f"{wrong} has {lengths[wrong]} rows; page {page} of this tape has {due}")
        self._check_rows(found)
        return found

    def _check_rows(self, page: TapePage) -> None:
        price = self.limits.max_price_micro_per_kwh
        bounds = {
            "round_of": (0, page.round),
            "side": (-1, 1),
            "energy_wh": (1, self.limits.max_energy_wh),
            "limit_micro_per_kwh": (-price, price),
            "accepted_wh": (0, self.limits.max_energy_wh),
            "price_micro_per_kwh": (-price, price),
            "took": (0, 1),
        }
        for name, (low, high) in bounds.items():
            column = getattr(page, name)
            if column and not low <= min(column) <= max(column) <= high:
                raise OutOfRange(
                    f"{name} runs from {min(column)} to {max(column)}; it must lie in {low}..{high}"
                )
        if 0 in page.side:
            raise OutOfRange("side is 0; it must be +1 (buy) or -1 (sell)")
        if any(got > asked for got, asked in zip(page.accepted_wh, page.energy_wh, strict=True)):
            raise OutOfRange("more is accepted than was ordered")


def _joined(pages: Sequence[Mapping[str, IntArray]]) -> Tape:
    def whole(name: str) -> IntArray:
        return np.concatenate([page[name] for page in pages])

    return Tape(
        whole("round_of"),
        whole("side").astype(np.int8),
        whole("energy_wh"),
        whole("limit_micro_per_kwh"),
        whole("accepted_wh"),
        whole("price_micro_per_kwh"),
        whole("took").astype(np.bool_),
    )


def make_pages(chain_id: bytes, interval_start: int, number: int, tape: Tape) -> tuple[bytes, ...]:
    """The pages of a tape, at least one."""
    rows = len(tape.side)
    columns = [getattr(tape, name) for name in COLUMNS]
    return tuple(
        encode(
            TapePage(
                VERSION,
                chain_id,
                interval_start,
                number,
                rows,
                *(tuple(column[at : at + PAGE_ROWS].astype(np.int64).tolist()) for column in columns),
            )
        )
        for at in range(0, max(rows, 1), PAGE_ROWS)
    )


def read_tape_query(data: bytes, chain_id: bytes, rounds: int) -> TapeQuery:
    """Read a question for a page.

    Args:
        rounds: Of the market; one of a single round has no tape.

    Raises:
        RemoteError: Not a question, one for another chain or version, or for a round that has no tape.
    """
    query = decode(TapeQuery, data, max_bytes=128)
    _check_head(query.version, query.chain_id, chain_id)
    if rounds == 1:
        raise OutOfRange("a market of one round has no tape")
    check_round(query.round, rounds)
    return query


def _check_head(version: int, found: bytes, chain_id: bytes) -> None:
    if version != VERSION:
        raise WrongVersion(f"version {version}; this program supports {VERSION}")
    if found != chain_id:
        raise WrongChain(f"chain {found.hex()[:16]}; this is chain {chain_id.hex()[:16]}")
