"""A home on the network: bid, report the meter, receive the result, check the proof of its own line.

It sees only its own columns of the data. Its messages depend on those, the interval and, where its strategy learns, its
own settlement lines of earlier intervals, which it keeps; so a restarted home sends the same bytes again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
import trio

from agents.bidding import Orders
from agents.community import Meters
from agents.errors import InvalidSnapshot
from market.settlement.accounts import COLUMNS
from p2p.batches.batch import BatchArgs
from p2p.batches.receipts import Opening, check_omission, check_opening, keeps, make_omission
from p2p.blocks.block import Tx
from p2p.ledger.light import Line, batch_in, check_proof
from p2p.roles.collector.gateway import NotTaken
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
from wattswap.nodes.learned import Learned
from wattswap.nodes.pace import Pace
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


class Client(Protocol):
    """A home's connection to its collector: by a node of its own, or through a gateway."""

    async def submit(self, message: OrderMessage | NothingMessage) -> ReceiptMessage: ...

    async def send_reading(self, message: ReadingMessage) -> ReceiptMessage: ...

    async def result(self, interval_start: int) -> ResultMessage: ...

    async def line(self, interval_start: int) -> bytes: ...

    async def inclusion(self, interval_start: int) -> bytes: ...

    async def position(self, interval_start: int) -> bytes: ...

    def promise(self, interval_start: int) -> tuple[bytes, bytes] | None: ...


OnOmission = Callable[[str, int, bytes], None]
"""(home, interval_start, proof): keeps the proof that a collector omitted an order it had promised to include."""


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
    """

    setup: Setup
    index: int
    client: Client
    listener: Listener
    pace: Pace
    on_omission: OnOmission
    learned: Learned
    offload: Offload

    async def live(self, first: int, on_interval: OnInterval) -> None:
        """Take part in the network from interval `first` of the scenario on.

        Raises:
            InvalidData: What the strategy has learned before it cannot be read.
        """
        community = self._before(first)
        for i in range(first, self.setup.intervals):
            orders = sent_orders(self.setup, community, i)
            await self.pace.opening(i)
            done = await self._interval(i, community, orders)
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
            sent_orders(self.setup, community, i)
            community.live()
        return community

    async def _interval(self, i: int, community: Homes, orders: Orders) -> Done:
        done, begun = Done(), time.perf_counter()
        start_s = self.setup.start_of(i)
        self.pace.opened()
        order, taken = self.setup.message(self.index, start_s, orders), False
        # One that is no member submits nothing, follows the results, and checks that its own line is empty.
        takes_part = bool(self.setup.takes_part(i)[self.index])
        missed = False
        if takes_part:
            try:
                taken = self._count(await retry(self.client.submit, order), done)
            except GONE:
                missed = True
            done.receipt_s = time.perf_counter() - begun
        meters = await self._lived(i, community, takes_part and not missed)
        if missed:
            return Done(missed=1)
        registers = int(meters.import_wh[0]), int(meters.export_wh[0])
        try:
            handed_in = False
            if takes_part:
                reading = self._reading(i, start_s, *registers)
                handed_in = self._count(await retry(self.client.send_reading, reading), done) and taken
            result = await self.listener.wait(start_s)
            done.by_gossip = int(result is not None)
            if result is None:
                result = await retry(self.client.result, start_s)
            done.result_s = time.perf_counter() - begun
            proof = await retry(self.client.line, start_s)
            tx, args = batch_in(proof)
            heard = not takes_part or (handed_in and self._was_heard(start_s, tx.sender))
            line = self._check(i, proof, result, registers if heard else None)
            if community.learns:
                postings = np.array([[line.values[name] for name in COLUMNS]], dtype=np.int64)
                community.learn_own(own_results(start_s, postings, args.price))
            done.proofs = 1
            done.broken_promises = int(takes_part and not await self._is_kept(order, tx, args))
        except GONE:
            return Done(missed=1)
        return done

    async def _lived(self, i: int, community: Homes, takes_part: bool) -> Meters:
        """Live the interval, where its devices react to what was agreed with that; without an answer with nothing."""
        if takes_part and community.reacts and not self.setup.metered:
            start_s = self.setup.start_of(i)
            try:
                data = await retry(self.client.position, start_s)
                position = read_position(data, self.setup.genesis.chain_id, start_s)
                community.agree(np.array([position], dtype=np.int64))
            except GONE:
                pass
        return read_meters(self.setup, community, i)

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
            registers: What the home reported; None if it was late or another collector settled. [Wh]
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

    def _was_heard(self, start_s: int, settled_by: bytes) -> bool:
        """Whether this home's receipts are from the collector whose batch was settled."""
        promise = self.client.promise(start_s)
        return promise is not None and signer_of(promise[0]) == settled_by

    async def _is_kept(self, order: OrderMessage | NothingMessage, tx: Tx, args: BatchArgs) -> bool:
        """Check that the batch includes the order as its receipt promised; keep the proof if it does not."""
        start_s, members = order.interval_start, self.setup.member_list
        opening = decode(Opening, await retry(self.client.inclusion, start_s))
        check_opening(opening, self.index, len(members), args.inclusion_root)
        promise = self.client.promise(start_s)
        # If another collector settled, the one that gave the receipt did not decide.
        if promise is None or not self._was_heard(start_s, tx.sender):
            return True
        if keeps(opening, order.nonce, message_id(order)):
            return True
        receipt, message = promise
        omission = make_omission(receipt, message, members.proof(self.index), opening, tx)
        check_omission(omission, self.setup.genesis)
        self.on_omission(order.household, start_s, omission)
        return False


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
