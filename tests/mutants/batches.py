"""Mutants of what makes a batch right: its blob, the closings in it, receipts, and the check of a validator."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, Rules

CHECKER = Rules("wattswap/nodes/batch_checker.py", "tests/wattswap/nodes/test_batch_checker.py")
INTERVAL = Rules("wattswap/nodes/interval.py", "tests/wattswap/nodes/test_hostile_live.py")
BLOB = Rules("p2p/batches/blob.py", "tests/p2p/batches/test_blob.py")
CAPACITY = Rules("p2p/blocks/members.py", "tests/p2p/batches/test_blob.py")
COLLECTOR = Rules("p2p/roles/collector/operator.py", "tests/p2p/roles/test_operator_batches.py")
CLOSINGS = Rules("p2p/batches/closings.py", "tests/p2p/batches/test_closings.py")
MESSAGES = Rules("p2p/wire/messages.py", "tests/p2p/batches/test_blob.py")

FIELDS: Final = (
    "interval_start",
    "orders",
    "members",
    "book_root",
    "clearing_root",
    "postings_root",
    "prices_root",
    "prices",
    "price",
    "traded_wh",
    "totals",
    "blob_hash",
    "inclusion_root",
    "entries",
)
"""Fields of a batch that follow from its messages."""


MUTANTS: tuple[Mutant, ...] = (
    CHECKER.without(
        "checker_takes_any_batch",
        "if field not in FREE and getattr(args, field) != getattr(expected.args, field):",
        "if False:",
        "Every batch of every collector is voted for, whatever it settles.",
        "test_a_batch_with_any_other_field_gets_no_vote_and_does_not_verify",
    ),
    *(
        CHECKER.without(
            f"checker_ignores_{field}",
            'FREE: Final = ("next_collector",)',
            f'FREE: Final = ("next_collector", "{field}")',
            f"A batch with any `{field}` is voted for.",
            f"test_a_batch_with_any_other_field_gets_no_vote_and_does_not_verify[{field}]",
        )
        for field in FIELDS
    ),
    CHECKER.without(
        "checker_binds_the_next_turn",
        'FREE: Final = ("next_collector",)',
        "FREE: Final = ()",
        "A batch that gives the next turn to another collector is refused, so a turn never moves.",
        "test_a_batch_may_give_the_next_turn_to_another_collector",
    ),
    CHECKER.without(
        "checker_needs_no_solution",
        "if self._lacking(blob):",
        "if False:",
        "A collector can leave the solution out, and validators without a solver cannot vote.",
        "tests/wattswap/nodes/test_vote_without_solver.py::test_a_blob_without_its_solution_gets_no_vote_and_still_verifies",
    ),
    CHECKER.without(
        "checker_takes_a_needless_solution",
        "if given is not None and self._setup.mechanism.witness is None:",
        "if False:",
        "A blob carries bytes that nothing checks.",
        "tests/wattswap/nodes/test_vote_without_solver.py::test_where_no_solver_is_needed_a_solution_gets_no_vote",
    ),
    CHECKER.without(
        "checker_finds_nothing_lacking",
        "        return self.closed(blob)\n",
        "        return ()\n",
        "A batch without the messages of a home needs no closings.",
        "test_a_batch_without_the_messages_of_a_home_names_who_has_closed_its_slots",
    ),
    CHECKER.without(
        "settled_batch_is_not_compared",
        "        _refuse_other(args, recomputed)\n        self._check_standing(blob, before)\n",
        "        self._check_standing(blob, before)\n",
        "Who verifies a chain accepts batches that do not follow from their messages.",
        "test_a_batch_with_any_other_field_gets_no_vote_and_does_not_verify",
    ),
    CHECKER.without(
        "checker_knows_no_rotated_key",
        "setup.member_list, self._rotated, takes, self.closed_orders",
        "setup.member_list, none_rotated, takes, self.closed_orders",
        "Messages of a home that has rotated its key are refused, and those of its old key taken.",
        "test_messages_of_a_home_that_has_rotated_its_key_are_signed_by_the_new_one",
    ),
    CHECKER.without(
        "checker_keeps_every_interval",
        "while len(self._kept) > KEPT:",
        "while False:",
        "The memory of a validator grows with every blob that anybody sends.",
        "test_the_intervals_that_are_remembered_are_bounded",
    ),
    INTERVAL.without(
        "orders_are_not_compared",
        "if nonce == ABSENT or home in unsure[number]:",
        "if True:",
        "A live run with orders that no home would give verifies.",
        "test_nor_is_an_order_that_no_home_would_give",
    ),
    INTERVAL.without(
        "readings_are_not_compared",
        "if not is_silent and metered != (meters.import_wh[home], meters.export_wh[home]):",
        "if False:",
        "A live run with readings that no meter has counted verifies.",
        "test_a_reading_that_is_not_that_of_the_meter_is_found_though_a_home_is_said_to_be_absent",
    ),
    INTERVAL.without(
        "solutions_may_be_left_over",
        "    solutions.refuse_more()\n",
        "",
        "A blob carries more solutions than it has clearings.",
        "tests/wattswap/nodes/test_vote_without_solver.py::test_a_forged_solution_gets_no_vote",
    ),
    # --- blob
    BLOB.without(
        "blob_lines_in_any_order",
        "if any(a >= b for a, b in pairwise(places)):",
        "if False:",
        "The same messages have several blobs, and a line counts twice.",
        "test_a_line_that_stands_twice_is_refused",
    ),
    BLOB.without(
        "blob_lines_occur_twice",
        "if any(a >= b for a, b in pairwise(places)):",
        "if any(a > b for a, b in pairwise(places)):",
        "A home has two messages in one round.",
        "test_a_line_that_stands_twice_is_refused",
    ),
    BLOB.without(
        "blob_of_any_kind",
        "if unknown is not None:",
        "if False:",
        "A line of an unknown kind ends the node that reads it.",
        "test_a_flipped_bit_is_refused_or_gives_another_hash",
    ),
    BLOB.without(
        "blob_secret_of_any_length",
        "if blob.version != BLOB_VERSION or len(blob.interval_secret) != SECRET_BYTES:",
        "if blob.version != BLOB_VERSION:",
        "A collector takes a secret that can be guessed, and entries with it.",
        "test_a_secret_of_another_length_is_refused",
    ),
    BLOB.without(
        "blob_of_any_version",
        "if blob.version != BLOB_VERSION or len(blob.interval_secret) != SECRET_BYTES:",
        "if len(blob.interval_secret) != SECRET_BYTES:",
        "A blob of another version is read as if it were of this one.",
        "test_another_version_is_refused",
    ),
    BLOB.without(
        "blob_home_is_counted_from_behind",
        "if not 0 <= line.participant < len(members):",
        "if line.participant >= len(members):",
        "A home has two numbers, so two lines of it are in order.",
        "test_a_negative_household_is_refused",
    ),
    BLOB.without(
        "blob_orders_of_nothing",
        "if len(line.numbers) != count or bool(line.orders) != is_order:",
        "if len(line.numbers) != count:",
        "The same message has several lines, with orders that nobody signed.",
        "test_other_orders_are_refused",
    ),
    BLOB.without(
        "blob_numbers_of_any_count",
        "if len(line.numbers) != count or bool(line.orders) != is_order:",
        "if bool(line.orders) != is_order:",
        "The same message has several lines, with numbers that nobody signed.",
        "test_another_count_of_numbers_is_refused",
    ),
    BLOB.without(
        "blob_reading_of_a_round",
        "if is_reading and line.round:",
        "if False:",
        "A home has a reading in each round of one interval.",
        "test_lines_that_are_moved_to_another_round_are_refused",
    ),
    BLOB.without(
        "blob_outside_a_term",
        "    members.check_term(household, interval_start)\n",
        "",
        "A home trades before it is a member, or after it was one.",
        "test_a_home_outside_its_term_has_no_place_in_a_blob",
    ),
    BLOB.without(
        "blob_reading_above_the_connection",
        "        members.check_reading(opened)\n",
        "        pass\n",
        "A home is paid for more than its connection can carry.",
        "test_a_reading_above_the_connection_of_its_home_has_no_place_in_a_blob",
    ),
    *(
        CAPACITY.without(
            f"capacity_of_{what}",
            f'("{what}_wh", reading.{what}_wh, {what}_w)',
            f'("{what}_wh", 0, {what}_w)',
            f"A home reports any {what}.",
            "test_a_reading_above_the_connection_of_its_home_has_no_place_in_a_blob",
        )
        for what in ("import", "export")
    ),
    CAPACITY.without(
        "capacity_that_is_reached",
        "if energy_wh > most_wh:",
        "if energy_wh >= most_wh:",
        "An honest home whose connection is fully used is refused.",
        "test_a_reading_above_the_connection_of_its_home_has_no_place_in_a_blob",
    ),
    COLLECTOR.without(
        "collector_reading_above_the_connection",
        "            self._check_reading(message)\n",
        "            pass\n",
        "A collector promises a reading that no batch can hold.",
        "test_a_reading_above_the_connection_of_its_home_is_as_if_it_had_not_been_sent",
    ),
    BLOB.without(
        "blob_of_homes_without_keys",
        "if (blob.lines or blob.standing) and not members.keys:",
        "if False:",
        "A blob of a chain without keys ends the node that reads it.",
        "test_homes_without_keys_have_signed_nothing",
    ),
    BLOB.without(
        "blob_lines_of_other_limits",
        "        key_of=key_of,\n        limits=genesis.params.limits,\n",
        "        key_of=key_of,\n",
        "Orders beyond the limits of the chain are settled.",
        "test_lines_are_by_round_and_then_in_roster_order",
    ),
    BLOB.without(
        "blob_closing_of_another_interval",
        "if closing.interval_start != blob.interval_start:",
        "if False:",
        "Closings of an earlier interval excuse that messages are missing in this one.",
        f"{CLOSINGS.tests}::test_other_closings_are_refused_in_a_blob",
    ),
    BLOB.without(
        "blob_closing_unsigned",
        "        check_closing(closing, genesis.chain_id)\n",
        "",
        "A collector writes the closings of validators itself.",
        f"{CLOSINGS.tests}::test_other_closings_are_refused_in_a_blob",
    ),
    BLOB.without(
        "blob_closing_of_no_slot",
        "        check_slot(closing.slot, genesis.params.rounds)\n",
        "",
        "A closing of a slot that no interval has is in a blob.",
        f"{CLOSINGS.tests}::test_other_closings_are_refused_in_a_blob",
    ),
    BLOB.without(
        "blob_closings_in_any_order",
        "if len(places) > most or any(a >= b for a, b in pairwise(places)):",
        "if len(places) > most:",
        "The same closings have several blobs.",
        f"{CLOSINGS.tests}::test_other_closings_are_refused_in_a_blob",
    ),
    BLOB.without(
        "blob_closings_of_any_number",
        "if len(places) > most or any(a >= b for a, b in pairwise(places)):",
        "if any(a >= b for a, b in pairwise(places)):",
        "A blob has a reader verify as many signatures as fit into it.",
        f"{CLOSINGS.tests}::test_more_closings_than_validators_can_give_are_refused_unread",
    ),
    MESSAGES.without(
        "message_signature_unchecked",
        "if not verify(signed.public_key, _MESSAGE_DOMAIN, bytes((signed.kind,)) + signed.body, signed.signature):",
        "if False:",
        "Anybody orders for any home.",
        "test_a_flipped_bit_is_refused_or_gives_another_hash",
    ),
    MESSAGES.without(
        "message_by_any_key",
        "if signed.public_key not in _signers(message, key_of, collector_keys):",
        "if False:",
        "A home signs messages of another home with its own key.",
        "tests/p2p/wire/test_p2p_messages.py::test_an_unknown_household_has_its_own_code",
    ),
    CLOSINGS.without(
        "closing_of_another_chain",
        "if closing.chain_id != chain_id:",
        "if False:",
        "Closings of another chain of the same validators count.",
        "test_a_changed_field_of_a_closing_is_refused",
    ),
    CLOSINGS.without(
        "closing_of_any_version",
        "if closing.version != VERSION:",
        "if False:",
        "A closing of another version is read as if it were of this one.",
        "test_a_changed_field_of_a_closing_is_refused",
    ),
    CLOSINGS.without(
        "closing_promises_in_any_order",
        "if any(a.participant >= b.participant for a, b in pairwise(closing.promised)):",
        "if False:",
        "A closing has two promises to one home, of which readers see different ones.",
        "test_a_changed_field_of_a_closing_is_refused",
    ),
    CLOSINGS.without(
        "closing_signature_unchecked",
        "if not verify(closing.validator, domains.SIGN_CLOSING, content, closing.signature):",
        "if False:",
        "Anybody closes a slot for a validator.",
        "test_a_changed_field_of_a_closing_is_refused",
    ),
    CLOSINGS.without(
        "closing_of_a_complete_slot",
        "if closing.slot not in found:",
        "if False:",
        "A closing that has no place in a blob ends the node that reads it.",
        "test_a_complete_interval_needs_no_closings_and_takes_none",
    ),
    CLOSINGS.without(
        "promise_in_a_batch_is_not_kept",
        "if missing is not None:\n            raise LeftOut(",
        "if False:\n            raise LeftOut(",
        "A collector leaves out what validators have promised.",
        "test_a_promised_message_or_a_later_one_is_in_the_batch",
    ),
    CLOSINGS.without(
        "older_message_keeps_a_promise",
        "if present.get((closing.slot, one.participant), -1) < one.nonce:",
        "if present.get((closing.slot, one.participant), -1) < 0:",
        "A collector includes an older message of a home than the one that is promised.",
        "test_a_promised_message_or_a_later_one_is_in_the_batch",
    ),
    CLOSINGS.without(
        "readings_are_not_waited_for",
        "if slot in (0, rounds) or (slot - 1, home) in present",
        "if slot == 0 or (slot - 1, home) in present",
        "A collector leaves out the reading of a home that was absent in the last round.",
        "test_a_slot_is_complete_when_all_that_are_waited_for_are_in_it",
    ),
    CLOSINGS.without(
        "one_closing_is_enough",
        "if signed < quorum(len(validators)):",
        "if signed < 1:",
        "A collector with one validator of its own leaves homes out.",
        "test_a_quorum_of_the_validators_of_now_must_have_closed",
    ),
    CLOSINGS.without(
        "closings_of_strangers_count",
        "signed = len(keys.intersection(validators))",
        "signed = len(keys)",
        "Keys that are no validators close a slot.",
        "test_a_quorum_of_the_validators_of_now_must_have_closed",
    ),
    CLOSINGS.without(
        "closing_by_another_key_convicts",
        "if closing.validator != promiser:",
        "if False:",
        "A validator is convicted by the closing of another one.",
        "test_the_closing_of_another_key_slot_or_interval_convicts_nobody",
    ),
    CLOSINGS.without(
        "closing_of_another_interval_convicts",
        "if closing.interval_start != message.interval_start:",
        "if False:",
        "A validator is convicted by its closing of another interval.",
        "test_the_closing_of_another_key_slot_or_interval_convicts_nobody",
    ),
    CLOSINGS.without(
        "closing_of_another_slot_convicts",
        "if closing.slot != slot_of(message, genesis.params.rounds):",
        "if False:",
        "A validator is convicted by its closing of another slot.",
        "test_the_closing_of_another_key_slot_or_interval_convicts_nobody",
    ),
    CLOSINGS.without(
        "kept_promise_convicts",
        "if nonce is not None and nonce >= message.nonce:",
        "if False:",
        "A validator that kept its promise is convicted.",
        "test_a_closing_with_it_or_a_later_message_convicts_nobody",
    ),
    CLOSINGS.without(
        "later_message_convicts",
        "if nonce is not None and nonce >= message.nonce:",
        "if nonce == message.nonce:",
        "A validator is convicted because a home has replaced its message.",
        "test_a_closing_with_it_or_a_later_message_convicts_nobody",
    ),
    CLOSINGS.without(
        "older_message_acquits",
        "if nonce is not None and nonce >= message.nonce:",
        "if nonce is not None:",
        "A validator that forgot the newest message of a home is not convicted.",
        "test_a_closing_without_the_message_convicts",
    ),
    # --- receipts
)
