"""Which settled intervals can be settled again, since readings of homes came late, and when.

The state keeps of each of the newest `RING` intervals with messages the newest version, and the hash of what that
posted, so that a later version changes the sums by the difference. Whoever wants to waste work brings one late reading
after the other. So an interval is settled again only where its age, in intervals, has more binary digits than when it
was settled last, and one time at the end: at most `AGAIN_MAX` times, and each reading that is there before the age of
`RING - LAST` has a time at which it can be settled.

    v || start / length of an interval, modulo RING, u32   the newest version of an interval
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from p2p.blocks import domains
from p2p.ledger.view import View
from p2p.wire.codec import Record, Wide, encode

RING: Final = 672
"""Intervals that can be settled again: seven days of 15 minutes."""
LAST: Final = 96
"""Of these the oldest, in which all that is left is settled once: a day of 15 minutes."""
AGAIN_MAX: Final = (RING - LAST).bit_length() + 1
"""Most times that an interval is settled after the first."""
PREFIX: Final = b"v"

Totals = tuple[tuple[Wide, ...], ...]


class Version(Record, frozen=True):
    """The newest version of a settled interval.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        version: 1 where it was settled once.
        age: Of the interval as it was settled last: how many were settled after it.
        totals: Hash of the totals of its batch.
        blob_hash: Of its batch.
    """

    interval_start: int
    version: int
    age: int
    totals: bytes
    blob_hash: bytes


def totals_hash(totals: Totals) -> bytes:
    """Hash of the totals of a batch."""
    return sha256(domains.TOTALS + encode(totals)).digest()


def newest_version(view: View, module: str, interval_start: int, step_s: int) -> Version | None:
    """The newest version of a settled interval; None for one that is too old, or has no messages.

    Args:
        module: The one that keeps them.
        step_s: Length of an interval. [s]
    """
    found = view.read(module, _key(interval_start, step_s), Version)
    return found if found is not None and found.interval_start == interval_start else None


def keep_version(view: View, module: str, step_s: int, version: Version) -> None:
    """Keep the newest version of an interval, in place of the interval that was `RING` intervals before it."""
    view.write(module, _key(version.interval_start, step_s), version)


def is_due(age: int, last: int) -> bool:
    """Whether an interval of an age may be settled again that was settled last at another age."""
    if not 0 <= last < age < RING:
        return False
    ends = RING - LAST
    return age.bit_length() > last.bit_length() or last < ends <= age


def _key(interval_start: int, step_s: int) -> bytes:
    return PREFIX + (interval_start // step_s % RING).to_bytes(4, "big")
