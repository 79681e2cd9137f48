"""A running node: its folder, scenario and network endpoint, and the parts its role is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from p2p.batches.closed_orders import is_sealed_to
from p2p.consensus.types import LAN_TIMEOUTS, Timeouts
from p2p.errors import P2PError, RemoteError
from p2p.ledger.store import ChainStore
from p2p.ledger.versions import RING
from p2p.roles.collector.closer import Closer
from p2p.roles.collector.late import LateReadings
from p2p.roles.collector.opener import Opener
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.turns import Timing
from p2p.roles.household.collectors import Collectors
from p2p.roles.replica.blobs import FolderBlobs, fetch_blob
from p2p.roles.replica.ledger import CHECKPOINT_EVERY, Ledger
from p2p.roles.replica.schedule import Schedule
from p2p.roles.replica.snapshot import fetch_snapshot
from p2p.roles.replica.status import ask_status
from p2p.transports.base import Transport
from p2p.wire.identity import Identity, derive_seed
from p2p.wire.limits import Limits
from p2p.wire.messages import Said, SealedMessage
from p2p.wire.sealed import seal_message
from wattswap.nodes.ahead import check_orders
from wattswap.nodes.announcer import Announcer
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.collector import Chain, CollectorLoop
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.known import Known
from wattswap.nodes.pace import Pace
from wattswap.nodes.stats import Stats
from wattswap.nodes.true_up import TrueUp
from wattswap.nodes.world import World
from wattswap.runs.layout import BLOBS, CHAIN
from wattswap.runs.prepare import Setup

JOURNAL_FILE: Final = "journal.db"
OMISSION: Final = "omission-"
"""Prefix of the files with proofs of broken promises."""
HANDOVER_S: Final = 1.0
"""How long an operator may take to answer that it is back. [s]"""
TIMEOUTS: Final[Mapping[str, Timeouts]] = {"lan": LAN_TIMEOUTS, "wan": Timeouts()}


@dataclass(frozen=True, slots=True)
class Node:
    """A running node."""

    config: NodeConfig
    keys: Mapping[str, Identity]
    setup: Setup
    identity: Identity
    transport: Transport
    stats: Stats
    world: World
    known: Known

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.config.data_path

    def addresses(self, role: str) -> list[str]:
        """Addresses of the nodes of a role."""
        return [peer.address for peer in self.config.peers if peer.role == role]

    def addresses_of(self, *roles: str) -> dict[bytes, str]:
        """Addresses of the nodes of some roles, by their public keys."""
        return {peer.key: peer.address for peer in self.config.peers if peer.role in roles}

    def salts(self) -> bytes:
        """Master secret of the salts of this node's batches: the scenario's own where the keys are the scenario's."""
        own = self.setup.keys
        if own.identity("operator").public_key in self.setup.genesis.operators:
            return own.salts
        return derive_seed(self.identity.seed, "salts", "")

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The node's copy of the chain."""
        path, genesis, disk = self.data / CHAIN, self.setup.genesis, self.world.disk
        if path.exists():
            opened = ChainStore.open(path, genesis, disk=disk)
        else:
            opened = ChainStore.create(path, genesis, disk=disk)
        with opened as store:
            ledger = Ledger(store, genesis, CHECKPOINT_EVERY)
            self.known.follow(ledger)
            yield ledger

    async def begin_at_snapshot(self) -> None:
        """If configured, and if there is no chain yet, start one from a validator's snapshot."""
        path, genesis = self.data / CHAIN, self.setup.genesis
        if path.exists() or not self.config.snapshot:
            return
        peers = []
        for address in self.addresses("validator"):
            try:
                peers.append(await self.transport.connect(address))
            except P2PError:
                continue
        base = await fetch_snapshot(self.transport, genesis, peers)
        if base is not None:  # otherwise there is none yet, and the chain is short enough to be executed
            ChainStore.create(path, genesis, base, self.world.disk).close()

    def schedule(self, ledger: Ledger) -> Schedule:
        """Gates and turns as this node sees them; one for all its parts, which share its clock."""
        setup, clock = self.setup, self.config.clock
        pace, step_s = Pace(clock, self.world.now_ms), setup.minutes * 60
        timing = Timing(setup.rounds, round(clock.gate_s * 1_000), round(clock.takeover_s * 1_000))

        def opens_ms(start_s: int, settled_ms: int | None) -> int:
            return pace.opens_ms((start_s - setup.start_s) // step_s, settled_ms)

        return Schedule(ledger, timing, setup.after, opens_ms, self.world.now_ms)

    def collector_loop(
        self,
        operator: Operator,
        chain: Chain,
        blobs: FolderBlobs,
        checker: BatchChecker,
        schedule: Schedule,
        own_answer: Callable[[int, bytes], bytes] | None = None,
    ) -> CollectorLoop:
        """The collector loop of this node.

        Args:
            own_answer: See `Opener`.
        """
        setup, own_key, ledger = self.setup, self.identity.public_key, chain.ledger
        closer = Closer(
            self.transport,
            setup.genesis.chain_id,
            operator,
            own_key,
            lambda: ledger.validators,
            self.addresses_of("validator"),
        )
        announcer = Announcer(
            setup,
            self.transport,
            operator,
            own_key,
            ledger,
            blobs,
            checker,
            self.stats,
            self.fetch,
            self.world.offload,
            self.config.kept_intervals,
        )
        opener = Opener(
            self.transport, setup.genesis.chain_id, own_key, self.addresses_of("validator"), own_answer
        )
        return CollectorLoop(
            setup,
            operator,
            closer,
            opener,
            self.identity,
            chain,
            blobs,
            checker,
            self.salts(),
            self.stats,
            Pace(self.config.clock, self.world.now_ms),
            schedule,
            announcer,
            is_ready=self.is_ready,
            true_up=self.true_up(operator, chain, blobs, checker, schedule, announcer),
            offload=self.world.offload,
        )

    def true_up(
        self,
        operator: Operator,
        chain: Chain,
        blobs: FolderBlobs,
        checker: BatchChecker,
        schedule: Schedule,
        announcer: Announcer,
    ) -> TrueUp:
        """What settles intervals of this node's chain again."""
        setup, ledger = self.setup, chain.ledger
        step_s = setup.minutes * 60

        def age_of(start_s: int) -> int:
            return (ledger.tip.state.settled.last_interval_start - start_s) // step_s

        late = LateReadings(self.transport, setup.genesis.chain_id, operator.read_reading, age_of, RING)
        return TrueUp(
            setup,
            late,
            self.identity,
            chain,
            blobs,
            checker,
            schedule,
            announcer,
            offload=self.world.offload,
        )

    def seal(
        self, identity: Identity, message: Said, validators: Sequence[bytes], limits: Limits
    ) -> SealedMessage:
        """What a home of this node sends in place of its order; see `seal_message`."""
        return seal_message(identity, message, validators, limits)

    async def fetch(self, blob_hash: bytes) -> bytes | None:
        """Get a blob from a validator that checked it."""
        for address in self.addresses("validator"):
            try:
                peer = await self.transport.connect(address)
            except P2PError:
                continue
            blob = await fetch_blob(self.transport, self.setup.genesis.chain_id, blob_hash, [peer])
            if blob is not None:
                return blob
        return None

    async def is_ready(self, key: bytes) -> bool:
        """Whether the node of a public key answers that it does its work."""
        address = next((peer.address for peer in self.config.peers if peer.key == key), None)
        if address is None:
            return False
        ready = False
        with trio.move_on_after(HANDOVER_S), suppress(P2PError):
            name = await self.transport.connect(address)
            ready = bool((await ask_status(self.transport, name, self.setup.genesis.chain_id)).ready)
        return ready

    def keep_proof(self, household: str, interval_start: int, slot: int, proof: bytes) -> None:
        """Keep the proof that a collector or validator broke its promise to a home of this node in a slot."""
        place = self.setup.roster.index(household)
        later = f"-{slot}" if slot else ""
        path = self.data / f"{OMISSION}{interval_start}-{place}{later}.bin"
        self.world.disk.write_whole(path, proof)

    def journal(self) -> Journal:
        """What this node has promised and signed."""
        return Journal(self.data / JOURNAL_FILE, self.world.disk)

    def checker(self) -> BatchChecker:
        """What checks batches on this node."""
        keys = self.known.home_keys
        return self.world.checker(self.setup, keys.rotated, keys.is_barred)

    def blobs(self) -> FolderBlobs:
        """What the batches of this node were computed from."""
        return FolderBlobs(self.data / BLOBS, self.world.disk)

    @contextmanager
    def collector(self, schedule: Schedule, *, closes: bool) -> Iterator[Operator]:
        """The collecting role of this node, with the promises it gave before it was last stopped.

        Args:
            closes: Whether it signs closings, as validators do.
        """
        genesis, setup = self.setup.genesis, self.setup
        with self.journal() as journal:
            yield Operator(
                self.transport,
                self.identity,
                genesis.chain_id,
                setup.roster,
                self.known.home_keys,
                setup.minutes,
                schedule,
                journal,
                genesis.params.limits,
                setup.member_list.check_term,
                setup.member_list.check_reading,
                check_orders(setup),
                self.known.is_collector if closes else None,
                partial(_check_sealed, schedule, setup.roster),
            )

    def collectors(self) -> Collectors:
        """The collectors to which this node sends."""
        return Collectors(
            self.transport,
            self.addresses_of("operator", "validator"),
            self.known.sets,
            failover_s=self.config.clock.takeover_s,
        )


class OtherValidators(RemoteError):
    """An envelope that is sealed to other validators than those of now, which could not open it."""

    code = "other_validators"


class HomeBarred(RemoteError):
    """An order of a home that may send none for a while, as validators could not open one of it."""

    code = "home_barred"


def _check_sealed(schedule: Schedule, roster: Sequence[str], message: SealedMessage) -> None:
    home, state = roster.index(message.household), schedule.ledger.tip.state
    if state.is_barred(home, message.interval_start):
        raise HomeBarred(f"{message.household} may not order in interval {message.interval_start}")
    if not is_sealed_to(message, schedule.ledger.tip.state.validators):
        raise OtherValidators(
            f"the order of {message.household} is sealed to other validators than those of now"
        )
