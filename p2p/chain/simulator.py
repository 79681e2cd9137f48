"""A whole chain of authorities in one process, driven by one seed: networks that fail, crashes, liars, oracles.

The cores are the real ones. Clock, network, disk, keys and blocks are modelled; a signature is an entry in a
ledger of who signed what, so that nobody can forge one. Before the global stabilisation time (GST) anything may
be lost, late, doubled, cut off or crash; after it the network is good and every honest node is up, and two more
heights must be decided. A failing seed gives the same run again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any

import msgspec

from p2p.chain.block import PRECOMMIT, CommitCert, proposer_index, quorum, signers, vote_bytes
from p2p.chain.consensus import Core
from p2p.chain.consensus_types import (
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
    signed_bytes,
)
from p2p.chain.liars import STYLES, Liar
from p2p.chain.votes import LastSigned, SignGuard, SignRefused
from p2p.codec import Record, decode, encode
from p2p.identity import SIGNATURE_BYTES

CHAIN_ID = sha256(b"simulated chain").digest()
RESEND_MS = 200
HEIGHTS_AFTER = 2
"""Heights that must be decided after GST."""
PATIENCE_MS = 60_000
MAX_EVENTS = 400_000
_CLOCK_SKEW_MS = 30
_TIMELY_MS = 1_000
_COMMITS_A_REPLY = 5

_encoder = msgspec.msgpack.Encoder()


class SimBlock(Record, frozen=True):
    """Stands for a block: a parent, a time, and whether the state accepts it."""

    height: int
    parent: bytes
    author: int
    serial: int
    time_ms: int
    ok: int


class Ask(msgspec.Struct, frozen=True):
    """Asks for blocks and certificates from a height on."""

    height: int


class Commit(msgspec.Struct, frozen=True):
    """A decided block."""

    block: bytes
    cert: CommitCert


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong until GST.

    Args:
        delay_ms: Longest delay of a message.
        liars: Style of each byzantine authority, for the whole run.
    """

    chaos_ms: int
    loss_percent: float
    duplicate_percent: float
    delay_ms: int
    crashes: int
    partitions: int
    liars: tuple[str, ...]


CALM = Faults(0, 0, 0, 40, 0, 0, ())


