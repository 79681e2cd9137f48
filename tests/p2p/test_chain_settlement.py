"""Salted batches: layout, secrecy of the salts, totals."""

from __future__ import annotations

import hmac
import struct
from hashlib import sha256, shake_256

import pytest
from chain_kit import MASTER, START, make_args, make_postings
from hypothesis import given
from hypothesis import strategies as st

from p2p.batches.batch import decode_entry, entry_leaf, interval_secret, make_batch, postings_root
from p2p.blocks import merkle
from p2p.errors import BadProof


@given(st.integers(2, 40), st.integers(0, 1000))
def test_a_batch_is_what_the_layout_says(members: int, seed: int) -> None:
    """An independent reading of docs/reference/protocol/chain-format.md with struct, hmac and the textbook tree."""
    postings = make_postings(members, seed)
    batch = make_batch(postings, START, MASTER)
    secret = hmac.new(MASTER, b"wattswap/interval-secret/1\0" + struct.pack(">q", START), sha256).digest()
    salts = shake_256(b"wattswap/salts/1\0" + secret).digest(16 * (members + 3))
    leaves = []
    for account, line in enumerate(postings.lines.tolist()):
        entry = struct.pack(">qI11q", START, account, *line)
        salt = salts[16 * account : 16 * account + 16]
        assert batch.entry(account) == entry
        assert batch.salt(account) == salt
        leaves.append(sha256(b"\x00\x07" + salt + entry).digest())
        assert entry_leaf(salt, entry) == leaves[-1]
    assert batch.leaves == leaves
    assert batch.root == merkle.root(leaves) == postings_root(postings, START, MASTER)


def test_an_entry_reads_back() -> None:
    postings = make_postings(5, 1)
    entry = decode_entry(make_batch(postings, START, MASTER).entry(6))
    assert (entry.interval_start, entry.account) == (START, 6)
    assert list(entry.values) == postings.lines[6].tolist()
    with pytest.raises(BadProof, match="99 bytes; it must have 100"):
        decode_entry(bytes(99))


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
    assert list(args.totals[0]) == [sum(column) for column in zip(*lines[:9].tolist(), strict=True)]
    assert [list(row) for row in args.totals[1:]] == lines[9:].tolist()
    assert args.members == 9
