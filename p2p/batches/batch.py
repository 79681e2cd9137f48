"""The batch of one interval: a salted leaf per account off chain, one root and totals on chain.

A 15-minute reading has few possible values, so an unsalted hash of it is as good as plain text. The salt of
an account is derived from a secret of the interval: a home gets its own salt only, and once the
secret is deleted nobody can link the hashes.

    interval_secret = HMAC-SHA256(master_secret, domain || interval_start)
    salt of i       = bytes 16 i .. 16 i + 16 of SHAKE-256(domain || interval_secret)
    leaf            = SHA-256(0x00 || leaf domain || salt || entry)
    entry           = account u32 || COLUMNS each, all big endian

A column of a home has 64 bits. The accounts behind the homes hold sums over all of them: theirs have 128.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import shake_256
from typing import cast

import numpy as np
import numpy.typing as npt

from market.settlement.accounts import COLUMNS, Postings
from market.units import INT64_SAFE
from p2p.blocks import domains, merkle
from p2p.blocks.block import MAX_TX_BYTES, ZERO_HASH, Tx, make_tx
from p2p.errors import BadProof
from p2p.wire.codec import WIDE_BYTES, Record, Wide, decode, narrow, wide
from p2p.wire.identity import Identity
from p2p.wire.messages import PriceLine

SETTLEMENT = "settlement"
SETTLE_BATCH = "batch"
CLOSE = "close"
SETTLE_AGAIN = "again"
MEMBERS = "members"
"""Name of the row of totals of all homes together; one row for each account behind them follows."""

SALT_BYTES = 16
SECRET_BYTES = 32

_ENTRY = struct.Struct(f">I{len(COLUMNS)}q")
_WIDE_ENTRY = struct.Struct(">I" + "qQ" * len(COLUMNS))
ENTRY_BYTES, WIDE_ENTRY_BYTES = _ENTRY.size, _WIDE_ENTRY.size
_HEAD_BYTES = 2 + SALT_BYTES
_ROW_BYTES, _WIDE_ROW_BYTES = _HEAD_BYTES + ENTRY_BYTES, _HEAD_BYTES + WIDE_ENTRY_BYTES


class BatchArgs(Record, frozen=True):
    """Arguments of settlement.batch: one settled interval, roots and totals.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        orders: Number of orders in the book.
        members: Number of member accounts; the external and the system accounts follow them.
        prices_root: Root over the price intervals by interval and node, see `roots.prices_root`.
        prices: Number of its leaves.
        price: Price interval where all nodes have the same one; nil where they do not or nothing traded.
        traded_wh: Energy bought, which equals energy sold less what is lost. [Wh]
        totals: Of all members and then of each other account, the sum of each column of
            `market.settlement.accounts.COLUMNS`. [Wh, nano]
        blob_hash: Name of the signed messages the batch was made from; zeros when they crossed no network.
        inclusion_root: Root over the messages that receipts promised to include; zeros as above.
        entries: Packed entries of all accounts where `params.full_entries` says so, else empty.
        next_collector: Public key of the one whose turn the next interval is first.
        closed_hash: Hash of the closed orders that the chain has taken for the interval; zeros where homes do not seal
            them.
        unopened: Places in the roster of homes whose envelope was shown to have no key, or several, ascending.
    """

    interval_start: int
    orders: int
    members: int
    book_root: bytes
    clearing_root: bytes
    postings_root: bytes
    prices_root: bytes
    prices: int
    price: PriceLine | None
    traded_wh: int
    totals: tuple[tuple[Wide, ...], ...]
    blob_hash: bytes
    inclusion_root: bytes
    entries: bytes
    next_collector: bytes
    closed_hash: bytes
    unopened: tuple[int, ...]

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The totals as integers.

        Raises:
            NonCanonical: One is not in its only form.
        """
        return integers_of(self.totals)


class AgainArgs(Record, frozen=True):
    """Arguments of settlement.again: a later version of a settled interval, with readings that came late.

    Args:
        version: 2 for the first one.
        before: `totals` of the version before it; the sums change by the difference.
        batch: The interval with these readings; it gives no turn, so `next_collector` is zeros.
    """

    version: int
    before: tuple[tuple[Wide, ...], ...]
    batch: BatchArgs


