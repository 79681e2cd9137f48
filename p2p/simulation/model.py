"""The modelled parts of a simulated chain: blocks, keys, disks, nodes, and what goes wrong.

A signature is an entry in a ledger of who signed what, so that none can be forged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from random import Random

import msgspec

from p2p.blocks.block import (
    PRECOMMIT,
    PREVOTE,
    CommitCertificate,
    proposer_index,
    quorum,
    signers,
    vote_bytes,
)
from p2p.consensus.core import Core
from p2p.consensus.types import PROPOSAL, Proposal, SignState, Vote, signed_bytes
from p2p.consensus.votes import LastSigned, SignGuard
from p2p.simulation.byzantine import STYLES, ByzantineValidator
from p2p.wire.codec import Record, encode
from p2p.wire.identity import SIGNATURE_BYTES

CHAIN_ID = sha256(b"simulated chain").digest()
CLOCK_SKEW_MS = 30
"""Clocks are off by at most this much. [ms]"""
DECIDED = 0
_MUTABLE = (DECIDED, PROPOSAL, PREVOTE, PRECOMMIT, PRECOMMIT)


class SimBlock(Record, frozen=True):
    """Represents a block: a parent, a time, and whether the state accepts it."""

    height: int
    parent: bytes
    author: int
    serial: int
    time_ms: int
    ok: int


class Commit(msgspec.Struct, frozen=True):
    """A decided block."""

    block: bytes
    cert: CommitCertificate


class Ask(msgspec.Struct, frozen=True):
    """Asks for blocks and certificates from a height on."""

    height: int


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong until GST.

    Args:
        delay_ms: Longest delay of a message.
        slow_percent: Share of the links, by direction, that are three times as slow.
        outages: Times at which all honest nodes crash at once.
        mutes: (kind, round, target): such messages never reach this node; kind 0 is decided blocks. Random
            loss alone hardly ever splits the votes of a round as a lock needs it.
        byzantine: Style of each byzantine validator, for the whole run.
    """

    chaos_ms: int
    loss_percent: int
    duplicate_percent: int
    delay_ms: int
    slow_percent: int
    crashes: int
    outages: int
    partitions: int
    mutes: tuple[tuple[int, int, int], ...]
    byzantine: tuple[str, ...]


def calm(*byzantine: str) -> Faults:
    """A good network from the start, with byzantine validators of these styles."""
    return Faults(0, 0, 0, 40, 0, 0, 0, 0, (), byzantine)


