"""A collector's intake: the messages of an interval, accepted or refused independently of the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from market.units import INT64_SAFE
from p2p.batches.blob import MAX_BLOB_BYTES
from p2p.batches.receipts import slot_of
from p2p.roles.exchange.tape import MAX_ROWS
from p2p.roles.exchange.wire import Forgotten
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    PROMISES,
    HandedIn,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    SealedMessage,
    ordered_wh,
)

HISTORY_INTERVALS: Final = 192
"""Intervals whose results and lines, and gates whose receipts are kept for those who ask again: with the most rounds
those of the last three intervals."""
REPLACEMENTS_MAX: Final = 1
"""How often a home may replace its message of one interval."""

READING_BYTES: Final = 192
"""Room of a home's reading in a blob. [B]"""
CLOSINGS_BYTES: Final = MAX_BLOB_BYTES // 4
"""Room of the closings in a blob. [B]"""
SPARED_BYTES: Final = 64
"""What a line of a blob leaves out of a signed message at least: the chain and the key. [B]"""

M = TypeVar("M", OrderMessage, SealedMessage, ReadingMessage)
T = TypeVar("T")

Gate = tuple[int, int]
"""Start of an interval and slot: round of its market, or behind all rounds the readings. [s since 1970, UTC]"""


@dataclass(frozen=True, slots=True)
class Collected(Generic[M]):
    """What a closed gate holds.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        messages: The message of each home that sent one, in roster order, verified.
        signed: The signed bytes of all messages, "nothing" included, in roster order.
        nothing: Homes that order nothing.
        absent: Members that sent nothing.
        refused: What was refused while the gate was open, by peer and code.
    """

    interval_start: int
    messages: tuple[M, ...]
    signed: tuple[bytes, ...]
    nothing: tuple[str, ...]
    absent: tuple[str, ...]
    refused: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Share:
    """What the order or "nothing" of a home takes up in a round, or may at most.

    Args:
        energy_wh: Ordered, in all intervals together. [Wh]
        orders: Number of them: rows of the tape.
        data_bytes: In the blob. [B]
    """

    energy_wh: int = 0
    orders: int = 0
    data_bytes: int = 0

    def holds(self, taken: Share) -> bool:
        """Whether no more is taken than this."""
        return (
            taken.energy_wh <= self.energy_wh
            and taken.orders <= self.orders
            and taken.data_bytes <= self.data_bytes
        )


def share_of(limits: Limits, homes: int) -> Share:
    """The most that one home may take up in a round, so that an interval in which every home takes it in every round
    can still be settled.

    The book of all rounds has to fit into 64-bit money, of which half is left to the settlement, the signed messages
    into a blob, and the orders into a tape. Else homes that order much in many rounds could stop a market for good.
    Each round has its own part: no collector or validator sees all messages of a home, so none could count them
    together. Where they order for a horizon, whoever serves all of them is in the book too, with as much each way.
    """
    homes, parts = max(homes, 1) * limits.rounds, 4 if limits.reach_ahead else 2
    return Share(
        INT64_SAFE // (parts * limits.max_price_micro_per_kwh * homes),
        MAX_ROWS // homes if limits.rounds > 1 else MAX_ROWS,
        (MAX_BLOB_BYTES - CLOSINGS_BYTES) // homes - READING_BYTES,
    )


def taken_by(message: HandedIn, signed: bytes) -> Share:
    """What a message takes up."""
    if isinstance(message, OrderMessage):
        return Share(ordered_wh(message.orders), len(message.orders), len(signed) - SPARED_BYTES)
    return Share(data_bytes=len(signed) - SPARED_BYTES)


@dataclass(slots=True)
class Entry:
    """The newest message of a home."""

    message: HandedIn
    signed: bytes
    replacements: int
    taken: Share


