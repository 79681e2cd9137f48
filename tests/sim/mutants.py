"""Cores with one rule wrong each, as somebody might write them, and what must notice.

A mutant is killed by a directed test of this folder, named by its function, or by the simulator within so many
seeds at n = 4. `python -m tests.sim --mutant NAME` shows what random faults alone make of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2p.blocks.block import PRECOMMIT, PREVOTE
from p2p.consensus.core import Core
from p2p.consensus.types import (
    NO_ROUND,
    Action,
    Event,
    GotProposal,
    Persist,
    Proposal,
    SetTimer,
    SignState,
    Start,
    Step,
    Vote,
)
from p2p.consensus.votes import Added, HeightVotes, LastSigned
from p2p.simulation.model import Disk
from p2p.simulation.simulator import Simulation
from tests.sim import test_additions, test_lines, test_restart, test_schedules


@dataclass(frozen=True)
class Mutant:
    """One wrong rule.

    Args:
        killer: A directed test, called with the mutant; None where the simulator does it.
        seeds: Seeds within which the simulator must object, without a guard before the keys; 0 where it need not.
    """

    core: type[Core] = Core
    disk: type[Disk] = Disk
    killer: Callable[..., None] | None = None
    arguments: tuple[tuple[str, Any], ...] = ()
    seeds: int = 0

    def dies_by_hand(self) -> bool:
        """Whether the directed test fails for it."""
        assert self.killer is not None
        try:
            self.killer(core=self.core, **dict(self.arguments))
        except AssertionError:
            return True
        return False

    def dies_by_seed(self, first: int, seeds: int, n: int = 4) -> tuple[int, str] | None:
        """First seed at which an oracle objects, and its words."""
        for seed in range(first, first + seeds):
            found = Simulation(seed, n, core=self.core, disk=self.disk, guarded=False).run().violation
            if found is not None:
                return seed, found
        return None


class QuorumOfTwoF(Core):
    def reset(self, height: int, validators: tuple[bytes, ...]) -> None:
        super().reset(height, validators)
        self.quorum -= 1
        self.votes.quorum -= 1


class LockIgnored(Core):
    def _free_for(self, held: GotProposal) -> bool:
        return held.timely or held.proposal.valid_round >= 0


class NeverUnlocks(Core):
    def _free_for(self, held: GotProposal) -> bool:
        return self.locked in (None, held.proposal.block_hash)


class UnlocksForAnyProof(Core):
    """L29 without the comparison of rounds."""

    def _free_for(self, held: GotProposal) -> bool:
        return held.proposal.valid_round >= 0 or super()._free_for(held)


class UnlocksAfterNil(Core):
    def _nil_polka(self) -> bool:
        fired = super()._nil_polka()
        if fired:
            self.locked, self.locked_round = None, NO_ROUND
        return fired


class LocksLate(Core):
    """L37 left out."""

    def _polka(self) -> bool:
        late = self.step == Step.PRECOMMIT and not self.polka_seen
        fired = super()._polka()
        if fired and late:
            self.locked, self.locked_round = self.valid, self.valid_round
        return fired


class PolNotVerified(Core):
    def _pol_holds(self, proposal: Proposal) -> bool:
        return True


class PolCountsRepeats(Core):
    def _pol_holds(self, proposal: Proposal) -> bool:
        if proposal.valid_round == NO_ROUND:
            return True
        before = 0 <= proposal.valid_round < proposal.round
        return before and len(proposal.pol) >= self.quorum


class PolOfAnyRound(Core):
    """valid_round < round is not asked for."""

    def _pol_holds(self, proposal: Proposal) -> bool:
        later = proposal.valid_round >= proposal.round and len(proposal.pol) >= self.quorum
        return later or super()._pol_holds(proposal)


class PolLeftOut(Core):
    def _propose(self, block_hash: bytes, valid_round: int, pol: tuple[Vote, ...]) -> None:
        super()._propose(block_hash, valid_round, ())


class ForgetsValid(Core):
    """L15-16 left out: always a new block."""

    def _start_round(self, round_: int) -> None:
        self.valid, self.valid_round = None, NO_ROUND
        super()._start_round(round_)


class NoRoundSkip(Core):
    def _skip(self) -> bool:
        return False


class SkipsForOne(Core):
    """One message of a later round is enough."""

    def reset(self, height: int, validators: tuple[bytes, ...]) -> None:
        super().reset(height, validators)
        self.votes.one_honest = 1


class NoNilPrecommit(Core):
    def _nil_polka(self) -> bool:
        return False


class DoublingTimeouts(Core):
    def _set_timer(self, step: Step) -> None:
        length = self._timeouts.length(step, 0) * 2**self.round
        self._out.append(SetTimer(step, self.height, self.round, length))


class TimersWithoutQuorum(Core):
    """As in QBFT: rounds end by the clock, whoever has voted."""

    def _prevotes_are_in(self) -> bool:
        return self.step == Step.PREVOTE and not self.prevote_timer

    def _precommits_are_in(self) -> bool:
        return self.step == Step.PRECOMMIT and not self.precommit_timer


class PrecommitWithoutPolka(Core):
    """A quorum of any prevotes counts as one for the block we prevoted."""

    def _polka(self) -> bool:
        if self.step == Step.PREVOTE and self.votes.total(PREVOTE, self.round) >= self.quorum:
            for held in self.proposals.get(self.round, ()):
                name = held.proposal.block_hash
                if self.validity.get(name):
                    self.locked, self.locked_round = name, self.round
                    self._cast(PRECOMMIT, name)
                    return True
        return super()._polka()


class DecidesUnchecked(Core):
    """L50 left out."""

    def _decide(self) -> bool:
        for _, name in self.votes.commits:
            if name in self.blocks:
                self.validity[name] = True
        return super()._decide()


class _CountsTwice(HeightVotes):
    def add(self, vote: Vote, own_round: int) -> Added:
        added = super().add(vote, own_round)
        if not added.counted and self.of(vote.validator, vote.kind, vote.round):
            tally = self._rounds[vote.round].tallies[vote.kind]
            tally.counts[vote.block_hash] = tally.counts.get(vote.block_hash, 0) + 1
            if tally.counts[vote.block_hash] == self.quorum and vote.block_hash is not None:
                tally.quorums.append(vote.block_hash)
                if vote.kind == PRECOMMIT:
                    self.commits.append((vote.round, vote.block_hash))
                return Added(True, None)
        return added


class DuplicateSignerCounted(Core):
    def reset(self, height: int, validators: tuple[bytes, ...]) -> None:
        super().reset(height, validators)
        self.votes = _CountsTwice(self.n)


class _MixesRounds(HeightVotes):
    def add(self, vote: Vote, own_round: int) -> Added:
        added = super().add(vote, own_round)
        if added.counted and vote.kind == PRECOMMIT and vote.block_hash is not None:
            who = {
                voter
                for slot in self._rounds.values()
                for voter, votes in slot.tallies[PRECOMMIT].votes.items()
                if any(v.block_hash == vote.block_hash for v in votes)
            }
            if len(who) >= self.quorum:
                self.commits.append((vote.round, vote.block_hash))
        return added


class RoundsMixedInCert(Core):
    def reset(self, height: int, validators: tuple[bytes, ...]) -> None:
        super().reset(height, validators)
        self.votes = _MixesRounds(self.n)


class _FirstVoteOnly(HeightVotes):
    def add(self, vote: Vote, own_round: int) -> Added:
        if 0 <= vote.validator < self.n and self.of(vote.validator, vote.kind, vote.round):
            return Added(False, None)
        return super().add(vote, own_round)


class FirstVoteOnly(Core):
    def reset(self, height: int, validators: tuple[bytes, ...]) -> None:
        super().reset(height, validators)
        self.votes = _FirstVoteOnly(self.n)


class OldSet(Core):
    """The quorum is that of the first set of authorities for ever."""

    def reset(self, height: int, validators: tuple[bytes, ...]) -> None:
        first = getattr(self, "_first", None) or validators
        super().reset(height, first)
        self._first = first


class NoWal(Core):
    def handle(self, event: Event) -> list[Action]:
        if isinstance(event, Start):
            event = Start(None, event.height, event.validators, event.due, event.sign_from)
        return super().handle(event)


class LockLostOnRestart(Core):
    def restore(self, record: SignState) -> None:
        super().restore(record)
        self.locked, self.locked_round = None, NO_ROUND


class HeardLostOnRestart(Core):
    """It finds its own votes again, but not those of others that took it to its round."""

    def restore(self, record: SignState) -> None:
        super().restore(record)
        self.votes = HeightVotes(self.n)
        for vote in (*record.pol, *record.votes):
            self.votes.add(vote, self.round)


class StepLostOnRestart(Core):
    """It finds its locks again, but not that it has voted."""

    def restore(self, record: SignState) -> None:
        super().restore(record)
        self.votes = HeightVotes(self.n)
        for vote in record.pol:
            self.votes.add(vote, self.round)
        self.step = Step.PROPOSE


class SendsBeforePersist(Core):
    def handle(self, event: Event) -> list[Action]:
        actions = super().handle(event)
        return sorted(actions, key=lambda action: isinstance(action, Persist))


class LazyDisk(Disk):
    """Half of the writes are not synced."""

    def write(self, record: SignState, last: LastSigned | None) -> None:
        self.written = (record, last)
        if self.random.random() < 0.5:
            self.synced = self.written


MUTANTS: dict[str, Mutant] = {
    "quorum_of_two_f": Mutant(
        QuorumOfTwoF, killer=test_lines.test_l49_a_quorum_of_precommits_and_the_block_decide, seeds=20
    ),
    "lock_ignored": Mutant(LockIgnored, killer=test_schedules.test_a_lock_withstands_a_fresh_block),
    "never_unlocks": Mutant(NeverUnlocks, killer=test_lines.test_l29_a_later_proof_frees_the_lock),
    "unlocks_for_any_proof": Mutant(
        UnlocksForAnyProof, killer=test_lines.test_l29_and_32_an_earlier_proof_does_not_free_the_lock
    ),
    "unlocks_after_nil": Mutant(
        UnlocksAfterNil, killer=test_schedules.test_a_round_of_nil_does_not_open_a_lock
    ),
    "locks_late": Mutant(
        LocksLate, killer=test_lines.test_l37_in_the_precommit_step_it_is_remembered_but_not_locked
    ),
    "pol_not_verified": Mutant(
        PolNotVerified,
        killer=test_schedules.test_a_lock_withstands_a_block_whose_proof_is_none,
        arguments=(("claimed", 1),),
    ),
    "pol_counts_repeats": Mutant(PolCountsRepeats, killer=test_lines.test_l28_one_vote_repeated_is_no_proof),
    "pol_of_any_round": Mutant(
        PolOfAnyRound,
        killer=test_lines.test_l28_a_valid_round_that_is_not_before_the_round_is_dropped,
        arguments=(("valid_round", 1),),
    ),
    "pol_left_out": Mutant(
        PolLeftOut,
        killer=test_lines.test_l15_and_16_a_valid_block_is_proposed_again_with_its_round_and_proof,
        seeds=40,
    ),
    "forgets_valid": Mutant(
        ForgetsValid,
        killer=test_lines.test_l15_and_16_a_valid_block_is_proposed_again_with_its_round_and_proof,
        seeds=40,
    ),
    "no_round_skip": Mutant(
        NoRoundSkip, killer=test_schedules.test_one_that_is_left_behind_jumps_to_the_others
    ),
    "skips_for_one": Mutant(
        SkipsForOne, killer=test_lines.test_l55_f_validators_do_not_however_much_they_send
    ),
    "no_nil_precommit": Mutant(
        NoNilPrecommit, killer=test_lines.test_l44_to_46_a_quorum_of_nil_prevotes_precommits_nil
    ),
    "doubling_timeouts": Mutant(
        DoublingTimeouts, killer=test_lines.test_timers_grow_by_the_round_up_to_a_cap
    ),
    "timers_without_quorum": Mutant(
        TimersWithoutQuorum,
        killer=test_schedules.test_a_partition_in_halves_burns_no_rounds_and_heals_at_once,
    ),
    "precommit_without_polka": Mutant(
        PrecommitWithoutPolka, killer=test_lines.test_l36_mixed_prevotes_lock_nothing
    ),
    "decides_unchecked": Mutant(DecidesUnchecked, killer=test_lines.test_l50_an_invalid_block_is_not_decided),
    "duplicate_signer_counted": Mutant(
        DuplicateSignerCounted, killer=test_lines.test_l49_a_validator_is_counted_once, seeds=20
    ),
    "rounds_mixed_in_cert": Mutant(
        RoundsMixedInCert, killer=test_lines.test_l49_precommits_of_different_rounds_do_not_add_up, seeds=40
    ),
    "first_vote_only": Mutant(
        FirstVoteOnly, killer=test_additions.test_an_equivocator_is_counted_for_both_of_its_ids
    ),
    "old_set": Mutant(OldSet, killer=test_lines.test_l51_a_new_set_of_authorities_counts_with_its_own_quorum),
    "no_wal": Mutant(NoWal, seeds=40),
    "not_synced": Mutant(disk=LazyDisk, seeds=40),
    "lock_lost_on_restart": Mutant(LockLostOnRestart, killer=test_restart.test_the_lock_survives),
    "heard_lost_on_restart": Mutant(
        HeardLostOnRestart,
        killer=test_restart.test_one_that_went_ahead_and_crashed_can_still_take_the_others_along,
    ),
    "step_lost_on_restart": Mutant(
        StepLostOnRestart,
        killer=test_restart.test_it_goes_on_in_the_step_where_it_stopped,
        arguments=(("step", Step.PREVOTE),),
        seeds=40,
    ),
    "sends_before_persist": Mutant(
        SendsBeforePersist,
        killer=test_lines.test_the_record_is_durable_before_anything_newly_signed_is_sent,
        seeds=5,
    ),
}
