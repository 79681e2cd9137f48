"""random_bilateral: what holds whoever meets whom, and how the lottery falls."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from pairs_kit import RULES, cleared, half_up, orders, row, trades

from market.book import Order, OrderBook
from market.clearing import check_feasible


@given(orders(), st.integers(0, 50))
def test_nobody_is_left_who_could_trade_and_pairs_split_the_gain(listed: list[Order], seed: int) -> None:
    book = OrderBook.from_orders(listed)
    clearing = cleared("random_bilateral", book, replace(RULES, seed=seed))
    check_feasible(book, clearing)
    limit, left = book.limit_micro_per_kwh.tolist(), (book.energy_wh - clearing.accepted_wh).tolist()
    waiting = {
        side: [limit[i] for i in range(len(book)) if left[i] and book.side[i] == side] for side in (1, -1)
    }
    assert max(waiting[1], default=-99) < min(waiting[-1], default=99)
    for bid, ask, energy, price in trades(clearing):
        assert energy > 0
        assert price == half_up(Fraction(limit[bid] + limit[ask], 2))


def test_the_seed_decides() -> None:
    book = OrderBook.from_orders(
        [row("buy" if i % 2 else "sell", i, 3 + i % 4, 20 + i % 2 * 20 + i % 7) for i in range(40)]
    )
    draws = [trades(cleared("random_bilateral", book, replace(RULES, seed=s))) for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_every_meeting_of_a_small_book_is_equally_likely() -> None:
    """A bid of 3 meets an offer at 1 or one at 2, as in PyMarket's example: 1,000 seeds, four standard deviations."""
    book = OrderBook.from_orders([row("buy", 0, 1, 3), row("sell", 1, 1, 1), row("sell", 2, 1, 2)])
    met = Counter(
        trades(cleared("random_bilateral", book, replace(RULES, seed=seed)))[0][1:] for seed in range(1_000)
    )
    assert set(met) == {(1, 1, 2), (2, 1, 3)}
    assert 436 < met[(1, 1, 2)] < 564


def test_chance_may_put_an_extramarginal_order_in_a_better_ones_place() -> None:
    """Best with best trades 1 Wh for a gain of 25; in some draws 30 meets 20 and 15 meets 5: 2 Wh for a gain of 20."""
    book = OrderBook.from_orders(
        [row("buy", 0, 1, 30), row("buy", 1, 1, 15), row("sell", 2, 1, 5), row("sell", 3, 1, 20)]
    )
    volumes = {
        cleared("random_bilateral", book, replace(RULES, seed=seed)).traded_wh(book) for seed in range(30)
    }
    assert volumes == {1, 2}
