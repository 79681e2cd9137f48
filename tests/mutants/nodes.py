"""Mutants of what nodes take from others and when: validators, schedules, keys of homes, connections, gossip."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

WRONG = "tests/p2p/roles/test_validator_hostile.py::test_a_wrong_message_is_refused_with_its_code_and_stops_nothing"
VALIDATOR = Rules("p2p/roles/validator/validator.py", "tests/p2p/roles/test_validator_hostile.py")
INTAKE = Rules("p2p/roles/validator/intake.py", "tests/p2p/roles/test_consensus_intake.py")
CHECKS = Rules("p2p/roles/validator/batch_check.py", "tests/p2p/roles/test_unchecked_blobs.py")
MEMPOOL = Rules("p2p/roles/validator/mempool.py", "tests/p2p/roles/test_mempool.py")
ACCUSER = Rules("p2p/roles/validator/accuser.py", "tests/p2p/roles/test_accuser.py")
SCHEDULE = Rules("p2p/roles/replica/schedule.py", "tests/p2p/roles/test_schedule.py")
TURNS = Rules("p2p/roles/exchange/turns.py", "tests/p2p/roles/test_schedule.py")
HOME_KEYS = Rules("p2p/roles/collector/home_keys.py", "tests/p2p/roles/test_home_keys.py")
GATES = Rules("p2p/roles/collector/intake.py", "tests/p2p/roles/test_roles.py")
ADMISSION = Rules("p2p/transports/admission.py", "tests/p2p/transports/test_admission_of_peers.py")
KNOWN = Rules("wattswap/nodes/known.py", "tests/wattswap/nodes/test_known_peers.py")
FOLLOWED = Rules("p2p/roles/replica/ledger.py", "tests/p2p/roles/test_sync.py")

MUTANTS: tuple[Mutant, ...] = (
    VALIDATOR.without(
        "no_blob_is_ok",
        "                continue  # somebody may have it by the next round\n",
        "                ok = True\n",
        "A batch is voted for whose messages nobody has.",
        "test_a_block_is_not_right_because_its_blob_is_nowhere",
    ),
    VALIDATOR.without(
        "prevote_before_the_gate",
        "            self._schedule.check_batch(args, sender)\n            closed",
        "            closed",
        "A batch is voted for before its interval has opened, or by a stranger.",
        "test_a_batch_that_passes_over_intervals_is_neither_kept_nor_voted_for",
    ),
    VALIDATOR.without(
        "prevote_without_closings",
        "            self._schedule.check_lacking(args, sender, closed)\n",
        "",
        "A batch that lacks messages is voted for without closings.",
        "test_a_batch_that_lacks_messages_without_closings_is_neither_kept_nor_voted_for",
    ),
    VALIDATOR.without(
        "batch_without_closings_waits",
        "                self._schedule.check_lacking(args, tx.sender, closed)\n",
        "",
        "An honest validator proposes a batch that lacks messages, and its round is lost.",
        "test_a_batch_that_lacks_messages_without_closings_is_neither_kept_nor_voted_for",
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
        "test_a_batch_that_names_no_blob_is_refused",
    ),
    # --- what comes from other validators
    INTAKE.without(
        "next_set_ignored",
        "return self._ledger.validators if height == here else self._ledger.next_validators",
        "return self._ledger.validators",
        "Votes of the next height are checked with the old set, and rounds are lost at a change of the set.",
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
    ),
    CHECKS.without(
        "batch_without_a_blob",
        "if not any(args.blob_hash):",
        "if False:",
        "A batch that names no blob holds a place for a minute.",
        f"{VALIDATOR.tests}::test_a_batch_that_names_no_blob_is_refused",
    ),
    CHECKS.without(
        "blob_is_stored_unchecked",
        "                    closed: Closed = await self._offload(self._check, args, blob)\n"
        "                    if kept is None:\n"
        "                        self._blobs.put(blob, args.interval_start)\n",
        "                    if kept is None:\n"
        "                        self._blobs.put(blob, args.interval_start)\n"
        "                    closed: Closed = await self._offload(self._check, args, blob)\n",
        "A sender fills the disks of validators with junk.",
    ),
    CHECKS.without(
        "failed_check_is_right",
        "            pending.close(error)\n",
        "            pending.close(None)\n",
        "A batch that does not follow from its blob is voted for.",
    ),
    CHECKS.without(
        "checks_without_number",
        "        _drop_oldest(self._pending)\n",
        "",
        "The memory of a validator grows with every batch that anybody sends.",
    ),
    CHECKS.without(
        "known_checks_without_number",
        "            _drop_oldest(self._right)\n",
        "",
        "The memory of a validator grows with every batch of the chain.",
    ),
    # --- transactions that wait
    MEMPOOL.without(
        "mempool_of_another_chain",
        "if tx.chain_id != self._genesis.chain_id:",
        "if False:",
        "Transactions of other chains are refused with a wrong reason.",
    ),
    MEMPOOL.without(
        "mempool_nonce_twice",
        "if tx.nonce in own:",
        "if False:",
        "A sender puts another transaction in the place of the one that validators have passed on.",
    ),
    MEMPOOL.without(
        "mempool_of_one_sender",
        "if len(own) >= MAX_PER_SENDER:",
        "if False:",
        "One sender fills the mempool.",
    ),
    MEMPOOL.without(
        "mempool_without_number",
        "if self._count >= MAX_TXS or self.bytes + len(tx.raw) > MAX_BYTES:",
        "if self.bytes + len(tx.raw) > MAX_BYTES:",
        "The mempool grows beyond its number of transactions.",
    ),
    MEMPOOL.without(
        "mempool_without_bytes",
        "if self._count >= MAX_TXS or self.bytes + len(tx.raw) > MAX_BYTES:",
        "if self._count >= MAX_TXS:",
        "The mempool grows beyond its bytes.",
    ),
    MEMPOOL.without(
        "mempool_unchecked",
        "        check_tx(tip.state, tx, tip.height + 1, self._genesis, pending=pending)\n",
        "",
        "Transactions that no block can hold wait for one.",
    ),
    MEMPOOL.without(
        "mempool_keeps_what_expired",
        "if waiting.tx.valid_until_height <= tip.height:",
        "if False:",
        "Transactions that no block can hold any more take up room for ever.",
    ),
    MEMPOOL.without(
        "mempool_passes_over_what_is_held",
        "                if not own[nonce].ready:\n                    break\n",
        "                if not own[nonce].ready:\n                    continue\n",
        "A later transaction of a sender is proposed without the one before it, and dropped.",
    ),
    MEMPOOL.without(
        "mempool_keeps_later_nonces",
        "if nonce >= tx.nonce]",
        "if nonce == tx.nonce]",
        "Transactions with a gap before them wait for ever.",
    ),
    # --- accusations
    ACCUSER.without(
        "accusations_without_number",
        "if self._wrong[peer] >= WRONG_MAX or (len(self._wrong) >= PEERS_MAX and peer not in self._wrong):",
        "if len(self._wrong) >= PEERS_MAX and peer not in self._wrong:",
        "One peer has a validator check proofs of nothing without end.",
    ),
    ACCUSER.without(
        "accusers_without_number",
        "if self._wrong[peer] >= WRONG_MAX or (len(self._wrong) >= PEERS_MAX and peer not in self._wrong):",
        "if self._wrong[peer] >= WRONG_MAX:",
        "Invented peers fill the memory of a validator.",
    ),
    ACCUSER.without(
        "accusations_of_everybody",
        "if not self._may_accuse(peer):",
        "if False:",
        "Strangers have a validator check proofs.",
    ),
    ACCUSER.without(
        "wrong_accusations_are_not_counted",
        "            self._wrong[peer] += 1\n",
        "",
        "One peer has a validator check proofs of nothing without end.",
    ),
    ACCUSER.without(
        "accused_again",
        "if culprit in self._accused:",
        "if False:",
        "A validator uses up its nonces with the same proof.",
    ),
    ACCUSER.without(
        "batches_seen_without_number",
        "if len(self._seen) < SEEN_MAX:",
        "if True:",
        "The memory of a validator grows with every sender of batches.",
    ),
    # --- gates and turns
    SCHEDULE.without(
        "past_interval_is_taken",
        "            return ReceiptCode.LATE\n        within",
        "            return None\n        within",
        "A message of an interval that is settled is promised.",
    ),
    SCHEDULE.without(
        "far_interval_is_taken",
        "if interval_start not in within or self.now_ms()",
        "if self.now_ms()",
        "Messages of any later interval are kept.",
    ),
    SCHEDULE.without(
        "closed_interval_is_taken_early",
        " or self.now_ms() + TOLERANCE_MS < self.opens_ms(interval_start):\n            return ReceiptCode.EARLY",
        ":\n            return ReceiptCode.EARLY",
        "Orders of an interval that has not opened are taken.",
    ),
    SCHEDULE.without(
        "gate_never_ends",
        "if slot < self.timing.rounds and self.now_ms() > self.closes_ms(interval_start, slot):",
        "if False:",
        "Who waits longest knows the orders of all others.",
    ),
    SCHEDULE.without(
        "slot_closes_early",
        "if left_ms > 0:",
        "if False:",
        "A collector closes a slot before the homes have had their time.",
    ),
    SCHEDULE.without(
        "slot_of_any_interval_closes",
        "if interval_start != self.due_start:",
        "if False:",
        "Slots of intervals to come are closed.",
    ),
    SCHEDULE.without(
        "batch_of_any_interval",
        "if args.interval_start != self.due_start:",
        "if False:",
        "A collector passes over intervals, whose homes are not settled.",
    ),
    SCHEDULE.without(
        "batch_by_anybody",
        "if sender not in line:",
        "if False:",
        "A key that is no collector settles.",
    ),
    SCHEDULE.without(
        "batch_before_the_opening",
        "if now_ms < self.opens_ms(args.interval_start):",
        "if False:",
        "A collector settles an interval before any home could order.",
    ),
    SCHEDULE.without(
        "turn_is_taken_early",
        "if takes_it and now_ms < self.takes_over_ms(line.index(sender)):",
        "if False:",
        "A validator takes the turn of an operator that is there.",
    ),
    SCHEDULE.without(
        "closings_of_nobody",
        "        check_closers(closed, self.ledger.tip.state.validators)\n",
        "",
        "A batch that lacks messages needs no quorum.",
    ),
    SCHEDULE.without(
        "lacking_out_of_turn",
        "if self.now_ms() + TOLERANCE_MS < self.turn_ms(place):",
        "if False:",
        "A validator settles without the homes that the operator has.",
    ),
    TURNS.without(
        "gate_of_readings_is_short",
        "return max(ends_ms, settled_ms + self.gate_ms) if slot == self.rounds else ends_ms",
        "return ends_ms",
        "Readings of an interval whose time has passed are never taken.",
    ),
    TURNS.without(
        "line_does_not_turn",
        "turn = number % len(validators) if validators else 0",
        "turn = 0",
        "The same validator stands in in every interval.",
    ),
    TURNS.without(
        "line_begins_with_anybody",
        "return tuple(dict.fromkeys((first, *others))) if first in others else tuple(others)",
        "return tuple(dict.fromkeys((first, *others)))",
        "A collector that was removed comes first.",
    ),
    # --- keys of homes
    HOME_KEYS.without(
        "lost_key_asks",
        "if self.key_of(household, interval_start) != key:",
        "if False:",
        "Who has a stolen old key of a home reads its lines.",
    ),
    HOME_KEYS.without(
        "stranger_asks",
        "if first is None:",
        "if False:",
        "A key of no home ends the answer with an error that is no refusal.",
    ),
    HOME_KEYS.without(
        "newest_key_asks_for_its_interval_alone",
        "        if place is not None:\n            return self._members.ids[place]\n",
        "",
        "A home with a new key cannot ask for its earlier lines.",
    ),
    # --- gates of a collector
    GATES.without(
        "closed_gate_takes",
        "        if self.closed:\n            return ReceiptCode.LATE\n",
        "",
        "A collector promises what its batch will not hold.",
    ),
    GATES.without(
        "older_message_replaces",
        "if message.nonce < entry.message.nonce:",
        "if False:",
        "Who passes messages on brings back an order that its home has replaced.",
    ),
    GATES.without(
        "message_replaces_without_end",
        "ReceiptCode.REPLACED if entry.replacements < REPLACEMENTS_MAX else ReceiptCode.REFUSED",
        "ReceiptCode.REPLACED",
        "A home has a collector sign receipts without end.",
    ),
    GATES.without(
        "home_takes_any_share",
        "return code if self.has_room(message, signed) else ReceiptCode.REFUSED",
        "return code",
        "One home orders so much that an interval cannot be settled.",
        "tests/p2p/roles/test_shares_of_homes.py",
    ),
    GATES.without(
        "older_message_is_taken_over",
        "if before is None or before.message.nonce < message.nonce:",
        "if True:",
        "A closing brings back an order that its home has replaced.",
        "tests/p2p/roles/test_closings_of_collectors.py",
    ),
    # --- connections
    ADMISSION.without(
        "strangers_without_number",
        "if rank == Rank.STRANGER and strangers >= places.strangers:",
        "if False:",
        "Strangers take the places of members.",
    ),
    ADMISSION.without(
        "no_place_is_kept",
        "if others >= places.total - places.kept:",
        "if others >= places.total:",
        "Members take the places that are kept for collectors.",
    ),
    ADMISSION.without(
        "collectors_without_number",
        "if len(inside) >= places.total:",
        "if False:",
        "A node has more connections than its system allows.",
    ),
    ADMISSION.without(
        "address_without_number",
        "if at_address >= places.per_address:",
        "if False:",
        "One address takes all places with keys that it makes up.",
    ),
    ADMISSION.without(
        "key_without_number",
        "for older in own[: -self.places.per_key]:",
        "for older in ():",
        "One key takes all places.",
    ),
    ADMISSION.without(
        "waiting_without_number",
        "if len(self._waiting) >= self.places.waiting:",
        "if False:",
        "Connections that prove no key fill the memory of a node.",
    ),
    ADMISSION.without(
        "returning_key_finds_no_place",
        "        if own >= places.per_key:\n            return  # it takes the place of an older one\n",
        "",
        "A node that has lost its connections without a word cannot come back.",
    ),
    ADMISSION.without(
        "ended_connection_enters",
        "        if inbound.refusal is not None:\n            raise inbound.refusal\n",
        "",
        "A connection whose place was given away is used all the same.",
    ),
    ADMISSION.without(
        "newcomer_displaces_anybody",
        "found = silent or list(self._waiting)",
        "found = list(self._waiting)",
        "A flood of silent connections displaces those that are proving their key.",
    ),
    ADMISSION.without(
        "newcomer_displaces_any_address",
        "return next(inbound for inbound in found if inbound.address == crowd)",
        "return found[0]",
        "One address displaces the connections of all the others.",
    ),
    # --- who is who, and gossip
    KNOWN.without(
        "gossip_of_anybody",
        "if not self.is_collector(author):",
        "if False:",
        "Strangers have every node check their gossip.",
    ),
    KNOWN.without(
        "gossip_of_another",
        "if peer_id_of(settled.tx.sender) != author:",
        "if False:",
        "Anybody repeats old results without end.",
    ),
    KNOWN.without(
        "gossip_of_long_ago",
        "if self._newest is not None and settled.height + STALE_HEIGHTS < self._newest.trusted.height:",
        "if False:",
        "A collector repeats its old results without end.",
    ),
    KNOWN.without(
        "older_proof_is_the_newest",
        "if before is not None and settled.height <= before.trusted.height:",
        "if False:",
        "An old proof brings back the sets of then.",
    ),
    KNOWN.without(
        "left_out_operators_are_believed",
        "shown = before is None or settled.shows_operators",
        "shown = True",
        "Who leaves the operators out of a proof brings back those of the genesis.",
    ),
    KNOWN.without(
        "proofs_are_kept_without_number",
        "while len(self._checked) > CHECKED_MAX:",
        "while False:",
        "The memory of a home grows with every proof.",
    ),
    KNOWN.without(
        "trusted_file_of_another_chain",
        "if found.version != 1 or found.chain_id != self._genesis.chain_id:",
        "if False:",
        "A home believes the validators of another chain.",
    ),
    KNOWN.without(
        "everybody_is_a_member",
        "return Rank.MEMBER if peer in self._configured or self._is_home(peer) else Rank.STRANGER",
        "return Rank.MEMBER",
        "Strangers have the places of members.",
    ),
)
