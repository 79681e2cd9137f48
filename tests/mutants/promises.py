"""Mutants of receipts and the list of homes: what proves a broken promise, and about whom."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

RECEIPTS = Rules("p2p/batches/receipts.py", "tests/p2p/batches/test_receipts.py")
MEMBERS = Rules("p2p/blocks/members.py", "tests/p2p/blocks/test_members.py")


MUTANTS: tuple[Mutant, ...] = (
    MEMBERS.without(
        "member_of_any_root",
        "if merkle.root_from_path(member_leaf(member), proof.index, members, steps) != root:",
        "if False:",
        "A key that the genesis does not know becomes that of a home.",
        "test_every_home_is_proven_by_its_path_and_no_other_is",
    ),
    *(
        MEMBERS.without(
            f"member_with_any_{what}_capacity",
            f" member.{what}_capacity_w{end}",
            f" 0{end}",
            f"A home has another {what} capacity than the genesis says.",
            "test_every_home_is_proven_by_its_path_and_no_other_is",
        )
        for what, end in (("import", ", member.export_capacity_w)"), ("export", ")\n    packed"))
    ),
    *(
        MEMBERS.without(
            f"member_without_{what}_capacity",
            f"0 < {what}_w <= MAX_CAPACITY_W",
            f"{what}_w <= MAX_CAPACITY_W",
            "A chain starts whose home can report nothing.",
            "test_homes_that_no_chain_can_have_are_refused_though_the_root_is_theirs",
        )
        for what in ("import", "export")
    ),
    # --- closings
    RECEIPTS.without(
        "omission_of_another_chain",
        "if proof.tx.chain_id != genesis.chain_id:",
        "if False:",
        "A batch of another chain convicts a collector of this one.",
        "test_a_batch_of_another_chain_convicts_nobody_on_this_one",
    ),
    RECEIPTS.without(
        "omission_of_any_version",
        "if proof.version != VERSION:",
        "if False:",
        "A proof of another version is read as if it were of this one.",
        "test_another_version_is_refused",
    ),
    RECEIPTS.without(
        "omission_of_another_interval",
        "if args.interval_start != message.interval_start:",
        "if False:",
        "A collector is convicted by its batch of another interval.",
        "test_a_batch_of_another_interval_convicts_nobody",
    ),
    RECEIPTS.without(
        "omission_of_the_first_slot",
        "leaf_index(proof.home.index, slot_of(message, genesis.params.rounds), genesis.members)",
        "leaf_index(proof.home.index, 0, genesis.members)",
        "A collector is convicted by the leaf of another round.",
        "tests/p2p/batches/test_receipts_of_rounds.py::test_a_message_that_was_left_out_of_one_slot_convicts",
    ),
    RECEIPTS.without(
        "omission_of_a_kept_promise",
        "if keeps(opening, message.nonce, message_id(message)):",
        "if False:",
        "A collector that kept its promise is convicted.",
        "test_the_included_message_convicts_nobody",
    ),
    RECEIPTS.without(
        "promised_nonce_keeps_a_promise",
        "return opening.nonce > nonce or opening.message_id == name",
        "return opening.nonce >= nonce or opening.message_id == name",
        "A collector puts a message that the home never gave in the place of the promised one.",
        "test_a_message_the_household_never_gave_under_the_promised_nonce_convicts",
    ),
    RECEIPTS.without(
        "later_message_keeps_no_promise",
        "return opening.nonce > nonce or opening.message_id == name",
        "return opening.message_id == name",
        "A collector is convicted because a home has replaced its message.",
        "test_a_later_message_of_the_household_keeps_the_promise",
    ),
    RECEIPTS.without(
        "leaf_of_any_root",
        "if merkle.root_from_path(leaf, index, leaves, steps) != root:",
        "if False:",
        "Made-up leaves convict a collector.",
        "test_the_leaf_of_another_household_convicts_nobody",
    ),
    RECEIPTS.without(
        "leaf_parts_of_any_length",
        "if len(opening.salt) != SALT_BYTES or len(opening.message_id) != merkle.HASH_BYTES:",
        "if False:",
        "The bytes of a leaf are split in another way, so that it holds another message.",
        "test_the_parts_of_a_leaf_cannot_be_shifted_against_each_other",
    ),
    RECEIPTS.without(
        "promise_to_no_member",
        "    check_member(home, genesis.members_root, genesis.members)\n",
        "",
        "A key that is no home's convicts a collector.",
        "test_a_home_of_another_street_is_refused",
    ),
    RECEIPTS.without(
        "promise_to_another_home",
        "if household_hash(household) != home.member.household:",
        "if False:",
        "A home accuses in the place of another one.",
        "test_a_household_cannot_claim_the_place_of_another",
    ),
    RECEIPTS.without(
        "promise_by_the_first_key",
        "return home.member.key_for(kind, rotated(home.index, interval_start) or home.member.key)",
        "return home.member.key_for(kind, home.member.key)",
        "A home that has rotated its key can accuse nobody, and who has its old key can.",
        "tests/p2p/roles/test_home_keys.py::test_a_proof_of_a_message_by_the_key_of_its_interval_convicts_and_others_do_not",
    ),
    RECEIPTS.without(
        "promise_of_another_message",
        "if receipt.message_id != message_id(message) or receipt.interval_start != message.interval_start:",
        "if receipt.interval_start != message.interval_start:",
        "The receipt of one message convicts for another.",
        "test_the_receipt_of_another_message_convicts_nobody",
    ),
    RECEIPTS.without(
        "promise_of_another_interval",
        "if receipt.message_id != message_id(message) or receipt.interval_start != message.interval_start:",
        "if receipt.message_id != message_id(message):",
        "A receipt that names another interval than its message convicts.",
        "test_a_receipt_that_moves_its_message_to_another_interval_convicts_nobody",
    ),
    RECEIPTS.without(
        "refusal_is_a_promise",
        "if receipt.code not in PROMISES:",
        "if False:",
        "A collector is convicted by a receipt with which it refused a message.",
        "test_a_receipt_that_promises_nothing_convicts_nobody",
    ),
    RECEIPTS.without(
        "omission_of_no_batch",
        "if (tx.module, tx.method) != (SETTLEMENT, SETTLE_BATCH):",
        "if False:",
        "A transaction that settles nothing convicts its sender.",
        "test_a_transaction_that_settles_nothing_is_refused",
    ),
    RECEIPTS.without(
        "omission_by_another_collector",
        "if tx.sender != collector:",
        "if False:",
        "A collector is convicted by the batch of another one.",
        "test_a_batch_of_another_collector_convicts_nobody",
    ),
    RECEIPTS.without(
        "omission_in_an_unsigned_batch",
        "    blocks.check_tx_signature(tx)\n",
        "",
        "A collector is convicted by a batch that it never signed.",
        "test_a_batch_whose_signature_is_of_another_batch_is_refused",
    ),
)
