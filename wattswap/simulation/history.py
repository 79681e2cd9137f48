"""What a simulated run left behind, put in order for the oracles: chains, settled intervals, promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from p2p.batches.batch import BatchArgs, batches, versions_in
from p2p.batches.blob import IntervalContent, blob_hash, open_blob
from p2p.blocks.block import Block, CommitCertificate
from p2p.blocks.members import Rotated, none_rotated
from p2p.errors import RemoteError
from p2p.ledger.execution import replay
from p2p.ledger.modules import evidence
from p2p.ledger.store import ChainStore
from p2p.wire.messages import HandedIn, ReadingMessage, Said
from wattswap.nodes.node import OMISSION
from wattswap.nodes.stats import read_stats
from wattswap.runs.layout import CHAIN
from wattswap.runs.prepare import Setup
from wattswap.simulation.base import Base
from wattswap.simulation.byzantine import byzantine_nodes
from wattswap.simulation.plan import START_MS, Act, Plan
from wattswap.simulation.truth import Truth


@dataclass(frozen=True)
class Settled:
    """One settled interval.

    Args:
        sender: Key of the collector.
        height: Of the block.
        made_s: When the block was made, by its proposer's clock. [s after the begin]
        at_s: When a node first knew it as settled; None where none has said so. [s after the begin]
        content: Its messages; None where nobody has had the blob.
    """

    args: BatchArgs
    sender: bytes
    height: int
    made_s: float
    at_s: float | None
    content: IntervalContent | None

    def message_of(self, household: str, kind: type, number: int = 0) -> HandedIn | None:
        """The message of a home in a round, or its reading."""
        if self.content is None:
            return None
        if kind is ReadingMessage:
            return next((one for one in self.content.readings if one.household == household), None)
        for one in self.content.messages:
            if not isinstance(one, ReadingMessage) and (one.household, one.round) == (household, number):
                return one
        return None

    def said_by(self, household: str) -> Said | None:
        """What a home has ordered, or that it orders nothing, as its envelope says where orders are sealed."""
        if self.content is None:
            return None
        order = next((one for one in self.content.orders if one.household == household), None)
        return order or next((one for one in self.content.nothings if one.household == household), None)


@dataclass(frozen=True)
class Later:
    """A later version of an interval.

    Args:
        blob: Its messages; None where nobody has had them.
    """

    args: BatchArgs
    version: int
    blob: bytes | None


class History:
    """A finished run.

    Args:
        plan: What was run.
        base: The neighbourhood.
        truth: The observer's notes.
        folders: Data of each node.
        unfinished: Homes' nodes that had not finished at the end.
        acted: When each act began, and the act. [s after the begin]
    """

    def __init__(
        self,
        plan: Plan,
        base: Base,
        truth: Truth,
        folders: Mapping[str, Path],
        unfinished: list[str],
        acted: list[tuple[float, Act]],
    ) -> None:
        self.plan, self.base, self.truth = plan, base, truth
        self.folders, self.unfinished, self.acted = folders, unfinished, acted
        self.byzantine = byzantine_nodes(plan)

    @property
    def setup(self) -> Setup:
        """The scenario."""
        return self.base.setup

    def name_of(self, key: bytes) -> str:
        """The node that a key belongs to."""
        for name, keys in self.base.keys.items():
            if any(identity.public_key == key for identity in keys.values()):
                return name
        return key.hex()[:16]

    def node_of_home(self, household: str) -> str:
        """The node that acts for a home."""
        return next(name for name, config in self.base.configs.items() if household in config.households)

    def starts(self) -> list[int]:
        """Starts of all intervals. [s since 1970, UTC]"""
        return [self.setup.start_of(i) for i in range(self.plan.shape.intervals)]

    @cached_property
    def chains(self) -> dict[str, list[tuple[Block, CommitCertificate]]]:
        """The blocks that each honest node holds."""
        found = {}
        for name, folder in self.folders.items():
            path = folder / CHAIN
            if name in self.byzantine or not path.exists():
                continue
            with ChainStore.open(path, self.setup.genesis) as store:
                found[name] = list(store.blocks())
        return found

    @property
    def chain(self) -> list[tuple[Block, CommitCertificate]]:
        """The longest chain of an honest node."""
        return max(self.chains.values(), key=len, default=[])

    @cached_property
    def rotated(self) -> Rotated:
        """Keys to which homes have rotated."""
        return replay(self.chain, self.setup.genesis).state.home_key if self.plan.rotates else none_rotated

    @cached_property
    def settled(self) -> dict[int, Settled]:
        """The settled intervals, by their starts."""
        blobs = {blob_hash(data): data for data in self.truth.blobs.values()}
        found: dict[int, Settled] = {}
        for block, _ in self.chain:
            for index, args in batches(block.txs):
                start_s = args.interval_start
                at = self.truth.settled.get(start_s)
                content = None
                if args.blob_hash in blobs:
                    try:
                        content = open_blob(
                            blobs[args.blob_hash], self.setup.genesis, self.setup.member_list, self.rotated
                        )
                    except RemoteError:
                        content = None
                made_s = (block.header.time_ms - START_MS) / 1_000
                found[start_s] = Settled(
                    args, block.txs[index].sender, block.header.height, made_s, at and at[0], content
                )
        return found

    @cached_property
    def later(self) -> dict[int, list[Later]]:
        """The later versions of intervals, in their order, by their starts."""
        blobs = {blob_hash(data): data for data in self.truth.blobs.values()}
        found: dict[int, list[Later]] = {}
        for block, _ in self.chain:
            for _, again in versions_in(block.txs):
                args = again.batch
                one = Later(args, again.version, blobs.get(args.blob_hash))
                found.setdefault(args.interval_start, []).append(one)
        return found

    def blob_of(self, args: BatchArgs) -> bytes | None:
        """The blob of a batch, where anybody has had it."""
        return next((data for data in self.truth.blobs.values() if blob_hash(data) == args.blob_hash), None)

    @cached_property
    def omissions(self) -> list[tuple[str, bytes]]:
        """Who has kept a proof of a broken promise, and the proof."""
        return [
            (name, path.read_bytes())
            for name, folder in self.folders.items()
            for path in sorted(folder.glob(f"{OMISSION}*.bin"))
        ]

    @cached_property
    def proofs(self) -> dict[tuple[str, int], int]:
        """How many homes of a node have checked the proof of their line of an interval, by node and its start."""
        return {
            (name, line["interval_start"]): line["proofs"]
            for name, folder in self.folders.items()
            for line in read_stats([folder])
            if line.get("what") == "lived"
        }

    @cached_property
    def settlements(self) -> dict[int, list[int]]:
        """Heights of the blocks that settle an interval, by its start."""
        found: dict[int, list[int]] = {}
        for block, _ in self.chain:
            for _, args in batches(block.txs):
                found.setdefault(args.interval_start, []).append(block.header.height)
        return found

    @cached_property
    def gone(self) -> frozenset[str]:
        """Nodes that are gone for good."""
        return frozenset(name for _, act in self.acted if act.kind == "gone" for name in act.who)

    def convicted(self) -> Iterator[tuple[int, bytes]]:
        """Height and key of what the chain has convicted a collector or validator of, by transactions."""
        for block, _ in self.chain:
            for tx in block.txs:
                if tx.module == evidence.NAME:
                    yield block.header.height, evidence.accused(tx, self.setup.genesis, self.rotated)

    def evidence(self) -> Iterator[tuple[int, bytes]]:
        """Height and bytes of what convicts a validator on the chain."""
        for block, _ in self.chain:
            for data in block.evidence:
                yield block.header.height, data
