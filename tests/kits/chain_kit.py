"""A small chain to test with: keys from seeds, random balanced postings, a few blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from market.orders import Terms, kind_of, numbers_of
from market.settlement.accounts import (
    BOUGHT,
    COLUMNS,
    EXPORT,
    GRID_FEE,
    IMPORT,
    RETAIL,
    RETAIL_IMPORT,
    SOLD,
    TRADE,
    Postings,
)
from p2p.batches.batch import Batch, BatchArgs, batch_args, make_batch
from p2p.blocks import block as blocks
from p2p.blocks import domains, merkle
from p2p.blocks.block import Block, CommitCertificate, Header
from p2p.blocks.genesis import VERSION, Genesis, make_params
from p2p.blocks.members import Members, household_hash
from p2p.ledger.light import ProofBundle, make_batch_proof, make_proof
from p2p.ledger.producer import Producer
from p2p.ledger.store import ChainStore
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity, derive_seed
from p2p.wire.messages import PriceLine

MASTER = b"test master secret, 32 bytes long"
START = 1_760_000_400  # on a 15-minute boundary
STEP = 900


def identity(role: str, name: str) -> Identity:
    return Identity.from_seed(derive_seed(MASTER, role, name))


OPERATOR = identity("operator", "0")


def authorities(n: int) -> list[Identity]:
    return [identity("authority", str(i)) for i in range(n)]


def make_genesis(n: int = 4, members: int = 5, name: str = "test street") -> Genesis:
    roster = [f"house-{i}" for i in range(members)]
    keys = tuple(authority.public_key for authority in authorities(n))
    return Genesis(
        version=VERSION,
        name=name,
        time_ms=START * 1000,
        params=make_params("EUR", 15),
        authorities=keys,
        operators=(OPERATOR.public_key,),
        members_root=Members(tuple(roster)).root,
        members=members,
        accounts=(),
        modules=(),
    )


def make_postings(members: int, seed: int) -> Postings:
    """Member 0 sells to member 1, everybody else buys from the retailer; every column balances."""
    random = np.random.default_rng(seed)
    lines = np.zeros((members + 3, len(COLUMNS)), dtype=np.int64)
    member = lines[:members]
    needed = random.integers(0, 2_000, members)
    member[:, IMPORT] = member[:, RETAIL_IMPORT] = needed
    member[:, RETAIL] = -needed * 310_000
    traded, price = int(random.integers(1, 500)), int(random.integers(-50_000, 300_000))
    member[0, EXPORT] += traded
    member[1, IMPORT] += traded
    member[0, SOLD] = member[1, BOUGHT] = traded
    member[0, TRADE], member[1, TRADE] = traded * price, -traded * price
    member[:, GRID_FEE] = -member[:, IMPORT] * 20_000
    lines[members, RETAIL] = -member[:, RETAIL].sum()
    lines[members + 1, GRID_FEE] = -member[:, GRID_FEE].sum()
    return Postings(lines, members)


def make_args(index: int, members: int = 5, seed: int | None = None) -> tuple[Batch, BatchArgs]:
    postings = make_postings(members, index if seed is None else seed)
    batch = make_batch(postings, START + index * STEP, MASTER)
    args = batch_args(
        batch,
        postings,
        orders=members,
        book_root=bytes([index % 256]) * 32,
        clearing_root=bytes([255 - index % 256]) * 32,
        prices_root=bytes([index % 7]) * 32,
        prices=1,
        price=PriceLine(90_000, 231_000, 160_500) if index % 3 else None,
        traded_wh=int(postings.column("bought_wh").sum()),
        next_collector=OPERATOR.public_key,
    )
    return batch, args


@dataclass
class Made:
    """A stored chain and what it was made from."""

    genesis: Genesis
    store: ChainStore
    producer: Producer
    batches: list[Batch]
    blocks: list[tuple[Block, CommitCertificate]]


def make_chain(path: Path, n: int = 4, intervals: int = 3, members: int = 5) -> Made:
    genesis = make_genesis(n, members)
    store = ChainStore.create(path, genesis)
    made = Made(genesis, store, Producer(genesis, authorities(n), OPERATOR, store), [], [])
    extend(made, 0, intervals)
    return made


def extend(made: Made, first: int, last: int) -> None:
    for index in range(first, last):
        batch, args = make_args(index, made.genesis.members)
        time_ms = (START + (index + 1) * STEP) * 1000
        made.batches.append(batch)
        made.blocks.append(made.producer.append_batch(args, time_ms))


def line_proof(
    batch: Batch, account: int, block: Block, cert: CommitCertificate, genesis: Genesis, **more: Any
) -> bytes:
    """The proof of a line of the first batch of a block."""
    return make_proof(batch, account, make_batch_proof(block, cert, genesis, **more))


def batch_in(proof: bytes) -> bytes:
    """The proof of the batch in a proof of a line."""
    return encode(decode(ProofBundle, proof).batch)


def certify(header: Header, n: int, round_: int = 0, keys: Sequence[Identity] = ()) -> CommitCertificate:
    """Sign as dishonest authorities would: whatever the header says."""
    name = blocks.block_hash(header)
    data = blocks.vote_bytes(blocks.PRECOMMIT, header.chain_id, header.height, round_, name)
    signers = enumerate(keys or authorities(n))
    signatures = {i: key.sign(domains.SIGN_CONSENSUS, data) for i, key in signers}
    return blocks.make_cert(header.height, round_, name, signatures, n)


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def order_leaf(
    interval_start: int,
    household: str,
    sequence: int,
    side: int,
    energy_wh: int,
    limit_micro_per_kwh: int,
    node: int,
    terms: Terms | None = None,
) -> bytes:
    """The leaf of one order in a book, by the layout in chain-format.md."""

    def ints(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(8, "big", signed=True) for number in numbers)

    content = household_hash(household) + ints(
        interval_start, sequence, side, energy_wh, limit_micro_per_kwh, node
    )
    domain, more = domains.LEAF_ORDER, b""
    if terms is not None:
        numbers = numbers_of(terms)
        domain, more = domains.LEAF_TERMS, ints(kind_of(terms), len(numbers), *numbers)
    return sha256(merkle.LEAF_PREFIX + bytes((domain,)) + content + more).digest()
