"""The state of the chain: who sent how many transactions, and what the settlement adds up to.

Pure functions over frozen records: no float, no clock, no random, no dependence on the order of a dict.
Applying the same transactions to the same genesis gives the same state root everywhere, and a refused one
changes nothing. Every module has its own root; the state root is the Merkle root over the sorted (name,
module root).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import sha256

from market.settlement import BOUGHT, COLUMN_INDEX, COLUMNS, MONEY_COLUMNS, SYSTEM_ACCOUNTS
from p2p.chain import domains, merkle
from p2p.chain.block import MAX_TX_BYTES, VERSION, Tx
from p2p.chain.genesis import Genesis
from p2p.codec import Record, decode, encode
from p2p.errors import InvalidTx, RemoteError
from p2p.messages import MAX_TIME_S, PriceLine

SETTLEMENT = "settlement"
SETTLE_BATCH = "batch"
TOTAL_ROWS = ("members", *SYSTEM_ACCOUNTS)
"""Accounts whose column totals are on chain: all members together, and each system account."""

_TOTAL_BYTES = 16
"""Cumulative totals are 128-bit: a large currency unit would pass int64 nano within a year. [B]"""

RECEIPT_OK = 0


class BatchArgs(Record, frozen=True):
    """Arguments of settlement.batch: one settled interval, roots and totals only.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        orders: Number of orders in the book.
        members: Number of member accounts; the system accounts follow them.
        price: Price interval of the market, nil where nothing traded at one price.
        traded_wh: Energy bought, which equals energy sold. [Wh]
        totals: Per row of TOTAL_ROWS, the sum of each column of `market.settlement.COLUMNS`. [Wh, nano]
    """

    interval_start: int
    orders: int
    members: int
    book_root: bytes
    clearing_root: bytes
    postings_root: bytes
    price: PriceLine | None
    traded_wh: int
    totals: tuple[tuple[int, ...], ...]


class Nonce(Record, frozen=True):
    """The last nonce of a sender."""

    sender: bytes
    nonce: int


class AccountsState(Record, frozen=True):
    """Module `accounts`: nonces, sorted by sender."""

    nonces: tuple[Nonce, ...]


class SettlementState(Record, frozen=True):
    """Module `settlement`.

    Args:
        batches: Settled intervals.
        last_interval_start: Start of the newest one, or -1. [s]
        totals: Cumulative `BatchArgs.totals`, row by row, each number 16 bytes big endian, signed.
    """

    batches: int
    last_interval_start: int
    totals: bytes


class State(Record, frozen=True, dict=True):
    """All modules."""

    accounts: AccountsState
    settlement: SettlementState

    @cached_property
    def root(self) -> bytes:
        """RFC 9162 root over the sorted (module name, module root)."""
        modules = zip(self.__struct_fields__, (self.accounts, self.settlement), strict=True)
        return merkle.root_of(
            bytes((domains.LEAF_MODULE,)) + name.encode() + sha256(domains.MODULE + encode(module)).digest()
            for name, module in sorted(modules)
        )

    def nonce(self, sender: bytes) -> int:
        """The last nonce of a sender, 0 before its first transaction."""
        return next((entry.nonce for entry in self.accounts.nonces if entry.sender == sender), 0)

    @property
    def traded_wh(self) -> int:
        """Energy traded in all settled intervals. [Wh]"""
        return self.totals[0][BOUGHT]

    @property
    def totals(self) -> tuple[tuple[int, ...], ...]:
        """Cumulative totals as integers, rows as TOTAL_ROWS, columns as COLUMNS. [Wh, nano-currency]"""
        numbers = _numbers(self.settlement.totals)
        width = len(COLUMNS)
        return tuple(tuple(numbers[i : i + width]) for i in range(0, len(numbers), width))


class Receipt(Record, frozen=True):
    """What became of a transaction; a block may not hold a refused one, so the code is always RECEIPT_OK."""

    tx_id: bytes
    code: int


def initial_state() -> State:
    """The state below the first block."""
    zeros = bytes(_TOTAL_BYTES * len(TOTAL_ROWS) * len(COLUMNS))
    return State(AccountsState(()), SettlementState(0, -1, zeros))


def receipts_root(receipts: Sequence[Receipt]) -> bytes:
    """Root over the receipts of a block, in the order of its transactions."""
    return merkle.root_of(bytes((domains.LEAF_RECEIPT,)) + encode(receipt) for receipt in receipts)


def apply(state: State, tx: Tx, height: int, genesis: Genesis) -> State:
    """Return the state after one transaction; the signature is checked by `execution.check_block`.

    Args:
        height: Height of the block that holds it.

    Raises:
        InvalidTx: Says which rule it breaks; nothing changed.
    """
    _check_envelope(state, tx, height, genesis)
    try:
        args = decode(BatchArgs, tx.args, max_bytes=MAX_TX_BYTES)
    except RemoteError as error:
        raise InvalidTx(f"arguments of settlement.batch: {error.detail}") from None
    check_batch(args, genesis)
    settlement = _settle(state.settlement, args)
    nonces = {entry.sender: entry for entry in state.accounts.nonces}
    nonces[tx.sender] = Nonce(tx.sender, tx.nonce)
    accounts = AccountsState(tuple(nonces[sender] for sender in sorted(nonces)))
    return State(accounts, settlement)


def _check_envelope(state: State, tx: Tx, height: int, genesis: Genesis) -> None:
    if tx.version != VERSION:
        raise InvalidTx(f"version {tx.version}; this chain speaks {VERSION}")
    if tx.chain_id != genesis.chain_id:
        raise InvalidTx("it belongs to another chain")
    if (tx.module, tx.method) != (SETTLEMENT, SETTLE_BATCH):
        raise InvalidTx(f"no method {tx.module}.{tx.method}; known: {SETTLEMENT}.{SETTLE_BATCH}")
    if tx.sender != genesis.operator:
        raise InvalidTx("only the operator may settle a batch")
    if height > tx.valid_until_height:
        raise InvalidTx(f"it was valid until height {tx.valid_until_height}; this is {height}")
    expected = state.nonce(tx.sender) + 1
    if tx.nonce != expected:
        raise InvalidTx(f"nonce {tx.nonce}; the sender's next is {expected}")


def check_batch(args: BatchArgs, genesis: Genesis) -> None:
    """Raise unless a batch is well-formed and conserves energy and money.

    Raises:
        InvalidTx: Names the field, or the column that does not add up.
    """
    for name in ("book_root", "clearing_root", "postings_root"):
        if len(getattr(args, name)) != merkle.HASH_BYTES:
            raise InvalidTx(f"{name} must have {merkle.HASH_BYTES} bytes")
    if args.interval_start % (genesis.params.minutes * 60) or not 0 <= args.interval_start <= MAX_TIME_S:
        raise InvalidTx(
            f"interval_start {args.interval_start} is not on a {genesis.params.minutes}-minute boundary"
        )
    if args.members != genesis.members or args.orders < 0 or args.traded_wh < 0:
        raise InvalidTx(f"{args.members} members, {args.orders} orders, {args.traded_wh} Wh traded")
    if args.price is not None and not args.price.lo <= args.price.price <= args.price.hi:
        raise InvalidTx(f"price {args.price.price} outside its interval {args.price.lo}..{args.price.hi}")
    if len(args.totals) != len(TOTAL_ROWS) or any(len(row) != len(COLUMNS) for row in args.totals):
        raise InvalidTx(f"totals must be {len(TOTAL_ROWS)} rows of {len(COLUMNS)} numbers")
    for name in MONEY_COLUMNS:
        left_over = sum(row[COLUMN_INDEX[name]] for row in args.totals)
        if left_over:
            raise InvalidTx(f"{name} sums to {left_over} over all accounts; it must be 0")
    members = dict(zip(COLUMNS, args.totals[0], strict=True))
    if not members["bought_wh"] == members["sold_wh"] == args.traded_wh:
        raise InvalidTx(
            f"{members['bought_wh']} Wh bought, {members['sold_wh']} Wh sold, {args.traded_wh} Wh traded;"
            " the three must be equal"
        )
    if members["local_wh"]:
        raise InvalidTx(f"local_wh sums to {members['local_wh']} Wh over the members; it must be 0")
    metered = members["import_wh"] - members["export_wh"]
    if metered != members["retail_import_wh"] - members["retail_export_wh"]:
        raise InvalidTx(f"the meters net {metered} Wh, but the retailer is billed for another amount")


def _settle(state: SettlementState, args: BatchArgs) -> SettlementState:
    if args.interval_start <= state.last_interval_start:
        raise InvalidTx(
            f"interval {args.interval_start} is not later than {state.last_interval_start}, the last settled"
        )
    added = (number for row in args.totals for number in row)
    totals = [old + new for old, new in zip(_numbers(state.totals), added, strict=True)]
    return SettlementState(state.batches + 1, args.interval_start, _bytes(totals))


def _numbers(totals: bytes) -> list[int]:
    starts = range(0, len(totals), _TOTAL_BYTES)
    return [int.from_bytes(totals[start : start + _TOTAL_BYTES], "big", signed=True) for start in starts]


def _bytes(numbers: Iterable[int]) -> bytes:
    return b"".join(number.to_bytes(_TOTAL_BYTES, "big", signed=True) for number in numbers)
