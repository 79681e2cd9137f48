"""An interval with several clearings has a solution for each, in their order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InfeasibleClearing
from market.rules import MarketRules
from market.witness import Reader, Witness
from optimizer.mechanisms.multi_interval import MULTI_INTERVAL
from optimizer.mechanisms.uniform_price import UNIFORM_PRICE
from tests.optimizer.test_rolling_books import book_of_homes
from wattswap.runs.solutions import Solutions

RULES = MarketRules()
BOOKS = [book_of_homes(seed) for seed in (1, 2)]


def kept() -> Solutions:
    """Those of two horizons, one after the other."""
    solutions = Solutions()
    for book in BOOKS:
        solutions.of(MULTI_INTERVAL).clear(book, RULES)
    return solutions


def test_two_horizons_are_derived_from_two_solutions_in_their_order() -> None:
    found = kept().found
    assert found is not None
    given = Solutions(found)
    for book in BOOKS:
        derived = given.of(MULTI_INTERVAL).clear(book, RULES)
        assert derived.accepted_wh.tolist() == MULTI_INTERVAL.clear(book, RULES).accepted_wh.tolist()
    given.refuse_more()
    with pytest.raises(InfeasibleClearing, match="the solution"):
        Solutions(found[::-1]).of(MULTI_INTERVAL).clear(BOOKS[0], RULES)


def test_too_few_and_too_many_are_refused() -> None:
    found = kept().found
    assert found is not None
    few, many = Solutions(found[:1]), Solutions((*found, b""))
    few.of(MULTI_INTERVAL).clear(BOOKS[0], RULES)
    with pytest.raises(
        InfeasibleClearing, match="1 solutions are given, and the interval has more clearings"
    ):
        few.of(MULTI_INTERVAL).clear(BOOKS[1], RULES)
    for book in BOOKS:
        many.of(MULTI_INTERVAL).clear(book, RULES)
    with pytest.raises(InfeasibleClearing, match="3 solutions are given for 2 clearings"):
        many.refuse_more()


def test_a_mechanism_without_a_witness_stays_as_it_is() -> None:
    solutions = Solutions()
    assert solutions.of(UNIFORM_PRICE) is UNIFORM_PRICE
    assert solutions.found is None


def test_an_error_of_numpy_in_hostile_bytes_is_a_refusal() -> None:
    def broken(book: OrderBook, rules: MarketRules, data: bytes) -> Clearing:
        raise ValueError("array must not contain infs or NaNs")

    hostile = replace(MULTI_INTERVAL, witness=Witness(lambda _: b"", broken))
    with pytest.raises(InfeasibleClearing, match="from which no clearing follows: array must not"):
        Solutions((b"",)).of(hostile).clear(BOOKS[0], RULES)


def test_a_reader_gives_no_more_than_there_is() -> None:
    with pytest.raises(InfeasibleClearing, match="ends after 3 bytes; this book needs more"):
        Reader(b"abc").numbers(10**9)