def draw_faults(random: Random, n: int) -> Faults:
    """Draw the faults of a seed; at most f = (n - 1) // 3 byzantine validators."""
    most = (n - 1) // 3
    mutes = random.choice((0, n, 4 * n))
    return Faults(
        chaos_ms=random.randrange(2_000, 20_000),
        loss_percent=random.choice((0, 5, 15, 30)),
        duplicate_percent=random.choice((0, 5)),
        delay_ms=random.choice((20, 100, 300, 900)),
        slow_percent=random.choice((0, 20, 50)),
        crashes=random.randrange(0, 5 * n),
        outages=random.choice((0, 0, 0, 1)),
        partitions=random.randrange(0, 6),
        mutes=tuple(
            (random.choice(_MUTABLE), random.randrange(3), random.randrange(n)) for _ in range(mutes)
        ),
        byzantine=tuple(random.choice(STYLES) for _ in range(random.choice((0, most, most, most)))),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """Outcome of one seed.

    Args:
        violation: Which oracle objects and why, or None.
        rounds: Highest round that decided.
        evidence: Pieces of evidence that honest nodes gave.
        healed_ms: From GST to the end. [ms]
        trace: Hash of every event in order.
    """

    seed: int
    n: int
    faults: Faults
    violation: str | None
    heights: int
    rounds: int
    events: int
    crashes: int
    evidence: int
    healed_ms: int
    trace: str


Stored = tuple[SignState | None, LastSigned | None]
"""The record of the core and the memory of the guard."""


class Disk:
    """Durable things of one node: the record with the guard's memory, and the chain."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.synced: Stored = (None, None)
        self.written: Stored = (None, None)
        self.chain: list[Commit] = []

    def write(self, record: SignState, last: LastSigned | None) -> None:
        """Write the record and wait until it is on the medium."""
        self.written = self.synced = (record, last)

    def crash(self) -> None:
        """Lose what was not synced."""
        self.written = self.synced


class Node:
    """One validator: its disk, its process while that is up, its clock.

    Attributes:
        life: Counts its processes; timers of an earlier one have no effect.
        doomed: It crashes at its next list of actions, between any two of them.
        commits: Decided blocks of later heights that came early.
    """

    def __init__(self, index: int, disk: Disk, random: Random) -> None:
        self.index = index
        self.key = bytes((index,)) * 32
        self.disk = disk
        self.skew = random.uniform(0.7, 1.4)
        self.clock_ms = random.randint(-CLOCK_SKEW_MS, CLOCK_SKEW_MS)
        self.life = 0
        self.doomed = False
        self.byzantine: ByzantineValidator | None = None
        self.guard: SignGuard | None = None
        self.core: Core | None = None
        self.commits: dict[int, Commit] = {}

    @property
    def next_height(self) -> int:
        """Height above the stored chain."""
        return len(self.disk.chain) + 1

    def parent_hash(self, height: int) -> bytes:
        """What a block of this height must follow, as far as this node knows."""
        return self.disk.chain[height - 2].cert.block_hash if 2 <= height <= self.next_height else b""


class World:
    """Every signature that was published and every block that was built."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.blocks: dict[bytes, tuple[bytes, SimBlock]] = {}
        self.by_height: dict[int, list[bytes]] = {}
        self._signed: set[tuple[int, bytes]] = set()

    def publish(self, index: int, data: bytes) -> None:
        """A signature has left its owner: from now on it is genuine. Before, a guess of it is a forgery."""
        self._signed.add((index, data))

    def byzantine_key(self, index: int) -> Callable[[bytes], bytes]:
        """A key whose every signature counts as published."""

        def sign(data: bytes) -> bytes:
            self.publish(index, data)
            return looks_signed(index)

        return sign

    def genuine(self, message: Vote | Proposal) -> bool:
        """Whether the validator it names signed a message; for a proposal, its POL and block too."""
        if isinstance(message, Vote):
            return (message.validator, signed_bytes(message, CHAIN_ID)) in self._signed
        known = self.blocks.get(message.block_hash)
        return (
            known is not None
            and known[0] == message.block
            and message.proposer == proposer_index(message.height, message.round, self.n)
            and (message.proposer, signed_bytes(message, CHAIN_ID)) in self._signed
            and all(self.genuine(vote) for vote in message.pol)
        )

    def cert_holds(self, commit: Commit) -> bool:
        """Whether a quorum signed the block that comes with its certificate."""
        cert, who = commit.cert, signers(commit.cert)
        data = vote_bytes(PRECOMMIT, CHAIN_ID, cert.height, cert.round, cert.block_hash)
        known = self.blocks.get(cert.block_hash)
        signed = all((index, data) in self._signed for index in who)
        return signed and len(who) >= quorum(self.n) and known is not None and known[0] == commit.block

    def make_block(self, node: Node, height: int, now_ms: int, ok: bool) -> tuple[bytes, bytes]:
        """Build a block that no other equals; return its bytes and its hash."""
        parent, serial = node.parent_hash(height), len(self.blocks)
        made = SimBlock(height, parent, node.index, serial, now_ms + node.clock_ms, int(ok))
        data = encode(made)
        name = sha256(data).digest()
        self.blocks[name] = (data, made)
        self.by_height.setdefault(height, []).append(name)
        return data, name

    def is_valid(self, node: Node, name: bytes) -> bool:
        """Whether a block follows from the chain of a node."""
        made = self.blocks[name][1]
        height = node.next_height
        return bool(made.ok) and made.height == height and made.parent == node.parent_hash(height)


def looks_signed(index: int) -> bytes:
    """Bytes of a signature of this validator; whether it signed is in the ledger, not in them."""
    return bytes((index,)) * SIGNATURE_BYTES


def kind_and_round(message: object) -> tuple[int, int] | None:
    """What mutes know a message by; None for those that are never mute."""
    match message:
        case Vote():
            return message.kind, message.round
        case Proposal():
            return PROPOSAL, message.round
        case Commit():
            return DECIDED, message.cert.round
    return None
