"""Standing orders: what the homes stated last, for an interval that nobody could state any orders for.

After an outage the gates of some intervals have passed before anybody could collect: they are missed, and their blobs
hold readings only, or few orders. Where homes state limits and the meters give the quantities, the limits of the last
interval that was not missed apply in these, for the homes that were not able to state others. Each blob carries them,
so that an interval is recomputed from its own blob; they follow from the blob of the interval before, so that nobody
chooses them. An interval is missed where at most half as many homes have spoken as limits could apply, so that one
home that works with a validator cannot end the limits of all.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from p2p.batches.blob import MAX_BLOB_BYTES, Blob, Line
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import Members
from p2p.errors import NotAMember
from p2p.wire.codec import decode, encode
from p2p.wire.messages import Kind


class Standing(NamedTuple):
    """The orders that apply in an interval.

    Args:
        interval_start: The interval in which they stand. [s since 1970, UTC]
        signed_start: The interval that they were signed for; 0 where there are none. [s since 1970, UTC]
        lines: In roster order.
    """

    interval_start: int
    signed_start: int
    lines: tuple[Line, ...]


def none_in(interval_start: int) -> Standing:
    """No orders, in an interval."""
    return Standing(interval_start, 0, ())


def spoken_in(data: bytes) -> frozenset[int]:
    """The homes that have said in the interval of a blob what they order, or that they order nothing.

    Raises:
        RemoteError: Malformed, or not canonical.
    """
    return decode(Blob, data, max_bytes=MAX_BLOB_BYTES).spoken


def standing_in(data: bytes) -> Standing:
    """What a blob says that applies in its interval.

    Raises:
        RemoteError: Malformed, or not canonical.
    """
    blob = decode(Blob, data, max_bytes=MAX_BLOB_BYTES)
    return Standing(blob.interval_start, blob.standing_start, blob.standing)


def standing_after(before: bytes, genesis: Genesis, members: Members) -> Standing:
    """What could apply in the interval after that of a blob.

    The blob's own orders; where it was missed, too, those that applied in it. A home that has left has none, nor one
    that was not there, or said that it has none.

    Args:
        before: A blob that the chain has settled, so that its signatures are checked; of a market of one round.

    Raises:
        RemoteError: Malformed, or not canonical.
    """
    blob = decode(Blob, before, max_bytes=MAX_BLOB_BYTES)
    interval_start = blob.interval_start + genesis.params.minutes * 60
    signed_start, lines = blob.standing_start, blob.standing
    if blob.spoken and not blob.standing:
        signed_start = blob.interval_start
        lines = tuple(line for line in blob.lines if line.kind == Kind.ORDER)
    here = tuple(line for line in lines if _is_member(members, line.participant, interval_start))
    return Standing(interval_start, signed_start, here) if here else none_in(interval_start)


def standing_for(data: bytes, before: bytes, genesis: Genesis, members: Members) -> Standing:
    """What applies in the interval of a blob: what could, of the homes that have not spoken in it, if it is missed.

    Args:
        before: Blob of the interval before, as for `standing_after`.

    Raises:
        RemoteError: One is malformed, or not canonical.
    """
    could, spoken = standing_after(before, genesis, members), spoken_in(data)
    left = tuple(line for line in could.lines if line.participant not in spoken)
    if not left or 2 * len(spoken) > len(could.lines):
        return none_in(could.interval_start)
    return could._replace(lines=left)


def with_standing(data: bytes, standing: Standing) -> bytes:
    """The same blob with the orders that apply in its interval.

    Args:
        data: Canonical bytes of a blob.
    """
    blob = decode(Blob, data, max_bytes=MAX_BLOB_BYTES)
    return encode(replace(blob, standing_start=standing.signed_start, standing=standing.lines))


def _is_member(members: Members, participant: int, interval_start: int) -> bool:
    try:
        members.check_term(members.ids[participant], interval_start)
    except NotAMember:
        return False
    return True
