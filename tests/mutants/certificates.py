"""Mutants of anchors and of corrections: what energy is certified, and how often."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

TESTS = "tests/p2p/ledger/test_chain_corrections.py"
METERS = Rules("p2p/ledger/modules/meters.py", TESTS)
GUARANTEES = Rules("p2p/ledger/modules/guarantees.py", TESTS)
ISSUANCES = Rules("p2p/ledger/issuances.py", TESTS)


MUTANTS: tuple[Mutant, ...] = (
    METERS.without(
        "anchor_of_one_signer",
        "if anchor.signed != BY_BOTH:",
        "if False:",
        "A home certifies a day that it has invented.",
        "test_no_energy_is_issued_from_readings_that_one_side_has_signed",
    ),
    METERS.without(
        "anchor_confirmed_by_its_signer",
        "if signed == known.signed:",
        "if False:",
        "Who anchored confirms it too, and believes that it counts.",
        "test_each_side_confirms_what_the_other_has_anchored_and_nobody_its_own",
    ),
    METERS.without(
        "confirmation_of_any_root",
        "if (args.version, args.root) != (newest, known.root):",
        "if args.version != newest:",
        "An operator confirms other readings than it has seen.",
        "test_each_side_confirms_what_the_other_has_anchored_and_nobody_its_own",
    ),
    METERS.without(
        "correction_at_any_time",
        "if known is not None and now_s > end_s + CORRECTION_DAYS * DAY_S:",
        "if False:",
        "Certificates of years ago become debts.",
        "test_a_day_is_corrected_for_some_time_only",
    ),
    GUARANTEES.without(
        "outdated_guarantees_are_sold",
        "if record.version != _newest(ctx.view, record):",
        "if False:",
        "Energy that a correction has taken away is sold before it is withdrawn.",
        "test_what_a_correction_has_taken_away_is_not_sold",
    ),
    GUARANTEES.without(
        "correction_repeats",
        "if record.version == newest:",
        "if False:",
        "A correction is counted twice.",
        "test_a_correction_upwards_adds_what_was_issued_too_little",
    ),
    GUARANTEES.without(
        "corrected_by_a_former_reading",
        "anchor = meters.check_leaf(view, name, meter, reading, newest)",
        "anchor = meters.anchor_of(view, name, reading.interval_start // meters.DAY_S, newest)",
        "A home corrects its certificates to what it likes.",
        "test_a_correction_is_of_something_that_was_issued_and_by_its_newest_reading",
    ),
    GUARANTEES.without(
        "operator_alone_issues_more",
        "        meters.check_signed(anchor, meter, reading.interval_start // meters.DAY_S)\n",
        "",
        "An operator certifies more for its friends than their homes have signed.",
        "test_an_operator_alone_corrects_downwards_only",
    ),
    METERS.without(
        "home_outdates_alone",
        "by_operator = args.version if signer == BY_OPERATOR else operators_version(view, args.meter, args.day)",
        "by_operator = args.version",
        "A home makes worthless what it has sold.",
        "test_a_home_cannot_outdate_alone_what_it_has_sold",
    ),
    GUARANTEES.without(
        "debt_is_forgiven",
        "    wh = max(more.due_wh, 0)\n",
        "    wh = reading.production_mwh // 1000\n",
        "What was sold and never made is not paid by what is made later.",
        "test_what_was_used_before_a_correction_is_flagged_and_owed_by_the_next_issuances",
    ),
    GUARANTEES.without(
        "debt_is_taken_back_twice",
        "max(min(known.due_wh, 0) - due_wh, 0)",
        "max(-due_wh, 0)",
        "An issuance pays the debt of another one.",
        "test_a_debt_of_one_issuance_takes_nothing_from_another",
    ),
    ISSUANCES.without(
        "withdrawn_from_the_beginning",
        "for start, piece in reversed(list(pieces)):",
        "for start, piece in pieces:",
        "A correction takes the guarantees that were given away first.",
        "test_active_pieces_are_taken_back_from_the_end_and_the_rest_is_flagged",
    ),
    ISSUANCES.without(
        "unused_pieces_are_owed",
        "_UNUSED = (ACTIVE, EXPIRED, WITHDRAWN)",
        "_UNUSED = (ACTIVE,)",
        "A meter owes energy that nobody has used.",
        "test_what_nobody_has_used_is_not_owed",
    ),
    GUARANTEES.without(
        "issued_beside_the_account",
        "        if change_wh:\n            raise",
        "        if False:\n            raise",
        "A mistake that makes energy stops no node.",
        "test_an_issuance_beside_the_account_of_its_meter_stops_the_node",
    ),
    GUARANTEES.without(
        "account_beside_the_issuances",
        " or known.issued_wh - issued_wh != counted.pop(key[1:], 0):",
        ":",
        "A mistake that loses a debt stops no node.",
        "test_an_account_that_is_not_what_was_issued_stops_the_node",
    ),
    ISSUANCES.without(
        "used_pieces_are_not_flagged",
        "after[i] = start, replace(piece, flagged=1)",
        "after[i] = start, piece",
        "Nobody sees that what was claimed was never made.",
        "test_what_was_used_before_a_correction_is_flagged_and_owed_by_the_next_issuances",
    ),
)
