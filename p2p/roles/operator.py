"""The operator's side of the network: collects signed messages, answers signed receipts, announces results.

What was accepted never depends on the order of arrival: per household the highest nonce counts, and a closed
collection comes out in roster order. An accepted message keeps its receipt after the gate has closed, so that
a household that lost the answer and asks again gets the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from p2p.errors import InvalidMessage, LocalError, OutOfRange, UnknownHousehold
from p2p.identity import Identity
from p2p.messages import (
    VERSION,
    Kind,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    ResultMessage,
    message_id,
    open_message,
    sign_message,
)
from p2p.roles.wire import (
    BID_PROTOCOL,
    LINE_PROTOCOL,
    READING_PROTOCOL,
    RESULT_PROTOCOL,
    Forgotten,
    read_query,
    result_topic,
)
from p2p.transport import Refusals, Transport, peer_id_of

HISTORY_INTERVALS: Final = 192
"""Intervals whose receipts, results and lines are kept for those who ask again."""
REPLACEMENTS_MAX: Final = 1
"""How often a household may replace its message of one interval."""

HandedIn = OrderMessage | NothingMessage | ReadingMessage
M = TypeVar("M", OrderMessage, ReadingMessage)
T = TypeVar("T")


class CollectionOrder(LocalError, ValueError):
    """An interval that cannot be collected now: they come one at a time, each later than the last."""


@dataclass(frozen=True, slots=True)
class Collected(Generic[M]):
    """What a closed gate holds.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        messages: The message of each household that sent one, in roster order, verified.
        signed: The signed bytes of each, as they came.
        nothing: Households that said that they stay out.
        silent: Households that said nothing at all.
        refused: What was refused while the gate was open, by peer and code.
    """

    interval_start: int
    messages: tuple[M, ...]
    signed: tuple[bytes, ...]
    nothing: tuple[str, ...]
    silent: tuple[str, ...]
    refused: Mapping[tuple[str, str], int]


@dataclass(slots=True)
class _Entry:
    message: HandedIn
    signed: bytes
    replacements: int


@dataclass(slots=True)
class _Board:
    """What the households of a roster said for one interval."""

    interval_start: int
    households: int
    entries: dict[str, _Entry] = field(default_factory=dict)
    receipts: dict[bytes, bytes] = field(default_factory=dict)
    everybody: trio.Event = field(default_factory=trio.Event)
    closed: bool = False

    def judge(self, message: HandedIn) -> ReceiptCode:
        """Say what becomes of a message that was not seen before."""
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

    def pin(self, message: HandedIn, signed: bytes) -> None:
        """Keep an accepted message in place of what the household said before."""
        before = self.entries.get(message.household)
        self.entries[message.household] = _Entry(message, signed, before.replacements + 1 if before else 0)
        if len(self.entries) == self.households:
            self.everybody.set()


@dataclass(slots=True)
class _Desk:
    """Where one sort of message is handed in: the open board and the closed ones before it."""

    kinds: Collection[Kind]
    boards: dict[int, _Board] = field(default_factory=dict)
    newest: int = -1

    def open(self, interval_start: int, households: int) -> _Board:
        if self.newest >= 0 and not self.boards[self.newest].closed:
            raise CollectionOrder(f"the gate of {self.newest} is still open; collect one interval at a time")
        if interval_start <= self.newest:
            raise CollectionOrder(f"interval {interval_start} after {self.newest}; the gate never goes back")
        self.newest = interval_start
        board = _Board(interval_start, households)
        _keep(self.boards, interval_start, board)
        return board

    def judge(self, message: HandedIn) -> ReceiptCode:
        board = self.boards.get(message.interval_start)
        if board is not None:
            return board.judge(message)
        return ReceiptCode.EARLY if message.interval_start > self.newest else ReceiptCode.LATE


class Operator:
    """Serves a roster of households; `collect`, `collect_readings` and `announce` drive an interval.

    Args:
        transport: An open endpoint; its handlers are set at once.
        identity: Key that signs receipts and results.
        chain_id: 32 bytes of the chain; messages of another are refused.
        roster: Household ids, in the order of the books.
        keys: Public key of each household of the roster.
        minutes: Length of the interval. [min]
    """

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        chain_id: bytes,
        roster: tuple[str, ...],
        keys: Mapping[str, bytes],
        minutes: int,
    ) -> None:
        missing = [household for household in roster if household not in keys]
        if missing:
            raise ValueError(
                f"no public key for {', '.join(missing)}; every household of the roster needs one"
            )
        self._transport = transport
        self._identity = identity
        self._chain_id = chain_id
        self._roster = roster
        self._keys = {household: keys[household] for household in roster}
        self._peers = {peer_id_of(key): household for household, key in self._keys.items()}
        self._minutes = minutes
        self._topic = result_topic(chain_id)
        self._orders = _Desk((Kind.ORDER, Kind.NOTHING))
        self._readings = _Desk((Kind.READING,))
        self._results: dict[int, bytes] = {}
        self._lines: dict[int, Mapping[str, bytes]] = {}
        transport.serve(BID_PROTOCOL, self._take_order)
        transport.serve(READING_PROTOCOL, self._take_reading)
        transport.serve(LINE_PROTOCOL, self._give_line)
        transport.serve(RESULT_PROTOCOL, self._give_result)

    @property
    def refused(self) -> Refusals:
        """Everything refused on this node, by peer and code: bad frames, bad messages, refusing receipts."""
        return self._transport.stats.refused

    async def wait_for_audience(self, peers: int) -> None:
        """Wait until results would reach at least so many peers directly."""
        await self._transport.wait_for_audience(self._topic, peers)

    async def collect(self, interval_start: int, deadline_s: float) -> Collected[OrderMessage]:
        """Open the gate of an interval and return its orders.

        Args:
            interval_start: A later interval than the one before. [s since 1970, UTC]
            deadline_s: How long the gate stays open; it closes earlier once every household has spoken, and
                then nothing can be replaced any more. [s]

        Raises:
            CollectionOrder: An interval that is open, or not later than the last.
        """
        return await self._collect(self._orders, OrderMessage, interval_start, deadline_s)

    async def collect_readings(self, interval_start: int, deadline_s: float) -> Collected[ReadingMessage]:
        """Collect the meter readings of an interval, as `collect` does orders."""
        return await self._collect(self._readings, ReadingMessage, interval_start, deadline_s)

    async def announce(self, result: ResultMessage) -> None:
        """Sign a result, keep it for those who ask, and gossip it.

        Raises:
            InvalidMessage: It is of another chain, or out of range.
        """
        if result.chain_id != self._chain_id:
            raise InvalidMessage("ResultMessage: chain_id is not the chain of this operator")
        signed = sign_message(self._identity, result)
        _keep(self._results, result.interval_start, signed)
        await self._transport.publish(self._topic, signed)

    def provide_lines(self, interval_start: int, lines: Mapping[str, bytes]) -> None:
        """Keep each household's settlement line of an interval; only that household may ask for it.

        Raises:
            ValueError: An empty line, which would look like one that is not ready.
        """
        empty = [household for household, line in lines.items() if not line]
        if empty:
            raise ValueError(f"empty settlement lines for {', '.join(empty)}")
        _keep(self._lines, interval_start, dict(lines))

    async def _collect(
        self, desk: _Desk, wanted: type[M], interval_start: int, deadline_s: float
    ) -> Collected[M]:
        board = desk.open(interval_start, len(self._roster))
        before = self.refused.counts.copy()
        try:
            with trio.move_on_after(deadline_s):
                await board.everybody.wait()
        finally:
            board.closed = True
        spoken = [
            (household, board.entries[household]) for household in self._roster if household in board.entries
        ]
        kept = [(entry.message, entry.signed) for _, entry in spoken if isinstance(entry.message, wanted)]
        return Collected(
            interval_start,
            messages=tuple(message for message, _ in kept),
            signed=tuple(signed for _, signed in kept),
            nothing=tuple(household for household, entry in spoken if not isinstance(entry.message, wanted)),
            silent=tuple(household for household in self._roster if household not in board.entries),
            refused=dict(Counter(self.refused.counts) - before),
        )

    async def _take_order(self, peer: str, frame: bytes) -> bytes:
        return self._take(self._orders, peer, frame)

    async def _take_reading(self, peer: str, frame: bytes) -> bytes:
        return self._take(self._readings, peer, frame)

    def _take(self, desk: _Desk, peer: str, frame: bytes) -> bytes:
        """Judge a message and return its receipt; a RemoteError goes back to the peer as its code."""
        message = open_message(frame, chain_id=self._chain_id, kinds=desk.kinds, household_keys=self._keys)
        if not isinstance(message, HandedIn):
            raise TypeError(f"a {type(message).__name__} passed the check of kinds")
        if message.minutes != self._minutes:
            raise OutOfRange(
                f"minutes is {message.minutes}; this market trades {self._minutes}-minute intervals"
            )
        name = message_id(message)
        board = desk.boards.get(message.interval_start)
        if board is not None and name in board.receipts:
            return board.receipts[name]
        code = desk.judge(message)
        receipt = self._receipt(message, name, code)
        if board is not None and code in (ReceiptCode.ACCEPTED, ReceiptCode.REPLACED):
            board.pin(message, frame)
            board.receipts[name] = receipt
        elif code != ReceiptCode.EARLY:  # that one only says: come again
            detail = f"{message.household}, interval {message.interval_start}, nonce {message.nonce}"
            self.refused.add(peer, code.name.lower(), detail)
        return receipt

    def _receipt(self, message: HandedIn, name: bytes, code: ReceiptCode) -> bytes:
        return sign_message(
            self._identity,
            ReceiptMessage(VERSION, self._chain_id, message.interval_start, message.household, name, code),
        )

    async def _give_line(self, peer: str, frame: bytes) -> bytes:
        household = self._peers.get(peer)
        if household is None:
            raise UnknownHousehold("the key of this connection belongs to no household of the roster")
        interval_start = read_query(frame, self._chain_id)
        return _look_up(self._lines, interval_start, lambda lines: lines.get(household))

    async def _give_result(self, _peer: str, frame: bytes) -> bytes:
        return _look_up(self._results, read_query(frame, self._chain_id), lambda signed: signed)


def _keep(history: dict[int, T], interval_start: int, value: T) -> None:
    """Add to a history, dropping the oldest intervals beyond HISTORY_INTERVALS."""
    history[interval_start] = value
    while len(history) > HISTORY_INTERVALS:
        del history[min(history)]


def _look_up(history: Mapping[int, T], interval_start: int, part: Callable[[T], bytes | None]) -> bytes:
    """Return an answer of a history, b"" where it may still come."""
    if interval_start not in history:
        if history and interval_start < max(history):
            raise Forgotten(
                f"interval {interval_start} was skipped or is older than {HISTORY_INTERVALS} intervals"
            )
        return b""
    found = part(history[interval_start])
    if found is None:
        raise Forgotten(f"interval {interval_start} has no line for this household")
    return found
