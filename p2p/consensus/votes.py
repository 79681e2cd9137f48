"""Counting votes of one height, detecting double votes, and a signing guard that refuses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from p2p.blocks.block import PRECOMMIT, PREVOTE, CommitCertificate, quorum, signature_at, signers
from p2p.consensus.types import NO_ROUND, PROPOSAL, Evidence, Vote
from p2p.errors import LocalError
from p2p.wire.codec import Record

MAX_IDS = 2
"""Different votes of one validator for one round and kind that are kept: two are proof of misbehaviour."""

MAX_FAR_ROUNDS = 2
"""Rounds beyond the next that are kept per validator, the highest ones."""

KEPT_ROUNDS = 32
"""Rounds before the current one whose votes are kept."""


class Added(NamedTuple):
    """What became of a vote: whether it was counted, and the vote of the same validator it contradicts."""

    counted: bool
    conflict: Vote | None


REFUSED = Added(False, None)


class _Tally:
    """Votes of one round and kind. An equivocator is counted once for each of its two ids."""

    __slots__ = ("counts", "quorums", "votes")

    def __init__(self) -> None:
        self.votes: dict[int, tuple[Vote, ...]] = {}
        self.counts: dict[bytes | None, int] = {}
        self.quorums: list[bytes | None] = []


class _Round:
    __slots__ = ("senders", "tallies")

    def __init__(self) -> None:
        self.tallies = {PREVOTE: _Tally(), PRECOMMIT: _Tally()}
        self.senders: set[int] = set()  # only its size is used: order does not matter


class HeightVotes:
    """All votes of one height.

    Args:
        n: Number of validators.

    Attributes:
        commits: (round, block hash) with a quorum of precommits, in the order they were reached.
        crowded: Highest round with messages of f + 1 validators, or -1.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.quorum = quorum(n)
        self.one_honest = (n - 1) // 3 + 1
        self.commits: list[tuple[int, bytes]] = []
        self.crowded = NO_ROUND
        self._rounds: dict[int, _Round] = {}
        self._far: dict[int, list[int]] = {}
        self._oldest = 0

    def add(self, vote: Vote, own_round: int) -> Added:
        """Count a vote, unless it is known or beyond the bounds of what is kept."""
        if vote.kind not in (PREVOTE, PRECOMMIT) or not 0 <= vote.validator < self.n:
            return REFUSED
        if not self._admits(vote.validator, vote.round, own_round):
            return REFUSED
        slot = self._round(vote.round)
        tally = slot.tallies[vote.kind]
        before = tally.votes.get(vote.validator, ())
        if len(before) == MAX_IDS or (before and before[0].block_hash == vote.block_hash):
            return REFUSED
        tally.votes[vote.validator] = (*before, vote)
        count = tally.counts[vote.block_hash] = tally.counts.get(vote.block_hash, 0) + 1
        if count == self.quorum:
            tally.quorums.append(vote.block_hash)
            if vote.kind == PRECOMMIT and vote.block_hash is not None:
                self.commits.append((vote.round, vote.block_hash))
        self._note(slot, vote.round, vote.validator)
        return Added(True, before[0] if before else None)

    def note_proposer(self, round_: int, validator: int) -> None:
        """Count the sender of a proposal among those who have reached the round."""
        self._note(self._round(round_), round_, validator)

    def total(self, kind: int, round_: int) -> int:
        """Validators that voted, for whatever."""
        slot = self._rounds.get(round_)
        return len(slot.tallies[kind].votes) if slot else 0

    def quorums(self, kind: int, round_: int) -> list[bytes | None]:
        """Ids with a quorum; more than one only where over f validators voted twice."""
        slot = self._rounds.get(round_)
        return slot.tallies[kind].quorums if slot else []

    def votes_for(self, kind: int, round_: int, block_hash: bytes | None) -> list[Vote]:
        """Votes for an id, by ascending validator."""
        slot = self._rounds.get(round_)
        votes = slot.tallies[kind].votes if slot else {}
        return [vote for who in sorted(votes) for vote in votes[who] if vote.block_hash == block_hash]

    def of(self, validator: int, kind: int, round_: int) -> tuple[Vote, ...]:
        """Votes of one validator: none, one, or two that contradict each other."""
        slot = self._rounds.get(round_)
        return slot.tallies[kind].votes.get(validator, ()) if slot else ()

    def held(self, kind: int, round_: int) -> int:
        """Bitmap of the validators whose vote is known."""
        slot = self._rounds.get(round_)
        return sum(1 << who for who in slot.tallies[kind].votes) if slot else 0

    def lacking(self, kind: int, round_: int, held: int) -> list[Vote]:
        """Votes that one who holds this bitmap may lack: the missing ones, and both of an equivocator."""
        slot = self._rounds.get(round_)
        votes = slot.tallies[kind].votes if slot else {}
        return [
            vote
            for who in sorted(votes)
            if not held >> who & 1 or len(votes[who]) == MAX_IDS
            for vote in votes[who]
        ]

    def around(self, round_: int) -> list[Vote]:
        """All votes of a round and the one before."""
        kinds = (PREVOTE, PRECOMMIT)
        return [vote for r in (round_ - 1, round_) for kind in kinds for vote in self.lacking(kind, r, 0)]

    def forget_before(self, round_: int) -> None:
        """Drop and from now on refuse older rounds, except those with a quorum of precommits."""
        self._oldest = max(self._oldest, round_)
        kept = {committed for committed, _ in self.commits}
        self._rounds = {r: slot for r, slot in self._rounds.items() if r >= round_ or r in kept}

    def _round(self, round_: int) -> _Round:
        slot = self._rounds.get(round_)
        if slot is None:
            slot = self._rounds[round_] = _Round()
        return slot

    def _note(self, slot: _Round, round_: int, validator: int) -> None:
        slot.senders.add(validator)
        if round_ > self.crowded and len(slot.senders) >= self.one_honest:
            self.crowded = round_

    def _admits(self, validator: int, round_: int, own_round: int) -> bool:
        if round_ < self._oldest:
            return False
        if round_ <= own_round + 1:
            return True
        far = [r for r in self._far.get(validator, ()) if r > own_round + 1]
        if round_ not in far:
            far.append(round_)
            if len(far) > MAX_FAR_ROUNDS:
                lowest = min(far)
                far.remove(lowest)
                if lowest == round_:
                    return False
                self._evict(validator, lowest)
        self._far[validator] = far
        return True

    def _evict(self, validator: int, round_: int) -> None:
        # Nobody acts on so few votes of a far round: with f + 1 of them we would have gone there.
        slot = self._rounds[round_]
        slot.senders.discard(validator)
        for tally in slot.tallies.values():
            for vote in tally.votes.pop(validator, ()):
                tally.counts[vote.block_hash] -= 1
        if not slot.senders:
            del self._rounds[round_]


