"""Which orders are closed, and which homes may not order: the state of markets in which homes seal their orders.

closed           the interval whose orders were closed last, and their hash
barred || home   the intervals for which a home may not order, as its envelope had no key

An interval is closed by one transaction before anybody opens an order, and settled by another; see
`p2p.batches.closed_orders`.
"""

from __future__ import annotations

from typing import Final

from market.interval import begins_interval
from p2p.batches.batch import SETTLEMENT, BatchArgs, CloseArgs
from p2p.blocks.block import ZERO_HASH
from p2p.blocks.genesis import Genesis
from p2p.blocks.merkle import HASH_BYTES
from p2p.errors import InvalidTx
from p2p.ledger import offices
from p2p.ledger.view import Context, View
from p2p.wire.codec import Record
from p2p.wire.messages import MAX_TIME_S
from p2p.wire.sealing import digest_of

CLOSED: Final = b"closed"
BARRED: Final = b"barred"

BARRED_AFTER: Final = 4
"""The first interval that a home is barred from is so many after the newest settled one: messages of earlier ones may
have been promised already, see `p2p.roles.replica.schedule`."""
BARRED_INTERVALS: Final = 672
"""Seven days of quarter hours. A home that keeps somebody from opening its envelope, and not others, lets who opens it
choose whether it trades."""


class LastClosed(Record, frozen=True):
    """The interval whose orders were closed last.

    Args:
        interval_start: Start of it, or -1. [s]
        blob_hash: Hash of its closed orders.
    """

    interval_start: int
    blob_hash: bytes


class Barred(Record, frozen=True):
    """The intervals for which a home may not order.

    Args:
        from_s: Start of the first one. [s]
        until_s: Start of the first one after them. [s]
    """

    from_s: int
    until_s: int


NONE_CLOSED: Final = LastClosed(-1, ZERO_HASH)


def last_closed(view: View) -> LastClosed:
    """The interval whose orders were closed last; of a chain that takes them in the open, none."""
    return view.read(SETTLEMENT, CLOSED, LastClosed) or NONE_CLOSED


def check_close(args: CloseArgs, genesis: Genesis) -> None:
    """Raise unless the closing of orders is well-formed, of a chain whose homes seal them.

    Raises:
        InvalidTx: Says what is wrong.
    """
    if not genesis.params.sealed_bytes:
        raise InvalidTx("settle_closed", "the homes of this chain do not seal their orders")
    if len(args.blob_hash) != HASH_BYTES:
        raise InvalidTx("tx_args", f"blob_hash must have {HASH_BYTES} bytes")
    begins = begins_interval(args.interval_start, genesis.params.minutes)
    if not begins or not 0 <= args.interval_start <= MAX_TIME_S:
        raise InvalidTx("tx_args", f"interval_start {args.interval_start} begins no interval")


def close(ctx: Context, args: CloseArgs, last_settled_s: int) -> None:
    """Close the orders of an interval.

    Args:
        last_settled_s: Start of the newest settled interval, or -1. [s]

    Raises:
        InvalidTx: It is closed or settled already, another one is to be settled first, or the orders are for others.
    """
    last = last_closed(ctx.view)
    if args.interval_start <= max(last_settled_s, last.interval_start):
        raise InvalidTx("settle_late", f"the orders of interval {args.interval_start} are closed already")
    if last.interval_start > last_settled_s:
        raise InvalidTx("settle_closed", f"interval {last.interval_start} is closed and not settled yet")
    if args.sealed_to != digest_of(offices.validator_sets(ctx.view).current):
        raise InvalidTx("settle_closed", "the orders are sealed to other validators than those of now")
    ctx.view.write(SETTLEMENT, CLOSED, LastClosed(args.interval_start, args.blob_hash))


def check_batch(ctx: Context, args: BatchArgs) -> None:
    """Check that a batch is of the orders that were closed, and bar the homes whose envelopes had no key.

    Raises:
        InvalidTx: It is of others, or they are not closed.
    """
    last, expected = last_closed(ctx.view), ZERO_HASH
    if ctx.genesis.params.sealed_bytes:
        if last.interval_start != args.interval_start:
            raise InvalidTx("settle_closed", f"the orders of interval {args.interval_start} are not closed")
        expected = last.blob_hash
    if args.closed_hash != expected:
        raise InvalidTx("settle_closed", "the batch is of other orders than were closed")
    for household in args.unopened:
        bar(ctx.view, household, args.interval_start, ctx.genesis.params.minutes * 60)


def is_barred(view: View, household: int, interval_start: int) -> bool:
    """Whether a home may not order in an interval.

    Args:
        household: Index of the home.
        interval_start: Of the interval. [s]
    """
    found = view.read(SETTLEMENT, _barred_key(household), Barred)
    return found is not None and found.from_s <= interval_start < found.until_s


def bar(view: View, household: int, interval_start: int, step_s: int) -> None:
    """Bar a home; one that is barred from earlier on stays so, or it could put that off in each interval.

    Args:
        interval_start: Of the interval whose envelope had no key. [s]
        step_s: Length of an interval. [s]
    """
    from_s = interval_start + BARRED_AFTER * step_s
    until_s = from_s + BARRED_INTERVALS * step_s
    known = view.read(SETTLEMENT, _barred_key(household), Barred)
    begun_s = known.from_s if known is not None and known.until_s >= from_s else from_s
    view.write(SETTLEMENT, _barred_key(household), Barred(begun_s, until_s))


def _barred_key(household: int) -> bytes:
    return BARRED + household.to_bytes(4, "big")
