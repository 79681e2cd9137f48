"""Module `guarantees`: guarantees of origin in Wh, by the interval, issued from anchored readings only.

    i || issuance                            what was issued for a meter and interval, and where it is now
    c || issuance || start u64               a guarantee: Wh start .. start + wh of its issuance
    f || meter                               energy metered and issued, so that no fraction of a Wh is lost
    u || meter || interval_start i64         how much of a consumption is claimed
    o || meter                               claims that no consumption of the meter stands for any more
    s || meter                               energy that a storage holds with guarantees

The guarantees of an issuance tile it: splitting one cuts its range, nothing else makes or removes Wh. A
guarantee charged into a storage comes back, less the losses, as an issuance of the discharging interval.

Once a day's readings are corrected, nothing that was issued from the former ones can be split, given away or claimed
until it is corrected too: what is too much is taken back from the end, and what of it was used already is a debt of the
meter. Claims of a consumption that a correction takes away stay, and are a debt of the meter too: its next consumption
pays it before it can be claimed.

Whatever a reading gives, it must be that of the settled line of its home (`p2p.ledger.balances`).
"""

from __future__ import annotations

import msgspec

from p2p.blocks import merkle
from p2p.blocks.genesis import Genesis
from p2p.errors import InvalidTx
from p2p.ledger import offices
from p2p.ledger.balances import Balance, check_balanced
from p2p.ledger.issuance_checks import check_issuances
from p2p.ledger.issuances import (
    ACTIVE,
    CLAIMED,
    CORRECTED,
    EXPIRED,
    GUARANTEES,
    MAX_PIECES,
    NO_INTERVAL,
    STATUS_NAMES,
    STORED,
    WITHDRAWN,
    GuaranteeOfOrigin,
    Issuance,
    Metered,
    Owed,
    Stored,
    Used,
    claims_of,
    issuance_id,
    issuance_of,
    owed_of,
    piece_key,
    pieces_of,
    sums_of,
    taken_back,
    write_claims,
)
from p2p.ledger.module import AUTHORITY, CHAIN_MODULES, HOUSEHOLD, OPERATOR, ChainModule, Entry, Method
from p2p.ledger.modules import accounts, meters
from p2p.ledger.modules.meters import Reading
from p2p.ledger.modules.settlement import settled_until
from p2p.ledger.view import Context, View
from p2p.wire.codec import Record

NAME = GUARANTEES
ISSUE = "issue"
SPLIT = "split"
TRANSFER = "transfer"
CLAIM = "claim"
EXPIRE = "expire"
WITHDRAW = "withdraw"
CORRECT = "correct"

MAX_READINGS = 40
"""Readings that a transaction may bring, whatever the tree of the lines: they fit into MAX_TX_BYTES."""


class IssueArgs(Record, frozen=True):
    """Arguments of guarantees.issue: one issuance for each reading, each with its balance."""

    meter: bytes
    readings: tuple[Reading, ...]
    balances: tuple[Balance, ...]


class SplitArgs(Record, frozen=True):
    """Arguments of guarantees.split: the parts follow each other within the guarantee. [Wh]"""

    issuance: bytes
    start: int
    parts: tuple[int, ...]


class TransferArgs(Record, frozen=True):
    """Arguments of guarantees.transfer: to another home; the settlement interval of the trade or -1."""

    issuance: bytes
    start: int
    to: int
    trade_interval: int


class ClaimArgs(Record, frozen=True):
    """Arguments of guarantees.claim: for a consumption, or the charging of a storage, of the same interval."""

    issuance: bytes
    start: int
    meter: bytes
    reading: Reading
    balance: Balance


class CorrectArgs(Record, frozen=True):
    """Arguments of guarantees.correct: the reading of an interval in the newest anchor of its day.

    Args:
        balance: Nil where the reading only takes away.
    """

    meter: bytes
    reading: Reading
    balance: Balance | None


class NameArgs(Record, frozen=True):
    """Arguments of guarantees.expire and guarantees.withdraw."""

    issuance: bytes
    start: int


_ANYBODY = frozenset({OPERATOR, AUTHORITY, HOUSEHOLD})


# --- issuing ------------------------------------------------------------------------------------------------


