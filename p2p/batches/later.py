"""Later versions of an interval: the blob of the version before, and readings that came late.

Orders, closings, limits that stand and the secret are as before, and no reading is left out or changed. So a later
version says of who spoke in time what the one before said, and whoever has readings of others can only add them.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from p2p.batches.blob import MAX_BLOB_BYTES, Blob, make_blob
from p2p.errors import RemoteError
from p2p.wire.codec import decode, encode
from p2p.wire.messages import Kind


class NotLater(RemoteError):
    """A blob that is not that of the version before with more readings."""

    code = "not_later"


def read_by(data: bytes) -> frozenset[int]:
    """Places in the roster of the homes whose readings a blob holds.

    Raises:
        RemoteError: The blob is malformed.
    """
    blob = decode(Blob, data, max_bytes=MAX_BLOB_BYTES)
    return frozenset(line.participant for line in blob.lines if line.kind == Kind.READING)


def with_readings(data: bytes, roster: Sequence[str], signed: Sequence[bytes]) -> bytes:
    """The blob of the next version: the same with more readings, and without a solution, which may be another now.

    Args:
        data: Canonical bytes of the blob of the version before.
        roster: Home ids.
        signed: Signed readings of the interval, verified, of homes of which the blob has none.
    """
    before = decode(Blob, data, max_bytes=MAX_BLOB_BYTES)
    added = decode(
        Blob,
        make_blob(roster, before.interval_start, before.interval_secret, signed),
        max_bytes=MAX_BLOB_BYTES,
    )
    readings = (line for line in (*before.lines, *added.lines) if line.kind == Kind.READING)
    lines = (
        *(line for line in before.lines if line.kind != Kind.READING),
        *sorted(readings, key=lambda line: line.participant),
    )
    return encode(replace(before, lines=lines, solution=b""))


def check_later(data: bytes, before: bytes) -> None:
    """Raise unless a blob is that of the version before with one more reading or several; its lines are unchecked.

    Args:
        data: Canonical bytes.
        before: Of the version before.

    Raises:
        NotLater: It is not.
        RemoteError: One of the two is malformed.
    """
    later, former = (decode(Blob, part, max_bytes=MAX_BLOB_BYTES) for part in (data, before))
    known = set(map(encode, former.lines))
    added = [line for line in later.lines if encode(line) not in known]
    if not added or any(line.kind != Kind.READING for line in added):
        raise NotLater(f"{len(added)} new lines; a later version has more readings, and nothing else")
    new = set(map(encode, added))
    same = tuple(line for line in later.lines if encode(line) not in new)
    if replace(later, lines=same, solution=former.solution) != former:
        raise NotLater("it leaves out or changes what the version before holds")
