"""Names on the wire that the market's roles share: protocols, topics, questions, batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from p2p.errors import OutOfRange, RemoteError, WrongChain, WrongVersion
from p2p.wire.codec import DEFAULT_MAX_BYTES, Record, decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.messages import VERSION

BID_PROTOCOL: Final = "/wattswap/bid/1"
"""A signed order or "nothing" -> a signed receipt."""
READING_PROTOCOL: Final = "/wattswap/reading/1"
"""A signed meter reading -> a signed receipt."""
LINE_PROTOCOL: Final = "/wattswap/line/1"
"""An IntervalQuery -> the asking home's settlement line with its proof; empty while it is not ready."""
RESULT_PROTOCOL: Final = "/wattswap/result/2"
"""An IntervalQuery -> the BatchProof of the interval, for peers that missed the gossip; or empty."""
BATCH_PROTOCOL: Final = "/wattswap/batch/1"
"""A HandIn of signed orders, "nothing" and readings -> a HandInReply with a receipt for each."""
LINES_PROTOCOL: Final = "/wattswap/lines/1"
"""A HandIn of signed questions for lines -> a HandInReply with a line for each, empty while it is not ready."""
INCLUSION_PROTOCOL: Final = "/wattswap/inclusion/3"
"""A SlotQuery -> the opening of the asking home's leaf in the batch's inclusion root; or empty."""
INCLUSIONS_PROTOCOL: Final = "/wattswap/inclusions/1"
"""A HandIn of signed questions for lines -> a HandInReply with an opening for each, or empty."""
POSITION_PROTOCOL: Final = "/wattswap/position/3"
"""A SlotQuery -> what the asking home has bought and sold in the rounds so far, a Position, or what its orders for a
horizon do, a Moves, once the gate of the round is closed; or empty."""
POSITIONS_PROTOCOL: Final = "/wattswap/positions/1"
"""A HandIn of signed questions for lines -> a HandInReply with a Position or a Moves for each, or empty."""
CLOSING_PROTOCOL: Final = "/wattswap/closing/1"
"""A CloseQuery of a collector -> a CloseReply of a validator, once the gate of the slot has ended."""
CLOSINGS_PROTOCOL: Final = "/wattswap/closings/1"
"""A SlotQuery about a settled interval -> a Closings of that slot; empty while it is not settled."""
OPENING_PROTOCOL: Final = "/wattswap/opening/1"
"""An OpenQuery of a collector -> an OpenReply of a validator, once the chain has taken the closed orders."""
LATE_PROTOCOL: Final = "/wattswap/late/1"
"""A HandIn of signed readings of settled intervals -> a HandInReply, each entry empty or the code of a refusal."""
EVIDENCE_PROTOCOL: Final = "/wattswap/evidence/1"
"""An Accusation -> nothing; the validator puts it on the chain if it proves something."""

TRANSIENT: Final = frozenset({"handler_timeout", "stalled"})
"""Codes of refusals after which the same question is asked again."""
NOT_QUEUED: Final = "not_queued"
"""Code of a validator that has no room for what a right proof makes."""
BATCH_MAX: Final = 512
"""Most messages of a batch."""
REFUSED_MARK: Final = b"!"
"""First byte of an entry of a reply that is the code of a refusal; no receipt and no proof begins with it."""


class TooEarly(RemoteError):
    """A message of an interval that has not opened here, by a key that this node may learn of until then."""

    code = "early"


EARLY_ENTRY: Final = REFUSED_MARK + TooEarly.code.encode()
"""Entry of a message that must be sent again."""


class Forgotten(RemoteError):
    """A question for an interval that was skipped or is older than what the collector keeps."""

    code = "forgotten"


class IntervalQuery(Record, frozen=True):
    """A question about one interval.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
    """

    version: int
    chain_id: bytes
    interval_start: int


class SlotQuery(Record, frozen=True):
    """A question about one slot of an interval.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        slot: Round of its market, from 0; behind all rounds, the readings.
    """

    version: int
    chain_id: bytes
    interval_start: int
    slot: int


