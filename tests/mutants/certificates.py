"""Mutants of anchors and of corrections: what energy is certified, and how often."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

TESTS = "tests/p2p/ledger/test_chain_corrections.py"
METERS = Rules("p2p/ledger/modules/meters.py", TESTS)
GUARANTEES = Rules("p2p/ledger/modules/guarantees.py", TESTS)
ISSUANCES = Rules("p2p/ledger/issuances.py", TESTS)
CHECKS = Rules("p2p/ledger/issuance_checks.py", TESTS)

LINES = "tests/p2p/ledger/test_chain_balances.py"
BALANCES = Rules("p2p/ledger/balances.py", LINES)
SETTLEMENT = Rules("p2p/ledger/modules/settlement.py", LINES)
REGISTRY = Rules("p2p/ledger/modules/meters.py", LINES)
ISSUES = Rules("p2p/ledger/modules/guarantees.py", LINES)

CLAIM_TESTS = "tests/p2p/ledger/test_chain_claims.py"
CLAIMS = Rules("p2p/ledger/issuances.py", CLAIM_TESTS)
CLAIM_CHECKS = Rules("p2p/ledger/issuance_checks.py", CLAIM_TESTS)
CLAIMING = Rules("p2p/ledger/modules/guarantees.py", CLAIM_TESTS)


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
        "if outdated is None and corrected.owed_wh == claims.owed_wh:",
        "if False:",
        "A correction is counted twice.",
        "test_a_correction_upwards_adds_what_was_issued_too_little",
    ),
    GUARANTEES.without(
        "corrected_by_a_former_reading",
        "anchor = meters.check_leaf(view, name, meter, reading, newest)",
        "anchor = meters.anchor_of(view, name, day, newest)",
        "A home corrects its certificates to what it likes.",
        "test_a_correction_is_of_something_that_was_issued_and_by_its_newest_reading",
    ),
    GUARANTEES.without(
        "operator_alone_issues_more",
        "        meters.check_signed(anchor, meter, day)\n",
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
    CHECKS.without(
        "issued_beside_the_account",
        "sorted(counted.items())",
        "()",
        "A mistake that makes energy stops no node.",
        "test_an_issuance_beside_the_account_of_its_meter_stops_the_node",
    ),
    CHECKS.without(
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
    # --- readings and settled lines
    ISSUES.without(
        "issued_beside_the_settled_line",
        "        check_balanced(ctx, args.meter, meter, reading, balance)\n        _issue_one",
        "        _issue_one",
        "A home and an operator together certify energy that was never settled.",
        "test_a_home_and_an_operator_together_certify_no_generation_that_was_not_settled",
    ),
    ISSUES.without(
        "claimed_beside_the_settled_line",
        "    check_balanced(ctx, name, meter, reading, args.balance)\n    claims",
        "    claims",
        "Energy is claimed for a consumption that was never settled.",
        "test_a_claim_is_for_consumption_that_was_settled",
    ),
    ISSUES.without(
        "corrected_beside_the_settled_line",
        "        check_balanced(ctx, name, meter, reading, args.balance)\n\n\ndef _correct_issued",
        "\n\ndef _correct_issued",
        "A correction certifies what the first issue could not.",
        "test_a_correction_upwards_is_what_was_settled_and_one_downwards_shows_no_line",
    ),
    ISSUES.without(
        "readings_of_others_are_not_counted",
        "brought = (*readings, *(other for balance in balances for other in balance.others))",
        "brought = readings",
        "A transaction that nobody can send, or readings that nobody has checked.",
        "test_more_readings_are_refused",
    ),
    BALANCES.without(
        "line_of_another_home",
        "if line.account != household:",
        "if False:",
        "A home certifies by the line of a neighbour.",
        "test_another_home_cannot_show_its_line",
    ),
    BALANCES.without(
        "meter_left_out",
        """\
    if len(balance.others) != len(others):
        raise InvalidTx("balance_open", f"{len(balance.others)} readings of {len(others)} other meters")
    shown = [(meter, reading)]
    for other, its in zip(others, balance.others, strict=True):
""",
        """\
    shown = [(meter, reading)]
    for other, its in zip(others, balance.others, strict=False):
