"""The blob of one interval: every signed message behind a settlement batch, without what is on the chain.

A message is stored as its numbers and its signature. The bytes that were signed follow from the roster, the chain and
the interval, so a reader checks every signature again and need not trust the sender. The order is canonical (by round,
then roster order, within each kind), so that the same messages always give the same blob. Where messages are missing,
closings of validators follow them, see `closings`; where most orders are missing, orders of an earlier interval may
take their place, see `standing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

from msgspec.structs import replace

from p2p.batches.closed_orders import ClosedOrders, Opened, open_closed, read_closed
from p2p.batches.closings import Closing, check_closing, check_slot
from p2p.blocks import domains
from p2p.blocks.block import MAX_VALIDATORS
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import Members, Rotated, none_rotated
from p2p.errors import Malformed, RemoteError, UnknownHousehold
from p2p.wire.codec import Record, decode, encode
from p2p.wire.messages import (
    VERSION,
    HandedIn,
    KeyOf,
    Kind,
    NothingMessage,
    OrderLine,
    OrderMessage,
    ReadingMessage,
    Said,
    Signed,
    kind_of,
    open_message,
)

BLOB_VERSION = 6
NOTHING_OPENED = Opened((), (), ())
SECRET_BYTES = 32
MAX_BLOB_BYTES = 16 * 1024 * 1024


class Line(Record, frozen=True):
    """One signed message.

    Args:
        participant: Index of the home in the roster.
        kind: Kind byte of the message.
        round: Of the message; 0 for a reading, which has none.
        nonce: Of the message.
        orders: The orders of an order message; else none.
        numbers: What a reading holds beyond home and interval, in the order of its fields.
        signature: By the home, of a reading by its meter where that has a key.
    """

    participant: int
    kind: int
    round: int
    nonce: int
    orders: tuple[OrderLine, ...]
    numbers: tuple[int, ...]
    signature: bytes


class Blob(Record, frozen=True):
    """All messages of an interval.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        interval_secret: The salts of the interval's entries follow from it.
        solution: What the interval's clearings are checked with instead of a solver, see `pack_solutions`; empty where
            they are recomputed.
        lines: Orders and "nothing" by round and then in roster order, one of a home and round at most; then readings in
            roster order.
        closings: Of the slots that lack a message, by slot and then by validator.
        standing_start: The interval that the standing orders were signed for; 0 where there are none. [s]
        standing: Orders of an earlier interval that apply in this one, in roster order; see `p2p.batches.standing`.
        closed: The closed orders of a market that seals them, whose hash the chain has taken, see `closed_orders`; then
            lines and closings are of the readings alone. Else empty.
        opened: What opens them.
    """

    version: int
    interval_start: int
    interval_secret: bytes
    solution: bytes
    lines: tuple[Line, ...]
    closings: tuple[Closing, ...]
    standing_start: int
    standing: tuple[Line, ...]
    closed: bytes
    opened: Opened

    @property
    def spoken(self) -> frozenset[int]:
        """The homes that have said in some round what they order, or that they order nothing."""
        return frozenset(line.participant for line in self.lines if line.kind != Kind.READING)


@dataclass(frozen=True, slots=True)
class IntervalContent:
    """The verified messages of an interval, each kind by round and then in roster order, and the closings.

    Args:
        standing: Orders of an earlier interval that apply in this one, in roster order; no messages of this interval.
        closed: The closed orders, in markets that seal them; orders and "nothing" are what was in them.
        unopened: Places in the roster of homes whose envelope was shown to have no key, or several.
    """

    interval_start: int
    interval_secret: bytes
    solution: bytes
    orders: tuple[OrderMessage, ...]
    nothings: tuple[NothingMessage, ...]
    readings: tuple[ReadingMessage, ...]
    closings: tuple[Closing, ...]
    standing: tuple[OrderMessage, ...]
    closed: ClosedOrders | None = None
    unopened: tuple[int, ...] = ()

    @property
    def messages(self) -> tuple[HandedIn, ...]:
        """All of them, as their homes have sent them."""
        if self.closed is not None:
            return (*self.closed.messages, *self.readings)
        return (*self.orders, *self.nothings, *self.readings)

    @property
    def booked(self) -> tuple[OrderMessage, ...]:
        """The orders of its book: its own, and where it was missed those that apply in it."""
        return (*self.orders, *self.standing)


Takes = Callable[[OrderMessage], None]
"""Raises a `RemoteError` for orders that the market does not take, though the chain would: a collector refuses those in
the open, and who opens an envelope finds them."""

ReadClosed = Callable[[bytes], ClosedOrders]
"""Reads closed orders and checks every signature in them, as `read_closed` does: a node has them several times."""

_READING_HEAD = ReadingMessage.__struct_fields__.index("nonce") + 1
"""Fields that a reading begins with like every message of a home: version, chain, interval, minutes, home, nonce."""
_READING_NUMBERS = len(ReadingMessage.__struct_fields__) - _READING_HEAD
_TYPES: dict[int, type[HandedIn]] = {
    Kind.ORDER: OrderMessage,
    Kind.NOTHING: NothingMessage,
    Kind.READING: ReadingMessage,
}


def blob_hash(data: bytes) -> bytes:
    """Name of a blob: the hash of its bytes."""
    return sha256(domains.BLOB + data).digest()


def pack_solutions(solutions: tuple[bytes, ...]) -> bytes:
    """The solutions of an interval's clearings as a blob holds them, one or more, each in bytes of its mechanism's."""
    return encode(solutions)


def unpack_solutions(data: bytes) -> tuple[bytes, ...]:
    """The solutions in a blob that holds any.

    Raises:
        RemoteError: Malformed, not canonical, or none.
    """
    found = decode(tuple[bytes, ...], data, max_bytes=MAX_BLOB_BYTES)
    if not found:
        raise Malformed("a list of solutions without one; a blob without them holds no list")
    return found


def with_solution(data: bytes, solution: bytes) -> bytes:
    """The same blob with a solution.

    Args:
        data: Canonical bytes of a blob.
        solution: See `Blob`.
    """
    return encode(replace(decode(Blob, data, max_bytes=MAX_BLOB_BYTES), solution=solution))


def make_blob(
    roster: Sequence[str],
    interval_start: int,
    interval_secret: bytes,
    signed: Sequence[bytes],
    closings: Iterable[Closing] = (),
    closed: bytes = b"",
    opened: Opened = NOTHING_OPENED,
) -> bytes:
    """Return the canonical bytes of a blob.

    Args:
        roster: Home ids.
        interval_start: Start of the interval. [s]
        interval_secret: See `Blob`.
        signed: Signed orders, "nothing" and readings of all rounds of the interval, verified, in any order.
        closings: Of the slots that lack a message, in any order.
        closed: See `Blob`, as `opened`; then `signed` and `closings` are of the readings.
    """
    index = {household: i for i, household in enumerate(roster)}
    lines = []
    for data in signed:
        envelope = decode(Signed, data)
        message = decode(_TYPES[envelope.kind], envelope.body)
        orders = message.orders if isinstance(message, OrderMessage) else ()
        numbers: tuple[int, ...] = ()
        if isinstance(message, ReadingMessage):
            number = 0
            numbers = tuple(getattr(message, name) for name in message.__struct_fields__[_READING_HEAD:])
        else:
            number = message.round
        head = (index[message.household], envelope.kind, number, message.nonce)
        lines.append(Line(*head, orders, numbers, envelope.signature))
    lines.sort(key=_place)
    in_order = tuple(sorted(closings, key=_closing_place))
    blob = Blob(
        BLOB_VERSION, interval_start, interval_secret, b"", tuple(lines), in_order, 0, (), closed, opened
    )
    return encode(blob)


def open_blob(
    data: bytes,
    genesis: Genesis,
    members: Members,
    rotated: Rotated = none_rotated,
    takes: Takes = lambda message: None,
    read: ReadClosed | None = None,
) -> IntervalContent:
    """Read a blob and check every signature in it.

    Args:
        data: Canonical bytes.
        genesis: Chain, interval length and limits.
        members: The homes that the genesis commits to.
        rotated: Keys to which homes have rotated.
        takes: See `Takes`.
        read: See `ReadClosed`; by default they are read and checked here.

    Raises:
        RemoteError: Malformed, not canonical, a line that occurs twice or has no place, or one whose message its
            home did not sign; a reading above the capacity of its home; a closing that no key has signed for this
            interval; or standing orders that are not in their order, of no earlier interval, or of a home that has
            spoken or left.
    """
    blob = decode(Blob, data, max_bytes=MAX_BLOB_BYTES)
    if (blob.lines or blob.standing) and not members.keys:
        raise UnknownHousehold(
            "the homes of this chain have no keys, so none of them can have signed a message"
        )
    if blob.version != BLOB_VERSION or len(blob.interval_secret) != SECRET_BYTES:
        raise Malformed(
            f"a blob of version {blob.version} with a secret of {len(blob.interval_secret)} bytes"
        )
    unknown = next((line.kind for line in blob.lines if line.kind not in _TYPES), None)
    if unknown is not None:
        raise Malformed(f"a line of kind {unknown}")
    places = [_place(line) for line in blob.lines]
    if any(a >= b for a, b in pairwise(places)):
        raise Malformed("the lines of a blob are not in their order, or one occurs twice")
    _check_closings(blob, genesis)
    said, closed, unopened = _open_said(
        blob,
        genesis,
        takes,
        read or (lambda data: read_closed(data, blob_hash(data), genesis, members, rotated)),
    )
    content: dict[int, list[HandedIn]] = {kind: [] for kind in _TYPES}
    key_of = members.keys_with(rotated)
    for line in blob.lines:
        opened = _open_line(line, blob.interval_start, genesis, members, key_of)
        content[line.kind].append(opened)  # only now is the kind known to be one of ours
    for message in said:
        content[kind_of(message)].append(message)
    return IntervalContent(
        blob.interval_start,
        blob.interval_secret,
        blob.solution,
        tuple(content[Kind.ORDER]),  # type: ignore[arg-type]  # the kind decides the type
        tuple(content[Kind.NOTHING]),  # type: ignore[arg-type]
        tuple(content[Kind.READING]),  # type: ignore[arg-type]
        blob.closings if closed is None else (*closed.closings, *blob.closings),
        _open_standing(blob, genesis, members, key_of),
        closed,
        tuple(members.ids.index(household) for household in unopened),
    )


def _open_said(
    blob: Blob, genesis: Genesis, takes: Takes, read: ReadClosed
) -> tuple[list[Said], ClosedOrders | None, list[str]]:
    """What homes have said in envelopes, in roster order, and those that have shared no key.

    An order that this market does not take counts as none.
    """
    if not genesis.params.sealed_bytes:
        if blob.closed or blob.opened != NOTHING_OPENED:
            raise Malformed("closed orders in a blob of a market that takes them in the open")
        return [], None, []
    if blob.spoken or blob.standing or any(closing.slot == 0 for closing in blob.closings):
        raise Malformed("orders in the open in a blob of a market that seals them")
    closed = read(blob.closed)
    if closed.interval_start != blob.interval_start:
        raise Malformed(f"closed orders of {closed.interval_start} in a blob of {blob.interval_start}")
    said, bad = open_closed(closed, blob.opened, genesis)
    taken = [one for one in said if one is not None and _is_taken(one, takes)]
    return taken, closed, [closed.messages[place].household for place in bad]


def _is_taken(message: Said, takes: Takes) -> bool:
    try:
        if isinstance(message, OrderMessage):
            takes(message)
    except RemoteError:
        return False
    return True


def _open_standing(blob: Blob, genesis: Genesis, members: Members, key_of: KeyOf) -> tuple[OrderMessage, ...]:
    """The orders that apply in a missed interval, as their homes signed them for an earlier one."""
    start_s, lines, spoken = blob.standing_start, blob.standing, blob.spoken
    if not (0 <= start_s < blob.interval_start if lines else start_s == 0):
        raise Malformed(
            f"{len(lines)} standing orders of interval {start_s} in a blob of {blob.interval_start}"
        )
    if any(line.participant in spoken for line in lines):
        raise Malformed("a standing order of a home that has sent an order, or that it has none")
    if any(line.kind != Kind.ORDER for line in lines):
        raise Malformed("a standing line that is no order")
    if any(a >= b for a, b in pairwise(_place(line) for line in lines)):
        raise Malformed("the standing orders of a blob are not in their order, or one occurs twice")
    opened = tuple(_open_line(line, start_s, genesis, members, key_of) for line in lines)
    for message in opened:
        members.check_term(message.household, blob.interval_start)
    return opened  # type: ignore[return-value]  # the kind decides the type


def _check_closings(blob: Blob, genesis: Genesis) -> None:
    most = MAX_VALIDATORS * (genesis.params.rounds + 1)
    places = [_closing_place(closing) for closing in blob.closings]
    if len(places) > most or any(a >= b for a, b in pairwise(places)):
        raise Malformed("the closings of a blob are too many, not in their order, or one occurs twice")
    for closing in blob.closings:
        if closing.interval_start != blob.interval_start:
            raise Malformed(
                f"a closing of interval {closing.interval_start} in a blob of {blob.interval_start}"
            )
        check_slot(closing.slot, genesis.params.rounds)
        check_closing(closing, genesis.chain_id)


def _closing_place(closing: Closing) -> tuple[int, bytes]:
    return closing.slot, closing.validator


def _place(line: Line) -> tuple[bool, int, int]:
    return line.kind == Kind.READING, line.round, line.participant


def _open_line(
    line: Line, interval_start: int, genesis: Genesis, members: Members, key_of: KeyOf
) -> HandedIn:
    kind = _TYPES[line.kind]
    if not 0 <= line.participant < len(members):
        raise Malformed(f"a line of kind {line.kind} by home {line.participant} of {len(members)}")
    is_order, is_reading = line.kind == Kind.ORDER, line.kind == Kind.READING
    count = _READING_NUMBERS if is_reading else 0
    if len(line.numbers) != count or bool(line.orders) != is_order:
        raise Malformed(f"a line of kind {line.kind} with {len(line.numbers)} numbers")
    if is_reading and line.round:
        raise Malformed(f"a reading in round {line.round}; it is of the whole interval")
    household = members.ids[line.participant]
    members.check_term(household, interval_start)
    message = kind(
        VERSION,
        genesis.chain_id,
        interval_start,
        genesis.params.minutes,
        household,
        line.nonce,
        *(line.numbers if is_reading else (line.round, line.orders) if is_order else (line.round,)),
    )
    key = key_of(household, interval_start, Kind(line.kind))
    assert key is not None, "homes without keys have been refused"
    signed = encode(Signed(line.kind, encode(message), key, line.signature))
    opened = open_message(
        signed,
        chain_id=genesis.chain_id,
        kinds=(Kind(line.kind),),
        key_of=key_of,
        limits=genesis.params.limits,
    )
    if not isinstance(opened, kind):
        raise RemoteError(f"a line of kind {line.kind} opened as {type(opened).__name__}")
    if isinstance(opened, ReadingMessage):
        members.check_reading(opened)
    return opened
