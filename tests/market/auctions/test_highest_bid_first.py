"""Highest-priced first: the sorted sides and both ways of matching, against loops that ask every pair."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.auctions.highest_bid_first import (
    facing,
    highest_limit_first,
    match_all,
    match_highest_first,
    match_pairs,
    trades_of,
)
from market.book import Order, OrderBook, Side
from tests.kits.unit_books import Row, book_of, rows_of

BUY, SELL = 1, -1
Pair = tuple[int, int, int]


def columns(book: OrderBook) -> list[tuple[int, int, int, int, int]]:
    """Side, energy, limit, arrival and participant of each row, as plain numbers."""
    arrays = (book.side, book.energy_wh, book.limit_micro_per_kwh, book.sequence, book.participant)
    return list(zip(*(array.tolist() for array in arrays), strict=True))


def queue(book: OrderBook, side: int) -> list[int]:
    """Rows of a side: sorted upwards and turned round, which turns ties round as well."""
    table = columns(book)
    own = [row for row in range(len(book)) if table[row][0] == side]
    return sorted(own, key=lambda row: (table[row][2], table[row][3], row))[::-1]


def every_pair(book: OrderBook, forbidden: set[tuple[int, int]]) -> tuple[list[Pair], list[int]]:
    """Every offer asks every bid, both highest-priced first; the pairs, and what is left of each row."""
    table, left, pairs = columns(book), book.energy_wh.tolist(), []
    for ask in queue(book, SELL):
        for bid in queue(book, BUY):
            wh = min(left[bid], left[ask])
            stranger = table[bid][4] != table[ask][4] and (bid, ask) not in forbidden
            if wh and stranger and table[bid][2] >= table[ask][2]:
                pairs.append((bid, ask, wh))
                left[bid] -= wh
                left[ask] -= wh
    return pairs, left


def in_any_arrival(rows: list[Row], arrival: list[int]) -> OrderBook:
    return OrderBook.from_orders(
        Order(f"o{i}", who, Side(side), energy, limit, time)
        for i, ((who, side, energy, limit), time) in enumerate(zip(rows, arrival, strict=False))
    )


def crossing(rows: list[Row]) -> list[Row]:
    """Every bid pays every offer, so that who passes over whom decides."""
    return [(who, side, energy, limit + 5 * (side == BUY)) for who, side, energy, limit in rows]


some_rows = rows_of(9) | rows_of(9, energy=(1, 4), limits=(0, 2)).map(crossing)
books = st.builds(in_any_arrival, some_rows, st.lists(st.integers(0, 4), min_size=9, max_size=9))


@given(books)
def test_a_side_is_sorted_by_limit_then_the_latest_then_the_last(book: OrderBook) -> None:
    for side in (BUY, SELL):
        live = [row for row in queue(book, side) if book.energy_wh[row]]
        assert highest_limit_first(book, side).tolist() == live


@given(books)
def test_in_front_of_each_offer_stand_the_bids_that_pay_it(book: OrderBook) -> None:
    limit = book.limit_micro_per_kwh
    sides = facing(limit, book.side > 0, book.sequence)
    assert sides.bids.tolist() == queue(book, BUY)
    assert sides.asks.tolist() == queue(book, SELL)
    assert sides.paying.tolist() == [
        sum(limit[bid] >= limit[ask] for bid in queue(book, BUY)) for ask in queue(book, SELL)
    ]


@given(rows_of(9, alone=True))
def test_the_closed_form_makes_the_trades_of_the_loop(rows: list[Row]) -> None:
    """Of two sides without a common participant, also where an order has no energy or a side is empty."""
    book = book_of(rows)
    expected, _ = every_pair(book, set())
    sides = facing(book.limit_micro_per_kwh, book.side > 0, book.sequence)
    made = match_all(sides, book.energy_wh)
    assert list(zip(*(column.tolist() for column in made), strict=True)) == expected


@given(books, st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20))
def test_pair_by_pair_nobody_meets_itself_or_whom_it_may_not(
    book: OrderBook, forbidden: set[tuple[int, int]]
) -> None:
    expected, expected_left = every_pair(book, forbidden)
    left = book.energy_wh.tolist()
    made = match_pairs(
        book, queue(book, BUY), queue(book, SELL), left, lambda bid, ask: (bid, ask) not in forbidden
    )
    assert made == expected
    assert left == expected_left


@given(books)
def test_a_whole_book_is_matched_at_the_limits_of_the_bids(book: OrderBook) -> None:
    expected, _ = every_pair(book, set())
    trades = match_highest_first(book)
    made = zip(trades.buy.tolist(), trades.sell.tolist(), trades.energy_wh.tolist(), strict=True)
    assert list(made) == expected
    assert trades.price_micro_per_kwh.tolist() == [columns(book)[bid][2] for bid, _, _ in expected]
    again = trades_of(book, expected)
    assert all(np.array_equal(getattr(trades, name), getattr(again, name)) for name in trades.__slots__)


def test_an_offer_passes_its_own_bid_over_and_the_next_offers_take_it() -> None:
    """The highest bid is own: offer 8 of 0 goes to bid 9 of 1; the offers of 2 and 3 share the bid passed over."""
    book = book_of([(0, BUY, 5, 10), (0, SELL, 2, 8), (1, BUY, 2, 9), (2, SELL, 3, 4), (3, SELL, 2, 3)])
    trades = match_highest_first(book)
    assert trades.energy_wh.tolist() == [2, 3, 2]
    assert trades.price_micro_per_kwh.tolist() == [9, 10, 10]
