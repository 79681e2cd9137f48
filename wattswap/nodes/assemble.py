"""Assemble the run folder of a live run from the chain and blobs of its nodes, by recomputing every interval."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.bidding import Orders
from market.book import OrderBook
from market.rounds import of_round
from p2p.batches.batch import BatchArgs, batches, versions_in
from p2p.batches.closings import check_closers
from p2p.batches.receipts import ABSENT, slots
from p2p.blocks.block import block_hash
from p2p.errors import RemoteError
from p2p.ledger.checkpoint import load_tip
from p2p.ledger.store import ChainStore
from p2p.roles.replica.blobs import FolderBlobs, blob_file
from p2p.wire.messages import HandedIn
from wattswap.errors import VerificationFailed
from wattswap.nodes.ahead import as_lived
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.interval import Recomputed, check_messages
from wattswap.nodes.node import OMISSION
from wattswap.runs import engine
from wattswap.runs.chain_reader import settled, settled_again
from wattswap.runs.chain_writer import Committed
from wattswap.runs.interval import IntervalRecord, own_results, position_wh, read_meters, sent_orders
from wattswap.runs.layout import BLOBS, CHAIN, LIVE, OMISSIONS
from wattswap.runs.rounds import Rounds

if TYPE_CHECKING:
    from wattswap.runs.folder import RunFolder
    from wattswap.runs.prepare import Homes, Setup


class NetworkChain:
    """A network's chain, read interval by interval; a `RunChain`.

    Args:
        setup: The scenario.
        path: The chain file.
        blobs: Folder with the blob of each interval.
    """

    def __init__(self, setup: Setup, path: Path, blobs: Path) -> None:
        self._setup = setup
        self._store = ChainStore.open(path, setup.genesis, read_only=True)
        self._checker = BatchChecker(setup, load_tip(self._store, setup.genesis).state.home_key)
        self._blobs = FolderBlobs(blobs)
        self._heights, self._collectors = dict[int, tuple[int, BatchArgs]](), dict[int, bytes]()
        self._later = dict[int, list[tuple[int, BatchArgs]]]()
        for block, _ in self._store.blocks():
            for index, args in batches(block.txs):
                self._heights[args.interval_start] = block.header.height, args
                self._collectors[args.interval_start] = block.txs[index].sender
            for _, again in versions_in(block.txs):
                made = block.header.height, again.batch
                self._later.setdefault(again.batch.interval_start, []).append(made)

    def recomputed(self, start_s: int) -> Recomputed:
        """The newest version of an interval, recomputed from its messages; each is checked as a validator checks it.

        Raises:
            VerificationFailed: The chain has no batch of it, a blob is missing, a batch does not follow, or the first
                one lacks messages that no quorum of the validators of its height has closed a slot without.
        """
        blob, before = self._blob(start_s), None
        height, args = self._heights[start_s]
        try:
            if self._checker.needs_before(blob):
                before = self._blob(start_s - self._setup.minutes * 60)
            recomputed = self._checker.settled(args, blob, before)
            check_closers(self._checker.closed(blob), self._validators(height))
            for _, again in self._later.get(start_s, ()):
                former, blob = blob, self._named(start_s, again)
                recomputed = self._checker.settled_again(again, blob, former)
        except RemoteError as error:
            raise VerificationFailed.of(f"interval {start_s}", error.detail) from None
        return recomputed

    def _blob(self, start_s: int) -> bytes:
        """The blob of the first version of a settled interval."""
        if start_s not in self._heights:
            raise VerificationFailed.of(f"interval {start_s}", "the chain has no batch of it")
        return self._named(start_s, self._heights[start_s][1])

    def _named(self, start_s: int, args: BatchArgs) -> bytes:
        name = args.blob_hash
        blob = self._blobs.get(name)
        if blob is None:
            what = f"its blob {name.hex()[:16]} is missing or damaged"
            raise VerificationFailed.of(f"interval {start_s}", what)
        return blob

    def _validators(self, height: int) -> tuple[bytes, ...]:
        """Validators of the block of a height."""
        changes = self._store.changes(height - 1)
        return changes[-1].validators if changes else self._setup.genesis.authorities

    def changed_hands(self, i: int) -> bool:
        """Whether another collector settled the i-th interval than the one before, or than who begins."""
        setup = self._setup
        before = self._collectors.get(setup.start_of(i - 1)) if i else setup.genesis.operators[0]
        return self._collectors.get(setup.start_of(i)) != before

    def add(self, record: IntervalRecord) -> Committed:
        """Find the block of an interval that the network has settled."""
        height, args = self._later.get(record.start_s, [self._heights[record.start_s]])[-1]
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
    """Copy the longest chain, and the blobs of its batches, of nodes that have stopped into a run folder.

    A node may hold blobs of other batches, as of a collector whose batch came too late: nothing on the chain shows
    what they are.

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
    (partial / BLOBS).mkdir(exist_ok=True)
    with ChainStore.open(partial / CHAIN, setup.genesis, read_only=True) as store:
        made = chain(settled(store), settled_again(store))
        named = [blob_file(args.interval_start, args.blob_hash) for _, args in made]
    for folder in nodes:
        for name in named:
            if (folder / BLOBS / name).is_file():
                shutil.copyfile(folder / BLOBS / name, partial / BLOBS / name)


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
        network: Figures of the network, for the manifest, which the homes that were absent are added to.
        checked: Folder with blobs whose messages are refused where the homes' data and strategies do not lead to them.

    Raises:
        VerificationFailed: The chain does not follow from the blobs, or a message not from the data.
    """
    chain = NetworkChain(setup, partial / CHAIN, checked or partial / BLOBS)
    current = engine.Run(setup, partial, chain)
    unsure, learns, silent = _Unsure(setup), current.community.learns, list[str]()
    try:
        for i in range(setup.intervals):
            recomputed = chain.recomputed(setup.start_of(i))
            silent += (f"{setup.start_of(i)} {home}" for home in absent_from(setup, i, recomputed))
            # Only the homes know the states of their devices: simulate the interval as they did.
            said = (
                _simulated(setup, current.community, i, recomputed) if checked or setup.looks_ahead else None
            )
            if setup.reacts and not setup.looks_ahead:
                record = recomputed.record
                current.community.agree(position_wh(setup, record.book, record.clearing))
            meters = read_meters(setup, current.community, i)
            if checked and said is not None:
                homes = unsure.homes(taken_over=chain.changed_hands(i))
                unsure.absent |= check_messages(setup, said, meters, recomputed, homes)
                if learns:
                    record = recomputed.record
                    lines = record.settled.postings.lines[: len(setup.roster)]
                    current.community.learn_own(own_results(record.start_s, lines, record.price))
            devices = {**meters.columns, **setup.behind_meter(i, meters.columns)}
            current.add(recomputed.record.with_devices(devices))
            if current.done % setup.steps_per_day == 0 or current.done == setup.intervals:
                current.flush()
        return engine.finish(
            current, begun, signed=True, driver=LIVE, extra={"network": {**network, "silent": silent}}
        )
    finally:
        current.close()


def absent_from(setup: Setup, i: int, recomputed: Recomputed) -> list[str]:
    """The members whose order of some round, or whose reading, the blob of the i-th interval lacks; sorted."""
    inclusion, members = recomputed.inclusion, np.flatnonzero(setup.takes_part(i)).tolist()
    lacking = (
        home
        for home in members
        if any(inclusion.of(home, slot)[0] == ABSENT for slot in range(slots(setup.rounds)))
    )
    return sorted(setup.roster[home] for home in lacking)


def _simulated(
    setup: Setup, community: Homes, i: int, recomputed: Recomputed
) -> Callable[[int, int], HandedIn]:
    """The message of each home in each round of the i-th interval, after the recorded rounds before it."""
    start_s = setup.start_of(i)
    if recomputed.ahead is not None:
        said = as_lived(setup, community, recomputed.ahead)
        return lambda home, number: said[number].get(home) or setup.message_of(home, start_s, (), number)
    orders = _ordered(setup, community, i, recomputed.record.book)
    return lambda home, number: setup.message(home, start_s, orders[number], number)


def _ordered(setup: Setup, community: Homes, i: int, book: OrderBook) -> list[Orders]:
    """What all homes order in each round of the i-th interval, after the recorded rounds before it."""
    orders = [sent_orders(setup, community, i)]
    if setup.rounds == 1:
        return orders
    market = Rounds(setup, i)
    while market.done < setup.rounds:
        market.clear(of_round(book, market.done))
        opened = market.opened(community.members)
        if market.done < setup.rounds:
            orders.append(sent_orders(setup, community, i, opened=opened))
        else:
            community.end_rounds(opened)
    return orders


class _Unsure:
    """Homes whose orders the messages on the chain do not determine.

    A home that was absent may have learned less than it would have. Where a collector took over, homes may have ordered
    again by the tape of the one before, which held messages that the second never received.

    Attributes:
        absent: Homes that were absent so far.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup, self._learns = setup, setup.community().learns
        self._all = frozenset(range(len(setup.roster)))
        self._never_sure = False
        self.absent = set[int]()

    def homes(self, *, taken_over: bool) -> list[Collection[int]]:
        """Those of each round of the next interval.

        Args:
            taken_over: Whether another collector settles it than was expected.
        """
        known: Collection[int] = self.absent if self._learns else ()
        known = self._all if self._never_sure else known
        later = self._all if taken_over else known
        if taken_over and self._setup.rounds > 1:
            self._never_sure = self._learns
        return [known, *([later] * (self._setup.rounds - 1))]
