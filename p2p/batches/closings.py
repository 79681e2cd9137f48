"""Closings: what validators have promised to homes, signed once for each slot of an interval when its gate has closed.

A home gives its messages to the collector and to f + 1 validators, which answer with receipts. A collector that lacks
the message of a home in some slot puts a quorum of closings of that slot into its blob, and every message that these
promise. A quorum and f + 1 share a validator: what f + 1 have promised is in the batch, or the shared one has signed a
closing against its own receipt, which convicts it. A slot in which every home has a message needs no closings: there a
collector can include an older message of a home than the one that f + 1 validators have promised.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec.structs import replace

from p2p.batches.receipts import check_promise, slot_of, slots
from p2p.blocks import domains
from p2p.blocks.block import quorum
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import MemberProof, Members, Rotated, none_rotated
from p2p.errors import BadProof, Malformed, NotAMember, OutOfRange, RemoteError, WrongChain, WrongSignature
from p2p.wire.codec import Record, decode, encode
from p2p.wire.identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from p2p.wire.messages import HandedIn

VERSION = 1
MAX_CLOSING_BYTES = 128 * 1024
"""Of a closing: about 13 bytes for each home whose message is promised, so at most 10,000 of them. [B]"""
MAX_BROKEN_BYTES = MAX_CLOSING_BYTES + 16 * 1024


class Promised(Record, frozen=True):
    """A message that a validator has promised to include, or a later one of the same home.

    Args:
        participant: Index of the home in the roster.
        nonce: Of the message.
    """

    participant: int
    nonce: int


class Closing(Record, frozen=True):
    """All promises of a validator in one slot of an interval, and its word that it gives no more.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
        slot: Round of the market; behind all rounds, the readings.
        promised: One of each home at most, ascending.
        validator: Public key that signs.
        signature: Over everything before it.
    """

    version: int
    chain_id: bytes
    interval_start: int
    slot: int
    promised: tuple[Promised, ...]
    validator: bytes
    signature: bytes

    def nonce_of(self, participant: int) -> int | None:
        """Nonce of the message of a home that is promised, or None."""
        return next((one.nonce for one in self.promised if one.participant == participant), None)


class NotClosed(RemoteError):
    """A batch that lacks messages, without a quorum of closings for their slot."""

    code = "not_closed"


class LeftOut(RemoteError):
    """A batch without a message that a closing in its own blob promises."""

    code = "left_out"


class BrokenPromise(Record, frozen=True):
    """Proof that a validator signed a closing without a message that it had promised to include.

    Args:
        receipt: Signed bytes of the receipt.
        message: Signed bytes of the message it is for.
        home: The home's place in the roster, its key, and the path to the root in the genesis.
        closing: By the key that signed the receipt.
    """

    version: int
    receipt: bytes
    message: bytes
    home: MemberProof
    closing: Closing


def make_closing(
    identity: Identity, chain_id: bytes, interval_start: int, slot: int, promised: Iterable[Promised]
) -> Closing:
    """Return a signed closing; sign one at most for each slot of an interval."""
    rows = tuple(sorted(promised, key=lambda one: one.participant))
    unsigned = Closing(VERSION, chain_id, interval_start, slot, rows, identity.public_key, b"")
    return replace(unsigned, signature=identity.sign(domains.SIGN_CLOSING, encode(unsigned)))


def check_closing(closing: Closing, chain_id: bytes) -> None:
    """Raise unless a closing is well-formed and its validator has signed it; whether that is one is for the caller.

    Raises:
        RemoteError: Says what is wrong.
    """
    if closing.version != VERSION:
        raise Malformed(f"a closing of version {closing.version}; this program reads {VERSION}")
    if closing.chain_id != chain_id:
        raise WrongChain(f"a closing of chain {closing.chain_id.hex()[:16]}")
    if len(closing.validator) != PUBLIC_KEY_BYTES or len(closing.signature) != SIGNATURE_BYTES:
        raise Malformed("a closing with a key or signature of another length than Ed25519 has")
    if any(a.participant >= b.participant for a, b in pairwise(closing.promised)):
        raise Malformed("the promises of a closing are not in their order, or a home occurs twice")
    content = encode(replace(closing, signature=b""))
    if not verify(closing.validator, domains.SIGN_CLOSING, content, closing.signature):
        raise WrongSignature("the signature of a closing does not verify")


def decode_closing(data: bytes) -> Closing:
    """Read a closing from canonical bytes, unchecked.

    Raises:
        RemoteError: Malformed, non-canonical or too large.
    """
    return decode(Closing, data, max_bytes=MAX_CLOSING_BYTES)


Nonces = Mapping[tuple[int, int], int]
"""Nonce of each message of an interval, by slot and home."""


def nonces_of(messages: Iterable[HandedIn], roster: Sequence[str], rounds: int) -> dict[tuple[int, int], int]:
    """The nonce of each message, by slot and home."""
    index = {household: i for i, household in enumerate(roster)}
    return {(slot_of(m, rounds), index[m.household]): m.nonce for m in messages}


def members_in(members: Members, interval_start: int) -> list[int]:
    """Places in the roster of the homes that are members in an interval."""
    found = []
    for place, household in enumerate(members.ids):
        try:
            members.check_term(household, interval_start)
        except NotAMember:
            continue
        found.append(place)
    return found


def wanted_in(slot: int, present: Nonces, members: Iterable[int], rounds: int) -> Iterator[int]:
    """The homes whose messages make a slot complete.

    All members in the first round and for the readings; in a later round those that were in the round before it: who
    is absent once is not waited for again, and no validator promises a later message of it.
    """
    return (home for home in members if slot in (0, rounds) or (slot - 1, home) in present)


def incomplete_slots(present: Nonces, members: Collection[int], rounds: int) -> list[int]:
    """The slots of an interval in which a message is missing."""
    return [
        slot
        for slot in range(slots(rounds))
        if any((slot, home) not in present for home in wanted_in(slot, present, members, rounds))
    ]


def left_out(closing: Closing, present: Nonces) -> Iterator[Promised]:
    """What a closing promises and a batch does not hold, neither it nor a later message of the home."""
    for one in closing.promised:
        if present.get((closing.slot, one.participant), -1) < one.nonce:
            yield one


def closers(
    closings: Iterable[Closing], present: Nonces, members: Collection[int], rounds: int
) -> tuple[frozenset[bytes], ...]:
    """Return who has closed each incomplete slot of an interval, all their promises being kept.

    Args:
        closings: Checked, by slot and then by validator.
        present: What the batch holds.
        members: Homes that are members in the interval.

    Raises:
        LeftOut: A promise is not kept.
        Malformed: A closing of a complete slot: it has no place in a blob.
    """
    found: dict[int, set[bytes]] = {slot: set() for slot in incomplete_slots(present, members, rounds)}
    for closing in closings:
        if closing.slot not in found:
            raise Malformed(f"a closing of slot {closing.slot}, which is complete")
        missing = next(left_out(closing, present), None)
        if missing is not None:
            raise LeftOut(
                f"home {missing.participant}, slot {closing.slot}: a closing of the batch promises its message"
            )
        found[closing.slot].add(closing.validator)
    return tuple(frozenset(keys) for _, keys in sorted(found.items()))


def check_closers(closed: Iterable[frozenset[bytes]], validators: Sequence[bytes]) -> None:
    """Raise unless a quorum of validators has closed each incomplete slot.

    Args:
        closed: As `closers` returns it.
        validators: Those of now.

    Raises:
        NotClosed: Too few.
    """
    for keys in closed:
        signed = len(keys.intersection(validators))
        if signed < quorum(len(validators)):
            raise NotClosed(
                f"{signed} of {len(validators)} validators have closed a slot that lacks messages;"
                f" {quorum(len(validators))} must"
            )


def make_broken_promise(receipt: bytes, message: bytes, home: MemberProof, closing: Closing) -> bytes:
    """Return the canonical bytes of a proof; arguments as in `BrokenPromise`."""
    return encode(BrokenPromise(VERSION, receipt, message, home, closing))


def check_broken_promise(data: bytes, genesis: Genesis, rotated: Rotated = none_rotated) -> tuple[bytes, int]:
    """Check a proof offline; return the key of the validator that broke its promise, and the interval.

    Args:
        data: Canonical bytes of a `BrokenPromise`.
        genesis: Chain and root over the homes.
        rotated: Keys to which homes have rotated, for who has a chain.

    Raises:
        RemoteError: It is malformed or of another chain, its parts do not belong together, or the promise was kept.
    """
    proof = decode(BrokenPromise, data, max_bytes=MAX_BROKEN_BYTES)
    if proof.version != VERSION:
        raise BadProof(f"version {proof.version}; this program reads {VERSION}")
    closing = proof.closing
    check_closing(closing, genesis.chain_id)  # first: of another chain, the path to the home fails as well
    message, promiser = check_promise(proof.receipt, proof.message, proof.home, genesis, rotated)
    if closing.validator != promiser:
        raise BadProof("the closing is by another key than the receipt: nobody broke a promise")
    if closing.interval_start != message.interval_start:
        raise BadProof("receipt and closing are of different intervals")
    if closing.slot != slot_of(message, genesis.params.rounds):
        raise BadProof("receipt and closing are of different slots")
    nonce = closing.nonce_of(proof.home.index)
    if nonce is not None and nonce >= message.nonce:
        raise BadProof("the promise was kept: the closing has the message, or a later one of the home")
    return promiser, message.interval_start


def check_slot(slot: int, rounds: int) -> None:
    """Raise `OutOfRange` unless an interval with so many rounds has this slot."""
    if not 0 <= slot < slots(rounds):
        raise OutOfRange(f"slot is {slot}; it must lie in 0..{rounds}")
