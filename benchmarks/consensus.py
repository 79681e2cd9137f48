"""Validators deciding settlement batches in one process: blocks a second, bytes, the check of a household's proof.

All validators of a chain run in this process over the network in memory: no delay, but every frame, signature
check, sign-state and block is real and durable. The yardstick of the same run is what no validator can do
without: the signatures it must verify (votes of all, the transaction, the certificate's are among them) and its
commits to disk, one after another.

Usage: python -m benchmarks.consensus [--json]
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import trio

from market.settlement.accounts import COLUMNS, IMPORT, RETAIL, RETAIL_IMPORT, Postings
from p2p.batches.batch import Batch, BatchArgs, batch_args, batch_tx, make_batch, pack_entries
from p2p.batches.blob import blob_hash
from p2p.blocks.block import Block, CommitCertificate, Tx
from p2p.blocks.genesis import VERSION, Genesis, make_params
from p2p.blocks.members import Members
from p2p.consensus.sign_state import ConsensusStore
from p2p.ledger.light import check_proof, make_batch_proof, make_proof
from p2p.ledger.store import ChainStore
from p2p.roles.exchange.turns import Timing
from p2p.roles.replica.blobs import FolderBlobs
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.schedule import Schedule
from p2p.roles.validator.batch_check import Closed, inline
from p2p.roles.validator.mempool import TX_PROTOCOL, TxReply
from p2p.roles.validator.validator import Validator
from p2p.transports.base import peer_id_of
from p2p.transports.memory import MemoryEndpoint, MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity, verify
from p2p.wire.messages import PriceLine

MEMBERS = 1_000
BLOCKS = {4: 40, 25: 8}
FULL_BLOCKS = 5
REPEATS = 3
TARGETS = {4: 10.0, 25: 1.0}
START, MINUTES = 1_760_000_400, 15
SECRET = b"benchmark master secret"
WRITES_PER_BLOCK = 3
"""Durable commits of a validator per block: sign-state before its prevote and its precommit, and the block."""


@dataclass(frozen=True)
class Run:
    """One chain: its size, its speed, and what it left."""

    n: int
    blocks_per_s: float
    settlements_per_s: float
    cpu_ms_per_node: float
    bytes_per_settlement: float
    block: Block
    cert: CommitCertificate
    genesis: Genesis


def key(name: str) -> Identity:
    """An identity by name."""
    return Identity.from_seed(sha256(name.encode()).digest())


def make_genesis(n: int, full_entries: bool = False) -> Genesis:
    """A chain of n authorities and a thousand households."""
    return Genesis(
        version=VERSION,
        name="bench",
        time_ms=START * 1000,
        params=make_params("EUR", MINUTES, full_entries=full_entries),
        authorities=tuple(key(f"v{i}").public_key for i in range(n)),
        operators=(key("operator").public_key,),
        members_root=Members(tuple(f"h{i}" for i in range(MEMBERS))).root,
        members=MEMBERS,
        accounts=(),
        modules=(),
    )


def settle(index: int, blob: bytes, full_entries: bool = False) -> tuple[Batch, BatchArgs]:
    """A settled interval in which everybody buys from the retailer."""
    needed = np.random.default_rng(index).integers(0, 2_000, MEMBERS)
    lines = np.zeros((MEMBERS + 3, len(COLUMNS)), dtype=np.int64)
    lines[:MEMBERS, IMPORT] = lines[:MEMBERS, RETAIL_IMPORT] = needed
    lines[:MEMBERS, RETAIL] = -needed * 310_000
    lines[MEMBERS, RETAIL] = needed.sum() * 310_000
    postings = Postings(lines, MEMBERS)
    start = START + index * MINUTES * 60
    batch = make_batch(postings, start, SECRET)
    return batch, batch_args(
        batch,
        postings,
        orders=MEMBERS,
        book_root=bytes(32),
        clearing_root=bytes(32),
        prices_root=bytes(32),
        prices=1,
        price=PriceLine(90_000, 231_000, 160_500),
        traded_wh=0,
        next_collector=key("operator").public_key,
        blob_hash=blob_hash(blob),
        entries=pack_entries(postings, start, SECRET) if full_entries else b"",
    )


def check_batch(_args: BatchArgs, _blob: bytes, _before: bytes | None) -> Closed:
    """The application's share is not measured here; no batch lacks a message."""
    return ()


def always_open(ledger: Ledger) -> Schedule:
    """Intervals that are due at any time, so that the clock stops no batch."""
    step_s = MINUTES * 60
    return Schedule(
        ledger,
        Timing(rounds=1, gate_ms=0, takeover_ms=0),
        lambda last: START if last < 0 else last + step_s,
        lambda _start, _settled: 0,
        lambda: time.time_ns() // 1_000_000,
    )


