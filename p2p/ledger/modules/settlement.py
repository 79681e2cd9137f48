"""Module `settlement`: one batch an interval, its sums, and what all batches add up to.

last     number of batches, the newest settled interval, and whose turn the next one is
sums     `BatchArgs.totals` of all batches, row by row, each number 16 bytes big endian, signed
p        and slot: root over the postings of an interval's newest version, for KEPT_DAYS
closed, barred and home   where homes seal their orders, see `p2p.ledger.closed`
v        and place: the newest version of each of the last intervals, see `p2p.ledger.versions`

The slots of `p` are a ring: an interval has the slot of its number, so it replaces the one KEPT_DAYS before it.
An interval with readings that came late is settled again, as version 2 and on: the sums change by the difference.
What it has beyond the version before it is checked by validators, see `p2p.batches.later`.
"""

from __future__ import annotations

import struct
from functools import cache
from itertools import chain, pairwise

from market.interval import begins_interval
from market.settlement.accounts import (
    BOUGHT,
    COLUMN_INDEX,
    COLUMNS,
    ENERGY_COLUMNS,
    GRID_OPERATOR,
    LOSS,
    MONEY_COLUMNS,
    SOLD,
    Postings,
)
from p2p.batches.batch import (
    CLOSE,
    MEMBERS,
    SETTLE_AGAIN,
    SETTLE_BATCH,
    SETTLEMENT,
    AgainArgs,
    BatchArgs,
    CloseArgs,
    integers_of,
    salted,
    unpack_entries,
)
from p2p.blocks import merkle
from p2p.blocks.block import ZERO_HASH
from p2p.blocks.genesis import Genesis
from p2p.errors import BadProof, BrokenInvariant, InvalidTx, NonCanonical
from p2p.ledger import closed, offices, versions
from p2p.ledger.module import AUTHORITY, CHAIN_MODULES, OPERATOR, ChainModule, Entry, Method
from p2p.ledger.versions import Version, is_due, keep_version, newest_version, totals_hash
from p2p.ledger.view import Context, View
from p2p.wire.codec import Record
from p2p.wire.identity import PUBLIC_KEY_BYTES
from p2p.wire.messages import MAX_TIME_S

NAME = SETTLEMENT
Sums = tuple[tuple[int, ...], ...]
_SUMS = b"sums"
FIRST_AGAIN = 2
"""Version of an interval that is settled again for the first time."""
NO_TURN = bytes(PUBLIC_KEY_BYTES)
"""Whom a later version of an interval names as the next collector: nobody."""
_LOW = 2**64 - 1
_DAY_S = 86_400

TAKEOVER_BATCHES = 96
"""After so many batches of a chain the next turn is an operator's, so that no validator keeps it for good."""

KEPT_DAYS = 92
"""How long the state keeps the root over the postings of an interval, at least. [days]"""

_HASHES = (
    "book_root",
    "clearing_root",
    "postings_root",
    "prices_root",
    "blob_hash",
    "inclusion_root",
    "closed_hash",
)