def integers_of(totals: tuple[tuple[Wide, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Totals as integers.

    Raises:
        NonCanonical: One is not in its only form.
    """
    return tuple(map(_integers, totals))


class CloseArgs(Record, frozen=True):
    """Arguments of settlement.close: the orders of an interval, closed and not opened yet.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        blob_hash: Hash of the closed orders.
        sealed_to: Digest of the validators to whom they are sealed.
    """

    interval_start: int
    blob_hash: bytes
    sealed_to: bytes


Step = BatchArgs | CloseArgs
"""What a collector does with an interval: it settles it or, where homes seal their orders, closes these before."""


def _integers(row: tuple[Wide, ...]) -> tuple[int, ...]:
    if set(map(type, row)) == {int}:  # nearly always, and faster than a look at each
        return cast("tuple[int, ...]", row)
    return tuple(x if type(x) is int else narrow(x) for x in row)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The off-chain half of one settled interval: every account's salted row and its leaf hash.

    Args:
        rows: 0x00 || leaf domain || salt || entry of each account, joined.
        tree: Merkle tree over the leaf hash of each account: the members, the external and the system accounts.
        members: Number of members.
    """

    interval_start: int
    members: int
    rows: bytes
    tree: merkle.Levels

    @property
    def leaves(self) -> list[bytes]:
        """Leaf hash per account."""
        return self.tree[0]

    @property
    def root(self) -> bytes:
        """Merkle root over the leaves."""
        return self.tree[-1][0]

    def salt(self, account: int) -> bytes:
        """The salt of one account, for its holder only."""
        start = self._start(account) + 2
        return self.rows[start : start + SALT_BYTES]

    def entry(self, account: int) -> bytes:
        """The entry of one account."""
        start = self._start(account) + _HEAD_BYTES
        return self.rows[start : start + (ENTRY_BYTES if account < self.members else WIDE_ENTRY_BYTES)]

    def _start(self, account: int) -> int:
        wide = max(account - self.members, 0)
        return (account - wide) * _ROW_BYTES + wide * _WIDE_ROW_BYTES


@dataclass(frozen=True, slots=True)
class Entry:
    """One account's line of one interval, decoded.

    Args:
        values: In the order of COLUMNS. [Wh, nano]
        is_wide: Whether it has the form of an account behind the members.
    """

    account: int
    values: tuple[int, ...]
    is_wide: bool


def interval_secret(master_secret: bytes, interval_start: int) -> bytes:
    """Return the secret of one interval, from which all its salts follow."""
    message = domains.MAC_INTERVAL + interval_start.to_bytes(8, "big", signed=True)
    return hmac.digest(master_secret, message, "sha256")


def make_batch(postings: Postings, interval_start: int, master_secret: bytes) -> Batch:
    """Salt and hash the postings of one interval.

    Args:
        postings: All accounts.
        interval_start: Start of the interval. [s]
        master_secret: At least 16 secret bytes, the same for every interval of a run.
    """
    return salted(postings, interval_start, interval_secret(master_secret, interval_start))


def salted(postings: Postings, interval_start: int, secret: bytes) -> Batch:
    """Salt and hash the lines of all accounts with the secret of their interval."""
    lines, members = postings.lines, postings.members
    salts = _salts(secret, len(lines))
    numbers = np.empty(members, dtype=_ROW_TYPE)
    numbers["prefix"] = merkle.LEAF_PREFIX[0]
    numbers["domain"] = domains.LEAF_ENTRY
    numbers["salt"] = np.frombuffer(salts, dtype=np.uint8, count=SALT_BYTES * members).reshape(
        members, SALT_BYTES
    )
    numbers["account"] = np.arange(members)
    numbers["values"] = lines[:members]
    rows = numbers.tobytes()
    others = _wide_rows(lines[members:].tolist(), members, salts)
    leaves = merkle.hash_rows(rows, _ROW_BYTES) + merkle.hash_rows(others, _WIDE_ROW_BYTES)
    return Batch(interval_start, members, rows + others, merkle.levels(leaves))


def _wide_rows(lines: list[list[int]], first: int, salts: bytes) -> bytes:
    head = merkle.LEAF_PREFIX + bytes((domains.LEAF_ENTRY,))
    rows = []
    for account, line in enumerate(lines, first):
        rows += [head, salts[account * SALT_BYTES : (account + 1) * SALT_BYTES], account.to_bytes(4, "big")]
        rows += [number.to_bytes(WIDE_BYTES, "big", signed=True) for number in line]
    return b"".join(rows)


def postings_root(postings: Postings, interval_start: int, master_secret: bytes) -> bytes:
    """Return the root over the salted postings of one interval; arguments as for `make_batch`."""
    return make_batch(postings, interval_start, master_secret).root


def entry_leaf(salt: bytes, entry: bytes) -> bytes:
    """Return the leaf hash of one account's entry."""
    return merkle.leaf_hash(bytes((domains.LEAF_ENTRY,)) + salt + entry)


def decode_entry(entry: bytes) -> Entry:
    """Read the entry of one account.

    Raises:
        BadProof: It has another length than that of a member or of an account behind the members.
    """
    if len(entry) == ENTRY_BYTES:
        account, *values = _ENTRY.unpack(entry)
        return Entry(account, tuple(values), is_wide=False)
    if len(entry) != WIDE_ENTRY_BYTES:
        raise BadProof(f"an entry of {len(entry)} bytes; it has {ENTRY_BYTES} or {WIDE_ENTRY_BYTES}")
    account, *halves = _WIDE_ENTRY.unpack(entry)
    values = [high << 64 | low for high, low in zip(halves[::2], halves[1::2], strict=True)]
    return Entry(account, tuple(values), is_wide=True)


def open_entry(entry: bytes, salt: bytes, path: bytes, *, members: int, accounts: int, root: bytes) -> Entry:
    """Return the entry of an account that leads to the root of a batch.

    Args:
        path: Inclusion path of its leaf, 32 bytes a step.
        members: Number of members.
        accounts: Number of all accounts.

    Raises:
        BadProof: It does not.
    """
    found = decode_entry(entry)
    if len(salt) != SALT_BYTES:
        raise BadProof(f"a salt of {len(salt)} bytes; it must have {SALT_BYTES}")
    if found.is_wide != (found.account >= members):
        raise BadProof(f"an entry of {len(entry)} bytes for account {found.account} of {members} members")
    steps = [path[i : i + merkle.HASH_BYTES] for i in range(0, len(path), merkle.HASH_BYTES)]
    # The index comes out of the entry itself: a leaf proves its own position, so nobody gets another's line.
    if merkle.root_from_path(entry_leaf(salt, entry), found.account, accounts, steps) != root:
        raise BadProof("the entry is not in the batch")
    return found


def batch_args(
    batch: Batch,
    postings: Postings,
    *,
    orders: int,
    book_root: bytes,
    clearing_root: bytes,
    prices_root: bytes,
    prices: int,
    price: PriceLine | None,
    traded_wh: int,
    next_collector: bytes,
    blob_hash: bytes = ZERO_HASH,
    inclusion_root: bytes = ZERO_HASH,
    entries: bytes = b"",
    closed_hash: bytes = ZERO_HASH,
    unopened: tuple[int, ...] = (),
) -> BatchArgs:
    """Return what goes on chain for an interval: roots, counts, totals.

    Args:
        next_collector: Whose turn the next interval is first.
        entries: `pack_entries` where the chain wants full entries.
    """
    lines, members = postings.lines, postings.members
    member_totals = [wide(total) for total in _column_sums(lines[:members])]
    others: list[list[int]] = lines[members:].tolist()
    return BatchArgs(
        interval_start=batch.interval_start,
        orders=orders,
        members=members,
        book_root=book_root,
        clearing_root=clearing_root,
        postings_root=batch.root,
        prices_root=prices_root,
        prices=prices,
        price=price,
        traded_wh=traded_wh,
        totals=(tuple(member_totals), *(tuple(row) for row in others)),
        blob_hash=blob_hash,
        inclusion_root=inclusion_root,
        entries=entries,
        next_collector=next_collector,
        closed_hash=closed_hash,
        unopened=unopened,
    )


def _column_sums(lines: npt.NDArray[np.int64]) -> list[int]:
    """Exact sums of columns, in Python integers where 64 bits could be too few."""
    if float(np.abs(lines, dtype=np.float64).sum()) < INT64_SAFE:
        sums: list[int] = lines.sum(axis=0).tolist()
        return sums
    return [sum(column) for column in lines.T.tolist()]


def is_batch(tx: Tx) -> bool:
    """Whether a transaction settles an interval."""
    return (tx.module, tx.method) == (SETTLEMENT, SETTLE_BATCH)


def batches(txs: Iterable[Tx]) -> list[tuple[int, BatchArgs]]:
    """Return the settlement batches of a block's transactions, each with its position.

    Raises:
        RemoteError: One of them cannot be read.
    """
    return [
        (i, decode(BatchArgs, tx.args, max_bytes=MAX_TX_BYTES)) for i, tx in enumerate(txs) if is_batch(tx)
    ]


def steps(txs: Iterable[Tx]) -> list[tuple[int, Step]]:
    """Return the transactions of a block that close or settle an interval, each with its position.

    Raises:
        RemoteError: One of them cannot be read.
    """
    found: list[tuple[int, Step]] = []
    for i, tx in enumerate(txs):
        if is_batch(tx):
            found.append((i, decode(BatchArgs, tx.args, max_bytes=MAX_TX_BYTES)))
        elif (tx.module, tx.method) == (SETTLEMENT, CLOSE):
            found.append((i, decode(CloseArgs, tx.args, max_bytes=MAX_TX_BYTES)))
    return found


def versions_in(txs: Iterable[Tx]) -> list[tuple[int, AgainArgs]]:
    """Return the later versions of intervals in a block's transactions, each with its position.

    Raises:
        RemoteError: One of them cannot be read.
    """
    return [
        (i, decode(AgainArgs, tx.args, max_bytes=MAX_TX_BYTES))
        for i, tx in enumerate(txs)
        if (tx.module, tx.method) == (SETTLEMENT, SETTLE_AGAIN)
    ]


def batch_tx(sender: Identity, chain_id: bytes, nonce: int, valid_until_height: int, args: Step) -> Tx:
    """Return the signed transaction for one interval, of an operator or of a validator in its place.

    Args:
        nonce: `State.nonce(sender) + 1`.
        valid_until_height: Last block that may hold it.
    """
    method = CLOSE if isinstance(args, CloseArgs) else SETTLE_BATCH
    return make_tx(sender, chain_id, nonce, valid_until_height, SETTLEMENT, method, args)


def pack_entries(postings: Postings, interval_start: int, master_secret: bytes) -> bytes:
    """Return the interval's secret and the lines of all accounts, about 30 bytes an account.

    Each number is zigzag (so that small negative ones stay short) in LEB128: 7 bits a byte, the lowest first,
    the top bit set on all but the last byte.
    """
    out = bytearray(interval_secret(master_secret, interval_start))
    for number in postings.lines.ravel().tolist():
        left = number << 1 if number >= 0 else ~(number << 1)
        while left > 0x7F:
            out.append(left & 0x7F | 0x80)
            left >>= 7
        out.append(left)
    return bytes(out)


def unpack_entries(packed: bytes, accounts: int) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Return the interval's secret and the lines of all accounts.

    Raises:
        BadProof: Too short or too long, or a number not in its shortest form or beyond int64.
    """
    numbers, left, shift = [], 0, 0
    for byte in packed[SECRET_BYTES:]:
        left |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80 and shift < 64:
            continue
        if left >= 2**64 or byte & 0x80 or (byte == 0 and shift > 7):
            raise BadProof("a number of the entries is beyond int64 or not in its shortest form")
        numbers.append(left >> 1 if not left & 1 else ~(left >> 1))
        left, shift = 0, 0
    if shift or len(numbers) != accounts * len(COLUMNS):
        raise BadProof(f"{len(numbers)} numbers in the entries of {accounts} accounts")
    return packed[:SECRET_BYTES], np.array(numbers, dtype=np.int64).reshape(accounts, len(COLUMNS))


_ROW_TYPE: npt.DTypeLike = np.dtype(
    [
        ("prefix", "u1"),
        ("domain", "u1"),
        ("salt", "u1", (SALT_BYTES,)),
        ("account", ">u4"),
        ("values", ">i8", (len(COLUMNS),)),
    ]
)


def _salts(secret: bytes, accounts: int) -> bytes:
    # One call for all accounts; an HMAC each costs more than the leaf it salts.
    return shake_256(domains.XOF_SALTS + secret).digest(SALT_BYTES * accounts)
