"""A home's side of the network: submits signed messages until they are acknowledged, receives results.

Everything it sends is idempotent by content, so a lost stream means: wait, and send the same bytes again.
Gossip is a hint. What it did not bring is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Self, TypeVar

import trio

from market.rounds import Tape
from p2p.errors import InvalidMessage, P2PError, RemoteError, WrongKind
from p2p.roles.exchange.collectors import Collectors
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.tape import TAPE_PROTOCOL, TapeReader
from p2p.roles.exchange.wire import (
    BID_PROTOCOL,
    INCLUSION_PROTOCOL,
    LINE_PROTOCOL,
    POSITION_PROTOCOL,
    READING_PROTOCOL,
    RESULT_PROTOCOL,
    TRANSIENT,
    ask,
    ask_round,
    result_topic,
)
from p2p.transports.base import RequestRefused, Subscription, Transport
from p2p.transports.counters import Refusals
from p2p.wire.frames import LinkError
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    DEFAULT_LIMITS,
    PROMISES,
    Kind,
    Limits,
    Message,
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

PATIENCE_S: Final = 30.0
"""How long a home retries before it fails. [s]"""
BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0
GAP_MAX_INTERVALS: Final = 192
"""Missed results that are asked for one by one; the operator keeps no more."""

T = TypeVar("T")


class NotAcknowledged(P2PError):
    """The operator did not answer in time; whether it knows is unknown."""

    def __init__(self, what: str, patience_s: float, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{what}: no valid answer within {patience_s:g} s; last: {problem}")


class NotJoined(P2PError, RuntimeError):
    """A home that was used before `join`."""


class Results:
    """Results of the operator, each once, in the order of intervals; `Household.results` makes it.

    Those that gossip lost are asked for when a later one shows the gap. The last one has no later one, so
    wait for it with `Household.result`.
    """

    def __init__(self, household: Household, gossip: Subscription, due: int | None) -> None:
        self._household = household
        self._gossip = gossip
        self._due = due
        self._ready: deque[ResultMessage] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ResultMessage:
        while not self._ready:
            await self._advance()
        return self._ready.popleft()

    async def _advance(self) -> None:
        gossip = await self._gossip.receive()
        try:
            result = self._household.read_result(gossip.data)
        except RemoteError as error:
            self._household.refused.add(gossip.author, error.code, error.detail)
            return
        start, step = result.interval_start, self._household.interval_s
        if self._due is not None and start < self._due:
            return
        due = start if self._due is None else self._due
        missed = [
            await self._household.missed(earlier)
            for earlier in range(max(due, start - GAP_MAX_INTERVALS * step), start, step)
        ]
        # Nothing above has changed us: a reader that is cancelled while it asks finds the same gap next time.
        self._due = start + step
        self._ready.extend(found for found in missed if found is not None)
        self._ready.append(result)


class Household:
    """The client of one meter; `join` it first.

    It keeps to one collector. When that one fails it continues with the next in the list and resubmits its
    messages of the current interval.

    Args:
        transport: An open endpoint of the same identity, so that the collector knows who asks for a line.
        identity: Key that signs its messages.
        chain_id: 32 bytes of the chain.
        household: Its id in the roster.
        collectors: Who collects, and where.
        minutes: Length of the interval. [min]
        journal: Keeps what was signed; in memory where none is given.
        limits: Ranges of the chain.
        homes: Number of members of the chain.
    """

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        chain_id: bytes,
        household: str,
        collectors: Collectors,
        minutes: int,
        journal: Journal | None = None,
        limits: Limits = DEFAULT_LIMITS,
        homes: int = 1,
    ) -> None:
        self.id = household
        self._transport = transport
        self._identity = identity
        self._chain_id = chain_id
        self._collectors = collectors
        self.interval_s = minutes * 60
        self._journal = journal or Journal(None)
        self._limits = limits
        self._tapes = TapeReader(chain_id, limits, homes)
        self._joined = False
        # By protocol and round, in the order in which they were sent: another collector gets them in that order.
        self._said: dict[tuple[str, int], tuple[bytes, bytes]] = {}
        self._said_for = -1
        self._promises: dict[int, tuple[bytes, bytes]] = {}
        self._receipts: dict[tuple[bytes, bytes], ReceiptMessage] = {}
        self._gossip: Subscription | None = None

    @property
    def refused(self) -> Refusals:
        """Everything refused on this node, by peer and code."""
        return self._transport.stats.refused

    async def join(self, *, patience_s: float = PATIENCE_S) -> None:
        """Connect to a collector and listen to results.

        Raises:
            NotAcknowledged: None answered.
        """
        if self._gossip is None:
            self._gossip = await self._transport.subscribe(result_topic(self._chain_id))
        await self._persist(f"{self.id} joining", patience_s, self._collectors.reach)
        self._joined = True

    async def submit(
        self, message: OrderMessage | NothingMessage, *, patience_s: float = PATIENCE_S
    ) -> ReceiptMessage:
        """Submit an order (or "nothing") and return its receipt; waits for a gate that is not open yet.

        Raises:
            InvalidMessage: A message no operator would take; nothing was sent.
            RequestRefused: The operator refused it unread, with a code.
            NotAcknowledged: No receipt came in time; submitting the same message again is safe.
            RemoteError: What came is not the operator's receipt for it.
        """
        return await self._hand_in(BID_PROTOCOL, message, patience_s)

    async def send_reading(
        self, message: ReadingMessage, *, patience_s: float = PATIENCE_S
    ) -> ReceiptMessage:
        """Submit a meter reading, as `submit` does an order."""
        return await self._hand_in(READING_PROTOCOL, message, patience_s)

    async def result(self, interval_start: int, *, patience_s: float = PATIENCE_S) -> ResultMessage:
        """Ask the operator for the result of an interval, and wait for it.

        Raises:
            NotAcknowledged: It did not come in time.
            RequestRefused: The operator no longer stores it (code `forgotten`).
            RemoteError: What came is not the operator's result of that interval.
        """
        question = ask(self._chain_id, interval_start)
        what = f"result of {interval_start}"
        data = await self._ask(RESULT_PROTOCOL, interval_start, question, what, patience_s)
        result = self.read_result(data)
        if result.interval_start != interval_start:
            raise WrongKind(f"the result of {result.interval_start}; asked for {interval_start}")
        return result

    async def line(self, interval_start: int, *, patience_s: float = PATIENCE_S) -> bytes:
        """Ask the operator for this home's settlement line of an interval; its proof is not checked here.

        Raises:
            NotAcknowledged: It did not come in time.
            RequestRefused: Not of the roster, or no such line any more.
        """
        question = ask(self._chain_id, interval_start)
        return await self._ask(
            LINE_PROTOCOL, interval_start, question, f"line of {interval_start}", patience_s
        )

    async def inclusion(
        self, interval_start: int, number: int = 0, *, patience_s: float = PATIENCE_S
    ) -> bytes:
        """Ask for the opening of this home's leaf in the batch's inclusion root, as `line` asks for the line.

        Args:
            number: Of the round, from 0.
        """
        question = ask_round(self._chain_id, interval_start, number)
        what = f"leaf of {interval_start}, round {number}"
        return await self._ask(INCLUSION_PROTOCOL, interval_start, question, what, patience_s)

    async def position(
        self, interval_start: int, number: int = 0, *, patience_s: float = PATIENCE_S
    ) -> bytes:
        """Ask for what this home has bought and sold up to a round, as `line` asks for the line, but before it."""
        question = ask_round(self._chain_id, interval_start, number)
        what = f"position of {interval_start}, round {number}"
        return await self._ask(POSITION_PROTOCOL, interval_start, question, what, patience_s)

    async def tape(self, interval_start: int, number: int, *, patience_s: float = PATIENCE_S) -> Tape:
        """Ask for the orders of the rounds up to one, without names; waits until its gate has closed.

        Raises:
            NotAcknowledged: It did not come in time.
            RequestRefused: The collector does not have it any more.
            RemoteError: What came is no such tape.
        """

        async def attempt() -> Tape | None:
            await self._send_what_is_due(interval_start)
            return await self._tapes.fetch(
                interval_start, number, lambda question: self._request(TAPE_PROTOCOL, question)
            )

        return await self._persist(
            f"{self.id}, tape of {interval_start}, round {number}", patience_s, attempt
        )

    def promise(self, interval_start: int, number: int = 0) -> tuple[bytes, bytes] | None:
        """The newest receipt that promises to include an order or "nothing" of the current interval, and the message.

        Args:
            number: Of the round, from 0.

        Signed bytes of both, as `p2p.batches.receipts.make_omission` takes them; None where there is no such promise.
        """
        return self._promises.get(number) if interval_start == self._said_for else None

    def reading_taken_by(self, interval_start: int) -> frozenset[bytes]:
        """Keys of the collectors that promised to include the reading of the current interval."""
        if interval_start != self._said_for or (READING_PROTOCOL, 0) not in self._said:
            return frozenset()
        name, _ = self._said[READING_PROTOCOL, 0]
        answers = self._receipts.items()
        return frozenset(key for (key, of), receipt in answers if of == name and receipt.code in PROMISES)

    def results(self, first: int | None = None) -> Results:
        """Iterate over verified results as they come; one reader at a time.

        Args:
            first: Start of the first interval wanted; None begins with the first that arrives. [s]

        Raises:
            NotJoined: The home listens to nothing yet.
        """
        if self._gossip is None:
            raise NotJoined(f"home {self.id} listens to nothing; join first")
        return Results(self, self._gossip, first)

    async def missed(self, interval_start: int) -> ResultMessage | None:
        """Ask for a result that gossip lost; None where the operator has none or does not answer."""
        try:
            return await self.result(interval_start)
        except RemoteError as error:
            self.refused.add(self._collectors.current.address, error.code, error.detail)
        except (RequestRefused, NotAcknowledged):
            pass
        return None

    def read_result(self, data: bytes) -> ResultMessage:
        """Verify a result of a collector and note the collector it names; raises a RemoteError for anything else."""
        result = self._open(data, Kind.RESULT)
        if not isinstance(result, ResultMessage):
            raise TypeError(f"a {type(result).__name__} passed the check of kinds")
        self._collectors.name(result.next_collector, result.height, result.interval_start, self._said_for)
        return result

    def _open(self, data: bytes, kind: Kind) -> Message:
        return open_message(
            data,
            chain_id=self._chain_id,
            kinds=(kind,),
            household_keys={self.id: self._identity.public_key},
            collector_keys=self._collectors.keys,
            limits=self._limits,
        )

    async def _hand_in(
        self, protocol: str, message: OrderMessage | NothingMessage | ReadingMessage, patience_s: float
    ) -> ReceiptMessage:
        if message.household != self.id:
            raise InvalidMessage(f"a message of {message.household!r}; this is home {self.id!r}")
        name, start = message_id(message), message.interval_start
        signed = self._journal.sign_once(
            int(protocol == READING_PROTOCOL),
            start,
            self.id,
            message.nonce,
            lambda: sign_message(self._identity, message, self._limits),
        )
        if start != self._said_for:
            self._said_for = start
            self._said.clear()
            self._promises.clear()
            self._receipts.clear()
            self._journal.forget_before(start - GAP_MAX_INTERVALS * self.interval_s)
        self._said[protocol, 0 if isinstance(message, ReadingMessage) else message.round] = (name, signed)
        what = f"{self.id}, {type(message).__name__} of {start}"

        async def attempt() -> ReceiptMessage | None:
            collector = self._collectors.current.key
            if not await self._say_all():
                return None
            return self._receipts.get((collector, name))

        return await self._persist(what, patience_s, attempt)

    async def _say_all(self) -> bool:
        """Submit to the current collector what it has not got of this interval; False while it is too early."""
        for (protocol, number), (name, signed) in list(self._said.items()):
            collector = (
                self._collectors.current.key
            )  # which a result may have changed during the last request
            if (collector, name) in self._receipts:
                continue
            data = await self._request(protocol, signed)
            receipt = self._open(data, Kind.RECEIPT)
            if not isinstance(receipt, ReceiptMessage) or receipt.message_id != name:
                raise WrongKind("a receipt for another message")
            if receipt.code == ReceiptCode.EARLY:
                return False
            if protocol == BID_PROTOCOL and receipt.code in PROMISES:
                self._promises[number] = (data, signed)
            self._receipts[collector, name] = receipt
        return True

    async def _ask(
        self, protocol: str, interval_start: int, question: bytes, what: str, patience_s: float
    ) -> bytes:
        async def attempt() -> bytes | None:
            await self._send_what_is_due(interval_start)
            return await self._request(protocol, question) or None

        return await self._persist(f"{self.id}, {what}", patience_s, attempt)

    async def _send_what_is_due(self, interval_start: int) -> None:
        """Before a question about the current interval: a collector that has taken over knows nothing of it yet."""
        if interval_start == self._said_for:
            await self._say_all()

    async def _request(self, protocol: str, frame: bytes) -> bytes:
        if not self._joined:
            raise NotJoined(f"home {self.id} has no collector; join first")
        return await self._collectors.request(protocol, frame)

    async def _persist(self, what: str, patience_s: float, attempt: Callable[[], Awaitable[T | None]]) -> T:
        """Repeat an attempt, with growing pauses, until it answers; None means "not yet"."""
        problem, pause_s = "nothing was tried", BACKOFF_MIN_S
        with trio.move_on_after(patience_s):
            while True:
                try:
                    answer = await attempt()
                except LinkError as error:
                    problem = str(error)
                except RequestRefused as error:
                    if error.code not in TRANSIENT:
                        raise
                    problem = str(error)
                else:
                    if answer is not None:
                        return answer
                    problem = "not yet"
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, BACKOFF_MAX_S)
        raise NotAcknowledged(what, patience_s, problem)
