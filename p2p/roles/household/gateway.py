"""The node of one home or of many: each home signs for itself, the node carries.

What the homes submit travels in batches, one frame for some hundred messages, to the collector and to validators. A
gateway can delay and drop messages, which their homes notice by the missing receipt; it can change none and read no
line that its homes did not ask for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from market.rounds import Tape
from p2p.batches.closings import Closing, decode_closing
from p2p.batches.receipts import slot_of
from p2p.errors import RemoteError, WrongKind, WrongSignature
from p2p.ledger.light import SettledInterval
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.tape import TAPE_PROTOCOL, TapeReader
from p2p.roles.exchange.wire import (
    BATCH_MAX,
    BATCH_PROTOCOL,
    CLOSINGS_PROTOCOL,
    EVIDENCE_PROTOCOL,
    LATE_PROTOCOL,
    NOT_QUEUED,
    RESULT_PROTOCOL,
    TRANSIENT,
    Accusation,
    Closings,
    HandIn,
    ask,
    ask_slot,
    result_topic,
)
from p2p.roles.household.carrier import Carrier, Item, NotTaken
from p2p.roles.household.collectors import Collector, Collectors
from p2p.roles.household.former import NO_FORMER, Former
from p2p.roles.household.frames import AGAIN_MAX_S, AGAIN_MIN_S, RESULT_AGAIN_S
from p2p.roles.household.sealing import Seal, sealed_of
from p2p.roles.household.witnesses import GateAge, Promise, Witnesses
from p2p.transports.base import RequestRefused, Transport
from p2p.transports.counters import Refusals
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES, LinkError
from p2p.wire.identity import Identity
from p2p.wire.limits import DEFAULT_LIMITS, Limits
from p2p.wire.messages import (
    PROMISES,
    VERSION,
    HandedIn,
    Kind,
    LineQueryMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    Said,
    SealedMessage,
    content_of,
    lasting,
    message_id,
    open_message,
    sign_message,
    signer_of,
)
from p2p.wire.sealed import seal_message

GATHER_S: Final = 0.02
"""How long the first message of a gateway's homes waits for others. [s]"""
SHARED_MAX: Final = 64
"""Results and tapes, those last asked for, that homes of a node get without a question to others."""
ACCUSE_AGAIN_S: Final = 10.0
"""Pause before a proof is given to validators again that too few of them have answered. [s]"""
AGAIN: Final = TRANSIENT | {NOT_QUEUED, "rate_limited"}
"""Codes of validators that may take the same proof later."""
HISTORY_INTERVALS: Final = 192
"""Intervals whose signed messages are kept."""