async def decide(folder: Path, n: int, blocks: int, full_entries: bool = False) -> Run:
    """Run a chain and measure from the first batch submitted to the last block decided by all."""
    genesis, operator = make_genesis(n, full_entries), key("operator")
    blobs = [index.to_bytes(4, "big") + bytes(60) for index in range(blocks)]
    txs = [
        batch_tx(operator, genesis.chain_id, index + 1, 10_000, settle(index, blob, full_entries)[1])
        for index, blob in enumerate(blobs)
    ]
    network = MemoryNetwork()
    async with AsyncExitStack() as stack:
        files = stack.enter_context(ExitStack())
        keys = [key(f"v{i}") for i in range(n)]
        addresses = ["/memory/p2p/" + peer_id_of(identity.public_key) for identity in keys]
        validators = []
        for i, identity in enumerate(keys):
            home = folder / f"v{i}"
            home.mkdir()
            endpoint = await stack.enter_async_context(network.endpoint(identity))
            store = files.enter_context(ChainStore.create(home / "chain.db", genesis))
            signs = ConsensusStore.open(home, genesis.chain_id, identity.public_key, chain_height=0)
            files.callback(signs.close)
            kept = FolderBlobs(home / "blobs")
            for index, blob in enumerate(blobs):  # every collector of blobs had theirs before the batch came
                kept.put(blob, START + index)
            others = [address for j, address in enumerate(addresses) if j != i]
            schedule = always_open(Ledger(store, genesis))
            validators.append(
                Validator(endpoint, identity, schedule, signs, kept, check_batch, others, offload=inline)
            )
        node = await stack.enter_async_context(network.endpoint(operator))
        async with trio.open_nursery() as nursery:
            for validator in validators:
                nursery.start_soon(validator.run)
            await trio.sleep(0.1)
            begun, cpu = time.perf_counter(), time.process_time()
            for height, tx in enumerate(txs, start=1):
                await _hand_in(node, keys[height % n], tx)
                for validator in validators:
                    await validator.ledger.wait_height(height)
            wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
            nursery.cancel_scope.cancel()
        head = validators[0].ledger.store.block(blocks)
    size = sum(len(encode(part)) for part in head)
    return Run(
        n,
        blocks / wall,
        blocks * MEMBERS / wall,
        1_000 * cpu / blocks / n,
        size / MEMBERS,
        *head,
        genesis,
    )


async def _hand_in(node: MemoryEndpoint, to: Identity, tx: Tx) -> None:
    reply = await node.request(peer_id_of(to.public_key), TX_PROTOCOL, tx.raw)
    answer = decode(TxReply, reply)
    if answer.code:
        raise RuntimeError(f"{answer.code}: {answer.detail}")


def yardstick_s(folder: Path, n: int) -> float:
    """What the n validators of one process need at least for a block: verifications and durable commits. [s]"""
    identity, data = key("yardstick"), bytes(120)
    signature = identity.sign(b"", data)
    begun = time.perf_counter()
    verified = n * (2 * (n - 1) + 2)  # votes of the others, the proposal, the transaction
    for _ in range(verified):
        verify(identity.public_key, b"", data, signature)
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS rows (data BLOB)")
    for _ in range(n * WRITES_PER_BLOCK):
        connection.execute("INSERT INTO rows VALUES (?)", (bytes(2_000),))
    connection.close()
    return time.perf_counter() - begun


def proof_figures(run: Run) -> tuple[float, int]:
    """Time to check a household's proof, and its size. [ms, B]"""
    blob = (BLOCKS[run.n] - 1).to_bytes(4, "big") + bytes(60)
    batch, _ = settle(BLOCKS[run.n] - 1, blob)
    proof = make_proof(batch, 417, make_batch_proof(run.block, run.cert, run.genesis))
    times = []
    for _ in range(51):
        begun = time.perf_counter()
        check_proof(proof, run.genesis)
        times.append(time.perf_counter() - begun)
    return 1_000 * statistics.median(times), len(proof)


def rows() -> list[dict[str, float]]:
    """Measure everything; one row per number of validators, medians over the repeats."""
    found = []
    for n, blocks in BLOCKS.items():
        runs, floors = [], []
        for _ in range(REPEATS):
            with tempfile.TemporaryDirectory(prefix="wattswap-bench-") as folder:
                floors.append(yardstick_s(Path(folder), n))
                runs.append(trio.run(decide, Path(folder), n, blocks))
        run = sorted(runs, key=lambda each: each.blocks_per_s)[REPEATS // 2]
        floor = statistics.median(floors)
        check_ms, proof_bytes = proof_figures(run)
        with tempfile.TemporaryDirectory(prefix="wattswap-bench-") as folder:
            full = trio.run(decide, Path(folder), n, FULL_BLOCKS, True)
        found.append(
            {
                "n": n,
                "blocks_per_s": round(run.blocks_per_s, 2),
                "target_blocks_per_s": TARGETS[n],
                "settlements_per_s": round(run.settlements_per_s),
                "cpu_ms_per_node_and_block": round(run.cpu_ms_per_node, 1),
                "yardstick_ms": round(1_000 * floor, 1),
                "ratio": round(1 / run.blocks_per_s / floor, 2),
                "bytes_per_settlement": round(run.bytes_per_settlement, 2),
                "full_blocks_per_s": round(full.blocks_per_s, 2),
                "full_bytes_per_settlement": round(full.bytes_per_settlement, 1),
                "proof_check_ms": round(check_ms, 2),
                "proof_bytes": proof_bytes,
            }
        )
    return found


def main(arguments: list[str]) -> None:
    """Print the figures as a table, or as JSON."""
    found = rows()
    if "--json" in arguments:
        print(json.dumps(found))
        return
    for row in found:
        print(
            f"n = {row['n']:>2}  {row['blocks_per_s']:>6.2f} blocks/s (target >= {row['target_blocks_per_s']:g}),"
            f" {row['settlements_per_s']:,} settlements/s, {row['cpu_ms_per_node_and_block']} ms CPU a node and block;"
            f" a block costs {row['ratio']} x its yardstick of {row['yardstick_ms']} ms"
        )
        print(
            f"        {row['bytes_per_settlement']} B a settlement on chain (target <= 2), proof of a line"
            f" {row['proof_bytes']} B (target < 2,500), checked in {row['proof_check_ms']} ms (target < 5)"
        )
        print(
            f"        with all entries on chain {row['full_bytes_per_settlement']} B a settlement (target <= 40),"
            f" {row['full_blocks_per_s']} blocks/s"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