def _check_issue(args: IssueArgs, genesis: Genesis) -> None:
    if not args.readings or len(args.balances) != len(args.readings):
        raise InvalidTx("tx_args", f"{len(args.balances)} balances of {len(args.readings)} readings")
    _check_readings(args.meter, args.readings, args.balances, genesis)


def _check_readings(
    meter: bytes, readings: tuple[Reading, ...], balances: tuple[Balance, ...], genesis: Genesis
) -> None:
    if len(meter) != merkle.HASH_BYTES:
        raise InvalidTx("tx_args", f"a meter's name has {merkle.HASH_BYTES} bytes")
    brought = (*readings, *(other for balance in balances for other in balance.others))
    if len(brought) > MAX_READINGS:
        raise InvalidTx("tx_args", f"{len(brought)} readings, with those of other meters, of {MAX_READINGS}")
    for reading in brought:
        meters.check_reading(reading, genesis)


def _issue(ctx: Context, args: IssueArgs) -> None:
    meter = meters.find(ctx.view, args.meter)
    meters.check_owner(ctx, meter)
    if meter.kind == meters.CONSUMPTION:
        raise InvalidTx("meter_kind", "the meter does not measure production")
    for reading, balance in zip(args.readings, args.balances, strict=True):
        meters.check_anchored(ctx.view, args.meter, meter, reading)
        check_balanced(ctx, args.meter, meter, reading, balance)
        _issue_one(ctx, args.meter, meter, reading)


