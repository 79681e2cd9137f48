"""What module `certificates` stores and takes: records of its entries and of its methods' arguments."""

from __future__ import annotations

from hashlib import sha256

from p2p.blocks import domains
from p2p.ledger.modules.meters import Reading
from p2p.ledger.view import View
from p2p.wire.codec import Record

NAME = "certificates"
ISSUE = "issue"
SPLIT = "split"
TRANSFER = "transfer"
CLAIM = "claim"
EXPIRE = "expire"
WITHDRAW = "withdraw"

ACTIVE, CLAIMED, STORED, EXPIRED, WITHDRAWN = range(5)
STATUS_NAMES = ("active", "claimed", "stored", "expired", "withdrawn")

MAX_READINGS = 96
MAX_PIECES = 256
"""Certificates that one issuance may be cut into."""

NO_INTERVAL = -1


class Issuance(Record, frozen=True):
    """What was issued for one meter and interval.

    Args:
        version: Of the anchor it was issued from.
        wh: Energy. [Wh]
        released: 1 when it came out of a storage, else 0.
        expiry_s: From when on nothing can be done with it. [s since 1970, UTC]
        pieces: Number of its certificates.
        by_status: Energy of its certificates in each status; sums to `wh`. [Wh]
    """

    meter: bytes
    interval_start: int
    version: int
    wh: int
    released: int
    expiry_s: int
    pieces: int
    by_status: tuple[int, ...]


class Certificate(Record, frozen=True):
    """One certificate.

    Args:
        wh: Energy. [Wh]
        owner: Household.
        status: See STATUS_NAMES.
        flagged: 1 when it was withdrawn after it had been claimed, stored or expired, else 0.
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
    """Readings of a meter that were issued, and the whole Wh of them. [mWh, Wh]"""

    metered_mwh: int
    issued_wh: int


class Used(Record, frozen=True):
    """How much of a consumption is claimed, and how much there was at the last claim. [Wh]"""

    claimed_wh: int
    consumed_wh: int


class Stored(Record, frozen=True):
    """Energy with certificates in a storage, before the losses. [Wh]"""

    wh: int


class IssueArgs(Record, frozen=True):
    """Arguments of certificates.issue: one issuance for each reading."""

    meter: bytes
    readings: tuple[Reading, ...]


class SplitArgs(Record, frozen=True):
    """Arguments of certificates.split: the parts follow each other within the certificate. [Wh]"""

    issuance: bytes
    start: int
    parts: tuple[int, ...]


class TransferArgs(Record, frozen=True):
    """Arguments of certificates.transfer: to another household; the settlement interval of the trade or -1."""

    issuance: bytes
    start: int
    to: int
    trade_interval: int


class ClaimArgs(Record, frozen=True):
    """Arguments of certificates.claim: for a consumption, or the charging of a storage, of the same interval."""

    issuance: bytes
    start: int
    meter: bytes
    reading: Reading


class NameArgs(Record, frozen=True):
    """Arguments of certificates.expire and certificates.withdraw."""

    issuance: bytes
    start: int


def issuance_id(meter: bytes, interval_start: int) -> bytes:
    """Name of what is issued for a meter and interval; there is one."""
    return sha256(domains.ISSUANCE + meter + interval_start.to_bytes(8, "big", signed=True)).digest()


def issuance_of(view: View, issuance: bytes) -> Issuance | None:
    """An issuance, or None."""
    return view.read(NAME, b"i" + issuance, Issuance)


def pieces_of(view: View, issuance: bytes) -> list[tuple[int, Certificate]]:
    """The certificates of an issuance with their starts, in order; stops where one is missing."""
    found, start = [], 0
    while (piece := view.read(NAME, piece_key(issuance, start), Certificate)) is not None and piece.wh > 0:
        found.append((start, piece))
        start += piece.wh
    return found


def piece_key(issuance: bytes, start: int) -> bytes:
    """Key of the entry of a certificate."""
    return b"c" + issuance + start.to_bytes(8, "big")
