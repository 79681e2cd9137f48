"""Omission proofs in a market of several rounds: one leaf per round and home."""

from __future__ import annotations

import pytest

from p2p.batches.receipts import check_omission, include, make_omission
from p2p.errors import BadProof
from p2p.wire.messages import Limits, NothingMessage, OrderMessage, ReceiptCode
from tests.kits.chain_kit import OPERATOR
from tests.kits.signed_kit import batch_of, homes, keyed_genesis, names, order, receipt, signed

MEMBERS = 5
ROSTER = names(MEMBERS)
SECRET = b"i" * 32
Spoken = OrderMessage | NothingMessage
ROUNDS = 3
OF_ROUNDS = keyed_genesis(MEMBERS, limits=Limits(rounds=ROUNDS))


def of_round(number: int, household: str = "house-2", nonce: int = 4) -> OrderMessage:
    return order(OF_ROUNDS, household, nonce, number=number)


def accusation(message: OrderMessage, in_batch: list[Spoken], leaf: int | None = None) -> bytes:
    """A proof about house-2 that opens the leaf of the message's round, or that of another one."""
    inclusion = include(ROSTER, in_batch, SECRET, ROUNDS)
    return make_omission(
        receipt(message, ReceiptCode.ACCEPTED),
        signed(message),
        homes(MEMBERS).proof(2),
        inclusion.opening(2, message.round if leaf is None else leaf),
        batch_of(inclusion, OF_ROUNDS),
    )


def all_but(household: str, number: int) -> list[Spoken]:
    """Everybody's message of every round but one."""
    everything = [of_round(n, name, nonce=4 + n) for n in range(ROUNDS) for name in ROSTER]
    return [m for m in everything if (m.household, m.round) != (household, number)]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_message_that_was_left_out_of_one_round_convicts(number: int) -> None:
    left_out = of_round(number, nonce=4 + number)
    proven = accusation(left_out, all_but("house-2", number))
    assert check_omission(proven, OF_ROUNDS) == OPERATOR.public_key


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("leaf", range(ROUNDS))
def test_a_message_that_was_included_convicts_nobody_by_the_leaf_of_any_round(number: int, leaf: int) -> None:
    """Also not where the home was silent in another round: that leaf is not at the place of the message's round."""
    silent = (number + 1) % ROUNDS
    kept = of_round(number, nonce=4 + number)
    words = "the promise was kept" if leaf == number else "the leaf is not in the batch"
    with pytest.raises(BadProof, match=words):
        check_omission(accusation(kept, all_but("house-2", silent), leaf), OF_ROUNDS)


def test_a_later_message_of_another_round_keeps_no_promise() -> None:
    left_out = of_round(1, nonce=5)
    in_batch = all_but("house-2", 1)
    assert max(m.nonce for m in in_batch if m.household == "house-2") > left_out.nonce
    assert check_omission(accusation(left_out, in_batch), OF_ROUNDS) == OPERATOR.public_key


def test_one_round_has_the_tree_that_it_had() -> None:
    inclusion, first = (include(ROSTER, [of_round(0, nonce=4)], SECRET, rounds) for rounds in (1, ROUNDS))
    assert first.leaves[:MEMBERS] == inclusion.leaves
    assert len(first.leaves) == ROUNDS * MEMBERS
    assert first.root != inclusion.root
