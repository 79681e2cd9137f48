"""Settlement with full entries: packed small, and refused unless they are the root and the totals."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.settlement.accounts import COLUMNS, Postings
from p2p.batches.batch import (
    BatchArgs,
    batch_args,
    batches,
    interval_secret,
    make_batch,
    pack_entries,
    unpack_entries,
)
from p2p.errors import BadProof
from tests.kits.chain_kit import MASTER, START, make_postings
from tests.kits.modules_kit import MEMBERS, OPERATORS, Chain, make_genesis, refused

int64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)


@given(st.lists(st.lists(int64, min_size=len(COLUMNS), max_size=len(COLUMNS)), min_size=1, max_size=5))
def test_entries_read_back(rows: list[list[int]]) -> None:
    postings = Postings(np.array(rows, dtype=np.int64), 0)
    secret, lines = unpack_entries(pack_entries(postings, START, MASTER), len(rows))
    assert secret == interval_secret(MASTER, START)
    assert lines.tolist() == rows


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        bytes(32) + bytes(11),
        bytes(32) + bytes(13),
        bytes(32) + b"\x80\0" + bytes(11),
        bytes(32) + bytes(11) + b"\x80",
        bytes(32) + bytes(11) + b"\xff" * 9 + b"\x02",
        bytes(32) + bytes(11) + b"\xff" * 60_000,
        bytes(32) + bytes(11) + b"\xff" * 9 + b"\x81",
        bytes(32) + bytes(11) + b"\x81" + b"\x80" * 9,
    ],
)
def test_entries_in_other_bytes_than_ours_are_refused(packed: bytes) -> None:
    with pytest.raises(BadProof):
        unpack_entries(packed, 1)


def full_args(index: int = 0, start: int | None = None) -> BatchArgs:
    postings = make_postings(MEMBERS, index)
    start = START + 900 * index if start is None else start
    return batch_args(
        make_batch(postings, start, MASTER),
        postings,
        orders=MEMBERS,
        book_root=bytes(32),
        clearing_root=bytes(32),
        prices_root=bytes(32),
        prices=1,
        price=None,
        traded_wh=int(postings.column("bought_wh").sum()),
        next_collector=OPERATORS[0].public_key,
        entries=pack_entries(postings, start, MASTER),
    )


@pytest.fixture
def chain() -> Chain:
    return Chain(make_genesis(full_entries=True))


def test_a_chain_with_full_entries_takes_them(chain: Chain) -> None:
    chain.call(OPERATORS[0], "settlement.batch", full_args())
    assert chain.tip.state.traded_wh == full_args().traded_wh


def test_entries_that_are_missing_changed_or_of_other_numbers_are_refused(chain: Chain) -> None:
    args = full_args()
    flipped = args.entries[:-1] + bytes([args.entries[-1] ^ 2])
    for changes in (
        {"entries": b""},
        {"entries": flipped},
        {"entries": bytes(32) + args.entries[32:]},
        {"entries": full_args(1).entries},
        {"postings_root": bytes(32)},
    ):
        with refused("settle_entries"):
            chain.call(OPERATORS[0], "settlement.batch", msgspec.structs.replace(args, **changes))


def test_entries_that_lead_to_the_root_and_to_other_totals_are_refused(chain: Chain) -> None:
    args, other = full_args(), full_args(1, START)
    assert args.totals != other.totals
    mixed = msgspec.structs.replace(args, entries=other.entries, postings_root=other.postings_root)
    with refused("settle_entries"):
        chain.call(OPERATORS[0], "settlement.batch", mixed)


def test_a_chain_without_full_entries_does_not_take_them() -> None:
    with refused("settle_entries"):
        Chain(make_genesis()).call(OPERATORS[0], "settlement.batch", full_args())


def test_a_thousand_members_take_less_than_40_bytes_each() -> None:
    random = np.random.default_rng(1)
    lines = np.zeros((1_003, len(COLUMNS)), dtype=np.int64)
    energy = random.integers(0, 5_000, (1_003, 7))
    lines[:, :7] = energy
    lines[:, 8:] = energy[:, :4] * random.integers(-300_000, 300_000, (1_003, 4))
    assert len(pack_entries(Postings(lines, 1_000), START, MASTER)) < 40 * 1_003


def test_the_batches_of_a_block_are_found_among_other_transactions(chain: Chain) -> None:
    args = [full_args(i) for i in (0, 1)]
    txs = [chain.tx(OPERATORS[0], "settlement.batch", args[0])]
    txs.append(msgspec.structs.replace(txs[0], module="meters"))
    txs.append(chain.tx(OPERATORS[0], "settlement.batch", args[1]))
    assert batches(txs) == [(0, args[0]), (2, args[1])]
    assert batches(()) == []


@pytest.mark.parametrize("field", ["blob_hash", "inclusion_root", "prices_root"])
def test_the_hashes_of_a_batch_have_32_bytes(chain: Chain, field: str) -> None:
    with refused("tx_args"):
        chain.call(OPERATORS[0], "settlement.batch", msgspec.structs.replace(full_args(), **{field: b""}))
