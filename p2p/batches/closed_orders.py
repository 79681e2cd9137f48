"""The closed orders of an interval whose market seals them, and what opens them.

A collector closes the orders of an interval before anybody can read one: a blob of all envelopes, with the closings of
validators where homes are missing, whose hash the chain takes first. Only then validators open their shares. With f + 1
shares that agree with what the home has committed to, an envelope has one key, or is shown to have none:

key      whose hash the envelope names; all shares must be those of it. The order counts if what is under it is one
shares   f + 1 that the home has committed to, and that give another key: the home has shared no key
words    f + 1 validators say that their piece is not what the home has committed to: at least one of them is honest

2 f + 1 honest validators answer, so either f + 1 shares or f + 1 words come. An honest home has the first alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from p2p.batches.closings import Closing, check_closing
from p2p.blocks import domains
from p2p.blocks.block import MAX_VALIDATORS
from p2p.blocks.genesis import MAX_CLOSED_BYTES, Genesis
from p2p.blocks.members import Members, Rotated, none_rotated
from p2p.errors import BadProof, Malformed, UnknownHousehold, WrongSignature
from p2p.wire.codec import Record, decode, encode
from p2p.wire.identity import PUBLIC_KEY_BYTES, Identity, verify
from p2p.wire.messages import VERSION as MESSAGE_VERSION
from p2p.wire.messages import Kind, Said, SealedMessage, Signed, open_message
from p2p.wire.sealed import sealing_context, unseal_message
from p2p.wire.sealing import (
    Envelope,
    combine,
    commits_to,
    digest_of,
    hash_of_key,
    is_key,
    is_share,
    needed,
)

VERSION = 1
NO_KEY = b""


class SealedLine(Record, frozen=True):
    """One signed envelope.

    Args:
        participant: Index of the home in the roster.
        nonce: Of the message.
        signature: By the home.
    """

    participant: int
    nonce: int
    envelope: Envelope
    signature: bytes


class Closed(Record, frozen=True):
    """The orders of an interval, none of which can be read.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        validators: Those of the state in which the chain takes this, to whom envelopes are sealed.
        lines: In roster order, one of a home at most.
        closings: By validator; none where every member has a line.
    """

    version: int
    interval_start: int
    validators: tuple[bytes, ...]
    lines: tuple[SealedLine, ...]
    closings: tuple[Closing, ...]


class JunkWord(Record, frozen=True):
    """A validator's word that some envelopes hold no share for it that their homes have committed to.

    Args:
        places: Of their lines, ascending.
        validator: Public key that signs.
        signature: Over chain, hash of the closed orders, and places.
    """

    places: tuple[int, ...]
    validator: bytes
    signature: bytes


class OtherKey(Record, frozen=True):
    """Shares that a home has committed to, and that give no key of its envelope.

    Args:
        place: Of its line.
        shares: Place of a validator and its share, ascending, as many as are needed.
    """

    place: int
    shares: tuple[tuple[int, bytes], ...]


class Opened(Record, frozen=True):
    """What opens closed orders.

    Args:
        keys: Of each line that is sealed to the validators, in order; empty where there is none.
        junk: Words of validators, by their keys.
        other: By place.
    """

    keys: tuple[bytes, ...]
    junk: tuple[JunkWord, ...]
    other: tuple[OtherKey, ...]


@dataclass(frozen=True, slots=True)
class ClosedOrders:
    """Closed orders that were checked.

    Args:
        name: Hash of their bytes.
        messages: The envelopes, in roster order.
        openable: Places of those that are sealed to the validators; the others count as no orders.
    """

    name: bytes
    interval_start: int
    validators: tuple[bytes, ...]
    messages: tuple[SealedMessage, ...]
    openable: tuple[int, ...]
    closings: tuple[Closing, ...]


def make_closed(
    roster: Sequence[str],
    interval_start: int,
    validators: tuple[bytes, ...],
    signed: Iterable[bytes],
    closings: Iterable[Closing] = (),
) -> bytes:
    """Return the canonical bytes of closed orders; arguments as in `Closed`, signed envelopes in any order."""
    index = {household: i for i, household in enumerate(roster)}
    lines = []
    for data in signed:
        outer = decode(Signed, data)
        message = decode(SealedMessage, outer.body)
        lines.append(SealedLine(index[message.household], message.nonce, message.envelope, outer.signature))
    lines.sort(key=lambda line: line.participant)
    closed = tuple(sorted(closings, key=lambda closing: closing.validator))
    return encode(Closed(VERSION, interval_start, validators, tuple(lines), closed))


def read_closed(
    data: bytes, name: bytes, genesis: Genesis, members: Members, rotated: Rotated = none_rotated
) -> ClosedOrders:
    """Read closed orders and check every signature in them.

    Args:
        data: Canonical bytes.
        name: Their hash.

    Raises:
        RemoteError: Malformed, not canonical, a line out of place or that its home did not sign, or a closing that no
            key has signed for the first slot of this interval.
    """
    closed = decode(Closed, data, max_bytes=MAX_CLOSED_BYTES)
    if closed.version != VERSION or not genesis.params.sealed_bytes:
        raise Malformed(f"closed orders of version {closed.version}, on a chain that seals them or not")
    if closed.lines and not members.keys:
        raise UnknownHousehold("the homes of this chain have no keys, so none of them has sealed an order")
    if any(len(key) != PUBLIC_KEY_BYTES for key in closed.validators):
        raise Malformed(f"a validator whose key has not {PUBLIC_KEY_BYTES} bytes")
    if any(a.participant >= b.participant for a, b in pairwise(closed.lines)):
        raise Malformed("closed orders are not in roster order, or a home occurs twice")
    if len(closed.closings) > MAX_VALIDATORS or any(
        a.validator >= b.validator for a, b in pairwise(closed.closings)
    ):
        raise Malformed("the closings of closed orders are too many, not in their order, or one occurs twice")
    for closing in closed.closings:
        if (closing.interval_start, closing.slot) != (closed.interval_start, 0):
            raise Malformed("a closing of another interval or slot")
        if closing.validator not in closed.validators:
            raise Malformed("a closing of one who is no validator")
        if any(not 0 <= one.participant < len(members) or one.nonce < 0 for one in closing.promised):
            raise Malformed("a closing promises a message that no home can send")
        check_closing(closing, genesis.chain_id)
    key_of = members.keys_with(rotated)
    messages = []
    for line in closed.lines:
        if not 0 <= line.participant < len(members):
            raise Malformed(f"an envelope of home {line.participant} of {len(members)}")
        household = members.ids[line.participant]
        members.check_term(household, closed.interval_start)
        head = (MESSAGE_VERSION, genesis.chain_id, closed.interval_start, genesis.params.minutes)
        body = encode(SealedMessage(*head, household, line.nonce, 0, line.envelope))
        key = key_of(household, closed.interval_start, Kind.SEALED)
        assert key is not None, "homes without keys have been refused"
        opened = open_message(
            encode(Signed(Kind.SEALED, body, key, line.signature)),
            chain_id=genesis.chain_id,
            kinds=(Kind.SEALED,),
            key_of=key_of,
            limits=genesis.params.limits,
        )
        assert isinstance(opened, SealedMessage), "the kind decides the type"
        messages.append(opened)
    digest = digest_of(closed.validators)
    openable = tuple(
        place for place, one in enumerate(messages) if is_sealed_to(one, closed.validators, digest)
    )
    return ClosedOrders(
        name, closed.interval_start, closed.validators, tuple(messages), openable, closed.closings
    )


def is_sealed_to(message: SealedMessage, validators: Sequence[bytes], digest: bytes | None = None) -> bool:
    """Whether an envelope has a piece for each of these validators."""
    envelope = message.envelope
    digest = digest_of(validators) if digest is None else digest
    return envelope.sealed_to == digest and len(envelope.pieces) == len(validators)


def sign_junk(identity: Identity, chain_id: bytes, name: bytes, places: Sequence[int]) -> JunkWord:
    """Return a validator's word about closed orders, which it signs once it has tried to open them.

    Args:
        name: Hash of the closed orders.
    """
    data = encode((chain_id, name, tuple(places)))
    return JunkWord(tuple(places), identity.public_key, identity.sign(domains.SIGN_JUNK, data))


def check_junk(word: JunkWord, chain_id: bytes, closed: ClosedOrders) -> None:
    """Raise unless a validator of closed orders has signed its word about them.

    Raises:
        RemoteError: Says what is wrong.
    """
    if word.validator not in closed.validators:
        raise BadProof("a word about envelopes of one who is no validator")
    if not word.places or any(a >= b for a, b in pairwise(word.places)):
        raise Malformed("the places in a word about envelopes are none, or not in their order")
    data = encode((chain_id, closed.name, word.places))
    if not verify(word.validator, domains.SIGN_JUNK, data, word.signature):
        raise WrongSignature("the signature of a word about envelopes does not verify")


def open_closed(
    closed: ClosedOrders, opened: Opened, genesis: Genesis
) -> tuple[tuple[Said | None, ...], tuple[int, ...]]:
    """Open closed orders.

    Returns:
        What each envelope says, None where it holds no order and no "nothing"; and the places of those whose home has
        not shared one key.

    Raises:
        RemoteError: An envelope has neither its key nor a proof that it has none, or something proves nothing.
    """
    if len(opened.keys) != len(closed.openable):
        raise Malformed(f"{len(opened.keys)} keys for {len(closed.openable)} envelopes")
    without = {place for place, key in zip(closed.openable, opened.keys, strict=True) if key == NO_KEY}
    bad = set(without)
    unproven = without - _proven(closed, opened, genesis.chain_id, without)
    if unproven:
        raise BadProof(f"no key of envelope {min(unproven)}, and no proof that it has none")
    found: list[Said | None] = [None] * len(closed.messages)
    for place, key in zip(closed.openable, opened.keys, strict=True):
        message = closed.messages[place]
        if key == NO_KEY:
            continue
        if not is_key(key, message.envelope):
            raise BadProof(f"a key that is not that of envelope {place}")
        if commits_to(message.envelope, key, sealing_context(message)):
            found[place] = unseal_message(message, key, genesis.params.limits)
        else:
            bad.add(place)
    return tuple(found), tuple(sorted(bad))


def _proven(closed: ClosedOrders, opened: Opened, chain_id: bytes, without: set[int]) -> set[int]:
    """The places of envelopes without a key, by the proofs; nothing may be there that proves nothing."""
    threshold = needed(len(closed.validators))
    if any(a.validator >= b.validator for a, b in pairwise(opened.junk)):
        raise Malformed("words about envelopes are not in the order of validators, or one occurs twice")
    if any(a.place >= b.place for a, b in pairwise(opened.other)):
        raise Malformed("proofs of envelopes with other keys are not in their order, or one occurs twice")
    counts = dict.fromkeys(without, 0)
    for word in opened.junk:
        check_junk(word, chain_id, closed)
        if not without.intersection(word.places):
            raise Malformed("a word about envelopes that have their keys")
        for place in without.intersection(word.places):
            counts[place] += 1
    proven = {place for place, words in counts.items() if words >= threshold}
    for other in opened.other:
        if other.place not in without or not has_other_key(closed, other):
            raise BadProof(f"shares that do not show that envelope {other.place} has another key")
        proven.add(other.place)
    return proven


def has_other_key(closed: ClosedOrders, other: OtherKey) -> bool:
    """Whether shares are those of a home, as many as are needed, and give a key that its envelope does not name."""
    message, count = closed.messages[other.place], len(closed.validators)
    places = [place for place, _ in other.shares]
    if len(places) != needed(count) or any(a >= b for a, b in pairwise(places)):
        return False
    context = sealing_context(message)
    if not all(
        0 <= place < count and is_share(message.envelope, place, share, context)
        for place, share in other.shares
    ):
        return False
    return hash_of_key(combine(dict(other.shares), len(places))) != message.envelope.key_hash


def find_keys(
    closed: ClosedOrders, answers: Sequence[tuple[int, Sequence[bytes], JunkWord | None]]
) -> Opened | None:
    """Open closed orders with what validators have answered; None where more answers are needed.

    Args:
        answers: Place of a validator, its shares of the openable envelopes in order (empty where its piece is junk),
            which were checked, and its word about those.
    """
    threshold = needed(len(closed.validators))
    keys, other, lacking = [], [], set[int]()
    for number, place in enumerate(closed.openable):
        shares = {validator: given[number] for validator, given, _ in answers if given[number]}
        if len(shares) < threshold:
            lacking.add(place)
            keys.append(NO_KEY)
            continue
        first = dict(sorted(shares.items())[:threshold])
        key = combine(first, threshold)
        opens = is_key(key, closed.messages[place].envelope)
        keys.append(key if opens else NO_KEY)
        if not opens:
            other.append(OtherKey(place, tuple(first.items())))
    words = [word for _, _, word in answers if word is not None and lacking.intersection(word.places)]
    for place in lacking:
        if sum(place in word.places for word in words) < threshold:
            return None
    words.sort(key=lambda word: word.validator)
    return Opened(tuple(keys), tuple(words), tuple(other))
