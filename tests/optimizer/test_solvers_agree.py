"""Closed form, hot HiGHS and plain Pyomo give the same clearing, on books made of ties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.book import Order, OrderBook, Side
from market.clearing import Clearing
from market.rules import MarketRules, Solver
from optimizer.errors import SolverFailed, Unproven
from optimizer.mechanisms import uniform_price
from optimizer.solver.compile import FloatArray
from optimizer.solver.session import Session
from tests.kits.sample_kit import some


@st.composite
def books(draw: st.DrawFn, max_orders: int = 12) -> OrderBook:
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(list(Side)), st.integers(0, 5), st.integers(-1, 4)), max_size=max_orders
        )
    )
    return OrderBook.from_orders(
        Order(str(i), i, s, 100 * e, 1000 * p, i) for i, (s, e, p) in enumerate(rows)
    )


def random_book(rng: np.random.Generator, count: int) -> OrderBook:
    side = np.where(rng.random(count) < rng.random(), 1, -1).astype(np.int8)
    return OrderBook.from_columns(
        np.arange(count), side, rng.integers(0, 4_000, count), rng.integers(50_000, 50_000 + 2 * count, count)
    )


def clear(book: OrderBook, solver: Solver, **rules: object) -> Clearing:
    return uniform_price.clear(book, replace(MarketRules(solver=solver), **rules))  # type: ignore[arg-type]


def assert_same(a: Clearing, b: Clearing) -> None:
    assert a.node_price == b.node_price
    assert a.welfare_nano == b.welfare_nano
    assert a.accepted_wh.tolist() == b.accepted_wh.tolist()
    assert a.certificate == b.certificate


@given(books(), st.sampled_from(["pro_rata", "time", "random"]), st.integers(0, 1_000_000))
def test_highs_gives_the_closed_form(book: OrderBook, rationing: str, k_ppm: int) -> None:
    rules = {"rationing": rationing, "k_ppm": k_ppm}
    assert_same(clear(book, "highs", **rules), clear(book, "exact", **rules))


@settings(max_examples=some(40, 13))
@given(books())
def test_pyomo_gives_the_closed_form(book: OrderBook) -> None:
    assert_same(clear(book, "pyomo"), clear(book, "exact"))


def test_a_hot_session_gives_the_closed_form_on_book_after_book() -> None:
    """Orders come and go, the share of bids swings: slots left over from the last book must not trade."""
    rng = np.random.default_rng(1)
    for _ in range(150):
        book = random_book(rng, int(rng.integers(1, 90)))
        assert_same(clear(book, "highs"), clear(book, "exact"))


def test_the_guessed_basis_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uniform_price, "GUESS_BASIS_FROM", 0)
    rng = np.random.default_rng(2)
    for _ in range(60):
        book = random_book(rng, int(rng.integers(1, 60)))
        assert_same(clear(book, "highs"), clear(book, "exact"))


def test_a_book_of_ten_thousand_orders_clears_alike() -> None:
    book = random_book(np.random.default_rng(3), 10_000)
    assert_same(clear(book, "highs"), clear(book, "exact"))


def test_energies_and_prices_of_very_different_size_clear_alike() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        count = 40
        book = OrderBook.from_columns(
            np.arange(count),
            rng.choice(np.array([1, -1], dtype=np.int8), count),
            10 ** rng.integers(0, 8, count),
            rng.choice([-1, 1], count) * 10 ** rng.integers(0, 9, count),
        )
        assert_same(clear(book, "highs"), clear(book, "exact"))


def test_an_allocation_that_is_not_optimal_is_refused_after_a_cold_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forgotten = []
    monkeypatch.setattr(Session, "answer", lambda self, cost, lower, upper: np.zeros(len(cost)))
    monkeypatch.setattr(Session, "forget_basis", lambda self: forgotten.append(True))
    book = random_book(np.random.default_rng(5), 30)
    with pytest.raises(Unproven, match="not optimal"):
        clear(book, "highs")
    assert forgotten == [True]


def test_an_allocation_beyond_the_orders_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(self: Session, cost: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
        return 2 * (lower + upper)

    monkeypatch.setattr(Session, "answer", too_much)
    book = OrderBook.from_orders([Order("b", 0, Side.BUY, 5, 30, 0), Order("s", 1, Side.SELL, 5, 10, 1)])
    with pytest.raises(Unproven, match="more than was ordered"):
        clear(book, "highs")


def test_a_wrong_hot_answer_is_cured_by_a_cold_start(monkeypatch: pytest.MonkeyPatch) -> None:
    right, answers = Session.answer, []

    def wrong_once(self: Session, cost: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
        answers.append(right(self, cost, lower, upper))
        return answers[0] * 0 if len(answers) == 1 else answers[-1]

    monkeypatch.setattr(Session, "answer", wrong_once)
    book = random_book(np.random.default_rng(5), 30)
    assert_same(clear(book, "highs"), clear(book, "exact"))
    assert len(answers) == 2


def test_energies_beyond_the_whole_numbers_of_a_float_are_left_to_the_closed_form() -> None:
    book = OrderBook.from_orders(
        [
            Order("b", 0, Side.BUY, 2**54 + 1, 3, 0),
            Order("c", 1, Side.BUY, 2**54 + 1, 2, 1),
            Order("s", 2, Side.SELL, 2**54 + 3, 1, 2),
        ]
    )
    with pytest.raises(SolverFailed, match="use solver 'exact'"):
        clear(book, "highs")
    assert clear(book, "exact").accepted_wh.tolist() == [2**54 + 1, 2, 2**54 + 3]
