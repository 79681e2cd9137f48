"""Omission proofs in a market of several rounds: one leaf per slot and home, the last slot being the readings."""

from __future__ import annotations

import pytest

from p2p.batches.receipts import check_omission, include, make_omission, slot_of
from p2p.errors import BadProof
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
)
from tests.kits.chain_kit import OPERATOR, START
from tests.kits.signed_kit import batch_of, homes, keyed_genesis, names, order, reading, receipt, signed

MEMBERS = 5
ROSTER = names(MEMBERS)
SECRET = b"i" * 32
Spoken = OrderMessage | NothingMessage | ReadingMessage
ROUNDS = 3
CONVICTED = (OPERATOR.public_key, START)
OF_ROUNDS = keyed_genesis(MEMBERS, limits=Limits(rounds=ROUNDS))


def of_round(number: int, household: str = "house-2", nonce: int = 4) -> OrderMessage:
    return order(OF_ROUNDS, household, nonce, number=number)


def accusation(message: Spoken, in_batch: list[Spoken], leaf: int | None = None) -> bytes:
    """A proof about house-2 that opens the leaf of the message's slot, or that of another one."""
    inclusion = include(ROSTER, in_batch, SECRET, ROUNDS)
    return make_omission(
        receipt(message, ReceiptCode.ACCEPTED),
        signed(message),
        homes(MEMBERS).proof(2),
        inclusion.opening(2, slot_of(message, ROUNDS) if leaf is None else leaf),
        batch_of(inclusion, OF_ROUNDS),
    )


def of_slot(slot: int, household: str = "house-2", nonce: int = 4) -> Spoken:
    """A message of a round, or a reading behind all of them."""
    return reading(OF_ROUNDS, household, nonce) if slot == ROUNDS else of_round(slot, household, nonce)


def all_but(household: str, slot: int) -> list[Spoken]:
    """Everybody's message of every slot but one."""
    everything = [of_slot(n, name, nonce=4 + n) for n in range(ROUNDS + 1) for name in ROSTER]
    return [m for m in everything if (m.household, slot_of(m, ROUNDS)) != (household, slot)]


@pytest.mark.parametrize("number", range(ROUNDS + 1))
def test_a_message_that_was_left_out_of_one_slot_convicts(number: int) -> None:
    left_out = of_slot(number, nonce=4 + number)
    proven = accusation(left_out, all_but("house-2", number))
    assert check_omission(proven, OF_ROUNDS) == CONVICTED


@pytest.mark.parametrize("number", range(ROUNDS + 1))
@pytest.mark.parametrize("leaf", range(ROUNDS + 1))
def test_a_message_that_was_included_convicts_nobody_by_the_leaf_of_any_slot(number: int, leaf: int) -> None:
    """Also not where the home was silent in another slot: that leaf is not at the place of the message's slot."""
    silent = (number + 1) % (ROUNDS + 1)
    kept = of_slot(number, nonce=4 + number)
    # The path of the readings has another length: 20 leaves are a tree of 16 and one of 4.
    words = "the promise was kept" if leaf == number else r"the leaf is not in the batch|too (long|short)"
    with pytest.raises(BadProof, match=words):
        check_omission(accusation(kept, all_but("house-2", silent), leaf), OF_ROUNDS)


def test_a_later_message_of_another_round_keeps_no_promise() -> None:
    left_out = of_round(1, nonce=5)
    in_batch = all_but("house-2", 1)
    assert max(m.nonce for m in in_batch if m.household == "house-2") > left_out.nonce
    assert check_omission(accusation(left_out, in_batch), OF_ROUNDS) == CONVICTED


def test_the_leaves_of_the_first_round_do_not_depend_on_the_number_of_rounds() -> None:
    inclusion, first = (include(ROSTER, [of_round(0, nonce=4)], SECRET, rounds) for rounds in (1, ROUNDS))
    assert first.leaves[: 2 * MEMBERS] == inclusion.leaves  # an absent home has the same leaf in any slot
    assert (len(inclusion.leaves), len(first.leaves)) == (2 * MEMBERS, (ROUNDS + 1) * MEMBERS)
    assert first.root != inclusion.root
