"""Module `settlement`: one batch an interval, its sums, and what all batches add up to.

last     number of batches and the newest settled interval
totals   `BatchArgs.totals` of all batches, row by row, each number 16 bytes big endian, signed
"""

from __future__ import annotations

import struct
from itertools import chain

from market.settlement.accounts import BOUGHT, COLUMN_INDEX, COLUMNS, MONEY_COLUMNS, SYSTEM_ACCOUNTS
from p2p.batches.batch import SETTLE_BATCH, SETTLEMENT, TOTAL_ROWS, BatchArgs, salted, unpack_entries
from p2p.blocks import merkle
from p2p.blocks.genesis import Genesis
from p2p.errors import BadProof, BrokenInvariant, InvalidTx
from p2p.ledger.module import AUTHORITY, CHAIN_MODULES, OPERATOR, ChainModule, Entry, Method
from p2p.ledger.view import Context, View
from p2p.wire.codec import Record
from p2p.wire.messages import MAX_TIME_S

NAME = SETTLEMENT
_SUMS = b"sums"
_SUMS_LAYOUT = struct.Struct(">" + "qQ" * len(TOTAL_ROWS) * len(COLUMNS))
"""128-bit numbers, in halves: a large currency unit would pass int64 nano within a year."""

_LOW = 2**64 - 1

_HASHES = ("book_root", "clearing_root", "postings_root", "blob_hash", "inclusion_root")


class Settled(Record, frozen=True):
    """How far the settlement is.

    Args:
        batches: Settled intervals.
        last_interval_start: Start of the newest one, or -1. [s]
        sums: Rows as TOTAL_ROWS, columns as COLUMNS, each number 16 bytes big endian, signed. [Wh, nano]
    """

    batches: int
    last_interval_start: int
    sums: bytes

    @property
    def totals(self) -> tuple[tuple[int, ...], ...]:
        """All sums as integers. [Wh, nano-currency]"""
        halves = _SUMS_LAYOUT.unpack(self.sums)
        numbers = [high << 64 | low for high, low in zip(halves[::2], halves[1::2], strict=True)]
        width = len(COLUMNS)
        return tuple(tuple(numbers[i : i + width]) for i in range(0, len(numbers), width))


NOTHING_SETTLED = Settled(0, -1, bytes(_SUMS_LAYOUT.size))


def settled(view: View) -> Settled:
    """How far the settlement is, and its sums."""
    return view.read(NAME, _SUMS, Settled) or NOTHING_SETTLED


def settled_until(view: View, genesis: Genesis) -> int:
    """End of the newest settled interval, which is the clock of the state; 0 before the first. [s]"""
    last = settled(view).last_interval_start
    return 0 if last < 0 else last + genesis.params.minutes * 60


def check_batch(args: BatchArgs, genesis: Genesis) -> None:
    """Raise unless a batch is well-formed and conserves energy and money.

    Raises:
        InvalidTx: Names the field, or the column that does not add up.
    """
    _check_form(args, genesis)
    _check_sums(args)
    if genesis.params.full_entries:
        _check_entries(args)
    elif args.entries:
        raise InvalidTx("settle_entries", "this chain does not take the entries of the accounts")


def _check_form(args: BatchArgs, genesis: Genesis) -> None:
    minutes = genesis.params.minutes
    for name in _HASHES:
        if len(getattr(args, name)) != merkle.HASH_BYTES:
            raise InvalidTx("tx_args", f"{name} must have {merkle.HASH_BYTES} bytes")
    if args.interval_start % (minutes * 60) or not 0 <= args.interval_start <= MAX_TIME_S:
        raise InvalidTx(
            "tx_args", f"interval_start {args.interval_start} is not on a {minutes}-minute boundary"
        )
    if args.members != genesis.members:
        raise InvalidTx("settle_members", f"{args.members} members; the genesis has {genesis.members}")
    if args.orders < 0 or args.traded_wh < 0:
        raise InvalidTx("tx_args", f"{args.orders} orders, {args.traded_wh} Wh traded")
    if args.price is not None and not args.price.lo <= args.price.price <= args.price.hi:
        raise InvalidTx(
            "tx_args", f"price {args.price.price} outside its interval {args.price.lo}..{args.price.hi}"
        )
    if len(args.totals) != len(TOTAL_ROWS) or any(len(row) != len(COLUMNS) for row in args.totals):
        raise InvalidTx("tx_args", f"totals must be {len(TOTAL_ROWS)} rows of {len(COLUMNS)} numbers")


