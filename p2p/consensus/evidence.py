"""Evidence: two messages that one honest validator cannot both have signed, as canonical bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from p2p.consensus.types import PROPOSAL, Proposal, Vote, check_proposal, check_vote, signed_bytes
from p2p.errors import Malformed, OutOfRange
from p2p.wire.codec import Record, decode, encode

MAX_EVIDENCE_BYTES = 1024
MAX_EVIDENCE = 4
"""Pieces of evidence that a block may hold."""


class Pair(Record, frozen=True):
    """Canonical bytes of two votes or two proposals, the lower first; a proposal without block and proof."""

    kind: int
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class Offence:
    """Who signed two different messages, and where."""

    authority: bytes
    height: int
    round: int
    kind: int


def make_evidence(first: Vote | Proposal, second: Vote | Proposal) -> bytes:
    """Return the canonical bytes of two conflicting messages, in whatever order they come."""
    kind = first.kind if isinstance(first, Vote) else PROPOSAL
    low, high = sorted(encode(_bare(message)) for message in (first, second))
    return encode(Pair(kind, low, high))


def evidence_height(data: bytes) -> int:
    """Return the height that evidence is about, so that the set of that height can be found.

    Raises:
        RemoteError: It is not evidence.
    """
    return _messages(data)[0].height


def check_evidence(data: bytes, validators: Sequence[bytes], chain_id: bytes) -> Offence:
    """Return what evidence proves.

    Args:
        validators: The validators of the height it is about.

    Raises:
        RemoteError: Malformed, a signature does not verify, or an honest validator may have signed both.
    """
    first, second = _messages(data)
    for message in (first, second):
        if isinstance(message, Vote):
            check_vote(message, validators, chain_id)
        else:
            check_proposal(message, validators, chain_id)
    where = [(_signer(message), message.height, message.round) for message in (first, second)]
    kind = decode(Pair, data).kind
    same_kind = not isinstance(first, Vote) or (first.kind == kind and getattr(second, "kind", None) == kind)
    if where[0] != where[1] or not same_kind:
        raise OutOfRange("evidence of two messages of different validators, heights, rounds or kinds")
    if signed_bytes(first, chain_id) == signed_bytes(second, chain_id):
        raise OutOfRange("evidence of two equal messages")
    return Offence(validators[where[0][0]], first.height, first.round, kind)


def _messages(data: bytes) -> tuple[Vote | Proposal, Vote | Proposal]:
    pair = decode(Pair, data, max_bytes=MAX_EVIDENCE_BYTES)
    if pair.first >= pair.second:
        raise Malformed("evidence whose messages are not in ascending order")
    if pair.kind != PROPOSAL:
        return decode(Vote, pair.first), decode(Vote, pair.second)
    proposals = decode(Proposal, pair.first), decode(Proposal, pair.second)
    if any(proposal.block or proposal.pol for proposal in proposals):
        raise Malformed("evidence that carries the block or the proof of lock of a proposal")
    return proposals


def _bare(message: Vote | Proposal) -> Vote | Proposal:
    if isinstance(message, Vote):
        return message
    return msgspec.structs.replace(message, block=b"", pol=())


def _signer(message: Vote | Proposal) -> int:
    return message.validator if isinstance(message, Vote) else message.proposer