@dataclass(slots=True)
class Pending:
    """The messages of one gate.

    Args:
        closed: Whether it takes no more.
    """

    gate: Gate
    closed: bool = False
    entries: dict[str, Entry] = field(default_factory=dict)
    receipts: dict[bytes, bytes] = field(default_factory=dict)
    news: trio.Event = field(default_factory=trio.Event)

    def classify(self, message: HandedIn) -> ReceiptCode:
        """The receipt code of a message that was not seen before."""
        if self.closed:
            return ReceiptCode.LATE
        entry = self.entries.get(message.household)
        if entry is None:
            return ReceiptCode.ACCEPTED
        if message.nonce == entry.message.nonce:
            return ReceiptCode.DUPLICATE
        if message.nonce < entry.message.nonce:
            return ReceiptCode.STALE_NONCE
        return ReceiptCode.REPLACED if entry.replacements < REPLACEMENTS_MAX else ReceiptCode.REFUSED

    def pin(self, message: HandedIn, signed: bytes, name: bytes, receipt: bytes) -> None:
        """Keep an accepted message in place of the one before."""
        self._keep(message, signed)
        self.receipts[name] = receipt

    def take_over(self, message: HandedIn, signed: bytes) -> None:
        """Keep a message that validators have promised to include, unless a later one is here."""
        before = self.entries.get(message.household)
        if before is None or before.message.nonce < message.nonce:
            self._keep(message, signed)

    async def wait_for(self, households: Iterable[str]) -> None:
        """Wait until each of these homes has a message here, or the gate is closed."""
        awaited = set(households)
        while not self.closed and (awaited := {home for home in awaited if home not in self.entries}):
            await self.news.wait()

    def wake(self) -> None:
        """Let those who wait look again."""
        news, self.news = self.news, trio.Event()
        news.set()

    def _keep(self, message: HandedIn, signed: bytes) -> None:
        before = self.entries.get(message.household)
        self.entries[message.household] = Entry(
            message, signed, before.replacements + 1 if before else 0, taken_by(message, signed)
        )
        self.wake()


@dataclass(slots=True)
class Intake:
    """The gates of a collector.

    Args:
        share: What the orders of each home may take up in a round.
        rounds: Of the market.
    """

    share: Share
    rounds: int
    pending: dict[Gate, Pending] = field(default_factory=dict)

    def gate_of(self, message: HandedIn) -> Gate:
        """The gate that a message is for."""
        return message.interval_start, slot_of(message, self.rounds)

    def add(self, pending: Pending) -> None:
        """Add a gate, dropping the oldest ones."""
        keep(self.pending, pending.gate, pending)

    def classify(self, pending: Pending, message: HandedIn, signed: bytes) -> ReceiptCode:
        """The receipt code of a message that was not seen before."""
        code = pending.classify(message)
        if code not in PROMISES:
            return code
        return code if self.has_room(message, signed) else ReceiptCode.REFUSED

    def has_room(self, message: HandedIn, signed: bytes) -> bool:
        """Whether a message takes up no more than the share of its home; readings have room of their own."""
        return isinstance(message, ReadingMessage) or self.share.holds(taken_by(message, signed))


def keep(history: dict[Gate, T], gate: Gate, value: T, most: int = HISTORY_INTERVALS) -> None:
    """Add to a history, dropping the oldest beyond a number of gates."""
    history[gate] = value
    while len(history) > most:
        del history[min(history)]


History = Mapping[Gate, Mapping[str, bytes]]
"""Something for each home, by interval and slot; what has no slots has the slot 0."""


def own(history: History, household: str, gate: Gate) -> bytes:
    """Return what a history has for a home; as `look_up`."""
    return look_up(history, gate, lambda found: found.get(household))


def look_up(history: Mapping[Gate, T], gate: Gate, part: Callable[[T], bytes | None]) -> bytes:
    """Return an answer of a history, b"" where it may still come."""
    if gate not in history:
        if history and gate < max(history):
            raise Forgotten(f"{_words(gate)} was skipped or is older than {HISTORY_INTERVALS} intervals")
        return b""
    found = part(history[gate])
    if found is None:
        raise Forgotten(f"{_words(gate)} has nothing for this home, or no longer")
    return found


def _words(gate: Gate) -> str:
    start_s, slot = gate
    return f"interval {start_s}, slot {slot}" if slot else f"interval {start_s}"