class CloseQuery(Record, frozen=True):
    """A collector's demand that a validator closes a slot of the interval that is settled next.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        slot: See `SlotQuery`.
        wanted: Homes whose messages the collector lacks, by their places in the roster.
    """

    version: int
    chain_id: bytes
    interval_start: int
    slot: int
    wanted: tuple[int, ...]


class OpenQuery(Record, frozen=True):
    """A collector's question for the shares of a validator.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        name: Hash of its closed orders.
    """

    version: int
    chain_id: bytes
    interval_start: int
    name: bytes


class OpenReply(Record, frozen=True):
    """What a validator finds in closed orders.

    Args:
        shares: Of each envelope that is sealed to the validators, 32 bytes in order; empty where its piece is junk.
        word: Canonical bytes of its `JunkWord` about those; empty where there are none.
    """

    shares: tuple[bytes, ...]
    word: bytes


class CloseReply(Record, frozen=True):
    """What a validator has promised in a slot.

    Args:
        closing: Canonical bytes of its `Closing`.
        messages: Signed messages of the homes that were wanted, as far as it has them and they fit.
    """

    closing: bytes
    messages: tuple[bytes, ...]


class Closings(Record, frozen=True):
    """The closings in the blob of a settled interval, of one slot; each as canonical bytes."""

    closings: tuple[bytes, ...]


class Accusation(Record, frozen=True):
    """A proof of a home against a collector or validator.

    Args:
        method: Of the chain module `evidence`: "omission" or "broken_promise".
        proof: Its canonical bytes.
    """

    version: int
    chain_id: bytes
    method: str
    proof: bytes


class HandIn(Record, frozen=True):
    """Signed messages of several homes, carried by a gateway that signs nothing itself."""

    version: int
    chain_id: bytes
    messages: tuple[bytes, ...]


class HandInReply(Record, frozen=True):
    """One entry for each message: a signed receipt, a line, or REFUSED_MARK and a code."""

    entries: tuple[bytes, ...]


class Position(Record, frozen=True):
    """What a home has bought and sold in an interval up to a round, before it is settled; its line proves it. [Wh]"""

    version: int
    chain_id: bytes
    interval_start: int
    round: int
    bought_wh: int
    sold_wh: int


class Moves(Record, frozen=True):
    """What orders of a home do in an interval that is the first of a horizon, before it is settled.

    Args:
        energy_wh: Of each of its orders that can move something in that interval, in the order of its message: bought,
            or into a storage, negative where it is sold or given. [Wh]
    """

    version: int
    chain_id: bytes
    interval_start: int
    round: int
    energy_wh: tuple[int, ...]


def result_topic(chain_id: bytes) -> str:
    """The gossip topic of results; chains that share a network have topics of their own."""
    return f"/wattswap/{chain_id[:8].hex()}/result/1"


def ask(chain_id: bytes, interval_start: int) -> bytes:
    """The bytes of a query."""
    return encode(IntervalQuery(VERSION, chain_id, interval_start))


def ask_slot(chain_id: bytes, interval_start: int, slot: int) -> bytes:
    """The bytes of a query about a slot."""
    return encode(SlotQuery(VERSION, chain_id, interval_start, slot))


def read_query(data: bytes, chain_id: bytes) -> int:
    """Return the interval start a query asks for.

    Raises:
        RemoteError: Not a query, or one for another chain or version.
    """
    return _read(IntervalQuery, data, chain_id, 128).interval_start


def read_slot_query(data: bytes, chain_id: bytes, slots: int) -> tuple[int, int]:
    """Return the interval start and the slot that a query asks for.

    Args:
        slots: How many there are for it.

    Raises:
        RemoteError: Not a query, one for another chain or version, or for a slot that there is not.
    """
    query = _read(SlotQuery, data, chain_id, 128)
    check_round(query.slot, slots)
    return query.interval_start, query.slot


def read_close_query(data: bytes, chain_id: bytes, slots: int, homes: int) -> CloseQuery:
    """Read a demand to close a slot.

    Args:
        slots: Of an interval.
        homes: Of the roster.

    Raises:
        RemoteError: Not a demand, one for another chain or version, or for a slot or home that there is not.
    """
    query = _read(CloseQuery, data, chain_id, DEFAULT_MAX_BYTES)
    check_round(query.slot, slots)
    if any(not 0 <= home < homes for home in query.wanted):
        raise OutOfRange(f"a home beyond the {homes} of the roster is wanted")
    return query


