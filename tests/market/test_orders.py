"""Orders of other kinds than simple ones: terms there and back, what is refused, and who takes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from market.book import Order, OrderBook, Side
from market.errors import InvalidBook, InvalidGrid, NotTaken
from market.grid import NO_LIMIT, Grid, Lines, Nodes
from market.mechanism import MECHANISMS, refuse_unused
from market.orders import (
    Block,
    Flexible,
    OrderKind,
    Quote,
    Storage,
    Terms,
    kind_of,
    numbers_of,
    problem_of,
    terms_from,
)
from market.rules import MarketRules

BLOCK = Block(2, 500_000, 1, -1, 3, (100, 0, 200))
FLEXIBLE = Flexible(0, 9, 100, 50, 1)
STORAGE = Storage(0, 95, 10_000, 500, 0, 300, 400, 950_000, 950_000, 10_000)
QUOTE = Quote(250, 200_000)
ALL = ((BLOCK, 300), (FLEXIBLE, 300), (STORAGE, 300), (QUOTE, 300))


@pytest.mark.parametrize(("terms", "energy_wh"), ALL)
def test_terms_come_back_from_their_numbers_and_are_valid(terms: Terms, energy_wh: int) -> None:
    assert terms_from(kind_of(terms), numbers_of(terms)) == terms
    assert problem_of(terms, 1, energy_wh, 150_000) is None


def test_a_simple_order_has_no_terms() -> None:
    assert (kind_of(None), numbers_of(None), terms_from(0, ())) == (OrderKind.SIMPLE, (), None)


@pytest.mark.parametrize(
    ("kind", "numbers"), [(0, (1,)), (1, (0, 1, 1, 1, 1)), (2, (1,)), (4, (1, 2, 3)), (9, ())]
)
def test_numbers_that_are_no_terms_are_refused(kind: int, numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"order|OrderKind"):
        terms_from(kind, numbers)


@pytest.mark.parametrize(
    ("terms", "side", "said"),
    [
        (replace(BLOCK, profile_wh=(-100, 400)), 1, "mixed signs"),
        (replace(BLOCK, profile_wh=(100, 100)), 1, "with a profile of 200 Wh"),
        (replace(BLOCK, first=670), 1, "outside 0..672 intervals"),
        (replace(BLOCK, least_ppm=0), 1, "least share"),
        (replace(BLOCK, parent=1), 1, "its own parent"),
        (replace(BLOCK, group=-2), 1, "negative label"),
        (replace(FLEXIBLE, last=-1), 1, "window"),
        (replace(FLEXIBLE, last=700), 1, "window 0..700"),
        (replace(FLEXIBLE, power_wh=10), 1, "does not fit into its window"),
        (replace(FLEXIBLE, least_wh=301), 1, "at least 301 Wh"),
        (replace(STORAGE, charge_ppm=1_000_001), 1, "efficiency"),
        (replace(STORAGE, initial_wh=10_001), 1, "10001 Wh first"),
        (replace(STORAGE, wear_micro_per_kwh=-1), 1, "wear"),
        (STORAGE, -1, "must be a buy"),
        (QUOTE, -1, "must be a buy"),
        (replace(QUOTE, sell_limit_micro_per_kwh=149_999), 1, "sell below what it buys for"),
        (replace(QUOTE, sell_wh=2**62), 1, "beyond 2^62"),
    ],
)
def test_invalid_terms_are_said_in_a_sentence(terms: Terms, side: int, said: str) -> None:
    problem = problem_of(terms, side, 300, 150_000)
    assert problem is not None
    assert said in problem


def test_terms_follow_their_rows_when_a_book_is_sorted() -> None:
    orders = [
        Order("b", 1, Side.BUY, 300, 150_000, 0, terms=QUOTE),
        Order("a", 0, Side.BUY, 300, 150_000, 1),
        Order("c", 0, Side.SELL, 300, 150_000, 0, terms=BLOCK),
    ]
    book = OrderBook.from_orders(orders)
    assert [book.order(row) for row in range(3)] == [orders[2], orders[1], orders[0]]
    assert book.kinds == {"simple", "block", "quote"}
    with pytest.raises(TypeError):
        book.terms[0] = QUOTE  # type: ignore[index]


def test_a_book_with_invalid_terms_says_which_row() -> None:
    with pytest.raises(InvalidBook, match="a quote order that would sell below what it buys for in row 0"):
        OrderBook.from_orders([Order("a", 0, Side.BUY, 300, 250_000, terms=QUOTE)])
    with pytest.raises(InvalidBook, match="terms of row 7 of 0"):
        OrderBook.from_columns(*[np.zeros(0, dtype=np.int64)] * 4, terms={7: QUOTE})


@pytest.mark.parametrize("name", sorted(MECHANISMS.all()))
def test_a_mechanism_refuses_the_kinds_it_does_not_take_and_a_grid_it_does_not_use(name: str) -> None:
    mechanism = MECHANISMS.get(name)
    book = OrderBook.from_orders([Order("a", 0, Side.BUY, 300, 150_000, terms=BLOCK)])
    if "block" not in mechanism.order_kinds:
        with pytest.raises(NotTaken, match=f"{name} takes simple orders, and the book holds block orders"):
            refuse_unused(mechanism, book, MarketRules())
    if not mechanism.promises.needs_grid:
        with pytest.raises(NotTaken, match=f"{name} does not use a grid"):
            refuse_unused(mechanism, OrderBook.from_orders([]), MarketRules(grid=grid()))
    refuse_unused(mechanism, OrderBook.from_orders([]), MarketRules())


def grid(names: tuple[str, ...] = ("root", "a", "b"), **columns: list[float]) -> Grid:
    given = {
        "start": [0, 1],
        "end": [1, 2],
        "r": [0.1, 0.1],
        "x": [0.1, 0.1],
        "limit_wh": [500, NO_LIMIT],
    } | columns
    ints = {name: np.array(given[name], dtype=np.int64) for name in ("start", "end", "limit_wh")}
    floats = {name: np.array(given[name], dtype=np.float64) for name in ("r", "x")}
    lines = Lines(tuple(f"l{i}" for i in range(len(ints["start"]))), **ints, **floats)
    return Grid("lindistflow", Nodes(names, np.zeros(len(names))), lines)


def test_a_radial_grid_is_a_tree() -> None:
    assert grid().is_tree
    assert not grid(start=[0, 1, 2], end=[1, 2, 0], r=[0.1] * 3, x=[0.1] * 3, limit_wh=[1] * 3).is_tree


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"end": [1, 9]}, "line 'l1' ends at no node"),
        ({"end": [0, 2]}, "line 'l0' starts and ends at one node"),
        ({"x": [0, 0.1]}, "line 'l0' has no impedance"),
        ({"limit_wh": [-5, 1]}, "line 'l0' has a limit below 0"),
        ({"start": [0, 0], "end": [1, 1]}, "no line connects 'b' with the root"),
        ({"x": [0.1]}, "of equal length"),
    ],
)
def test_a_grid_says_what_is_wrong_with_it(columns: dict[str, list[float]], said: str) -> None:
    with pytest.raises(InvalidGrid, match=said):
        grid(**columns)


def test_a_grid_without_or_with_twice_named_nodes_is_refused() -> None:
    with pytest.raises(InvalidGrid, match="node 'a' is named twice"):
        grid(("root", "a", "a"))
    with pytest.raises(InvalidGrid, match="needs nodes"):
        grid(())


def test_nobody_can_make_a_book_writable_again() -> None:
    who, side, energy, limit = np.arange(3), np.ones(3, dtype=np.int8), np.arange(3), np.arange(3)
    book = OrderBook.from_columns(who, side, energy, limit)
    energy += 7
    assert book.energy_wh.tolist() == [0, 1, 2]
    for name in ("participant", "side", "energy_wh", "limit_micro_per_kwh", "node", "sequence"):
        column = getattr(book, name)
        for array in (column, column[:], column.view(np.int8)):
            with pytest.raises(ValueError, match="cannot set WRITEABLE"):
                array.flags.writeable = True
