"""Mutants of the settlement's module: batches, sums, whose turn is next."""

from __future__ import annotations

from tests.mutants.chain import EXECUTION
from tests.mutants.mutant import Mutant, Rules

SETTLEMENT = Rules("p2p/ledger/modules/settlement.py", "tests/p2p/ledger/test_chain_state.py")
TURNS = "tests/p2p/ledger/test_chain_turns.py"

MUTANTS: tuple[Mutant, ...] = (
    SETTLEMENT.without(
        "batch_hash_of_any_length",
        "if len(getattr(args, name)) != merkle.HASH_BYTES:",
        "if False:",
        "A batch has roots to which no proof can lead.",
        "tests/p2p/ledger/test_chain_module_settlement.py::test_the_hashes_of_a_batch_have_32_bytes",
    ),
    SETTLEMENT.without(
        "batch_between_intervals",
        "if not begins_interval(args.interval_start, minutes) or not 0 <= args.interval_start <= MAX_TIME_S:",
        "if not 0 <= args.interval_start <= MAX_TIME_S:",
        "An interval that is none is settled, and those after it are too late.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    SETTLEMENT.without(
        "batch_names_no_key",
        "if len(args.next_collector) != PUBLIC_KEY_BYTES:",
        "if False:",
        "The next turn is that of a key that cannot be.",
        f"{TURNS}::test_a_key_has_32_bytes",
    ),
    SETTLEMENT.without(
        "batch_of_any_members",
        "if args.members != genesis.members:",
        "if False:",
        "Proofs of lines lead to accounts of others.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    SETTLEMENT.without(
        "batch_of_negative_trade",
        "if min(args.orders, args.traded_wh) < 0 or args.prices < 1:",
        "if False:",
        "A batch has fewer than no orders.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    SETTLEMENT.without(
        "batch_price_outside_its_interval",
        "if args.price is not None and not args.price.lo <= args.price.price <= args.price.hi:",
        "if False:",
        "A batch names a price that its own interval excludes.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    SETTLEMENT.without(
        "batch_rows_of_any_number",
        "if len(args.totals) != rows or any(len(row) != len(COLUMNS) for row in args.totals):",
        "if False:",
        "Totals of other accounts than the chain has end the node that adds them up.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    SETTLEMENT.without(
        "batch_creates_money",
        "        if left_over:\n",
        "        if False:\n",
        "A batch pays out more than it takes in.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    SETTLEMENT.without(
        "batch_creates_energy",
        'if not total["bought_wh"] == total["sold_wh"] - lost == args.traded_wh or lost < 0:',
        "if lost < 0:",
        "More energy is bought than sold.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    SETTLEMENT.without(
        "batch_of_negative_losses",
        'if not total["bought_wh"] == total["sold_wh"] - lost == args.traded_wh or lost < 0:',
        'if not total["bought_wh"] == total["sold_wh"] - lost == args.traded_wh:',
        "Lines of the grid produce energy.",
        "test_lines_of_the_grid_produce_no_energy",
    ),
    SETTLEMENT.without(
        "batch_of_one_sided_netting",
        '    if total["local_wh"]:\n',
        "    if False:\n",
        "Energy is netted with nobody.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    SETTLEMENT.without(
        "batch_of_unmetered_energy",
        'if metered != total["retail_import_wh"] - total["retail_export_wh"]:',
        "if False:",
        "The retailer is billed for energy that no meter has counted.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    SETTLEMENT.without(
        "batch_energy_of_any_account",
        "        if wrong is not None:\n",
        "        if False:\n",
        "A fee account trades energy.",
        "test_energy_of_an_account_that_cannot_have_it_is_refused_though_the_sums_hold",
    ),
    SETTLEMENT.without(
        "batch_entries_of_other_totals",
        "if tuple(tuple(map(int, row)) for row in sums) != args.rows:",
        "if False:",
        "The entries on a chain for research say other numbers than its totals.",
        "tests/p2p/ledger/test_chain_module_settlement.py::test_entries_that_lead_to_the_root_and_to_other_totals_are_refused",
    ),
    SETTLEMENT.without(
        "batch_entries_of_another_root",
        "if salted(postings, args.interval_start, secret).root != args.postings_root:",
        "if False:",
        "The entries on a chain for research are not those that homes can prove.",
        "tests/p2p/ledger/test_chain_module_settlement.py::test_entries_that_are_missing_changed_or_of_other_numbers_are_refused",
    ),
    SETTLEMENT.without(
        "batch_entries_unwanted",
        "    elif args.entries:\n",
        "    elif False:\n",
        "A chain that keeps the lines of homes private carries them.",
        "tests/p2p/ledger/test_chain_module_settlement.py::test_a_chain_without_full_entries_does_not_take_them",
    ),
    SETTLEMENT.without(
        "batch_settles_again",
        "if args.interval_start <= known.last_interval_start:",
        "if False:",
        "An interval is settled twice, and everybody pays twice.",
        "test_an_interval_must_be_later_than_the_last_one",
    ),
    SETTLEMENT.without(
        "batch_off_the_step",
        "if known.batches and (args.interval_start - known.last_interval_start) % step_s:",
        "if False:",
        "Intervals overlap: energy of an hour is settled in two of them.",
        "test_hours_of_a_chain_keep_to_the_local_clock_of_the_first",
    ),
    SETTLEMENT.without(
        "batch_gives_the_turn_to_anybody",
        '    if problem:\n        raise InvalidTx("settle_turn", problem)\n',
        "",
        "A collector gives the next turn to a key without an office, and every interval waits for it.",
        f"{TURNS}::test_nobody_gives_the_turn_to_another_validator_or_to_a_key_without_an_office",
    ),
    SETTLEMENT.without(
        "batch_gives_the_turn_to_another_validator",
        "if named not in (sender, known.collector):",
        "if False:",
        "A collector chooses which validator settles next.",
        f"{TURNS}::test_nobody_gives_the_turn_to_another_validator_or_to_a_key_without_an_office",
    ),
    SETTLEMENT.without(
        "validator_keeps_the_turn_for_good",
        "if operators and (known.batches + 1) % TAKEOVER_BATCHES == 0:",
        "if False:",
        "A validator that has taken the turn never gives it back.",
        f"{TURNS}::test_after_96_batches_the_turn_is_an_operators_again",
    ),
    SETTLEMENT.without(
        "sums_of_any_size",
        "if not -(2**127) <= min(totals) <= max(totals) < 2**127:",
        "if False:",
        "Sums that do not fit end every node.",
        "test_wide_sums_have_one_form_and_do_not_wrap",
    ),
    SETTLEMENT.without(
        "sums_may_create_money",
        "        if sum(row[COLUMN_INDEX[name]] for row in rows):\n            raise BrokenInvariant",
        "        if False:\n            raise BrokenInvariant",
        "A mistake that creates money stops no node.",
        f"{EXECUTION.tests}::test_a_broken_invariant_stops_the_node_and_names_the_module",
    ),
    SETTLEMENT.without(
        "sums_may_create_energy",
        "if bought != sold - lost or bought < 0:",
        "if False:",
        "A mistake that creates energy stops no node.",
        f"{EXECUTION.tests}::test_energy_from_nowhere_in_the_sums_stops_the_node",
    ),
)
