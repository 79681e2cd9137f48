"""Mutants of what is believed without a chain: certificates, proofs of lines, changes of the set, snapshots."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

LIGHT = Rules("p2p/ledger/light.py", "tests/p2p/ledger/test_trusted_headers.py")
BLOCK = Rules("p2p/blocks/block.py", "tests/p2p/blocks/test_chain_block.py")
SNAPSHOT = Rules("p2p/roles/replica/snapshot.py", "tests/p2p/ledger/test_forged_snapshots.py")
CHECKPOINT = Rules("p2p/ledger/checkpoint.py", "tests/p2p/ledger/test_checkpoints.py")
STATE = Rules("p2p/ledger/state.py", "tests/p2p/ledger/test_chain_execution.py")
EXECUTION = "tests/p2p/ledger/test_chain_execution.py"
LINES = "tests/p2p/ledger/test_chain_light.py"

MUTANTS: tuple[Mutant, ...] = (
    LIGHT.without(
        "proof_change_above_block",
        "if not height < change.header.height < header.height:",
        "if not height < change.header.height:",
        "Later validators sign blocks of the time before them, so that history can be rewritten.",
        LIGHT.tests,
        EXECUTION,
    ),
    LIGHT.without(
        "proof_changes_in_any_order",
        "if not height < change.header.height < header.height:",
        "if not change.header.height < header.height:",
        "A proof goes round in circles through sets of validators.",
        EXECUTION,
    ),
    LIGHT.without(
        "proof_change_unsigned",
        "        _check_header(change.header, change.cert, validators, genesis)\n",
        "",
        "A made-up header replaces all validators.",
        LIGHT.tests,
        EXECUTION,
    ),
    LIGHT.without(
        "proof_change_to_any_set",
        "if change.header.next_validators_hash != blocks.validators_hash(change.validators):",
        "if False:",
        "A set of strangers is slipped in behind a genuine header.",
        EXECUTION,
    ),
    LIGHT.without(
        "proof_without_trust",
        "    if trusted is not None:\n        _check_trusted",
        "    if False:\n        _check_trusted",
        "Validators who have left sign new blocks with their old keys.",
    ),
    LIGHT.without(
        "proof_past_the_trusted_set",
        "if at_trusted != trusted.validators:",
        "if False:",
        "A proof leads past the validators that are known to others of its own.",
    ),
    LIGHT.without(
        "proof_by_who_had_left",
        "if header.time_ms > trusted.since_ms:",
        "if False:",
        "Validators sign blocks dated after they had left.",
    ),
    LIGHT.without(
        "proof_of_any_age",
        "if header.time_ms < trusted.time_ms - TRUSTING_S * 1_000:",
        "if False:",
        "Keys of validators that left long ago still sign history.",
    ),
    LIGHT.without(
        "proof_of_any_age_by_present_validators_refused",
        "    if validators == trusted.validators:\n        return\n",
        "",
        "A home cannot prove an old line though the same validators are still there.",
    ),
    LIGHT.without(
        "proof_of_another_chain",
        "if header.version != blocks.VERSION or header.chain_id != genesis.chain_id:",
        "if False:",
        "A header of another chain of the same validators proves a line of this one.",
        LINES,
    ),
    LIGHT.without(
        "proof_by_any_set",
        "if header.validators_hash != blocks.validators_hash(validators):",
        "if False:",
        "A header that names other validators than signed it is believed.",
        LINES,
    ),
    LIGHT.without(
        "proof_certificate_of_another_block",
        "if cert.block_hash != block_hash or cert.height != header.height:",
        "if False:",
        "The signatures of one block prove another one.",
        LINES,
    ),
    LIGHT.without(
        "proof_certificate_unchecked",
        "    blocks.check_cert(cert, validators, genesis.chain_id)\n",
        "",
        "A header that nobody signed is believed.",
        LINES,
    ),
    LIGHT.without(
        "proof_out_of_turn",
        "if not blocks.had_turn(header.proposer_idx, header.height, cert.round, len(validators)):",
        "if False:",
        "A block of a validator whose turn it was not is believed.",
        LINES,
    ),
    LIGHT.without(
        "proof_of_no_operators",
        "if found is None:",
        "if False:",
        "A proof that there is no list of operators ends the node that reads it.",
    ),
    LIGHT.without(
        "proof_of_a_transaction_of_no_block",
        "if root != proof.header.tx_root:",
        "if False:",
        "A batch that is in no block is believed.",
        LINES,
    ),
    LIGHT.without(
        "proof_of_any_transaction",
        "if not is_batch(tx) or tx.chain_id != genesis.chain_id:",
        "if False:",
        "The arguments of another method are read as a batch.",
        LINES,
    ),
    LIGHT.without(
        "proof_by_any_sender",
        '        raise BadProof("the transaction is not by an operator or a validator")',
        '        sender = "anybody"',
        "A batch of a home is believed.",
        LINES,
    ),
    LIGHT.without(
        "proof_of_an_unsigned_transaction",
        "    blocks.check_tx_signature(tx)\n",
        "",
        "A batch that its sender did not sign is believed.",
        LINES,
    ),
    LIGHT.without(
        "line_of_any_width",
        "if entry.is_wide != (entry.account >= args.members):",
        "if False:",
        "A narrow entry is read as that of an account behind the members.",
        LINES,
    ),
    LIGHT.without(
        "line_of_no_batch",
        "if root != args.postings_root:",
        "if False:",
        "Made-up lines are believed.",
        LINES,
    ),
    STATE.without(
        "entry_of_another_state",
        "if merkle.root(leaves) != state_root:",
        "if False:",
        "A made-up list of operators is believed.",
        f"{EXECUTION}::test_an_entry_and_its_absence_are_proven_against_a_header",
    ),
    STATE.without(
        "state_of_another_root",
        "if state.root != state_root:",
        "if False:",
        "A checkpoint that was changed is taken for the state of its block.",
        f"{EXECUTION}::test_entries_that_are_changed_missing_or_there_twice_give_no_state",
    ),
    STATE.without(
        "state_entry_there_twice",
        "if name not in found or key in found[name]:",
        "if name not in found:",
        "The same state has several checkpoints.",
        f"{EXECUTION}::test_entries_that_are_changed_missing_or_there_twice_give_no_state",
    ),
    # --- certificates
    BLOCK.without(
        "certificate_of_two_thirds",
        "return 2 * n // 3 + 1",
        "return 2 * n // 3",
        "Two quorums share only faulty validators, so that two blocks of a height are certified.",
    ),
    BLOCK.without(
        "certificate_of_any_number",
        "if len(who) < quorum(n):",
        "if not who:",
        "One validator certifies a block.",
    ),
    BLOCK.without(
        "certificate_signature_unchecked",
        "if not verify(validators[index], domains.SIGN_CONSENSUS, data, signature_at(cert, i)):",
        "if False:",
        "Anybody certifies a block.",
    ),
    BLOCK.without(
        "certificate_of_spare_bits",
        "if len(cert.bitmap) != (n + 7) // 8 or (who and who[-1] >= n):",
        "if who and who[-1] >= n:",
        "The same certificate has several forms.",
    ),
    BLOCK.without(
        "certificate_of_spare_signatures",
        "if len(cert.signatures) != SIGNATURE_BYTES * len(who):",
        "if len(cert.signatures) < SIGNATURE_BYTES * len(who):",
        "A certificate carries bytes that nobody signed.",
    ),
    BLOCK.without(
        "turn_of_any_round",
        "return 0 <= proposer < n and (proposer - height) % n <= round_",
        "return 0 <= proposer < n",
        "A block of a validator whose turn has not come is committed.",
    ),
    # --- snapshots
    SNAPSHOT.without(
        "snapshot_state_not_above",
        "if tip != wanted or tip.state.root != above.state_root:",
        "if tip != wanted:",
        "A node begins with a made-up state under genuine headers.",
    ),
    SNAPSHOT.without(
        "snapshot_of_another_block",
        "if tip != wanted or tip.state.root != above.state_root:",
        "if tip.state.root != above.state_root:",
        "A node begins with the height, the time or the receipts of another block.",
    ),
    SNAPSHOT.without(
        "snapshot_certificate_unchecked",
        "    _check_signed(above, cert, validators, genesis)\n",
        "",
        "A node begins with a state that nobody signed.",
    ),
    SNAPSHOT.without(
        "snapshot_headers_do_not_follow",
        "if above.height != header.height + 1 or above.parent_hash != name:",
        "if above.height != header.height + 1:",
        "A node begins with a header that is not below the certified one.",
    ),
    SNAPSHOT.without(
        "snapshot_of_any_height",
        "if above.height != header.height + 1 or above.parent_hash != name:",
        "if above.parent_hash != name:",
        "A header with a wrong height, that a quorum would have to sign, is taken.",
    ),
    SNAPSHOT.without(
        "snapshot_changes_in_any_order",
        "if not below < change.header.height <= height:",
        "if not change.header.height <= height:",
        "A snapshot goes round in circles through sets of validators.",
    ),
    SNAPSHOT.without(
        "snapshot_change_above_its_height",
        "if not below < change.header.height <= height:",
        "if not below < change.header.height:",
        "Later validators sign a state of the time before them.",
    ),
    SNAPSHOT.without(
        "snapshot_change_unsigned",
        "        _check_signed(change.header, change.cert, validators, genesis)\n",
        "",
        "A made-up header replaces all validators.",
    ),
    SNAPSHOT.without(
        "snapshot_change_to_any_set",
        "if blocks.validators_hash(change.validators) != change.header.next_validators_hash:",
        "if False:",
        "A set of strangers is slipped in behind a genuine header.",
    ),
    SNAPSHOT.without(
        "snapshot_by_any_set",
        "if header.validators_hash != blocks.validators_hash(validators):",
        "if False:",
        "A header that names other validators than signed it is taken.",
    ),
    SNAPSHOT.without(
        "snapshot_certificate_of_another_block",
        "if cert.height != header.height or cert.block_hash != blocks.block_hash(header):",
        "if False:",
        "The signatures of one block prove another one.",
    ),
    SNAPSHOT.without(
        "snapshot_of_any_version",
        "if snapshot.version != VERSION:",
        "if False:",
        "A snapshot of another version is read as if it were of this one.",
    ),
    CHECKPOINT.without(
        "checkpoint_in_any_order",
        "if any(a[:2] >= b[:2] for a, b in pairwise(found.entries)):",
        "if False:",
        "The same state has several checkpoints.",
    ),
    CHECKPOINT.without(
        "checkpoint_of_any_version",
        "if found.version != _CHECKPOINT_VERSION:",
        "if False:",
        "A checkpoint of another version is read as if it were of this one.",
    ),
    CHECKPOINT.without(
        "checkpoint_of_another_block",
        "if (tip.height, tip.block_hash) != (store.height, store.head_hash):",
        "if False:",
        "A node starts from a checkpoint that is not of its chain.",
    ),
)
