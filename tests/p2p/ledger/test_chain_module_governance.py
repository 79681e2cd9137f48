"""Governance: who passes what, when it takes effect, and what never may happen to the set."""

from __future__ import annotations

import msgspec
import pytest

from p2p.blocks.block import validators_hash
from p2p.blocks.possession import NO_KEY, prove_possession
from p2p.consensus.evidence import make_evidence
from p2p.errors import InvalidBlock
from p2p.ledger import offices
from p2p.ledger.execution import choose
from p2p.ledger.modules.governance import (
    ADD,
    MAX_OPEN,
    REMOVE,
    RETURN,
    ROTATE,
    ApproveArgs,
    AuthorityArgs,
    ParameterArgs,
)
from p2p.wire.identity import Identity
from tests.kits.chain_kit import authorities, identity
from tests.kits.evidence_kit import vote
from tests.kits.modules_kit import HOMES, OPERATORS, Chain, make_genesis, refused

KEYS = authorities(26)


def authority_args(
    chain: Chain, action: int, key: Identity, new: Identity | None = None, expiry: int = 50
) -> AuthorityArgs:
    proof = b""
    if action == ADD:
        proof = prove_possession(key, chain.genesis.chain_id)
    if new is not None:
        proof = prove_possession(new, chain.genesis.chain_id, key.public_key)
    new_key = b"" if new is None else new.public_key
    return AuthorityArgs(action, key.public_key, new_key, proof, chain.tip.height + expiry)


def propose(chain: Chain, by: Identity, action: int, key: Identity, new: Identity | None = None) -> None:
    chain.call(by, "governance.propose_authority", authority_args(chain, action, key, new))


def approve(chain: Chain, *by: Identity, number: int = 0) -> None:
    for key in by:
        chain.call(key, "governance.approve", ApproveArgs(number))


def new_chain(n: int, **governed: int) -> Chain:
    chain = Chain(make_genesis(n, **governed))
    chain.validators |= {key.public_key: key for key in KEYS}
    return chain


def test_a_change_passes_at_a_quorum_and_holds_two_blocks_later() -> None:
    chain = new_chain(4)
    propose(chain, KEYS[0], ADD, KEYS[4])
    approve(chain, KEYS[1])
    assert KEYS[4].public_key not in chain.tip.state.next_validators
    approve(chain, KEYS[2])
    decided = chain.tip.height
    old, new = chain.genesis.authorities, (*chain.genesis.authorities, KEYS[4].public_key)
    assert (chain.tip.state.validators, chain.tip.state.next_validators) == (old, new)
    chain.add()
    assert (chain.tip.state.validators, chain.tip.state.next_validators) == (new, new)
    chain.add()
    headers = [block.header for block, _ in chain.made[-2:]]
    assert [header.height for header in headers] == [decided + 1, decided + 2]
    hashes = [(header.validators_hash, header.next_validators_hash) for header in headers]
    assert hashes == [
        (validators_hash(old), validators_hash(new)),
        (validators_hash(new), validators_hash(new)),
    ]


def test_a_passed_proposal_is_closed() -> None:
    chain = new_chain(4)
    propose(chain, KEYS[0], ADD, KEYS[4])
    approve(chain, KEYS[1], KEYS[2])
    with refused("gov_closed"):
        approve(chain, KEYS[3])
    assert offices.proposals(chain.tip.state.view()) == {}


def test_an_authority_approves_once() -> None:
    chain = new_chain(4)
    propose(chain, KEYS[0], ADD, KEYS[4])
    for key in (KEYS[0], KEYS[1]):
        if key is KEYS[1]:
            approve(chain, key)
        with refused("gov_approved"):
            approve(chain, key)


def test_only_authorities_govern() -> None:
    chain = new_chain(4)
    for key in (OPERATORS[0], HOMES[0], KEYS[4]):
        with refused("tx_role"):
            propose(chain, key, ADD, KEYS[5])


def test_a_set_never_shrinks_below_four() -> None:
    chain = new_chain(4)
    with refused("gov_set_size"):
        propose(chain, KEYS[0], REMOVE, KEYS[3])


