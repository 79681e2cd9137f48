"""Many homes behind one node: each signs for itself, the gateway forwards.

What the homes submit travels in batches, one frame for some hundred messages. The gateway can delay and drop
messages, which their homes notice by the missing receipt; it can change none and read no line that its homes
did not ask for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from market.rounds import Tape
from p2p.errors import Malformed, RemoteError, WrongKind
from p2p.roles.collector.intake import HISTORY_INTERVALS
from p2p.roles.exchange.collectors import Collectors
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.tape import TAPE_PROTOCOL, TapeReader
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    INCLUSIONS_PROTOCOL,
    LINES_PROTOCOL,
    POSITIONS_PROTOCOL,
    REFUSED_MARK,
    RESULT_PROTOCOL,
    TRANSIENT,
    HandIn,
    HandInReply,
    ask,
    result_topic,
)
from p2p.transports.base import RequestRefused, Transport
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES, LinkError
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    DEFAULT_LIMITS,
    PROMISES,
    VERSION,
    HandedIn,
    Kind,
    Limits,
    LineQueryMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    ResultMessage,
    message_id,
    open_message,
    sign_message,
    signer_of,
)

MESSAGES_MAX: Final = 256
"""Messages of a frame, at most; fewer where they hold many orders, because a frame has 256 KiB."""
FRAME_BYTES: Final = FRAME_MAX_BYTES - 64
"""Room of a frame for its messages; the rest is for version, chain and count. [B]"""
ENTRY_BYTES: Final = 5
"""What the encoding adds to a message, at most. [B]"""
LINES_MAX: Final = 64
"""Lines of a frame: a proof of 25 validators has about 2.5 kB."""
GATHER_S: Final = 0.02
"""How long the first of a batch waits for others. [s]"""
AGAIN_MIN_S: Final = 0.05
AGAIN_MAX_S: Final = 1.0
"""Pause before what came too early, or found nobody, is sent again; doubled up to the second. [s]"""


class NotTaken(RemoteError):
    """A message that the collector refused unread, with its code."""

    code = "not_taken"


@dataclass(slots=True, eq=False)
class _Item:
    """One message on its way; `answer` is what came back, a refusal as its error."""

    start: int
    protocol: str
    data: bytes
    read: Callable[[bytes], object | None]
    collector: bytes = b""
    answer: object | None = None
    done: trio.Event = field(default_factory=trio.Event)

    def close(self, collector: bytes, answer: object) -> None:
        self.collector, self.answer = collector, answer
        self.done.set()


@dataclass(slots=True, eq=False)
class _SharedTape:
    """A tape that one home has asked for and all of the node receive."""

    answer: Tape | RemoteError | None = None
    done: trio.Event = field(default_factory=trio.Event)


class Gateway:
    """Carries for its homes while `run` runs.

    Args:
        transport: An open endpoint of the gateway's own identity.
        identities: Key of each home, which this process holds on their behalf.
        chain_id: 32 bytes of the chain.
        collectors: Who collects, and where.
        minutes: Length of the interval. [min]
        journal: Keeps what was signed; in memory where none is given.
        on_result: Called with every verified result that gossip brings.
        limits: Ranges of the chain.
        homes: Number of members of the chain.
    """

    def __init__(
        self,
        transport: Transport,
        identities: Mapping[str, Identity],
        chain_id: bytes,
        collectors: Collectors,
        minutes: int,
        journal: Journal | None = None,
        on_result: Callable[[ResultMessage], Awaitable[None]] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        homes: int = 1,
    ) -> None:
        self._transport = transport
        self.identities = dict(identities)
        self._keys = {name: identity.public_key for name, identity in identities.items()}
        self._chain_id = chain_id
        self._collectors = collectors
        self.minutes = minutes
        self._journal = journal or Journal(None)
        self._on_result = on_result
        self._limits = limits
        self._reader = TapeReader(chain_id, limits, homes)
        self._tapes: dict[tuple[int, int], _SharedTape] = {}
        # By home, by whether it is a reading, and by round.
        self._said: dict[tuple[str, bool, int], _Item] = {}
        self._overtaken: list[_Item] = []
        self._asked: list[_Item] = []
        self._promises: dict[tuple[str, int], tuple[int, bytes, bytes]] = {}
        self._readings_taken: dict[str, tuple[int, frozenset[bytes]]] = {}
        self._newest = -1
        self._work = trio.Event()

    def member(self, household: str) -> Member:
        """The client of one home."""
        return Member(self, household)

    async def run(self) -> None:
        """Carry until cancelled."""
        gossip = await self._transport.subscribe(result_topic(self._chain_id))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry)
            async for heard in gossip:
                try:
                    result = self.read_result(heard.data)
                except RemoteError as error:
                    self._transport.stats.refused.add(heard.author, error.code, error.detail)
                    continue
                if self._on_result is not None:
                    await self._on_result(result)

    def read_result(self, data: bytes) -> ResultMessage:
        """Verify a result and note whom it names; raises a RemoteError for anything else."""
        result = self._open(data, Kind.RESULT)
        if not isinstance(result, ResultMessage):
            raise TypeError(f"a {type(result).__name__} passed the check of kinds")
        self._collectors.name(result.next_collector, result.height, result.interval_start, self._newest)
        return result

    async def hand_in(self, message: HandedIn) -> ReceiptMessage:
        """Sign a home's message, carry it, and return its receipt.

        Raises:
            NotTaken: The collector refused it unread.
        """
        name, start, household = message_id(message), message.interval_start, message.household
        is_reading = isinstance(message, ReadingMessage)
        number = 0 if isinstance(message, ReadingMessage) else message.round
        identity = self.identities[household]
        data = self._journal.sign_once(
            int(is_reading),
            start,
            household,
            message.nonce,
            lambda: sign_message(identity, message, self._limits),
        )
        if start > self._newest:
            self._newest = start
            self._overtaken += [item for item in self._said.values() if item.start < start]
            self._said = {key: item for key, item in self._said.items() if item.start >= start}
            self._journal.forget_before(start - HISTORY_INTERVALS * self.minutes * 60)

        def read(reply: bytes) -> object | None:
            receipt = self._open(reply, Kind.RECEIPT)
            if not isinstance(receipt, ReceiptMessage) or receipt.message_id != name:
                raise WrongKind("a receipt for another message")
            if receipt.code in PROMISES and is_reading:
                taken_by = self.reading_taken_by(household, start) | {signer_of(reply)}
                self._readings_taken[household] = (start, taken_by)
            elif receipt.code in PROMISES:
                self._promises[household, number] = (start, reply, data)
            return None if receipt.code == ReceiptCode.EARLY else receipt

        key = household, is_reading, number
        before = self._said.get(key)
        if before is not None:
            self._overtaken.append(before)
        item = self._said[key] = _Item(start, BATCH_PROTOCOL, data, read)
        answer = await self._wait(item)
        if not isinstance(answer, ReceiptMessage):
            raise TypeError(f"a {type(answer).__name__} where a receipt was due")
        return answer

    def promise(self, household: str, interval_start: int, number: int = 0) -> tuple[bytes, bytes] | None:
        """See `Household.promise`."""
        start, *promise = self._promises.get((household, number), (-1, b"", b""))
        return (promise[0], promise[1]) if start == interval_start else None

    def reading_taken_by(self, household: str, interval_start: int) -> frozenset[bytes]:
        """See `Household.reading_taken_by`."""
        start, keys = self._readings_taken.get(household, (-1, frozenset[bytes]()))
        return keys if start == interval_start else frozenset()

    async def ask(self, protocol: str, household: str, interval_start: int, number: int = 0) -> bytes:
        """Ask for a home's settlement line, or its leaf, in its name; the proof is not checked here.

        Args:
            protocol: LINES_PROTOCOL, INCLUSIONS_PROTOCOL or POSITIONS_PROTOCOL.
            number: Of the round, from 0; 0 for a line.

        Raises:
            NotTaken: The collector has no such thing any more.
        """
        nonce = interval_start // (self.minutes * 60)
        head = (VERSION, self._chain_id, interval_start, self.minutes, household, nonce)
        query = LineQueryMessage(*head, number)
        item = _Item(
            interval_start,
            protocol,
            sign_message(self.identities[household], query, self._limits),
            lambda reply: reply or None,
        )
        self._asked.append(item)
        answer = await self._wait(item)
        if not isinstance(answer, bytes):
            raise TypeError(f"a {type(answer).__name__} where a line was due")
        return answer

    async def result(self, interval_start: int) -> ResultMessage:
        """Ask for the result of an interval until it is there."""
        pause = AGAIN_MIN_S
        while True:
            try:
                reply = await self._collectors.request(RESULT_PROTOCOL, ask(self._chain_id, interval_start))
                if reply:
                    result = self.read_result(reply)
                    if result.interval_start != interval_start:
                        raise WrongKind(f"the result of {result.interval_start}; asked for {interval_start}")
                    return result
            except (LinkError, RequestRefused):
                pass
            except RemoteError as error:
                self._transport.stats.refused.add(self._collectors.current.address, error.code, error.detail)
            self._work.set()  # a collector that was unreachable must receive everything again
            await trio.sleep(pause)
            pause = min(2 * pause, AGAIN_MAX_S)

    async def tape(self, interval_start: int, number: int) -> Tape:
        """Ask for the tape of a round, once for all homes of this node; waits until its gate has closed.

        Raises:
            NotTaken: The collector does not have it any more.
            RemoteError: What came is no such tape.
        """
        shared = self._tapes.get((interval_start, number))
        if shared is None:
            self._tapes = {key: tape for key, tape in self._tapes.items() if key[0] >= interval_start}
            shared = self._tapes[interval_start, number] = _SharedTape()
            try:
                shared.answer = await self._fetch_tape(interval_start, number)
            except RemoteError as error:
                self._transport.stats.refused.add(self._collectors.current.address, error.code, error.detail)
                shared.answer = error
            finally:
                shared.done.set()
        await shared.done.wait()
        if not isinstance(shared.answer, Tape):
            raise shared.answer or NotTaken("the gateway has stopped")
        return shared.answer

    async def _fetch_tape(self, interval_start: int, number: int) -> Tape:
        async def request(question: bytes) -> bytes:
            return await self._collectors.request(TAPE_PROTOCOL, question)

        pause = AGAIN_MIN_S
        while True:
            try:
                tape = await self._reader.fetch(interval_start, number, request)
                if tape is not None:
                    return tape
            except LinkError:
                pass
            except RequestRefused as error:
                if error.code not in TRANSIENT:
                    raise NotTaken(f"the collector refused it: {error.code}") from None
            self._work.set()  # as for a result
            await trio.sleep(pause)
            pause = min(2 * pause, AGAIN_MAX_S)

    async def _wait(self, item: _Item) -> object:
        self._work.set()
        await item.done.wait()
        if isinstance(item.answer, RemoteError):
            raise item.answer
        if item.answer is None:
            raise TypeError("an item was closed without an answer")
        return item.answer

    # --- carrying -------------------------------------------------------------------------------------

    async def _carry(self) -> None:
        pause = AGAIN_MIN_S
        while True:
            await self._work.wait()
            self._work = trio.Event()
            await trio.sleep(GATHER_S)
            if await self._carry_all():
                pause = AGAIN_MIN_S
            else:
                await trio.sleep(pause)
                pause = min(2 * pause, AGAIN_MAX_S)
                self._work.set()

    async def _carry_all(self) -> bool:
        """Send what the current collector has not got; False where something must be sent again."""
        collector = self._collectors.current.key
        # Somebody waits for each answer, though a later message or interval took the place of his.
        self._overtaken = [item for item in self._overtaken if not item.done.is_set()]
        others = [*self._overtaken, *(item for item in self._said.values() if item.collector != collector)]
        self._asked = [item for item in self._asked if not item.done.is_set()]
        try:
            whole = await self._carry_some(BATCH_PROTOCOL, others, MESSAGES_MAX)
            for protocol in (POSITIONS_PROTOCOL, LINES_PROTOCOL, INCLUSIONS_PROTOCOL):
                asked = [item for item in self._asked if item.protocol == protocol]
                whole = await self._carry_some(protocol, asked, LINES_MAX) and whole
            return whole
        except LinkError:
            return False
        except RequestRefused:  # the collector is in trouble with itself: as good as away for now
            return False
        except RemoteError as error:
            self._transport.stats.refused.add(self._collectors.current.address, error.code, error.detail)
            return False

    async def _carry_some(self, protocol: str, items: Sequence[_Item], most: int) -> bool:
        whole = True
        for part in _frames(items, most):
            collector = (
                self._collectors.current.key
            )  # which a result may have changed during the last request
            frame = encode(HandIn(VERSION, self._chain_id, tuple(item.data for item in part)))
            reply = decode(
                HandInReply, await self._collectors.request(protocol, frame), max_bytes=FRAME_MAX_BYTES
            )
            if len(reply.entries) != len(part):
                raise Malformed(f"{len(reply.entries)} entries for {len(part)} messages")
            for item, entry in zip(part, reply.entries, strict=True):
                whole = self._take(item, entry, collector) and whole
        return whole

    def _take(self, item: _Item, entry: bytes, collector: bytes) -> bool:
        if entry.startswith(REFUSED_MARK):
            code = entry[1:].decode("ascii", "replace")
            item.close(collector, NotTaken(f"the collector refused it: {code}"))
            return True
        answer = item.read(entry)
        if answer is None:
            return False
        item.close(collector, answer)
        return True

    def _open(self, data: bytes, kind: Kind) -> object:
        return open_message(
            data,
            chain_id=self._chain_id,
            kinds=(kind,),
            household_keys=self._keys,
            collector_keys=self._collectors.keys,
            limits=self._limits,
        )


def _frames(items: Sequence[_Item], most: int) -> Iterator[Sequence[_Item]]:
    """Cut items into parts of at most `most`, each of which fits into a frame."""
    part: list[_Item] = []
    room = FRAME_BYTES
    for item in items:
        needed = len(item.data) + ENTRY_BYTES
        if part and (needed > room or len(part) == most):
            yield part
            part, room = [], FRAME_BYTES
        part.append(item)
        room -= needed
    if part:
        yield part


@dataclass(frozen=True, slots=True)
class Member:
    """The client of one home behind a gateway; the interface of `Household`."""

    gateway: Gateway
    id: str

    async def submit(self, message: HandedIn) -> ReceiptMessage:
        """Submit an order or "nothing"."""
        return await self.gateway.hand_in(message)

    async def send_reading(self, message: ReadingMessage) -> ReceiptMessage:
        """Submit a meter reading."""
        return await self.gateway.hand_in(message)

    async def result(self, interval_start: int) -> ResultMessage:
        """Ask for the result of an interval."""
        return await self.gateway.result(interval_start)

    async def line(self, interval_start: int) -> bytes:
        """Ask for the own settlement line."""
        return await self.gateway.ask(LINES_PROTOCOL, self.id, interval_start)

    async def inclusion(self, interval_start: int, number: int = 0) -> bytes:
        """Ask for the opening of the own leaf of a round in the batch's inclusion root."""
        return await self.gateway.ask(INCLUSIONS_PROTOCOL, self.id, interval_start, number)

    async def position(self, interval_start: int, number: int = 0) -> bytes:
        """Ask for what was bought and sold up to a round, before it is settled."""
        return await self.gateway.ask(POSITIONS_PROTOCOL, self.id, interval_start, number)

    async def tape(self, interval_start: int, number: int) -> Tape:
        """Ask for the orders of the rounds up to one, without names."""
        return await self.gateway.tape(interval_start, number)

    def promise(self, interval_start: int, number: int = 0) -> tuple[bytes, bytes] | None:
        """See `Household.promise`."""
        return self.gateway.promise(self.id, interval_start, number)

    def reading_taken_by(self, interval_start: int) -> frozenset[bytes]:
        """See `Household.reading_taken_by`."""
        return self.gateway.reading_taken_by(self.id, interval_start)
