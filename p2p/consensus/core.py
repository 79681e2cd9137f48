"""Tendermint (arXiv:1807.04938, Algorithm 1) as a pure state machine: events in, ordered actions out.

Rule 1: `Core.handle` is deterministic. There is no clock, socket, disk, random source or hash function here;
what comes from outside is an event, what shall happen outside is an action.
Rule 2: a list of actions with a new signature in it starts with `Persist`.
Rule 3: L numbers are lines of the algorithm. docs/explanation/consensus.md says what was added to it and why.
"""

from __future__ import annotations

from collections.abc import Callable

from p2p.blocks.block import PRECOMMIT, PREVOTE, make_cert, proposer_index, vote_bytes
from p2p.consensus.state import HeightState
from p2p.consensus.types import (
    NO_ROUND,
    PROPOSAL,
    Action,
    BlockBuilt,
    BlockChecked,
    Broadcast,
    BuildBlock,
    CheckBlock,
    Decide,
    Due,
    Event,
    Evidence,
    GotCommit,
    GotProposal,
    GotVote,
    NewHeight,
    PeerStatus,
    Persist,
    Proposal,
    ResendTick,
    SendCommit,
    SendTo,
    SetTimer,
    SignState,
    Start,
    Status,
    Step,
    Sync,
    Timeout,
    Timeouts,
    Vote,
    proposal_bytes,
)
from p2p.consensus.votes import KEPT_ROUNDS

MAX_PROPOSALS = 2
"""Proposals kept per round; the second proves that the proposer misbehaves."""

_EARLY_ROUNDS = 2
"""Rounds of the next height whose first messages are kept until that height begins here."""


