"""One core by hand: what each line of Algorithm 1 does, and what it must not do.

Every test is handed the class of the core, so that the mutants can be put to it too. Validator 0 is under test;
at height 1 of 4 the proposers of rounds 0, 1, 2, 3 are 1, 2, 3, 0. A quorum is 3, f + 1 is 2.
"""

from __future__ import annotations

import pytest

from p2p.blocks.block import PRECOMMIT, PREVOTE, signers
from p2p.consensus.core import Core
from p2p.consensus.types import (
    NO_ROUND,
    BlockChecked,
    BuildBlock,
    CheckBlock,
    Decide,
    GotProposal,
    NewHeight,
    Persist,
    Proposal,
    SetTimer,
    Step,
    Timeout,
)
from tests.sim.kit import A, B, Bench, keys, messages, name, pol, proposal


def test_l10_to_13_the_first_round_starts_in_the_propose_step(core: type[Core]) -> None:
    bench = Bench(core)
    assert (bench.core.height, bench.core.round, bench.core.step) == (1, 0, Step.PROPOSE)


def test_l14_and_18_the_proposer_asks_for_a_block_and_nobody_else_does(core: type[Core]) -> None:
    assert BuildBlock(1, 0) in Bench(core, me=1).last
    assert not [a for a in Bench(core, me=0).last if isinstance(a, BuildBlock)]


def test_l19_the_proposer_sends_its_new_block_without_a_valid_round(core: type[Core]) -> None:
    bench = Bench(core, me=1)
    bench.built(A)
    assert messages(bench.last)[0] == proposal(0, A)


def test_l19_a_block_that_comes_after_the_round_is_not_proposed(core: type[Core]) -> None:
    bench = Bench(core, me=1)
    bench.timeout(Step.PROPOSE)
    bench.built(A)
    assert not messages(bench.last)


def test_l15_and_16_a_valid_block_is_proposed_again_with_its_round_and_proof(core: type[Core]) -> None:
    bench = Bench(core)
    bench.locked_on(A)
    bench.nil_round(1)
    bench.nil_round(2)
    sent = next((message for message in messages(bench.last) if isinstance(message, Proposal)), None)
    assert sent is not None
    assert (sent.round, sent.block, sent.valid_round) == (3, A, 0)
    assert [v.validator for v in sent.pol] == [0, 1, 2]
    assert not [a for a in bench.last if isinstance(a, BuildBlock)]


def test_l20_and_21_the_propose_timer_is_set_at_the_start(core: type[Core]) -> None:
    assert Bench(core).timers() == [(Step.PROPOSE, 0)]


