"""A home on the network: bid, report the meter, receive the result, check the proof of its own line.

It sees only its own columns of the data. Its messages depend on those, the interval and, where its strategy learns, its
own settlement lines of earlier intervals, which it keeps; so a restarted home sends the same bytes again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import numpy as np
import trio

from agents.bidders import Round
from agents.bidding import Orders
from agents.errors import AgentError, InvalidSnapshot
from agents.meters import Meters
from market.errors import MarketError
from market.rounds import Tape
from market.settlement.accounts import COLUMNS
from p2p.batches.batch import BatchArgs
from p2p.batches.receipts import (
    Opening,
    check_omission,
    check_opening,
    keeps,
    leaf_index,
    make_omission,
)
from p2p.blocks.block import Tx
from p2p.errors import InvalidMessage, OutOfRange, RemoteError
from p2p.ledger.light import Line, batch_in, check_proof
from p2p.roles.collector.gateway import NotTaken
from p2p.roles.exchange.journal import SignedOtherwise
from p2p.roles.exchange.wire import read_position
from p2p.roles.household import NotAcknowledged
from p2p.roles.validator.batch_check import Offload
from p2p.transports.base import RequestRefused
from p2p.wire import messages
from p2p.wire.codec import decode
from p2p.wire.messages import (
    PROMISES,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptMessage,
    ResultMessage,
    message_id,
    signer_of,
)
from wattswap.errors import VerificationFailed
from wattswap.nodes.ahead import read_answer
from wattswap.nodes.learned import Learned
from wattswap.nodes.pace import Pace
from wattswap.runs.horizon import Moves, agree_in_round, measured_in
from wattswap.runs.horizon_lines import NO_LINES, Lines, submitted_lines
from wattswap.runs.interval import own_results, read_meters, sent_orders
from wattswap.runs.prepare import Homes, Setup

GOSSIP_PATIENCE_S: Final = 5.0
"""How long a home waits for a result by gossip before it requests it. [s]"""
HEARD_INTERVALS: Final = 192
GONE: Final = (RequestRefused, NotTaken)
"""What is no longer available: it was settled long before this home started."""
A = TypeVar("A")
R = TypeVar("R")

_log = logging.getLogger(__name__)


MISLED: Final = (SignedOtherwise, InvalidMessage, MarketError, AgentError)
"""Errors to which the answers of a collector may lead: answers unlike those before a restart, and a tape by which a
strategy fails or orders what no message may hold."""


class Client(Protocol):
    """A home's connection to its collector: by a node of its own, or through a gateway."""

    async def submit(self, message: OrderMessage | NothingMessage) -> ReceiptMessage: ...

    async def send_reading(self, message: ReadingMessage) -> ReceiptMessage: ...

    async def result(self, interval_start: int) -> ResultMessage: ...

    async def line(self, interval_start: int) -> bytes: ...

    async def inclusion(self, interval_start: int, number: int = 0) -> bytes: ...

    async def position(self, interval_start: int, number: int = 0) -> bytes: ...

    async def tape(self, interval_start: int, number: int) -> Tape: ...

    def promise(self, interval_start: int, number: int = 0) -> tuple[bytes, bytes] | None: ...

    def reading_taken_by(self, interval_start: int) -> Collection[bytes]: ...


OnOmission = Callable[[str, int, int, bytes], None]
"""(home, interval_start, round, proof): keeps the proof that a collector omitted an order it had promised."""


