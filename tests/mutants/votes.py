"""Mutants of the bounds of what a validator keeps of the votes of others; the rules of the core have their own."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

CORE = Rules("p2p/consensus/core.py", "tests/sim/test_additions.py")
VOTES = Rules("p2p/consensus/votes.py", "tests/sim/test_additions.py")
STATE = Rules("p2p/consensus/state.py", "tests/sim/test_additions.py")
TYPES = Rules("p2p/consensus/types.py", "tests/sim/test_messages.py")
GUARD = Rules("p2p/consensus/votes.py", "tests/sim/test_restart.py")

MUTANTS: tuple[Mutant, ...] = (
    CORE.without(
        "early_keeps_last",
        "self._early.setdefault(key, event)",
        "self._early[key] = event",
        "A validator takes back its vote of the next height by a second one.",
        "test_a_second_vote_of_the_next_height_does_not_take_the_place_of_the_first",
    ),
    CORE.without(
        "early_of_any_round",
        "if height == self.height + 1 and 0 <= round_ < _EARLY_ROUNDS:",
        "if height == self.height + 1 and 0 <= round_:",
        "A validator fills the memory of others with votes of the next height.",
        "test_of_the_next_height_only_the_first_rounds_are_kept",
    ),
    CORE.without(
        "early_of_any_height",
        "if height == self.height + 1 and 0 <= round_ < _EARLY_ROUNDS:",
        "if height > self.height and 0 <= round_ < _EARLY_ROUNDS:",
        "A validator fills the memory of others with votes of heights to come.",
        "test_messages_of_later_heights_ask_for_a_sync_once_a_tick",
    ),
    VOTES.without(
        "forget_commit_rounds",
        "if r >= round_ or r in kept}",
        "if r >= round_}",
        "A quorum of precommits is forgotten, and the certificate of its block has no signatures.",
        "test_rounds_long_past_are_forgotten_but_a_quorum_of_precommits_is_not",
    ),
    VOTES.without(
        "rounds_are_never_forgotten",
        "if r >= round_ or r in kept}",
        "if True}",
        "Votes of a height that takes long fill the memory.",
        "test_rounds_long_past_are_forgotten_but_a_quorum_of_precommits_is_not",
    ),
    VOTES.without(
        "forgotten_rounds_are_taken",
        "        if round_ < self._oldest:\n            return False\n",
        "",
        "A validator fills the memory of others with votes of rounds long past.",
        "test_votes_of_rounds_that_were_forgotten_are_not_taken_again",
    ),
    VOTES.without(
        "far_rounds_without_number",
        "            if len(far) > MAX_FAR_ROUNDS:\n",
        "            if False:\n",
        "A validator fills the memory of others with votes of rounds to come.",
        "test_of_the_far_rounds_of_a_validator_the_two_highest_are_kept",
    ),
    VOTES.without(
        "lowest_far_round_is_kept",
        "lowest = min(far)",
        "lowest = max(far)",
        "Validators that are far ahead are not seen, and one that was left behind stays behind.",
        "test_of_the_far_rounds_of_a_validator_the_two_highest_are_kept",
    ),
    VOTES.without(
        "vote_of_no_validator",
        "if vote.kind not in (PREVOTE, PRECOMMIT) or not 0 <= vote.validator < self.n:",
        "if vote.kind not in (PREVOTE, PRECOMMIT):",
        "Votes of indices that no validator has count towards a quorum.",
        "test_a_vote_of_no_validator_counts_nowhere",
    ),
    VOTES.without(
        "ids_without_number",
        "if len(before) == MAX_IDS or (before and before[0].block_hash == vote.block_hash):",
        "if before and before[0].block_hash == vote.block_hash:",
        "A validator fills the memory of others with votes of one round.",
        "test_two_different_votes_are_evidence_once",
    ),
    VOTES.without(
        "evicted_vote_counts",
        "                tally.counts[vote.block_hash] -= 1\n",
        "                pass\n",
        "Votes that are kept no more count, so that one validator reaches a quorum by changing rounds.",
        "test_a_vote_that_was_dropped_for_a_later_round_counts_once_when_it_comes_again",
    ),
    STATE.without(
        "old_proposals_are_kept",
        "        self.proposals = {r: held for r, held in self.proposals.items() if r >= oldest}\n",
        "",
        "Blocks of a height that takes long fill the memory.",
        "test_rounds_long_past_are_forgotten_but_a_quorum_of_precommits_is_not",
    ),
    STATE.without(
        "locked_block_is_forgotten",
        "            if name not in (self.locked, self.valid):\n",
        "            if True:\n",
        "A validator loses the block that it is locked on.",
        "test_the_block_of_a_lock_outlives_its_round",
    ),
    CORE.without(
        "proposals_of_any_round",
        "if self.step == Step.DECIDED or not self.round - KEPT_ROUNDS <= new.round <= self.round + 1:",
        "if self.step == Step.DECIDED:",
        "Proposers of rounds to come fill the memory of others with blocks.",
        "test_proposals_beyond_the_next_round_are_dropped",
    ),
    CORE.without(
        "proposals_of_a_round_without_number",
        "if len(held) == MAX_PROPOSALS or any(_same_content(new, old.proposal) for old in held):",
        "if any(_same_content(new, old.proposal) for old in held):",
        "A proposer fills the memory of others with blocks of one round.",
        "test_two_proposals_of_a_round_are_evidence_once",
    ),
    # --- signatures of votes and proposals
    TYPES.without(
        "vote_unsigned",
        "if not verify(validators[signer], domains.SIGN_CONSENSUS, data, message.signature):",
        "if False:",
        "Anybody votes for a validator.",
        "test_a_vote_under_another_name_chain_or_content_is_refused",
    ),
    TYPES.without(
        "vote_of_any_kind",
        "if vote.kind not in (PREVOTE, PRECOMMIT):",
        "if False:",
        "A message of another kind is counted as a vote.",
        "test_a_vote_that_cannot_be_is_out_of_range",
    ),
    TYPES.without(
        "vote_of_any_index",
        "if not 0 <= signer < len(validators):",
        "if signer >= len(validators):",
        "A validator has two indices, and with them two votes.",
        "test_a_vote_that_cannot_be_is_out_of_range",
    ),
    TYPES.without(
        "vote_of_any_round",
        "if not (0 <= message.round < 2**31 and message.height >= 0):",
        "if False:",
        "A round that has no bytes ends the node that checks it.",
        "test_a_vote_that_cannot_be_is_out_of_range",
    ),
    TYPES.without(
        "proposal_out_of_turn",
        "if proposal.proposer != turn:",
        "if False:",
        "Every validator proposes in every round.",
        "test_a_proposal_out_of_turn_or_with_an_impossible_valid_round_is_refused",
    ),
    TYPES.without(
        "proposal_of_any_valid_round",
        "if not NO_ROUND <= proposal.valid_round < max(proposal.round, 0):",
        "if False:",
        "A proposal claims a proof of a round that is still to come.",
        "test_a_proposal_out_of_turn_or_with_an_impossible_valid_round_is_refused",
    ),
    TYPES.without(
        "proof_of_lock_unsigned",
        "    for vote in proposal.pol:\n        check_vote(vote, validators, chain_id)\n",
        "",
        "A proposer frees the locks of others with votes that it makes up.",
        "test_one_forged_vote_in_the_proof_is_enough_to_refuse",
    ),
    GUARD.without(
        "guard_signs_in_any_order",
        "if now <= before:",
        "if False:",
        "A validator that lost its record signs a second vote.",
        "test_the_guard_refuses_after_a_prevote",
    ),
    GUARD.without(
        "guard_signs_a_step_twice",
        "if now <= before:",
        "if now < before:",
        "A validator signs two votes of one round and kind.",
        "test_the_guard_refuses_after_a_prevote",
    ),
    GUARD.without(
        "guard_of_another_chain",
        "if len(data) < _HEAD_BYTES or data[0] not in _ORDER or data[1:33] != self._chain_id:",
        "if len(data) < _HEAD_BYTES or data[0] not in _ORDER:",
        "The key of a validator signs for other chains, of whose heights it keeps no record.",
        "test_the_guard_refuses_after_a_prevote",
    ),
)
