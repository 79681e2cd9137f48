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
"""Intervals whose receipts, results and lines are kept for those who ask again."""
REPLACEMENTS_MAX: Final = 1
"""How often a home may replace its message of one interval."""

M = TypeVar("M", OrderMessage, ReadingMessage)
T = TypeVar("T")


class CollectionOrder(LocalError, ValueError):
    """An interval that cannot be collected now: they come one at a time, each later than the last."""


@dataclass(frozen=True, slots=True)
class Collected(Generic[M]):
    """What a closed gate holds.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        messages: The message of each home that sent one, in roster order, verified.
        signed: The signed bytes of all messages, "nothing" included, in roster order.
        nothing: Homes that stay out of the interval.
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
    """The messages of one interval."""

    interval_start: int
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
    """The intake of one sort of message: the open interval and the closed ones before it.

    Args:
        number: Under which the journal keeps its promises.
    """

    number: int
    kinds: Sequence[Kind]
    pending: dict[int, Pending] = field(default_factory=dict)
    newest: int = -1

    def open(self, interval_start: int, households: int) -> Pending:
        """Open the gate of an interval.

        Args:
            interval_start: Start of the interval. [s since 1970, UTC]
            households: How many homes may send something; the gate closes once all have.

        Raises:
            CollectionOrder: Another one is open, or this one is not later than the last.
        """
        if self.newest >= 0 and not self.pending[self.newest].closed:
            raise CollectionOrder(f"the gate of {self.newest} is still open; collect one interval at a time")
        if interval_start <= self.newest:
            raise CollectionOrder(f"interval {interval_start} after {self.newest}; the gate never goes back")
        self.newest = interval_start
        pending = Pending(interval_start, households)
        if not households:
            pending.complete.set()
        keep(self.pending, interval_start, pending)
        return pending

    def classify(self, message: HandedIn) -> ReceiptCode:
        """The receipt code of a message that was not seen before."""
        pending = self.pending.get(message.interval_start)
        if pending is not None:
            return pending.classify(message)
        return ReceiptCode.EARLY if message.interval_start > self.newest else ReceiptCode.LATE


def keep(history: dict[int, T], interval_start: int, value: T) -> None:
    """Add to a history, dropping the oldest intervals beyond HISTORY_INTERVALS."""
    history[interval_start] = value
    while len(history) > HISTORY_INTERVALS:
        del history[min(history)]


History = Mapping[int, Mapping[str, bytes]]
"""Something for each home, by interval."""


def own(history: History, household: str, interval_start: int) -> bytes:
    """Return what a history has for a home; as `look_up`."""
    return look_up(history, interval_start, lambda found: found.get(household))


def look_up(history: Mapping[int, T], interval_start: int, part: Callable[[T], bytes | None]) -> bytes:
    """Return an answer of a history, b"" where it may still come."""
    if interval_start not in history:
        if history and interval_start < max(history):
            raise Forgotten(
                f"interval {interval_start} was skipped or is older than {HISTORY_INTERVALS} intervals"
            )
        return b""
    found = part(history[interval_start])
    if found is None:
        raise Forgotten(f"interval {interval_start} has nothing for this home")
    return found
