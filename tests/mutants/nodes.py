"""Mutants of what nodes take from others and when: validators, schedules, keys of homes, connections, gossip."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

WRONG = "tests/p2p/roles/test_validator_hostile.py::test_a_wrong_message_is_refused_with_its_code_and_stops_nothing"
BATCHES = "tests/p2p/roles/test_hostile_batches.py"
VALIDATOR = Rules("p2p/roles/validator/validator.py", "tests/p2p/roles/test_validator_hostile.py")
INTAKE = Rules("p2p/roles/validator/intake.py", "tests/p2p/roles/test_consensus_intake.py")
CHECKS = Rules("p2p/roles/validator/batch_check.py", "tests/p2p/roles/test_unchecked_blobs.py")
MEMPOOL = Rules("p2p/roles/validator/mempool.py", "tests/p2p/roles/test_mempool.py")
ACCUSER = Rules("p2p/roles/validator/accuser.py", "tests/p2p/roles/test_accuser.py")
FOLLOWED = Rules("p2p/roles/replica/ledger.py", "tests/p2p/roles/test_sync.py")
BLOBS = Rules("p2p/roles/replica/blobs.py", VALIDATOR.tests)

MUTANTS: tuple[Mutant, ...] = (
    VALIDATOR.without(
        "no_blob_is_ok",
        "                continue  # somebody may have it by the next round\n",
        "                ok = True\n",
        "A batch is voted for whose messages nobody has.",
        f"{BATCHES}::test_a_block_is_not_right_because_its_blob_is_nowhere",
    ),
    VALIDATOR.without(
        "prevote_before_the_gate",
        "            self._schedule.check_batch(args, sender)\n            closed",
        "            closed",
        "A batch is voted for before its interval has opened, or by a stranger.",
        f"{BATCHES}::test_a_batch_that_passes_over_intervals_is_neither_kept_nor_voted_for",
    ),
    VALIDATOR.without(
        "prevote_without_closings",
        "            self._schedule.check_lacking(args, sender, closed)\n",
        "",
        "A batch that lacks messages is voted for without closings.",
        f"{BATCHES}::test_a_batch_that_lacks_messages_without_closings_is_neither_kept_nor_voted_for",
    ),
    VALIDATOR.without(
        "batch_without_closings_waits",
        "                self._schedule.check_lacking(args, tx.sender, closed)\n",
        "",
        "An honest validator proposes a batch that lacks messages, and its round is lost.",
        f"{BATCHES}::test_a_batch_that_lacks_messages_without_closings_is_neither_kept_nor_voted_for",
    ),
    VALIDATOR.without(
        "blobs_for_everybody",
        "return peer in self._operators() or self._is_in(peer, self.ledger.validators)",
        "return True",
        "Strangers read the orders of all homes.",
        "test_a_stranger_may_not_speak_to_validators_nor_read_blobs",
    ),
    VALIDATOR.without(
        "frames_of_everybody",
        "if not self._is_validator(peer):\n            raise",
        "if False:\n            raise",
        "Strangers take part in consensus traffic.",
        "test_a_stranger_may_not_speak_to_validators_nor_read_blobs",
    ),
    VALIDATOR.without(
        "batches_are_not_compared",
        "                self._accuser.compare(tx, args)\n",
        "",
        "An operator that signs two batches of an interval keeps its office.",
        f"{ACCUSER.tests}::test_an_operator_with_two_batches_of_an_interval_loses_its_office",
    ),
    VALIDATOR.without(
        "evidence_is_kept_unchecked",
        "if not proofs:",
        "if False:",
        "Peers fill the pool of evidence with what proves nothing.",
        "test_evidence_that_proves_nothing_is_counted_and_not_kept",
    ),
    VALIDATOR.without(
        "signs_right_above_a_snapshot",
        "sign_from = max(sign_from, self.ledger.store.base + 2)",
        "pass",
        "A validator that lost its records signs a second vote of a height.",
        f"{FOLLOWED.tests}::test_the_height_above_a_snapshot_is_seen_decided_before_anything_is_signed",
    ),
    VALIDATOR.without(
        "refused_batch_stays",
        "            self.mempool.drop(tx)\n",
        "",
        "A batch that was refused holds the place of a right one of its sender.",
        f"{BATCHES}::test_a_batch_that_names_no_blob_is_refused",
    ),
    # --- what comes from other validators
    INTAKE.without(
        "next_set_ignored",
        "return self._ledger.validators if height == here else self._ledger.next_validators",
        "return self._ledger.validators",
        "Votes of the next height are checked with the old set, and rounds are lost at a change of the set.",
        "test_votes_of_a_height_are_those_of_its_validators",
    ),
    INTAKE.without(
        "votes_unchecked",
        "        check_vote(vote, validators, self._chain_id)\n",
        "",
        "Any validator votes for all the others.",
        "test_votes_of_the_next_height_by_the_set_of_now_are_refused",
    ),
    INTAKE.without(
        "proposals_unchecked",
        "        check_proposal(proposal, validators, self._chain_id)\n",
        "",
        "Anybody proposes for whose turn it is.",
        f"{WRONG}[forged proposal]",
    ),
    INTAKE.without(
        "proposal_of_another_block",
        "if block_hash(header) != proposal.block_hash or header.height != proposal.height:",
        "if False:",
        "Validators vote for a hash, and others have another block for it.",
        f"{WRONG}[another block under the hash]",
    ),
    INTAKE.without(
        "proposal_with_another_body",
        "        check_body(block)\n",
        "",
        "Who passes a block on exchanges its transactions.",
        f"{WRONG}[another body under the header]",
    ),
    INTAKE.without(
        "fresh_block_of_another_proposer",
        "if proposal.valid_round == NO_ROUND and header.proposer_idx != proposal.proposer:",
        "if False:",
        "A proposer puts a block under the name of another validator.",
        f"{WRONG}[block of another builder]",
    ),
    INTAKE.without(
        "fresh_block_of_any_time",
        "-self._early_ms <= age <= self._late_ms)",
        "True)",
        "A proposer dates its block as it likes.",
        f"{VALIDATOR.tests}::test_a_bad_proposal_gets_no_prevote_and_the_next_round_decides[far future]",
    ),
    INTAKE.without(
        "messages_without_number",
        "if not meters.messages.take(max(1, len(frame.messages))):",
        "if False:",
        "One peer keeps a validator busy.",
        "test_a_peer_has_a_number_of_messages",
    ),
    INTAKE.without(
        "wrong_messages_without_number",
        "if not meters.wrong.take(0, at_least=1):",
        "if False:",
        "One peer has a validator verify wrong signatures without end.",
        "test_a_peer_has_a_number_of_wrong_messages",
    ),
    INTAKE.without(
        "statuses_without_number",
        "if meters.statuses.take(1):",
        "if True:",
        "One peer has a validator send all it knows again and again.",
        "test_a_peer_has_a_number_of_statuses_that_are_answered",
    ),
    INTAKE.without(
        "meters_without_number",
        "            if len(self._meters) >= _MAX_METERS:\n",
        "            if False:\n",
        "Invented peers fill the memory of a validator.",
        "test_peers_that_are_counted_are_bounded",
    ),
    FOLLOWED.without(
        "body_of_another_header",
        "if tx_root(block.txs) != header.tx_root:",
        "if False:",
        "Who passes a block on exchanges its transactions.",
        f"{WRONG}[another body under the header]",
    ),
    FOLLOWED.without(
        "certified_block_unchecked",
        "        check_commit(self.genesis, block.header, block_hash(block.header), cert, self.validators)\n",
        "",
        "A node follows blocks that nobody signed.",
        f"{WRONG}[commit without signatures]",
    ),
    # --- blobs that are not checked yet
    CHECKS.without(
        "blobs_without_number",
        "if name not in names and len(names) >= BLOBS_PER_INTERVAL:",
        "if False:",
        "A sender has validators fetch blobs without end.",
        "test_a_sender_has_a_number_of_blobs_an_interval_and_the_next_is_not_fetched",
    ),
    CHECKS.without(
        "batch_without_a_blob",
        "if not any(args.blob_hash):",
        "if False:",
        "A batch that names no blob holds a place for a minute.",
        f"{BATCHES}::test_a_batch_that_names_no_blob_is_refused",
    ),
    CHECKS.without(
        "blob_is_stored_unchecked",
        "                closed = None if blob is None else await self._check_blob(args, blob, until, former)\n",
        "                if blob is not None:\n"
        "                    self._blobs.put(blob, args.interval_start)\n"
        "                closed = None if blob is None else await self._check_blob(args, blob, until, former)\n",
        "A sender fills the disks of validators with junk.",
        "test_a_blob_is_on_disk_once_it_was_checked_right_and_not_before",
    ),
    CHECKS.without(
        "failed_check_is_right",
        "            pending.close(error)\n",
        "            pending.close(None)\n",
        "A batch that does not follow from its blob is voted for.",
        "test_a_blob_is_on_disk_once_it_was_checked_right_and_not_before",
    ),
    CHECKS.without(
        "checks_without_number",
        "        _drop_oldest(self._pending)\n",
        "",
        "The memory of a validator grows with every batch that anybody sends.",
        "test_the_checks_that_are_remembered_are_bounded",
    ),
    CHECKS.without(
        "known_checks_without_number",
        "            _drop_oldest(self._right)\n",
        "",
        "The memory of a validator grows with every batch of the chain.",
        "test_the_checks_that_are_remembered_are_bounded",
    ),
    # --- transactions that wait
    MEMPOOL.without(
        "mempool_of_another_chain",
        "if tx.chain_id != self._genesis.chain_id:",
        "if False:",
        "Transactions of other chains are refused with a wrong reason.",
        "test_a_transaction_of_another_chain_is_refused_as_such",
    ),
    MEMPOOL.without(
        "mempool_nonce_twice",
        "if tx.nonce in own:",
        "if False:",
        "A sender puts another transaction in the place of the one that validators have passed on.",
        "test_another_transaction_does_not_take_the_place_of_one_that_waits",
    ),
    MEMPOOL.without(
        "mempool_of_one_sender",
        "if len(own) >= MAX_PER_SENDER:",
        "if False:",
        "One sender fills the mempool.",
        "test_a_sender_has_a_number_of_places_and_others_have_theirs",
    ),
    MEMPOOL.without(
        "mempool_without_number",
        "if self._count >= MAX_TXS or self.bytes + len(tx.raw) > MAX_BYTES:",
        "if self.bytes + len(tx.raw) > MAX_BYTES:",
        "The mempool grows beyond its number of transactions.",
        "test_a_pool_has_a_number_of_places",
    ),
    MEMPOOL.without(
        "mempool_without_bytes",
        "if self._count >= MAX_TXS or self.bytes + len(tx.raw) > MAX_BYTES:",
        "if self._count >= MAX_TXS:",
        "The mempool grows beyond its bytes.",
        "test_a_pool_has_a_number_of_bytes",
    ),
    MEMPOOL.without(
        "mempool_unchecked",
        "        check_tx(tip.state, tx, tip.height + 1, self._genesis, pending=pending)\n",
        "",
        "Transactions that no block can hold wait for one.",
        "test_what_no_block_can_hold_does_not_wait",
    ),
    MEMPOOL.without(
        "mempool_keeps_what_expired",
        "if waiting.tx.valid_until_height <= tip.height:",
        "if False:",
        "Transactions that no block can hold any more take up room for ever.",
        "test_what_a_block_includes_or_lets_expire_waits_no_more",
    ),
    MEMPOOL.without(
        "mempool_passes_over_what_is_held",
        "                if not own[nonce].ready:\n                    break\n",
        "                if not own[nonce].ready:\n                    continue\n",
        "A later transaction of a sender is proposed without the one before it, and dropped.",
        "test_a_transaction_that_is_held_holds_the_later_ones_of_its_sender",
    ),
    MEMPOOL.without(
        "mempool_keeps_later_nonces",
        "if nonce >= tx.nonce]",
        "if nonce == tx.nonce]",
        "Transactions with a gap before them wait for ever.",
        "test_a_transaction_that_is_dropped_takes_the_later_ones_of_its_sender_with_it",
    ),
    # --- accusations
    ACCUSER.without(
        "accusations_without_number",
        "if self._wrong[peer] >= WRONG_MAX or (len(self._wrong) >= PEERS_MAX and peer not in self._wrong):",
        "if len(self._wrong) >= PEERS_MAX and peer not in self._wrong:",
        "One peer has a validator check proofs of nothing without end.",
        "test_a_peer_with_too_many_proofs_of_nothing_is_not_checked_any_more",
    ),
    ACCUSER.without(
        "accusers_without_number",
        "if self._wrong[peer] >= WRONG_MAX or (len(self._wrong) >= PEERS_MAX and peer not in self._wrong):",
        "if self._wrong[peer] >= WRONG_MAX:",
        "Invented peers fill the memory of a validator.",
        "test_the_peers_with_proofs_of_nothing_are_bounded",
    ),
    ACCUSER.without(
        "accusations_of_everybody",
        "if not self._may_accuse(peer):",
        "if False:",
        "Strangers have a validator check proofs.",
        "test_proofs_of_a_peer_that_is_no_member_are_not_checked",
    ),
    ACCUSER.without(
        "wrong_accusations_are_not_counted",
        "            self._wrong[peer] += 1\n",
        "",
        "One peer has a validator check proofs of nothing without end.",
        "test_a_peer_with_too_many_proofs_of_nothing_is_not_checked_any_more",
    ),
    ACCUSER.without(
        "accused_again",
        "if culprit in self._accused:",
        "if False:",
        "A validator uses up its nonces with the same proof.",
        "test_another_proof_against_the_same_key_makes_no_second_transaction",
    ),
    ACCUSER.without(
        "batches_seen_without_number",
        "if len(self._seen) < SEEN_MAX:",
        "if True:",
        "The memory of a validator grows with every sender of batches.",
        "test_the_batches_that_are_remembered_are_bounded",
    ),
    # --- gates and turns
    BLOBS.without(
        "blob_of_another_name",
        "            if blob_hash(data) != name:\n                raise WrongBlob",
        "            if False:\n                raise WrongBlob",
        "A peer gives another blob, for which an honest batch is refused.",
        f"{BATCHES}::test_a_peer_that_serves_another_blob_is_passed_over",
    ),
    BLOBS.without(
        "blobs_are_served_to_everybody",
        "        if not may_read(peer):\n",
        "        if False:\n",
        "Strangers read the orders of all homes.",
        "test_a_stranger_may_not_speak_to_validators_nor_read_blobs",
    ),
)
