"""A collector's side of the network: takes signed messages, answers signed receipts, announces results.

The market operator is one, and so is every validator, which takes over when the operator fails. What was accepted never
depends on the order of arrival: per home the highest nonce counts, and a closed collection comes out in roster
order. A receipt is a promise: it is in the journal before it leaves, and a collector that was killed continues with the
promises it gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from p2p.errors import InvalidMessage, LocalError, NotAMember, OutOfRange, RemoteError, UnknownHousehold
from p2p.roles.collector.intake import (
    HISTORY_INTERVALS,
    Collected,
    Gate,
    History,
    Intake,
    M,
    Pending,
    T,
    gate_of,
    keep,
    look_up,
    own,
    share_of,
)
from p2p.roles.exchange.journal import Journal, Promise
from p2p.roles.exchange.tape import TAPE_PROTOCOL, read_tape_query
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    BID_PROTOCOL,
    INCLUSION_PROTOCOL,
    INCLUSIONS_PROTOCOL,
    LINE_PROTOCOL,
    LINES_PROTOCOL,
    POSITION_PROTOCOL,
    POSITIONS_PROTOCOL,
    READING_PROTOCOL,
    REFUSED_MARK,
    RESULT_PROTOCOL,
    HandInReply,
    read_batch,
    read_query,
    read_round_query,
    result_topic,
)
from p2p.transports.base import Transport, peer_id_of
from p2p.transports.counters import Refusals
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    DEFAULT_LIMITS,
    PROMISES,
    VERSION,
    HandedIn,
    Kind,
    Limits,
    LineQueryMessage,
    Message,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    ResultMessage,
    message_id,
    open_message,
    sign_message,
)

YIELD_AFTER: Final = 16
"""Signatures of a batch that are checked between two checkpoints of the scheduler."""
TAPES_INTERVALS: Final = 2
"""Intervals whose tapes are kept: the one that is traded, and the one before for a home that is slow."""


class Operator:
    """Serves a roster of homes; `collect`, `collect_readings` and `announce` drive an interval.

    Args:
        transport: An open endpoint; its handlers are set at once.
        identity: Key that signs receipts and results.
        chain_id: 32 bytes of the chain; messages of another are refused.
        roster: Home ids, in the order of the books.
        keys: Public key of each home of the roster.
        minutes: Length of the interval. [min]
        journal: Keeps the promises of this node; in memory where none is given.
        limits: Ranges of the chain: what is outside could not be checked with the batch.
        check_term: Raises `NotAMember` where a home is not a member in an interval.
        check_orders: Raises a `RemoteError` for orders that the market does not take, though the chain would.

    Attributes:
        speakers: Peers that have submitted a message, as many as there are homes at most.
    """

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        chain_id: bytes,
        roster: tuple[str, ...],
        keys: Mapping[str, bytes],
        minutes: int,
        journal: Journal | None = None,
        limits: Limits = DEFAULT_LIMITS,
        check_term: Callable[[str, int], None] = lambda household, interval_start: None,
        check_orders: Callable[[OrderMessage], None] = lambda message: None,
    ) -> None:
        missing = [household for household in roster if household not in keys]
        if missing:
            raise ValueError(f"no public key for {', '.join(missing)}; every home of the roster needs one")
        self._transport = transport
        self._identity = identity
        self._chain_id = chain_id
        self._roster = roster
        self._keys = {household: keys[household] for household in roster}
        self._peers = {peer_id_of(key): household for household, key in self._keys.items()}
        self._minutes = minutes
        self._limits = limits
        self._check_term = check_term
        self._check_orders = check_orders
        self._topic = result_topic(chain_id)
        self._orders = Intake(0, (Kind.ORDER, Kind.NOTHING), share_of(limits, len(roster)))
        self._readings = Intake(1, (Kind.READING,))
        self._journal = journal or Journal(None)
        self._broken: LocalError | None = None
        self._heard: set[int] = set()
        self._wanted: int | None = None
        self.speakers: set[str] = set()
        self._news = trio.Event()
        self._results: dict[Gate, bytes] = {}
        self._lines: dict[Gate, Mapping[str, bytes]] = {}
        self._openings: dict[Gate, Mapping[str, bytes]] = {}
        self._positions: dict[Gate, Mapping[str, bytes]] = {}
        self._tapes: dict[Gate, tuple[bytes, ...]] = {}
        transport.serve(BID_PROTOCOL, self._take_order)
        transport.serve(READING_PROTOCOL, self._take_reading)
        transport.serve(LINE_PROTOCOL, self._give_line)
        transport.serve(INCLUSION_PROTOCOL, partial(self._give, self._openings))
        transport.serve(RESULT_PROTOCOL, self._give_result)
        transport.serve(BATCH_PROTOCOL, self._take_batch)
        transport.serve(LINES_PROTOCOL, partial(self._give_many, self._lines))
        transport.serve(INCLUSIONS_PROTOCOL, partial(self._give_many, self._openings))
        transport.serve(POSITION_PROTOCOL, partial(self._give, self._positions))
        transport.serve(POSITIONS_PROTOCOL, partial(self._give_many, self._positions))
        transport.serve(TAPE_PROTOCOL, self._give_tape)

    @property
    def refused(self) -> Refusals:
        """Everything refused on this node, by peer and code: bad frames, bad messages, refusing receipts."""
        return self._transport.stats.refused

    async def wait_for_subscribers(self, peers: int) -> None:
        """Wait until results would reach at least this number of peers directly."""
        await self._transport.wait_for_subscribers(self._topic, peers)

    async def spoken(self, interval_start: int) -> None:
        """Wait until a home submits a message for an interval, whether its gate is open or not.

        One interval at a time: messages for others cannot evict it from the bounded set of known intervals.
        """
        self._wanted = interval_start
        while interval_start not in self._heard:
            await self._news.wait()

    async def collect(
        self,
        interval_start: int,
        deadline_s: float,
        number: int = 0,
        not_awaited: Collection[str] = (),
    ) -> Collected[OrderMessage]:
        """Open the gate of a round and return its orders.

        Args:
            interval_start: Start of the interval. [s since 1970, UTC]
            deadline_s: How long the gate stays open; it closes earlier once every home that is awaited has
                answered, and then nothing can be replaced any more. [s]
            number: Of the round, from 0. Interval and round are later than those before.
            not_awaited: Homes for which the gate is not kept open; their messages are taken while it is.

        Raises:
            CollectionOrder: A gate that is open, or not later than the last.
            JournalDamaged: A promise could not be written; this collector gives none any more.
        """
        gate = interval_start, number
        return await self._collect(self._orders, OrderMessage, gate, deadline_s, not_awaited)

    async def collect_readings(self, interval_start: int, deadline_s: float) -> Collected[ReadingMessage]:
        """Collect the meter readings of an interval, as `collect` does orders."""
        return await self._collect(self._readings, ReadingMessage, (interval_start, 0), deadline_s)

    async def announce(self, result: ResultMessage) -> None:
        """Sign a result, keep it for those who ask, and gossip it.

        Raises:
            InvalidMessage: It is of another chain, or out of range.
        """
        await self._transport.publish(self._topic, self.keep(result))

    def keep(self, result: ResultMessage) -> bytes:
        """Sign a result, keep it for those who ask, and return its signed bytes.

        Raises:
            InvalidMessage: It is of another chain, or out of range.
        """
        if result.chain_id != self._chain_id:
            raise InvalidMessage("ResultMessage: chain_id is not the chain of this operator")
        signed = sign_message(self._identity, result)
        keep(self._results, (result.interval_start, 0), signed)
        self._journal.forget_before(result.interval_start)
        return signed

    def provide_lines(self, interval_start: int, lines: Mapping[str, bytes]) -> None:
        """Keep each home's settlement line of an interval; only that home may ask for it.

        Args:
            lines: By home, none of them empty: that would look like one that is not ready. They may be made when
                they are asked for.
        """
        keep(self._lines, (interval_start, 0), lines)

    def provide_openings(self, interval_start: int, openings: Mapping[str, bytes], number: int = 0) -> None:
        """Keep each home's opening of the batch's inclusion root for a round, as `provide_lines` does lines."""
        keep(self._openings, (interval_start, number), openings, HISTORY_INTERVALS * self._limits.rounds)

    def provide_positions(self, interval_start: int, positions: Mapping[str, bytes], number: int = 0) -> None:
        """Keep what each home has bought and sold up to a round, for as many rounds as lines of intervals."""
        keep(self._positions, (interval_start, number), positions)

    def provide_tape(self, interval_start: int, number: int, pages: tuple[bytes, ...]) -> None:
        """Keep the tape of the rounds up to one, for anybody who asks, while its interval and the next are traded.

        Args:
            pages: As `tape.make_pages` returns them.
        """
        keep(self._tapes, (interval_start, number), pages, TAPES_INTERVALS * self._limits.rounds)

    def end_rounds(self, interval_start: int) -> None:
        """Note that no further round is opened: orders are late, and nobody waits for a tape that is not here."""
        last = (interval_start, self._limits.rounds - 1)
        self._orders.end(last)
        if self._limits.rounds > 1 and last not in self._tapes:
            self.provide_tape(*last, ())

    def end_interval(self, interval_start: int) -> None:
        """Note that an interval is settled: as `end_rounds`, and readings are late also where none were collected."""
        self.end_rounds(interval_start)
        self._readings.end((interval_start, 0))

    async def _collect(
        self,
        intake: Intake,
        wanted: type[M],
        gate: Gate,
        deadline_s: float,
        not_awaited: Collection[str] = (),
    ) -> Collected[M]:
        interval_start = gate[0]
        members = self._members_in(interval_start)
        pending = intake.open(gate, (household for household in members if household not in not_awaited))
        self._restore(intake, pending)
        before = self.refused.counts.copy()
        if self._journal.is_closed(intake.desk, *gate):
            # The tape of the round is known, or a batch is under way: a promise now could not be kept.
            pending.closed = True
        else:
            try:
                with trio.move_on_after(deadline_s):
                    await pending.complete.wait()
            finally:
                pending.closed = True
            self._check_journal()
            self._journal.close_gate(intake.desk, *gate)
        spoken = [
            (household, pending.entries[household])
            for household in self._roster
            if household in pending.entries
        ]
        return Collected(
            interval_start,
            messages=tuple(entry.message for _, entry in spoken if isinstance(entry.message, wanted)),
            signed=tuple(entry.signed for _, entry in spoken),
            nothing=tuple(household for household, entry in spoken if not isinstance(entry.message, wanted)),
            absent=tuple(household for household in members if household not in pending.entries),
            refused=dict(Counter(self.refused.counts) - before),
        )

    def _members_in(self, interval_start: int) -> tuple[str, ...]:
        """The homes that are members in an interval: nobody waits for the others."""
        found = []
        for household in self._roster:
            with suppress(NotAMember):
                self._check_term(household, interval_start)
                found.append(household)
        return tuple(found)

    def _restore(self, intake: Intake, pending: Pending) -> None:
        """Put the promises back that were given before this process was started."""
        for promise in self._journal.promises(intake.desk, *pending.gate):
            message = self._open(promise.message, intake.kinds)
            if isinstance(message, HandedIn):
                pending.pin(message, promise.message, promise.name, promise.receipt)

    # --- submitting -----------------------------------------------------------------------------------

    async def _take_order(self, peer: str, frame: bytes) -> bytes:
        return self._take(self._orders, peer, frame)

    async def _take_reading(self, peer: str, frame: bytes) -> bytes:
        return self._take(self._readings, peer, frame)

    def _take(self, intake: Intake, peer: str, frame: bytes) -> bytes:
        """Check a message and return its receipt; a RemoteError goes back to the peer as its code."""
        self._check_journal()
        promises: dict[tuple[int, Gate], list[Promise]] = {}
        receipt = self._answer(peer, frame, self._read(peer, intake.kinds, frame), promises)
        self._write(promises)
        return receipt

    async def _take_batch(self, peer: str, frame: bytes) -> bytes:
        """Check a gateway's messages one by one; a refused one does not affect the others."""
        kinds = (*self._orders.kinds, *self._readings.kinds)
        opened = await self._read_all(peer, frame, lambda data: self._read(peer, kinds, data))
        self._check_journal()
        promises: dict[tuple[int, Gate], list[Promise]] = {}
        entries = [
            _code(found) if isinstance(found, RemoteError) else self._answer(peer, data, found, promises)
            for data, found in opened
        ]
        self._write(promises)
        return encode(HandInReply(tuple(entries)))

    async def _read_all(
        self, peer: str, frame: bytes, read: Callable[[bytes], T]
    ) -> Sequence[tuple[bytes, T | RemoteError]]:
        found: list[tuple[bytes, T | RemoteError]] = []
        for number, data in enumerate(read_batch(frame, self._chain_id)):
            if number % YIELD_AFTER == 0:
                await trio.lowlevel.checkpoint()
            try:
                found.append((data, read(data)))
            except RemoteError as error:
                self.refused.add(peer, error.code, error.detail)
                found.append((data, error))
        return found

    def _open(self, frame: bytes, kinds: Sequence[Kind]) -> Message:
        return open_message(
            frame, chain_id=self._chain_id, kinds=kinds, household_keys=self._keys, limits=self._limits
        )

    def _read(self, peer: str, kinds: Sequence[Kind], frame: bytes) -> HandedIn:
        message = self._open(frame, kinds)
        if not isinstance(message, HandedIn):
            raise TypeError(f"a {type(message).__name__} passed the check of kinds")
        if message.minutes != self._minutes:
            raise OutOfRange(
                f"minutes is {message.minutes}; this market trades {self._minutes}-minute intervals"
            )
        self._check_term(message.household, message.interval_start)
        if isinstance(message, OrderMessage):
            self._check_orders(message)
        self._hear(message.interval_start)
        if len(self.speakers) < len(self._roster):
            self.speakers.add(peer)
        return message

    def _hear(self, interval_start: int) -> None:
        if interval_start in self._heard:
            return
        self._heard.add(interval_start)
        while len(self._heard) > HISTORY_INTERVALS:
            # The set is bounded: a peer could fill it without end, and what is dropped comes again when it is repeated.
            others = self._heard - {self._wanted}
            past = min(others)
            self._heard.discard(past if past < self._orders.newest[0] else max(others))
        news, self._news = self._news, trio.Event()
        news.set()

    def _answer(
        self, peer: str, frame: bytes, message: HandedIn, promises: dict[tuple[int, Gate], list[Promise]]
    ) -> bytes:
        """Check a message and return its receipt; a promise that must be written first goes to `promises`."""
        intake = self._readings if isinstance(message, ReadingMessage) else self._orders
        name, gate = message_id(message), gate_of(message)
        pending = intake.pending.get(gate)
        if pending is not None and name in pending.receipts:
            return pending.receipts[name]
        code = intake.classify(message, frame)
        receipt = self._receipt(message, name, code)
        if pending is not None and code in PROMISES:
            pending.pin(message, frame, name, receipt)
            promises.setdefault((intake.desk, gate), []).append(Promise(name, frame, receipt))
        elif code != ReceiptCode.EARLY:  # which is not a refusal: it comes again
            detail = f"{message.household}, interval {message.interval_start}, nonce {message.nonce}"
            self.refused.add(peer, code.name.lower(), detail)
        return receipt

    def _write(self, promises: Mapping[tuple[int, Gate], Sequence[Promise]]) -> None:
        try:
            for (desk, (interval_start, number)), given in promises.items():
                self._journal.promise(desk, interval_start, given, number)
        except LocalError as error:
            # The intakes hold promises that no journal knows: none of them may leave, now or when asked for again.
            self._broken = error
            for pending in (*self._orders.pending.values(), *self._readings.pending.values()):
                pending.complete.set()
            raise

    def _check_journal(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _receipt(self, message: HandedIn, name: bytes, code: ReceiptCode) -> bytes:
        return sign_message(
            self._identity,
            ReceiptMessage(VERSION, self._chain_id, message.interval_start, message.household, name, code),
        )

    # --- asking ---------------------------------------------------------------------------------------

    async def _give_line(self, peer: str, frame: bytes) -> bytes:
        return own(self._lines, self._home_of(peer), (read_query(frame, self._chain_id), 0))

    async def _give(self, history: History, peer: str, frame: bytes) -> bytes:
        home = self._home_of(peer)
        return own(history, home, read_round_query(frame, self._chain_id, self._limits.rounds))

    def _home_of(self, peer: str) -> str:
        household = self._peers.get(peer)
        if household is None:
            raise UnknownHousehold("the key of this connection belongs to no home of the roster")
        return household

    async def _give_many(self, history: History, peer: str, frame: bytes) -> bytes:
        def read(data: bytes) -> bytes:
            query = self._open(data, (Kind.LINE_QUERY,))
            if not isinstance(query, LineQueryMessage):
                raise TypeError(f"a {type(query).__name__} passed the check of kinds")
            number = 0 if history is self._lines else query.round
            return own(history, query.household, (query.interval_start, number))

        opened = await self._read_all(peer, frame, read)
        return encode(
            HandInReply(
                tuple(_code(found) if isinstance(found, RemoteError) else found for _, found in opened)
            )
        )

    async def _give_result(self, _peer: str, frame: bytes) -> bytes:
        return look_up(self._results, (read_query(frame, self._chain_id), 0), lambda signed: signed)

    async def _give_tape(self, _peer: str, frame: bytes) -> bytes:
        query = read_tape_query(frame, self._chain_id, self._limits.rounds)

        def page(pages: tuple[bytes, ...]) -> bytes | None:
            return pages[query.page] if 0 <= query.page < len(pages) else None

        return look_up(self._tapes, (query.interval_start, query.round), page)


def _code(error: RemoteError) -> bytes:
    return REFUSED_MARK + error.code.encode()