def test_a_toy_stays_a_toy_and_may_rotate_its_key() -> None:
    chain = new_chain(1)
    with refused("gov_set_size"):
        propose(chain, KEYS[0], ADD, KEYS[1])
    propose(chain, KEYS[0], ROTATE, KEYS[0], KEYS[1])
    chain.add()
    assert chain.tip.state.validators == (KEYS[1].public_key,)


def test_a_set_never_grows_above_25() -> None:
    chain = new_chain(25)
    with refused("gov_set_size"):
        propose(chain, KEYS[0], ADD, KEYS[25])


def test_a_rotated_authority_keeps_its_turn() -> None:
    chain = new_chain(4)
    propose(chain, KEYS[0], ROTATE, KEYS[1], KEYS[7])
    approve(chain, KEYS[1], KEYS[2])
    chain.add()
    expected = [KEYS[0], KEYS[7], KEYS[2], KEYS[3]]
    assert chain.tip.state.validators == tuple(key.public_key for key in expected)


def test_a_key_joins_only_with_proof_that_somebody_holds_it() -> None:
    chain = new_chain(4)
    stolen = AuthorityArgs(ADD, KEYS[4].public_key, b"", bytes(64), 50)
    with refused("key_proof"):
        chain.call(KEYS[0], "governance.propose_authority", stolen)
    rotate = prove_possession(KEYS[4], chain.genesis.chain_id, KEYS[1].public_key)
    other_use = AuthorityArgs(ADD, KEYS[4].public_key, b"", rotate, 50)
    with refused("key_proof"):
        chain.call(KEYS[0], "governance.propose_authority", other_use)
    assert KEYS[1].public_key != NO_KEY


def test_a_key_takes_the_place_of_a_validator_only_with_proof_that_somebody_holds_it() -> None:
    chain = new_chain(4)
    right = authority_args(chain, ROTATE, KEYS[1], KEYS[4])
    for proof in (
        bytes(64),
        prove_possession(KEYS[4], chain.genesis.chain_id),
        prove_possession(KEYS[4], chain.genesis.chain_id, KEYS[2].public_key),
        prove_possession(KEYS[1], chain.genesis.chain_id, KEYS[1].public_key),
    ):
        with refused("key_proof"):
            forged = msgspec.structs.replace(right, proof=proof)
            chain.call(KEYS[0], "governance.propose_authority", forged)
    chain.call(KEYS[0], "governance.propose_authority", right)


def test_a_validator_does_not_take_over_the_key_of_another() -> None:
    """It would have two votes."""
    chain = new_chain(4)
    with refused("gov_member"):
        propose(chain, KEYS[0], ROTATE, KEYS[1], KEYS[2])


@pytest.mark.parametrize(("action", "key"), [(ADD, 0), (REMOVE, 9), (RETURN, 0), (RETURN, 9)])
def test_what_is_there_is_not_added_and_what_is_not_there_is_not_removed(action: int, key: int) -> None:
    chain = new_chain(5)
    with refused("gov_member"):
        propose(chain, KEYS[0], action, KEYS[key])


def test_a_block_changes_the_set_at_most_once() -> None:
    chain = new_chain(4)
    propose(chain, KEYS[0], ADD, KEYS[4])
    propose(chain, KEYS[1], ADD, KEYS[5])
    approve(chain, KEYS[1], number=0)
    approve(chain, KEYS[2], number=1)
    third = [chain.tx(KEYS[2], "governance.approve", ApproveArgs(0))]
    third.append(chain.tx(KEYS[3], "governance.approve", ApproveArgs(1)))
    with pytest.raises(InvalidBlock, match="gov_busy"):
        chain.add(third)
    chain.add(third[:1])
    approve(chain, KEYS[3], number=1)
    chain.add()
    assert len(chain.tip.state.validators) == 6


def test_approvals_of_an_authority_that_left_do_not_count() -> None:
    chain = new_chain(5)
    propose(chain, KEYS[4], ADD, KEYS[5])
    propose(chain, KEYS[0], REMOVE, KEYS[4])
    approve(chain, KEYS[1], KEYS[2], KEYS[3], number=1)
    chain.add()
    chain.add()
    assert offices.proposals(chain.tip.state.view())[0].approvals == ()
    approve(chain, KEYS[0], KEYS[1], number=0)
    assert 0 in offices.proposals(chain.tip.state.view())
    approve(chain, KEYS[2], number=0)
    assert 0 not in offices.proposals(chain.tip.state.view())


