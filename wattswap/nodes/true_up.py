"""Settling intervals again with the readings that came late: any collector does, and the last in the line first.

No turn is needed: a later version leaves out nothing of the one before, and of two the chain takes one. The last in the
line begins, since its key sends nothing else; a batch of the next interval does not wait for a true-up.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Protocol

import trio
from msgspec.structs import replace

from p2p.batches.batch import SETTLE_AGAIN, SETTLEMENT, AgainArgs, BatchArgs, batches, versions_in
from p2p.batches.later import read_by, with_readings
from p2p.blocks.block import make_tx
from p2p.errors import RemoteError
from p2p.ledger.modules.settlement import FIRST_AGAIN, NO_TURN, version_of
from p2p.ledger.versions import is_due
from p2p.roles.collector.late import LateReadings
from p2p.roles.replica.blobs import Blobs
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.schedule import Schedule
from p2p.roles.validator.batch_check import Offload
from p2p.wire.identity import Identity
from wattswap.nodes.announcer import Announcer
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.runs.prepare import Setup

TX_LIFETIME: Final = 20
"""Heights for which a later version stays valid."""
DECIDED_S: Final = 5.0
"""How long to wait for a later version to be decided. [s]"""

_log = logging.getLogger(__name__)


class Chain(Protocol):
    """The chain as a collector reaches it."""

    ledger: Ledger

    async def submit(self, tx: bytes) -> str: ...


class TrueUp:
    """Settles intervals again, and announces the lines of all that are.

    Args:
        setup: The scenario.
        late: Readings that came late.
        identity: Key that signs transactions.
        schedule: Whose turn it would be.
        announcer: Announces what is settled.
        offload: Where heavy functions run.
    """

    def __init__(
        self,
        setup: Setup,
        late: LateReadings,
        identity: Identity,
        chain: Chain,
        blobs: Blobs,
        checker: BatchChecker,
        schedule: Schedule,
        announcer: Announcer,
        *,
        offload: Offload = trio.to_thread.run_sync,
    ) -> None:
        self._setup, self._late, self._identity = setup, late, identity
        self._chain, self._ledger = chain, chain.ledger
        self._blobs, self._checker = blobs, checker
        self._schedule, self._announcer, self._offload = schedule, announcer, offload

    async def run(self) -> None:
        """Run until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce)
            while True:
                await self._wait()
                self._late.drop_old()
                if any(map(self._is_due, self._late.waiting)):
                    await self._let_others()
                    for start_s in sorted(self._late.waiting):
                        if self._is_due(start_s):
                            await self._settle(start_s)

    async def _announce(self) -> None:
        """Announce blocks that settle an interval again; the collector's loop announces those of new ones."""
        height = self._ledger.height
        while True:
            await self._ledger.wait_height(height + 1)
            height += 1
            if versions_in(self._ledger.store.block(height)[0].txs):
                await self._announcer.announce_news()

    async def _wait(self) -> None:
        """Wait for another reading, or for another age of those that are here."""
        newest_s = self._ledger.tip.state.settled.last_interval_start

        async with trio.open_nursery() as nursery:

            async def first(event: Callable[[], Awaitable[object]]) -> None:
                await event()
                nursery.cancel_scope.cancel()

            nursery.start_soon(first, self._late.news)
            nursery.start_soon(
                first,
                partial(self._ledger.wait_for, lambda tip: tip.state.settled.last_interval_start != newest_s),
            )

    async def _let_others(self) -> None:
        """Wait for readings that come together, and for those behind this node in the line."""
        timing, line = self._schedule.timing, self._schedule.line()
        key = self._identity.public_key
        behind = len(line) - 1 - line.index(key) if key in line else len(line)
        await trio.sleep((timing.gate_ms + behind * timing.takeover_ms) / 1_000)

    def _is_due(self, start_s: int) -> bool:
        newest = self._newest(start_s)
        return newest is not None and is_due(self._age(start_s), newest[1])

    def _age(self, start_s: int) -> int:
        return (self._ledger.tip.state.settled.last_interval_start - start_s) // (self._setup.minutes * 60)

    def _newest(self, start_s: int) -> tuple[int, int, bytes] | None:
        """Number, age when it was settled and blob of the newest version of an interval that has one."""
        found = version_of(self._ledger.tip.state.view(), self._setup.genesis, start_s)
        return None if found is None else (found.version, found.age, found.blob_hash)

    async def _settle(self, start_s: int) -> None:
        """Settle an interval again with what is here of it, unless a version has that."""
        newest = self._newest(start_s)
        before = None if newest is None else self._before(start_s, newest[0], newest[2])
        blob = None if before is None else await self._announcer.blob(before)
        if newest is None or before is None or blob is None:
            _log.warning("interval %s cannot be settled again: its messages are not here", start_s)
            return
        roster = self._setup.roster
        self._late.drop(start_s, frozenset(roster[home] for home in read_by(blob)))
        readings = self._late.waiting.get(start_s)
        if not readings:
            return
        try:
            args = await self._made(start_s, newest[0] + 1, before, blob, readings)
        except RemoteError as error:
            _log.error("interval %s cannot be settled again: %s", start_s, error)
            return
        await self._submit(args)

    async def _made(
        self, start_s: int, version: int, before: BatchArgs, former: bytes, readings: Mapping[str, bytes]
    ) -> AgainArgs:
        data = with_readings(former, self._setup.roster, list(readings.values()))
        blob, recomputed = await self._offload(self._checker.complete, data)
        self._blobs.put(blob, start_s)
        batch = replace(recomputed.args, next_collector=NO_TURN)
        return AgainArgs(version, before.totals, batch)

    def _before(self, start_s: int, version: int, blob_hash: bytes) -> BatchArgs | None:
        """The newest version of an interval, from the blocks that are here."""
        store = self._ledger.store
        for height in range(self._ledger.height, store.base, -1):
            txs = store.block(height)[0].txs
            made = [args for _, args in batches(txs)]
            found = [later.batch for _, later in versions_in(txs)] if version >= FIRST_AGAIN else made
            for args in found:
                if (args.interval_start, args.blob_hash) == (start_s, blob_hash):
                    return args
            if any(args.interval_start <= start_s for args in made):
                break  # each later version is above the first one
        return None

    async def _submit(self, args: AgainArgs) -> None:
        tip, genesis = self._ledger.tip, self._setup.genesis
        nonce = tip.state.nonce(self._identity.public_key) + 1
        tx = make_tx(
            self._identity,
            genesis.chain_id,
            nonce,
            tip.height + TX_LIFETIME,
            SETTLEMENT,
            SETTLE_AGAIN,
            args,
        )
        start_s = args.batch.interval_start
        code = await self._chain.submit(tx.raw)
        if code:
            _log.warning("version %s of %s: %s", args.version, start_s, code)
            return
        with trio.move_on_after(DECIDED_S):
            await self._ledger.wait_for(lambda _: (self._newest(start_s) or (0,))[0] >= args.version)