def _check_sums(args: BatchArgs) -> None:
    for name in MONEY_COLUMNS:
        left_over = sum(row[COLUMN_INDEX[name]] for row in args.totals)
        if left_over:
            raise InvalidTx("settle_sums", f"{name} sums to {left_over} over all accounts; it must be 0")
    members = dict(zip(COLUMNS, args.totals[0], strict=True))
    if not members["bought_wh"] == members["sold_wh"] == args.traded_wh:
        raise InvalidTx(
            "settle_sums",
            f"{members['bought_wh']} Wh bought, {members['sold_wh']} Wh sold, {args.traded_wh} Wh traded;"
            " the three must be equal",
        )
    if members["local_wh"]:
        raise InvalidTx(
            "settle_sums", f"local_wh sums to {members['local_wh']} Wh over the members; it must be 0"
        )
    metered = members["import_wh"] - members["export_wh"]
    if metered != members["retail_import_wh"] - members["retail_export_wh"]:
        raise InvalidTx(
            "settle_sums", f"the meters net {metered} Wh, but the retailer is billed for another amount"
        )


def _check_entries(args: BatchArgs) -> None:
    """Recompute root and totals from the entries."""
    try:
        secret, lines = unpack_entries(args.entries, args.members + len(SYSTEM_ACCOUNTS))
    except BadProof as error:
        raise InvalidTx("settle_entries", error.detail) from None
    sums = (lines[: args.members].astype(object).sum(axis=0), *lines[args.members :])
    if tuple(tuple(map(int, row)) for row in sums) != args.totals:
        raise InvalidTx("settle_entries", "the entries do not add up to the totals")
    if salted(lines, args.interval_start, secret).root != args.postings_root:
        raise InvalidTx("settle_entries", "the entries do not lead to postings_root")


def _settle(ctx: Context, args: BatchArgs) -> None:
    view, known = ctx.view, settled(ctx.view)
    if args.interval_start <= known.last_interval_start:
        raise InvalidTx(
            "settle_late",
            f"interval {args.interval_start} is not later than {known.last_interval_start}, the last settled",
        )
    pairs = zip(chain.from_iterable(known.totals), chain.from_iterable(args.totals), strict=True)
    totals = [old + new for old, new in pairs]
    sums = _SUMS_LAYOUT.pack(*[half for total in totals for half in (total >> 64, total & _LOW)])
    view.write(NAME, _SUMS, Settled(known.batches + 1, args.interval_start, sums))


def _invariants(view: View, genesis: Genesis, height: int) -> None:
    if not view.touched(NAME):
        return
    rows = settled(view).totals
    for name in MONEY_COLUMNS:
        if sum(row[COLUMN_INDEX[name]] for row in rows):
            raise BrokenInvariant(height, NAME, f"{name} does not sum to 0 over all accounts")
    bought, sold = rows[0][BOUGHT], rows[0][COLUMN_INDEX["sold_wh"]]
    if bought != sold or bought < 0:
        raise BrokenInvariant(height, NAME, f"{bought} Wh bought, {sold} Wh sold")


MODULE = CHAIN_MODULES.register(
    ChainModule(
        NAME,
        "One batch an interval, its sums, and what all batches add up to.",
        {
            SETTLE_BATCH: Method(
                "Settle an interval.",
                BatchArgs,
                frozenset({OPERATOR, AUTHORITY}),
                _settle,
                check_batch,
                limited=False,
            )
        },
        (Entry("Settled intervals and the sums of their totals.", _SUMS, record=Settled),),
        codes={
            "settle_late": "The interval is not later than the last settled one.",
            "settle_sums": "The totals do not add up to zero, or do not agree with each other.",
            "settle_members": "The batch does not have the members of the genesis.",
            "settle_entries": "The entries are missing, not wanted, or not those of the root and the totals.",
        },
        check=_invariants,
    )
)
