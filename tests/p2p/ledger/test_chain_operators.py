"""Operators: the validators add and remove them, one changes its own key, and a removed one settles nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chain_module_governance import KEYS, approve, new_chain

from p2p.blocks.genesis import MAX_OPERATORS
from p2p.blocks.possession import prove_possession
from p2p.errors import BrokenInvariant, InvalidTx
from p2p.ledger import offices
from p2p.ledger.module import AUTHORITY, OPERATOR
from p2p.ledger.modules import accounts
from p2p.ledger.modules.accounts import RotateArgs
from p2p.ledger.modules.governance import ADD, ADD_OPERATOR, REMOVE_OPERATOR, OperatorArgs
from p2p.ledger.state import check_invariants
from p2p.wire.identity import Identity
from tests.kits.chain_kit import identity, make_args
from tests.kits.modules_kit import HOMES, OPERATORS, STRANGER, Chain, refused
from tests.kits.sample_kit import some

NEW = [identity("operator", str(number)) for number in range(2, 10)]


def operator_args(chain: Chain, action: int, key: Identity) -> OperatorArgs:
    proof = prove_possession(key, chain.genesis.chain_id) if action == ADD_OPERATOR else b""
    return OperatorArgs(action, key.public_key, proof, chain.tip.height + 50)


def propose(chain: Chain, action: int, key: Identity, by: Identity = KEYS[0]) -> None:
    chain.call(by, "governance.propose_operator", operator_args(chain, action, key))


def decide(chain: Chain, action: int, key: Identity) -> None:
    """Propose it, and let a quorum of four approve."""
    propose(chain, action, key)
    number = offices.validator_sets(chain.tip.state.view()).open[-1]
    approve(chain, KEYS[1], KEYS[2], number=number)


def keys(*operators: Identity) -> tuple[bytes, ...]:
    return tuple(operator.public_key for operator in operators)


def test_the_genesis_gives_the_operators_in_the_order_of_their_turns() -> None:
    assert new_chain(4).tip.state.operators == keys(*OPERATORS)


def test_an_operator_joins_at_a_quorum_and_at_once() -> None:
    chain = new_chain(4)
    propose(chain, ADD_OPERATOR, NEW[0])
    approve(chain, KEYS[1])
    assert chain.tip.state.operators == keys(*OPERATORS)
    with refused("tx_role"):
        chain.call(NEW[0], "settlement.batch", make_args(0, 4)[1])
    approve(chain, KEYS[2])
    assert chain.tip.state.operators == keys(*OPERATORS, NEW[0])
    assert accounts.roles_of(chain.tip.state.view(), NEW[0].public_key) == {OPERATOR}
    chain.call(NEW[0], "settlement.batch", make_args(0, 4)[1])


def test_an_operator_that_is_removed_settles_no_more_and_the_others_keep_their_order() -> None:
    chain = new_chain(4)
    decide(chain, ADD_OPERATOR, NEW[0])
    decide(chain, REMOVE_OPERATOR, OPERATORS[0])
    assert chain.tip.state.operators == keys(OPERATORS[1], NEW[0])
    with refused("tx_role"):
        chain.call(OPERATORS[0], "settlement.batch", make_args(0, 4)[1])
    decide(chain, ADD_OPERATOR, OPERATORS[0])
    assert chain.tip.state.operators == keys(OPERATORS[1], NEW[0], OPERATORS[0])


def test_a_chain_whose_operators_were_all_removed_is_settled_by_validators() -> None:
    chain = new_chain(4)
    for operator in OPERATORS:
        decide(chain, REMOVE_OPERATOR, operator)
    assert chain.tip.state.operators == ()
    args = msgspec.structs.replace(make_args(0, 4)[1], next_collector=KEYS[1].public_key)
    chain.call(KEYS[1], "settlement.batch", args)
    decide(chain, ADD_OPERATOR, NEW[0])
    assert chain.tip.state.operators == keys(NEW[0])


def test_a_chain_has_eight_operators_at_most() -> None:
    chain = new_chain(4)
    more = NEW[: MAX_OPERATORS - len(OPERATORS)]
    for operator in more:
        decide(chain, ADD_OPERATOR, operator)
    with refused("gov_set_size"):
        propose(chain, ADD_OPERATOR, NEW[-1])
    assert chain.tip.state.operators == keys(*OPERATORS, *more)


def test_what_can_no_longer_be_done_when_the_quorum_is_reached_is_refused() -> None:
    chain = new_chain(4)
    propose(chain, REMOVE_OPERATOR, OPERATORS[0])
    propose(chain, REMOVE_OPERATOR, OPERATORS[0], by=KEYS[1])
    approve(chain, KEYS[1], KEYS[2], number=0)
    approve(chain, KEYS[0], number=1)
    with refused("gov_member"):
        approve(chain, KEYS[2], number=1)
    assert 1 in offices.proposals(chain.tip.state.view())


@pytest.mark.parametrize(
    ("action", "key", "code"),
    [
        (ADD_OPERATOR, OPERATORS[1], "gov_member"),
        (REMOVE_OPERATOR, STRANGER, "gov_member"),
        (REMOVE_OPERATOR, KEYS[0], "gov_member"),
    ],
)
def test_a_key_that_is_there_does_not_join_and_one_that_is_not_does_not_leave(
    action: int, key: Identity, code: str
) -> None:
    with refused(code):
        propose(new_chain(4), action, key)


@pytest.mark.parametrize("by", [OPERATORS[0], HOMES[0], STRANGER])
def test_only_validators_propose_operators(by: Identity) -> None:
    with refused("tx_role"):
        propose(new_chain(4), ADD_OPERATOR, NEW[0], by=by)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"action": ADD}, "tx_args"),
        ({"action": 0}, "tx_args"),
        ({"action": 8}, "tx_args"),
        ({"key": b""}, "tx_args"),
        ({"key": bytes(31)}, "tx_args"),
        ({"proof": b""}, "key_proof"),
        ({"proof": bytes(64)}, "key_proof"),
        ({"key": NEW[1].public_key}, "key_proof"),
        ({"action": REMOVE_OPERATOR, "key": OPERATORS[0].public_key}, "tx_args"),
        ({"expiry_height": 0}, "gov_expiry"),
    ],
)
def test_other_arguments_are_refused(changes: dict[str, object], code: str) -> None:
    chain = new_chain(4)
    args = msgspec.structs.replace(operator_args(chain, ADD_OPERATOR, NEW[0]), **changes)
    with refused(code):
        chain.call(KEYS[0], "governance.propose_operator", args)


def test_a_proof_of_possession_is_of_this_chain_and_of_no_other_place() -> None:
    chain = new_chain(4)
    for proof in (
        prove_possession(NEW[0], bytes(32)),
        prove_possession(NEW[0], chain.genesis.chain_id, OPERATORS[0].public_key),
    ):
        args = msgspec.structs.replace(operator_args(chain, ADD_OPERATOR, NEW[0]), proof=proof)
        with refused("key_proof"):
            chain.call(KEYS[0], "governance.propose_operator", args)


def rotate(chain: Chain, old: Identity, new: Identity) -> None:
    proof = prove_possession(new, chain.genesis.chain_id, old.public_key)
    chain.call(old, "accounts.rotate_key", RotateArgs(new.public_key, proof))


def test_an_operator_that_changes_its_key_keeps_its_place() -> None:
    chain = new_chain(4)
    rotate(chain, OPERATORS[0], STRANGER)
    assert chain.tip.state.operators == keys(STRANGER, OPERATORS[1])
    with refused("tx_role"):
        rotate(chain, OPERATORS[0], NEW[0])
    with refused("key_taken"):
        rotate(chain, STRANGER, OPERATORS[1])
    rotate(chain, STRANGER, OPERATORS[0])
    assert chain.tip.state.operators == keys(*OPERATORS)


def test_a_home_that_changes_its_key_leaves_the_operators_alone() -> None:
    chain = new_chain(4)
    chain.settle_day()
    rotate(chain, HOMES[1], STRANGER)
    assert chain.tip.state.operators == keys(*OPERATORS)


def test_a_validator_can_be_an_operator_too() -> None:
    chain = new_chain(4)
    decide(chain, ADD_OPERATOR, KEYS[3])
    assert accounts.roles_of(chain.tip.state.view(), KEYS[3].public_key) == {OPERATOR, AUTHORITY}


@pytest.mark.parametrize("wrong", [keys(*OPERATORS, OPERATORS[0]), keys(*OPERATORS, *NEW)])
def test_a_list_with_a_key_twice_or_too_many_stops_the_node(wrong: tuple[bytes, ...]) -> None:
    chain = new_chain(4)
    view = chain.tip.state.view()
    view.write(offices.NAME, offices.OPERATORS, offices.Keys(wrong))
    view.accept()
    with pytest.raises(BrokenInvariant, match=f"{len(wrong)} operators, or one key twice"):
        check_invariants(view, chain.genesis, 1)


steps = st.lists(
    st.tuples(
        st.sampled_from([ADD_OPERATOR, REMOVE_OPERATOR, "rotate"]),
        st.sampled_from([*OPERATORS, *NEW[:3]]),
        st.sampled_from([STRANGER, *NEW[3:5]]),
    ),
    max_size=6,
)


@settings(max_examples=some(15, 5), deadline=None)
@given(steps)
def test_the_list_is_that_of_a_model(script: list[tuple[object, Identity, Identity]]) -> None:
    """A list to which keys are appended, from which they are removed, and in which one takes the place of another."""
    chain, model = new_chain(4), list(OPERATORS)
    for action, key, other in script:
        try:
            if action == "rotate":
                rotate(chain, key, other)
                model[model.index(key)] = other
            else:
                decide(chain, int(str(action)), key)
                model.append(key) if action == ADD_OPERATOR else model.remove(key)
        except InvalidTx:
            possible = {
                "rotate": key in model and other not in model,
                ADD_OPERATOR: key not in model,
                REMOVE_OPERATOR: key in model,
            }
            assert not possible[action]  # type: ignore[index]
        assert chain.tip.state.operators == keys(*model)