def test_a_proposal_expires() -> None:
    chain = new_chain(4)
    args = authority_args(chain, ADD, KEYS[4], expiry=2)
    chain.call(KEYS[0], "governance.propose_authority", args)
    chain.add()
    assert offices.proposals(chain.tip.state.view()) == {}
    with refused("gov_closed"):
        approve(chain, KEYS[1])


@pytest.mark.parametrize("expiry", [0, 12])
def test_a_proposal_lives_within_bounds(expiry: int) -> None:
    chain = new_chain(4, proposal_heights=10)
    args = authority_args(chain, ADD, KEYS[4], expiry=expiry)
    with refused("gov_expiry"):
        chain.call(KEYS[0], "governance.propose_authority", args)


def test_the_number_of_open_proposals_is_bounded() -> None:
    chain = new_chain(4)
    args = ParameterArgs("tx_quota", 50, 1_000)
    for _ in range(MAX_OPEN):
        chain.call(KEYS[0], "governance.propose_parameter", args)
    with refused("gov_full"):
        chain.call(KEYS[0], "governance.propose_parameter", args)


def test_a_parameter_changes_at_a_quorum_and_the_next_header_says_so() -> None:
    chain = new_chain(4)
    before = chain.genesis.params.hash
    chain.call(KEYS[0], "governance.propose_parameter", ParameterArgs("tx_quota", 7, 50))
    approve(chain, KEYS[1], KEYS[2])
    chain.add()
    assert chain.tip.state.governed.tx_quota == 7
    hashes = [block.header.params_hash for block, _ in chain.made]
    assert hashes[:-1] == [before] * (len(hashes) - 1)
    assert hashes[-1] != before


@pytest.mark.parametrize(
    ("name", "value"),
    [("tx_quota", 0), ("tx_quota", 100_001), ("evidence_heights", 9), ("currency", 1), ("", 1)],
)
def test_a_parameter_outside_its_bounds_is_refused(name: str, value: int) -> None:
    with refused("gov_range"):
        new_chain(4).call(KEYS[0], "governance.propose_parameter", ParameterArgs(name, value, 50))


def test_the_history_knows_the_set_of_every_height() -> None:
    chain = new_chain(4)
    propose(chain, KEYS[0], ADD, KEYS[4])
    approve(chain, KEYS[1], KEYS[2])
    chain.add()
    propose(chain, KEYS[0], ROTATE, KEYS[1], KEYS[7])
    approve(chain, KEYS[2], KEYS[3], KEYS[4], number=1)
    chain.add()
    chain.add()
    view = chain.tip.state.view()
    for block, _ in chain.made:
        found = offices.validators_of(view, block.header.height)
        assert validators_hash(found) == block.header.validators_hash


# --- evidence -----------------------------------------------------------------------------------------------


def two_votes(chain: Chain, index: int, height: int, round_: int = 0) -> bytes:
    key, chain_id = KEYS[index], chain.genesis.chain_id
    pair = [vote(key, index, chain_id, height, round_, bytes([i]) * 32) for i in (1, 2)]
    return make_evidence(*pair)


def test_who_signs_twice_is_out_two_blocks_later() -> None:
    chain = new_chain(5)
    chain.add()
    chain.add(evidence=(two_votes(chain, 3, 1),))
    assert KEYS[3].public_key in chain.tip.state.validators
    chain.add()
    assert KEYS[3].public_key not in chain.tip.state.validators
    assert offices.validator_sets(chain.tip.state.view()).jailed == (KEYS[3].public_key,)


def test_with_four_authorities_the_jailed_one_stays_until_a_fifth_comes() -> None:
    chain = new_chain(4)
    chain.add()
    chain.add(evidence=(two_votes(chain, 3, 1),))
    chain.add()
    assert len(chain.tip.state.validators) == 4
    propose(chain, KEYS[0], ADD, KEYS[4])
    approve(chain, KEYS[1], KEYS[2])
    chain.add()
    chain.add()
    expected = [KEYS[0], KEYS[1], KEYS[2], KEYS[4]]
    assert chain.tip.state.validators == tuple(key.public_key for key in expected)


