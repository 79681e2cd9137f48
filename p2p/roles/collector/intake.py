"""A collector's intake: the messages of an interval, accepted or refused independently of the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from p2p.errors import LocalError
from p2p.roles.exchange.wire import Forgotten
from p2p.wire.messages import HandedIn, Kind, OrderMessage, ReadingMessage, ReceiptCode

HISTORY_INTERVALS: Final = 192
"""Intervals whose results and lines, and gates whose receipts are kept for those who ask again: with the most rounds
those of the last three intervals."""
REPLACEMENTS_MAX: Final = 1
"""How often a home may replace its message of one interval."""

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


@dataclass(slots=True)
class Entry:
    """The newest message of a home."""

    message: HandedIn
    signed: bytes
    replacements: int


@dataclass(slots=True)
class Pending:
    """The messages of one gate."""

    gate: Gate
    households: int
    entries: dict[str, Entry] = field(default_factory=dict)
    receipts: dict[bytes, bytes] = field(default_factory=dict)
    complete: trio.Event = field(default_factory=trio.Event)
    closed: bool = False

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
        self.entries[message.household] = Entry(message, signed, before.replacements + 1 if before else 0)
        self.receipts[name] = receipt
        if len(self.entries) == self.households:
            self.complete.set()


@dataclass(slots=True)
class Intake:
    """The intake of one sort of message: the open gate and the closed ones before it.

    Args:
        desk: Under which the journal keeps its promises.
    """

    desk: int
    kinds: Sequence[Kind]
    pending: dict[Gate, Pending] = field(default_factory=dict)
    newest: Gate = (-1, 0)

    def open(self, gate: Gate, households: int) -> Pending:
        """Open a gate.

        Args:
            households: How many homes may send something; the gate closes once all have.

        Raises:
            CollectionOrder: Another one is open, or this one is not later than the last.
        """
        if self.newest in self.pending and not self.pending[self.newest].closed:
            raise CollectionOrder(f"the gate of {_words(self.newest)} is still open; collect one at a time")
        if gate <= self.newest:
            raise CollectionOrder(f"{_words(gate)} after {_words(self.newest)}; the gate never goes back")
        self.newest = gate
        pending = Pending(gate, households)
        if not households:
            pending.complete.set()
        keep(self.pending, gate, pending)
        return pending

    def classify(self, message: HandedIn) -> ReceiptCode:
        """The receipt code of a message that was not seen before."""
        gate = gate_of(message)
        pending = self.pending.get(gate)
        if pending is not None:
            return pending.classify(message)
        return ReceiptCode.EARLY if gate > self.newest else ReceiptCode.LATE


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
