"""Read a run's chain: blocks, verification, one home's proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from data.readings import home_id
from market.errors import text_of
from market.files import read_at_most
from market.settlement.accounts import COLUMNS, MONEY_COLUMNS, Postings
from market.units import NANO_PER_UNIT, WH_PER_KWH
from p2p.batches.batch import BatchArgs, batches, make_batch, versions_in
from p2p.blocks.block import Block, CommitCertificate, block_hash, signers
from p2p.blocks.genesis import Genesis, read_genesis
from p2p.errors import (
    BadCertificate,
    GenesisError,
    Malformed,
    OtherFormat,
    P2PError,
    StoreError,
    WrongChain,
    WrongSignature,
)
from p2p.ledger.checkpoint import load_tip
from p2p.ledger.edge import shown
from p2p.ledger.execution import Tip
from p2p.ledger.light import (
    MAX_PROOF_JSON_BYTES,
    check_proof,
    make_batch_proof,
    make_proof,
    proof_from_json,
    proof_to_json,
    set_changes,
)
from p2p.ledger.module import ChainModule, modules_of
from p2p.ledger.store import ChainStore
from p2p.ledger.verify import verify_chain
from wattswap.errors import InvalidData, UsageError, VerificationFailed, suggest
from wattswap.runs.folder import RunFolder, read_table
from wattswap.runs.keys import Keys
from wattswap.runs.layout import CHAIN, GENESIS, NODE_DATA, table_file
from wattswap.runs.missing import CHAIN_WANTED, not_found
from wattswap.runs.stored import CURE

MAX_VERIFIED_BLOCKS = 2_000
"""Most blocks that a summary or a report verifies; `chain verify` verifies a longer chain."""


def open_chain(run: Path) -> ChainStore:
    """Open a run's chain read-only."""
    return ChainStore.open(_chain_file(run), genesis_of(run), read_only=True)


def genesis_of(run: Path) -> Genesis:
    """The genesis of a run, or of a node's folder.

    Raises:
        RunNotFound: The folder holds no chain.
        VerificationFailed: The genesis file is damaged.
    """
    if not _chain_file(run).is_file() or not (run / GENESIS).is_file():
        raise not_found(run, CHAIN_WANTED)
    try:
        return read_genesis(run / GENESIS)
    except OtherFormat:
        raise
    except GenesisError as error:
        raise VerificationFailed.of(str(run / GENESIS), f"is damaged: {error.problems[0]}", CURE) from None


def _chain_file(run: Path) -> Path:
    """The chain of a run, or of a node, which has it among its data."""
    of_node = run / NODE_DATA / CHAIN
    return of_node if of_node.is_file() else run / CHAIN


def settled(store: ChainStore) -> Iterator[tuple[int, BatchArgs]]:
    """Every settled interval of a chain, with the height of its block; a block may hold none or several."""
    for block, _ in store.blocks():
        for _, args in batches(block.txs):
            yield block.header.height, args


def settled_again(store: ChainStore) -> Iterator[tuple[int, BatchArgs]]:
    """Every later version of an interval of a chain, in their order, with the height of its block."""
    for block, _ in store.blocks():
        for _, later in versions_in(block.txs):
            yield block.header.height, later.batch


def newest_settled(store: ChainStore) -> Iterator[tuple[int, BatchArgs]]:
    """The newest version of every settled interval of a chain, with the height of its block, interval by interval."""
    later = {args.interval_start: (height, args) for height, args in settled_again(store)}
    for height, args in settled(store):
        yield later.get(args.interval_start, (height, args))


@dataclass(frozen=True, slots=True)
class FoundBatch:
    """A batch on the chain, with its place."""

    args: BatchArgs
    tx_index: int
    block: Block
    cert: CommitCertificate


def find_batch(store: ChainStore, interval_start: int) -> FoundBatch | None:
    """The batch of an interval, by halving: later intervals are never settled in lower blocks."""
    low, high = 1, store.height
    while low <= high:
        middle = (low + high) // 2
        place = _first_with_a_batch(store, middle, high)
        if place is None or interval_start < place[2][0][1].interval_start:
            high = middle - 1
            continue
        block, cert, held = place
        for index, args in held:
            if args.interval_start == interval_start:
                return FoundBatch(args, index, block, cert)
        low = block.header.height + 1
    return None


def find_newest(store: ChainStore, interval_start: int) -> FoundBatch | None:
    """The newest version of an interval: that of its batch, or the last one with readings that came late."""
    found = find_batch(store, interval_start)
    if found is None:
        return None
    for block, cert in store.blocks(found.block.header.height):
        for index, later in versions_in(block.txs):
            if later.batch.interval_start == interval_start:
                found = FoundBatch(later.batch, index, block, cert)
    return found


def _first_with_a_batch(
    store: ChainStore, first: int, last: int
) -> tuple[Block, CommitCertificate, list[tuple[int, BatchArgs]]] | None:
    for block, cert in store.blocks(first, last):
        held = batches(block.txs)
        if held:
            return block, cert, held
    return None


