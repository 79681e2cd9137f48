"""Mutants of deemed use and of later versions of intervals."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

DEEMED = Rules("market/settlement/deemed.py", "tests/market/settlement/test_deemed.py")
SETTLE = Rules("market/settlement/settle.py", "tests/market/settlement/test_deemed.py")
VERSIONS = Rules("p2p/ledger/versions.py", "tests/p2p/ledger/test_chain_again.py")
AGAIN = Rules("p2p/ledger/modules/settlement.py", "tests/p2p/ledger/test_chain_again.py")
LATER = Rules("p2p/batches/later.py", "tests/p2p/batches/test_later.py")
CHECKS = Rules("p2p/roles/validator/batch_check.py", "tests/p2p/roles/test_blob_before.py")
CHECKER = Rules("wattswap/nodes/batch_checker.py", "tests/wattswap/nodes/test_batch_checker.py")
LATE = Rules("p2p/roles/collector/late.py", "tests/p2p/roles/test_late_readings.py")

MUTANTS: tuple[Mutant, ...] = (
    DEEMED.without(
        "deemed_is_full_import",
        "costliest = cost_nano.argmax(axis=0)",
        "costliest = np.zeros(len(traded_wh), dtype=np.int64)",
        "Where prices are negative, silence pays.",
        "test_no_reading_costs_more_than_silence",
        "test_no_reading_costs_more_than_the_deemed_value",
    ),
    SETTLE.without(
        "deemed_use_is_netted",
        "metered = np.ones(members, dtype=np.int64) if deemed is None else 1 - deemed.astype(np.int64)",
        "metered = np.ones(members, dtype=np.int64)",
        "Energy that nobody has metered is netted with that of others, and has a share of the pool.",
        "test_what_nobody_has_metered_is_netted_with_nobody_and_has_no_share",
    ),
    VERSIONS.without(
        "again_at_every_age",
        "return age.bit_length() > last.bit_length() or last < ends <= age",
        "return True",
        "A home that brings one late reading after the other makes all recompute an interval 671 times.",
        "test_an_interval_is_settled_a_bounded_number_of_times",
    ),
    VERSIONS.without(
        "again_not_at_the_end",
        "return age.bit_length() > last.bit_length() or last < ends <= age",
        "return age.bit_length() > last.bit_length()",
        "Who brings a reading at the age of 512 keeps out all that come later.",
        "test_a_reading_that_comes_in_time_can_be_settled_whatever_others_did_before",
    ),
    VERSIONS.without(
        "version_of_another_interval",
        "return found if found is not None and found.interval_start == interval_start else None",
        "return found",
        "What an interval posted is taken back for another one a week before it.",
        "test_the_ring_has_a_place_for_each_of_the_last_intervals",
    ),
    AGAIN.without(
        "again_in_any_version",
        "if args.version != newest.version + 1:",
        "if False:",
        "Versions have numbers that say nothing.",
        "test_a_later_version_follows_the_newest_one_and_takes_back_what_it_posted",
    ),
    AGAIN.without(
        "again_takes_back_anything",
        "if totals_hash(args.before) != newest.totals:",
        "if False:",
        "A later version changes the sums by what it likes.",
        "test_a_later_version_follows_the_newest_one_and_takes_back_what_it_posted",
    ),
    AGAIN.without(
        "again_with_the_same_messages",
        "if args.batch.blob_hash in (ZERO_HASH, newest.blob_hash):",
        "if False:",
        "An interval is settled again with nothing new.",
        "test_a_later_version_follows_the_newest_one_and_takes_back_what_it_posted",
    ),
    AGAIN.without(
        "again_gives_a_turn",
        "if args.batch.next_collector != NO_TURN:",
        "if False:",
        "A later version names a collector, which means nothing.",
        "test_a_later_version_is_a_balanced_batch_that_gives_no_turn",
    ),
    LATER.without(
        "later_with_an_order",
        "if not added or any(line.kind != Kind.READING for line in added):",
        "if not added:",
        "A collector puts an order into an interval whose price it knows.",
        "test_whatever_else_changes_is_no_later_version",
    ),
    LATER.without(
        "later_leaves_out",
        "if replace(later, lines=same, solution=former.solution) != former:",
        "if False:",
        "A collector takes a reading or an order out of a settled interval.",
        "test_whatever_else_changes_is_no_later_version",
    ),
    CHECKS.without(
        "later_as_the_first",
        "if former is not None:",
        "if False:",
        "A later version is checked as if it were the first.",
        "test_a_later_version_is_checked_against_the_version_before_it",
    ),
    CHECKS.without(
        "later_known_as_the_first",
        'return sha256(encode(args) + (former or b"")).digest()',
        "return sha256(encode(args)).digest()",
        "A batch that was right as the first version is taken unchecked as a later one.",
        "test_that_a_batch_is_right_says_nothing_of_it_as_a_later_version",
    ),
    CHECKER.without(
        "later_batch_is_not_compared",
        "        _refuse_other(args, recomputed)\n        return recomputed\n",
        "        return recomputed\n",
        "A later version posts what does not follow from its readings.",
        "test_a_later_version_follows_from_the_one_before_and_from_its_readings",
    ),
    CHECKER.without(
        "later_not_compared",
        "check_later(blob, former)",
        "pass",
        "A later version of an interval holds what it likes.",
        "test_a_later_version_follows_from_the_one_before_and_from_its_readings",
    ),
    LATE.without(
        "late_readings_of_any_number",
        "if sum(household in others for others in self._waiting.values()) >= LATE_MAX:",
        "if False:",
        "A home fills the memory of all collectors.",
        "test_a_home_has_a_bounded_number_of_readings_waiting",
    ),
)
