"""Announces settled intervals: their proofs by gossip, and to those who ask results, lines, leaves and positions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Final

import trio

from market.units import MICRO_PER_UNIT, IntArray
from p2p.batches.batch import BatchArgs, batches, versions_in
from p2p.batches.closings import Closing
from p2p.batches.receipts import slots
from p2p.blocks.block import Block, CommitCertificate
from p2p.errors import RemoteError
from p2p.ledger.closed import LastClosed
from p2p.ledger.light import BatchProof, make_batch_proof, make_proof
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import Closings, Position, result_topic
from p2p.roles.replica.blobs import Blobs
from p2p.roles.replica.ledger import Ledger
from p2p.roles.validator.batch_check import Offload
from p2p.transports.base import GOSSIP_MAX_BYTES, Transport
from p2p.wire import messages
from p2p.wire.codec import encode
from wattswap.nodes.ahead import Ahead
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.interval import Recomputed
from wattswap.nodes.stats import Stats
from wattswap.runs.interval import position_wh
from wattswap.runs.prepare import Setup

SUBSCRIBERS_S: Final = 3.0
"""How long the first result waits for subscribers. [s]"""
ANNOUNCED_AGAIN: Final = 4
"""Settled intervals before the newest that a restarted collector announces again."""

_log = logging.getLogger(__name__)


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


class Announcer:
    """Provides what homes may know of the intervals of a chain.

    Args:
        setup: The scenario.
        operator: The collecting role of this node.
        own_key: Public key that signs this node's batches.
        fetch: Gets the blob of a batch that was collected elsewhere, by its hash, or None.
        offload: Where heavy functions run.

    Attributes:
        submitted: When this node first submitted the batch of an interval, by its start.
    """

    def __init__(
        self,
        setup: Setup,
        transport: Transport,
        operator: Operator,
        own_key: bytes,
        ledger: Ledger,
        blobs: Blobs,
        checker: BatchChecker,
        stats: Stats,
        fetch: Callable[[bytes], Awaitable[bytes | None]],
        offload: Offload,
        kept_intervals: int,
    ) -> None:
        self._setup, self._transport, self._operator, self._own_key = setup, transport, operator, own_key
        self._ledger, self._blobs, self._checker, self._stats = ledger, blobs, checker, stats
        self._fetch, self._offload = fetch, offload
        self._kept_s = kept_intervals * setup.minutes * 60
        self._announced: int | None = None
        self._had_subscribers = False
        self.submitted: dict[int, float] = {}

    async def announce_news(self) -> None:
        """Announce what the blocks since the last call settle."""
        height = self._ledger.tip.height
        if self._announced is None:
            self._announced = max(self._ledger.store.base, height - ANNOUNCED_AGAIN)
        while self._announced < height:
            self._announced += 1
            await self._announce(self._announced)

    async def _announce(self, height: int) -> None:
        block, cert = self._ledger.store.block(height)
        for index, args in batches(block.txs):
            start_s, answers = args.interval_start, self._operator.answers
            self._operator.end_interval(start_s)
            self._blobs.forget_before(start_s - self._kept_s)
            proof = self._proof(block, cert, index)
            answers.provide_result(start_s, encode(proof))
            blob = await self.blob(args)
            if blob is not None:  # else collected elsewhere and not available: other collectors announce it
                try:
                    recomputed = await self._offload(self._checker.recompute, blob)
                except RemoteError as error:
                    _log.error("interval %s is settled, but its lines cannot be computed: %s", start_s, error)
                    answers.provide_lines(start_s, {})
                else:
                    self._provide(start_s, recomputed, proof)
                    self._provide_closings(start_s, self._checker.content(blob).closings)
            is_own = block.txs[index].sender == self._own_key
            if is_own:
                await self._gossip(encode(proof))
            self._note(args, block, cert, is_own=is_own)
        for index, later in versions_in(block.txs):
            await self._provide_again(later.batch, self._proof(block, cert, index))

    async def _provide_again(self, args: BatchArgs, proof: BatchProof) -> None:
        """Provide the lines of a later version; what was promised is in the first, whose leaves stay.

        Lines of an interval that is older than those that are kept are not given again: the chain has them.
        """
        blob = await self.blob(args)
        if blob is None:
            return
        try:
            recomputed = await self._offload(self._checker.recompute, blob)
        except RemoteError as error:
            _log.error("a later version of %s cannot be computed: %s", args.interval_start, error)
            return
        self._provide_lines(args.interval_start, recomputed, proof)

    def _proof(self, block: Block, cert: CommitCertificate, index: int) -> BatchProof:
        height, genesis = block.header.height, self._setup.genesis
        changes, operators = self._ledger.store.changes(height - 1), self._ledger.operators_below(height)
        return make_batch_proof(block, cert, genesis, index, changes, operators)

    async def blob(self, args: BatchArgs | LastClosed) -> bytes | None:
        """The blob of a settled batch or of closed orders, fetched if need be."""
        blob = self._blobs.get(args.blob_hash)
        if blob is None:
            blob = await self._fetch(args.blob_hash)
            if blob is not None:
                self._blobs.put(blob, args.interval_start)
        return blob

    def _provide(self, start_s: int, recomputed: Recomputed, proof: BatchProof) -> None:
        """Provide the proof of the line and the inclusion leaves of each home on request."""
        roster, rounds, answers = self._setup.roster, self._setup.rounds, self._operator.answers

        def leaf(slot: int, home: int) -> bytes:
            return encode(recomputed.inclusion.opening(home, slot))

        if recomputed.ahead is not None:
            for number in range(rounds):
                self.provide_answers(recomputed.ahead, number)
        elif self._setup.reacts or rounds > 1:
            record = recomputed.record
            position = position_wh(self._setup, record.book, record.clearing)
            self.provide_positions(start_s, position, rounds - 1)
        self._provide_lines(start_s, recomputed, proof)
        for slot in range(slots(rounds)):
            answers.provide_openings(start_s, ByHome(roster, partial(leaf, slot)), slot)

    def _provide_lines(self, start_s: int, recomputed: Recomputed, proof: BatchProof) -> None:
        def line(home: int) -> bytes:
            return make_proof(recomputed.batch, home, proof)

        self._operator.answers.provide_lines(start_s, ByHome(self._setup.roster, line))

    def _provide_closings(self, start_s: int, closings: tuple[Closing, ...]) -> None:
        for slot in range(slots(self._setup.rounds)):
            own = tuple(encode(closing) for closing in closings if closing.slot == slot)
            self._operator.answers.provide_closings(start_s, slot, encode(Closings(own)))

    def provide_positions(self, start_s: int, position: IntArray, number: int = 0) -> None:
        """Answer each home that asks what it has bought and sold up to a round."""
        chain_id = self._setup.genesis.chain_id

        def agreed(home: int) -> bytes:
            wh = int(position[home])
            return encode(Position(messages.VERSION, chain_id, start_s, number, max(wh, 0), max(-wh, 0)))

        self._operator.answers.provide_positions(start_s, ByHome(self._setup.roster, agreed), number)

    def provide_answers(self, ahead: Ahead, number: int) -> None:
        """Answer each home that asks what its orders for a horizon do after a round."""
        answers = ByHome(self._setup.roster, partial(ahead.answer, number))
        self._operator.answers.provide_positions(ahead.start_s, answers, number)

    async def _gossip(self, proof: bytes) -> None:
        """Gossip a result; the first one waits for subscribers, as a gossip mesh needs a heartbeat to form."""
        topic = result_topic(self._setup.genesis.chain_id)
        if not self._had_subscribers:
            self._had_subscribers = True
            with trio.move_on_after(SUBSCRIBERS_S):
                await self._transport.wait_for_subscribers(topic, len(self._operator.speakers))
        if len(proof) <= GOSSIP_MAX_BYTES:  # else, with full entries, homes ask for it
            await self._transport.publish(topic, proof)

    def _note(self, args: BatchArgs, block: Block, cert: CommitCertificate, *, is_own: bool) -> None:
        """Note a settled interval; how long it took, at the node alone whose batch it is: others may have sent one."""
        start_s, price = args.interval_start, args.price
        facts: dict[str, float | None] = {
            "height": block.header.height,
            "round": cert.round,
            "price_per_kwh": None if price is None else price.price / MICRO_PER_UNIT,
        }
        submitted_s = self.submitted.pop(start_s, None)
        if is_own and submitted_s is not None:
            facts["finality_s"] = round(trio.current_time() - submitted_s, 6)
        self._stats.add(start_s, what="settled", **facts)