def read_open_query(data: bytes, chain_id: bytes) -> OpenQuery:
    """Read a question for shares.

    Raises:
        RemoteError: Not one, or one for another chain or version.
    """
    return _read(OpenQuery, data, chain_id, DEFAULT_MAX_BYTES)


def read_accusation(data: bytes, chain_id: bytes, max_bytes: int) -> Accusation:
    """Read an accusation, its proof unchecked.

    Raises:
        RemoteError: Not an accusation, too large, or one for another chain or version.
    """
    return _read(Accusation, data, chain_id, max_bytes)


def check_round(number: int, rounds: int) -> None:
    """Raise `OutOfRange` unless there are so many rounds, or slots, that this is one."""
    if not 0 <= number < rounds:
        raise OutOfRange(f"round is {number}; it must lie in 0..{rounds - 1}")


def read_batch(data: bytes, chain_id: bytes) -> tuple[bytes, ...]:
    """Return the messages of a batch.

    Raises:
        RemoteError: Not a batch, too many messages, or one for another chain or version.
    """
    messages = _read(HandIn, data, chain_id, FRAME_MAX_BYTES).messages
    if len(messages) > BATCH_MAX:
        raise OutOfRange(f"a batch of {len(messages)} messages; the limit is {BATCH_MAX}")
    return messages


def read_position(data: bytes, chain_id: bytes, interval_start: int, number: int, most_wh: int) -> int:
    """Return what a home has bought less what it has sold. [Wh]

    Args:
        most_wh: The most that it can have bought or sold in all rounds together. [Wh]

    Raises:
        RemoteError: Not a position, one of another round, interval, chain or version, or one outside its range.
    """
    position = _read(Position, data, chain_id, 128)
    if (position.interval_start, position.round) != (interval_start, number):
        raise OutOfRange(
            f"the position of {position.interval_start}, round {position.round};"
            f" asked for {interval_start}, round {number}"
        )
    bought_wh, sold_wh = position.bought_wh, position.sold_wh
    if not 0 <= min(bought_wh, sold_wh) <= max(bought_wh, sold_wh) <= most_wh:
        raise OutOfRange(f"{bought_wh} Wh bought and {sold_wh} Wh sold; each must lie in 0..{most_wh}")
    return bought_wh - sold_wh


def read_moves(
    data: bytes, chain_id: bytes, interval_start: int, number: int, ranges: Sequence[tuple[int, int]]
) -> tuple[int, ...]:
    """Return what orders of a home do in the first interval of a horizon. [Wh]

    Args:
        ranges: The least and the most that each of them can do. [Wh]

    Raises:
        RemoteError: No such answer, one of another round, interval, chain or version, or one that is impossible.
    """
    moves = _read(Moves, data, chain_id, DEFAULT_MAX_BYTES)
    if (moves.interval_start, moves.round) != (interval_start, number):
        raise OutOfRange(
            f"the answer of {moves.interval_start}, round {moves.round}; asked for {interval_start}, round {number}"
        )
    if len(moves.energy_wh) != len(ranges):
        raise OutOfRange(f"an answer for {len(moves.energy_wh)} orders; there are {len(ranges)}")
    for energy_wh, (least, most) in zip(moves.energy_wh, ranges, strict=True):
        if not least <= energy_wh <= most:
            raise OutOfRange(f"an order does {energy_wh} Wh; it can do {least}..{most} Wh")
    return moves.energy_wh


Q = TypeVar("Q", IntervalQuery, SlotQuery, CloseQuery, OpenQuery, Accusation, HandIn, Position, Moves)


def _read(kind: type[Q], data: bytes, chain_id: bytes, max_bytes: int) -> Q:
    query = decode(kind, data, max_bytes=max_bytes)
    if query.version != VERSION:
        raise WrongVersion(f"version {query.version}; this program supports {VERSION}")
    if query.chain_id != chain_id:
        raise WrongChain(f"chain {query.chain_id.hex()[:16]}; this is chain {chain_id.hex()[:16]}")
    return query
