"""Small books for the tests of auctions, written as rows, and exhaustive misreports of one participant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product

from hypothesis import strategies as st

from market.book import Order, OrderBook, Side
from market.clearing import Clearing, check_feasible
from market.mechanism import Mechanism
from market.rules import MarketRules, Value

Row = tuple[int, int, int, int]
"""Participant, side, energy in Wh, limit in micro-currency per kWh."""

ONE_WH: dict[str, Value] = {"unit_wh": 1}


def book_of(rows: Iterable[Row]) -> OrderBook:
    """The book of these rows; arrival as listed."""
    return OrderBook.from_orders(
        Order(f"o{i}", who, Side(side), energy, limit, i) for i, (who, side, energy, limit) in enumerate(rows)
    )


def rows_of(
    most: int, energy: tuple[int, int] = (0, 3), limits: tuple[int, int] = (-2, 6), alone: bool = False
) -> st.SearchStrategy[list[Row]]:
    """Books with ties; participants hold several orders of both sides unless each is `alone` with one."""
    row = st.tuples(
        st.integers(0, most - 1), st.sampled_from([1, -1]), st.integers(*energy), st.integers(*limits)
    )
    rows = st.lists(row, max_size=most)
    return rows.map(lambda found: [(i, *row[1:]) for i, row in enumerate(found)]) if alone else rows


def units(rows: list[Row], side: int, unit_wh: int = 1) -> list[tuple[int, int]]:
    """The unit orders of a side as (limit, number of the row), best first, ties by row."""
    of_side = ((limit, energy, i) for i, (_, s, energy, limit) in enumerate(rows) if s == side)
    listed = [(limit, i) for limit, energy, i in of_side for _ in range(energy // unit_wh)]
    return sorted(listed, key=lambda unit: (-side * unit[0], unit[1]))


def efficient(buys: list[tuple[int, int]], sells: list[tuple[int, int]]) -> int:
    """The number of pairs in which the bid is at least the offer."""
    return sum(b >= s for (b, _), (s, _) in zip(buys, sells, strict=False))


def accepted_by_row(rows: list[Row], winners: Iterable[tuple[int, int]], unit_wh: int = 1) -> list[int]:
    """Accepted energy of each row, from the units that trade."""
    found = [0] * len(rows)
    for _, row in winners:
        found[row] += unit_wh
    return found


def cleared(mechanism: Mechanism, rows: list[Row], rules: MarketRules) -> tuple[OrderBook, Clearing]:
    """Clear the rows and hold the clearing to what every mechanism of these tests promises."""
    book = book_of(rows)
    clearing = mechanism.clear(book, rules)
    check_feasible(book, clearing)
    if mechanism.promises.budget_balance == "strong":
        assert clearing.operator_surplus_nano == 0
    elif mechanism.promises.budget_balance == "weak":
        assert clearing.operator_surplus_nano >= 0
    return book, clearing


def by_row(rows: list[Row], book: OrderBook, column: Iterable[int]) -> list[int]:
    """A column of the book in the order of the rows that it was made of."""
    of_id = dict(zip(book.ids, column, strict=True))
    return [int(of_id[f"o{i}"]) for i in range(len(rows))]


def utility(rows: list[Row], who: int, book: OrderBook, clearing: Clearing) -> int:
    """What a participant gains at its true limits, which `rows` hold. [nano]"""
    accepted, paid = (
        by_row(rows, book, x.tolist()) for x in (clearing.accepted_wh, clearing.payment_nano(book))
    )
    return sum(
        side * accepted[i] * limit - paid[i] for i, (owner, side, _, limit) in enumerate(rows) if owner == who
    )


def best_lie(
    clear: Callable[[OrderBook], Clearing], rows: list[Row], who: int, grid: Iterable[int]
) -> tuple[int, int]:
    """Gain of the truth, and the largest gain of all limits of the grid that the participant may state instead."""
    own = [i for i, row in enumerate(rows) if row[0] == who]

    def gain(limits: Iterable[int]) -> int:
        stated = list(rows)
        for i, limit in zip(own, limits, strict=True):
            stated[i] = (*rows[i][:3], limit)
        book = book_of(stated)
        return utility(rows, who, book, clear(book))

    grid = list(grid)
    return gain(rows[i][3] for i in own), max(gain(lie) for lie in product(grid, repeat=len(own)))


def with_params(rules: MarketRules, **params: Value) -> MarketRules:
    """The rules with some more parameters of the mechanism."""
    return replace(rules, params={**rules.params, **params})