class Settled(Record, frozen=True):
    """How far the settlement is.

    Args:
        batches: Settled intervals.
        last_interval_start: Start of the newest one, or -1. [s]
        collector: Public key of the one whose turn the next interval is first.
        sums: Of all members, then of each other account; columns as COLUMNS, each number 16 bytes big endian, signed.
            [Wh, nano]
    """

    batches: int
    last_interval_start: int
    collector: bytes
    sums: bytes

    @property
    def totals(self) -> tuple[tuple[int, ...], ...]:
        """All sums as integers. [Wh, nano-currency]"""
        halves = _layout(len(self.sums) // 16).unpack(self.sums)
        numbers = [high << 64 | low for high, low in zip(halves[::2], halves[1::2], strict=True)]
        width = len(COLUMNS)
        return tuple(tuple(numbers[i : i + width]) for i in range(0, len(numbers), width))


class Kept(Record, frozen=True):
    """The root over the postings of a settled interval.

    Args:
        interval_start: Which one has the slot now. [s since 1970, UTC]
        postings_root: See `p2p.batches.batch`.
    """

    interval_start: int
    postings_root: bytes


@cache
def _layout(numbers: int) -> struct.Struct:
    """128-bit numbers, in halves: a large currency unit would pass int64 nano within a year."""
    return struct.Struct(">" + "qQ" * numbers)


def settled(view: View) -> Settled:
    """How far the settlement is, and its sums."""
    found = view.read(NAME, _SUMS, Settled)
    assert found is not None, "the state was not started from a genesis"
    return found


def settled_until(view: View, genesis: Genesis) -> int:
    """End of the newest settled interval, which is the clock of the state; 0 before the first. [s]"""
    last = settled(view).last_interval_start
    return 0 if last < 0 else last + genesis.params.minutes * 60


def kept_root(view: View, genesis: Genesis, interval_start: int) -> bytes | None:
    """Root over the postings of an interval; None where it was not settled, or not within KEPT_DAYS."""
    kept = view.read(NAME, _slot_key(genesis, interval_start), Kept)
    return kept.postings_root if kept is not None and kept.interval_start == interval_start else None


def _slot_key(genesis: Genesis, interval_start: int) -> bytes:
    step_s = genesis.params.minutes * 60
    slots = KEPT_DAYS * _DAY_S // step_s
    return b"p" + (interval_start // step_s % slots).to_bytes(4, "big")


def version_of(view: View, genesis: Genesis, interval_start: int) -> Version | None:
    """The newest version of an interval that can be settled again; None for any other."""
    return newest_version(view, NAME, interval_start, genesis.params.minutes * 60)


def former_blob(view: View, genesis: Genesis, args: AgainArgs) -> bytes:
    """Name of the blob of the version that a later one follows.

    Raises:
        InvalidTx: The chain would refuse it now.
    """
    start_s, last_s = args.batch.interval_start, settled(view).last_interval_start
    newest = version_of(view, genesis, start_s)
    problem = _again_problem(args, newest, (last_s - start_s) // (genesis.params.minutes * 60))
    if newest is None or problem:
        raise InvalidTx("settle_again", f"interval {start_s}: {problem}")
    return newest.blob_hash


def check_batch(args: BatchArgs, genesis: Genesis) -> None:
    """Raise unless a batch is well-formed and conserves energy and money.

    Raises:
        InvalidTx: Names the field, or the column that does not add up.
    """
    _check_form(args, genesis)
    try:
        rows = args.rows
        _check_sums(args, rows)
        _check_places(rows, genesis)
    except NonCanonical as error:
        raise InvalidTx("tx_args", error.detail) from None
    if genesis.params.full_entries:
        _check_entries(args, genesis)
    elif args.entries:
        raise InvalidTx("settle_entries", "this chain does not take the entries of the accounts")


def check_again(args: AgainArgs, genesis: Genesis) -> None:
    """Raise unless a later version of an interval is well-formed, as a batch and in what it takes back.

    Raises:
        InvalidTx: Names the field, or the column that does not add up.
    """
    check_batch(args.batch, genesis)
    if args.version < FIRST_AGAIN:
        raise InvalidTx("tx_args", f"version {args.version}; a later version is {FIRST_AGAIN} or more")
    if args.batch.next_collector != NO_TURN:
        raise InvalidTx("tx_args", "a later version gives no turn, so next_collector must be zeros")
    if [len(row) for row in args.before] != [len(row) for row in args.batch.totals]:
        raise InvalidTx("tx_args", "the totals of the version before are of other accounts or columns")
    try:
        integers_of(args.before)
    except NonCanonical as error:
        raise InvalidTx("tx_args", error.detail) from None


def _check_form(args: BatchArgs, genesis: Genesis) -> None:
    minutes = genesis.params.minutes
    for name in _HASHES:
        if len(getattr(args, name)) != merkle.HASH_BYTES:
            raise InvalidTx("tx_args", f"{name} must have {merkle.HASH_BYTES} bytes")
    if not begins_interval(args.interval_start, minutes) or not 0 <= args.interval_start <= MAX_TIME_S:
        raise InvalidTx(
            "tx_args", f"interval_start {args.interval_start} is not on a {minutes}-minute boundary"
        )
    if len(args.next_collector) != PUBLIC_KEY_BYTES:
        raise InvalidTx("tx_args", f"next_collector must have {PUBLIC_KEY_BYTES} bytes")
    if args.members != genesis.members:
        raise InvalidTx("settle_members", f"{args.members} members; the genesis has {genesis.members}")
    if any(not 0 <= home < args.members for home in args.unopened) or any(
        a >= b for a, b in pairwise(args.unopened)
    ):
        raise InvalidTx("tx_args", "unopened must be places of homes, ascending")
    if args.unopened and not genesis.params.sealed_bytes:
        raise InvalidTx("settle_closed", "the homes of this chain do not seal their orders")
    if min(args.orders, args.traded_wh) < 0 or args.prices < 1:
        raise InvalidTx("tx_args", f"{args.orders} orders, {args.prices} prices, {args.traded_wh} Wh traded")
    if args.price is not None and not args.price.lo <= args.price.price <= args.price.hi:
        raise InvalidTx(
            "tx_args", f"price {args.price.price} outside its interval {args.price.lo}..{args.price.hi}"
        )
    rows = 1 + len(genesis.account_names)
    if len(args.totals) != rows or any(len(row) != len(COLUMNS) for row in args.totals):
        raise InvalidTx("tx_args", f"totals must be {rows} rows of {len(COLUMNS)} numbers")


def _check_sums(args: BatchArgs, rows: Sums) -> None:
    for name in MONEY_COLUMNS:
        left_over = sum(row[COLUMN_INDEX[name]] for row in rows)
        if left_over:
            raise InvalidTx("settle_sums", f"{name} sums to {left_over} over all accounts; it must be 0")
    total = dict(zip(COLUMNS, map(sum, zip(*rows, strict=True)), strict=True))
    lost = total["loss_wh"]
    if not total["bought_wh"] == total["sold_wh"] - lost == args.traded_wh or lost < 0:
        raise InvalidTx(
            "settle_sums",
            f"{total['bought_wh']} Wh bought, {total['sold_wh']} Wh sold less {lost} Wh lost,"
            f" {args.traded_wh} Wh traded; the three must be equal",
        )
    if total["local_wh"]:
        raise InvalidTx(
            "settle_sums", f"local_wh sums to {total['local_wh']} Wh over all accounts; it must be 0"
        )
    metered = total["import_wh"] - total["export_wh"] + lost
    if metered != total["retail_import_wh"] - total["retail_export_wh"]:
        raise InvalidTx(
            "settle_sums", f"the meters net {metered} Wh, but the retailer is billed for another amount"
        )


def _check_places(rows: Sums, genesis: Genesis) -> None:
    """Check that no account has energy that it cannot have: only the grid operator has losses.

    What the meter of an external account shows, it has traded, netted with homes, or settled with the retailer: both
    registers, so that none shows energy that only the other one explains.
    """
    # By place: an external account may have any name, also that of the members.
    external = range(1, 1 + len(genesis.accounts))
    for place, (account, row) in enumerate(zip((MEMBERS, *genesis.account_names), rows, strict=True)):
        energy = dict(zip(ENERGY_COLUMNS, row, strict=False))
        if place == external.stop + GRID_OPERATOR:
            energy["loss_wh"] = 0  # `_check_sums` has seen that the sum is not negative
        own = dict.fromkeys(ENERGY_COLUMNS, 0)
        if place < external.stop:
            own |= {
                name: max(energy[name], 0) for name in ENERGY_COLUMNS if name not in ("local_wh", "loss_wh")
            }
            # Homes and external accounts may net with each other; `_check_sums` has seen the sum.
            own["local_wh"] = energy["local_wh"] if external else 0
        if place in external:
            settled = energy["local_wh"] + energy["retail_import_wh"] - energy["retail_export_wh"]
            metered = energy["bought_wh"] - energy["sold_wh"] + settled + own["export_wh"]
            most = energy["bought_wh"] + max(energy["local_wh"], 0) + energy["retail_import_wh"]
            own["import_wh"] = min(max(metered, 0), most)
            own["export_wh"] -= min(metered, 0)  # what it sold, its meter must have shown
        # The meters last, which follow from the others.
        names = (*ENERGY_COLUMNS[2:], *ENERGY_COLUMNS[:2])
        wrong = next((name for name in names if energy[name] != own[name]), None)
        if wrong is not None:
            raise InvalidTx("settle_sums", f"{account} has {wrong} = {energy[wrong]}, which it cannot have")


def _check_entries(args: BatchArgs, genesis: Genesis) -> None:
    """Recompute root and totals from the entries."""
    try:
        secret, lines = unpack_entries(args.entries, args.members + len(genesis.account_names))
    except BadProof as error:
        raise InvalidTx("settle_entries", error.detail) from None
    sums = (lines[: args.members].astype(object).sum(axis=0), *lines[args.members :])
    if tuple(tuple(map(int, row)) for row in sums) != args.rows:
        raise InvalidTx("settle_entries", "the entries do not add up to the totals")
    postings = Postings(lines, args.members, len(genesis.accounts))
    if salted(postings, args.interval_start, secret).root != args.postings_root:
        raise InvalidTx("settle_entries", "the entries do not lead to postings_root")


def _settle(ctx: Context, args: BatchArgs) -> None:
    view, known = ctx.view, settled(ctx.view)
    if args.interval_start <= known.last_interval_start:
        raise InvalidTx(
            "settle_late",
            f"interval {args.interval_start} is not later than {known.last_interval_start}, the last settled",
        )
    step_s = ctx.genesis.params.minutes * 60
    if known.batches and (args.interval_start - known.last_interval_start) % step_s:
        raise InvalidTx(
            "tx_args",
            f"interval {args.interval_start} is not whole intervals of {step_s} s after {known.last_interval_start}",
        )
    _check_next(ctx, args, known)
    closed.check_batch(ctx, args)
    sums = _added(known, args.rows)
    view.write(NAME, _SUMS, Settled(known.batches + 1, args.interval_start, args.next_collector, sums))
    if any(args.blob_hash):  # else its messages crossed no network: nobody was cut off
        first = Version(args.interval_start, 1, 0, totals_hash(args.totals), args.blob_hash)
        keep_version(view, NAME, step_s, first)
    _keep_root(ctx, args)


def _settle_again(ctx: Context, args: AgainArgs) -> None:
    view, known, batch = ctx.view, settled(ctx.view), args.batch
    step_s = ctx.genesis.params.minutes * 60
    age = (known.last_interval_start - batch.interval_start) // step_s
    problem = _again_problem(args, version_of(view, ctx.genesis, batch.interval_start), age)
    if problem:
        raise InvalidTx("settle_again", f"interval {batch.interval_start}: {problem}")
    changes = [
        tuple(new - old for new, old in zip(*rows, strict=True))
        for rows in zip(batch.rows, integers_of(args.before), strict=True)
    ]
    sums = _added(known, tuple(changes))
    view.write(NAME, _SUMS, Settled(known.batches, known.last_interval_start, known.collector, sums))
    later = Version(batch.interval_start, args.version, age, totals_hash(batch.totals), batch.blob_hash)
    keep_version(view, NAME, step_s, later)
    _keep_root(ctx, batch)


def _keep_root(ctx: Context, args: BatchArgs) -> None:
    kept = Kept(args.interval_start, args.postings_root)
    ctx.view.write(NAME, _slot_key(ctx.genesis, args.interval_start), kept)


def _again_problem(args: AgainArgs, newest: Version | None, age: int) -> str:
    """Why an interval cannot be settled again now; empty where it can."""
    if newest is None:
        return f"it is none of the last {versions.RING} that were settled by messages"
    if args.version != newest.version + 1:
        return f"version {args.version} does not follow {newest.version}"
    if not is_due(age, newest.age):
        return f"it was settled at an age of {newest.age} intervals, and is not due again at {age}"
    if totals_hash(args.before) != newest.totals:
        return "the totals that it takes back are not those of the version before"
    if args.batch.blob_hash in (ZERO_HASH, newest.blob_hash):
        return "it names no other messages than the version before"
    return ""


def _added(known: Settled, rows: Sums) -> bytes:
    """The sums of all batches and these rows.

    Raises:
        InvalidTx: They would not fit.
    """
    pairs = zip(chain.from_iterable(known.totals), chain.from_iterable(rows), strict=True)
    totals = [old + new for old, new in pairs]
    if not -(2**127) <= min(totals) <= max(totals) < 2**127:
        raise InvalidTx("settle_sums", "the sums of all batches would not fit into 128 bits")
    halves = [half for total in totals for half in (total >> 64, total & _LOW)]
    return _layout(len(totals)).pack(*halves)


def _close(ctx: Context, args: CloseArgs) -> None:
    closed.close(ctx, args, settled(ctx.view).last_interval_start)


def _check_next(ctx: Context, args: BatchArgs, known: Settled) -> None:
    problem = next_problem(args.next_collector, ctx.sender, known, offices.operators(ctx.view))
    if problem:
        raise InvalidTx("settle_turn", problem)


def next_problem(named: bytes, sender: bytes, known: Settled, operators: tuple[bytes, ...]) -> str:
    """Why a batch may not give the next turn to one; empty where it may.

    Only an operator may have it, or a validator who keeps it or takes it.

    Args:
        known: Before the batch.
        operators: Above the block's parent.
    """
    if named in operators:
        return ""
    if operators and (known.batches + 1) % TAKEOVER_BATCHES == 0:
        return f"batch {known.batches + 1} must give the next turn to an operator"
    if named not in (sender, known.collector):
        return "the next turn is an operator's, the sender's, or of whom it was before"
    return ""


def _start(view: View, genesis: Genesis) -> None:
    numbers = (1 + len(genesis.account_names)) * len(COLUMNS)
    view.write(NAME, _SUMS, Settled(0, -1, genesis.operators[0], bytes(16 * numbers)))


def _invariants(view: View, genesis: Genesis, height: int) -> None:
    if not view.touched(NAME):
        return
    rows = settled(view).totals
    for name in MONEY_COLUMNS:
        if sum(row[COLUMN_INDEX[name]] for row in rows):
            raise BrokenInvariant(height, NAME, f"{name} does not sum to 0 over all accounts")
    bought, sold, lost = (sum(row[i] for row in rows) for i in (BOUGHT, SOLD, LOSS))
    if bought != sold - lost or bought < 0:
        raise BrokenInvariant(height, NAME, f"{bought} Wh bought, {sold} Wh sold, {lost} Wh lost")
    last = settled(view).last_interval_start
    if last >= 0 and kept_root(view, genesis, last) is None:
        raise BrokenInvariant(height, NAME, f"interval {last} is settled without the root over its postings")


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
            ),
            CLOSE: Method(
                "Close the orders of an interval, before anybody opens them.",
                CloseArgs,
                frozenset({OPERATOR, AUTHORITY}),
                _close,
                closed.check_close,
                limited=False,
            ),
            SETTLE_AGAIN: Method(
                "Settle an interval again, with readings that came late.",
                AgainArgs,
                frozenset({OPERATOR, AUTHORITY}),
                _settle_again,
                check_again,
                limited=False,
            ),
        },
        (
            Entry("Settled intervals and the sums of their totals.", _SUMS, record=Settled),
            Entry("The interval whose orders were closed last.", closed.CLOSED, record=closed.LastClosed),
            Entry(
                "Intervals for which a home may not order.",
                closed.BARRED,
                (("household", "u32"),),
                closed.Barred,
            ),
            Entry("Root over the postings of a settled interval.", b"p", (("slot", "u32"),), Kept),
            Entry(
                "The newest version of one of the last intervals.",
                versions.PREFIX,
                (("place", "u32"),),
                Version,
            ),
        ),
        codes={
            "settle_late": "The interval is not later than the last settled one.",
            "settle_again": "The interval cannot be settled again: its version, its age or what it takes back.",
            "settle_sums": "The totals do not add up to zero, do not agree, or give an account energy it cannot have.",
            "settle_turn": "The batch gives the next turn to somebody who may not have it.",
            "settle_members": "The batch does not have the members of the genesis.",
            "settle_closed": "The orders are not closed, closed already, or others than those that were closed.",
            "settle_entries": "The entries are missing, not wanted, or not those of the root and the totals.",
        },
        start=_start,
        check=_invariants,
    )
)
