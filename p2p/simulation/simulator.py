"""A whole chain of validators in one process, driven by one seed: networks that fail, crashes, byzantine validators.

The cores are the real ones; clock, network, disks, keys and blocks are modelled. Before the global stabilisation
time (GST) anything may be lost, late, doubled, cut off or crash; after it the network is good and every honest
node is up, and two more heights must be decided. The same seed gives the same run again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from random import Random
from typing import Any

import msgspec

from p2p.consensus.core import Core
from p2p.consensus.types import (
    LAN_TIMEOUTS,
    MAX_RECORD_BYTES,
    Action,
    BlockBuilt,
    BlockChecked,
    Broadcast,
    BuildBlock,
    CheckBlock,
    Decide,
    Due,
    Event,
    Evidence,
    GotCommit,
    GotProposal,
    GotVote,
    NewHeight,
    PeerStatus,
    Persist,
    Proposal,
    ResendTick,
    SendCommit,
    SendTo,
    SetTimer,
    SignState,
    Start,
    Status,
    Sync,
    Timeout,
    Vote,
)
from p2p.consensus.votes import SignGuard, SignRefused
from p2p.simulation.byzantine import ByzantineValidator
from p2p.simulation.model import (
    CHAIN_ID,
    CLOCK_SKEW_MS,
    Ask,
    Commit,
    Disk,
    Faults,
    Node,
    Result,
    World,
    draw_faults,
    kind_and_round,
    looks_signed,
)
from p2p.simulation.oracles import Oracles, Violation
from p2p.wire.codec import decode, encode

RESEND_MS = 200
HEIGHTS_AFTER = 2
"""Heights that must be decided after GST."""
PATIENCE_MS = 60_000
"""Time they may take."""
MAX_EVENTS = 1_000_000
CALM_DELAY_MS = 40
_TIMELY_MS = 1_000
_COMMITS_A_REPLY = 5
_DUE_AT_ONCE = 0.7
_KNOWN_AGAIN = 0.1

_encoder = msgspec.msgpack.Encoder()


class Simulation:
    """One seed.

    Args:
        core: Class of the cores; a mutant in tests.
        disk: Class of the disks; one that loses writes in tests.
        guarded: Put a `SignGuard` before the keys of honest nodes.
        faults: Instead of those drawn from the seed.
    """

    def __init__(
        self,
        seed: int,
        n: int,
        *,
        core: type[Core] = Core,
        disk: type[Disk] = Disk,
        guarded: bool = True,
        faults: Faults | None = None,
    ) -> None:
        self.seed, self.n, self.random = seed, n, Random(seed)
        self.faults = faults or draw_faults(self.random, n)
        self.core, self.guarded = core, guarded
        self.now = self.events = self.crashes = self.rounds = self._sequence = 0
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._trace = sha256()
        self._groups = [0] * n
        self._mutes = set(self.faults.mutes)
        self._target: int | None = None
        self._finished = False
        self.world = World(n)
        self.oracles = Oracles(self.world)
        self.nodes = [Node(i, disk(self.random), self.random) for i in range(n)]
        self.keys = tuple(node.key for node in self.nodes)
        for index in self.random.sample(range(n), len(self.faults.byzantine)):
            self.nodes[index].byzantine = self._make_byzantine(index)
            self.oracles.expect_faults_of(index)
        self.honest = [node for node in self.nodes if node.byzantine is None]
        slow = [self.random.random() * 100 < self.faults.slow_percent for _ in range(n * n)]
        self._delays = [self.faults.delay_ms * (3 if is_slow else 1) for is_slow in slow]

    def run(self) -> Result:
        """Run to the end and return what came out."""
        violation = None
        try:
            self._plan()
            while self._queue and not self._finished:
                self.now, _, act, arguments = heapq.heappop(self._queue)
                act(*arguments)
        except Violation as found:
            violation = str(found)
        return Result(
            self.seed,
            self.n,
            self.faults,
            violation,
            len(self.oracles.decided),
            self.rounds,
            self.events,
            self.crashes,
            len(self.oracles.evidence),
            self.now - self.faults.chaos_ms,
            self._trace.hexdigest(),
        )

    # --- what happens when ----------------------------------------------------------------------------

    def _plan(self) -> None:
        faults, random = self.faults, self.random
        for node in self.nodes:
            self._at(random.randrange(50), self._boot, node, node.life)
        for _ in range(faults.crashes):
            self._at(random.randrange(faults.chaos_ms), self._doom, [random.choice(self.honest)])
        for _ in range(faults.outages):
            self._at(random.randrange(faults.chaos_ms), self._doom, self.honest)
        for _ in range(faults.partitions):
            start = random.randrange(faults.chaos_ms)
            self._at(start, self._part, [random.randrange(2) for _ in range(self.n)])
            self._at(start + random.randrange(100, 3_000), self._part, [0] * self.n)
        self._at(faults.chaos_ms, self._stabilise)

    def _at(self, delay: int, act: Callable[..., None], *arguments: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (self.now + delay, self._sequence, act, arguments))

    def _after(self, node: Node, delay: int, event: Event) -> None:
        """Submit an event later, unless the process has crashed by then."""
        self._at(delay, self._feed_alive, node, node.life, event)

    def _feed_alive(self, node: Node, life: int, event: Event) -> None:
        if node.life == life:
            self._feed(node, event)

    def _boot(self, node: Node, life: int) -> None:
        if node.core is not None or node.life != life:
            return
        record, last = node.disk.synced
        if node.byzantine is not None:
            sign = self.world.byzantine_key(node.index)
        else:
            sign = partial(_key, node.index)
            if self.guarded:
                node.guard = SignGuard(CHAIN_ID, sign, last)
                sign = node.guard.sign
        node.core = self.core(CHAIN_ID, node.key, sign, LAN_TIMEOUTS)
        if record is not None:
            record = decode(SignState, encode(record), max_bytes=MAX_RECORD_BYTES)
        self._begin(node, Start(record, node.next_height, self.keys, self._due(), 0))
        self._at(self.random.randrange(RESEND_MS), self._tick, node, node.life)

    def _begin(self, node: Node, event: Start | NewHeight) -> None:
        self._after(node, self.random.randrange(1, 10), event)
        self._after(node, self.random.randrange(10, 100), Due(event.height))

    def _due(self) -> bool:
        return self.random.random() < _DUE_AT_ONCE

    def _tick(self, node: Node, life: int) -> None:
        if node.life == life:
            self._feed(node, ResendTick())
            self._at(RESEND_MS, self._tick, node, life)

    def _doom(self, victims: list[Node]) -> None:
        for node in victims:
            node.doomed = node.core is not None and self._target is None

    def _crash(self, node: Node) -> None:
        node.core, node.doomed = None, False
        node.life += 1
        node.commits.clear()
        node.disk.crash()
        self.crashes += 1
        self._at(self.random.randrange(20, 1_500), self._boot, node, node.life)

    def _part(self, groups: list[int]) -> None:
        if self._target is None:
            self._groups = groups

    def _stabilise(self) -> None:
        self._groups = [0] * self.n
        self._target = max(len(node.disk.chain) for node in self.honest) + HEIGHTS_AFTER
        for node in self.honest:
            node.doomed = False
            self._boot(node, node.life)
        self._at(PATIENCE_MS, self._give_up)

    def _give_up(self) -> None:
        heights = [len(node.disk.chain) for node in self.honest]
        raise Violation(f"liveness: at heights {heights} {PATIENCE_MS} ms after GST, not {self._target}")

    # --- the shell of a core --------------------------------------------------------------------------

    def _feed(self, node: Node, event: Event) -> None:
        if node.core is None:
            return
        self.events += 1
        if self.events > MAX_EVENTS:
            raise Violation(f"liveness: more than {MAX_EVENTS} events")
        self._trace.update(_encoder.encode((self.now, node.index, type(event).__name__, event)))
        if node.byzantine is not None:
            node.byzantine.cloud(node.core)
        try:
            actions = node.core.handle(event)
        except SignRefused as refused:
            raise Violation(f"guard: of honest node {node.index}: {refused}") from refused
        if node.doomed and actions:
            # A process crashes between any two actions.
            self._perform(node, node.core, actions[: self.random.randrange(len(actions) + 1)])
            self._crash(node)
        else:
            self._perform(node, node.core, actions)

    def _perform(self, node: Node, core: Core, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Broadcast():
                    self._broadcast(node, core, action)
                case SendTo():
                    self._send_to(node, action)
                case SetTimer():
                    event = Timeout(action.step, action.height, action.round)
                    self._after(node, int(action.ms * node.skew), event)
                case Persist():
                    node.disk.write(action.record, node.guard.last if node.guard else None)
                case BuildBlock():
                    ok = node.byzantine is None or node.byzantine.builds_valid
                    built = self.world.make_block(node, action.height, self.now, ok)
                    answer = BlockBuilt(action.height, action.round, *built)
                    self._after(node, self.random.randrange(1, 60), answer)
                case CheckBlock():
                    trusting = node.byzantine is not None and not node.byzantine.checks
                    ok = trusting or self.world.is_valid(node, action.block_hash)
                    self._after(node, self.random.randrange(1, 30), BlockChecked(action.block_hash, ok))
                case Decide():
                    self._commit(node, Commit(action.block, action.cert))
                case SendCommit():
                    self._serve(node, int(action.peer), action.height)
                case Sync():
                    peer = self.random.choice([i for i in range(self.n) if i != node.index])
                    self._send(node.index, peer, Ask(action.height))
                case Evidence():
                    if node.byzantine is None:
                        self.oracles.accuses(node, action)

    def _broadcast(self, node: Node, core: Core, action: Broadcast) -> None:
        if node.byzantine is not None:
            for target, message in node.byzantine.rewrite(action.message, core):
                self._send(node.index, target, message)
            return
        if not isinstance(action.message, Status):
            self.oracles.sends(node, action.message)
        for target in range(self.n):
            if target != node.index:
                self._send(node.index, target, action.message)

    def _send_to(self, node: Node, action: SendTo) -> None:
        if node.byzantine is None:
            self.oracles.sends(node, action.message)
        elif node.byzantine.style == "silent":
            return
        self._send(node.index, int(action.peer), action.message)

    def _send(self, source: int, target: int, message: object) -> None:
        chance = self.random.random
        if self._target is not None:
            self._at(1 + int(chance() * CALM_DELAY_MS), self._arrive, target, source, message)
            return
        faults = self.faults
        if self._groups[source] != self._groups[target] or chance() * 100 < faults.loss_percent:
            return
        if self._mutes and (*(kind_and_round(message) or (-1, -1)), target) in self._mutes:
            return
        delay_ms = self._delays[source * self.n + target]
        self._at(1 + int(chance() * delay_ms), self._arrive, target, source, message)
        if chance() * 100 < faults.duplicate_percent:
            self._at(1 + int(chance() * delay_ms), self._arrive, target, source, message)

    def _arrive(self, target: int, source: int, message: object) -> None:
        node = self.nodes[target]
        core, world = node.core, self.world
        if core is None:
            return
        match message:
            case Vote():
                # A shell need not check what is known; the core must bear it all the same.
                new = not core.knows(message) or self.random.random() < _KNOWN_AGAIN
                if new and message.height >= core.height and world.genuine(message):
                    self._feed(node, GotVote(message))
            case Status():
                self._feed(node, PeerStatus(str(source), message))
            case Proposal():
                if message.height >= core.height and world.genuine(message):
                    age = self.now + node.clock_ms - world.blocks[message.block_hash][1].time_ms
                    self._feed(node, GotProposal(message, -2 * CLOCK_SKEW_MS <= age <= _TIMELY_MS))
            case Commit():
                if message.cert.height >= node.next_height and world.cert_holds(message):
                    node.commits[message.cert.height] = message
                    self._take_commit(node, node.life)
            case Ask():
                self._serve(node, source, message.height)

    def _serve(self, node: Node, target: int, height: int) -> None:
        if node.byzantine is None:
            for commit in node.disk.chain[height - 1 : height - 1 + _COMMITS_A_REPLY]:
                self._send(node.index, target, commit)

    def _take_commit(self, node: Node, life: int) -> None:
        if node.life == life and node.core is not None and node.core.height == node.next_height:
            commit = node.commits.pop(node.next_height, None)
            if commit is not None:
                self._feed(node, GotCommit(commit.block, commit.cert))

    def _commit(self, node: Node, commit: Commit) -> None:
        if node.byzantine is None:
            self.oracles.decides(node, commit)
        node.disk.chain.append(commit)
        self.rounds = max(self.rounds, commit.cert.round)
        self._begin(node, NewHeight(node.next_height, self.keys, self._due()))
        if node.commits:
            self._at(15, self._take_commit, node, node.life)
        if self._target is not None and all(len(n.disk.chain) >= self._target for n in self.honest):
            self._finished = True

    def _make_byzantine(self, index: int) -> ByzantineValidator:
        taken = sum(node.byzantine is not None for node in self.nodes)
        return ByzantineValidator(
            index,
            self.n,
            self.faults.byzantine[taken],
            self.random,
            self.world.byzantine_key(index),
            looks_signed,
            lambda height, ok: self.world.make_block(self.nodes[index], height, self.now, ok),
            lambda height: self.world.by_height.get(height, []),
            CHAIN_ID,
        )


def _key(index: int, data: bytes) -> bytes:
    return looks_signed(index)
