"""The state of a validator at its height, and the part of it that must survive a crash.

Only bookkeeping: the rules are in `consensus.py`, the counting in `votes.py`.
"""

from __future__ import annotations

from p2p.blocks.block import PRECOMMIT, PREVOTE, quorum
from p2p.consensus.types import NO_ROUND, RECORD_VERSION, GotProposal, Proposal, SignState, Status, Step, Vote
from p2p.consensus.votes import KEPT_ROUNDS, HeightVotes


class HeightState:
    """State of one height, emptied by `reset` for the next.

    Args:
        me: Own public key.

    Attributes:
        locked: Hash of the block of L38, or None.
        valid: Hash of the block of L42, or None.
        pol: The quorum of prevotes for `valid` in `valid_round`.
        proposals: By round, in the order they came; at most two a round.
        blocks: Bytes by hash.
        validity: By hash; None while the check is under way.
    """

    def __init__(self, me: bytes) -> None:
        self._me = me
        self.reset(0, ())
        self.step = Step.DECIDED

    def reset(self, height: int, validators: tuple[bytes, ...]) -> None:
        """L2-9 and L53: a height of which nothing is known yet."""
        self.height, self.round, self.step = height, NO_ROUND, Step.WAIT
        self.n, self.quorum = len(validators), quorum(len(validators))
        self.index = validators.index(self._me) if self._me in validators else None
        self.locked: bytes | None = None
        self.locked_round = NO_ROUND
        self.valid: bytes | None = None
        self.valid_round = NO_ROUND
        self.pol: tuple[Vote, ...] = ()
        self.votes = HeightVotes(self.n)
        self.proposals: dict[int, list[GotProposal]] = {}
        self.blocks: dict[bytes, bytes] = {}
        self.validity: dict[bytes, bool | None] = {}
        self.own_votes: dict[tuple[int, int], Vote] = {}
        self.own_proposal: Proposal | None = None
        self.enter_round(NO_ROUND, Step.WAIT)

    def enter_round(self, round_: int, step: Step) -> None:
        """Go to a round, in which nothing has happened "for the first time" yet."""
        self.round, self.step = round_, step
        self.polka_seen = self.prevote_timer = self.precommit_timer = False
        if round_ > KEPT_ROUNDS:
            self._forget(round_ - KEPT_ROUNDS)

    def _forget(self, oldest: int) -> None:
        self.votes.forget_before(oldest)
        self.proposals = {r: held for r, held in self.proposals.items() if r >= oldest}
        self.own_votes = {key: vote for key, vote in self.own_votes.items() if key[0] >= oldest}
        if self.own_proposal is not None and self.own_proposal.round < oldest:
            self.own_proposal = None
        kept = {held.proposal.block_hash for each in self.proposals.values() for held in each}
        kept.update(block_hash for _, block_hash in self.votes.commits)
        for name in [name for name in self.blocks if name not in kept]:
            if name not in (self.locked, self.valid):
                del self.blocks[name], self.validity[name]

    def recent_votes(self) -> list[Vote]:
        """Own votes of this round and the one before."""
        return [vote for (round_, _), vote in self.own_votes.items() if round_ >= self.round - 1]

    def lacking(self, status: Status) -> list[Vote | Proposal]:
        """What a peer in this round or an earlier one lacks there, and what takes it to ours."""
        round_ = max(status.round, 0)
        found: list[Vote | Proposal] = []
        if not status.has_proposal:
            found += [held.proposal for held in self.proposals.get(round_, ())]
        found += self.votes.lacking(PREVOTE, round_, status.prevotes)
        found += self.votes.lacking(PRECOMMIT, round_, status.precommits)
        if status.round < self.round:
            found += [vote for vote in self.recent_votes() if vote.round != round_]
        return found

    def status(self) -> Status:
        """What others need to know to resend what is missing here."""
        return Status(
            self.height,
            self.round,
            int(self.step),
            self.votes.held(PREVOTE, self.round),
            self.votes.held(PRECOMMIT, self.round),
            bool(self.proposals.get(self.round)),
        )

    def knows(self, vote: Vote) -> bool:
        """Whether this very vote was counted, so that its signature need not be checked again."""
        return vote.height == self.height and vote in self.votes.of(vote.validator, vote.kind, vote.round)

    def record(self) -> SignState:
        """What must be durable before anything signed so far may be sent."""
        own = self.own_proposal
        names = {self.locked, self.valid, own.block_hash if own else None}
        return SignState(
            RECORD_VERSION,
            self.height,
            self.round,
            self.locked_round,
            self.locked,
            self.valid_round,
            self.valid,
            self.pol,
            tuple(self.own_votes.values()),
            tuple(vote for vote in self.votes.around(self.round) if vote.validator != self.index),
            _with_block(own, b"") if own else None,
            tuple((name, self.blocks[name]) for name in sorted(name for name in names if name)),
        )

    def restore(self, record: SignState) -> None:
        """Take up the height where the record left it."""
        voted = {vote.kind for vote in record.votes if vote.round == record.round}
        step = Step.PRECOMMIT if PRECOMMIT in voted else Step.PREVOTE if PREVOTE in voted else Step.PROPOSE
        self.enter_round(record.round, step)
        self.locked_round, self.locked = record.locked_round, record.locked_hash
        self.valid_round, self.valid = record.valid_round, record.valid_hash
        self.pol = record.pol
        self.blocks = dict(record.blocks)
        self.validity = dict.fromkeys(self.blocks, True)
        for vote in (*record.pol, *record.votes, *record.heard):
            self.votes.add(vote, self.round)
        self.own_votes = {(vote.round, vote.kind): vote for vote in record.votes}
        if record.proposal is not None:
            own = _with_block(record.proposal, self.blocks[record.proposal.block_hash])
            self.own_proposal = own
            self.proposals[own.round] = [GotProposal(own, True)]
            self.votes.note_proposer(own.round, own.proposer)


def _with_block(proposal: Proposal, block: bytes) -> Proposal:
    return Proposal(
        proposal.height,
        proposal.round,
        proposal.block_hash,
        proposal.valid_round,
        proposal.proposer,
        proposal.signature,
        block,
        proposal.pol,
    )
