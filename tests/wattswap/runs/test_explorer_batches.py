"""The explorer finds the batch of an interval in a chain whose blocks hold none, one or several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from market.settlement.accounts import COLUMNS
from p2p.batches.batch import SETTLE_BATCH, SETTLEMENT, BatchArgs
from p2p.blocks.block import ZERO_HASH, Block, make_cert, make_tx
from p2p.blocks.genesis import VERSION, Genesis, make_params
from p2p.ledger.execution import advance, check_block, genesis_tip, next_header
from p2p.ledger.store import ChainStore
from p2p.wire.identity import Identity
from wattswap.runs.chain_reader import find_batch, last_batch, settled

OPERATOR = Identity.from_seed(b"o" * 32)
HELD = [(), (0,), (), (), (1, 3, 4), (), (7,), (8, 9), (), ()]
"""Numbers of the intervals that each block settles; 2, 5 and 6 are never settled."""


def genesis() -> Genesis:
    key = Identity.from_seed(b"a" * 32).public_key
    params = make_params("EUR", 15)
    return Genesis(VERSION, "test", 0, params, (key,), (OPERATOR.public_key,), bytes(32), 0, (), ())


def batch(number: int) -> BatchArgs:
    totals = tuple((0,) * len(COLUMNS) for _ in range(4))
    hashes = (ZERO_HASH,) * 4
    return BatchArgs(
        number * 900,
        0,
        0,
        *hashes,
        1,
        None,
        0,
        totals,
        ZERO_HASH,
        ZERO_HASH,
        b"",
        OPERATOR.public_key,
        ZERO_HASH,
        (),
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChainStore]:
    chain = genesis()
    with ChainStore.create(tmp_path / "chain.db", chain) as store:
        tip, nonce = genesis_tip(chain), 0
        for numbers in HELD:
            txs = []
            for number in numbers:
                nonce += 1
                place = (chain.chain_id, nonce, 100, SETTLEMENT, SETTLE_BATCH)
                txs.append(make_tx(OPERATOR, *place, batch(number)))
            header = next_header(tip, chain, tip.time_ms + 1, 0, txs)
            block = Block(header, tuple(txs), ())
            cert = make_cert(header.height, 0, header.hash, {0: bytes(64)}, 1)
            store.append(block, cert)
            tip = advance(tip, block, *check_block(tip, chain, block))
        yield store


def test_every_settled_interval_is_found_at_its_place_and_no_other(store: ChainStore) -> None:
    places = {
        number: (height, numbers.index(number))
        for height, numbers in enumerate(HELD, 1)
        for number in numbers
    }
    for number in range(12):
        found = find_batch(store, number * 900)
        place = None if found is None else (found.block.header.height, found.tx_index)
        assert place == places.get(number), number
        assert found is None or found.args.interval_start == number * 900
    assert find_batch(store, 450) is None


def test_the_settled_intervals_come_in_order_with_their_heights(store: ChainStore) -> None:
    expected = [(height, number * 900) for height, numbers in enumerate(HELD, 1) for number in numbers]
    assert [(height, args.interval_start) for height, args in settled(store)] == expected


def test_the_newest_interval_is_found_below_blocks_that_settle_none(store: ChainStore) -> None:
    newest = last_batch(store)
    assert newest is not None
    assert newest.interval_start == 9 * 900


def test_a_chain_without_blocks_has_no_batch(tmp_path: Path) -> None:
    with ChainStore.create(tmp_path / "empty.db", genesis()) as empty:
        assert find_batch(empty, 0) is None
        assert last_batch(empty) is None
