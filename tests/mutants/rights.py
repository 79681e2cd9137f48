"""Mutants of who may do what and when: keys of homes, gates, turns, admission."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

SCHEDULE = Rules("p2p/roles/replica/schedule.py", "tests/p2p/roles/test_schedule.py")
TURNS = Rules("p2p/roles/exchange/turns.py", "tests/p2p/roles/test_schedule.py")
HOME_KEYS = Rules("p2p/roles/collector/home_keys.py", "tests/p2p/roles/test_home_keys.py")
GATES = Rules("p2p/roles/collector/intake.py", "tests/p2p/roles/test_roles.py")
ADMISSION = Rules("p2p/transports/admission.py", "tests/p2p/transports/test_admission_of_peers.py")
KNOWN = Rules("wattswap/nodes/known.py", "tests/wattswap/nodes/test_known_peers.py")

MUTANTS: tuple[Mutant, ...] = (
    SCHEDULE.without(
        "past_interval_is_taken",
        "            return ReceiptCode.LATE\n        within",
        "            return None\n        within",
        "A message of an interval that is settled is promised.",
        "test_messages_of_few_later_intervals_are_taken_and_of_no_earlier_one",
    ),
    SCHEDULE.without(
        "far_interval_is_taken",
        "if interval_start not in within or self.now_ms()",
        "if self.now_ms()",
        "Messages of any later interval are kept.",
        "test_messages_of_few_later_intervals_are_taken_and_of_no_earlier_one",
    ),
    SCHEDULE.without(
        "closed_interval_is_taken_early",
        " or self.now_ms() + TOLERANCE_MS < self.opens_ms(interval_start):\n            return ReceiptCode.EARLY",
        ":\n            return ReceiptCode.EARLY",
        "Orders of an interval that has not opened are taken.",
        "test_a_message_is_taken_from_the_opening_to_the_end_of_its_gate",
    ),
    SCHEDULE.without(
        "gate_never_ends",
        "if slot < self.timing.rounds and self.now_ms() > self.closes_ms(interval_start, slot):",
        "if False:",
        "Who waits longest knows the orders of all others.",
        "test_a_message_is_taken_from_the_opening_to_the_end_of_its_gate",
    ),
    SCHEDULE.without(
        "slot_closes_early",
        "if left_ms > 0:",
        "if False:",
        "A collector closes a slot before the homes have had their time.",
        "test_a_slot_is_closed_when_its_gate_has_ended_by_the_own_clock_and_not_before",
    ),
    SCHEDULE.without(
        "slot_of_any_interval_closes",
        "if interval_start != self.due_start:",
        "if False:",
        "Slots of intervals to come are closed.",
        "test_slots_of_the_interval_that_is_settled_next_alone_are_closed",
    ),
    SCHEDULE.without(
        "batch_of_any_interval",
        "if args.interval_start != self.due_start:",
        "if False:",
        "A collector passes over intervals, whose homes are not settled.",
        "test_a_batch_of_another_interval_is_not_in_turn",
    ),
    SCHEDULE.without(
        "batch_by_anybody",
        "if sender not in line:",
        "if False:",
        "A key that is no collector settles.",
        "test_a_batch_by_a_stranger_is_never_in_turn",
    ),
    SCHEDULE.without(
        "batch_before_the_opening",
        "if now_ms < self.opens_ms(args.interval_start):",
        "if False:",
        "A collector settles an interval before any home could order.",
        "test_a_batch_may_settle_the_next_interval_as_soon_as_it_has_opened",
    ),
    SCHEDULE.without(
        "turn_is_taken_early",
        "if takes_it and now_ms < self.takes_over_ms(line.index(sender)):",
        "if False:",
        "A validator takes the turn of an operator that is there.",
        "test_a_validator_names_itself_only_when_its_turn_to_take_over_has_come",
    ),
    SCHEDULE.without(
        "closings_of_nobody",
        "        check_closers(closed, self.ledger.tip.state.validators)\n",
        "",
        "A batch that lacks messages needs no quorum.",
        "test_each_slot_that_lacks_messages_needs_closings_of_a_quorum_of_the_validators_of_now",
    ),
    SCHEDULE.without(
        "lacking_out_of_turn",
        "if self.now_ms() + TOLERANCE_MS < self.turn_ms(place):",
        "if False:",
        "A validator settles without the homes that the operator has.",
        "test_a_batch_that_lacks_messages_needs_the_turn_of_its_sender",
    ),
    SCHEDULE.without(
        "readings_of_an_outage_are_late",
        "return max(self.ledger.settled_ms, self._began_ms)",
        "return self.ledger.settled_ms",
        "Nobody has a reading in the interval that was open when all were down, and nobody is billed for it.",
        "test_a_node_that_was_down_gives_readings_a_gate_after_its_start_and_orders_none",
    ),
    TURNS.without(
        "gate_of_readings_is_short",
        "return max(ends_ms, ready_ms + self.gate_ms) if slot == self.rounds else ends_ms",
        "return ends_ms",
        "Readings of an interval whose time has passed are never taken.",
        "test_readings_of_an_interval_whose_time_has_passed_have_a_gate_after_the_one_before_was_settled",
    ),
    TURNS.without(
        "line_does_not_turn",
        "turn = number % len(validators) if validators else 0",
        "turn = 0",
        "The same validator stands in in every interval.",
        "test_the_line_has_everybody_once_and_another_validator_first_in_each_interval",
    ),
    TURNS.without(
        "line_begins_with_anybody",
        "return tuple(dict.fromkeys((first, *others))) if first in others else tuple(others)",
        "return tuple(dict.fromkeys((first, *others)))",
        "A collector that was removed comes first.",
        "test_the_line_has_everybody_once_and_another_validator_first_in_each_interval",
    ),
    # --- keys of homes
    HOME_KEYS.without(
        "lost_key_asks",
        "if self.key_of(household, interval_start, Kind.LINE_QUERY) != key:",
        "if False:",
        "Who has a stolen old key of a home reads its lines.",
        "test_a_home_asks_with_its_newest_key_or_with_that_of_the_interval",
    ),
    HOME_KEYS.without(
        "stranger_asks",
        "if first is None:",
        "if False:",
        "A key of no home ends the answer with an error that is no refusal.",
        "test_a_home_asks_with_its_newest_key_or_with_that_of_the_interval",
    ),
    HOME_KEYS.without(
        "newest_key_asks_for_its_interval_alone",
        "        if place is not None:\n            return self._members.ids[place]\n",
        "",
        "A home with a new key cannot ask for its earlier lines.",
        "test_a_home_asks_with_its_newest_key_or_with_that_of_the_interval",
    ),
    # --- gates of a collector
    GATES.without(
        "closed_gate_takes",
        "        if self.closed:\n            return ReceiptCode.LATE\n",
        "",
        "A collector promises what its batch will not hold.",
        "test_a_late_order_is_refused_by_receipt_counted_and_changes_nothing",
    ),
    GATES.without(
        "older_message_replaces",
        "if message.nonce < entry.message.nonce:",
        "if False:",
        "Who passes messages on brings back an order that its home has replaced.",
        "test_a_second_message_replaces_the_first_only_with_a_higher_nonce",
    ),
    GATES.without(
        "message_replaces_without_end",
        "ReceiptCode.REPLACED if entry.replacements < REPLACEMENTS_MAX else ReceiptCode.REFUSED",
        "ReceiptCode.REPLACED",
        "A home has a collector sign receipts without end.",
        "test_a_second_replacement_is_refused",
    ),
    GATES.without(
        "home_takes_any_share",
        "return code if self.has_room(message, signed) else ReceiptCode.REFUSED",
        "return code",
        "One home orders so much that an interval cannot be settled.",
        "tests/p2p/roles/test_shares_of_homes.py::test_beyond_its_share_a_home_is_refused_and_the_rounds_before_and_after_stand",
    ),
    GATES.without(
        "older_message_is_taken_over",
        "if before is None or before.message.nonce < message.nonce:",
        "if True:",
        "A closing brings back an order that its home has replaced.",
        "tests/p2p/roles/test_closings_of_collectors.py::test_of_what_is_taken_over_the_newest_message_of_each_home_counts",
    ),
    # --- connections
    ADMISSION.without(
        "strangers_without_number",
        "if rank == Rank.STRANGER and strangers >= places.strangers:",
        "if False:",
        "Strangers take the places of members.",
        "test_strangers_have_a_part_of_the_places_and_members_the_rest",
    ),
    ADMISSION.without(
        "no_place_is_kept",
        "if others >= places.total - places.kept:",
        "if others >= places.total:",
        "Members take the places that are kept for collectors.",
        "test_strangers_have_a_part_of_the_places_and_members_the_rest",
    ),
    ADMISSION.without(
        "collectors_without_number",
        "if len(inside) >= places.total:",
        "if False:",
        "A node has more connections than its system allows.",
        "test_places_are_kept_for_collectors_until_all_are_taken",
    ),
    ADMISSION.without(
        "address_without_number",
        "if at_address >= places.per_address:",
        "if False:",
        "One address takes all places with keys that it makes up.",
        "test_an_address_has_a_number_of_connections_but_not_for_collectors",
    ),
    ADMISSION.without(
        "key_without_number",
        "for older in own[: -self.places.per_key]:",
        "for older in ():",
        "One key takes all places.",
        "test_a_key_has_a_number_of_connections_and_its_newest_stay",
    ),
    ADMISSION.without(
        "waiting_without_number",
        "if len(self._waiting) >= self.places.waiting:",
        "if False:",
        "Connections that prove no key fill the memory of a node.",
        "test_a_newcomer_takes_the_place_of_the_oldest_that_said_nothing",
    ),
    ADMISSION.without(
        "returning_key_finds_no_place",
        "        if own >= places.per_key:\n            return  # it takes the place of an older one\n",
        "",
        "A node that has lost its connections without a word cannot come back.",
        "test_a_key_that_returns_finds_a_place_though_all_are_taken",
    ),
    ADMISSION.without(
        "ended_connection_enters",
        "        if inbound.refusal is not None:\n            raise inbound.refusal\n",
        "",
        "A connection whose place was given away is used all the same.",
        "test_one_that_was_ended_does_not_enter_any_more",
    ),
    ADMISSION.without(
        "newcomer_displaces_anybody",
        "found = silent or list(self._waiting)",
        "found = list(self._waiting)",
        "A flood of silent connections displaces those that are proving their key.",
        "test_a_newcomer_takes_the_place_of_the_oldest_that_said_nothing",
    ),
    ADMISSION.without(
        "newcomer_displaces_any_address",
        "return next(inbound for inbound in found if inbound.address == crowd)",
        "return found[0]",
        "One address displaces the connections of all the others.",
        "test_of_several_addresses_that_with_most_loses_a_place",
    ),
    # --- who is who, and gossip
    KNOWN.without(
        "gossip_of_anybody",
        "if not self.is_collector(author):",
        "if False:",
        "Strangers have every node check their gossip.",
        "test_gossip_is_the_proof_of_a_result_by_who_settled_it",
    ),
    KNOWN.without(
        "gossip_of_another",
        "if peer_id_of(settled.tx.sender) != author:",
        "if False:",
        "Anybody repeats old results without end.",
        "test_gossip_is_the_proof_of_a_result_by_who_settled_it",
    ),
    KNOWN.without(
        "gossip_of_long_ago",
        "if self._newest is not None and settled.height + STALE_HEIGHTS < self._newest.trusted.height:",
        "if False:",
        "A collector repeats its old results without end.",
        "test_gossip_of_long_ago_is_not_passed_on",
    ),
    KNOWN.without(
        "older_proof_is_the_newest",
        "if before is not None and settled.height <= before.trusted.height:",
        "if False:",
        "An old proof brings back the sets of then.",
        "test_gossip_of_long_ago_is_not_passed_on",
    ),
    KNOWN.without(
        "left_out_operators_are_believed",
        "shown = before is None or settled.shows_operators",
        "shown = True",
        "Who leaves the operators out of a proof brings back those of the genesis.",
        "test_a_proof_without_operators_brings_back_none_that_was_removed",
    ),
    KNOWN.without(
        "proofs_are_kept_without_number",
        "while len(self._checked) > CHECKED_MAX:",
        "while False:",
        "The memory of a home grows with every proof.",
        "test_the_proofs_that_are_remembered_are_bounded",
    ),
    KNOWN.without(
        "trusted_file_of_another_chain",
        "if found.version != 1 or found.chain_id != self._genesis.chain_id:",
        "if False:",
        "A home believes the validators of another chain.",
        "test_a_damaged_file_of_what_is_trusted_is_named_with_a_cure",
    ),
    KNOWN.without(
        "everybody_is_a_member",
        "return Rank.MEMBER if peer in self._configured or self._is_home(peer) else Rank.STRANGER",
        "return Rank.MEMBER",
        "Strangers have the places of members.",
        "test_every_node_of_a_chain_is_known_to_those_that_are_dialled",
    ),
    # --- blobs of others
)