def _issue_one(ctx: Context, name: bytes, meter: meters.Meter, reading: Reading) -> None:
    view, issuance = ctx.view, issuance_id(name, reading.interval_start)
    if issuance_of(view, issuance) is not None:
        raise InvalidTx(
            "guarantee_duplicate", f"interval {reading.interval_start} has been issued for this meter"
        )
    known = view.read(NAME, b"f" + name, Metered) or Metered(0, 0)
    more = Metered(known.metered_mwh + reading.production_mwh, known.issued_wh)
    wh = max(more.due_wh, 0)
    view.write(NAME, b"f" + name, Metered(more.metered_mwh, more.issued_wh + wh))
    if meter.kind == meters.STORAGE:
        _discharge(view, name, meter, wh)
    expiry_s = reading.interval_start + offices.governed(view).guarantee_days * meters.DAY_S
    version = meters.operators_version(view, name, reading.interval_start // meters.DAY_S)
    released, pieces = int(meter.kind == meters.STORAGE), int(wh > 0)
    at = (name, reading.interval_start, version, reading.production_mwh)
    record = Issuance(*at, wh, released, expiry_s, pieces, (wh, *[0] * (len(STATUS_NAMES) - 1)))
    view.write(NAME, b"i" + issuance, record)
    if wh:
        view.write(
            NAME, piece_key(issuance, 0), GuaranteeOfOrigin(wh, meter.household, ACTIVE, 0, NO_INTERVAL, b"")
        )


def _discharge(view: View, name: bytes, meter: meters.Meter, wh: int) -> None:
    """Take what gives `wh` after the losses, rounded up, out of a storage."""
    taken = -(-wh * meters.FULL_PPM // meter.efficiency_ppm)
    held = (view.read(NAME, b"s" + name, Stored) or Stored(0)).wh
    # What it owes was never charged; it stays in until other charging pays it.
    free = held - owed_of(view, name)
    if taken > free:
        raise InvalidTx(
            "guarantee_over_production", f"{wh} Wh need {taken} Wh charged with guarantees; {free} are"
        )
    view.write(NAME, b"s" + name, Stored(held - taken))


# --- what an owner does -------------------------------------------------------------------------------------


def _find(view: View, issuance: bytes, start: int) -> tuple[Issuance, GuaranteeOfOrigin]:
    found = view.read(NAME, piece_key(issuance, start), GuaranteeOfOrigin)
    record = issuance_of(view, issuance)
    if found is None or record is None:
        raise InvalidTx("guarantee_unknown", f"no guarantee {issuance.hex()[:16]} from {start}")
    return record, found


def _owned(ctx: Context, issuance: bytes, start: int) -> tuple[Issuance, GuaranteeOfOrigin]:
    """A guarantee that its owner, the sender, may do something with."""
    record, found = _find(ctx.view, issuance, start)
    if found.owner != accounts.household_of(ctx):
        raise InvalidTx("guarantee_owner", f"the guarantee belongs to home {found.owner}")
    if found.status != ACTIVE:
        raise InvalidTx("guarantee_status", f"the guarantee is {STATUS_NAMES[found.status]}")
    if settled_until(ctx.view, ctx.genesis) >= record.expiry_s:
        raise InvalidTx("guarantee_expired", f"the guarantee expired at {record.expiry_s}")
    if record.version != _newest(ctx.view, record):
        raise InvalidTx("guarantee_outdated", "the readings were corrected; guarantees.correct comes first")
    return record, found


def _newest(view: View, record: Issuance) -> int:
    """Version of the newest readings of the day of an issuance that an operator has signed."""
    return meters.operators_version(view, record.meter, record.interval_start // meters.DAY_S)


def _check_name(args: NameArgs | SplitArgs | TransferArgs | ClaimArgs, genesis: Genesis) -> None:
    if len(args.issuance) != merkle.HASH_BYTES or args.start < 0:
        raise InvalidTx("tx_args", f"guarantee {args.start} of an issuance of {len(args.issuance)} bytes")


def _check_split(args: SplitArgs, genesis: Genesis) -> None:
    _check_name(args, genesis)
    if not 2 <= len(args.parts) <= MAX_PIECES:
        raise InvalidTx("guarantee_pieces", f"{len(args.parts)} parts of 2..{MAX_PIECES}")
    if min(args.parts) <= 0:
        raise InvalidTx("guarantee_sum", f"a part of {min(args.parts)} Wh")


def _split(ctx: Context, args: SplitArgs) -> None:
    record, found = _owned(ctx, args.issuance, args.start)
    if sum(args.parts) != found.wh:
        raise InvalidTx(
            "guarantee_sum", f"the parts add up to {sum(args.parts)} Wh, the guarantee has {found.wh}"
        )
    pieces = record.pieces + len(args.parts) - 1
    if pieces > MAX_PIECES:
        raise InvalidTx("guarantee_pieces", f"the issuance would have {pieces} pieces of {MAX_PIECES}")
    start = args.start
    for wh in args.parts:
        ctx.view.write(NAME, piece_key(args.issuance, start), msgspec.structs.replace(found, wh=wh))
        start += wh
    ctx.view.write(NAME, b"i" + args.issuance, msgspec.structs.replace(record, pieces=pieces))


def _check_transfer(args: TransferArgs, genesis: Genesis) -> None:
    _check_name(args, genesis)
    if not 0 <= args.to < genesis.members:
        raise InvalidTx("tx_args", f"home {args.to} of {genesis.members}")


def _transfer(ctx: Context, args: TransferArgs) -> None:
    record, found = _owned(ctx, args.issuance, args.start)
    if args.trade_interval not in (NO_INTERVAL, record.interval_start):
        raise InvalidTx(
            "guarantee_interval", f"a trade of {args.trade_interval}, energy of {record.interval_start}"
        )
    moved = msgspec.structs.replace(found, owner=args.to, trade_interval=args.trade_interval)
    ctx.view.write(NAME, piece_key(args.issuance, args.start), moved)


def _check_claim(args: ClaimArgs, genesis: Genesis) -> None:
    _check_name(args, genesis)
    _check_readings(args.meter, (args.reading,), (args.balance,), genesis)


def _claim(ctx: Context, args: ClaimArgs) -> None:
    record, found = _owned(ctx, args.issuance, args.start)
    view, name, reading = ctx.view, args.meter, args.reading
    meter = meters.find(view, name)
    if meter.household != found.owner:
        raise InvalidTx("meter_owner", f"the meter belongs to home {meter.household}")
    if meter.kind == meters.PRODUCTION:
        raise InvalidTx("meter_kind", "the meter does not measure consumption")
    if reading.interval_start != record.interval_start:
        raise InvalidTx(
            "guarantee_interval", f"consumed at {reading.interval_start}, produced at {record.interval_start}"
        )
    meters.check_anchored(view, name, meter, reading)
    check_balanced(ctx, name, meter, reading, args.balance)
    claims = claims_of(view, name, reading.interval_start).more(found.wh).within(reading.consumption_wh)
    if claims.owed_wh:
        raise InvalidTx(
            "guarantee_over_consumption",
            f"{claims.owed_wh} Wh more would be claimed than the {reading.consumption_wh} Wh consumed",
        )
    write_claims(view, name, reading.interval_start, claims)
    if meter.kind == meters.STORAGE:
        held = (view.read(NAME, b"s" + name, Stored) or Stored(0)).wh
        view.write(NAME, b"s" + name, Stored(held + found.wh))
    status = STORED if meter.kind == meters.STORAGE else CLAIMED
    _move(view, args.issuance, args.start, status, used_by=name)


# --- the end of a guarantee -------------------------------------------------------------------------------


def _expire(ctx: Context, args: NameArgs) -> None:
    record, found = _find(ctx.view, args.issuance, args.start)
    if found.status != ACTIVE:
        raise InvalidTx("guarantee_status", f"the guarantee is {STATUS_NAMES[found.status]}")
    if settled_until(ctx.view, ctx.genesis) < record.expiry_s:
        raise InvalidTx("guarantee_not_expired", f"the guarantee is good until {record.expiry_s}")
    _move(ctx.view, args.issuance, args.start, EXPIRED)


def _withdraw(ctx: Context, args: NameArgs) -> None:
    _, found = _find(ctx.view, args.issuance, args.start)
    if found.flagged or found.status in (WITHDRAWN, CORRECTED):
        raise InvalidTx("guarantee_status", "the guarantee is withdrawn already")
    if found.status == ACTIVE:
        _move(ctx.view, args.issuance, args.start, WITHDRAWN)
    else:  # what it was used for stays visible
        key = piece_key(args.issuance, args.start)
        ctx.view.write(NAME, key, msgspec.structs.replace(found, flagged=1))


# --- corrections --------------------------------------------------------------------------------------------


def _check_correct(args: CorrectArgs, genesis: Genesis) -> None:
    balances = () if args.balance is None else (args.balance,)
    _check_readings(args.meter, (args.reading,), balances, genesis)


def _correct(ctx: Context, args: CorrectArgs) -> None:
    view, name, reading = ctx.view, args.meter, args.reading
    meter, day = meters.find(view, name), reading.interval_start // meters.DAY_S
    record = issuance_of(view, issuance_id(name, reading.interval_start))
    claims = claims_of(view, name, reading.interval_start)
    if record is None and not claims.total_wh:
        raise InvalidTx(
            "guarantee_unknown", f"nothing was issued or claimed for interval {reading.interval_start}"
        )
    newest = meters.operators_version(view, name, day)
    outdated = record if record is not None and record.version != newest else None
    corrected = claims.within(reading.consumption_wh)
    if outdated is None and corrected.owed_wh == claims.owed_wh:
        raise InvalidTx("guarantee_current", "issued and claimed is what the newest reading gives")
    anchor = meters.check_leaf(view, name, meter, reading, newest)
    if claims.total_wh:
        write_claims(view, name, reading.interval_start, corrected)
    more_wh = _correct_issued(view, name, meter, outdated, reading, newest) if outdated else 0
    if more_wh or corrected.owed_wh < claims.owed_wh:
        # An operator can take back alone, as by `withdraw`; what gives something takes both, and the settled line.
        meters.check_signed(anchor, meter, day)
        if args.balance is None:
            raise InvalidTx("balance_open", "a reading that gives something comes with its balance")
        check_balanced(ctx, name, meter, reading, args.balance)


def _correct_issued(
    view: View, name: bytes, meter: meters.Meter, record: Issuance, reading: Reading, newest: int
) -> int:
    """Make an issuance what a newer reading shows; return how much more is issued. [Wh]"""
    issuance = issuance_id(name, reading.interval_start)
    known = view.read(NAME, b"f" + name, Metered)
    assert known is not None, "an issuance without an account of its meter"
    metered_mwh = known.metered_mwh + reading.production_mwh - record.produced_mwh
    due_wh = Metered(metered_mwh, known.issued_wh).due_wh
    # What was owed before stays owed: of this issuance no more is taken back than it got too much.
    pieces, taken_wh = taken_back(pieces_of(view, issuance), max(min(known.due_wh, 0) - due_wh, 0))
    more_wh = max(due_wh, 0)
    if more_wh:
        if meter.kind == meters.STORAGE:
            _discharge(view, name, meter, more_wh)
        pieces.append((record.wh, GuaranteeOfOrigin(more_wh, meter.household, ACTIVE, 0, NO_INTERVAL, b"")))
    view.write(NAME, b"f" + name, Metered(metered_mwh, known.issued_wh + more_wh - taken_wh))
    for start, piece in pieces:
        view.write(NAME, piece_key(issuance, start), piece)
    corrected = msgspec.structs.replace(
        record,
        version=newest,
        produced_mwh=reading.production_mwh,
        wh=record.wh + more_wh,
        pieces=len(pieces),
        by_status=sums_of(pieces),
    )
    view.write(NAME, b"i" + issuance, corrected)
    return more_wh


def _move(view: View, issuance: bytes, start: int, status: int, used_by: bytes = b"") -> None:
    record, found = _find(view, issuance, start)
    sums = list(record.by_status)
    sums[found.status] -= found.wh
    sums[status] += found.wh
    view.write(NAME, b"i" + issuance, msgspec.structs.replace(record, by_status=tuple(sums)))
    moved = msgspec.structs.replace(found, status=status, used_by=used_by)
    view.write(NAME, piece_key(issuance, start), moved)


MODULE = CHAIN_MODULES.register(
    ChainModule(
        NAME,
        "Guarantees of origin in Wh, by the interval, issued from anchored readings.",
        {
            ISSUE: Method(
                "Issue what readings of a meter show was produced.",
                IssueArgs,
                frozenset({OPERATOR, HOUSEHOLD}),
                _issue,
                _check_issue,
            ),
            SPLIT: Method(
                "Cut a guarantee into parts.", SplitArgs, frozenset({HOUSEHOLD}), _split, _check_split
            ),
            TRANSFER: Method(
                "Give a guarantee to another home.",
                TransferArgs,
                frozenset({HOUSEHOLD}),
                _transfer,
                _check_transfer,
            ),
            CLAIM: Method(
                "Use a guarantee for what was consumed or stored in its interval.",
                ClaimArgs,
                frozenset({HOUSEHOLD}),
                _claim,
                _check_claim,
            ),
            CORRECT: Method(
                "Take back, or add, what a corrected reading shows less, or more, than was issued.",
                CorrectArgs,
                _ANYBODY,
                _correct,
                _check_correct,
            ),
            EXPIRE: Method("Note that a guarantee has expired.", NameArgs, _ANYBODY, _expire, _check_name),
            WITHDRAW: Method(
                "Withdraw a guarantee, or flag one that was used.",
                NameArgs,
                frozenset({OPERATOR}),
                _withdraw,
                _check_name,
            ),
        },
        (
            Entry("What was issued for a meter and interval.", b"i", (("issuance", "bytes"),), Issuance),
            Entry("A guarantee.", b"c", (("issuance", "bytes"), ("start", "u64")), GuaranteeOfOrigin),
            Entry("Energy metered and issued.", b"f", (("meter", "bytes"),), Metered),
            Entry("Claimed consumption.", b"u", (("meter", "bytes"), ("interval_start", "i64")), Used),
            Entry("Claims that no consumption stands for.", b"o", (("meter", "bytes"),), Owed),
            Entry("Energy with guarantees in a storage.", b"s", (("meter", "bytes"),), Stored),
        ),
        codes={
            "guarantee_duplicate": "A guarantee was issued for this meter and interval already.",
            "guarantee_over_production": "More energy than the reading, or than the storage was charged with.",
            "guarantee_over_consumption": "More claims than the consumption of the meter and interval.",
            "line_unknown": "The interval is not settled, or longer ago than the state keeps its root.",
            "line_proof": "The line is not that of the home in the settled interval.",
            "reading_unsettled": "The meter at the connection does not show what was settled.",
            "balance_open": "The readings of all meters of the home do not net to its settled line.",
            "guarantee_unknown": "No such guarantee.",
            "guarantee_owner": "The guarantee belongs to another home.",
            "guarantee_sum": "The parts are not positive, or do not add up to the guarantee.",
            "guarantee_pieces": "The issuance would have more pieces than the limit.",
            "guarantee_status": "The guarantee's status does not allow this.",
            "guarantee_expired": "The guarantee has expired.",
            "guarantee_outdated": "The readings that it was issued from were corrected, and it was not yet.",
            "guarantee_current": "It was issued from the newest readings of its day, or is corrected to them.",
            "guarantee_not_expired": "The guarantee has not expired yet.",
        },
        check=check_issuances,
    )
)
