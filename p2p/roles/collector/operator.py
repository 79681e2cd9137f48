"""A collector's side of the network: takes signed messages, answers signed receipts, closes slots.

The market operator is one, and so is every validator: homes give their messages to some of them besides the collector
whose turn it is. What was accepted never depends on the order of arrival: per home the highest nonce counts, and a
closed gate comes out in roster order. A receipt is a promise: it is in the journal before it leaves, and a collector
that was killed continues with the promises it gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import trio

from p2p.batches.batch import BatchArgs
from p2p.batches.closings import Closing, Promised, decode_closing, make_closing
from p2p.batches.receipts import slots
from p2p.blocks.block import MAX_TX_BYTES
from p2p.errors import LocalError, NotAllowed, NotAMember, OutOfRange, RemoteError, WrongSignature
from p2p.roles.collector.answers import Answers
from p2p.roles.collector.hand_in import coded, read_each
from p2p.roles.collector.home_keys import HomeKeys
from p2p.roles.collector.intake import Collected, Gate, Intake, M, Pending, share_of
from p2p.roles.exchange.journal import Journal, Promise
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    BID_PROTOCOL,
    CLOSING_PROTOCOL,
    READING_PROTOCOL,
    CloseReply,
    HandInReply,
    TooEarly,
    read_close_query,
)
from p2p.transports.base import Transport
from p2p.transports.counters import Refusals
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.identity import Identity
from p2p.wire.limits import DEFAULT_LIMITS, Limits
from p2p.wire.messages import (
    PROMISES,
    VERSION,
    HandedIn,
    Kind,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    SealedMessage,
    interval_of,
    message_id,
    open_message,
    said_kinds,
    sign_message,
)

CLOSING, BATCH = "closing", "batch"
"""What a collector signs once, as the journal names it."""
CLOSED_HOMES_BYTES: Final = FRAME_MAX_BYTES // 2
"""Messages that go with a closing, at most. [B]"""


class Gates(Protocol):
    """When messages are taken; see `p2p.roles.replica.schedule.Schedule`."""

    def refusal(self, interval_start: int, slot: int) -> ReceiptCode | None: ...

    def check_closed(self, interval_start: int, slot: int) -> None: ...


class Operator:
    """Serves a roster of homes; `collect` drives a slot of an interval.

    Args:
        transport: An open endpoint; its handlers are set at once.
        identity: Key that signs receipts and closings.
        chain_id: 32 bytes of the chain; messages of another are refused.
        roster: Home ids, in the order of the books.
        keys: Public key of each home of the roster.
        minutes: Length of the interval. [min]
        gates: When messages are taken.
        journal: Keeps the promises of this node; in memory where none is given.
        limits: Ranges of the chain: what is outside could not be checked with the batch.
        check_term: Raises `NotAMember` where a home is not a member in an interval.
        check_reading: Raises `AboveCapacity` for a reading that the connection of its home does not allow.
        check_orders: Raises a `RemoteError` for orders that the market does not take, though the chain would.
        closes_for: Whether a peer may demand closings; None where this node is no validator.
        check_sealed: Raises a `RemoteError` for an envelope that is not sealed to the validators of now.

    Attributes:
        answers: What it answers when homes ask.
        speakers: Peers that have submitted a message, as many as there are homes at most.
    """

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        chain_id: bytes,
        roster: tuple[str, ...],
        keys: HomeKeys,
        minutes: int,
        gates: Gates,
        journal: Journal | None = None,
        limits: Limits = DEFAULT_LIMITS,
        check_term: Callable[[str, int], None] = lambda household, interval_start: None,
        check_reading: Callable[[ReadingMessage], None] = lambda message: None,
        check_orders: Callable[[OrderMessage], None] = lambda message: None,
        closes_for: Callable[[str], bool] | None = None,
        check_sealed: Callable[[SealedMessage], None] = lambda message: None,
    ) -> None:
        self._transport = transport
        self._identity = identity
        self._chain_id = chain_id
        self._roster = roster
        self._places = {household: place for place, household in enumerate(roster)}
        self._keys = keys
        self._minutes = minutes
        self._gates = gates
        self._limits = limits
        self._check_term = check_term
        self._check_reading = check_reading
        self._check_orders = check_orders
        self._closes_for = closes_for
        self._kinds = (*said_kinds(limits), Kind.READING)
        self._check_sealed = check_sealed
        self._intake = Intake(share_of(limits, len(roster)), limits.rounds)
        self._journal = journal or Journal(None)
        self._broken: LocalError | None = None
        self._failed = trio.Event()
        self._asked_for: int | None = None
        self._asked = trio.Event()
        self.speakers: set[str] = set()
        self.answers = Answers(transport, chain_id, keys, limits, self._note_question)
        transport.serve(BID_PROTOCOL, self._take_order)
        transport.serve(READING_PROTOCOL, self._take_reading)
        transport.serve(BATCH_PROTOCOL, self._take_batch)
        if closes_for is not None:
            transport.serve(CLOSING_PROTOCOL, self._close_for)

    @property
    def refused(self) -> Refusals:
        """Everything refused on this node, by peer and code: bad frames, bad messages, refusing receipts."""
        return self._transport.stats.refused

    async def run(self) -> None:
        """Wait until no promise can be given any more.

        Raises:
            LocalError: Why: the journal cannot be written. A node that goes on would close no slot for others.
        """
        await self._failed.wait()
        self._check_journal()

    async def questioned(self, interval_start: int) -> None:
        """Wait until a home asks for what only the collector of an interval has: its position or a tape."""
        while self._asked_for is None or self._asked_for < interval_start:
            await self._asked.wait()

    async def complete(self, interval_start: int) -> None:
        """Wait until all messages of an interval are here, of each slot."""
        for slot in range(slots(self._limits.rounds)):
            await self._gate((interval_start, slot)).wait_for(self._members_in(interval_start))

    async def collect(
        self,
        interval_start: int,
        deadline_s: float,
        slot: int = 0,
        not_awaited: Collection[str] = (),
    ) -> Collected[OrderMessage]:
        """Wait for the messages of a round, close its gate, and return its orders.

        Args:
            interval_start: Start of the interval. [s since 1970, UTC]
            deadline_s: How long the gate stays open; it closes earlier once every home that is awaited has
                answered, and then nothing can be replaced any more. [s]
            slot: Round, from 0.
            not_awaited: Homes for which the gate is not kept open; their messages are taken while it is.

        Raises:
            JournalDamaged: A promise could not be written; this collector gives none any more.
        """
        return await self._collect(OrderMessage, (interval_start, slot), deadline_s, not_awaited)

    async def collect_sealed(self, interval_start: int, deadline_s: float) -> Collected[SealedMessage]:
        """Collect the sealed orders of an interval, as `collect` does those in the open."""
        return await self._collect(SealedMessage, (interval_start, 0), deadline_s)

    async def collect_readings(self, interval_start: int, deadline_s: float) -> Collected[ReadingMessage]:
        """Collect the meter readings of an interval, as `collect` does orders."""
        return await self._collect(ReadingMessage, (interval_start, self._limits.rounds), deadline_s)

    def take_over(self, interval_start: int, slot: int, messages: Sequence[bytes]) -> None:
        """Add messages of homes that validators have promised to include to a closed gate.

        Only those that this collector would take itself: one that it cannot settle would stop it, and all after it. An
        envelope may be sealed to validators of before: then it counts as no order, and is there as promised.

        Raises:
            RemoteError: One is no message that a collector may promise.
        """
        pending = self._gate((interval_start, slot))
        for data in messages:
            message = self._check(self._kinds, data, of_others=True)
            if self._intake.gate_of(message) == pending.gate and self._intake.has_room(message, data):
                pending.take_over(message, data)

    def collected(self, wanted: type[M], interval_start: int, slot: int) -> Collected[M]:
        """What a closed gate holds now."""
        return self._collected(wanted, self._gate((interval_start, slot)), Counter())

    def present(self, interval_start: int, slot: int) -> dict[tuple[int, int], int]:
        """Nonce of each message of a slot, by slot and home."""
        entries = self._gate((interval_start, slot)).entries
        return {(slot, self._places[household]): entry.message.nonce for household, entry in entries.items()}

    def batch_given(self, interval_start: int) -> BatchArgs | None:
        """The batch that this node has signed for an interval, or None."""
        data = self._journal.given(BATCH, interval_start, 0)
        return None if data is None else decode(BatchArgs, data, max_bytes=MAX_TX_BYTES)

    def give_batch(self, args: BatchArgs) -> BatchArgs:
        """Keep the batch of an interval before it is signed; return the one that this node has signed first."""
        kept = self._journal.give(BATCH, args.interval_start, 0, encode(args))
        return decode(BatchArgs, kept, max_bytes=MAX_TX_BYTES)

    def close(self, interval_start: int, slot: int) -> Closing:
        """Sign what was promised in a slot, once; nothing more is promised in it.

        Raises:
            RemoteError: Another interval is settled next, or the gate has not ended.
            JournalDamaged: It could not be written.
        """
        given = self._journal.given(CLOSING, interval_start, slot)
        if given is not None:
            return decode_closing(given)
        self._gates.check_closed(interval_start, slot)
        self._check_journal()
        pending = self._gate((interval_start, slot))
        pending.closed = True
        promised = [
            Promised(self._places[household], entry.message.nonce)
            for household, entry in pending.entries.items()
        ]
        closing = make_closing(self._identity, self._chain_id, interval_start, slot, promised)
        try:
            self._journal.close_gate(interval_start, slot)
            return decode_closing(self._journal.give(CLOSING, interval_start, slot, encode(closing)))
        except LocalError as error:
            self._fail(error)
            raise

    def end_interval(self, interval_start: int) -> None:
        """Note that an interval is settled: nothing more is taken for it, and nobody waits for a tape."""
        self.answers.end_rounds(interval_start)
        for slot in range(slots(self._limits.rounds)):
            pending = self._gate((interval_start, slot))
            pending.closed = True
            pending.wake()
        self._journal.forget_before(interval_start)

    async def _collect(
        self, wanted: type[M], gate: Gate, deadline_s: float, not_awaited: Collection[str] = ()
    ) -> Collected[M]:
        pending = self._gate(gate)
        before = self.refused.counts.copy()
        if not pending.closed:
            try:
                with trio.move_on_after(deadline_s):
                    await pending.wait_for(
                        household for household in self._members_in(gate[0]) if household not in not_awaited
                    )
            finally:
                pending.closed = True
            self._check_journal()
            self._journal.close_gate(*gate)
        return self._collected(wanted, pending, Counter(self.refused.counts) - before)

    def _collected(
        self, wanted: type[M], pending: Pending, refused: Mapping[tuple[str, str], int]
    ) -> Collected[M]:
        interval_start = pending.gate[0]
        sent = [
            (household, pending.entries[household])
            for household in self._roster
            if household in pending.entries
        ]
        return Collected(
            interval_start,
            messages=tuple(entry.message for _, entry in sent if isinstance(entry.message, wanted)),
            signed=tuple(entry.signed for _, entry in sent),
            nothing=tuple(household for household, entry in sent if not isinstance(entry.message, wanted)),
            absent=tuple(h for h in self._members_in(interval_start) if h not in pending.entries),
            refused=dict(refused),
        )

    def _members_in(self, interval_start: int) -> tuple[str, ...]:
        """The homes that are members in an interval: nobody waits for the others."""
        found = []
        for household in self._roster:
            with suppress(NotAMember):
                self._check_term(household, interval_start)
                found.append(household)
        return tuple(found)

    def _gate(self, gate: Gate) -> Pending:
        """A gate, with the promises that were given before this process was started."""
        found = self._intake.pending.get(gate)
        if found is None:
            found = Pending(gate, closed=self._journal.is_closed(*gate))
            for promise in self._journal.promises(*gate):
                message = self._open(promise.message, self._kinds)
                found.pin(message, promise.message, promise.name, promise.receipt)
            self._intake.add(found)
        return found

    def _note_question(self, interval_start: int) -> None:
        if self._gates.refusal(interval_start, 0) == ReceiptCode.EARLY:
            return  # one about the far future would wake this node in every interval
        if self._asked_for is None or self._asked_for < interval_start:
            self._asked_for = interval_start
            asked, self._asked = self._asked, trio.Event()
            asked.set()

    def read_reading(self, data: bytes) -> ReadingMessage:
        """Check the signed bytes of a reading, whenever it comes, as one that this market can settle.

        Raises:
            RemoteError: It is none, or one that no honest collector takes.
        """
        message = self._check((Kind.READING,), data)
        if not isinstance(message, ReadingMessage):
            raise TypeError(f"a {type(message).__name__} passed the check of kinds")
        return message

    # --- submitting -----------------------------------------------------------------------------------

    async def _take_order(self, peer: str, frame: bytes) -> bytes:
        return self._take(said_kinds(self._limits), peer, frame)

    async def _take_reading(self, peer: str, frame: bytes) -> bytes:
        return self._take((Kind.READING,), peer, frame)

    def _take(self, kinds: Sequence[Kind], peer: str, frame: bytes) -> bytes:
        """Check a message and return its receipt; a RemoteError goes back to the peer as its code."""
        self._check_journal()
        promises: dict[Gate, list[Promise]] = {}
        receipt = self._answer(peer, frame, self._read(peer, kinds, frame), promises)
        self._write(promises)
        return receipt

    async def _take_batch(self, peer: str, frame: bytes) -> bytes:
        """Check a gateway's messages one by one; a refused one does not affect the others."""
        kinds = self._kinds
        opened = await read_each(
            peer, frame, self._chain_id, lambda data: self._read(peer, kinds, data), self.refused
        )
        self._check_journal()
        promises: dict[Gate, list[Promise]] = {}
        entries = [
            coded(found) if isinstance(found, RemoteError) else self._answer(peer, data, found, promises)
            for data, found in opened
        ]
        self._write(promises)
        return encode(HandInReply(tuple(entries)))

    def _open(self, frame: bytes, kinds: Sequence[Kind]) -> HandedIn:
        message = open_message(
            frame, chain_id=self._chain_id, kinds=kinds, key_of=self._keys.key_of, limits=self._limits
        )
        if not isinstance(message, HandedIn):
            raise TypeError(f"a {type(message).__name__} passed the check of kinds")
        return message

    def _check(self, kinds: Sequence[Kind], frame: bytes, *, of_others: bool = False) -> HandedIn:
        """Read a message that this market can settle.

        Args:
            of_others: Whether validators have promised it already.

        Raises:
            RemoteError: It is none, or one that no honest collector promises.
        """
        message = self._open(frame, kinds)
        if message.minutes != self._minutes:
            raise OutOfRange(
                f"minutes is {message.minutes}; this market trades {self._minutes}-minute intervals"
            )
        self._check_term(message.household, message.interval_start)
        if isinstance(message, OrderMessage):
            self._check_orders(message)
        elif isinstance(message, SealedMessage) and not of_others:
            self._check_sealed(message)
        elif isinstance(message, ReadingMessage):
            self._check_reading(message)
        return message

    def _read(self, peer: str, kinds: Sequence[Kind], frame: bytes) -> HandedIn:
        try:
            message = self._check(kinds, frame)
        except WrongSignature:
            start_s = interval_of(frame)
            if self._gates.refusal(start_s, 0) == ReceiptCode.EARLY:
                # This copy of the chain is behind, and the home may have rotated its key meanwhile.
                raise TooEarly(f"interval {start_s}, and no key that signs for it yet") from None
            raise
        if len(self.speakers) < len(self._roster):
            self.speakers.add(peer)
        return message

    def _answer(
        self, peer: str, frame: bytes, message: HandedIn, promises: dict[Gate, list[Promise]]
    ) -> bytes:
        """Check a message and return its receipt; a promise that must be written first goes to `promises`."""
        name, gate = message_id(message), self._intake.gate_of(message)
        known = self._intake.pending.get(gate)
        if known is not None and name in known.receipts:
            return known.receipts[name]
        code = self._gates.refusal(*gate)
        pending = None
        if code is None:
            pending = self._gate(gate)
            if name in pending.receipts:
                return pending.receipts[name]
            code = self._code(pending, message, frame)
        receipt = self._receipt(message, name, code)
        if pending is not None and code in PROMISES:
            pending.pin(message, frame, name, receipt)
            promises.setdefault(gate, []).append(Promise(name, frame, receipt))
        elif code != ReceiptCode.EARLY:  # which is not a refusal: it comes again
            detail = f"{message.household}, interval {message.interval_start}, nonce {message.nonce}"
            self.refused.add(peer, code.name.lower(), detail)
        return receipt

    def _code(self, pending: Pending, message: HandedIn, frame: bytes) -> ReceiptCode:
        interval_start, slot = pending.gate
        is_later = self._closes_for is not None and 0 < slot < self._limits.rounds
        if is_later and message.household not in self._gate((interval_start, slot - 1)).entries:
            # Nobody waits in a later round for who was absent before it, so no validator may promise its message.
            return ReceiptCode.LATE
        return self._intake.classify(pending, message, frame)

    def _write(self, promises: Mapping[Gate, Sequence[Promise]]) -> None:
        try:
            for gate, given in promises.items():
                self._journal.promise(*gate, given)
        except LocalError as error:
            # The intake holds promises that no journal knows: none of them may leave, now or when asked for again.
            self._fail(error)
            for pending in self._intake.pending.values():
                pending.closed = True
                pending.wake()
            raise

    def _fail(self, error: LocalError) -> None:
        self._broken = error
        self._failed.set()

    def _check_journal(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _receipt(self, message: HandedIn, name: bytes, code: ReceiptCode) -> bytes:
        return sign_message(
            self._identity,
            ReceiptMessage(VERSION, self._chain_id, message.interval_start, message.household, name, code),
        )

    # --- closing for others ------------------------------------------------------------------------------

    async def _close_for(self, peer: str, frame: bytes) -> bytes:
        """Close a slot, and give the messages that another collector lacks."""
        if self._closes_for is None or not self._closes_for(peer):
            raise NotAllowed(f"peer {peer} collects nothing here")
        query = read_close_query(frame, self._chain_id, slots(self._limits.rounds), len(self._roster))
        closing = self.close(query.interval_start, query.slot)
        entries = self._gate((query.interval_start, query.slot)).entries
        messages, room = [], CLOSED_HOMES_BYTES
        for home in query.wanted:
            entry = entries.get(self._roster[home])
            if entry is not None and (room := room - len(entry.signed)) >= 0:
                messages.append(entry.signed)
        return encode(CloseReply(encode(closing), tuple(messages)))