def last_batch(store: ChainStore) -> BatchArgs | None:
    """The newest settled interval, or None."""
    for height in range(store.height, 0, -1):
        held = batches(store.block(height)[0].txs)
        if held:
            return held[-1][1]
    return None


def stamp(seconds: int) -> str:
    """An instant as people write it, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")


def parse_interval(text: str) -> int:
    """The start of an interval from its name. [s]

    Raises:
        UsageError: It is not an instant with a zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError.of("INTERVAL", f"{text!r} is not a time", "write it as 2016-09-19T05:00Z") from None
    if moment.tzinfo is None:
        raise UsageError.of("INTERVAL", f"{text} names no zone", f"write {text}Z for UTC, or add an offset")
    return int(moment.timestamp())


def verified_chain(run: Path) -> dict[str, Any]:
    """Verify a chain from its first block on.

    Raises:
        VerificationFailed: Names the first block and field that is wrong.
    """
    genesis = genesis_of(run)
    try:
        with open_chain(run) as store:
            report = verify_chain(store, genesis)
            # The state that `chain state` begins at: nothing in the blocks shows a checkpoint of the newest of them.
            if report.ok and store.checkpoint():
                tip = load_tip(store, genesis)
                if (tip.height, tip.block_hash, tip.state) != (report.height, report.head_hash, report.state):
                    raise VerificationFailed.of(
                        str(_chain_file(run)),
                        "holds a checkpoint that is not the state after its blocks",
                        CURE,
                    )
    except StoreError as error:
        raise VerificationFailed.of(str(_chain_file(run)), str(error), CURE) from None
    if report.finding is not None:
        raise VerificationFailed.of(str(_chain_file(run)), str(report.finding), CURE)
    return {
        "chain_id": report.chain_id.hex(),
        "blocks": report.height,
        "head": report.head_hash.hex(),
        "authorities": len(genesis.authorities),
        "signatures": report.signatures,
        "traded_kwh": report.state.traded_wh / WH_PER_KWH,
    }


def tip_of(run: Path) -> Tip:
    """The newest block of a run's chain and the state after it.

    Raises:
        GenesisError: It names a chain module that is not known here.
        VerificationFailed: The chain is damaged.
    """
    genesis = genesis_of(run)
    modules_of(genesis)
    try:
        with open_chain(run) as store:
            return load_tip(store, genesis)
    except StoreError as error:
        raise VerificationFailed.of(str(_chain_file(run)), str(error), CURE) from None


def module_named(genesis: Genesis, name: str) -> ChainModule:
    """A module of a chain.

    Raises:
        UsageError: The chain has no module of this name.
    """
    modules = modules_of(genesis)
    if name not in modules:
        raise UsageError.of("MODULE", f"the chain has no module {name!r}", suggest(name, modules))
    return modules[name]


def module_state(run: Path, name: str) -> dict[str, Any]:
    """The entries of one module at the head of a run's chain.

    Raises:
        UsageError: The chain has no such module.
    """
    module = module_named(genesis_of(run), name)
    tip = tip_of(run)
    return {"module": name, "height": tip.height, "entries": list(shown(tip.state, module))}


def chain_facts(run: Path) -> dict[str, Any]:
    """The chain at a glance, not verified."""
    genesis = genesis_of(run)
    with open_chain(run) as store:
        head, height, newest = store.head(), store.height, last_batch(store)
    size = _chain_file(run).stat().st_size
    return {
        "chain_id": genesis.chain_id.hex(),
        "name": genesis.name,
        "members": genesis.members,
        "authorities": len(genesis.authorities),
        "blocks": height,
        "head": "" if head is None else block_hash(head[0].header).hex(),
        "last_interval": "" if newest is None else stamp(newest.interval_start),
        "bytes": size,
        "bytes_per_block": round(size / height) if height else None,
    }