A = TypeVar("A")
T = TypeVar("T")
ReadResult = Callable[[bytes], SettledInterval]
"""Checks the proof of a settled interval; raises a RemoteError for anything else."""
OnResult = Callable[[SettledInterval], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Shared(Generic[T]):
    """What one home has asked for and all of the node receive."""

    answer: T | RemoteError | None = None
    done: trio.Event = field(default_factory=trio.Event)


NO_METERS: Final[Mapping[str, Identity]] = {}


class Gateway:
    """Carries for its homes while `run` runs.

    Args:
        transport: An open endpoint of the node's own identity.
        identities: Key of each home, which this process holds on their behalf.
        chain_id: 32 bytes of the chain.
        collectors: Who collects, and where.
        minutes: Length of the interval. [min]
        read_result: See `ReadResult`.
        on_result: Called with every settled interval that gossip brings.
        journal: Keeps what was signed; in memory where none is given.
        limits: Ranges of the chain.
        homes: Number of members of the chain.
        show_after_s: See `Witnesses`, `after_s`. [s]
        gate_age_s: See `GateAge`; without it each message is given as its gate opens.
        former: Keys that sign the messages of intervals before a rotation.
        seal: Seals an order, see `seal_message`.
        meters: Keys that sign the readings of the homes whose meters have one.
    """

    def __init__(
        self,
        transport: Transport,
        identities: Mapping[str, Identity],
        chain_id: bytes,
        collectors: Collectors,
        minutes: int,
        read_result: ReadResult,
        on_result: OnResult | None = None,
        journal: Journal | None = None,
        limits: Limits = DEFAULT_LIMITS,
        homes: int = 1,
        show_after_s: float = 0.0,
        gate_age_s: GateAge = lambda _start, _slot: 0.0,
        former: Former = NO_FORMER,
        seal: Seal = seal_message,
        meters: Mapping[str, Identity] = NO_METERS,
    ) -> None:
        self._transport = transport
        self._former, self._seal, self._meters = former, seal, meters
        self.identities = dict(identities)
        self._key_of = lasting({name: identity.public_key for name, identity in identities.items()})
        self._chain_id = chain_id
        self._collectors = collectors
        self.minutes = minutes
        self._read_result, self._on_result = read_result, on_result
        self._journal = journal or Journal(None)
        self._limits = limits
        self._tape_reader = TapeReader(chain_id, limits, homes)
        self._tapes: dict[tuple[int, int], _Shared[Tape]] = {}
        self._results: dict[tuple[int, int], _Shared[SettledInterval]] = {}
        self._promises: dict[tuple[str, int], tuple[int, dict[bytes, Promise]]] = {}
        gather_s = GATHER_S if len(identities) > 1 else 0.0
        self._carrier = Carrier(chain_id, collectors, self._refused, gather_s=gather_s)
        self._witnesses = Witnesses(
            chain_id,
            collectors,
            self._read_receipt,
            self._refused,
            gather_s=gather_s,
            after_s=show_after_s,
            gate_age_s=gate_age_s,
            first=int.from_bytes(transport.peer_id.encode()[-4:], "big"),
        )
        self._newest = -1
        self._accusations: list[bytes] = []

    @property
    def _refused(self) -> Refusals:
        return self._transport.stats.refused

    async def run(self) -> None:
        """Carry until cancelled."""
        gossip = await self._transport.subscribe(result_topic(self._chain_id))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carrier.run)
            nursery.start_soon(self._witnesses.run)
            nursery.start_soon(self._accuse_again)
            async for received in gossip:
                try:
                    settled = self._note(received.data)
                except RemoteError as error:
                    self._refused.add(received.author, error.code, error.detail)
                    continue
                if self._on_result is not None:
                    await self._on_result(settled)

    def identity_of(self, household: str, interval_start: int) -> Identity:
        """The key that signs a home's own messages of an interval."""
        former = self._former.identities.get(household) if interval_start < self._former.until_s else None
        return former or self.identities[household]

    def _signer(self, message: HandedIn) -> Identity:
        meter = self._meters.get(message.household) if isinstance(message, ReadingMessage) else None
        return meter or self.identity_of(message.household, message.interval_start)

    # --- submitting -----------------------------------------------------------------------------------

    def sealed(self, message: Said) -> Said | SealedMessage:
        """What a home says about its orders, in an envelope where its market seals them."""
        if not self._limits.sealed_bytes:
            return message
        identity = self.identity_of(message.household, message.interval_start)
        validators = self._collectors.validator_set
        return sealed_of(self._seal, self._journal, identity, message, validators, self._limits)

    async def submit(self, message: HandedIn) -> ReceiptMessage:
        """Sign a home's message, give it to the collector and to validators, and return the collector's receipt.

        Raises:
            NotTaken: The collector refused it unread; validators may have taken it.
        """
        name, start, household = message_id(message), message.interval_start, message.household
        slot, identity = slot_of(message, self._limits.rounds), self._signer(message)
        data = self._journal.sign_once(
            slot,
            start,
            household,
            message.nonce,
            lambda: sign_message(identity, message, self._limits),
            content_of,
        )
        if start > self._newest:
            self._newest = start
            self._carrier.drop_before(start)
            self._journal.forget_before(start - HISTORY_INTERVALS * self.minutes * 60)
        self._witnesses.show(household, slot, start, name, data)

        def read(entry: bytes, one: Collector) -> object | None:
            receipt = self._read_receipt(entry, name, one.key)
            if receipt.code in PROMISES:
                self._keep_promise(household, slot, start, one.key, Promise(entry, data))
            elif receipt.code != ReceiptCode.EARLY:
                self._witnesses.show_now(household, slot, one.key)
            return None if receipt.code == ReceiptCode.EARLY else receipt

        # One that finds every message too early must not keep the home from all later ones.
        patient_until = trio.current_time() + self._collectors.failover_s
        item = Item(start, BATCH_PROTOCOL, data, read, patient_until)
        answer = await self._carrier.submit((household, slot), item)
        if not isinstance(answer, ReceiptMessage):
            raise TypeError(f"a {type(answer).__name__} where a receipt was due")
        return answer

    async def give_late(self, readings: Sequence[ReadingMessage]) -> None:
        """Give readings of intervals that are settled to all collectors; whoever fails has them next time."""
        signed = [
            sign_message(self.identity_of(one.household, one.interval_start), one, self._limits)
            for one in readings
        ]
        for first in range(0, len(signed), BATCH_MAX):
            frame = encode(HandIn(VERSION, self._chain_id, tuple(signed[first : first + BATCH_MAX])))
            for one in self._collectors.all:
                with suppress(LinkError, RequestRefused):
                    await self._collectors.request_of(one, LATE_PROTOCOL, frame)

    def promises(self, household: str, interval_start: int, slot: int) -> dict[bytes, Promise]:
        """What collectors and validators have promised about the newest message of a home in a slot, by their keys."""
        start, given = self._promises.get((household, slot), (-1, {}))
        given = given if start == interval_start else {}
        return given | self._witnesses.promises(household, slot, interval_start)

    def _keep_promise(self, household: str, slot: int, start: int, key: bytes, promise: Promise) -> None:
        known, given = self._promises.get((household, slot), (-1, {}))
        others = given if known == start else {}
        self._promises[household, slot] = start, {**others, key: promise}

    def _read_receipt(self, entry: bytes, name: bytes, key: bytes) -> ReceiptMessage:
        """Check the receipt of a collector for a message."""
        receipt = open_message(
            entry,
            chain_id=self._chain_id,
            kinds=(Kind.RECEIPT,),
            key_of=self._key_of,
            collector_keys=self._collectors.keys,
            limits=self._limits,
        )
        if not isinstance(receipt, ReceiptMessage) or receipt.message_id != name:
            raise WrongKind("a receipt for another message")
        if signer_of(entry) != key:
            raise WrongSignature("a receipt that another collector has signed")
        return receipt

    # --- asking ---------------------------------------------------------------------------------------

    async def ask(
        self,
        protocol: str,
        household: str,
        interval_start: int,
        slot: int,
        read: Callable[[bytes], T],
        due_s: float | None = None,
    ) -> T:
        """Ask for a home's settlement line, its leaf or its position, in its name.

        Args:
            protocol: LINES_PROTOCOL, INCLUSIONS_PROTOCOL or POSITIONS_PROTOCOL.
            slot: Round, or behind all rounds the readings; 0 for a line.
            read: Checks what comes; a wrong answer is counted, and the next collector is asked.
            due_s: In how long the answer can be there, where that is known: one that has none a little later collects
                nothing. [s]

        Raises:
            NotTaken: No collector has such a thing any more.
        """
        nonce = interval_start // (self.minutes * 60)
        head = (VERSION, self._chain_id, interval_start, self.minutes, household, nonce)
        query = sign_message(self.identities[household], LineQueryMessage(*head, slot), self._limits)
        found: list[T] = []

        def read_entry(entry: bytes, _one: Collector) -> object | None:
            if entry:
                found.append(read(entry))
            return True if entry else None

        patient_until = trio.current_time() + self._patience_s(due_s)
        await self._carrier.ask(Item(interval_start, protocol, query, read_entry, patient_until))
        return found[-1]

    def _patience_s(self, due_s: float | None) -> float:
        """After how long others are asked what one collector has not answered. [s]"""
        return RESULT_AGAIN_S if due_s is None else due_s + min(RESULT_AGAIN_S, self._collectors.failover_s)

    async def result(self, interval_start: int) -> SettledInterval:
        """Ask for the proof of a settled interval until it is there, once for all homes of this node.

        Raises:
            NotTaken: No collector has it any more.
        """

        def read(reply: bytes) -> SettledInterval:
            settled = self._note(reply)
            if settled.interval_start != interval_start:
                raise WrongKind(f"the result of {settled.interval_start}; asked for {interval_start}")
            return settled

        async def fetch() -> SettledInterval:
            question = ask(self._chain_id, interval_start)
            return await self._persist(lambda: self._collectors.request(RESULT_PROTOCOL, question), read)

        return await _once(self._results, (interval_start, 0), fetch)

    async def closings(
        self, interval_start: int, slot: int, check: Callable[[tuple[Closing, ...]], None]
    ) -> tuple[Closing, ...]:
        """Ask for the closings in the batch of an interval.

        Args:
            check: Raises a RemoteError where they cannot be these; the next collector is asked then, each one once.

        Raises:
            NotTaken: No collector has them any more.
        """
        question, left = ask_slot(self._chain_id, interval_start, slot), len(self._collectors.line)

        def read(reply: bytes) -> tuple[Closing, ...]:
            nonlocal left
            left -= 1
            found = decode(Closings, reply, max_bytes=FRAME_MAX_BYTES).closings
            closings = tuple(map(decode_closing, found))
            try:
                check(closings)
            except RemoteError:
                if left > 0:
                    raise
            return closings

        return await self._persist(lambda: self._collectors.request(CLOSINGS_PROTOCOL, question), read)

    async def accuse(self, method: str, proof: bytes, culprit: bytes) -> None:
        """Ask nothing of one any more that a proof convicts, and give the proof to validators until f + 1 answered."""
        self._collectors.convict(culprit)
        self._accusations.append(encode(Accusation(VERSION, self._chain_id, method, proof)))
        await self._accuse_all()

    async def _accuse_again(self) -> None:
        """Give to validators what too few of them have answered before."""
        while True:
            await trio.sleep(ACCUSE_AGAIN_S)
            await self._accuse_all()

    async def _accuse_all(self) -> None:
        for frame in list(self._accusations):
            answered = 0
            for one in self._collectors.validators:
                try:
                    await self._collectors.request_of(one, EVIDENCE_PROTOCOL, frame)
                except RequestRefused as error:
                    if error.code in AGAIN:
                        continue
                    # Else it has no use for it: the key is convicted already, or this validator protects it.
                except LinkError:
                    continue
                answered += 1
            if answered >= self._collectors.witnesses and frame in self._accusations:
                self._accusations.remove(frame)

    async def tape(self, interval_start: int, number: int, due_s: float | None = None) -> Tape:
        """Ask for the tape of a round, once for all homes of this node; waits until its gate has closed.

        Args:
            due_s: See `ask`.

        Raises:
            NotTaken: No collector has it any more.
        """

        async def fetch() -> Tape:
            tapes = self._tape_reader
            return await self._persist(
                lambda: tapes.fetch(interval_start, number, self._request_tape), lambda tape: tape, due_s
            )

        return await _once(self._tapes, (interval_start, number), fetch)

    async def _request_tape(self, question: bytes) -> bytes:
        return await self._collectors.request(TAPE_PROTOCOL, question)

    async def _persist(
        self, request: Callable[[], Awaitable[A | None]], read: Callable[[A], T], due_s: float | None = None
    ) -> T:
        """Repeat a question until an answer is right: an empty one comes later, after a wrong one others are asked.

        Raises:
            NotTaken: Every collector has refused it, or answered wrongly.
        """
        pause_s, refused = AGAIN_MIN_S, set[bytes]()
        patient_until = trio.current_time() + self._patience_s(due_s)
        while True:
            one = self._collectors.current
            try:
                reply = await request()
                if reply:
                    return read(reply)
                if (now := trio.current_time()) > patient_until:
                    patient_until = now + RESULT_AGAIN_S
                    self._collectors.distrust(one)  # it may be behind, or say so
            except LinkError:
                pass
            except RequestRefused as error:
                if error.code not in TRANSIENT:
                    refused.add(one.key)
                    if refused.issuperset(self._collectors.line):
                        raise NotTaken(f"every collector refused it: {error.code}") from None
                self._collectors.distrust(one)
            except RemoteError as error:
                self._refused.add(one.address, error.code, error.detail)
                if due_s is not None:  # what is settled exists somewhere, a tape may exist nowhere
                    refused.add(one.key)
                    if refused.issuperset(self._collectors.line):
                        raise NotTaken(f"no collector has a right answer: {error.code}") from None
                self._collectors.distrust(one)
            self._carrier.wake()
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, AGAIN_MAX_S)

    def _note(self, data: bytes) -> SettledInterval:
        """Check the proof of a settled interval, and follow the collector that it names."""
        settled = self._read_result(data)
        self._witnesses.end(settled.interval_start)
        number = settled.interval_start // (self.minutes * 60) + 1
        self._collectors.name(settled.args.next_collector, settled.height, number)
        return settled


async def _once(
    known: dict[tuple[int, int], _Shared[T]],
    key: tuple[int, int],
    fetch: Callable[[], Awaitable[T]],
) -> T:
    """Fetch something, or wait for who fetches it already; who asks later gets the same.

    Raises:
        RemoteError: As `fetch`.
    """
    while (shared := known.get(key)) is not None:
        await shared.done.wait()
        if isinstance(shared.answer, RemoteError):
            raise shared.answer
        if shared.answer is not None:
            return shared.answer
    shared = known[key] = _Shared()
    while len(known) > SHARED_MAX:
        del known[next(iter(known))]
    try:
        shared.answer = found = await fetch()
        return found
    except BaseException as error:
        shared.answer = error if isinstance(error, RemoteError) else None
        if known.get(key) is shared:
            del known[key]
        raise
    finally:
        shared.done.set()
