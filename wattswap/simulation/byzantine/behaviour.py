"""A byzantine node: the honest program, with some of its words replaced."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any, Final, cast

import msgspec
import trio

from p2p.batches.batch import BatchArgs, CloseArgs, Step
from p2p.batches.blob import SECRET_BYTES, blob_hash, make_blob
from p2p.batches.closed_orders import make_closed
from p2p.roles.collector.operator import Operator
from p2p.roles.replica.blobs import FolderBlobs
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.schedule import Schedule
from p2p.transports.base import Handler, Transport
from p2p.wire.identity import Identity
from p2p.wire.messages import SealedMessage
from p2p.wire.sealing import digest_of
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.collector import Chain, CollectorLoop
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.node import Node
from wattswap.nodes.roles import run_role
from wattswap.nodes.world import World
from wattswap.runs.prepare import Setup
from wattswap.simulation.plan import Lie
from wattswap.simulation.town import Town

SOON_S: Final = (0.05, 0.8)
"""Moments after an opening in which all happens. [s]"""


class Behaviour:
    """Honest in all: a lie overrides what it lies in.

    Args:
        town: The run.
        lie: Of its plan.

    Attributes:
        blobs: Of its node, while that runs.
        ledger: Of its node.
    """

    blobs: FolderBlobs
    ledger: Ledger

    def __init__(self, town: Town, lie: Lie) -> None:
        self.town, self.lie = town, lie
        self.base, self.setup = town.base, town.base.setup
        self.chain_id = self.setup.genesis.chain_id
        self.identity = self.key_of(lie.who)
        self.random = Random(f"{town.plan.seed}|lie|{lie.name}|{lie.who}")
        victims = [lie.victim] if lie.victim else list(town.base.configs)
        self.victims = frozenset(home for name in victims for home in town.base.configs[name].households)
        """Homes it is for."""
        self._checker: BatchChecker | None = None

    def key_of(self, name: str) -> Identity:
        """The key with which it speaks."""
        return self.base.key(name)

    def address(self, name: str) -> str:
        """Where a node is dialled."""
        return f"/memory/p2p/{self.town.peer(name)}"

    # --- what a lie overrides -------------------------------------------------------------------------------

    def setup_of(self, setup: Setup) -> Setup:
        """The scenario of its node."""
        return setup

    def handler(self, protocol: str, honest: Handler) -> Handler:
        """What answers on a protocol."""
        return honest

    async def request(self, transport: Transport, peer: str, protocol: str, frame: bytes) -> bytes:
        """Ask another node."""
        return await transport.request(peer, protocol, frame)

    def collector(self, operator: Operator) -> Operator:
        """The collecting role."""
        return operator

    def chain(self, node: Node, chain: Chain) -> Chain:
        """The chain to which the collecting role submits."""
        return chain

    def schedule(self, schedule: Schedule) -> Schedule:
        """Gates and turns as its node sees them."""
        return schedule

    async def speak(self, transport: Transport) -> None:
        """Say unasked what it has to say, while the node runs."""

    # --- what lies use --------------------------------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        """Whether its first interval is next or later: a clock may be a bit ahead of the opening."""
        plan = self.town.plan
        return trio.current_time() >= plan.opens_s(self.lie.first) - plan.shape.pace_s / 4

    def told(self, times: int = 1) -> None:
        """Count that it has lied to somebody whom it can hurt."""
        self.town.truth.lies[self.lie.name] += times

    async def first_moment(self) -> None:
        """Wait for the moment of the lie in its first interval."""
        await trio.sleep_until(self._moment_s(self.lie.first))

    async def moments(self) -> AsyncGenerator[int, None]:
        """Wait for the moment of the lie in each interval from its first on."""
        for i in range(self.lie.first, self.setup.intervals):
            at_s = self._moment_s(i)
            if at_s >= trio.current_time():
                await trio.sleep_until(at_s)
                yield i

    def _moment_s(self, i: int) -> float:
        return self.town.plan.opens_s(i) + (self.lie.after_s or self.random.uniform(*SOON_S))

    def is_open(self, start_s: int) -> bool:
        """Whether an interval is not settled."""
        return start_s not in self.town.truth.settled

    def spoken_homes(self, start_s: int) -> set[str]:
        """Homes that have said something for an interval and whose nodes are up."""
        truth, nodes = self.town.truth, self.town.nodes
        spoken = {
            said.message.household for said in truth.spoken.values() if said.message.interval_start == start_s
        }
        up = {home for node in nodes.values() if node.is_up for home in node.config.households}
        return spoken & up

    def empty_blob(self, start_s: int) -> bytes:
        """The blob of an interval for which nobody has said anything."""
        closed = self.empty_closed(start_s) if self.seals else b""
        return make_blob(self.setup.roster, start_s, bytes(SECRET_BYTES), [], closed=closed)

    def empty_closed(self, start_s: int) -> bytes:
        """Closed orders of nobody."""
        return make_closed(self.setup.roster, start_s, self.setup.genesis.authorities, [])

    def first_step(self, start_s: int) -> tuple[bytes, Step]:
        """What a collector submits first of an interval for which nobody has said anything, and the blob of it."""
        if not self.seals:
            return self.args_of(self.empty_blob(start_s))
        closed = self.empty_closed(start_s)
        return closed, CloseArgs(start_s, blob_hash(closed), digest_of(self.setup.genesis.authorities))

    @property
    def seals(self) -> bool:
        """Whether homes seal their orders."""
        return self.setup.genesis.params.sealed_bytes > 0

    def envelope(self, sealed: SealedMessage) -> SealedMessage:
        """What a home sends in place of its envelope."""
        return sealed

    def args_of(self, blob: bytes) -> tuple[bytes, BatchArgs]:
        """A blob, completed by its solution, and the batch that follows from it, with the own key next."""
        if self._checker is None:
            self._checker = BatchChecker(self.setup)
        blob, recomputed = self._checker.complete(blob)
        return blob, msgspec.structs.replace(recomputed.args, next_collector=self.identity.public_key)


class ByzantineTransport:
    """An endpoint whose requests and answers pass the lies of a node."""

    def __init__(self, honest: Transport, behaviours: Sequence[Behaviour]) -> None:
        self._honest, self._behaviours = honest, behaviours

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)

    def serve(self, protocol: str, handler: Handler) -> None:
        """See `Transport`."""
        for behaviour in self._behaviours:
            handler = behaviour.handler(protocol, handler)
        self._honest.serve(protocol, handler)

    async def request(self, peer: str, protocol: str, frame: bytes) -> bytes:
        """See `Transport`."""
        # A node has one lie about its own requests, at most: each would send them elsewhere.
        for behaviour in self._behaviours:
            if type(behaviour).request is not Behaviour.request:
                return await behaviour.request(self._honest, peer, protocol, frame)
        return await self._honest.request(peer, protocol, frame)


@dataclass(frozen=True)
class ByzantineNode(Node):
    """A node whose parts pass its lies."""

    behaviours: Sequence[Behaviour] = ()

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with Node.ledger(self) as ledger:
            for behaviour in self.behaviours:
                behaviour.ledger = ledger
            yield ledger

    def seal(self, *arguments: Any) -> SealedMessage:
        sealed = Node.seal(self, *arguments)
        for behaviour in self.behaviours:
            sealed = behaviour.envelope(sealed)
        return sealed

    def schedule(self, ledger: Ledger) -> Schedule:
        schedule = Node.schedule(self, ledger)
        for behaviour in self.behaviours:
            schedule = behaviour.schedule(schedule)
        return schedule

    def blobs(self) -> FolderBlobs:
        blobs = Node.blobs(self)
        for behaviour in self.behaviours:
            behaviour.blobs = blobs
        return blobs

    @contextmanager
    def collector(self, schedule: Schedule, *, closes: bool) -> Iterator[Operator]:
        with Node.collector(self, schedule, closes=closes) as operator:
            for behaviour in self.behaviours:
                operator = behaviour.collector(operator)
            yield operator

    def collector_loop(
        self,
        operator: Operator,
        chain: Chain,
        blobs: FolderBlobs,
        checker: BatchChecker,
        schedule: Schedule,
        own_answer: Callable[[int, bytes], bytes] | None = None,
    ) -> CollectorLoop:
        for behaviour in self.behaviours:
            chain = behaviour.chain(self, chain)
        return Node.collector_loop(self, operator, chain, blobs, checker, schedule, own_answer)


async def run_behaviours(
    behaviours: Sequence[Behaviour],
    config: NodeConfig,
    keys: Mapping[str, Identity],
    world: World,
    setup: Setup,
) -> None:
    """Run a node with its lies; see `run_role`."""

    @asynccontextmanager
    async def open_transport(identity: Identity, port: int) -> AsyncIterator[Transport]:
        async with world.open_transport(identity, port) as honest, trio.open_nursery() as nursery:
            for behaviour in behaviours:
                nursery.start_soon(behaviour.speak, honest)
            yield cast(Transport, ByzantineTransport(honest, behaviours))
            nursery.cancel_scope.cancel()

    for behaviour in behaviours:
        setup = behaviour.setup_of(setup)
    byzantine = replace(world, open_transport=open_transport)
    await run_role(config, keys, byzantine, setup, partial(ByzantineNode, behaviours=behaviours))
