"""One core by hand: what is not in the paper. Equivocators, resends, bounds, other heights, observers."""

from __future__ import annotations

import pytest

from p2p.blocks.block import PRECOMMIT, PREVOTE, make_cert, signers
from p2p.consensus.core import Core
from p2p.consensus.types import (
    BlockChecked,
    Broadcast,
    BuildBlock,
    CheckBlock,
    Due,
    GotCommit,
    GotProposal,
    GotVote,
    NewHeight,
    PeerStatus,
    Proposal,
    ResendTick,
    SendCommit,
    Status,
    Step,
    Sync,
    Vote,
)
from p2p.consensus.votes import KEPT_ROUNDS, HeightVotes
from tests.sim.kit import A, B, Bench, C, keys, messages, name, pol, proposal, signature, vote

# --- those who vote twice ---------------------------------------------------------------------------------


def test_an_equivocator_is_counted_for_both_of_its_ids(core: type[Core]) -> None:
    """Else one byzantine validator, by voting nil first, could keep a node from ever seeing the quorum."""
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote(3, 0, None)
    bench.prevote((3, 1), 0, A)
    assert bench.votes(PRECOMMIT) == [name(A)]


def test_two_different_votes_are_evidence_once(core: type[Core]) -> None:
    bench = Bench(core)
    bench.prevote((3,), 0, None)
    bench.prevote((3, 3), 0, A)
    [given] = bench.evidence()
    assert (given.first, given.second) == (vote(PREVOTE, 3, 0, None), vote(PREVOTE, 3, 0, A))


def test_a_third_id_of_a_validator_is_not_kept(core: type[Core]) -> None:
    bench = Bench(core)
    for block in (None, A, B, C):
        bench.prevote(3, 0, block)
    assert bench.core.votes.of(3, PREVOTE, 0) == (vote(PREVOTE, 3, 0, None), vote(PREVOTE, 3, 0, A))


def test_the_same_vote_again_is_neither_counted_nor_evidence(core: type[Core]) -> None:
    bench = Bench(core)
    bench.prevote((3, 3, 3), 0, A)
    assert not bench.last
    assert bench.core.votes.total(PREVOTE, 0) == 1


