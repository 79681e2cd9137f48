"""What always holds of guarantees of origin at the end of a block: no energy is certified or claimed from nowhere."""

from __future__ import annotations

from collections import Counter

from p2p.blocks.genesis import Genesis
from p2p.errors import BrokenInvariant
from p2p.ledger.issuances import (
    GUARANTEES,
    USED,
    GuaranteeOfOrigin,
    Issuance,
    Metered,
    Owed,
    Stored,
    Used,
    issuance_of,
    pieces_of,
    sums_of,
)
from p2p.ledger.view import View
from p2p.wire.codec import decode


def check_issuances(view: View, genesis: Genesis, height: int) -> None:
    """Raise unless what a block has changed of guarantees adds up.

    Raises:
        BrokenInvariant: Names the issuance or the meter.
    """
    counted = _check_tiled(view, height)
    _check_accounts(view, height, counted)
    _check_claims(view, height)


def _check_tiled(view: View, height: int) -> Counter[bytes]:
    """Return by how much what counts as issued has changed for each meter. [Wh]"""
    counted = Counter[bytes]()
    touched = view.touched(GUARANTEES)
    for issuance in sorted({key[1:33] for key in touched if key[:1] in (b"i", b"c")}):
        record, pieces = issuance_of(view, issuance), pieces_of(view, issuance)
        sums = sums_of(pieces)
        if (
            record is None
            or (sums, len(pieces)) != (record.by_status, record.pieces)
            or sum(sums) != record.wh
        ):
            raise BrokenInvariant(height, GUARANTEES, f"issuance {issuance.hex()[:16]} gained or lost energy")
        before = view.before(GUARANTEES, b"i" + issuance)
        counted[record.meter] += record.counted_wh - (decode(Issuance, before).counted_wh if before else 0)
    return counted


def _check_accounts(view: View, height: int, counted: Counter[bytes]) -> None:
    for key in view.touched(GUARANTEES):
        if key[:1] == b"f":
            known = view.read(GUARANTEES, key, Metered)
            before = view.before(GUARANTEES, key)
            issued_wh = decode(Metered, before).issued_wh if before else 0
            if known is None or known.due_wh > 0 or known.issued_wh - issued_wh != counted.pop(key[1:], 0):
                raise BrokenInvariant(
                    height, GUARANTEES, f"meter {key[1:].hex()[:16]}: issued is not what was metered"
                )
        if key[:1] == b"s" and (view.read(GUARANTEES, key, Stored) or Stored(-1)).wh < 0:
            raise BrokenInvariant(height, GUARANTEES, f"storage {key[1:].hex()[:16]} gave more than it had")
    for meter, change_wh in sorted(counted.items()):
        if change_wh:
            raise BrokenInvariant(
                height, GUARANTEES, f"meter {meter.hex()[:16]}: issued, and not in its account"
            )


def _check_claims(view: View, height: int) -> None:
    """Guarantees that were used for a meter are its claims and what it owes, no interval has too many of them."""
    used_wh = Counter[bytes]()
    for key in view.touched(GUARANTEES):
        if key[:1] == b"u":
            used = view.read(GUARANTEES, key, Used)
            if used is None or not 0 <= used.claimed_wh <= used.consumed_wh:
                raise BrokenInvariant(
                    height, GUARANTEES, f"meter {key[1:33].hex()[:16]}: more claimed than consumed"
                )
        for value, sign in ((view.get(GUARANTEES, key), 1), (view.before(GUARANTEES, key), -1)):
            if value is not None:
                meter, wh = _use(key, value)
                used_wh[meter] += sign * wh
    for meter, change_wh in sorted(used_wh.items()):
        if change_wh:
            raise BrokenInvariant(
                height, GUARANTEES, f"meter {meter.hex()[:16]}: claims are not what was used for it"
            )


def _use(key: bytes, value: bytes) -> tuple[bytes, int]:
    """Of an entry: a meter, and the energy used for it, or less than 0 what it has claimed or owes. [Wh]"""
    if key[:1] == b"u":
        return key[1:33], -decode(Used, value).claimed_wh
    if key[:1] == b"o":
        return key[1:], -decode(Owed, value).wh
    if key[:1] == b"c":
        piece = decode(GuaranteeOfOrigin, value)
        return piece.used_by, piece.wh if piece.status in USED else 0
    return b"", 0
