"""A collector's loop: gate, readings, clearing, batch, finality, results; for the operator and a backup.

Every operator and every validator runs one. It collects an interval when it is its turn or when a home hands
something in for it, and it announces every interval that the chain has settled, whoever collected it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Final, Protocol

import numpy as np
import trio

from market.errors import MarketError
from market.units import MICRO_PER_UNIT, IntArray
from p2p.batches.batch import BatchArgs, batch_tx, batches, interval_secret
from p2p.batches.blob import make_blob
from p2p.blocks.block import Block, CommitCertificate
from p2p.errors import RemoteError
from p2p.ledger.execution import Tip
from p2p.ledger.light import make_proof
from p2p.roles.collector.intake import Collected
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import Position
from p2p.roles.replica.blobs import Blobs
from p2p.roles.replica.ledger import Ledger
from p2p.roles.validator.batch_check import Offload
from p2p.wire import messages
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.messages import OrderMessage, ResultMessage
from wattswap.errors import WattswapError
from wattswap.nodes.ahead import Ahead, said_in
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.interval import Recomputed, next_round, positions_of
from wattswap.nodes.pace import Pace
from wattswap.nodes.stats import Stats
from wattswap.runs.interval import position_wh
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
SUBSCRIBERS_S: Final = 3.0
"""How long the first result waits for subscribers. [s]"""
GRACE_SHARE: Final = 0.5
"""Share of `takeover_s` for which a collector out of its turn holds back its batch.