def test_two_proposals_of_a_round_are_evidence_once(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.propose(0, B)
    assert [(e.first, e.second) for e in bench.evidence()] == [(proposal(0, A), proposal(0, B))]
    bench.propose(0, C)
    assert not bench.last


def test_votes_for_different_rounds_or_kinds_are_no_evidence(core: type[Core]) -> None:
    bench = Bench(core)
    bench.prevote(3, 0, A)
    bench.prevote(3, 1, B)
    bench.precommit(3, 0, None)
    assert not bench.evidence()


def test_two_kept_ids_never_hide_a_valid_proof(core: type[Core]) -> None:
    """The proof is judged by its own signatures, not by what was counted before."""
    bench = Bench(core)
    bench.prevote((3, 2), 0, B)
    bench.prevote((3, 2), 0, C)
    bench.nil_round(0)
    bench.propose(1, A, 0, pol(0, A, (1, 2, 3)))
    assert bench.votes(PREVOTE) == [name(A)]


def test_the_votes_of_a_proof_are_counted_and_may_convict(core: type[Core]) -> None:
    bench = Bench(core)
    bench.nil_round(0)  # 1 and 2 prevoted nil
    bench.propose(1, A, 0, pol(0, A, (1, 2, 3)))
    assert [e.second for e in bench.evidence()] == [vote(PREVOTE, 1, 0, A), vote(PREVOTE, 2, 0, A)]
    assert bench.core.votes.votes_for(PREVOTE, 0, name(A)) == list(pol(0, A, (1, 2, 3)))


# --- bounds ------------------------------------------------------------------------------------------------


def test_of_the_far_rounds_of_a_validator_the_two_highest_are_kept() -> None:
    votes = HeightVotes(4)
    for round_ in (7, 9, 8, 3):
        votes.add(vote(PREVOTE, 3, round_, None), own_round=0)
    assert [r for r in range(12) if votes.of(3, PREVOTE, r)] == [8, 9]
    votes.add(vote(PREVOTE, 3, 1, None), own_round=0)
    assert votes.of(3, PREVOTE, 1)


def test_a_flood_of_rounds_leaves_two_and_moves_nobody(core: type[Core]) -> None:
    bench = Bench(core)
    for round_ in range(1, 500):
        bench.prevote(3, round_, None)
    assert bench.core.round == 0
    assert sum(bool(bench.core.votes.of(3, PREVOTE, r)) for r in range(500)) == 3  # round 1 and two far ones


def test_rounds_long_past_are_forgotten_but_a_quorum_of_precommits_is_not(core: type[Core]) -> None:
    bench = Bench(core)
    bench.precommit((1, 2, 3), 0, A)  # the block is missing
    for round_ in range(KEPT_ROUNDS + 3):
        bench.propose(round_, b"refused %d" % round_, ok=False)
        bench.timeout(Step.PRECOMMIT)
    assert bench.core.round == KEPT_ROUNDS + 3
    assert len(bench.core.blocks) <= KEPT_ROUNDS + 1
    assert not bench.core.votes.of(0, PREVOTE, 1)
    proposer = proposal(bench.core.round, A)
    bench.feed(GotProposal(proposer, True))
    bench.feed(BlockChecked(proposer.block_hash, True))
    [(_, cert)] = bench.decisions()
    assert (cert.round, signers(cert)) == (0, [1, 2, 3])


def test_votes_of_rounds_that_were_forgotten_are_not_taken_again() -> None:
    votes = HeightVotes(4)
    votes.forget_before(5)
    assert [votes.add(vote(PREVOTE, 1, round_, A), 40).counted for round_ in (0, 4, 5)] == [
        False,
        False,
        True,
    ]


def test_a_vote_that_was_dropped_for_a_later_round_counts_once_when_it_comes_again() -> None:
    votes = HeightVotes(4)
    votes.add(vote(PREVOTE, 2, 10, A), 0)
    for round_ in (10, 11, 12):
        votes.add(vote(PREVOTE, 1, round_, A), 0)
    assert not votes.of(1, PREVOTE, 10)
    assert votes.add(vote(PREVOTE, 1, 10, A), 9).counted
    assert votes.quorums(PREVOTE, 10) == []
    votes.add(vote(PREVOTE, 3, 10, A), 9)
    assert votes.quorums(PREVOTE, 10) == [name(A)]


def test_the_block_of_a_lock_outlives_its_round(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote((1, 2), 0, A)
    assert bench.core.locked == name(A)
    bench.prevote((2, 3), KEPT_ROUNDS + 9, None)
    assert (bench.core.round, bench.core.locked_round) == (KEPT_ROUNDS + 9, 0)
    assert dict(bench.core.record().blocks) == {name(A): A}


@pytest.mark.parametrize("who", [-1, 4, 255])
def test_a_vote_of_no_validator_counts_nowhere(who: int) -> None:
    votes = HeightVotes(4)
    message = Vote(PREVOTE, 1, 0, name(A), who, bytes(64))
    assert not votes.add(message, 0).counted
    assert (votes.total(PREVOTE, 0), votes.crowded) == (0, -1)


def test_a_proposer_that_is_carried_far_away_forgets_its_proposal_and_goes_on(core: type[Core]) -> None:
    bench = Bench(core, me=1)
    bench.built(A)
    bench.prevote((2, 3), KEPT_ROUNDS + 9, None)
    assert bench.core.round == KEPT_ROUNDS + 9
    bench.timeout(Step.PROPOSE)
    assert bench.votes(PREVOTE) == [None]
    assert bench.core.record().blocks == ()


def test_proposals_beyond_the_next_round_are_dropped(core: type[Core]) -> None:
    bench = Bench(core)
    assert not bench.feed(GotProposal(proposal(2, A), True))
    assert bench.feed(GotProposal(proposal(1, A), True))


# --- other heights -----------------------------------------------------------------------------------------


def test_messages_of_the_next_height_wait_for_it(core: type[Core]) -> None:
    bench = Bench(core)
    early = proposal(0, A, height=2)
    assert not bench.feed(GotProposal(early, True))
    for who in (1, 2):
        assert not bench.feed(GotVote(vote(PREVOTE, who, 0, A, height=2)))
    bench.feed(NewHeight(2, keys(4), True))
    bench.feed(BlockChecked(early.block_hash, True))
    assert bench.votes(PRECOMMIT) == [name(A)]


def test_a_second_vote_of_the_next_height_does_not_take_the_place_of_the_first(core: type[Core]) -> None:
    """Else a validator could take its vote back, once others have counted on it."""
    bench = Bench(core)
    bench.feed(GotProposal(proposal(0, A, height=2), True))
    for who, block in ((1, A), (2, A), (1, B), (2, None)):
        bench.feed(GotVote(vote(PREVOTE, who, 0, block, height=2)))
    bench.feed(NewHeight(2, keys(4), True))
    bench.feed(BlockChecked(proposal(0, A, height=2).block_hash, True))
    assert bench.votes(PRECOMMIT) == [name(A)]


def test_of_the_next_height_only_the_first_rounds_are_kept(core: type[Core]) -> None:
    bench = Bench(core)
    for round_ in (0, 1, 2, 9, 10**6):
        bench.feed(GotVote(vote(PREVOTE, 1, round_, A, height=2)))
    bench.feed(NewHeight(2, keys(4), True))
    assert [round_ for round_ in (0, 1, 2, 9, 10**6) if bench.core.votes.of(1, PREVOTE, round_)] == [0, 1]


def test_messages_of_later_heights_ask_for_a_sync_once_a_tick(core: type[Core]) -> None:
    bench = Bench(core)
    later = GotVote(vote(PREVOTE, 1, 0, A, height=3))
    assert bench.feed(later) == [Sync(1)]
    assert not bench.feed(later)
    bench.feed(ResendTick())
    assert bench.feed(later) == [Sync(1)]


def test_messages_of_earlier_heights_do_nothing(core: type[Core]) -> None:
    bench = Bench(core, height=5)
    for kind in (PREVOTE, PRECOMMIT):
        assert not bench.feed(GotVote(vote(kind, 1, 0, A, height=4)))
    assert not bench.feed(GotProposal(proposal(0, A, height=4), True))


def test_a_peer_at_a_lower_height_gets_the_commit_and_one_at_a_higher_is_asked(core: type[Core]) -> None:
    bench = Bench(core, height=5)
    bench.status("7", 0, height=3)
    assert bench.last == [SendCommit("7", 3)]
    bench.status("7", 0, height=6)
    assert bench.last == [Sync(5)]


def test_a_checked_commit_decides_at_once(core: type[Core]) -> None:
    bench = Bench(core)
    cert = make_cert(1, 4, proposal(0, A).block_hash, {i: signature(i) for i in (1, 2, 3)}, 4)
    bench.feed(GotCommit(A, cert))
    assert bench.decisions() == [(A, cert)]
    bench.feed(GotCommit(A, cert))
    assert not bench.last


# --- waiting for work --------------------------------------------------------------------------------------


def test_without_work_a_height_does_not_begin(core: type[Core]) -> None:
    bench = Bench(core, me=1, due=False)
    assert not bench.last
    assert bench.core.step == Step.WAIT
    assert BuildBlock(1, 0) in bench.feed(Due(1))


def test_a_proposal_of_others_begins_it(core: type[Core]) -> None:
    bench = Bench(core, due=False)
    bench.propose(0, A)
    assert bench.votes(PREVOTE) == [name(A)]


def test_votes_of_f_plus_1_begin_it_and_those_of_f_do_not(core: type[Core]) -> None:
    bench = Bench(core, due=False)
    bench.prevote(1, 0, None)
    assert bench.core.step == Step.WAIT
    bench.prevote(2, 0, None)
    assert (bench.core.round, bench.core.step) == (0, Step.PROPOSE)


# --- resend ------------------------------------------------------------------------------------------------


def test_the_tick_tells_where_we_are_and_what_we_hold(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote(3, 0, None)
    bench.precommit(2, 0, None)
    assert bench.feed(ResendTick()) == [Broadcast(Status(1, 0, int(Step.PREVOTE), 0b1001, 0b0100, True))]


def test_a_peer_of_our_round_gets_what_it_lacks_and_no_more(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote((1, 3), 0, A)
    bench.status("2", 0, has=0b1010, proposal=True)
    assert bench.sent_to("2") == [vote(PREVOTE, 0, 0, A), vote(PRECOMMIT, 0, 0, A)]
    bench.status("2", 0, has=0b1011, proposal=False)
    assert bench.sent_to("2") == [proposal(0, A)]


def test_both_votes_of_an_equivocator_are_always_resent(core: type[Core]) -> None:
    """The bitmap of the peer does not say for which of them it has the bit."""
    bench = Bench(core)
    bench.prevote(3, 0, None)
    bench.prevote(3, 0, A)
    bench.status("2", 0, has=0b1111, proposal=True)
    assert bench.sent_to("2") == [vote(PREVOTE, 3, 0, None), vote(PREVOTE, 3, 0, A)]


def test_a_peer_in_an_earlier_round_gets_that_round_and_our_votes_of_the_last_two(core: type[Core]) -> None:
    bench = Bench(core)
    bench.nil_round(0)
    bench.nil_round(1)
    bench.timeout(Step.PROPOSE)
    bench.status("3", 0, has=0b0111, proposal=True)
    assert {(v.round, v.kind) for v in bench.sent_to("3") if not isinstance(v, Proposal)} == {
        (1, PREVOTE),
        (1, PRECOMMIT),
        (2, PREVOTE),
    }
    bench.status("3", 0, has=0b0001, proposal=True)
    assert vote(PRECOMMIT, 2, 0, None) in bench.sent_to("3")


def test_a_peer_in_a_later_round_gets_nothing(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.status("3", 1)
    assert not bench.last


def test_a_resend_changes_nothing(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    before = bench.core.record()
    for _ in range(5):
        bench.status("3", 0)
        bench.feed(ResendTick())
    assert bench.core.record() == before
    assert len(bench.signed) == 1


# --- who signs ---------------------------------------------------------------------------------------------


def test_one_validator_alone_decides_at_once(core: type[Core]) -> None:
    """For toys: there is nobody to disagree with."""
    bench = Bench(core, n=1)
    bench.built(A)
    assert [type(m) for m in messages(bench.last)] == [
        Proposal,
        type(vote(1, 0, 0, A)),
        type(vote(2, 0, 0, A)),
    ]
    assert [block for block, _ in bench.decisions()] == [A]


def test_an_observer_signs_nothing_and_decides(core: type[Core]) -> None:
    bench = Bench(core, n=4, me=9)
    bench.propose(0, A)
    bench.prevote((0, 1, 2), 0, A)
    bench.precommit((0, 1, 2), 0, A)
    assert [block for block, _ in bench.decisions()] == [A]
    assert not bench.signed


def test_below_its_safe_height_a_validator_only_watches(core: type[Core]) -> None:
    bench = Bench(core, me=1, height=1, sign_from=2)
    bench.propose(0, A)
    bench.timeout(Step.PROPOSE)
    bench.timeout(Step.PRECOMMIT)
    assert not bench.signed
    bench.feed(NewHeight(2, keys(4), True))
    bench.timeout(Step.PROPOSE)
    assert len(bench.signed) == 1


@pytest.mark.parametrize("answer", [True, False])
def test_a_block_is_checked_once_and_a_strange_answer_is_ignored(answer: bool, core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A, ok=False)
    assert not bench.feed(BlockChecked(proposal(0, A).block_hash, answer))
    assert not bench.feed(BlockChecked(bytes(32), answer))
    assert bench.core.validity[proposal(0, A).block_hash] is False
    bench.nil_round(0)
    bench.propose(1, A, ok=None)
    assert not [a for a in bench.last if isinstance(a, CheckBlock)]
    assert bench.votes(PREVOTE) == [None]


def test_a_status_of_a_waiting_peer_is_answered_with_the_first_round(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.feed(PeerStatus("2", Status(1, -1, int(Step.WAIT), 0, 0, False)))
    assert bench.sent_to("2") == [proposal(0, A), vote(PREVOTE, 0, 0, A)]