def draw_faults(random: Random, n: int) -> Faults:
    """Draw the faults of a seed; at most f = (n - 1) // 3 liars."""
    return Faults(
        chaos_ms=random.randrange(1_000, 4_500),
        loss_percent=random.choice((0, 5, 15, 25)),
        duplicate_percent=random.choice((0, 5)),
        delay_ms=random.choice((20, 100, 300, 900)),
        crashes=random.randrange(0, n + 2),
        partitions=random.randrange(0, 3),
        liars=tuple(random.choice(STYLES) for _ in range(random.randint(0, (n - 1) // 3))),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """Outcome of one seed; `violation` is None or says which oracle objected, and why."""

    seed: int
    n: int
    faults: Faults
    violation: str | None
    heights: int
    rounds: int
    events: int
    crashes: int
    evidence: int
    trace: str


class Violation(Exception):
    """An oracle objects."""


class Disk:
    """Durable things of one node: the record with the guard's memory, and the chain."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.written: tuple[SignState, LastSigned | None] | None = None
        self.synced = self.written
        self.chain: list[Commit] = []

    def write(self, record: SignState, last: LastSigned | None) -> None:
        """Write the record and wait until it is on the medium."""
        self.written = self.synced = (record, last)

    def crash(self) -> None:
        """Lose what was not synced."""
        self.written = self.synced


class Node:
    """The shell of one core."""

    def __init__(self, index: int, disk: Disk, random: Random) -> None:
        self.index = index
        self.name = str(index)
        self.key = bytes((index,)) * 32
        self.disk = disk
        self.skew = random.uniform(0.7, 1.4)
        self.clock_ms = random.randint(-_CLOCK_SKEW_MS, _CLOCK_SKEW_MS)
        self.life = 0
        self.doomed = False
        self.liar: Liar | None = None
        self.guard: SignGuard | None = None
        self.core: Core | None = None
        self.commits: dict[int, Commit] = {}


class Simulation:
    """One seed.

    Args:
        core: Class of the cores; a mutant in tests.
        disk: Class of the disks; a lying one in tests.
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
        self.now = self._sequence = self._serial = self.events = self.crashes = self.rounds = 0
        self.core, self.guarded = core, guarded
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._trace = sha256()
        self._signed: set[tuple[int, bytes]] = set()
        self._released: dict[tuple[int, int, int, int], bytes] = {}
        self._blocks: dict[bytes, tuple[bytes, SimBlock]] = {}
        self._by_height: dict[int, list[bytes]] = {}
        self._groups = [0] * n
        self._target: int | None = None
        self._finished = False
        self.decided: dict[int, bytes] = {}
        self.evidence: list[Evidence] = []
        self.nodes = [Node(i, disk(self.random), self.random) for i in range(n)]
        self.keys = tuple(node.key for node in self.nodes)
        for index, style in zip(self.random.sample(range(n), len(self.faults.liars)), self.faults.liars):
            self.nodes[index].liar = self._make_liar(index, style)
        self.honest = [node for node in self.nodes if node.liar is None]

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
            len(self.decided),
            self.rounds,
            self.events,
            self.crashes,
            len(self.evidence),
            self._trace.hexdigest(),
        )

    # --- what happens when ----------------------------------------------------------------------------

    def _plan(self) -> None:
        faults, random = self.faults, self.random
        for node in self.nodes:
            self._at(random.randrange(50), self._boot, node, node.life)
        for _ in range(faults.crashes):
            victim = random.choice(self.honest)
            self._at(random.randrange(faults.chaos_ms), self._doom, victim)
        for _ in range(faults.partitions):
            start = random.randrange(faults.chaos_ms)
            self._at(start, self._part, [random.randrange(2) for _ in range(self.n)])
            self._at(start + random.randrange(100, 1_500), self._part, [0] * self.n)
        self._at(faults.chaos_ms, self._stabilise)

    def _at(self, delay: int, act: Callable[..., None], *arguments: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (self.now + delay, self._sequence, act, arguments))

    def _after(self, node: Node, delay: int, event: Event) -> None:
        """Hand in an event later, unless the process has died by then."""
        self._at(delay, self._feed_alive, node, node.life, event)

    def _feed_alive(self, node: Node, life: int, event: Event) -> None:
        if node.life == life:
            self._feed(node, event)

    def _boot(self, node: Node, life: int) -> None:
        if node.core is not None or node.life != life:
            return
        record, last = node.disk.synced or (None, None)
        sign = self._signer(node.index)
        if node.liar is None and self.guarded:
            node.guard = SignGuard(CHAIN_ID, sign, last)
            sign = node.guard.sign
        node.core = self.core(CHAIN_ID, node.key, sign, LAN_TIMEOUTS)
        if record is not None:
            record = decode(SignState, encode(record), max_bytes=MAX_RECORD_BYTES)
        self._feed(node, Start(record, len(node.disk.chain) + 1, self.keys, self.random.random() < 0.7, 0))
        self._after(node, self.random.randrange(50), Due(len(node.disk.chain) + 1))
        self._at(self.random.randrange(RESEND_MS), self._tick, node, node.life)

    def _tick(self, node: Node, life: int) -> None:
        if node.life == life:
            self._feed(node, ResendTick())
            self._at(RESEND_MS, self._tick, node, life)

    def _doom(self, node: Node) -> None:
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
        if node.liar is not None:
            node.liar.cloud(node.core)
        try:
            actions = node.core.handle(event)
        except SignRefused as refused:
            raise Violation(f"guard of honest node {node.index}: {refused}") from refused
        if node.doomed and actions:
            # A process dies between any two actions.
            actions = actions[: self.random.randrange(len(actions) + 1)]
            self._perform(node, actions)
            self._crash(node)
        else:
            self._perform(node, actions)

    def _perform(self, node: Node, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Broadcast():
                    self._broadcast(node, action)
                case SendTo():
                    self._release(node, action.message)
                    if node.liar is None or node.liar.style != "silent":
                        self._send(node.index, int(action.peer), action.message)
                case SetTimer():
                    event = Timeout(action.step, action.height, action.round)
                    self._after(node, int(action.ms * node.skew), event)
                case Persist():
                    node.disk.write(action.record, node.guard.last if node.guard else None)
                case BuildBlock():
                    ok = node.liar is None or node.liar.builds_valid
                    built = self._make_block(node, action.height, ok)
                    self._after(
                        node, self.random.randrange(1, 60), BlockBuilt(action.height, action.round, *built)
                    )
                case CheckBlock():
                    ok = self._is_valid(node, action.block_hash) or not (
                        node.liar is None or node.liar.checks
                    )
                    self._after(node, self.random.randrange(1, 30), BlockChecked(action.block_hash, ok))
                case Decide():
                    self._commit(node, Commit(action.block, action.cert))
                case SendCommit():
                    self._serve(node, int(action.peer), action.height)
                case Sync():
                    peer = self.random.choice([i for i in range(self.n) if i != node.index])
                    self._send(node.index, peer, Ask(action.height))
                case Evidence():
                    self._judge(node, action)

    def _broadcast(self, node: Node, action: Broadcast) -> None:
        if node.liar is not None and node.core is not None:
            for target, message in node.liar.rewrite(action.message, node.core):
                self._send(node.index, target, message)
            return
        self._release(node, action.message)
        for target in range(self.n):
            if target != node.index:
                self._send(node.index, target, action.message)

    def _send(self, source: int, target: int, message: object) -> None:
        if self._target is not None:
            self._at(1 + int(self.random.random() * 40), self._arrive, target, source, message)
            return
        faults, chance = self.faults, self.random.random
        if self._groups[source] != self._groups[target] or chance() * 100 < faults.loss_percent:
            return
        self._at(1 + int(chance() * faults.delay_ms), self._arrive, target, source, message)
        if chance() * 100 < faults.duplicate_percent:
            self._at(1 + int(chance() * faults.delay_ms), self._arrive, target, source, message)

    def _arrive(self, target: int, source: int, message: object) -> None:
        node = self.nodes[target]
        core = node.core
        if core is None:
            return
        match message:
            case Vote():
                if message.height >= core.height and not core.knows(message) and self._genuine(message):
                    self._feed(node, GotVote(message))
            case Status():
                self._feed(node, PeerStatus(str(source), message))
            case Proposal():
                if message.height >= core.height and self._proposal_genuine(message):
                    age = self.now + node.clock_ms - self._blocks[message.block_hash][1].time_ms
                    self._feed(node, GotProposal(message, -2 * _CLOCK_SKEW_MS <= age <= _TIMELY_MS))
            case Commit():
                if message.cert.height >= core.height and self._cert_holds(message):
                    node.commits[message.cert.height] = message
                    self._take_commit(node)
            case Ask():
                self._serve(node, source, message.height)

    def _serve(self, node: Node, target: int, height: int) -> None:
        if node.liar is None:
            for commit in node.disk.chain[height - 1 : height - 1 + _COMMITS_A_REPLY]:
                self._send(node.index, target, commit)

    def _take_commit(self, node: Node) -> None:
        commit = node.commits.pop(node.core.height, None) if node.core is not None else None
        if commit is not None:
            self._feed(node, GotCommit(commit.block, commit.cert))

    def _commit(self, node: Node, commit: Commit) -> None:
        height = len(node.disk.chain) + 1
        if node.liar is None:
            self._check_decision(node, commit, height)
        node.disk.chain.append(commit)
        self.rounds = max(self.rounds, commit.cert.round)
        self._after(node, self.random.randrange(1, 10), NewHeight(height + 1, self.keys, self._due()))
        self._after(node, self.random.randrange(10, 100), Due(height + 1))
        if node.core is not None and node.commits:
            self._at(12, self._take_commit, node)
        if self._target is not None and all(len(n.disk.chain) >= self._target for n in self.honest):
            self._finished = True

    def _due(self) -> bool:
        return self.random.random() < 0.7

    # --- keys, blocks ---------------------------------------------------------------------------------

    def _signer(self, index: int) -> Callable[[bytes], bytes]:
        signature = bytes((index,)) * SIGNATURE_BYTES

        def sign(data: bytes) -> bytes:
            self._signed.add((index, data))
            return signature

        return sign

    def _make_liar(self, index: int, style: str) -> Liar:
        return Liar(
            index,
            self.n,
            style,
            self.random,
            self._signer(index),
            lambda victim: bytes((victim,)) * SIGNATURE_BYTES,
            lambda height, ok: self._make_block(self.nodes[index], height, ok),
            lambda height: self._by_height.get(height, []),
            CHAIN_ID,
        )

    def _make_block(self, node: Node, height: int, ok: bool) -> tuple[bytes, bytes]:
        self._serial += 1
        parent = self._tip(node, height)
        made = SimBlock(height, parent, node.index, self._serial, self.now + node.clock_ms, int(ok))
        data = encode(made)
        name = sha256(data).digest()
        self._blocks[name] = (data, made)
        self._by_height.setdefault(height, []).append(name)
        return data, name

    def _tip(self, node: Node, height: int) -> bytes:
        return node.disk.chain[height - 2].cert.block_hash if 2 <= height <= len(node.disk.chain) + 1 else b""

    def _is_valid(self, node: Node, name: bytes) -> bool:
        made = self._blocks[name][1]
        height = len(node.disk.chain) + 1
        return bool(made.ok) and made.height == height and made.parent == self._tip(node, height)

    def _genuine(self, message: Vote | Proposal) -> bool:
        signer = message.validator if isinstance(message, Vote) else message.proposer
        return (signer, signed_bytes(message, CHAIN_ID)) in self._signed

    def _proposal_genuine(self, message: Proposal) -> bool:
        known = self._blocks.get(message.block_hash)
        return (
            known is not None
            and known[0] == message.block
            and message.proposer == proposer_index(message.height, message.round, self.n)
            and self._genuine(message)
            and all(self._genuine(vote) for vote in message.pol)
        )

    def _cert_holds(self, commit: Commit) -> bool:
        cert, who = commit.cert, signers(commit.cert)
        data = vote_bytes(PRECOMMIT, CHAIN_ID, cert.height, cert.round, cert.block_hash)
        known = self._blocks.get(cert.block_hash)
        signed = all((index, data) in self._signed for index in who)
        return signed and len(who) >= quorum(self.n) and known is not None and known[0] == commit.block

    # --- oracles --------------------------------------------------------------------------------------

    def _check_decision(self, node: Node, commit: Commit, height: int) -> None:
        name = commit.cert.block_hash
        if commit.cert.height != height or not self._cert_holds(commit):
            raise Violation(
                f"certificate: node {node.index} decides height {height} with one that does not hold"
            )
        if not self._is_valid(node, name):
            raise Violation(f"validity: node {node.index} decides an invalid block at height {height}")
        if self.decided.setdefault(height, name) != name:
            raise Violation(f"agreement: two blocks are decided at height {height}")

    def _release(self, node: Node, message: object) -> None:
        """What an honest node sends in its own name: durable before, and never two different."""
        if node.liar is not None or not isinstance(message, Vote | Proposal):
            return
        signer = message.validator if isinstance(message, Vote) else message.proposer
        if signer != node.index:
            return
        kind = message.kind if isinstance(message, Vote) else 0
        slot = (signer, kind, message.height, message.round)
        data = signed_bytes(message, CHAIN_ID)
        if self._released.setdefault(slot, data) != data:
            raise Violation(f"double sign: honest node {signer} at (kind, height, round) {slot[1:]}")
        record = node.disk.written[0] if node.disk.written else None
        if record is None or record.height != message.height or not _covers(record, message):
            raise Violation(f"persistence: node {signer} sends {slot[1:]} before it is durable")

    def _judge(self, node: Node, evidence: Evidence) -> None:
        first, second = evidence.first, evidence.second
        named = {m.validator if isinstance(m, Vote) else m.proposer for m in (first, second)}
        if node.liar is not None:
            return
        self.evidence.append(evidence)
        if any(self.nodes[index].liar is None for index in named):
            raise Violation(f"evidence: node {node.index} accuses {sorted(named)}, of whom one is honest")
        slots = {(type(m), m.kind if isinstance(m, Vote) else 0, m.height, m.round) for m in (first, second)}
        if len(named) != 1 or len(slots) != 1 or not (self._genuine(first) and self._genuine(second)):
            raise Violation(f"evidence: node {node.index} gives evidence that proves nothing")


def _covers(record: SignState, message: Vote | Proposal) -> bool:
    if isinstance(message, Vote):
        return message in record.votes
    own = record.proposal
    return own is not None and (own.round, own.signature) == (message.round, message.signature)
