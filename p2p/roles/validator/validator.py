"""A validator: the clock, sockets, disk and tasks around the consensus core.

One task passes events to the core and performs its actions in their order; everything that takes time
(building, checking, fetching, timers, sending) runs beside it and answers by an event. A sign-state
that cannot be written, a key that refuses or a full disk ends the validator: nothing is signed after it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count, islice
from typing import Any

import trio

from p2p.batches.batch import AgainArgs, BatchArgs, steps, versions_in
from p2p.blocks import domains
from p2p.blocks.block import Tx, decode_block
from p2p.consensus.core import Core
from p2p.consensus.evidence import make_evidence
from p2p.consensus.sign_state import ConsensusStore
from p2p.consensus.types import (
    Action,
    BlockChecked,
    Broadcast,
    BuildBlock,
    CheckBlock,
    Decide,
    Due,
    Event,
    Evidence,
    NewHeight,
    Persist,
    ResendTick,
    SendCommit,
    SendTo,
    SetTimer,
    Start,
    Sync,
    Timeout,
)
from p2p.consensus.votes import SignGuard
from p2p.errors import LocalError, NotAllowed, RemoteError
from p2p.ledger.execution import choose
from p2p.ledger.modules.settlement import former_blob
from p2p.roles.exchange.turns import NotInTurn
from p2p.roles.replica.blobs import Blobs, serve_blobs
from p2p.roles.replica.peers import CONSENSUS_PROTOCOL, EVIDENCE, TX, Peers, pack, peer_of
from p2p.roles.replica.schedule import Schedule
from p2p.roles.replica.snapshot import serve_snapshots
from p2p.roles.replica.status import serve_status
from p2p.roles.replica.sync import serve_range
from p2p.roles.validator.accuser import Accuser
from p2p.roles.validator.batch_check import (
    AgainCheck,
    BatchCheck,
    BatchChecks,
    NoBlob,
    Offload,
    compare_none,
)
from p2p.roles.validator.building import EvidencePool, build_block
from p2p.roles.validator.catch_up import CatchUp
from p2p.roles.validator.config import ValidatorConfig
from p2p.roles.validator.intake import ConsensusIntake, RateLimited
from p2p.roles.validator.mempool import TX_PROTOCOL, Mempool, TxReply
from p2p.transports.base import Transport, peer_id_of
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION

_INBOX = 256
_IDLE_TICKS = 5
_RELAY_TICKS = 5
_RELAY_TXS = 16


class Validator:
    """A validator of a chain, or a node that waits to become one.

    Args:
        identity: The consensus key.
        schedule: When an interval is due, and whose turn it is; of the `ledger` over the open store of this folder.
        signs: The open sign-state of this key.
        check_batch: See `batch_check.BatchCheck`; it runs in `offload`.
        addresses: Of the other validators.
        may_accuse: Whether proofs of a peer against others are checked.
        check_again: See `batch_check.AgainCheck`; where it is left out, no interval is settled again.
        offload: Where heavy functions run.

    Attributes:
        rounds: How many heights were decided in which round.
    """

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        schedule: Schedule,
        signs: ConsensusStore,
        blobs: Blobs,
        check_batch: BatchCheck,
        addresses: Sequence[str],
        *,
        config: ValidatorConfig | None = None,
        may_accuse: Callable[[str], bool],
        check_again: AgainCheck = compare_none,
        offload: Offload = trio.to_thread.run_sync,
    ) -> None:
        self.ledger = ledger = schedule.ledger
        self.mempool = Mempool(ledger.genesis)
        self.evidence = EvidencePool()
        self.rounds: Counter[int] = Counter()
        self._transport = transport
        self._signs = signs
        self._blobs = blobs
        self._config = config or ValidatorConfig()
        self._schedule, self._now_ms = schedule, schedule.now_ms
        self._chain_id = ledger.genesis.chain_id
        self._guard = SignGuard(
            self._chain_id, lambda data: identity.sign(domains.SIGN_CONSENSUS, data), signs.last
        )
        self._core = Core(self._chain_id, identity.public_key, self._guard.sign, self._config.timeouts)
        self._refused = transport.stats.refused
        self._send_events, self._events = trio.open_memory_channel[list[Event]](_INBOX)
        self._nursery: trio.Nursery | None = None
        self._failure: LocalError | None = None
        self._peers = Peers(transport, self._chain_id, (), self._start)
        self._addresses = tuple(addresses)
        self._catch_up = CatchUp(
            transport, ledger, self._peers, self._hand_in, repeat_s=self._config.resend_ms / 1_000
        )
        self._batch_checks = BatchChecks(
            transport,
            self._chain_id,
            blobs,
            self._sources,
            check_batch,
            offload,
            self._start,
            lambda: ledger.newest_batch,
            check_again,
        )
        self._accuser = Accuser(transport, identity, ledger, self.submit, may_accuse)
        self._intake = ConsensusIntake(
            self._core,
            ledger,
            self._refused,
            self._now_ms,
            early_ms=self._config.early_ms,
            late_ms=self._config.late_ms,
            rates=self._config.rates,
        )

    async def run(self) -> None:
        """Take part until cancelled.

        Raises:
            LocalError: Why it had to stop; it must be rebuilt from its files after the cause is removed.
        """
        try:
            async with trio.open_nursery() as self._nursery:
                for address in self._addresses:
                    self._peers.add(peer_of(address), address)
                self._serve()
                for task in (self._loop, self._tick, self._catch_up.run):
                    self._start(task)
        finally:
            self._nursery = None
        if self._failure is not None:
            raise self._failure

    @property
    def is_running(self) -> bool:
        """False before `run` and after it ended, for whatever reason."""
        return self._nursery is not None and self._failure is None

    def counters(self) -> dict[str, int]:
        """What is reported on status/1."""
        refused: Counter[str] = Counter()
        for (_, code), times in self._refused.counts.items():
            refused[f"refused_{code}"] += times
        later = sum(times for round_, times in self.rounds.items() if round_)
        tip = self.ledger.tip
        age = {"last_block_age_s": (self._now_ms() - tip.time_ms) // 1_000} if self.ledger.height else {}
        return {
            **refused,
            "decided": sum(self.rounds.values()),
            "decided_in_later_rounds": later,
            "mempool": len(self.mempool),
            "lost": self._peers.lost,
            "peers": self._transport.peers,
            **age,
        }

    # --- tasks ----------------------------------------------------------------------------------------

    def _start(self, function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._guarded, function, *arguments)

    async def _guarded(self, function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        try:
            await function(*arguments)
        except LocalError as error:
            self._fail(error)

    def _fail(self, error: LocalError) -> None:
        self._failure = self._failure or error
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def _loop(self) -> None:
        """The only task that touches the core."""
        sign_from = self._signs.sign_from
        if self.ledger.store.base:
            # After a snapshot one height must be seen decided before anything is signed.
            sign_from = max(sign_from, self.ledger.store.base + 2)
        self._feed(Start(self._signs.record, *self._next(), sign_from))
        self._begin_heartbeat()
        while True:
            for event in await self._events.receive():
                self._feed(event)

    async def _tick(self) -> None:
        height = self.ledger.height
        for tick in count(1):
            await trio.sleep(self._config.resend_ms / 1_000)
            # Skip resend requests while making progress, and most of them while there is nothing to decide.
            if self.ledger.height == height and (not self._core.is_idle or tick % _IDLE_TICKS == 1):
                await self._hand_in(ResendTick())
            height = self.ledger.height
            if tick % _RELAY_TICKS == 0:
                self._relay()

    def _relay(self) -> None:
        """Broadcast again what waits here: if it waits for long, others may not have it."""
        for piece in self.evidence.pieces():
            self._peers.broadcast(bytes((EVIDENCE,)) + piece)
        for tx in islice(self.mempool.ready(), _RELAY_TXS):
            self._peers.broadcast(bytes((TX,)) + tx.raw)

    async def _later(self, delay_ms: int, event: Timeout | Due) -> None:
        await trio.sleep(delay_ms / 1_000)
        if event.height == self.ledger.height + 1:
            await self._hand_in(event)

    async def _hand_in(self, *events: Event) -> None:
        await self._send_events.send(list(events))

    def _next(self) -> tuple[int, tuple[bytes, ...], bool]:
        return self.ledger.height + 1, self.ledger.validators, self._is_due()

    def _is_due(self) -> bool:
        return bool(len(self.evidence)) or next(self.mempool.ready(), None) is not None

    def _begin_heartbeat(self) -> None:
        if self._config.heartbeat_ms:
            self._start(self._later, self._config.heartbeat_ms, Due(self.ledger.height + 1))

    # --- the core and its actions -----------------------------------------------------------------------

    def _feed(self, event: Event) -> None:
        waiting: deque[Event] = deque((event,))
        while waiting:
            for action in self._core.handle(waiting.popleft()):
                if isinstance(action, Decide):
                    waiting.append(self._decide(action))
                else:
                    self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Persist():
                self._signs.write(action.record, self._guard.last)
            case Broadcast():
                self._peers.broadcast(pack(action.message))
            case SendTo():
                self._peers.send(action.peer, pack(action.message))
            case SetTimer():
                self._start(self._later, action.ms, Timeout(action.step, action.height, action.round))
            case BuildBlock():
                self._start(self._build, action)
            case CheckBlock():
                self._start(self._check, action)
            case SendCommit():
                self._catch_up.help(action.peer, action.height)
            case Sync():
                self._catch_up.want()
            case Evidence():
                self.evidence.add(make_evidence(action.first, action.second))

    def _decide(self, action: Decide) -> NewHeight:
        block = decode_block(action.block, self._chain_id)
        self.ledger.append(block, action.cert)
        self.rounds[action.cert.round] += 1
        self.mempool.advance(self.ledger.tip)
        self.evidence.drop(block.evidence)
        self._begin_heartbeat()
        return NewHeight(*self._next())

    async def _build(self, action: BuildBlock) -> None:
        if action.height == self.ledger.height + 1:
            built = build_block(self.ledger, self.mempool, self.evidence, action.round, self._now_ms())
            await self._hand_in(built)

    async def _check(self, action: CheckBlock) -> None:
        """Execute, then check the batches; without an answer the round continues by its timeout."""
        height = self.ledger.height + 1
        ok, proposer = False, "unknown"
        while self.ledger.height + 1 == height:
            try:
                block = decode_block(action.block, self._chain_id)
                proposer = self._proposer(height, block.header.proposer_idx)
                self.ledger.execute(block, action.block_hash)
                await self._check_batches(block.txs, proposer)
                ok = True
            except NoBlob:
                continue  # somebody may have it by the next round
            except RemoteError as error:
                self._refused.add(proposer, error.code, error.detail)
            break
        await self._hand_in(BlockChecked(action.block_hash, ok))

    async def _check_batches(self, txs: Sequence[Tx], proposer: str) -> None:
        """Check what a proposed block settles or closes: that it follows, is due, and its sender may do it."""
        for index, later in versions_in(txs):
            sender, former = txs[index].sender, self._former(later)
            await self._batch_checks.of_block(later.batch, sender, proposer, former).wait()
        found = steps(txs)
        if len(found) > 1:
            raise NotInTurn(f"{len(found)} batches in a block; the turn of the second follows from the first")
        for index, args in found:
            sender = txs[index].sender
            self._schedule.check_batch(args, sender)
            closed = await self._batch_checks.of_block(args, sender, proposer).wait()
            self._schedule.check_lacking(args, sender, closed)

    def _former(self, later: AgainArgs) -> bytes:
        """Name of the blob of the version before that of a later version of an interval.

        Raises:
            InvalidTx: The chain would refuse it now.
        """
        return former_blob(self.ledger.tip.state.view(), self.ledger.genesis, later)

    def _proposer(self, height: int, index: int) -> str:
        known = self.ledger.height + 1 == height and 0 <= index < len(self.ledger.validators)
        return peer_id_of(self.ledger.validators[index]) if known else "unknown"

    # --- others -------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        serve_range(self._transport, self.ledger)
        serve_snapshots(self._transport, self.ledger)
        serve_blobs(self._transport, self._chain_id, self._blobs, self._may_read)
        serve_status(self._transport, self._chain_id, "validator", self._where, self.counters, self._now_ms)
        self._transport.serve(CONSENSUS_PROTOCOL, self._on_frame)
        self._transport.serve(TX_PROTOCOL, self._on_tx)

    def _where(self) -> tuple[int, bytes, bool]:
        return self.ledger.height, self.ledger.tip.block_hash, self.is_running

    def _is_validator(self, peer: str) -> bool:
        """Whether a peer takes part in consensus: a validator of now or of the next height, or one that will be.

        Those of the configuration that the chain does not know may be validators of blocks that are not here yet;
        one that the chain had and has no more is none.
        """
        if self._is_in(peer, (*self.ledger.validators, *self.ledger.next_validators)):
            return True
        return peer in self._peers and not self._is_in(peer, self.ledger.tip.state.former_validators)

    @staticmethod
    def _is_in(peer: str, keys: Sequence[bytes]) -> bool:
        return any(peer == peer_id_of(key) for key in keys)

    def _operators(self) -> list[str]:
        return [peer_id_of(key) for key in self.ledger.tip.state.operators]

    def _may_read(self, peer: str) -> bool:
        """Whether a peer may read blobs: an operator or a validator of now; one that was removed may not."""
        return peer in self._operators() or self._is_in(peer, self.ledger.validators)

    def _sources(self) -> list[str]:
        """Whom to ask for a blob: other validators, then operators."""
        return [*self._peers.names, *sorted(self._operators())]

    async def _on_frame(self, peer: str, data: bytes) -> bytes:
        if not self._is_validator(peer):
            raise NotAllowed(f"peer {peer} is not a validator that is known here")
        if not self.is_running:
            raise NotAllowed("this validator does not run")
        self._peers.add(peer)
        taken = await self._intake.read(peer, data)
        if taken.events:
            await self._send_events.send(taken.events)
        for tx in taken.txs:
            try:
                self._take_tx(peer, tx)
            except RemoteError as error:
                self._refused.add(peer, error.code, error.detail)
        for piece in taken.evidence:
            await self._take_evidence(peer, piece)
        return b""

    async def _take_evidence(self, peer: str, piece: bytes) -> None:
        if piece in self.evidence:
            return
        _, proofs = choose(self.ledger.tip, self.ledger.genesis, (), (piece,))
        if not proofs:
            self._refused.add(peer, "evidence", "it proves nothing, or nothing new")
            return
        self.evidence.add(piece)
        await self._hand_in(Due(self.ledger.height + 1))

    async def _on_tx(self, peer: str, data: bytes) -> bytes:
        try:
            if not self._intake.may_ask(peer):
                raise RateLimited("too many transactions; wait")
            self._take_tx(peer, data)
        except RemoteError as error:
            self._refused.add(peer, error.code, error.detail)
            return encode(TxReply(VERSION, error.code, error.detail))
        return encode(TxReply(VERSION, "", ""))

    def submit(self, data: bytes) -> TxReply:
        """Take a transaction of this node itself and pass it on."""
        try:
            self._take_tx(self._transport.peer_id, data)
        except RemoteError as error:
            return TxReply(VERSION, error.code, error.detail)
        return TxReply(VERSION, "", "")

    def _take_tx(self, peer: str, data: bytes) -> None:
        tx = self.mempool.add(data, self.ledger.tip, ready=False)
        if tx is None:
            return
        if peer == self._transport.peer_id or not self._is_validator(peer):
            self._peers.broadcast(bytes((TX,)) + data)
        self._start(self._release, peer, tx)

    async def _release(self, peer: str, tx: Tx) -> None:
        """Let a transaction into blocks, a batch when its blob was checked."""
        try:
            # A stranger who passes a batch on is not asked for the blob: it could let its sender wait.
            first = peer if self._may_read(peer) else None
            for _, later in versions_in((tx,)):
                await self._batch_checks.of_sender(later.batch, tx.sender, first, self._former(later)).wait()
            for _, args in steps((tx,)):
                self._schedule.check_batch(args, tx.sender)
                if isinstance(args, BatchArgs):
                    self._accuser.compare(tx, args)
                closed = await self._batch_checks.of_sender(args, tx.sender, first).wait()
                self._schedule.check_lacking(args, tx.sender, closed)
        except RemoteError as error:
            self._refused.add(peer, error.code, error.detail)
            self.mempool.drop(tx)
            return
        self.mempool.release(tx)
        if self._is_due():
            await self._hand_in(Due(self.ledger.height + 1))