A home that speaks to it alone makes both wait until their gates end; then the one with fewer messages would be done
first, and drop those of all others."""
ANNOUNCED_AGAIN: Final = 4
"""Settled intervals before the newest that a restarted collector announces again."""

_log = logging.getLogger(__name__)


class Chain(Protocol):
    """The chain as a collector reaches it."""

    ledger: Ledger

    async def submit(self, tx: bytes) -> str: ...


class ByHome(Mapping[str, bytes]):
    """Bytes for each home, made on request.

    Args:
        make: From the index of a home in the roster.
    """

    def __init__(self, roster: tuple[str, ...], make: Callable[[int], bytes]) -> None:
        self._roster, self._make = roster, make

    def __getitem__(self, household: str) -> bytes:
        if household not in self._roster:
            raise KeyError(household)
        return self._make(self._roster.index(household))

    def __iter__(self) -> Iterator[str]:
        return iter(self._roster)

    def __len__(self) -> int:
        return len(self._roster)


class CollectorLoop:
    """Collects intervals and announces settled ones.

    Args:
        setup: The scenario.
        operator: The collecting role of this node.
        identity: Key that signs batches.
        secret: Master secret of the salts, the same at every collector.
        first: Whether this is the collector that the first interval waits for.
        next_collector: Says who shall collect the next interval.
        fetch: Gets the blob of a batch that was collected elsewhere, by its hash, or None.
        offload: Where heavy functions run.
    """

    def __init__(
        self,
        setup: Setup,
        operator: Operator,
        identity: Identity,
        chain: Chain,
        blobs: Blobs,
        checker: BatchChecker,
        secret: bytes,
        stats: Stats,
        pace: Pace,
        *,
        first: bool,
        next_collector: Callable[[], Awaitable[bytes]],
        fetch: Callable[[bytes], Awaitable[bytes | None]],
        offload: Offload = trio.to_thread.run_sync,
    ) -> None:
        self._setup, self._operator, self._identity = setup, operator, identity
        self._chain, self._ledger = chain, chain.ledger
        self._blobs, self._checker = blobs, checker
        self._secret, self._stats, self._pace = secret, stats, pace
        self._my_turn = first
        self._next_collector, self._fetch, self._offload = next_collector, fetch, offload
        self._submitted: dict[int, float] = {}
        self._announced: int | None = None
        self._had_subscribers = False

    async def run(self) -> None:
        """Run until every interval of the scenario is settled and announced."""
        for i in range(self._setup.intervals):
            start_s = self._setup.start_of(i)
            if not _settled(start_s, self._ledger.tip):
                await self._pace.opening(i)
                self._pace.opened()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._collect, start_s, nursery.cancel_scope)
                    await self._ledger.wait_for(partial(_settled, start_s))
                    nursery.cancel_scope.cancel()
            await self._announce_news()

    # --- collecting -----------------------------------------------------------------------------------

    async def _collect(self, start_s: int, settled: trio.CancelScope) -> None:
        in_turn = self._my_turn
        if not in_turn:
            await self._operator.spoken(start_s)
        begun = trio.current_time()
        orders = await self._collect_orders(start_s, in_turn=in_turn)
        readings = await self._operator.collect_readings(start_s, self._pace.clock.gate_s)
        collected = trio.current_time()
        secret = interval_secret(self._secret, start_s)
        signed = [*(data for part in orders for data in part.signed), *readings.signed]
        blob = make_blob(self._setup.roster, start_s, secret, signed)
        blob, recomputed = await self._complete(blob, start_s)
        self._blobs.put(blob, start_s)
        absent = sorted({*(home for part in orders for home in part.absent), *readings.absent})
        self._stats.add(
            start_s,
            what="collected",
            gate_s=collected - begun,
            work_s=trio.current_time() - collected,
            orders=sum(len(message.orders) for part in orders for message in part.messages),
            readings=len(readings.messages),
            silent=absent,
        )
        if not in_turn:
            await trio.sleep(GRACE_SHARE * self._pace.clock.takeover_s)
        self._submitted[start_s] = trio.current_time()
        while not settled.cancel_called:
            await self._submit(recomputed.args)
            await trio.sleep(SUBMIT_AGAIN_S)

    async def _collect_orders(self, start_s: int, *, in_turn: bool) -> list[Collected[OrderMessage]]:
        """Collect the orders of every round, and provide after each what the homes order by in the next.

        A round that cannot be cleared is the last: homes are refused its position and tape, and wait no longer.
        """
        setup, found = self._setup, list[Collected[OrderMessage]]()
        market: Rounds | Ahead | None = None
        if setup.looks_ahead:
            market = Ahead(setup, start_s)
        elif setup.rounds > 1:
            market = Rounds(setup, setup.index_of(start_s))
        absent = set[str]()
        for number in range(setup.rounds):
            found.append(await self._operator.collect(start_s, self._pace.clock.gate_s, number, absent))
            if in_turn:
                # One that is out of its turn waits for all: most homes speak to another collector, and with their
                # gates skipped it would be done first, and drop the messages that the other one has.
                absent.update(found[-1].absent)
            try:
                await self._provide_round(start_s, market, found[-1], number)
            except NOT_CLEARED as error:
                _log.error("round %s of interval %s cannot be cleared: %s", number, start_s, error)
                self._operator.provide_positions(start_s, {}, setup.rounds - 1)
                self._operator.end_rounds(start_s)
                members = np.flatnonzero(setup.takes_part(setup.index_of(start_s))).tolist()
                everybody = tuple(setup.roster[home] for home in members)
                not_opened: Collected[OrderMessage] = Collected(start_s, (), (), (), everybody, {})
                return found + [not_opened] * (setup.rounds - len(found))
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
        setup, orders = self._setup, collected.messages
        if isinstance(market, Ahead):
            market.add(said_in(collected))
            await self._offload(market.moves, number)
            self._provide_answers(market, number)
        elif market is not None:
            bought_wh, pages = await self._offload(next_round, setup, start_s, market, orders)
            self._provide_positions(start_s, bought_wh, number)
            self._operator.provide_tape(start_s, number, pages)
        elif setup.reacts:
            self._provide_positions(start_s, await self._offload(positions_of, setup, start_s, orders))

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

    async def _submit(self, args: BatchArgs) -> None:
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
            _log.warning("batch of %s: %s", args.interval_start, code)

    # --- announcing --------------------------------------------------------------------------------------

    async def _announce_news(self) -> None:
        height = self._ledger.tip.height
        if self._announced is None:
            self._announced = max(self._ledger.store.base, height - ANNOUNCED_AGAIN)
        while self._announced < height:
            self._announced += 1
            await self._announce(self._announced)

    async def _announce(self, height: int) -> None:
        block, cert = self._ledger.store.block(height)
        for index, args in batches(block.txs):
            tx = block.txs[index]
            mine = tx.sender == self._identity.public_key
            if not mine:
                self._my_turn = False
            start_s = args.interval_start
            self._operator.end_interval(start_s)
            blob = await self._blob(args)
            if blob is None:
                continue  # collected elsewhere and not available: other collectors announce it
            try:
                recomputed = await self._offload(self._checker.recompute, blob)
            except RemoteError as error:
                _log.error("interval %s is settled, but its lines cannot be computed: %s", start_s, error)
                self._operator.provide_lines(start_s, {})
            else:
                self._provide(start_s, recomputed, block, cert, index)
            after = await self._next_collector() if mine else tx.sender
            result = self._result(block, args, cert.block_hash, after)
            if mine:
                self._my_turn = after == self._identity.public_key
                await self._wait_for_subscribers()
                await self._operator.announce(result)
            else:
                self._operator.keep(result)
            self._note(args, block, cert)

    async def _blob(self, args: BatchArgs) -> bytes | None:
        """The blob of a batch, fetched if need be: homes request old lines from the current collector."""
        blob = self._blobs.get(args.blob_hash)
        if blob is None:
            blob = await self._fetch(args.blob_hash)
            if blob is not None:
                self._blobs.put(blob, args.interval_start)
        return blob

    def _provide(
        self, start_s: int, recomputed: Recomputed, block: Block, cert: CommitCertificate, index: int
    ) -> None:
        """Provide the proof of the line and the inclusion leaves of each home on request."""
        roster, genesis = self._setup.roster, self._setup.genesis
        changes = self._ledger.store.changes(block.header.height - 1)

        def line(home: int) -> bytes:
            return make_proof(recomputed.batch, home, block, cert, genesis, index, changes)

        def leaf(number: int, home: int) -> bytes:
            return encode(recomputed.inclusion.opening(home, number))

        rounds = self._setup.rounds
        if recomputed.ahead is not None:
            for number in range(rounds):
                self._provide_answers(recomputed.ahead, number)
        elif self._setup.reacts or rounds > 1:
            record = recomputed.record
            position = position_wh(self._setup, record.book, record.clearing)
            self._provide_positions(start_s, position, rounds - 1)
        self._operator.provide_lines(start_s, ByHome(roster, line))
        for number in range(rounds):
            self._operator.provide_openings(start_s, ByHome(roster, partial(leaf, number)), number)

    def _provide_positions(self, start_s: int, position: IntArray, number: int = 0) -> None:
        """Answer each home that asks what it has bought and sold up to a round."""
        chain_id = self._setup.genesis.chain_id

        def agreed(home: int) -> bytes:
            wh = int(position[home])
            return encode(Position(messages.VERSION, chain_id, start_s, number, max(wh, 0), max(-wh, 0)))

        self._operator.provide_positions(start_s, ByHome(self._setup.roster, agreed), number)

    def _provide_answers(self, ahead: Ahead, number: int) -> None:
        """Answer each home that asks what its orders for a horizon do after a round."""
        answers = ByHome(self._setup.roster, partial(ahead.answer, number))
        self._operator.provide_positions(ahead.start_s, answers, number)

    async def _wait_for_subscribers(self) -> None:
        """Wait once for the senders to subscribe: a gossip mesh needs a heartbeat to form."""
        if not self._had_subscribers:
            self._had_subscribers = True
            with trio.move_on_after(SUBSCRIBERS_S):
                await self._operator.wait_for_subscribers(len(self._operator.speakers))

    def _note(self, args: BatchArgs, block: Block, cert: CommitCertificate) -> None:
        start_s, price = args.interval_start, args.price
        facts: dict[str, float | None] = {
            "height": block.header.height,
            "round": cert.round,
            "price_per_kwh": None if price is None else price.price / MICRO_PER_UNIT,
        }
        if start_s in self._submitted:
            facts["finality_s"] = round(trio.current_time() - self._submitted.pop(start_s), 6)
        self._stats.add(start_s, what="settled", **facts)

    def _result(
        self, block: Block, args: BatchArgs, block_hash: bytes, next_collector: bytes
    ) -> ResultMessage:
        return ResultMessage(
            messages.VERSION,
            self._setup.genesis.chain_id,
            args.interval_start,
            self._setup.minutes,
            block.header.height,
            args.book_root,
            args.clearing_root,
            args.postings_root,
            block_hash,
            args.price,
            args.prices_root,
            args.traded_wh,
            next_collector,
        )


def _settled(start_s: int, tip: Tip) -> bool:
    return tip.state.settled.last_interval_start >= start_s
