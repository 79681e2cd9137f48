"""Readings against the settled line of their home: nothing is certified but what was settled.

A home has meters behind its connection, of generation, consumption and storages, or one at it (kind BOTH). In every
interval those behind it close the balance of the home,

    production + import + discharge = consumption + export + charge

and the one at the connection shows what the line has. Whoever uses a reading brings those of all meters of the home,
so that none is left out; a meter that is not there yet, or not any more, is anchored with zeros. So are the meters
behind the connection where the one at it counts, and the other way round: both would certify the same energy.
"""

from __future__ import annotations

from collections.abc import Sequence

from market.settlement.accounts import EXPORT, IMPORT
from p2p.batches.batch import Entry, open_entry
from p2p.errors import BadProof, InvalidTx
from p2p.ledger.modules import meters
from p2p.ledger.modules.meters import Meter, Reading
from p2p.ledger.modules.settlement import kept_root
from p2p.ledger.view import Context
from p2p.wire.codec import Record

ROUNDING_MWH = 1_000
"""Registers of a line have whole Wh: one differs by less than this from what a meter shows, two by less than twice."""


class Balance(Record, frozen=True):
    """What shows that a reading is that of the settled line of its home.

    Args:
        entry: The line, as in a proof of it.
        salt: Of the line.
        path: Inclusion path of the line, 32 bytes a step.
        others: Readings of the other meters of the home, in ascending order of the meters' names.
    """

    entry: bytes
    salt: bytes
    path: bytes
    others: tuple[Reading, ...]


def check_balanced(ctx: Context, name: bytes, meter: Meter, reading: Reading, balance: Balance) -> None:
    """Raise unless the readings of all meters of a home, each anchored, are those of its settled line.

    Args:
        reading: Of the meter; its anchor has been checked.

    Raises:
        InvalidTx: Says which of it is not so.
    """
    line = _line(ctx, meter.household, reading.interval_start, balance)
    others = [other for other in meters.names_of(ctx.view, meter.household) if other != name]
    if len(balance.others) != len(others):
        raise InvalidTx("balance_open", f"{len(balance.others)} readings of {len(others)} other meters")
    shown = [(meter, reading)]
    for other, its in zip(others, balance.others, strict=True):
        if its.interval_start != reading.interval_start:
            raise InvalidTx("guarantee_interval", f"{its.interval_start} beside {reading.interval_start}")
        found = meters.find(ctx.view, other)
        meters.check_anchored(ctx.view, other, found, its)
        shown.append((found, its))
    at_connection = [its for one, its in shown if one.kind == meters.BOTH]
    behind = [its for one, its in shown if one.kind != meters.BOTH]
    if meter.kind == meters.BOTH:
        _check_zero(behind)
        _check_connection(at_connection, line)
    else:
        _check_zero(at_connection)
        _check_closed(behind, line)


def _line(ctx: Context, household: int, interval_start: int, balance: Balance) -> Entry:
    genesis = ctx.genesis
    root = kept_root(ctx.view, genesis, interval_start)
    if root is None:
        raise InvalidTx("line_unknown", f"interval {interval_start} is not settled, or too long ago")
    accounts = genesis.members + len(genesis.account_names)
    try:
        line = open_entry(
            balance.entry, balance.salt, balance.path, members=genesis.members, accounts=accounts, root=root
        )
    except BadProof as error:
        raise InvalidTx("line_proof", error.detail) from None
    if line.account != household:
        raise InvalidTx("line_proof", f"the line is of account {line.account}, the meter of home {household}")
    return line


def _check_zero(readings: Sequence[Reading]) -> None:
    if any(reading.production_mwh or reading.consumption_mwh for reading in readings):
        raise InvalidTx("balance_open", "meters at the connection and behind it show the same energy")


def _check_connection(readings: Sequence[Reading], line: Entry) -> None:
    for what, shown_mwh, settled_wh in (
        ("exported", sum(reading.production_mwh for reading in readings), line.values[EXPORT]),
        ("imported", sum(reading.consumption_mwh for reading in readings), line.values[IMPORT]),
    ):
        if abs(shown_mwh - settled_wh * 1000) >= ROUNDING_MWH:
            raise InvalidTx("reading_unsettled", f"{shown_mwh} mWh {what}, {settled_wh} Wh settled")


def _check_closed(readings: Sequence[Reading], line: Entry) -> None:
    net_mwh = sum(reading.production_mwh - reading.consumption_mwh for reading in readings)
    settled_wh = line.values[EXPORT] - line.values[IMPORT]
    if abs(net_mwh - settled_wh * 1000) >= 2 * ROUNDING_MWH:
        raise InvalidTx("balance_open", f"the meters net {net_mwh} mWh, the settled line {settled_wh} Wh")