class Core(HeightState):
    """One validator, or an observer that follows without signing.

    After an exception (the key refuses to sign) the object must not be used again: restart from the record.

    Args:
        chain_id: Goes into every sign-bytes.
        me: Own public key; one that is not in the set of a height only observes that height.
        sign: Signature of sign-bytes; a `SignGuard.sign`.
        timeouts: Lengths of the timers.
    """

    def __init__(
        self, chain_id: bytes, me: bytes, sign: Callable[[bytes], bytes], timeouts: Timeouts
    ) -> None:
        super().__init__(me)
        self._chain_id = chain_id
        self._sign = sign
        self._timeouts = timeouts
        self._out: list[Action] = []
        self._signed = False
        self._sign_from = 0
        self._stored: SignState | None = None
        self._early: dict[tuple[int, int, int], GotVote | GotProposal] = {}
        self._asked = False

    def handle(self, event: Event) -> list[Action]:
        """Take one event; return what must be done, in this order.

        Raises:
            SignRefused: By the key: this validator must stop.
        """
        self._out, self._signed = [], False
        self._dispatch(event)
        if self._signed:
            self._out.insert(0, Persist(self.record()))
        return self._out

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due at this height, and nobody is known to be ahead."""
        return self.step == Step.WAIT and not self._asked

    # --- events ---------------------------------------------------------------------------------------

    def _dispatch(self, event: Event) -> None:
        match event:
            case GotVote():
                self._on_vote(event)
            case GotProposal():
                self._on_proposal(event)
            case PeerStatus():
                self._on_status(event.peer, event.status)
            case Timeout():
                self._on_timeout(event)
            case ResendTick():
                self._asked = False
                self._out.append(Broadcast(self.status()))
            case BlockChecked():
                if self.validity.get(event.block_hash, True) is None:
                    self.validity[event.block_hash] = event.ok
                    self._run()
            case BlockBuilt():
                self._on_built(event)
            case GotCommit():
                if event.cert.height == self.height and self.step != Step.DECIDED:
                    self.step = Step.DECIDED
                    self._out.append(Decide(event.block, event.cert))
            case Due():
                if event.height == self.height and self.step == Step.WAIT:
                    self._start_round(0)
                    self._run()
            case NewHeight():
                self._enter(event.height, event.validators, event.due)
            case Start():
                self._stored, self._sign_from = event.record, event.sign_from
                self._enter(event.height, event.validators, event.due)

    def _enter(self, height: int, validators: tuple[bytes, ...], due: bool) -> None:
        """L10 and L51-54, or the same height again after a restart."""
        self.reset(height, validators)
        self._asked = False
        stored, self._stored = self._stored, None
        if stored is not None and stored.height > height:
            # The chain lost blocks that we helped to decide: watch until it has caught up.
            self._stored, self._sign_from = stored, max(self._sign_from, stored.height)
        if stored is not None and stored.height == height:
            self._resume(stored)
        elif due:
            self._start_round(0)
        self._run()
        early, self._early = self._early, {}
        for event in early.values():
            self._dispatch(event)

    def _resume(self, record: SignState) -> None:
        """Send the same bytes again; the rules that follow set the timers again."""
        self.restore(record)
        if self.own_proposal is not None:
            self._out.append(Broadcast(self.own_proposal))
        self._out += [Broadcast(vote) for vote in self.own_votes.values()]
        if self.step == Step.PROPOSE:
            self._start_round(self.round)

    def _on_vote(self, event: GotVote) -> None:
        vote = event.vote
        if vote.height != self.height:
            self._on_other_height(vote.height, (vote.kind, vote.round, vote.validator), event)
        elif self.step != Step.DECIDED and self._count(vote):
            self._run()

    def _on_proposal(self, event: GotProposal) -> None:
        new = event.proposal
        if new.height != self.height:
            self._on_other_height(new.height, (PROPOSAL, new.round, 0), event)
            return
        if self.step == Step.DECIDED or not self.round - KEPT_ROUNDS <= new.round <= self.round + 1:
            return
        if new.proposer != proposer_index(new.height, new.round, self.n) or not self._pol_holds(new):
            return
        held = self.proposals.setdefault(new.round, [])
        if len(held) == MAX_PROPOSALS or any(_same_content(new, old.proposal) for old in held):
            return
        if held:
            self._out.append(Evidence(held[0].proposal, new))
        held.append(event)
        self.votes.note_proposer(new.round, new.proposer)
        for vote in new.pol:
            self._count(vote)
        if new.block_hash not in self.blocks:
            self.blocks[new.block_hash] = new.block
            self.validity[new.block_hash] = None
            self._out.append(CheckBlock(new.block_hash, new.block))
        if self.step == Step.WAIT and new.round == 0:
            self._start_round(0)
        self._run()

    def _on_other_height(self, height: int, key: tuple[int, int, int], event: GotVote | GotProposal) -> None:
        kind, round_, _ = key
        if height == self.height + 1 and 0 <= round_ < _EARLY_ROUNDS:
            if kind in (PROPOSAL, PREVOTE, PRECOMMIT):
                self._early.setdefault(key, event)
        elif height > self.height:
            self._ask()

    def _on_built(self, event: BlockBuilt) -> None:
        if (event.height, event.round, self.step) != (self.height, self.round, Step.PROPOSE):
            return  # too late: the round has gone on
        if self._my_turn():
            self.blocks[event.block_hash] = event.block
            self.validity[event.block_hash] = True
            self._propose(event.block_hash, NO_ROUND, ())
            self._run()

    def _on_timeout(self, event: Timeout) -> None:
        if (event.height, event.round) != (self.height, self.round) or self.step == Step.DECIDED:
            return
        if event.step == Step.PROPOSE and self.step == Step.PROPOSE:  # L57-60
            self._cast(PREVOTE, None)
        elif event.step == Step.PREVOTE and self.step == Step.PREVOTE:  # L61-64
            self._cast(PRECOMMIT, None)
        elif event.step == Step.PRECOMMIT:  # L65-67
            self._start_round(self.round + 1)
        self._run()

    def _on_status(self, peer: str, status: Status) -> None:
        if status.height > self.height:
            self._ask()
        elif 0 < status.height < self.height:
            self._out.append(SendCommit(peer, status.height))
        elif status.height == self.height and self._can_help(status):
            self._out += [SendTo(peer, message) for message in self.lacking(status)]

    def _can_help(self, status: Status) -> bool:
        """Whether that peer is not ahead of us; one that is answers our own status."""
        return self.step not in (Step.WAIT, Step.DECIDED) and status.round <= self.round

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._out.append(Sync(self.height))

    # --- rules ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Apply the rules until none fires."""
        while self.step != Step.DECIDED and (
            self._decide() or self._skip() or self._answer() or self._polka() or self._nil_polka()
        ):
            pass
        if self._prevotes_are_in():  # L34-35
            self.prevote_timer = True
            self._set_timer(Step.PREVOTE)
        if self._precommits_are_in():  # L47-48
            self.precommit_timer = True
            self._set_timer(Step.PRECOMMIT)

    def _prevotes_are_in(self) -> bool:
        if self.prevote_timer or self.step != Step.PREVOTE:
            return False
        return self.votes.total(PREVOTE, self.round) >= self.quorum

    def _precommits_are_in(self) -> bool:
        if self.precommit_timer or self.step == Step.DECIDED:
            return False
        return self.votes.total(PRECOMMIT, self.round) >= self.quorum

    def _start_round(self, round_: int) -> None:
        """L11-21. The proposer sets the timer too, because its block is built elsewhere and may not come."""
        self.enter_round(round_, Step.PROPOSE)
        self._set_timer(Step.PROPOSE)
        if self._my_turn():
            if self.valid is not None:  # L15-16
                self._propose(self.valid, self.valid_round, self.pol)
            else:
                self._out.append(BuildBlock(self.height, round_))

    def _decide(self) -> bool:
        """L49-50: a quorum of precommits in any round, and the block, which is valid."""
        for round_, block_hash in self.votes.commits:
            if self.validity.get(block_hash):
                votes = self.votes.votes_for(PRECOMMIT, round_, block_hash)
                signatures = {vote.validator: vote.signature for vote in votes}
                self.step = Step.DECIDED
                cert = make_cert(self.height, round_, block_hash, signatures, self.n)
                self._out.append(Decide(self.blocks[block_hash], cert))
                return True
        return False

    def _skip(self) -> bool:
        """L55-56: f + 1 validators are in a later round, so an honest one is."""
        if self.votes.crowded <= self.round:
            return False
        self._start_round(self.votes.crowded)
        return True

    def _answer(self) -> bool:
        """L22-33: prevote on a proposal of this round, as soon as its block has been checked."""
        if self.step != Step.PROPOSE:
            return False
        for held in self.proposals.get(self.round, ()):
            block_hash = held.proposal.block_hash
            free, valid = self._free_for(held), self.validity.get(block_hash)
            if not free or valid is not None:
                self._cast(PREVOTE, block_hash if free and valid else None)
                return True
        return False

    def _free_for(self, held: GotProposal) -> bool:
        """Second half of L23 and L29: no lock forbids this block."""
        proposal = held.proposal
        if proposal.valid_round == NO_ROUND:
            return held.timely and (self.locked_round == NO_ROUND or self.locked == proposal.block_hash)
        return self.locked_round <= proposal.valid_round or self.locked == proposal.block_hash

    def _pol_holds(self, proposal: Proposal) -> bool:
        """L28: valid round before this one, and a quorum of prevotes there, proved by the POL itself."""
        if proposal.valid_round == NO_ROUND:
            return True
        if not 0 <= proposal.valid_round < proposal.round:
            return False
        wanted = (PREVOTE, self.height, proposal.valid_round, proposal.block_hash)
        who = set()
        for vote in proposal.pol:
            if (vote.kind, vote.height, vote.round, vote.block_hash) != wanted:
                return False
            if not 0 <= vote.validator < self.n:
                return False
            who.add(vote.validator)
        return len(who) >= self.quorum

    def _polka(self) -> bool:
        """L36-43: a quorum of prevotes for a valid block. Lock it when still in the prevote step."""
        if self.polka_seen or self.step not in (Step.PREVOTE, Step.PRECOMMIT):
            return False
        for block_hash in self.votes.quorums(PREVOTE, self.round):
            if block_hash is not None and self.validity.get(block_hash):
                self.polka_seen = True
                self.valid, self.valid_round = block_hash, self.round
                self.pol = tuple(self.votes.votes_for(PREVOTE, self.round, block_hash)[: self.quorum])
                if self.step == Step.PREVOTE:
                    self.locked, self.locked_round = block_hash, self.round
                    self._cast(PRECOMMIT, block_hash)
                return True
        return False

    def _nil_polka(self) -> bool:
        """L44-46."""
        if self.step != Step.PREVOTE or None not in self.votes.quorums(PREVOTE, self.round):
            return False
        self._cast(PRECOMMIT, None)
        return True

    # --- signing and sending --------------------------------------------------------------------------

    def _may_sign(self) -> bool:
        return self.index is not None and self.height >= self._sign_from

    def _my_turn(self) -> bool:
        """Whether to propose in this round, and not done yet."""
        mine = self.index == proposer_index(self.height, self.round, self.n)
        return mine and self._may_sign() and not self.proposals.get(self.round)

    def _cast(self, kind: int, block_hash: bytes | None) -> None:
        """Vote and go to the next step; never twice for a round and kind, not even the same."""
        self.step = Step.PREVOTE if kind == PREVOTE else Step.PRECOMMIT
        if self.index is None or not self._may_sign() or self.votes.of(self.index, kind, self.round):
            return
        data = vote_bytes(kind, self._chain_id, self.height, self.round, block_hash)
        vote = Vote(kind, self.height, self.round, block_hash, self.index, self._sign(data))
        self._signed = True
        self.own_votes[self.round, kind] = vote
        self._count(vote)
        self._out.append(Broadcast(vote))

    def _propose(self, block_hash: bytes, valid_round: int, pol: tuple[Vote, ...]) -> None:
        """L19."""
        assert self.index is not None
        data = proposal_bytes(self._chain_id, self.height, self.round, block_hash, valid_round)
        block, signature = self.blocks[block_hash], self._sign(data)
        own = Proposal(self.height, self.round, block_hash, valid_round, self.index, signature, block, pol)
        self._signed = True
        self.own_proposal = own
        self.proposals[self.round] = [GotProposal(own, True)]
        self.votes.note_proposer(self.round, self.index)
        self._out.append(Broadcast(own))

    def _count(self, vote: Vote) -> bool:
        added = self.votes.add(vote, self.round)
        if added.conflict is not None:
            self._out.append(Evidence(added.conflict, vote))
        return added.counted

    def _set_timer(self, step: Step) -> None:
        length = self._timeouts.length(step, self.round)
        self._out.append(SetTimer(step, self.height, self.round, length))


def _same_content(one: Proposal, other: Proposal) -> bool:
    return (one.block_hash, one.valid_round) == (other.block_hash, other.valid_round)
