"""A collector's loop: gates, closings, clearing, batch, finality; for the operator and for those who take over.

Every operator and every validator runs one. It collects an interval when its turn has come, and it announces every
interval that the chain has settled, whoever collected it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

import trio
from msgspec.structs import replace

from market.errors import MarketError
from p2p.batches.batch import BatchArgs, CloseArgs, Step, batch_tx, interval_secret
from p2p.batches.blob import NOTHING_OPENED, make_blob
from p2p.batches.closed_orders import Opened, make_closed
from p2p.batches.closings import Closing, incomplete_slots, members_in, wanted_in
from p2p.batches.receipts import slots
from p2p.batches.standing import standing_for, with_standing
from p2p.errors import RemoteError
from p2p.ledger.execution import Tip
from p2p.ledger.modules.settlement import TAKEOVER_BATCHES, next_problem
from p2p.roles.collector.closer import Closer
from p2p.roles.collector.intake import Collected
from p2p.roles.collector.opener import Opener
from p2p.roles.collector.operator import Operator
from p2p.roles.replica.blobs import Blobs
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.schedule import Schedule
from p2p.roles.validator.batch_check import Offload
from p2p.wire.identity import Identity
from p2p.wire.messages import OrderMessage, ReadingMessage, SealedMessage
from p2p.wire.sealing import digest_of
from wattswap.errors import WattswapError
from wattswap.nodes.ahead import Ahead, said_in
from wattswap.nodes.announcer import Announcer
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.interval import Recomputed, next_round, positions_of
from wattswap.nodes.pace import Pace
from wattswap.nodes.stats import Stats
from wattswap.nodes.true_up import TrueUp
from wattswap.runs.prepare import Setup
from wattswap.runs.rounds import Rounds

NOT_CLEARED: Final = (MarketError, WattswapError, ImportError)
"""Errors of a round that cannot be cleared here; the last where its mechanism asks a solver and none is installed."""
TX_LIFETIME: Final = 100
"""Heights for which a batch stays valid."""
SUBMIT_AGAIN_S: Final = 2.0
"""How long to wait for a batch to be decided before it is submitted again. [s]"""
RECOMPUTE_MAX_S: Final = 60.0
"""Longest pause before an interval that could not be computed is computed again. [s]"""

_log = logging.getLogger(__name__)


class Chain(Protocol):
    """The chain as a collector reaches it."""

    ledger: Ledger

    async def submit(self, tx: bytes) -> str: ...


class _Said(NamedTuple):
    """What homes have said of their orders.

    Args:
        signed: Signed messages, where they are sent in the open.
        closed: The closed orders that the chain has taken, where they are sealed.
        opened: What opens those.
    """

    signed: list[bytes]
    closed: bytes = b""
    opened: Opened = NOTHING_OPENED


class CollectorLoop:
    """Collects intervals and announces settled ones.

    Args:
        setup: The scenario.
        operator: The collecting role of this node.
        closer: Closes slots that lack messages.
        opener: Opens sealed orders.
        identity: Key that signs batches.
        secret: Master secret of the salts, the same at every collector.
        schedule: Gates and turns.
        announcer: Announces what is settled.
        is_ready: Whether the node of a public key answers that it does its work.
        true_up: Settles intervals again, beside all others.
        offload: Where heavy functions run.
    """

    def __init__(
        self,
        setup: Setup,
        operator: Operator,
        closer: Closer,
        opener: Opener,
        identity: Identity,
        chain: Chain,
        blobs: Blobs,
        checker: BatchChecker,
        secret: bytes,
        stats: Stats,
        pace: Pace,
        schedule: Schedule,
        announcer: Announcer,
        *,
        is_ready: Callable[[bytes], Awaitable[bool]],
        true_up: TrueUp,
        offload: Offload = trio.to_thread.run_sync,
    ) -> None:
        self._setup, self._operator, self._identity = setup, operator, identity
        self._closer, self._opener = closer, opener
        self._chain, self._ledger = chain, chain.ledger
        self._blobs, self._checker = blobs, checker
        self._secret, self._stats, self._pace = secret, stats, pace
        self._schedule, self._announcer = schedule, announcer
        self._is_ready, self._true_up, self._offload = is_ready, true_up, offload
        self._was_up = False

    async def run(self) -> None:
        """Run until cancelled; when every interval of the scenario is settled, some may be settled again."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._true_up.run)
            await self._collect_all()

    async def _collect_all(self) -> None:
        for i in range(self._setup.intervals):
            start_s = self._setup.start_of(i)
            if not _settled(start_s, self._ledger.tip):
                await self._pace.until(self._schedule.opens_ms(start_s))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._collect, start_s, nursery.cancel_scope)
                    await self._ledger.wait_for(partial(_settled, start_s))
                    nursery.cancel_scope.cancel()
            await self._announcer.announce_news()

    # --- turns ----------------------------------------------------------------------------------------

    async def _wait_for_turn(self, start_s: int) -> int:
        """Wait until this node collects an interval, and return its place in the line.

        One that takes over begins when its turn comes, or before that when homes ask it for what only the collector
        has, or when it has all messages and nobody settles them.
        """
        while True:
            line, key = self._schedule.line(), self._identity.public_key
            if key in line:
                break
            await self._ledger.wait_height(self._ledger.height + 1)
        place = line.index(key)
        if place:
            async with trio.open_nursery() as nursery:

                async def first(event: Callable[[], Awaitable[None]]) -> None:
                    await event()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(first, partial(self._operator.questioned, start_s))
                nursery.start_soon(first, partial(self._is_complete, start_s, place))
                nursery.start_soon(first, partial(self._pace.until, self._schedule.turn_ms(place)))
        return place

    async def _is_complete(self, start_s: int, place: int) -> None:
        """Wait until all messages are here, and for those before this node in the line."""
        await self._operator.complete(start_s)
        await trio.sleep(place * self._schedule.timing.takeover_ms / 1_000)

    async def _next_collector(self, place: int) -> bytes:
        """Whose turn the next interval is first: the first operator's, as soon as it answers.

        One that has taken over keeps the turn once it may, and for long where the operator was up and had not settled
        all the same; see `p2p.ledger.modules.settlement`.
        """
        state, key = self._ledger.tip.state, self._identity.public_key
        if not state.operators:
            return key
        primary = state.operators[0]
        must_return = (state.settled.batches + 1) % TAKEOVER_BATCHES == 0
        if key == primary or must_return:
            return primary
        if not self._was_up and await self._is_ready(primary):
            return primary
        if key in state.operators or self._pace.now_ms() >= self._schedule.takes_over_ms(place):
            return key
        return state.settled.collector

    # --- collecting -----------------------------------------------------------------------------------

    async def _collect(self, start_s: int, settled: trio.CancelScope) -> None:
        place = await self._wait_for_turn(start_s)
        args = self._operator.batch_given(start_s)
        if args is None or self._blobs.get(args.blob_hash) is None:
            args = await self._batch(start_s, place)
        blob = self._blobs.get(args.blob_hash)
        if blob is not None and self._checker.closed(blob):
            await self._pace.until(self._schedule.turn_ms(place))
        self._announcer.submitted[start_s] = trio.current_time()
        while not settled.cancel_called:
            await self._submit(await self._named_again(args, place))
            await trio.sleep(SUBMIT_AGAIN_S)

    async def _named_again(self, args: BatchArgs, place: int) -> BatchArgs:
        """The batch, with another next collector where the chain has come to refuse the one that it names."""
        state, key = self._ledger.tip.state, self._identity.public_key
        if not next_problem(args.next_collector, key, state.settled, state.operators):
            return args
        return replace(args, next_collector=await self._next_collector(place))

    async def _look_for_operator(self) -> None:
        """Note whether the first operator is up, from which this node is about to take over."""
        operators = self._ledger.tip.state.operators
        self._was_up = bool(operators) and await self._is_ready(operators[0])

    async def _batch(self, start_s: int, place: int) -> BatchArgs:
        """Collect an interval, compute it, and return its batch."""
        if place:
            await self._look_for_operator()
        begun = trio.current_time()
        closings: dict[int, tuple[Closing, ...]] = {}
        sealed = self._setup.genesis.params.sealed_bytes > 0
        said = await self._said_sealed(start_s, place) if sealed else await self._said(start_s, closings)
        readings = await self._collect_readings(start_s, closings)
        collected = trio.current_time()
        blob = make_blob(
            self._setup.roster,
            start_s,
            interval_secret(self._secret, start_s),
            [*said.signed, *readings.signed],
            self._needed(start_s, closings, 1 if sealed else 0),
            said.closed,
            said.opened,
        )
        blob, recomputed = await self._complete(await self._with_standing(blob, start_s), start_s)
        self._blobs.put(blob, start_s)
        self._stats.add(
            start_s,
            what="collected",
            gate_s=collected - begun,
            work_s=trio.current_time() - collected,
            orders=recomputed.args.orders,
            readings=len(readings.messages),
        )
        return self._operator.give_batch(
            replace(recomputed.args, next_collector=await self._next_collector(place))
        )

    async def _collect_readings(
        self, start_s: int, closings: dict[int, tuple[Closing, ...]]
    ) -> Collected[ReadingMessage]:
        slot = self._setup.rounds
        deadline_s = self._pace.left_s(self._schedule.closes_ms(start_s, slot))
        collected = await self._operator.collect_readings(start_s, deadline_s)
        if await self._close(start_s, slot, closings):
            return self._operator.collected(ReadingMessage, start_s, slot)
        return collected

    async def _collect_round(
        self, start_s: int, number: int, absent: set[str], closings: dict[int, tuple[Closing, ...]]
    ) -> Collected[OrderMessage]:
        """Collect the orders of a round; who is absent in it is not waited for in later ones."""
        deadline_s = self._pace.left_s(self._schedule.closes_ms(start_s, number))
        collected = await self._operator.collect(start_s, deadline_s, number, absent)
        if await self._close(start_s, number, closings):
            collected = self._operator.collected(OrderMessage, start_s, number)
        absent.update(collected.absent)
        return collected

    async def _close(self, start_s: int, slot: int, closings: dict[int, tuple[Closing, ...]]) -> bool:
        """Close a slot where it lacks messages; whether there may be more messages now."""
        members, present = members_in(self._setup.member_list, start_s), self._present(start_s)
        wanted = wanted_in(slot, present, members, self._setup.rounds)
        if all((slot, home) in present for home in wanted):
            return False
        closings[slot] = await self._closer.close(start_s, slot)
        return True

    def _present(self, start_s: int) -> dict[tuple[int, int], int]:
        found: dict[tuple[int, int], int] = {}
        for slot in range(slots(self._setup.rounds)):
            found |= self._operator.present(start_s, slot)
        return found

    def _needed(
        self, start_s: int, closings: dict[int, tuple[Closing, ...]], first: int = 0
    ) -> list[Closing]:
        """The closings of the slots that still lack messages, from one on."""
        members = members_in(self._setup.member_list, start_s)
        lacking = incomplete_slots(self._present(start_s), members, self._setup.rounds)
        return [closing for slot in lacking if slot >= first for closing in closings.get(slot, ())]

    async def _said(self, start_s: int, closings: dict[int, tuple[Closing, ...]]) -> _Said:
        """The orders of all rounds, as they are sent in the open."""
        orders = await self._collect_orders(start_s, closings)
        return _Said([data for part in orders for data in part.signed])

    async def _said_sealed(self, start_s: int, place: int) -> _Said:
        """The orders of an interval whose market seals them: closed on the chain, then opened.

        Which of several collectors has closed them does not matter: the chain takes one, and all go on with that.
        """
        state = self._ledger.tip.state
        if state.closed.interval_start != start_s:
            await self._close_sealed(start_s, place)
        data = await self._closed_blob(start_s)
        closed = await self._offload(self._checker.closed_orders, data)
        opened = await self._opener.open(closed)
        if self._setup.reacts:
            await self._provide_opened(start_s, data, opened)
        return _Said([], data, opened)

    async def _provide_opened(self, start_s: int, data: bytes, opened: Opened) -> None:
        """Provide the positions by which homes react, from orders that were opened."""
        try:
            content = await self._offload(self._checker.said_in, start_s, data, opened)
            position = await self._offload(positions_of, self._setup, start_s, content.orders)
        except (*NOT_CLEARED, RemoteError) as error:
            _log.error("interval %s cannot be cleared: %s", start_s, error)
            self._operator.answers.provide_positions(start_s, {}, 0)
        else:
            self._announcer.provide_positions(start_s, position)

    async def _close_sealed(self, start_s: int, place: int) -> None:
        """Collect sealed orders, and submit their closing until the chain has one of the interval."""
        deadline_s = self._pace.left_s(self._schedule.closes_ms(start_s, 0))
        collected = await self._operator.collect_sealed(start_s, deadline_s)
        closings: dict[int, tuple[Closing, ...]] = {}
        if await self._close(start_s, 0, closings):
            collected = self._operator.collected(SealedMessage, start_s, 0)
        lacking = self._needed(start_s, closings)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._submit_closing, start_s, place, collected.signed, lacking)
            await self._ledger.wait_for(lambda tip: tip.state.closed.interval_start >= start_s)
            nursery.cancel_scope.cancel()

    async def _submit_closing(
        self, start_s: int, place: int, signed: Sequence[bytes], lacking: list[Closing]
    ) -> None:
        if lacking:
            await self._pace.until(self._schedule.turn_ms(place))
        while True:
            # Made anew each time: validators may have changed, and others cannot open what was sealed to these.
            validators = self._ledger.tip.state.validators
            data = make_closed(self._setup.roster, start_s, validators, signed, lacking)
            name = self._blobs.put(data, start_s)
            await self._submit(CloseArgs(start_s, name, digest_of(validators)))
            await trio.sleep(SUBMIT_AGAIN_S)

    async def _closed_blob(self, start_s: int) -> bytes:
        """The closed orders that the chain has taken, asked for until they are here."""
        pause_s = SUBMIT_AGAIN_S
        while True:
            found = await self._announcer.blob(self._ledger.tip.state.closed)
            if found is not None:
                return found
            _log.error("the closed orders of interval %s are not here; again in %g s", start_s, pause_s)
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, RECOMPUTE_MAX_S)

    async def _collect_orders(
        self, start_s: int, closings: dict[int, tuple[Closing, ...]]
    ) -> list[Collected[OrderMessage]]:
        """Collect the orders of every round, and provide after each what the homes order by in the next.

        A round that cannot be cleared is the last: homes are refused its position and tape, and wait no longer.
        """
        setup, found = self._setup, list[Collected[OrderMessage]]()
        market: Rounds | Ahead | None = None
        if setup.looks_ahead:
            market = Ahead(setup, start_s)
        elif setup.rounds > 1:
            market = Rounds(setup, setup.index_of(start_s))
        absent, failed = set[str](), False
        for number in range(setup.rounds):
            found.append(await self._collect_round(start_s, number, absent, closings))
            if failed:
                continue
            try:
                await self._provide_round(start_s, market, found[-1], number)
            except NOT_CLEARED as error:
                failed = True
                _log.error("round %s of interval %s cannot be cleared: %s", number, start_s, error)
                self._operator.answers.provide_positions(start_s, {}, setup.rounds - 1)
                self._operator.answers.end_rounds(start_s)
        return found

    async def _provide_round(
        self, start_s: int, market: Rounds | Ahead | None, collected: Collected[OrderMessage], number: int
    ) -> None:
        """Clear a round and provide what homes may know of it.

        Args:
            market: The rounds so far; None in a market of one round, of which only homes that react want to know.
            collected: The messages of the round.
            number: Of the round.

        Raises:
            MarketError: The market or its mechanism fails.
            WattswapError: The scenario's data fail.
            ImportError: A solver is asked, and none is installed.
        """
        setup, orders, announcer = self._setup, collected.messages, self._announcer
        if isinstance(market, Ahead):
            market.add(said_in(collected))
            await self._offload(market.moves, number)
            announcer.provide_answers(market, number)
        elif market is not None:
            bought_wh, pages = await self._offload(next_round, setup, start_s, market, orders)
            announcer.provide_positions(start_s, bought_wh, number)
            self._operator.answers.provide_tape(start_s, number, pages)
        elif setup.reacts:
            announcer.provide_positions(start_s, await self._offload(positions_of, setup, start_s, orders))

    async def _with_standing(self, blob: bytes, start_s: int) -> bytes:
        """Put the limits that apply into the blob of a missed interval; see decision 67.

        Without the blob of the interval before they are not known: then it is asked for until it is here, or another
        collector has settled the interval.
        """
        if not self._checker.needs_before(blob):
            return blob
        pause_s = SUBMIT_AGAIN_S
        while True:
            newest = self._ledger.newest_batch
            before = None if newest is None else await self._announcer.blob(newest)
            if before is not None:
                break
            _log.error("interval %s waits for the blob of the one before; again in %g s", start_s, pause_s)
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, RECOMPUTE_MAX_S)
        setup = self._setup
        return with_standing(blob, standing_for(blob, before, setup.genesis, setup.member_list))

    async def _complete(self, blob: bytes, start_s: int) -> tuple[bytes, Recomputed]:
        """Compute an interval; where that fails, again and again until another collector has settled it."""
        pause_s = SUBMIT_AGAIN_S
        while True:
            try:
                done: tuple[bytes, Recomputed] = await self._offload(self._checker.complete, blob)
                return done
            except RemoteError as error:
                _log.error("interval %s cannot be settled: %s; again in %g s", start_s, error, pause_s)
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, RECOMPUTE_MAX_S)

    async def _submit(self, args: Step) -> None:
        tip = self._ledger.tip
        tx = batch_tx(
            self._identity,
            self._setup.genesis.chain_id,
            tip.state.nonce(self._identity.public_key) + 1,
            tip.height + TX_LIFETIME,
            args,
        )
        code = await self._chain.submit(tx.raw)
        if code:
            _log.warning("%s of %s: %s", tx.method, args.interval_start, code)


def _settled(start_s: int, tip: Tip) -> bool:
    return tip.state.settled.last_interval_start >= start_s
