"""A collector's intake: the messages of an interval, accepted or refused independently of the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from market.units import INT64_SAFE
from p2p.batches.blob import MAX_BLOB_BYTES
from p2p.errors import LocalError
from p2p.roles.exchange.tape import MAX_ROWS
from p2p.roles.exchange.wire import Forgotten
from p2p.wire.messages import (
    PROMISES,
    HandedIn,
    Kind,
    Limits,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ordered_wh,
)

HISTORY_INTERVALS: Final = 192
"""Intervals whose results and lines, and gates whose receipts are kept for those who ask again: with the most rounds
those of the last three intervals."""
REPLACEMENTS_MAX: Final = 1
"""How often a home may replace its message of one interval."""

READING_BYTES: Final = 192
"""Room of a home's reading in a blob. [B]"""
SPARED_BYTES: Final = 64
"""What a line of a blob leaves out of a signed message at least: the chain and the key. [B]"""

M = TypeVar("M", OrderMessage, ReadingMessage)
T = TypeVar("T")

Gate = tuple[int, int]
"""Start of an interval and round of its market, from 0; readings have the round 0. [s since 1970, UTC]"""


class CollectionOrder(LocalError, ValueError):
    """A gate that cannot be opened now: they come one at a time, each later than the last."""


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
    """What the orders and "nothing" of a home take up in an interval, or may at most, all rounds together.

    Args:
        energy_wh: Ordered, in all intervals together. [Wh]
        orders: Number of them: rows of the tape.
        data_bytes: In the blob. [B]
    """

    energy_wh: int = 0
    orders: int = 0
    data_bytes: int = 0

    def __add__(self, other: Share) -> Share:
        return Share(
            self.energy_wh + other.energy_wh,
            self.orders + other.orders,
            self.data_bytes + other.data_bytes,
        )

    def holds(self, taken: Share) -> bool:
        """Whether no more is taken than this."""
        return (
            taken.energy_wh <= self.energy_wh
            and taken.orders <= self.orders
            and taken.data_bytes <= self.data_bytes
        )


def share_of(limits: Limits, homes: int) -> Share:
    """The most that one home may take up, so that an interval in which every home takes it can still be settled.

    The book of all rounds has to fit into 64-bit money, of which half is left to the settlement, the signed messages
    into a blob, and the orders into a tape. Else homes that order much in many rounds could stop a market for good.
    Where they order for a horizon, whoever serves all of them is in the book too, with as much each way.
    """
    homes, parts = max(homes, 1), 4 if limits.reach_ahead else 2
    return Share(
        INT64_SAFE // (parts * limits.max_price_micro_per_kwh * homes),
        MAX_ROWS // homes if limits.rounds > 1 else MAX_ROWS,
        MAX_BLOB_BYTES // homes - READING_BYTES,
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
        awaited: Homes without a message for which the gate is kept open.
    """

    gate: Gate
    awaited: set[str]
    entries: dict[str, Entry] = field(default_factory=dict)
    receipts: dict[bytes, bytes] = field(default_factory=dict)
    complete: trio.Event = field(default_factory=trio.Event)
    closed: bool = False

    def __post_init__(self) -> None:
        self._wait_for_less()

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
        before = self.entries.get(message.household)
        self.entries[message.household] = Entry(
            message, signed, before.replacements + 1 if before else 0, taken_by(message, signed)
        )
        self.receipts[name] = receipt
        self.awaited.discard(message.household)
        self._wait_for_less()

    def _wait_for_less(self) -> None:
        if not self.awaited:
            self.complete.set()


@dataclass(slots=True)
class Intake:
    """The intake of one sort of message: the open gate and the closed ones before it.

    Args:
        desk: Under which the journal keeps its promises.
        share: Of each home in an interval; None where one message is all that a home may send.
    """

    desk: int
    kinds: Sequence[Kind]
    share: Share | None = None
    pending: dict[Gate, Pending] = field(default_factory=dict)
    newest: Gate = (-1, 0)

    def open(self, gate: Gate, awaited: Iterable[str]) -> Pending:
        """Open a gate.

        Args:
            awaited: Homes for which it is kept open; it closes once all of them have sent something.

        Raises:
            CollectionOrder: Another one is open, or this one is not later than the last.
        """
        if self.newest in self.pending and not self.pending[self.newest].closed:
            raise CollectionOrder(f"the gate of {_words(self.newest)} is still open; collect one at a time")
        if gate <= self.newest:
            raise CollectionOrder(f"{_words(gate)} after {_words(self.newest)}; the gate never goes back")
        self.newest = gate
        pending = Pending(gate, set(awaited))
        keep(self.pending, gate, pending)
        return pending

    def end(self, gate: Gate) -> None:
        """Note that neither this gate nor one before it is opened any more: what is sent for it is late, not early."""
        self.newest = max(self.newest, gate)

    def classify(self, message: HandedIn, signed: bytes) -> ReceiptCode:
        """The receipt code of a message that was not seen before."""
        gate = gate_of(message)
        pending = self.pending.get(gate)
        if pending is None:
            return ReceiptCode.EARLY if gate > self.newest else ReceiptCode.LATE
        code = pending.classify(message)
        if code not in PROMISES or self.share is None:
            return code
        others = sum((entry.taken for entry in self._other_rounds(message.household, gate)), Share())
        return code if self.share.holds(others + taken_by(message, signed)) else ReceiptCode.REFUSED

    def _other_rounds(self, household: str, gate: Gate) -> Iterator[Entry]:
        """The messages of a home in the other rounds of an interval."""
        for other, pending in self.pending.items():
            if other[0] == gate[0] and other != gate and household in pending.entries:
                yield pending.entries[household]


def gate_of(message: HandedIn) -> Gate:
    """The gate that a message is for."""
    return message.interval_start, 0 if isinstance(message, ReadingMessage) else message.round


def keep(history: dict[Gate, T], gate: Gate, value: T, most: int = HISTORY_INTERVALS) -> None:
    """Add to a history, dropping the oldest beyond a number of gates."""
    history[gate] = value
    while len(history) > most:
        del history[min(history)]


History = Mapping[Gate, Mapping[str, bytes]]
"""Something for each home, by interval and round; what has no rounds has the round 0."""


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
    start_s, number = gate
    return f"interval {start_s}, round {number}" if number else f"interval {start_s}"
