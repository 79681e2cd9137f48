"""Assemble the run folder of a live run from the chain and blobs of its nodes, by recomputing every interval."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2p.batches.batch import batches
from p2p.blocks.block import block_hash
from p2p.errors import RemoteError
from p2p.ledger.store import ChainStore
from p2p.roles.replica.blobs import FolderBlobs
from wattswap.errors import VerificationFailed
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.interval import Recomputed, check_messages
from wattswap.nodes.node import OMISSION
from wattswap.runs import engine
from wattswap.runs.chain_writer import Committed
from wattswap.runs.interval import IntervalRecord, own_results, position_wh, read_meters, sent_orders
from wattswap.runs.layout import BLOBS, CHAIN, LIVE, OMISSIONS

if TYPE_CHECKING:
    from wattswap.runs.folder import RunFolder
    from wattswap.runs.prepare import Setup


class NetworkChain:
    """A network's chain, read interval by interval; a `RunChain`.

    Args:
        setup: The scenario.
        path: The chain file.
        blobs: Folder with the blob of each interval.
    """

    def __init__(self, setup: Setup, path: Path, blobs: Path) -> None:
        self._setup, self._checker = setup, BatchChecker(setup)
        self._store = ChainStore.open(path, setup.genesis, read_only=True)
        self._blobs = FolderBlobs(blobs)
        self._heights = {
            args.interval_start: (block.header.height, args)
            for block, _ in self._store.blocks()
            for _, args in batches(block.txs)
        }

    def recomputed(self, start_s: int) -> Recomputed:
        """An interval recomputed from its messages and checked as a validator checks it.

        Raises:
            VerificationFailed: The chain has no batch of it, its blob is missing, or the batch does not follow.
        """
        where = f"interval {start_s}"
        if start_s not in self._heights:
            raise VerificationFailed.of(where, "the chain has no batch of it")
        _, args = self._heights[start_s]
        blob = self._blobs.get(args.blob_hash)
        if blob is None:
            raise VerificationFailed.of(where, f"its blob {args.blob_hash.hex()[:16]} is missing or damaged")
        try:
            self._checker(args, blob)
            return self._checker.recompute(blob)
        except RemoteError as error:
            raise VerificationFailed.of(where, error.detail) from None

    def add(self, record: IntervalRecord) -> Committed:
        """Find the block of an interval that the network has settled."""
        height, args = self._heights[record.start_s]
        block, cert = self._store.block(height)
        batch = self.recomputed(record.start_s).batch
        return Committed(height, block_hash(block.header), args.postings_root, batch, block, cert)

    def summary(self) -> dict[str, Any]:
        """Height, head and number of validators, for the manifest."""
        head = self._store.head()
        genesis = self._setup.genesis
        return {
            "id": genesis.chain_id.hex(),
            "blocks": self._store.height,
            "head": "" if head is None else block_hash(head[0].header).hex(),
            "authorities": len(genesis.authorities),
        }

    def close(self) -> None:
        """Close the chain file."""
        self._store.close()


def take_over(setup: Setup, partial: Path, nodes: Sequence[Path]) -> None:
    """Copy the longest chain and all blobs of nodes that have stopped into a run folder.

    Args:
        nodes: Data folders of operators and validators.
    """
    heights = {}
    for folder in nodes:
        if (folder / CHAIN).is_file():
            with ChainStore.open(folder / CHAIN, setup.genesis) as store:
                heights[folder] = store.height
    if not heights:
        raise VerificationFailed.of(str(partial), "no node has a chain")
    shutil.copyfile(max(heights, key=heights.__getitem__) / CHAIN, partial / CHAIN)
    for folder in nodes:
        if (folder / BLOBS).is_dir():
            shutil.copytree(folder / BLOBS, partial / BLOBS, dirs_exist_ok=True)


def keep_omissions(partial: Path, nodes: Sequence[Path]) -> None:
    """Copy the homes' proofs of broken promises into a run folder."""
    for proof in (path for folder in nodes for path in folder.glob(f"{OMISSION}*.bin")):
        (partial / OMISSIONS).mkdir(exist_ok=True)
        shutil.copyfile(proof, partial / OMISSIONS / proof.name)


def assemble(
    setup: Setup,
    partial: Path,
    begun: float,
    network: dict[str, Any],
    *,
    checked: Path | None = None,
) -> RunFolder:
    """Write the tables, bills and manifest of a live run from its chain and blobs.

    Args:
        partial: Folder with scenario, genesis and chain, and with the blobs unless `checked` names theirs.
        begun: When the run began. [s since 1970]
        network: Figures of the network, for the manifest.
        checked: Folder with blobs whose messages are refused where the homes' data and strategies do not lead to them.

    Raises:
        VerificationFailed: The chain does not follow from the blobs, or a message not from the data.
    """
    chain = NetworkChain(setup, partial / CHAIN, checked or partial / BLOBS)
    current = engine.Run(setup, partial, chain)
    # A home that was absent may have learned less than it would have, so its orders are unknown.
    absent, learns = set[int](), current.community.learns
    try:
        for i in range(setup.intervals):
            recomputed = chain.recomputed(setup.start_of(i))
            # Only the homes know the states of their devices: simulate the interval as they did.
            orders = sent_orders(setup, current.community, i) if checked else None
            if setup.reacts:
                record = recomputed.record
                current.community.agree(position_wh(setup, record.book, record.clearing))
            meters = read_meters(setup, current.community, i)
            if orders is not None:
                absent |= check_messages(setup, orders, meters, recomputed, absent if learns else set())
                if learns:
                    record = recomputed.record
                    lines = record.settled.postings.lines[: len(setup.roster)]
                    current.community.learn_own(own_results(record.start_s, lines, record.price))
            current.add(recomputed.with_devices(meters.columns))
            if current.done % setup.steps_per_day == 0 or current.done == setup.intervals:
                current.flush()
        return engine.finish(current, begun, signed=True, driver=LIVE, extra={"network": network})
    finally:
        current.close()
