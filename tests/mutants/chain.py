"""Mutants of the rules of the chain: blocks, transactions, offices and the modules."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

EXECUTION = Rules("p2p/ledger/execution.py", "tests/p2p/ledger/test_chain_execution.py")
STATE = Rules("p2p/ledger/state.py", "tests/p2p/ledger/test_chain_state.py")
VOTES_TWICE = Rules("p2p/consensus/evidence.py", "tests/p2p/consensus/test_chain_evidence.py")
VERIFY = "tests/p2p/ledger/test_chain_verify.py"
GOVERNED = "tests/p2p/ledger/test_chain_module_governance.py"


MUTANTS: tuple[Mutant, ...] = (
    EXECUTION.without(
        "block_time_goes_back",
        "if header.time_ms <= tip.time_ms:",
        "if False:",
        "A proposer dates a block before its parent.",
        f"{VERIFY}::test_time_must_advance",
    ),
    EXECUTION.without(
        "block_with_any_header",
        "if found != wanted:",
        "if False:",
        "A block with other roots than its content and its parent have is valid.",
        f"{VERIFY}::test_a_wrong_header_field_is_named_even_if_every_authority_signed_it",
    ),
    EXECUTION.without(
        "block_with_any_evidence",
        'raise InvalidBlock(height, f"evidence[{i}]", error.detail) from None',
        "view.reject()",
        "A block holds evidence that proves nothing.",
        f"{VERIFY}::test_evidence_that_proves_nothing_is_found_even_if_everybody_signed",
    ),
    EXECUTION.without(
        "block_with_much_evidence",
        "if len(evidence) > MAX_EVIDENCE:",
        "if False:",
        "A block has every node verify as many signatures as fit into it.",
        f"{GOVERNED}::test_a_block_holds_at_most_four_pieces_of_evidence",
    ),
    EXECUTION.without(
        "evidence_of_any_height",
        "if about not in window:",
        "if False:",
        "Evidence that is too old, or of heights to come, jails validators.",
        f"{GOVERNED}::test_evidence_of_a_height_that_is_too_old_or_not_yet_decided_is_refused",
    ),
    EXECUTION.without(
        "evidence_by_the_set_of_now",
        "validators = offices.validators_of(view, about)",
        "validators = offices.validator_sets(view).current",
        "Evidence about an earlier set jails whoever has the same index now.",
        f"{GOVERNED}::test_a_quorum_calls_a_jailed_authority_back",
    ),
    EXECUTION.without(
        "block_of_unsigned_transactions",
        "            if signatures:\n                check_signature(tx)\n",
        "",
        "A proposer writes transactions of others.",
        f"{VERIFY}::test_a_batch_that_the_operator_did_not_sign_is_found",
    ),
    EXECUTION.without(
        "block_without_invariants",
        "    check_invariants(view, genesis, height)\n",
        "",
        "A mistake in a module creates money, and no node stops.",
        "test_a_broken_invariant_is_not_a_refusal",
    ),
    EXECUTION.without(
        "commit_of_another_block",
        "if cert.height != height or cert.block_hash != block_hash:",
        "if False:",
        "The certificate of one block commits another.",
        f"{VERIFY}::test_a_flipped_bit_anywhere_in_a_stored_row_is_found_at_its_height",
    ),
    EXECUTION.without(
        "commit_without_a_certificate",
        "        blocks.check_cert(cert, validators, genesis.chain_id)\n",
        "        pass\n",
        "A block that nobody signed is committed.",
        "test_a_certificate_of_the_old_set_does_not_commit_a_block_of_the_new_one",
    ),
    EXECUTION.without(
        "commit_out_of_turn",
        "if not blocks.had_turn(header.proposer_idx, height, cert.round, len(validators)):",
        "if False:",
        "A block of a validator whose turn had not come is committed.",
        f"{VERIFY}::test_a_wrong_header_field_is_named_even_if_every_authority_signed_it",
    ),
    EXECUTION.without(
        "proposer_fills_a_block_without_limit",
        "if len(tx.raw) > room:",
        "if False:",
        "An honest proposer builds a block that nobody takes.",
        "test_a_proposer_does_not_fill_a_block_above_its_limit",
    ),
    EXECUTION.without(
        "proposer_takes_much_evidence",
        "        if len(proofs) == MAX_EVIDENCE:\n            break\n",
        "",
        "An honest proposer builds a block that nobody takes.",
        f"{GOVERNED}::test_a_proposer_takes_no_more_evidence_than_a_block_holds",
    ),
    # --- transactions
    STATE.without(
        "transaction_of_another_chain",
        "if tx.chain_id != genesis.chain_id:",
        "if False:",
        "A transaction of another chain is executed on this one.",
        "test_a_transaction_that_breaks_a_rule_is_refused_with_its_reason",
    ),
    STATE.without(
        "transaction_of_any_version",
        "if tx.version != VERSION:",
        "if False:",
        "A transaction of another version is executed as if it were of this one.",
        "test_a_transaction_that_breaks_a_rule_is_refused_with_its_reason",
    ),
    STATE.without(
        "transaction_after_its_time",
        "if height > tx.valid_until_height:",
        "if False:",
        "A transaction that has expired is executed when its sender no longer expects it.",
        "test_a_transaction_that_breaks_a_rule_is_refused_with_its_reason",
    ),
    STATE.without(
        "transaction_of_any_nonce",
        "if tx.nonce != expected:",
        "if False:",
        "A transaction is executed twice.",
        "test_a_transaction_that_breaks_a_rule_is_refused_with_its_reason",
    ),
    STATE.without(
        "transaction_of_any_role",
        "if method.caller is None and not method.roles & accounts.roles_of(view, tx.sender):",
        "if False:",
        "Anybody settles intervals and governs the chain.",
        "test_a_transaction_that_breaks_a_rule_is_refused_with_its_reason",
    ),
    STATE.without(
        "transaction_of_another_caller",
        "if called.caller is not None and called.caller(args) != sender:",
        "if False:",
        "Anybody enters a home under its own key.",
        "tests/p2p/ledger/test_chain_module_accounts.py::test_a_home_cannot_show_the_key_of_another_or_of_no_home",
    ),
    STATE.without(
        "transaction_unsigned_may_wait",
        "    _check(state.view(), tx, height, genesis, pending)\n    check_signature(tx)\n",
        "    _check(state.view(), tx, height, genesis, pending)\n",
        "Mempools keep transactions that nobody signed, and proposers put them into blocks.",
        "tests/p2p/roles/test_mempool.py::test_what_no_block_can_hold_does_not_wait",
    ),
    STATE.without(
        "transaction_form_unchecked",
        "        called.check(args, genesis)\n",
        "",
        "Arguments of another form than the method takes reach the state.",
        "test_a_batch_that_does_not_add_up_is_refused",
    ),
    # --- offices
    VOTES_TWICE.without(
        "evidence_of_different_rounds",
        "if where[0] != where[1] or not same_kind:",
        "if where[0][0] != where[1][0] or not same_kind:",
        "An honest validator is jailed for votes of two rounds.",
        "test_messages_that_an_honest_authority_may_have_signed_do_not_convict",
    ),
    VOTES_TWICE.without(
        "evidence_of_different_kinds",
        "if where[0] != where[1] or not same_kind:",
        "if where[0] != where[1]:",
        "An honest validator is jailed for a prevote and a precommit.",
        "test_messages_that_an_honest_authority_may_have_signed_do_not_convict",
    ),
    VOTES_TWICE.without(
        "evidence_of_equal_messages",
        "if signed_bytes(first, chain_id) == signed_bytes(second, chain_id):",
        "if False:",
        "An honest validator is jailed for a vote that was signed again.",
        "test_two_signatures_of_one_vote_do_not_convict",
    ),
)
