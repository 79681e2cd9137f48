"""A home on the network: bid, report the meter, receive the result, check the proof of its own line.

It sees only its own columns of the data. Its messages depend on those, the interval and, where its strategy learns, its
own settlement lines of earlier intervals, which it keeps; so a restarted home sends the same bytes again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np
import trio

from agents.bidders import Round
from agents.bidding import Orders
from agents.errors import AgentError, InvalidSnapshot
from agents.meters import Meters
from market.errors import MarketError
from market.settlement.accounts import COLUMNS
from p2p.batches.closings import (
    Closing,
    check_closers,
    check_closing,
    make_broken_promise,
)
from p2p.batches.receipts import (
    ABSENT,
    Opening,
    check_opening,
    keeps,
    leaf_index,
    make_omission,
    slot_of,
    slots,
)
from p2p.errors import BadProof, InvalidMessage, OutOfRange, RemoteError
from p2p.ledger.light import Line, SettledInterval
from p2p.ledger.modules.evidence import BROKEN_PROMISE, OMISSION, PROOFS
from p2p.roles.exchange.journal import SignedOtherwise
from p2p.roles.exchange.wire import read_position
from p2p.roles.household.carrier import NotTaken
from p2p.roles.household.member import Member
from p2p.roles.validator.batch_check import Offload
from p2p.wire import messages
from p2p.wire.codec import decode
from p2p.wire.messages import (
    PROMISES,
    HandedIn,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    SealedMessage,
    message_id,
)
from wattswap.nodes.ahead import read_answer
from wattswap.nodes.late import LateReadings, shows
from wattswap.nodes.learned import Learned
from wattswap.nodes.pace import Pace
from wattswap.runs.horizon import Moves, agree_in_round, measured_in
from wattswap.runs.horizon_lines import NO_LINES, Lines, submitted_lines
from wattswap.runs.interval import own_results, read_meters, sent_orders
from wattswap.runs.prepare import Homes, Setup

GOSSIP_PATIENCE_S: Final = 5.0
"""How long a home waits for a result by gossip before it requests it. [s]"""
RECEIVED_INTERVALS: Final = 192

_log = logging.getLogger(__name__)


MISLED: Final = (SignedOtherwise, InvalidMessage, MarketError, AgentError)
"""Errors to which the answers of a collector may lead: answers unlike those before a restart, and a tape by which a
strategy fails or orders what no message may hold."""

OnProof = Callable[[str, int, int, bytes], None]
"""(home, interval_start, slot, proof): keeps the proof that somebody broke a promise to a home."""


class Listener:
    """Settled intervals known by gossip; several homes may share one."""

    def __init__(self) -> None:
        self._received: dict[int, SettledInterval] = {}
        self._news = trio.Condition()

    async def receive(self, settled: SettledInterval) -> None:
        """Take a settled interval, whose proof was checked."""
        async with self._news:
            self._received[settled.interval_start] = settled
            while len(self._received) > RECEIVED_INTERVALS:
                del self._received[min(self._received)]
            self._news.notify_all()

    async def wait(self, start_s: int, patience_s: float) -> SettledInterval | None:
        """An interval once it is settled, or None if gossip does not say so in time, or speaks of a later one."""
        with trio.move_on_after(patience_s):
            async with self._news:
                while max(self._received, default=-1) < start_s:
                    await self._news.wait()
        return self._received.get(start_s)


@dataclass(slots=True)
class Done:
    """Statistics of one home and interval. [s]"""

    receipts: int = 0
    late: int = 0
    by_gossip: int = 0
    proofs: int = 0
    broken_promises: int = 0
    missed: int = 0
    receipt_s: float = 0.0
    result_s: float = 0.0


@dataclass(slots=True)
class Home:
    """One home.

    Args:
        setup: The scenario.
        index: Its place in the roster.
        client: Its connection to collectors and validators.
        listener: Its results by gossip.
        pace: When it sends its orders.
        on_proof: See `OnProof`.
        learned: What its strategy has learned.
        offload: Where that is written.
        read_line: Checks the proof of a line; raises a RemoteError for anything else.
        late: Gives readings of intervals that were settled without them.
    """

    setup: Setup
    index: int
    client: Member
    listener: Listener
    pace: Pace
    on_proof: OnProof
    learned: Learned
    offload: Offload
    read_line: Callable[[bytes], Line]
    late: LateReadings
    _begun_s: float = 0.0

    async def live(self, first: int, on_interval: OnInterval) -> None:
        """Take part in the network from interval `first` of the scenario on.

        Raises:
            InvalidData: What the strategy has learned before it cannot be read.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.late.run)
            await self._live_all(first, on_interval)
            await self.late.end()
            nursery.cancel_scope.cancel()

    async def _live_all(self, first: int, on_interval: OnInterval) -> None:
        community = self._before(first)
        for i in range(first, self.setup.intervals):
            self.late.drop_before(self.setup.start_of(i))
            orders, message = self._opens_with(i, community)
            await self.pace.opening(i)
            done = await self._interval(i, community, orders, message)
            if community.learns:
                await self.offload(self.learned.keep, self.setup.start_of(i + 1), community.snapshot())
            on_interval(i, self.index, done)

    def _before(self, first: int) -> Homes:
        """The home before an interval: simulated without messages, or as it was when its strategy last learned."""
        community = self.setup.community(self.index)
        if community.learns and first:
            try:
                community.restore(self.learned.before(self.setup.start_of(first)))
            except InvalidSnapshot as error:
                raise self.learned.refused(f"is damaged: {error}") from None
            return community
        for i in range(first):
            self._opens_with(i, community)
            community.live()
        return community

    def _opens_with(self, i: int, community: Homes) -> tuple[Orders | Lines, OrderMessage | NothingMessage]:
        """What it orders in the first round of an interval, and the message of it."""
        setup, start_s = self.setup, self.setup.start_of(i)
        if setup.looks_ahead:
            lines = submitted_lines(setup, community, i, measured=measured_in(setup, 0))
            return lines, setup.message_of(self.index, start_s, lines.of_home(self.index))
        orders = sent_orders(setup, community, i)
        return orders, setup.message(self.index, start_s, orders)

    async def _interval(
        self, i: int, community: Homes, orders: Orders | Lines, first: OrderMessage | NothingMessage
    ) -> Done:
        done, begun = Done(), trio.current_time()
        self._begun_s = begun
        start_s = self.setup.start_of(i)
        self.pace.opened()
        # One that is no member submits nothing, follows the results, and checks that its own line is empty.
        takes_part = bool(self.setup.takes_part(i)[self.index])
        said: list[HandedIn] = []
        taken = False
        if takes_part:
            said.append(self.client.sealed(first))
            taken = await self._submit(said[0], done)
            done.receipt_s = trio.current_time() - begun
        if isinstance(orders, Lines):
            said += await self._ahead(i, community, orders if taken else NO_LINES, done)
        else:
            said += await self._later_rounds(i, community, orders if taken else None, done)
        meters = await self._lived(i, community, takes_part)
        if takes_part:
            reading = self._reading(i, start_s, int(meters.import_wh[0]), int(meters.export_wh[0]))
            await self._submit(reading, done)
            said.append(reading)
        try:
            settled = await self.listener.wait(start_s, self._patience_s(i))
            done.by_gossip = int(settled is not None)
            if settled is None:
                settled = await self.client.result(start_s)
            done.result_s = trio.current_time() - begun
            line = await self.client.line(start_s, partial(self._read_line, settled))
            if community.learns:
                postings = np.array([[line.values[name] for name in COLUMNS]], dtype=np.int64)
                community.learn_own(own_results(start_s, postings, settled.args.price))
            done.proofs = 1
            self.late.note(said, line)
            for message in said:
                if not (isinstance(message, ReadingMessage) and shows(line, message)):
                    done.broken_promises += not await self._is_kept(message, settled)
        except NotTaken as error:
            # It was settled long before this home started, or nobody can compute its lines.
            self.late.note(said, None)
            _log.warning("%s has no proof of %s: %s", self.setup.roster[self.index], start_s, error)
            return Done(missed=1)
        return done

    def _patience_s(self, i: int) -> float:
        """How long it waits for gossip: not beyond the next opening, so that one that is behind catches up. [s]"""
        clock = self.pace.clock
        left_s = self.pace.left_s(clock.opens_ms(i + 1)) if clock.begin_unix_ms else GOSSIP_PATIENCE_S
        return min(left_s, GOSSIP_PATIENCE_S)

    async def _submit(self, message: HandedIn, done: Done) -> bool:
        """Give a message to the collector and to validators; whether the collector has taken it."""
        try:
            taken = (await self.client.submit(message)).code in PROMISES
        except NotTaken as error:
            _log.warning("%s: %s", self.setup.roster[self.index], error)
            taken = False
        done.receipts += taken
        done.late += not taken
        return taken

    async def _later_rounds(
        self, i: int, community: Homes, standing: Orders | None, done: Done
    ) -> list[OrderMessage | NothingMessage]:
        """Order again in every later round of the market, and see the last; return the messages.

        A home that gets no answer, or an impossible one, stays out of the remaining rounds. One that is no member
        follows the tape, so that it knows as much as others when it joins.

        Args:
            standing: What it has ordered in the first round; None where that is not in the book.
        """
        setup, start_s, said = self.setup, self.setup.start_of(i), list[OrderMessage | NothingMessage]()
        if setup.rounds == 1:
            return said
        takes_part = bool(setup.takes_part(i)[self.index])
        market = Standing()
        try:
            for number in range(setup.rounds):
                market.order(standing)
                if takes_part:
                    market.move_to(await self._position(start_s, number, market))
                tape = await self.client.tape(start_s, number, self._due_s(number))
                opened = Round(number + 1, tape, np.array([market.bought_wh], dtype=np.int64))
                if opened.number == setup.rounds:
                    community.end_rounds(opened)
                    break
                orders = sent_orders(setup, community, i, opened=opened)
                if not takes_part:
                    continue
                message = setup.message(self.index, start_s, orders, opened.number)
                taken = await self._submit(message, done)
                said.append(message)
                standing = orders if taken and isinstance(message, OrderMessage) else None
        except (RemoteError, *MISLED) as error:
            _log.warning("%s stays out of the rounds of %s: %s", setup.roster[self.index], start_s, error)
        return said

    async def _ahead(
        self, i: int, community: Homes, lines: Lines, done: Done
    ) -> list[OrderMessage | NothingMessage]:
        """Agree, submit again what the meter shows, and let the battery do what the market answers.

        A home that gets no answer, or an impossible one, stays out of what is left, and runs its battery itself.

        Args:
            lines: What it has submitted at the gate; nothing where that is not in the book.
        """
        setup, start_s, said = self.setup, self.setup.start_of(i), list[OrderMessage | NothingMessage]()
        if not setup.takes_part(i)[self.index]:
            return said
        agreed: Moves | None = None
        try:
            for number in range(setup.rounds):
                if number:
                    again = submitted_lines(setup, community, i, measured=measured_in(setup, number))
                    message = setup.message_of(self.index, start_s, again.of_home(self.index), number)
                    lines = again if await self._submit(message, done) else lines
                    said.append(message)
                if community.reacts:
                    read = partial(_read_answer, setup, start_s, number, lines)
                    moves = await self.client.position(start_s, number, read, self._due_s(number))
                    agreed = agreed or moves
                    agree_in_round(setup, community, agreed, moves, number)
        except (RemoteError, *MISLED) as error:
            _log.warning("%s stays out of the rounds of %s: %s", setup.roster[self.index], start_s, error)
        return said

    async def _lived(self, i: int, community: Homes, takes_part: bool) -> Meters:
        """Live the interval, where its devices react to what was agreed with that; without an answer with nothing."""
        if takes_part and community.reacts and not self.setup.metered and not self.setup.looks_ahead:
            try:
                position_wh = await self._position(self.setup.start_of(i), self.setup.rounds - 1)
                community.agree(np.array([position_wh], dtype=np.int64))
            except RemoteError:
                pass
        return read_meters(self.setup, community, i)

    async def _position(self, start_s: int, number: int, market: Standing | None = None) -> int:
        """What this home has bought up to a round less what it has sold, as the collector reports it. [Wh]

        Args:
            market: What it has ordered and traded so far; an answer that cannot follow from it is wrong.

        Raises:
            RemoteError: No collector has it any more.
        """
        genesis = self.setup.genesis
        most_wh = genesis.params.max_energy_wh * (number + 1)

        def read(data: bytes) -> int:
            bought_wh = read_position(data, genesis.chain_id, start_s, number, most_wh)
            if market is not None:
                market.check(bought_wh)
            return bought_wh

        return await self.client.position(start_s, number, read, self._due_s(number))

    def _due_s(self, number: int) -> float:
        """In how long the gate of a round of this interval ends: who collects knows its outcome then. [s]"""
        ends_s = self._begun_s + (number + 1) * self.pace.clock.gate_s
        return max(0.0, ends_s - trio.current_time())

    def _reading(self, i: int, start_s: int, import_wh: int, export_wh: int) -> ReadingMessage:
        setup = self.setup
        return ReadingMessage(
            messages.VERSION,
            setup.genesis.chain_id,
            start_s,
            setup.minutes,
            setup.roster[self.index],
            setup.nonce(start_s),
            import_wh,
            export_wh,
            int(setup.meter.quality[setup.first_row + i, self.index]),
        )

    def _read_line(self, settled: SettledInterval, proof: bytes) -> Line:
        """Check the proof of the home's own line, trusting nobody, and return the line.

        Raises:
            RemoteError: It is none, or of another home, interval or block.
        """
        line = self.read_line(proof)
        # A later version is in a block of its own.
        of_block = line.version > 1 or line.block_hash == settled.block_hash
        if (line.account, line.interval_start) != (self.index, settled.interval_start) or not of_block:
            raise BadProof("the proof is not of this home's meter and the settled block")
        return line

    async def _is_kept(self, message: HandedIn, settled: SettledInterval) -> bool:
        """Check that the batch includes a message as receipts promised; keep and show the proof if it does not."""
        start_s, members, rounds = message.interval_start, self.setup.member_list, self.setup.rounds
        slot = slot_of(message, rounds)
        index, leaves = leaf_index(self.index, slot, len(members)), len(members) * slots(rounds)

        def read(data: bytes) -> Opening:
            opening = decode(Opening, data)
            check_opening(opening, index, leaves, settled.args.inclusion_root)
            return opening

        opening = await self.client.inclusion(start_s, slot, read)
        promises = self.client.promises(start_s, slot)
        if keeps(opening, message.nonce, message_id(message)) or not promises:
            return True
        home, kept = members.proof(self.index), True
        # Who settles sealed orders need not have closed them: there the promises of validators alone bind.
        if settled.tx.sender in promises and not isinstance(message, SealedMessage):
            receipt, signed = promises[settled.tx.sender]
            proof = make_omission(receipt, signed, home, opening, settled.tx)
            kept = not await self._accuse(message, slot, OMISSION, proof) and kept
        check = partial(self._check_closings, settled, slot, opening)
        for closing in await self.client.closings(start_s, slot, check):
            if closing.validator in promises:
                proof = make_broken_promise(*promises[closing.validator], home, closing)
                kept = not await self._accuse(message, slot, BROKEN_PROMISE, proof) and kept
        return kept

    def _check_closings(
        self, settled: SettledInterval, slot: int, opening: Opening, closings: tuple[Closing, ...]
    ) -> None:
        """Refuse closings that cannot be those of the batch: a collector could leave out who broke its promise.

        Raises:
            RemoteError: One is none of this slot, or promises what the batch does not hold; or the slot lacks this
                home's message, and they are not of a quorum.
        """
        genesis, closed = self.setup.genesis, set[bytes]()
        for closing in closings:
            check_closing(closing, genesis.chain_id)
            if (closing.interval_start, closing.slot) != (settled.interval_start, slot):
                raise BadProof("a closing of another interval or slot")
            promised = closing.nonce_of(self.index)
            if promised is not None and promised > opening.nonce:
                raise BadProof("a closing promises a message that the batch does not hold")
            closed.add(closing.validator)
        if opening.nonce == ABSENT and slot in (0, self.setup.rounds):
            check_closers([frozenset(closed)], settled.trusted.validators)

    async def _accuse(self, message: HandedIn, slot: int, method: str, proof: bytes) -> bool:
        """Keep a proof and give it to validators; False where it proves nothing."""
        try:
            culprit, _ = PROOFS[method](
                proof, self.setup.genesis, lambda _, interval_start: self.client.public_key(interval_start)
            )
        except RemoteError:
            return False
        _log.error("%s has a proof of %s against %s", message.household, method, culprit.hex()[:16])
        self.on_proof(message.household, message.interval_start, slot, proof)
        await self.client.accuse(method, proof, culprit)
        return True