def fork_evidence(one: CommitCertificate, other: CommitCertificate) -> list[Evidence]:
    """Name the validators that two certificates of one height and round, for different blocks, convict.

    They are at least 2q - n >= f + 1. Certificates of different rounds prove that there are culprits, but not
    who: that takes the votes of the rounds between.
    """
    if one.height != other.height or one.round != other.round or one.block_hash == other.block_hash:
        return []
    first, second = _precommits(one), _precommits(other)
    return [Evidence(first[who], second[who]) for who in first if who in second]


def _precommits(cert: CommitCertificate) -> dict[int, Vote]:
    return {
        who: Vote(PRECOMMIT, cert.height, cert.round, cert.block_hash, who, signature_at(cert, i))
        for i, who in enumerate(signers(cert))
    }


class SignRefused(LocalError):
    """A signature that could contradict one given before; the process must stop."""


class LastSigned(Record, frozen=True):
    """The newest sign-bytes a key signed, and the signature."""

    data: bytes
    signature: bytes


_ORDER = {PROPOSAL: 0, PREVOTE: 1, PRECOMMIT: 2}
_HEAD_BYTES = 45


class SignGuard:
    """A key that signs consensus messages of one chain in ascending (height, round, step) only.

    It reads what is signed from the bytes themselves and shares nothing with the core: either alone keeps a
    validator from signing twice. Store `last` together with, or right after, the core's record and before
    anything is sent.

    Args:
        sign: The key: signature of sign-bytes.
        last: What the stored guard had signed last, or None for a new key.
    """

    def __init__(self, chain_id: bytes, sign: Callable[[bytes], bytes], last: LastSigned | None) -> None:
        self._chain_id = chain_id
        self._sign = sign
        self.last = last

    def sign(self, data: bytes) -> bytes:
        """Sign, or return the same signature again for the same bytes.

        Raises:
            SignRefused: Earlier than, or other than, what was signed last; or not of this chain.
        """
        if len(data) < _HEAD_BYTES or data[0] not in _ORDER or data[1:33] != self._chain_id:
            raise SignRefused("these are not sign-bytes of a consensus message of this chain")
        if self.last is not None:
            if data == self.last.data:
                return self.last.signature
            before, now = _position(self.last.data), _position(data)
            if now <= before:
                raise SignRefused(
                    f"(height, round, step) {now} was to be signed after {before} had been;"
                    " stop this validator and look for a second process with its key, or an old record"
                )
        self.last = LastSigned(data, self._sign(data))
        return self.last.signature


def _position(data: bytes) -> tuple[int, int, int]:
    return int.from_bytes(data[33:41], "big"), int.from_bytes(data[41:45], "big"), _ORDER[data[0]]
