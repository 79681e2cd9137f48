"""The chain side of a run: each settled interval becomes one block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2p.batches.batch import Batch, BatchArgs, batch_args, batches, make_batch
from p2p.ledger.light import make_batch_proof, make_proof
from p2p.ledger.producer import Producer
from p2p.ledger.store import ChainStore
from wattswap.errors import VerificationFailed
from wattswap.runs.interval import IntervalRecord

if TYPE_CHECKING:
    from wattswap.runs.prepare import Setup


@dataclass(frozen=True, slots=True, eq=False)
class Committed:
    """A block that was just written, with the off-chain half of its batch."""

    height: int
    block_hash: bytes
    postings_root: bytes
    batch: Batch
    block: Any
    cert: Any


def args_of(record: IntervalRecord, batch: Batch, next_collector: bytes, **network: Any) -> BatchArgs:
    """What an interval puts on the chain.

    Args:
        next_collector: Whose turn the next interval is first.
        network: What only a network has: `blob_hash`, `inclusion_root`, `closed_hash` and `unopened`.
    """
    return batch_args(
        batch,
        record.settled.postings,
        orders=len(record.book),
        book_root=record.book_root,
        clearing_root=record.clearing_root,
        prices_root=record.prices_root,
        prices=len(record.clearing.prices) * len(record.clearing.node_price),
        price=record.price,
        traded_wh=record.traded_wh,
        next_collector=next_collector,
        **network,
    )


class ChainWriter:
    """Writes one run's chain, all validators in this process.

    Args:
        setup: Keys and genesis.
        path: The chain file; made when absent, continued otherwise.
    """

    def __init__(self, setup: Setup, path: Path) -> None:
        self._setup, self._path = setup, path
        self._store = (
            ChainStore.open(path, setup.genesis) if path.exists() else ChainStore.create(path, setup.genesis)
        )
        self._salts = setup.keys.salts
        self._producer = self._new_producer()

    def _new_producer(self) -> Producer:
        keys, chain = self._setup.keys, self._setup.scenario.chain
        authorities = [keys.identity("authority", str(i)) for i in range(chain.authorities)]
        return Producer(self._setup.genesis, authorities, keys.identity("operator"), self._store)

    def add(self, record: IntervalRecord) -> Committed:
        """Put an interval on the chain: roots and totals in the block, salted entries beside it."""
        batch = make_batch(record.settled.postings, record.start_s, self._salts)
        args = args_of(record, batch, self._setup.genesis.operator)
        time_ms = (record.start_s + self._setup.minutes * 60) * 1_000
        block, cert = self._producer.append_batch(args, time_ms)
        height = block.header.height
        return Committed(height, self._producer.tip.block_hash, batch.root, batch, block, cert)

    def proof(self, committed: Committed, account: int) -> bytes:
        """The proof of one account's line of a block that was just written."""
        ((index, _),) = batches(committed.block.txs)
        proof = make_batch_proof(committed.block, committed.cert, self._setup.genesis, index)
        return make_proof(committed.batch, account, proof)

    def cut_back(self, height: int) -> None:
        """Remove every block above a checkpoint.

        Raises:
            VerificationFailed: The chain is shorter than the checkpoint says.
        """
        if self._store.height < height:
            raise VerificationFailed.of(
                str(self._path),
                f"ends at block {self._store.height}, the checkpoint counts {height}",
                "start a new run",
            )
        if self._store.height > height:
            self._store.truncate_above(height)
            self._producer = self._new_producer()

    def roots(self) -> Iterator[bytes]:
        """Book, clearing and postings roots of every batch, joined, in order of height."""
        for block, _ in self._store.blocks():
            for _, args in batches(block.txs):
                yield args.book_root + args.clearing_root + args.postings_root

    def summary(self) -> dict[str, Any]:
        """Height, head and number of validators, for the manifest."""
        genesis, tip = self._setup.genesis, self._producer.tip
        return {
            "id": genesis.chain_id.hex(),
            "blocks": tip.height,
            "head": tip.block_hash.hex(),
            "authorities": len(genesis.authorities),
        }

    def close(self) -> None:
        """Fold the write-ahead log in and close the file."""
        self._store.close()