def _read_answer(setup: Setup, start_s: int, number: int, lines: Lines, data: bytes) -> Moves:
    return read_answer(setup, data, start_s, number, lines)


@dataclass(slots=True)
class Standing:
    """What a home has ordered and traded in an interval so far, to check the positions that a collector reports.

    Attributes:
        bought_wh: Bought less sold. [Wh]
        most_wh: What the standing orders can still buy. [Wh]
        least_wh: What they can still sell, below 0. [Wh]
    """

    bought_wh: int = 0
    most_wh: int = 0
    least_wh: int = 0

    def order(self, orders: Orders | None) -> None:
        """Replace the standing orders by those of a round; None or orders without energy leave them."""
        if orders is not None and orders.energy_wh.any():
            self.most_wh = int(orders.energy_wh[orders.side > 0].sum())
            self.least_wh = -int(orders.energy_wh[orders.side < 0].sum())

    def check(self, bought_wh: int) -> None:
        """Raise unless a position can follow.

        Raises:
            OutOfRange: No clearing of the standing orders leads to it.
        """
        more_wh = bought_wh - self.bought_wh
        if not self.least_wh <= more_wh <= self.most_wh:
            raise OutOfRange(
                f"{more_wh} Wh in a round; the orders give {self.least_wh}..{self.most_wh} Wh at most"
            )

    def move_to(self, bought_wh: int) -> None:
        """Take over a position that was checked."""
        more_wh = bought_wh - self.bought_wh
        self.bought_wh = bought_wh
        self.most_wh -= max(more_wh, 0)
        self.least_wh -= min(more_wh, 0)


class OnInterval(Protocol):
    """Called after each interval of a home."""

    def __call__(self, i: int, home: int, done: Done) -> None: ...