class Listener:
    """Results received by gossip, by interval; several homes may share one."""

    def __init__(self) -> None:
        self._heard: dict[int, ResultMessage] = {}
        self._news = trio.Condition()

    async def receive(self, result: ResultMessage) -> None:
        """Take a verified result."""
        async with self._news:
            self._heard[result.interval_start] = result
            while len(self._heard) > HEARD_INTERVALS:
                del self._heard[min(self._heard)]
            self._news.notify_all()

    async def wait(self, start_s: int) -> ResultMessage | None:
        """The result of an interval, or None if gossip does not deliver it in time."""
        with trio.move_on_after(GOSSIP_PATIENCE_S):
            async with self._news:
                while start_s not in self._heard:
                    await self._news.wait()
        return self._heard.get(start_s)


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
        client: Its connection to the collector.
        listener: Its results by gossip.
        pace: When it sends its orders.
        on_omission: See `OnOmission`.
        learned: What its strategy has learned.
        offload: Where that is written.
        on_proof: Called with each proof that it has checked.
    """

    setup: Setup
    index: int
    client: Client
    listener: Listener
    pace: Pace
    on_omission: OnOmission
    learned: Learned
    offload: Offload
    on_proof: Callable[[bytes], None] = lambda proof: None

    async def live(self, first: int, on_interval: OnInterval) -> None:
        """Take part in the network from interval `first` of the scenario on.

        Raises:
            InvalidData: What the strategy has learned before it cannot be read.
        """
        community = self._before(first)
        for i in range(first, self.setup.intervals):
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
        start_s = self.setup.start_of(i)
        self.pace.opened()
        # One that is no member submits nothing, follows the results, and checks that its own line is empty.
        takes_part = bool(self.setup.takes_part(i)[self.index])
        said: list[OrderMessage | NothingMessage] = []
        taken = False
        if takes_part:
            try:
                taken = self._count(await retry(self.client.submit, first), done)
                said.append(first)
            except GONE:
                pass
            done.receipt_s = trio.current_time() - begun
        missed = takes_part and not said
        if not missed:
            if isinstance(orders, Lines):
                said += await self._ahead(i, community, orders if taken else NO_LINES, done)
            else:
                said += await self._later_rounds(i, community, orders if taken else None, done)
        meters = await self._lived(i, community, takes_part and not missed)
        if missed:
            return Done(missed=1)
        registers = int(meters.import_wh[0]), int(meters.export_wh[0])
        try:
            if takes_part:
                reading = self._reading(i, start_s, *registers)
                self._count(await retry(self.client.send_reading, reading), done)
            result = await self.listener.wait(start_s)
            done.by_gossip = int(result is not None)
            if result is None:
                result = await retry(self.client.result, start_s)
            done.result_s = trio.current_time() - begun
            proof = await retry(self.client.line, start_s)
            tx, args = batch_in(proof)
            # Who settled may be another collector than the one that took the reading, or the order.
            counts = not takes_part or tx.sender in self.client.reading_taken_by(start_s)
            line = self._check(i, proof, result, registers if counts else None)
            self.on_proof(proof)
            if community.learns:
                postings = np.array([[line.values[name] for name in COLUMNS]], dtype=np.int64)
                community.learn_own(own_results(start_s, postings, args.price))
            done.proofs = 1
            for message in said:
                done.broken_promises += not await self._is_kept(message, tx, args)
        except GONE:
            return Done(missed=1)
        return done

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
                    market.move_to(await self._position(start_s, number))
                tape = await retry(partial(self.client.tape, number=number), start_s)
                opened = Round(number + 1, tape, np.array([market.bought_wh], dtype=np.int64))
                if opened.number == setup.rounds:
                    community.end_rounds(opened)
                    break
                orders = sent_orders(setup, community, i, opened=opened)
                if not takes_part:
                    continue
                message = setup.message(self.index, start_s, orders, opened.number)
                taken = self._count(await retry(self.client.submit, message), done)
                said.append(message)
                standing = orders if taken and isinstance(message, OrderMessage) else None
        except (RequestRefused, RemoteError, *MISLED) as error:
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
                    lines = again if self._count(await retry(self.client.submit, message), done) else lines
                    said.append(message)
                if community.reacts:
                    data = await retry(partial(self.client.position, number=number), start_s)
                    moves = read_answer(setup, data, start_s, number, lines)
                    agreed = agreed or moves
                    agree_in_round(setup, community, agreed, moves, number)
        except (RequestRefused, RemoteError, *MISLED) as error:
            _log.warning("%s stays out of the rounds of %s: %s", setup.roster[self.index], start_s, error)
        return said

    async def _lived(self, i: int, community: Homes, takes_part: bool) -> Meters:
        """Live the interval, where its devices react to what was agreed with that; without an answer with nothing."""
        if takes_part and community.reacts and not self.setup.metered and not self.setup.looks_ahead:
            try:
                position_wh = await self._position(self.setup.start_of(i), self.setup.rounds - 1)
                community.agree(np.array([position_wh], dtype=np.int64))
            except (RequestRefused, RemoteError):
                pass
        return read_meters(self.setup, community, i)

    async def _position(self, start_s: int, number: int) -> int:
        """What this home has bought up to a round less what it has sold, as the collector reports it. [Wh]

        Raises:
            RequestRefused: The collector does not have it any more.
            RemoteError: The answer is malformed or out of range.
        """
        genesis = self.setup.genesis
        data = await retry(partial(self.client.position, number=number), start_s)
        most_wh = genesis.params.max_energy_wh * (number + 1)
        return read_position(data, genesis.chain_id, start_s, number, most_wh)

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

    def _count(self, receipt: ReceiptMessage, done: Done) -> bool:
        taken = receipt.code in PROMISES
        done.receipts += taken
        done.late += not taken
        return taken

    def _check(self, i: int, proof: bytes, result: ResultMessage, registers: tuple[int, int] | None) -> Line:
        """Check the proof of the home's own line, trusting nobody, and return the line.

        Args:
            registers: What the collector that settled has taken from the home; None where it took nothing. [Wh]
        """
        line = check_proof(proof, self.setup.genesis)
        proven = (line.account, line.interval_start, line.block_hash)
        metered = (line.values["import_wh"], line.values["export_wh"])
        if proven != (self.index, self.setup.start_of(i), result.block_hash) or registers not in (
            None,
            metered,
        ):
            raise VerificationFailed.of(
                f"{self.setup.roster[self.index]}, {self.setup.interval(i)}",
                "the proof is not of this home's meter and the announced block",
            )
        return line

    async def _is_kept(self, order: OrderMessage | NothingMessage, tx: Tx, args: BatchArgs) -> bool:
        """Check that the batch includes the order as its receipt promised; keep the proof if it does not."""
        start_s, number, members = order.interval_start, order.round, self.setup.member_list
        opening = decode(Opening, await retry(partial(self.client.inclusion, number=number), start_s))
        index, leaves = leaf_index(self.index, number, len(members)), len(members) * self.setup.rounds
        check_opening(opening, index, leaves, args.inclusion_root)
        promise = self.client.promise(start_s, number)
        # If another collector settled, the one that gave the receipt did not decide.
        if promise is None or signer_of(promise[0]) != tx.sender:
            return True
        if keeps(opening, order.nonce, message_id(order)):
            return True
        receipt, message = promise
        omission = make_omission(receipt, message, members.proof(self.index), opening, tx)
        check_omission(omission, self.setup.genesis)
        self.on_omission(order.household, start_s, number, omission)
        return False


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

    def move_to(self, bought_wh: int) -> None:
        """Take over a position.

        Raises:
            OutOfRange: No clearing of the standing orders leads to it.
        """
        more_wh = bought_wh - self.bought_wh
        if not self.least_wh <= more_wh <= self.most_wh:
            raise OutOfRange(
                f"{more_wh} Wh in a round; the orders give {self.least_wh}..{self.most_wh} Wh at most"
            )
        self.bought_wh = bought_wh
        self.most_wh -= max(more_wh, 0)
        self.least_wh -= min(more_wh, 0)


async def retry(ask: Callable[[A], Awaitable[R]], what: A) -> R:
    """Repeat a request until it is acknowledged, however long the chain makes no progress."""
    while True:
        try:
            return await ask(what)
        except NotAcknowledged as error:
            _log.warning("%s", error)


class OnInterval(Protocol):
    """Called after each interval of a home."""

    def __call__(self, i: int, home: int, done: Done) -> None: ...
