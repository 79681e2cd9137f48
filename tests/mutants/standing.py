"""Mutants of the orders that stand in missed intervals, and of the blob before from which they follow."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

BLOB = Rules("p2p/batches/blob.py", "tests/p2p/batches/test_standing.py")
STANDING = Rules("p2p/batches/standing.py", "tests/p2p/batches/test_standing.py")
CHECKER = Rules("wattswap/nodes/batch_checker.py", "tests/wattswap/nodes/test_standing_limits.py")
BEFORE = Rules("p2p/roles/validator/batch_check.py", "tests/p2p/roles/test_blob_before.py")

MUTANTS: tuple[Mutant, ...] = (
    BLOB.without(
        "standing_of_a_later_interval",
        "if not (0 <= start_s < blob.interval_start if lines else start_s == 0):",
        "if False:",
        "Orders of the interval itself, or of a later one, stand in it.",
        "test_standing_orders_that_do_not_hold_are_refused",
    ),
    BLOB.without(
        "standing_beside_orders",
        "if any(line.participant in spoken for line in lines):",
        "if False:",
        "A home that has sent an order is settled with an older one beside it.",
        "test_a_home_that_has_spoken_has_no_standing_order",
    ),
    BLOB.without(
        "standing_reading",
        "if any(line.kind != Kind.ORDER for line in lines):",
        "if False:",
        "A reading of another interval stands in this one.",
        "test_standing_orders_that_do_not_hold_are_refused",
    ),
    BLOB.without(
        "standing_in_any_order",
        "if any(a >= b for a, b in pairwise(_place(line) for line in lines)):",
        "if False:",
        "An order stands twice, and the same orders have several blobs.",
        "test_standing_orders_that_do_not_hold_are_refused",
    ),
    BLOB.without(
        "standing_of_a_home_that_has_left",
        "        members.check_term(message.household, blob.interval_start)\n    return opened",
        "        pass\n    return opened",
        "A home that has left trades on.",
        "test_a_home_that_is_no_member_has_no_standing_order",
    ),
    STANDING.without(
        "standing_ends_after_one_interval",
        "signed_start, lines = blob.standing_start, blob.standing",
        "signed_start, lines = 0, ()",
        "The limits of homes end with the first missed interval.",
        "test_they_stand_in_every_missed_interval_that_follows",
    ),
    STANDING.without(
        "standing_of_every_line",
        "tuple(line for line in blob.lines if line.kind == Kind.ORDER)",
        "tuple(line for line in blob.lines)",
        'Readings and "nothing" stand as if they were orders.',
        "test_orders_stand_in_the_interval_after_and_read_back_as_signed",
    ),
    STANDING.without(
        "standing_of_everybody",
        "if _is_member(members, line.participant, interval_start))",
        ")",
        "A home that has left keeps an order, and no blob with it can be read.",
        "test_a_home_that_has_left_has_none_from_then_on",
    ),
    STANDING.without(
        "standing_ends_with_one_message",
        "2 * len(spoken) > len(could.lines)",
        "spoken",
        "One validator and one home end the limits of all homes for the whole outage.",
        "test_limits_apply_while_at_most_half_as_many_homes_have_spoken",
    ),
    STANDING.without(
        "standing_never_ends",
        "if not left or 2 * len(spoken) > len(could.lines):",
        "if not left:",
        "A home that stays away keeps its limits although the market goes on.",
        "test_limits_apply_while_at_most_half_as_many_homes_have_spoken",
    ),
    STANDING.without(
        "standing_of_who_has_spoken",
        "tuple(line for line in could.lines if line.participant not in spoken)",
        "could.lines",
        "No blob of a missed interval in which a home has spoken can be read.",
        "test_limits_apply_while_at_most_half_as_many_homes_have_spoken",
    ),
    CHECKER.without(
        "missed_with_a_message_needs_no_blob",
        "return bool(stands.lines) or 2 * len(spoken_in(blob)) <= len(setup.roster)",
        "return not spoken_in(blob)",
        "A collector leaves out all limits where one home has spoken.",
        "test_homes_that_speak_in_a_missed_interval_end_no_limits_but_their_own",
    ),
    CHECKER.without(
        "standing_is_unchecked",
        "if stands != expected:",
        "if False:",
        "A collector chooses which older limits apply.",
        "test_older_limits_get_no_vote",
        "test_limits_without_those_of_a_home_get_no_vote",
        "test_limits_of_a_home_that_had_stated_none_get_no_vote",
    ),
    CHECKER.without(
        "standing_without_the_blob_before",
        "        if self.needs_before(blob):\n",
        "        if self.needs_before(blob) and before is None:\n            return\n"
        "        if self.needs_before(blob):\n",
        "Who lacks the blob of the interval before votes for any limits.",
        "test_without_the_blob_before_there_is_no_vote_yet",
    ),
    BEFORE.without(
        "blob_before_is_that_of_the_interval",
        "if newest is None or newest.interval_start >= args.interval_start:",
        "if newest is None:",
        "Once its interval is settled, a batch is checked by its own blob.",
        "test_the_blob_of_the_interval_itself_is_not_the_one_before",
    ),
)