def block_facts(run: Path, height: int) -> dict[str, Any]:
    """One block: header, roots, totals, who signed.

    Raises:
        UsageError: There is no such block.
    """
    with open_chain(run) as store:
        if not 1 <= height <= store.height:
            raise UsageError.of("HEIGHT", f"no block {height}", f"the chain has blocks 1 to {store.height}")
        block, cert = store.block(height)
        accounts = store.genesis.account_names
    header = block.header
    facts: dict[str, Any] = {
        "height": header.height,
        "block_hash": block_hash(header).hex(),
        "parent_hash": header.parent_hash.hex(),
        "time": stamp(header.time_ms // 1000),
        "proposer": header.proposer_idx,
        "signed_by": signers(cert),
        "state_root": header.state_root.hex(),
    }
    held = [args for _, args in batches(block.txs)]
    if len(held) == 1 and len(block.txs) == 1:
        facts |= _batch_facts(held[0], accounts)
    else:
        facts["transactions"] = [f"{tx.module}.{tx.method}" for tx in block.txs]
        facts["batches"] = [_batch_facts(args, accounts) for args in held]
    return facts


def _batch_facts(batch: BatchArgs, accounts: tuple[str, ...]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "interval": stamp(batch.interval_start),
        "orders": batch.orders,
        "traded_kwh": batch.traded_wh / WH_PER_KWH,
        "price_per_kwh": None if batch.price is None else batch.price.price / 1e6,
        "price_interval": None if batch.price is None else [batch.price.lo / 1e6, batch.price.hi / 1e6],
        "book_root": batch.book_root.hex(),
        "clearing_root": batch.clearing_root.hex(),
        "postings_root": batch.postings_root.hex(),
    }
    for account, row in zip(("members", *accounts), batch.rows, strict=True):
        values = dict(zip(COLUMNS, row, strict=True))
        facts[f"{account}_total"] = sum(values[name] for name in MONEY_COLUMNS) / NANO_PER_UNIT
    return facts


def postings_of(run: Path, start_s: int, genesis: Genesis) -> Postings:
    """The stored postings of one interval."""
    moment = datetime.fromtimestamp(start_s, UTC)
    table = read_table(run, "postings", ("interval_start", "==", moment))
    lines = np.column_stack([table[name].to_numpy() for name in COLUMNS])
    return Postings(np.ascontiguousarray(lines), genesis.members, len(genesis.accounts))


def accounts_of(run: Path) -> tuple[str, ...]:
    """Account ids of a run: the homes in roster order, then the external and the system accounts."""
    return (*read_table(run, "bills")["household"].to_pylist(), *genesis_of(run).account_names)


def prove_line(run: Path, household: str, interval: str) -> str:
    """The proof, in JSON, of one account's line of one interval.

    Raises:
        UsageError: No such home or interval in the run.
        VerificationFailed: The stored line is not the one on the chain.
    """
    from wattswap.runs.folder import stored_scenario

    household, genesis, result = home_id(household), genesis_of(run), RunFolder(run)
    for name in ("postings", "bills"):
        result.unchanged(table_file(name))
    accounts = accounts_of(run)
    if household not in accounts:
        raise UsageError.of("HOUSEHOLD", f"no home {household!r} in this run", suggest(household, accounts))
    start_s = parse_interval(interval)
    with open_chain(run) as store:
        found = find_newest(store, start_s)
        if found is None:
            first = next((args.interval_start for _, args in settled(store)), None)
            since = "none" if first is None else f"{store.height} from {stamp(first)} on"
            raise UsageError.of("INTERVAL", f"no interval {interval} in this run", f"it has {since}")
        changes = set_changes(found.block.header, store.blocks(), genesis)
    salts = Keys.of(stored_scenario(run)).salts
    batch = make_batch(postings_of(run, start_s, genesis), start_s, salts)
    if batch.root != found.args.postings_root:
        raise VerificationFailed.of(
            f"postings of {interval}", "are not the ones on the chain", "run `wattswap verify` on this folder"
        )
    settled_in = make_batch_proof(found.block, found.cert, genesis, found.tx_index, changes)
    proof = make_proof(batch, accounts.index(household), settled_in)
    return proof_to_json(proof, check_proof(proof, genesis))


def of_another_chain(error: P2PError, genesis: Genesis) -> str:
    """A hint for a document that is refused, or may be refused, for its chain; empty for other refusals."""
    chain = genesis.chain_id.hex()[:16]
    if isinstance(error, WrongChain):
        return f"the genesis is that of another chain, {chain}"
    if isinstance(error, WrongSignature | BadCertificate):
        return f"perhaps the genesis is that of another chain, {chain}"
    return ""


def check_line(proof: Path, genesis: Path) -> dict[str, Any]:
    """Check a proof file offline against a genesis file; returns what it proves.

    Raises:
        OSError: A file cannot be read.
        InvalidData: The proof file is none.
        GenesisError: The genesis file is none.
        VerificationFailed: The proof does not hold.
    """
    data, trusted = read_at_most(proof, MAX_PROOF_JSON_BYTES), read_genesis(genesis)
    try:
        bundle = proof_from_json(data.decode())
    except (UnicodeDecodeError, Malformed) as error:
        cure = "give a file that `chain prove` wrote"
        raise InvalidData.of(str(proof), f"is no proof: {text_of(error)}", cure) from None
    try:
        line = check_proof(bundle, trusted)
    except P2PError as error:
        hint, again = of_another_chain(error, trusted), "request the proof from the operator again"
        cure = hint if isinstance(error, WrongChain) else f"{again}; {hint}" if hint else again
        raise VerificationFailed.of(str(proof), str(error), cure) from None
    return {
        "proven": True,
        "currency": trusted.params.currency,
        "interval": stamp(line.interval_start),
        "account": line.account,
        "block": line.height,
        "block_hash": line.block_hash.hex(),
        "signed_by": list(line.signers),
        "total": line.total_nano / NANO_PER_UNIT,
        **{
            name.replace("_wh", "_kwh").replace("_nano", ""): value
            / (NANO_PER_UNIT if "nano" in name else WH_PER_KWH)
            for name, value in line.values.items()
        },
    }
