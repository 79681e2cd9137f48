"""What is issued of guarantees of origin: records, how they are read, and what a correction takes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from msgspec.structs import replace

from p2p.blocks import domains
from p2p.ledger.view import View
from p2p.wire.codec import Record

GUARANTEES = "guarantees"
ACTIVE, CLAIMED, STORED, EXPIRED, WITHDRAWN, CORRECTED = range(6)
STATUS_NAMES = ("active", "claimed", "stored", "expired", "withdrawn", "corrected")
"""The last one: taken back by a correction, as energy that there never was."""
_UNUSED = (ACTIVE, EXPIRED, WITHDRAWN)
USED = (CLAIMED, STORED)

MAX_PIECES = 256
"""Guarantees that one issuance may be cut into."""

NO_INTERVAL = -1
"""Settlement interval of a guarantee that was not traded."""


class Issuance(Record, frozen=True):
    """What was issued for one meter and interval.

    Args:
        version: Of the anchor it was issued from, or corrected to.
        produced_mwh: The reading of that anchor. [mWh]
        wh: Energy that was ever issued. [Wh]
        released: 1 when it came out of a storage, else 0.
        expiry_s: From when on nothing can be done with it. [s since 1970, UTC]
        pieces: Number of its guarantees.
        by_status: Energy of its guarantees in each status; sums to `wh`. [Wh]
    """

    meter: bytes
    interval_start: int
    version: int
    produced_mwh: int
    wh: int
    released: int
    expiry_s: int
    pieces: int
    by_status: tuple[int, ...]

    @property
    def counted_wh(self) -> int:
        """What counts as issued: all but what corrections took back. [Wh]"""
        return self.wh - self.by_status[CORRECTED]


class GuaranteeOfOrigin(Record, frozen=True):
    """One guarantee.

    Args:
        wh: Energy. [Wh]
        owner: Home.
        status: See STATUS_NAMES.
        flagged: 1 when it was withdrawn, or taken back by a correction, after it had been used, else 0.
        trade_interval: Settlement interval of the trade by which the owner got it, or -1.
        used_by: Meter whose consumption it was claimed for; empty before.
    """

    wh: int
    owner: int
    status: int
    flagged: int
    trade_interval: int
    used_by: bytes


class Metered(Record, frozen=True):
    """What was issued for a meter.

    Args:
        metered_mwh: Its newest readings that were issued. [mWh]
        issued_wh: Energy that was issued for them and not taken back by a correction. [Wh]
    """

    metered_mwh: int
    issued_wh: int

    @property
    def due_wh(self) -> int:
        """What the readings show and is not issued; below 0 a debt, which what is issued next pays first. [Wh]"""
        return self.metered_mwh // 1000 - self.issued_wh


class Used(Record, frozen=True):
    """How much of a consumption is claimed, and how much there was at the last claim or correction of claims. [Wh]"""

    claimed_wh: int
    consumed_wh: int


class Owed(Record, frozen=True):
    """Claims of a meter that a correction left without consumption, and no other consumption has paid yet. [Wh]"""

    wh: int


@dataclass(frozen=True, slots=True)
class Claims:
    """What is claimed for the consumption of a meter.

    Args:
        claimed_wh: Of one interval. [Wh]
        consumed_wh: In that interval, when this was last known. [Wh]
        owed_wh: Claims that no interval stands for. [Wh]
    """

    claimed_wh: int
    consumed_wh: int
    owed_wh: int

    @property
    def total_wh(self) -> int:
        """Of the interval and of none. [Wh]"""
        return self.claimed_wh + self.owed_wh

    def more(self, wh: int) -> Claims:
        """With a further claim. [Wh]"""
        return Claims(self.claimed_wh, self.consumed_wh, self.owed_wh + wh)

    def within(self, consumed_wh: int) -> Claims:
        """After the interval took as many claims as its consumption allows; the others are owed."""
        claimed_wh = min(self.total_wh, consumed_wh)
        return Claims(claimed_wh, consumed_wh, self.total_wh - claimed_wh)


class Stored(Record, frozen=True):
    """Energy with guarantees in a storage, before the losses. [Wh]"""

    wh: int


def issuance_id(meter: bytes, interval_start: int) -> bytes:
    """Name of what is issued for a meter and interval; there is one."""
    return sha256(domains.ISSUANCE + meter + interval_start.to_bytes(8, "big", signed=True)).digest()


def issuance_of(view: View, issuance: bytes) -> Issuance | None:
    """An issuance, or None."""
    return view.read(GUARANTEES, b"i" + issuance, Issuance)


def pieces_of(view: View, issuance: bytes) -> list[tuple[int, GuaranteeOfOrigin]]:
    """The guarantees of an issuance with their starts, in order; stops where one is missing."""
    found, start = [], 0
    while (
        piece := view.read(GUARANTEES, piece_key(issuance, start), GuaranteeOfOrigin)
    ) is not None and piece.wh > 0:
        found.append((start, piece))
        start += piece.wh
    return found


def piece_key(issuance: bytes, start: int) -> bytes:
    """Key of the entry of a guarantee."""
    return b"c" + issuance + start.to_bytes(8, "big")


def claims_of(view: View, meter: bytes, interval_start: int) -> Claims:
    """What is claimed for a meter in an interval, and what it owes."""
    used = view.read(GUARANTEES, used_key(meter, interval_start), Used) or Used(0, 0)
    return Claims(used.claimed_wh, used.consumed_wh, owed_of(view, meter))


def owed_of(view: View, meter: bytes) -> int:
    """Claims of a meter that no consumption stands for. [Wh]"""
    return (view.read(GUARANTEES, b"o" + meter, Owed) or Owed(0)).wh


def write_claims(view: View, meter: bytes, interval_start: int, claims: Claims) -> None:
    """Keep what is claimed for a meter in an interval, and what it owes."""
    view.write(GUARANTEES, used_key(meter, interval_start), Used(claims.claimed_wh, claims.consumed_wh))
    if claims.owed_wh != owed_of(view, meter):
        view.write(GUARANTEES, b"o" + meter, Owed(claims.owed_wh))


def used_key(meter: bytes, interval_start: int) -> bytes:
    """Key of the entry of the claims of an interval."""
    return b"u" + meter + interval_start.to_bytes(8, "big", signed=True)


Pieces = list[tuple[int, GuaranteeOfOrigin]]


def sums_of(pieces: Pieces) -> tuple[int, ...]:
    """Energy of guarantees by status. [Wh]"""
    return tuple(
        sum(piece.wh for _, piece in pieces if piece.status == one) for one in range(len(STATUS_NAMES))
    )


def taken_back(pieces: Iterable[tuple[int, GuaranteeOfOrigin]], wh: int) -> tuple[Pieces, int]:
    """Take energy back from the end of an issuance: what nobody has used, and for the rest flag what was used.

    Args:
        pieces: With their starts, in order.
        wh: How much. [Wh]

    Returns:
        The pieces after it, one of them cut in two where only a part of it is taken, and how much was taken. [Wh]
    """
    left, after = wh, Pieces()
    for start, piece in reversed(list(pieces)):
        taken = min(left, piece.wh) if piece.status in _UNUSED else 0
        left -= taken
        if taken:
            after.append((start + piece.wh - taken, replace(piece, wh=taken, status=CORRECTED)))
        if piece.wh > taken:
            after.append((start, replace(piece, wh=piece.wh - taken)))
    taken_wh = wh - left
    for i, (start, piece) in enumerate(after):
        if left > 0 and piece.status in USED:
            after[i] = start, replace(piece, flagged=1)
            left -= piece.wh
    return after[::-1], taken_wh
