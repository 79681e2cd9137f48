"""Whose turn the next interval is: what a batch may say about it, from whom, and when it must be an operator."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chain_module_governance import KEYS, new_chain
from test_chain_operators import decide, rotate

from p2p.ledger.modules import settlement
from p2p.ledger.modules.governance import REMOVE_OPERATOR
from p2p.ledger.state import State
from p2p.wire.identity import Identity
from tests.kits.chain_kit import START, STEP, make_args
from tests.kits.modules_kit import HOMES, OPERATORS, STRANGER, Chain, refused
from tests.kits.sample_kit import some

VALIDATORS = KEYS[:4]


def settle(chain: Chain, by: Identity, then: Identity | bytes) -> None:
    """Settle the next interval, and give the turn after it to `then`."""
    key = then if isinstance(then, bytes) else then.public_key
    args = make_args(chain.tip.state.settled.batches, 4)[1]
    chain.call(by, "settlement.batch", msgspec.structs.replace(args, next_collector=key))


def turn(chain: Chain) -> bytes:
    return chain.tip.state.settled.collector


def test_the_first_turn_is_the_first_operators() -> None:
    assert turn(new_chain(4)) == OPERATORS[0].public_key


@pytest.mark.parametrize("by", [OPERATORS[0], OPERATORS[1], VALIDATORS[2]])
@pytest.mark.parametrize("then", OPERATORS)
def test_any_collector_gives_the_turn_to_any_operator(by: Identity, then: Identity) -> None:
    chain = new_chain(4)
    settle(chain, by, then)
    assert turn(chain) == then.public_key


def test_a_validator_that_stands_in_can_take_the_turn_and_keep_it() -> None:
    chain = new_chain(4)
    settle(chain, VALIDATORS[2], VALIDATORS[2])
    settle(chain, VALIDATORS[2], VALIDATORS[2])
    assert turn(chain) == VALIDATORS[2].public_key
    settle(chain, VALIDATORS[1], VALIDATORS[2])  # who stands in for it can leave it its turn
    assert turn(chain) == VALIDATORS[2].public_key
    settle(chain, OPERATORS[1], OPERATORS[1])
    assert turn(chain) == OPERATORS[1].public_key


@pytest.mark.parametrize("by", [OPERATORS[0], VALIDATORS[2]])
@pytest.mark.parametrize("then", [VALIDATORS[1], HOMES[0], STRANGER, bytes(32)])
def test_nobody_gives_the_turn_to_another_validator_or_to_a_key_without_an_office(
    by: Identity, then: Identity | bytes
) -> None:
    with refused("settle_turn"):
        settle(new_chain(4), by, then)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with refused("tx_args"):
        settle(new_chain(4), OPERATORS[0], bytes(length))


def test_a_removed_operator_does_not_get_the_turn_from_another() -> None:
    chain = new_chain(4)
    settle(chain, OPERATORS[0], OPERATORS[1])
    decide(chain, REMOVE_OPERATOR, OPERATORS[0])
    with refused("settle_turn"):
        settle(chain, OPERATORS[1], OPERATORS[0])


def test_an_operator_with_a_new_key_gets_the_turn_under_the_new_one() -> None:
    chain = new_chain(4)
    settle(chain, OPERATORS[0], OPERATORS[1])
    rotate(chain, OPERATORS[0], STRANGER)
    with refused("settle_turn"):
        settle(chain, OPERATORS[1], OPERATORS[0])
    settle(chain, OPERATORS[1], STRANGER)
    assert turn(chain) == STRANGER.public_key


def after(batches: int, chain: Chain) -> Chain:
    """The chain as if so many batches had been settled, the turn being validator 2's."""
    view = chain.tip.state.view()
    changes = {"batches": batches, "last_interval_start": START + STEP * (batches - 1)}
    value = msgspec.structs.replace(chain.tip.state.settled, collector=VALIDATORS[2].public_key, **changes)
    view.write(settlement.NAME, b"sums", value)
    view.accept()
    chain.tip = replace(chain.tip, state=State(view.trees()))
    return chain


@pytest.mark.parametrize("days", [1, 2, 50])
def test_after_96_batches_the_turn_is_an_operators_again(days: int) -> None:
    last = settlement.TAKEOVER_BATCHES * days
    chain = after(last - 1, new_chain(4))
    for then in (VALIDATORS[2], VALIDATORS[1]):
        with refused("settle_turn"):
            settle(chain, VALIDATORS[2], then)
    settle(chain, VALIDATORS[2], OPERATORS[1])
    for batches in (last - 2, last):
        settle(after(batches, new_chain(4)), VALIDATORS[2], VALIDATORS[2])


def test_a_chain_without_operators_leaves_the_turn_to_validators() -> None:
    chain = new_chain(4)
    for operator in OPERATORS:
        decide(chain, REMOVE_OPERATOR, operator)
    after(settlement.TAKEOVER_BATCHES - 1, chain)
    with refused("settle_turn"):
        settle(chain, VALIDATORS[1], OPERATORS[0])
    settle(chain, VALIDATORS[1], VALIDATORS[2])
    settle(chain, VALIDATORS[1], VALIDATORS[1])
    assert turn(chain) == VALIDATORS[1].public_key


ALL = [*OPERATORS, *VALIDATORS]


@settings(max_examples=some(30, 10), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ALL), st.sampled_from([*ALL, STRANGER])), max_size=8))
def test_the_turn_is_an_operators_or_was_taken_by_the_validator_that_has_it(
    script: list[tuple[Identity, Identity]],
) -> None:
    """No sequence of batches gives the turn to a validator that has not settled one itself."""
    chain, settled = new_chain(4), set()
    for by, then in script:
        allowed = then in OPERATORS or then == by or then.public_key == turn(chain)
        if not allowed:
            with refused("settle_turn"):
                settle(chain, by, then)
            continue
        settle(chain, by, then)
        settled.add(by.public_key)
        assert turn(chain) in {key.public_key for key in OPERATORS} | settled