def test_l22_to_24_a_valid_fresh_block_gets_a_prevote(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    assert bench.votes(PREVOTE) == [name(A)]
    assert bench.core.step == Step.PREVOTE


def test_l22_a_block_waits_for_its_check(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A, ok=None)
    assert not messages(bench.last)
    assert [a.block for a in bench.last if isinstance(a, CheckBlock)] == [A]


def test_l22_a_proposal_out_of_turn_is_dropped(core: type[Core]) -> None:
    bench = Bench(core)
    wrong = proposal(0, A)
    wrong = Proposal(1, 0, wrong.block_hash, NO_ROUND, 3, wrong.signature, A, ())
    assert not bench.feed(GotProposal(wrong, True))


def test_l22_a_second_proposal_of_the_round_gets_no_second_prevote(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.propose(0, B)
    assert not messages(bench.last)


def test_l23_and_26_an_invalid_fresh_block_gets_nil(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A, ok=False)
    assert bench.votes(PREVOTE) == [None]


def test_l23_a_fresh_block_with_a_wrong_time_gets_nil(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A, timely=False)
    assert bench.votes(PREVOTE) == [None]


def test_l23_who_is_locked_prevotes_nil_on_another_fresh_block(core: type[Core]) -> None:
    bench = Bench(core)
    bench.locked_on(A)
    bench.propose(1, B)
    assert bench.votes(PREVOTE) == [None]


def test_l23_who_is_locked_prevotes_the_same_block_when_it_comes_fresh(core: type[Core]) -> None:
    bench = Bench(core)
    bench.locked_on(A)
    bench.propose(1, A)
    assert bench.votes(PREVOTE) == [name(A)]


def test_l28_a_proof_of_a_quorum_gets_a_prevote(core: type[Core]) -> None:
    bench = Bench(core)
    bench.nil_round(0)
    bench.propose(1, A, 0, pol(0, A, (1, 2, 3)))
    assert bench.votes(PREVOTE) == [name(A)]


def test_l28_the_time_of_a_block_does_not_count_when_it_comes_again(core: type[Core]) -> None:
    bench = Bench(core)
    bench.nil_round(0)
    bench.propose(1, A, 0, pol(0, A, (1, 2, 3)), timely=False)
    assert bench.votes(PREVOTE) == [name(A)]


@pytest.mark.parametrize(
    "proof",
    [
        (),
        pol(0, A, (1, 2)),
        pol(0, A, (1, 1, 2)),
        pol(0, B, (1, 2, 3)),
        pol(1, A, (1, 2, 3)),
        pol(0, A, (1, 2, 3), height=2),
        pol(0, A, (1, 2, 7)),
    ],
    ids=["none", "too few", "one twice", "other block", "other round", "other height", "unknown validator"],
)
def test_l28_a_proposal_without_a_valid_proof_is_dropped_not_answered(
    proof: tuple[object, ...], core: type[Core]
) -> None:
    bench = Bench(core)
    bench.nil_round(0)
    bench.propose(1, A, 0, proof)  # type: ignore[arg-type]
    assert not bench.last
    assert bench.core.step == Step.PROPOSE


def test_l28_one_vote_repeated_is_no_proof(core: type[Core]) -> None:
    bench = Bench(core)
    bench.nil_round(0)
    bench.propose(1, A, 0, pol(0, A, (3, 3, 3)))
    assert not bench.last


@pytest.mark.parametrize("valid_round", [1, 2])
def test_l28_a_valid_round_that_is_not_before_the_round_is_dropped(
    valid_round: int, core: type[Core]
) -> None:
    bench = Bench(core)
    bench.nil_round(0)
    bench.propose(1, A, valid_round, pol(valid_round, A, (1, 2, 3)))
    assert not bench.last


def test_l29_a_later_proof_frees_the_lock(core: type[Core]) -> None:
    bench = Bench(core)
    bench.locked_on(A)
    bench.nil_round(1)
    bench.propose(2, B, 1, pol(1, B, (1, 2, 3)))
    assert bench.votes(PREVOTE) == [name(B)]


def test_l29_a_proof_of_the_round_of_the_lock_frees_it(core: type[Core]) -> None:
    """Only with more than f byzantine nodes can there be one for another block; the line says <=."""
    bench = Bench(core)
    bench.locked_on(A)
    bench.propose(1, B, 0, pol(0, B, (1, 2, 3)))
    assert bench.votes(PREVOTE) == [name(B)]


def test_l29_and_32_an_earlier_proof_does_not_free_the_lock(core: type[Core]) -> None:
    bench = Bench(core)
    bench.nil_round(0)
    bench.locked_on(A, 1)
    bench.propose(2, B, 0, pol(0, B, (1, 2, 3)))
    assert bench.votes(PREVOTE) == [None]


def test_l29_an_earlier_proof_for_the_locked_block_is_answered(core: type[Core]) -> None:
    bench = Bench(core)
    bench.nil_round(0)
    bench.locked_on(A, 1)
    bench.propose(2, A, 0, pol(0, A, (1, 2, 3)))
    assert bench.votes(PREVOTE) == [name(A)]


def test_l34_and_35_a_quorum_of_mixed_prevotes_sets_the_timer_once(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote(1, 0, None)
    assert not bench.timers()
    bench.prevote(2, 0, B)
    assert bench.timers() == [(Step.PREVOTE, 0)]
    bench.prevote(3, 0, None)
    assert not bench.timers()


def test_l34_not_before_the_own_prevote(core: type[Core]) -> None:
    bench = Bench(core)
    bench.prevote((1, 2, 3), 0, None)
    assert not bench.timers()


def test_l36_to_41_a_quorum_of_prevotes_locks_and_precommits(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote(1, 0, A)
    assert not messages(bench.last)
    bench.prevote(2, 0, A)
    assert bench.votes(PRECOMMIT) == [name(A)]
    assert (bench.core.locked, bench.core.locked_round) == (name(A), 0)
    assert bench.core.step == Step.PRECOMMIT


def test_l36_mixed_prevotes_lock_nothing(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote((1, 2), 0, None)
    assert bench.votes(PRECOMMIT) == []
    assert bench.core.locked is None


def test_l36_prevotes_of_different_rounds_do_not_add_up(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote(1, 0, A)
    bench.prevote(2, 1, A)
    assert bench.core.locked is None


def test_l36_an_invalid_block_is_never_locked(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A, ok=False)
    bench.prevote((1, 2, 3), 0, A)
    assert bench.core.locked is None
    assert bench.votes(PRECOMMIT) == []


def test_l36_the_block_may_come_after_the_prevotes(core: type[Core]) -> None:
    bench = Bench(core)
    bench.prevote((2, 3), 0, A)
    bench.propose(0, A)
    assert bench.votes(PREVOTE) == bench.votes(PRECOMMIT) == [name(A)]


def test_l37_in_the_precommit_step_it_is_remembered_but_not_locked(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote((1, 2), 0, None)
    bench.timeout(Step.PREVOTE)
    assert bench.core.step == Step.PRECOMMIT
    bench.prevote((1, 2, 3), 0, A)  # 1 and 2 vote twice
    assert (bench.core.locked, bench.core.locked_round) == (None, NO_ROUND)
    assert (bench.core.valid, bench.core.valid_round) == (name(A), 0)
    assert not messages(bench.last)


def test_l42_and_43_the_valid_block_and_its_round_are_remembered(core: type[Core]) -> None:
    bench = Bench(core)
    bench.locked_on(A)
    assert (bench.core.valid, bench.core.valid_round) == (name(A), 0)


def test_l44_to_46_a_quorum_of_nil_prevotes_precommits_nil(core: type[Core]) -> None:
    bench = Bench(core)
    bench.timeout(Step.PROPOSE)
    bench.prevote((1, 2), 0, None)
    assert bench.votes(PRECOMMIT) == [None]
    assert bench.core.step == Step.PRECOMMIT


def test_l44_a_quorum_of_nil_prevotes_does_not_unlock(core: type[Core]) -> None:
    bench = Bench(core)
    bench.locked_on(A)
    bench.nil_round(1)
    assert (bench.core.locked, bench.core.locked_round) == (name(A), 0)


def test_l47_and_48_a_quorum_of_mixed_precommits_sets_the_timer_once(core: type[Core]) -> None:
    bench = Bench(core)
    bench.precommit((1, 2), 0, None)
    assert not bench.timers()
    bench.precommit(3, 0, A)
    assert bench.timers() == [(Step.PRECOMMIT, 0)]
    bench.precommit(2, 0, A)
    assert not bench.timers()


def test_l49_a_quorum_of_precommits_and_the_block_decide(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.precommit((1, 2), 0, A)
    assert not bench.decisions()
    bench.precommit(3, 0, A)
    [(block, cert)] = bench.decisions()
    assert block == A
    assert (cert.height, cert.round, cert.block_hash, signers(cert)) == (1, 0, name(A), [1, 2, 3])


def test_l49_a_quorum_of_an_earlier_round_decides(core: type[Core]) -> None:
    bench = Bench(core)
    bench.locked_on(A)
    bench.nil_round(1)
    bench.precommit(1, 0, A)
    assert not bench.decisions()
    bench.precommit(3, 0, A)  # 3 votes twice: it is counted for both
    assert [cert.round for _, cert in bench.decisions()] == [0]


def test_l49_a_quorum_of_a_later_round_decides(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.precommit((1, 2, 3), 7, A)
    assert [cert.round for _, cert in bench.decisions()] == [7]


def test_l49_precommits_of_different_rounds_do_not_add_up(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.precommit((1, 2), 0, A)
    bench.precommit(3, 1, A)
    assert not bench.decisions()


def test_l49_a_validator_is_counted_once(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.precommit((1, 1, 2, 2, 1), 0, A)
    assert not bench.decisions()


def test_l49_the_block_may_come_last(core: type[Core]) -> None:
    bench = Bench(core)
    bench.precommit((1, 2, 3), 0, A)
    assert not bench.decisions()
    bench.propose(0, A)
    assert [block for block, _ in bench.decisions()] == [A]


def test_l50_an_invalid_block_is_not_decided(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A, ok=False)
    bench.precommit((1, 2, 3), 0, A)
    assert not bench.decisions()


def test_l50_a_decision_waits_for_the_check(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A, ok=None)
    bench.precommit((1, 2, 3), 0, A)
    assert not bench.decisions()
    checked = proposal(0, A).block_hash
    assert [type(a) for a in bench.feed(BlockChecked(checked, True)) if isinstance(a, Decide)]


def test_l51_to_54_the_next_height_starts_from_nothing(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote((1, 2), 0, A)
    bench.precommit((1, 2), 0, A)
    assert bench.core.step == Step.DECIDED
    bench.feed(NewHeight(2, keys(4), True))
    assert (bench.core.height, bench.core.round, bench.core.step) == (2, 0, Step.PROPOSE)
    assert (bench.core.locked, bench.core.locked_round, bench.core.valid) == (None, NO_ROUND, None)
    assert bench.core.votes.total(PREVOTE, 0) == 0


def test_l51_a_new_set_of_authorities_counts_with_its_own_quorum(core: type[Core]) -> None:
    bench = Bench(core)
    bench.feed(NewHeight(1, keys(7), True))
    bench.n = 7
    bench.propose(0, A)
    bench.precommit((1, 2, 3, 4), 0, A)
    assert not bench.decisions()
    bench.precommit(5, 0, A)
    assert [cert.bitmap for _, cert in bench.decisions()] == [b"\x3e"]


def test_l55_and_56_f_plus_1_in_a_later_round_take_us_there(core: type[Core]) -> None:
    bench = Bench(core)
    bench.prevote(1, 5, None)
    assert bench.core.round == 0
    bench.precommit(2, 5, A)
    assert (bench.core.round, bench.core.step) == (5, Step.PROPOSE)
    assert bench.timers() == [(Step.PROPOSE, 5)]


def test_l55_f_validators_do_not_however_much_they_send(core: type[Core]) -> None:
    bench = Bench(core)
    bench.vote(PREVOTE, (1, 1), 5, None)
    bench.vote(PRECOMMIT, 1, 5, A)
    bench.vote(PREVOTE, 1, 5, A)
    assert bench.core.round == 0


def test_l55_a_proposal_counts_as_well(core: type[Core]) -> None:
    bench = Bench(core)
    bench.prevote(1, 1, None)
    bench.propose(1, A)
    assert bench.core.round == 1


def test_l57_to_60_no_proposal_in_time_gets_nil(core: type[Core]) -> None:
    bench = Bench(core)
    bench.timeout(Step.PROPOSE)
    assert bench.votes(PREVOTE) == [None]
    assert bench.core.step == Step.PREVOTE


def test_l58_the_propose_timer_does_nothing_after_the_prevote(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.timeout(Step.PROPOSE)
    assert not bench.last


def test_l61_to_64_no_agreement_in_time_precommits_nil(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote((1, 2), 0, None)
    bench.timeout(Step.PREVOTE)
    assert bench.votes(PRECOMMIT) == [None]
    assert bench.core.step == Step.PRECOMMIT


def test_l62_the_prevote_timer_does_nothing_after_the_precommit(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote((1, 2), 0, A)
    bench.timeout(Step.PREVOTE)
    assert not bench.last


def test_l65_to_67_no_decision_in_time_starts_the_next_round(core: type[Core]) -> None:
    bench = Bench(core)
    bench.timeout(Step.PRECOMMIT)
    assert (bench.core.round, bench.core.step) == (1, Step.PROPOSE)


@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT])
def test_l58_62_66_a_timer_of_another_round_or_height_does_nothing(step: Step, core: type[Core]) -> None:
    bench = Bench(core)
    bench.nil_round(0)
    assert not bench.feed(Timeout(step, 1, 0))
    assert not bench.feed(Timeout(step, 2, 1))


def test_timers_grow_by_the_round_up_to_a_cap(core: type[Core]) -> None:
    """2f + 1 that vote nil in every round must not wait longer and longer: 2^r would take a year here."""
    bench = Bench(core)
    for round_ in range(25):
        bench.nil_round(round_)
    lengths = [a.ms for a in bench.all if isinstance(a, SetTimer) and a.step == Step.PROPOSE]
    assert lengths[:4] == [300, 500, 700, 900]
    assert max(lengths) == lengths[-1] == 3_000


def test_the_record_is_durable_before_anything_newly_signed_is_sent(core: type[Core]) -> None:
    bench = Bench(core)
    bench.propose(0, A)
    bench.prevote(1, 0, A)
    bench.prevote(2, 0, A)
    first = bench.last[0]
    assert isinstance(first, Persist)
    assert {(v.kind, v.block_hash) for v in first.record.votes} == {
        (PREVOTE, name(A)),
        (PRECOMMIT, name(A)),
    }