""",
        "A storage that charged from the grid is hidden.",
        "test_no_meter_of_the_home_is_left_out",
    ),
    BALANCES.without(
        "readings_of_several_intervals",
        "if its.interval_start != reading.interval_start:",
        "if False:",
        "Consumption of another interval hides what was not generated in this one.",
        "test_the_other_readings_are_anchored_twice_and_of_the_same_interval",
    ),
    BALANCES.without(
        "other_readings_unanchored",
        "        meters.check_anchored(ctx.view, other, found, its)\n",
        "",
        "The other meters show what closes the balance.",
        "test_the_other_readings_are_anchored_twice_and_of_the_same_interval",
    ),
    BALANCES.without(
        "certified_at_the_connection_and_behind_it",
        "        _check_zero(at_connection)\n",
        "",
        "What is exported is certified where it is generated and again where it leaves the home.",
        "test_the_same_energy_is_not_certified_at_the_connection_and_behind_it",
    ),
    BALANCES.without(
        "certified_behind_the_connection_and_at_it",
        "        _check_zero(behind)\n",
        "",
        "What is exported is certified where it leaves the home and again where it is generated.",
        "test_the_same_energy_is_not_certified_at_the_connection_and_behind_it",
    ),
    BALANCES.without(
        "balance_open_by_a_wh",
        "if abs(net_mwh - settled_wh * 1000) >= 2 * ROUNDING_MWH:",
        "if abs(net_mwh - settled_wh * 1000) > 2 * ROUNDING_MWH:",
        "Energy that no rounding explains is certified in every interval.",
        "test_two_registers_of_a_line_round_by_less_than_two_wh",
    ),
    BALANCES.without(
        "register_off_by_a_wh",
        "if abs(shown_mwh - settled_wh * 1000) >= ROUNDING_MWH:",
        "if abs(shown_mwh - settled_wh * 1000) > ROUNDING_MWH:",
        "Energy that no rounding explains is certified in every interval.",
        "test_the_meter_at_the_connection_shows_what_was_settled",
    ),
    SETTLEMENT.without(
        "root_of_any_interval_of_the_slot",
        "if kept is not None and kept.interval_start == interval_start else None",
        "if kept is not None else None",
        "A home certifies by its line of another quarter of a year.",
        "test_a_line_is_kept_until_another_interval_has_its_slot",
        "test_the_ring_of_roots_is_bounded_and_forgets_only_what_a_newer_interval_replaces",
    ),
    SETTLEMENT.without(
        "roots_are_never_forgotten",
        "(interval_start // step_s % slots)",
        "(interval_start // step_s)",
        "The state grows with every interval.",
        "test_the_ring_of_roots_is_bounded_and_forgets_only_what_a_newer_interval_replaces",
    ),
    SETTLEMENT.without(
        "settled_without_its_root",
        "if last >= 0 and kept_root(view, genesis, last) is None:",
        "if False:",
        "A mistake that loses roots stops no node.",
        "test_a_settled_interval_without_its_root_stops_the_node",
    ),
    REGISTRY.without(
        "meters_without_end",
        "if len(names) >= MAX_METERS:",
        "if False:",
        "A home has more meters than a transaction can bring readings of.",
        "test_a_home_has_so_many_meters",
    ),
    REGISTRY.without(
        "meter_beside_its_home",
        'if key[:1] == b"m" and key[1:] not in names_of(view, find(view, key[1:]).household):',
        "if False:",
        "A meter that no balance counts stops no node.",
        "test_a_meter_beside_the_list_of_its_home_stops_the_node",
    ),
    # --- claims that a correction takes away
    CLAIMING.without(
        "claims_are_not_corrected",
        "corrected = claims.within(reading.consumption_wh)",
        "corrected = claims",
        "What a correction takes away stays claimed.",
        "test_claims_that_a_correction_leaves_without_consumption_are_owed",
    ),
    CLAIMING.without(
        "claimed_while_owing",
        "    if claims.owed_wh:\n        raise",
        "    if claims.owed_wh > claims_of(view, name, reading.interval_start).owed_wh:\n        raise",
        "A meter that owes goes on claiming with what should pay.",
        "test_consumption_pays_what_is_owed_before_it_is_claimed",
    ),
    CLAIMING.without(
        "paid_with_one_signature",
        "if more_wh or corrected.owed_wh < claims.owed_wh:",
        "if more_wh:",
        "A debt is paid with a consumption that was invented.",
        "test_what_pays_is_signed_twice_and_settled",
    ),
    CLAIMING.without(
        "storage_releases_what_it_owes",
        "free = held - owed_of(view, name)",
        "free = held",
        "A storage gives guarantees for energy that it never charged.",
        "test_a_storage_releases_nothing_that_it_owes",
    ),
    CLAIMS.without(
        "excess_is_forgiven",
        "self.total_wh - claimed_wh)",
        "0)",
        "Claims disappear with the consumption.",
        "test_no_claim_is_lost_or_made_by_a_consumption",
    ),
    CLAIM_CHECKS.without(
        "claims_beside_what_was_used",
        "                used_wh[meter] += sign * wh\n",
        "                pass\n",
        "A mistake that loses claims stops no node.",
        "test_claims_that_are_not_what_was_used_stop_the_node",
    ),
    CLAIM_CHECKS.without(
        "more_claimed_than_consumed",
        "if used is None or not 0 <= used.claimed_wh <= used.consumed_wh:",
        "if used is None:",
        "A mistake that claims more than was consumed stops no node.",
        "test_more_claims_than_consumption_stop_the_node",
    ),
)