def test_several_at_once_leave_one_a_block_and_never_below_four() -> None:
    chain = new_chain(6)
    chain.add()
    chain.add(evidence=tuple(two_votes(chain, i, 1) for i in (0, 1, 2)))
    sizes = []
    for _ in range(5):
        sizes.append(len(chain.tip.state.validators))
        chain.add()
    assert sizes == [6, 5, 4, 4, 4]
    assert len(offices.validator_sets(chain.tip.state.view()).jailed) == 3


def test_a_quorum_calls_a_jailed_authority_back() -> None:
    chain = new_chain(5)
    chain.add()
    old = two_votes(chain, 3, 1)
    chain.add(evidence=(old,))
    chain.add()
    chain.add()
    with refused("gov_member"):
        propose(chain, KEYS[0], ADD, KEYS[3])
    propose(chain, KEYS[0], RETURN, KEYS[3])
    approve(chain, KEYS[1], KEYS[2])
    chain.add()
    chain.add()
    assert chain.tip.state.validators[-1] == KEYS[3].public_key
    assert offices.validator_sets(chain.tip.state.view()).jailed == ()
    with pytest.raises(InvalidBlock, match="has returned since"):
        chain.add(evidence=(old,))


def test_the_same_evidence_counts_once() -> None:
    chain = new_chain(5)
    chain.add()
    evidence = two_votes(chain, 3, 1)
    with pytest.raises(InvalidBlock, match=r"evidence\[1\]: .*jailed already"):
        chain.add(evidence=(evidence, evidence))
    chain.add(evidence=(evidence,))
    with pytest.raises(InvalidBlock, match="jailed already"):
        chain.add(evidence=(two_votes(chain, 3, 2),))


def test_evidence_against_one_that_has_left_jails_nobody() -> None:
    chain = new_chain(5)
    chain.add()
    propose(chain, KEYS[0], REMOVE, KEYS[4])
    approve(chain, *KEYS[1:4])
    chain.add()
    chain.add()
    assert KEYS[4].public_key not in chain.tip.state.validators
    with pytest.raises(InvalidBlock, match="has left"):
        chain.add(evidence=(two_votes(chain, 4, 1),))


def test_evidence_is_judged_by_the_set_of_its_height() -> None:
    """Authority 4 moves to index 3 when 3 leaves; what it signed before counts under its old index."""
    chain = new_chain(6)
    propose(chain, KEYS[0], REMOVE, KEYS[3])
    approve(chain, KEYS[1], KEYS[2], KEYS[4], KEYS[5])
    chain.add()
    chain.add()
    assert chain.tip.state.validators.index(KEYS[4].public_key) == 3
    chain.add(evidence=(two_votes(chain, 4, 2),))
    assert offices.validator_sets(chain.tip.state.view()).jailed == (KEYS[4].public_key,)


@pytest.mark.parametrize("height", [0, 3, 12])
def test_evidence_of_a_height_that_is_too_old_or_not_yet_decided_is_refused(height: int) -> None:
    chain = new_chain(5, evidence_heights=10)
    for _ in range(13 if height < 12 else 11):
        chain.add()
    with pytest.raises(InvalidBlock, match=f"evidence of height {height}"):
        chain.add(evidence=(two_votes(chain, 3, height),))


def test_a_block_holds_at_most_four_pieces_of_evidence() -> None:
    chain = new_chain(10)
    chain.add()
    with pytest.raises(InvalidBlock, match="5 pieces; at most 4"):
        chain.add(evidence=tuple(two_votes(chain, i, 1) for i in range(5)))


def test_a_proposer_takes_no_more_evidence_than_a_block_holds() -> None:
    chain = new_chain(10)
    chain.add()
    pieces = [two_votes(chain, i, 1) for i in range(5)]
    _, chosen = choose(chain.tip, chain.genesis, (), pieces)
    assert chosen == tuple(pieces[:4])
    chain.add(evidence=chosen)


def test_keys_of_the_kit_are_apart() -> None:
    assert identity("authority", "0").public_key == KEYS[0].public_key != OPERATORS[0].public_key
