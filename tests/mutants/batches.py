"""Mutants of what makes a batch right: its blob, the closings in it, receipts, and the check of a validator."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, Rules

CHECKER = Rules("wattswap/nodes/batch_checker.py", "tests/wattswap/nodes/test_batch_checker.py")
INTERVAL = Rules("wattswap/nodes/interval.py", "tests/wattswap/nodes/test_hostile_live.py")
BLOB = Rules("p2p/batches/blob.py", "tests/p2p/batches/test_blob.py")
CLOSINGS = Rules("p2p/batches/closings.py", "tests/p2p/batches/test_closings.py")
RECEIPTS = Rules("p2p/batches/receipts.py", "tests/p2p/batches/test_receipts.py")
MESSAGES = Rules("p2p/wire/messages.py", "tests/p2p/batches/test_blob.py")
MEMBERS = Rules("p2p/blocks/members.py", "tests/p2p/blocks/test_members.py")

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
    ),
    *(
        CHECKER.without(
            f"checker_ignores_{field}",
            'FREE: Final = ("next_collector",)',
            f'FREE: Final = ("next_collector", "{field}")',
            f"A batch with any `{field}` is voted for.",
        )
        for field in FIELDS
    ),
    CHECKER.without(
        "checker_binds_the_next_turn",
        'FREE: Final = ("next_collector",)',
        "FREE: Final = ()",
        "A batch that gives the next turn to another collector is refused, so a turn never moves.",
    ),
    CHECKER.without(
        "checker_needs_no_solution",
        "if self._lacking(blob):",
        "if False:",
        "A collector can leave the solution out, and validators without a solver cannot vote.",
        "tests/wattswap/nodes/test_vote_without_solver.py",
    ),
    CHECKER.without(
        "checker_takes_a_needless_solution",
        "if given is not None and self._setup.mechanism.witness is None:",
        "if False:",
        "A blob carries bytes that nothing checks.",
        "tests/wattswap/nodes/test_vote_without_solver.py",
    ),
    CHECKER.without(
        "checker_finds_nothing_lacking",
        "_refuse_other(args, recomputed)\n        return self.closed(blob)",
        "_refuse_other(args, recomputed)\n        return ()",
        "A batch without the messages of a home needs no closings.",
    ),
    CHECKER.without(
        "settled_batch_is_not_compared",
        "_refuse_other(args, recomputed)\n        return recomputed",
        "return recomputed",
        "Who verifies a chain accepts batches that do not follow from their messages.",
    ),
    CHECKER.without(
        "checker_knows_no_rotated_key",
        "self._setup.member_list, self._rotated)",
        "self._setup.member_list)",
        "Messages of a home that has rotated its key are refused, and those of its old key taken.",
    ),
    CHECKER.without(
        "checker_keeps_every_interval",
        "while len(self._kept) > KEPT:",
        "while False:",
        "The memory of a validator grows with every blob that anybody sends.",
    ),
    INTERVAL.without(
        "orders_are_not_compared",
        "if nonce == ABSENT or home in unsure[number]:",
        "if True:",
        "A live run with orders that no home would give verifies.",
    ),
    INTERVAL.without(
        "readings_are_not_compared",
        "if metered not in ((meters.import_wh[home], meters.export_wh[home]), (bought[home], sold[home])):",
        "if False:",
        "A live run with readings that no meter has counted verifies.",
    ),
    INTERVAL.without(
        "solutions_may_be_left_over",
        "    solutions.refuse_more()\n",
        "",
        "A blob carries more solutions than it has clearings.",
        "tests/wattswap/nodes/test_vote_without_solver.py",
    ),
    # --- blob
    BLOB.without(
        "blob_lines_in_any_order",
        "if any(a >= b for a, b in pairwise(places)):",
        "if False:",
        "The same messages have several blobs, and a line counts twice.",
    ),
    BLOB.without(
        "blob_lines_occur_twice",
        "if any(a >= b for a, b in pairwise(places)):",
        "if any(a > b for a, b in pairwise(places)):",
        "A home has two messages in one round.",
    ),
    BLOB.without(
        "blob_of_any_kind",
        "if unknown is not None:",
        "if False:",
        "A line of an unknown kind ends the node that reads it.",
    ),
    BLOB.without(
        "blob_secret_of_any_length",
        "if blob.version != VERSION or len(blob.interval_secret) != SECRET_BYTES:",
        "if blob.version != VERSION:",
        "A collector takes a secret that can be guessed, and entries with it.",
    ),
    BLOB.without(
        "blob_of_any_version",
        "if blob.version != VERSION or len(blob.interval_secret) != SECRET_BYTES:",
        "if len(blob.interval_secret) != SECRET_BYTES:",
        "A blob of another version is read as if it were of this one.",
    ),
    BLOB.without(
        "blob_home_is_counted_from_behind",
        "if not 0 <= line.participant < len(members):",
        "if line.participant >= len(members):",
        "A home has two numbers, so two lines of it are in order.",
    ),
    BLOB.without(
        "blob_orders_of_nothing",
        "if len(line.numbers) != count or bool(line.orders) != is_order:",
        "if len(line.numbers) != count:",
        "The same message has several lines, with orders that nobody signed.",
    ),
    BLOB.without(
        "blob_numbers_of_any_count",
        "if len(line.numbers) != count or bool(line.orders) != is_order:",
        "if bool(line.orders) != is_order:",
        "The same message has several lines, with numbers that nobody signed.",
    ),
    BLOB.without(
        "blob_reading_of_a_round",
        "if is_reading and line.round:",
        "if False:",
        "A home has a reading in each round of one interval.",
    ),
    BLOB.without(
        "blob_outside_a_term",
        "    members.check_term(household, interval_start)\n",
        "",
        "A home trades before it is a member, or after it was one.",
    ),
    BLOB.without(
        "blob_of_homes_without_keys",
        "if blob.lines and not members.keys:",
        "if False:",
        "A blob of a chain without keys ends the node that reads it.",
    ),
    BLOB.without(
        "blob_lines_of_other_limits",
        "        key_of=key_of,\n        limits=genesis.params.limits,\n",
        "        key_of=key_of,\n",
        "Orders beyond the limits of the chain are settled.",
    ),
    BLOB.without(
        "blob_closing_of_another_interval",
        "if closing.interval_start != blob.interval_start:",
        "if False:",
        "Closings of an earlier interval excuse that messages are missing in this one.",
        CLOSINGS.tests,
    ),
    BLOB.without(
        "blob_closing_unsigned",
        "        check_closing(closing, genesis.chain_id)\n",
        "",
        "A collector writes the closings of validators itself.",
        CLOSINGS.tests,
    ),
    BLOB.without(
        "blob_closing_of_no_slot",
        "        check_slot(closing.slot, genesis.params.rounds)\n",
        "",
        "A closing of a slot that no interval has is in a blob.",
        CLOSINGS.tests,
    ),
    BLOB.without(
        "blob_closings_in_any_order",
        "if len(places) > most or any(a >= b for a, b in pairwise(places)):",
        "if len(places) > most:",
        "The same closings have several blobs.",
        CLOSINGS.tests,
    ),
    BLOB.without(
        "blob_closings_of_any_number",
        "if len(places) > most or any(a >= b for a, b in pairwise(places)):",
        "if any(a >= b for a, b in pairwise(places)):",
        "A blob has a reader verify as many signatures as fit into it.",
        CLOSINGS.tests,
    ),
    MESSAGES.without(
        "message_signature_unchecked",
        "if not verify(signed.public_key, _MESSAGE_DOMAIN, bytes((signed.kind,)) + signed.body, signed.signature):",
        "if False:",
        "Anybody orders for any home.",
    ),
    MESSAGES.without(
        "message_by_any_key",
        "if signed.public_key not in _signers(message, key_of, collector_keys):",
        "if False:",
        "A home signs messages of another home with its own key.",
        "tests/p2p/wire/test_p2p_messages.py",
    ),
    MEMBERS.without(
        "member_of_any_root",
        "if merkle.root_from_path(member_leaf(member), proof.index, members, steps) != root:",
        "if False:",
        "A key that the genesis does not know becomes that of a home.",
    ),
    # --- closings
    CLOSINGS.without(
        "closing_of_another_chain",
        "if closing.chain_id != chain_id:",
        "if False:",
        "Closings of another chain of the same validators count.",
    ),
    CLOSINGS.without(
        "closing_of_any_version",
        "if closing.version != VERSION:",
        "if False:",
        "A closing of another version is read as if it were of this one.",
    ),
    CLOSINGS.without(
        "closing_promises_in_any_order",
        "if any(a.participant >= b.participant for a, b in pairwise(closing.promised)):",
        "if False:",
        "A closing has two promises to one home, of which readers see different ones.",
    ),
    CLOSINGS.without(
        "closing_signature_unchecked",
        "if not verify(closing.validator, domains.SIGN_CLOSING, content, closing.signature):",
        "if False:",
        "Anybody closes a slot for a validator.",
    ),
    CLOSINGS.without(
        "closing_of_a_complete_slot",
        "if closing.slot not in found:",
        "if False:",
        "A closing that has no place in a blob ends the node that reads it.",
    ),
    CLOSINGS.without(
        "promise_in_a_batch_is_not_kept",
        "if missing is not None:\n            raise LeftOut(",
        "if False:\n            raise LeftOut(",
        "A collector leaves out what validators have promised.",
    ),
    CLOSINGS.without(
        "older_message_keeps_a_promise",
        "if present.get((closing.slot, one.participant), -1) < one.nonce:",
        "if present.get((closing.slot, one.participant), -1) < 0:",
        "A collector includes an older message of a home than the one that is promised.",
    ),
    CLOSINGS.without(
        "readings_are_not_waited_for",
        "if slot in (0, rounds) or (slot - 1, home) in present",
        "if slot == 0 or (slot - 1, home) in present",
        "A collector leaves out the reading of a home that was absent in the last round.",
    ),
    CLOSINGS.without(
        "one_closing_is_enough",
        "if signed < quorum(len(validators)):",
        "if signed < 1:",
        "A collector with one validator of its own leaves homes out.",
    ),
    CLOSINGS.without(
        "closings_of_strangers_count",
        "signed = len(keys.intersection(validators))",
        "signed = len(keys)",
        "Keys that are no validators close a slot.",
    ),
    CLOSINGS.without(
        "closing_by_another_key_convicts",
        "if closing.validator != promiser:",
        "if False:",
        "A validator is convicted by the closing of another one.",
    ),
    CLOSINGS.without(
        "closing_of_another_interval_convicts",
        "if closing.interval_start != message.interval_start:",
        "if False:",
        "A validator is convicted by its closing of another interval.",
    ),
    CLOSINGS.without(
        "closing_of_another_slot_convicts",
        "if closing.slot != slot_of(message, genesis.params.rounds):",
        "if False:",
        "A validator is convicted by its closing of another slot.",
    ),
    CLOSINGS.without(
        "kept_promise_convicts",
        "if nonce is not None and nonce >= message.nonce:",
        "if False:",
        "A validator that kept its promise is convicted.",
    ),
    CLOSINGS.without(
        "later_message_convicts",
        "if nonce is not None and nonce >= message.nonce:",
        "if nonce == message.nonce:",
        "A validator is convicted because a home has replaced its message.",
    ),
    CLOSINGS.without(
        "older_message_acquits",
        "if nonce is not None and nonce >= message.nonce:",
        "if nonce is not None:",
        "A validator that forgot the newest message of a home is not convicted.",
    ),
    # --- receipts
    RECEIPTS.without(
        "omission_of_another_chain",
        "if proof.tx.chain_id != genesis.chain_id:",
        "if False:",
        "A batch of another chain convicts a collector of this one.",
    ),
    RECEIPTS.without(
        "omission_of_any_version",
        "if proof.version != VERSION:",
        "if False:",
        "A proof of another version is read as if it were of this one.",
    ),
    RECEIPTS.without(
        "omission_of_another_interval",
        "if args.interval_start != message.interval_start:",
        "if False:",
        "A collector is convicted by its batch of another interval.",
    ),
    RECEIPTS.without(
        "omission_of_the_first_slot",
        "leaf_index(proof.home.index, slot_of(message, genesis.params.rounds), genesis.members)",
        "leaf_index(proof.home.index, 0, genesis.members)",
        "A collector is convicted by the leaf of another round.",
        "tests/p2p/batches/test_receipts_of_rounds.py",
    ),
    RECEIPTS.without(
        "omission_of_a_kept_promise",
        "if keeps(opening, message.nonce, message_id(message)):",
        "if False:",
        "A collector that kept its promise is convicted.",
    ),
    RECEIPTS.without(
        "promised_nonce_keeps_a_promise",
        "return opening.nonce > nonce or opening.message_id == name",
        "return opening.nonce >= nonce or opening.message_id == name",
        "A collector puts a message that the home never gave in the place of the promised one.",
    ),
    RECEIPTS.without(
        "later_message_keeps_no_promise",
        "return opening.nonce > nonce or opening.message_id == name",
        "return opening.message_id == name",
        "A collector is convicted because a home has replaced its message.",
    ),
    RECEIPTS.without(
        "leaf_of_any_root",
        "if merkle.root_from_path(leaf, index, leaves, steps) != root:",
        "if False:",
        "Made-up leaves convict a collector.",
    ),
    RECEIPTS.without(
        "leaf_parts_of_any_length",
        "if len(opening.salt) != SALT_BYTES or len(opening.message_id) != merkle.HASH_BYTES:",
        "if False:",
        "The bytes of a leaf are split in another way, so that it holds another message.",
    ),
    RECEIPTS.without(
        "promise_to_no_member",
        "    check_member(home, genesis.members_root, genesis.members)\n",
        "",
        "A key that is no home's convicts a collector.",
    ),
    RECEIPTS.without(
        "promise_to_another_home",
        "if household_hash(household) != home.member.household:",
        "if False:",
        "A home accuses in the place of another one.",
    ),
    RECEIPTS.without(
        "promise_by_the_first_key",
        "return rotated(home.index, interval_start) or home.member.key",
        "return home.member.key",
        "A home that has rotated its key can accuse nobody, and who has its old key can.",
        "tests/p2p/roles/test_home_keys.py",
    ),
    RECEIPTS.without(
        "promise_of_another_message",
        "if receipt.message_id != message_id(message) or receipt.interval_start != message.interval_start:",
        "if receipt.interval_start != message.interval_start:",
        "The receipt of one message convicts for another.",
    ),
    RECEIPTS.without(
        "promise_of_another_interval",
        "if receipt.message_id != message_id(message) or receipt.interval_start != message.interval_start:",
        "if receipt.message_id != message_id(message):",
        "A receipt that names another interval than its message convicts.",
    ),
    RECEIPTS.without(
        "refusal_is_a_promise",
        "if receipt.code not in PROMISES:",
        "if False:",
        "A collector is convicted by a receipt with which it refused a message.",
    ),
    RECEIPTS.without(
        "omission_of_no_batch",
        "if (tx.module, tx.method) != (SETTLEMENT, SETTLE_BATCH):",
        "if False:",
        "A transaction that settles nothing convicts its sender.",
    ),
    RECEIPTS.without(
        "omission_by_another_collector",
        "if tx.sender != collector:",
        "if False:",
        "A collector is convicted by the batch of another one.",
    ),
    RECEIPTS.without(
        "omission_in_an_unsigned_batch",
        "    blocks.check_tx_signature(tx)\n",
        "",
        "A collector is convicted by a batch that it never signed.",
    ),
)
