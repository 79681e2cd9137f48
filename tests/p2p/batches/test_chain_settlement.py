"""Salted batches: layout, secrecy of the salts, totals."""

from __future__ import annotations

import hmac
import struct
from hashlib import sha256, shake_256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.settlement.accounts import COLUMNS, Postings
from p2p.batches.batch import (
    BatchArgs,
    batch_args,
    decode_entry,
    entry_leaf,
    interval_secret,
    make_batch,
    postings_root,
)
from p2p.blocks import merkle
from p2p.errors import BadProof, NonCanonical
from p2p.ledger.modules.settlement import Settled, next_problem
from p2p.wire.codec import decode, encode
from tests.kits.chain_kit import MASTER, START, make_args, make_postings


@given(st.integers(2, 40), st.integers(0, 1000))
def test_a_batch_is_what_the_layout_says(members: int, seed: int) -> None:
    """An independent reading of docs/reference/protocol/chain-format.md with struct, hmac and the textbook tree."""
    postings = make_postings(members, seed)
    batch = make_batch(postings, START, MASTER)
    secret = hmac.new(MASTER, b"wattswap/interval-secret/1\0" + struct.pack(">q", START), sha256).digest()
    salts = shake_256(b"wattswap/salts/1\0" + secret).digest(16 * (members + 3))
    leaves = []
    for account, line in enumerate(postings.lines.tolist()):
        wide = b"".join(number.to_bytes(16, "big", signed=True) for number in line)
        entry = struct.pack(">I", account) + (struct.pack(">12q", *line) if account < members else wide)
        salt = salts[16 * account : 16 * account + 16]
        assert batch.entry(account) == entry
        assert batch.salt(account) == salt
        leaves.append(sha256(b"\x00\x07" + salt + entry).digest())
        assert entry_leaf(salt, entry) == leaves[-1]
    assert batch.leaves == leaves
    assert batch.root == merkle.root(leaves) == postings_root(postings, START, MASTER)


def test_an_entry_reads_back() -> None:
    postings = make_postings(5, 1)
    batch = make_batch(postings, START, MASTER)
    for account in range(8):
        entry = decode_entry(batch.entry(account))
        assert (entry.account, entry.is_wide) == (account, account >= 5)
        assert list(entry.values) == postings.lines[account].tolist()
    with pytest.raises(BadProof, match="99 bytes; it has 100 or 196"):
        decode_entry(bytes(99))


def test_an_account_behind_the_members_holds_more_than_64_bits() -> None:
    entry = struct.pack(">I", 9) + b"".join(
        n.to_bytes(16, "big", signed=True) for n in (2**64, -(2**100), *range(10))
    )
    assert decode_entry(entry).values == (2**64, -(2**100), *range(10))


def test_salts_differ_by_account_interval_and_master_secret() -> None:
    postings = make_postings(20, 1)
    batches = [
        make_batch(postings, START, MASTER),
        make_batch(postings, START + 900, MASTER),
        make_batch(postings, START, b"another"),
    ]
    salts = [batch.salt(account) for batch in batches for account in range(23)]
    assert len(set(salts)) == len(salts)
    assert len({batch.root for batch in batches}) == 3
    assert interval_secret(MASTER, START) != interval_secret(MASTER, START + 900)


def test_equal_lines_of_two_accounts_have_unrelated_leaves() -> None:
    postings = make_postings(8, 3)
    postings.lines[:] = 0
    assert len(set(make_batch(postings, START, MASTER).leaves)) == 11


def test_the_totals_on_chain_are_the_columns_of_members_and_system_accounts() -> None:
    _, args = make_args(4, members=9)
    lines = make_postings(9, 4).lines
    assert list(args.rows[0]) == [sum(column) for column in zip(*lines[:9].tolist(), strict=True)]
    assert [list(row) for row in args.rows[1:]] == lines[9:].tolist()
    assert args.members == 9


def test_totals_beyond_64_bits_are_exact() -> None:
    postings = make_postings(4, 1)
    lines = postings.lines.copy()
    lines[:4, COLUMNS.index("trade_nano")] = 2**62
    args = batch_args(
        make_batch(Postings(lines, 4), START, MASTER),
        Postings(lines, 4),
        orders=0,
        book_root=b"",
        clearing_root=b"",
        prices_root=b"",
        prices=1,
        price=None,
        traded_wh=0,
        next_collector=bytes(32),
    )
    assert args.rows[0][COLUMNS.index("trade_nano")] == 2**64
    assert decode(BatchArgs, encode(args)) == args
    narrow_in_bytes = ((b"\0" * 16, *args.totals[0][1:]), *args.totals[1:])
    with pytest.raises(NonCanonical):
        _ = msgspec.structs.replace(args, totals=narrow_in_bytes).rows


def test_a_collector_that_lost_its_office_may_not_be_named_any_more() -> None:
    """A batch that waits with such a name is refused for good, so its sender has to name another one."""
    own, gone, other = (bytes([n]) * 32 for n in range(3))
    known = Settled(4, 0, own, b"")
    assert next_problem(gone, own, known, (gone,)) == ""
    assert next_problem(gone, own, known, ()) != ""
    assert next_problem(other, own, known, (gone,)) != ""
    assert next_problem(own, own, known, ()) == ""
