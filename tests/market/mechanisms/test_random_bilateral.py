"""random_bilateral: what holds whoever meets whom, and how the lottery falls."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.book import Order, OrderBook
from market.clearing import check_feasible
from tests.kits.pairs_kit import RULES, cleared, half_up, orders, row, trades


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


def test_a_large_bid_meets_eight_offers_by_lot_and_then_takes_the_highest_left() -> None:
    """One bid of 12 Wh, 20 offers of 1 Wh at 0..19: whom it met by lot differs, the end does not."""
    book = OrderBook.from_orders([row("buy", 0, 12, 100), *(row("sell", i + 1, 1, i) for i in range(20))])
    met = []
    for seed in range(200):
        limits = [
            ask - 1 for _, ask, _, _ in trades(cleared("random_bilateral", book, replace(RULES, seed=seed)))
        ]
        by_lot, rest = limits[:8], limits[8:]
        assert rest == sorted(set(range(20)) - set(by_lot))[:-5:-1]
        met += by_lot
    # 1,600 meetings, 80 of each offer but for chance; a standard deviation is below 8.
    assert all(80 - 35 < times < 80 + 35 for times in Counter(met).values())
    assert len(set(met)) == 20


def test_in_every_round_each_pairing_is_as_likely_as_any_other() -> None:
    """Three bids and four offers of one limit each: all bids trade in the first round, 12 pairings, 2,000 seeds."""
    book = OrderBook.from_orders(
        [*(row("buy", i, 1, 9) for i in range(3)), *(row("sell", i + 3, 1, 1) for i in range(4))]
    )
    first = Counter(
        pair[:2]
        for seed in range(2_000)
        for pair in trades(cleared("random_bilateral", book, replace(RULES, seed=seed)))
    )
    # Each bid meets each offer with probability 1/4: 500 times, a standard deviation is 19.4.
    assert len(first) == 12
    assert all(500 - 80 < times < 500 + 80 for times in first.values())


def test_a_buyer_of_everything_does_not_take_a_round_for_each_seller() -> None:
    """30,000 rounds of 30,000 sellers would take a quarter of a minute. Whoever meets whom, all trade."""
    n = 30_000
    book = OrderBook.from_columns(
        np.arange(n + 1),
        np.r_[1, np.full(n, -1)],
        np.r_[n, np.ones(n, dtype=np.int64)],
        np.r_[9, np.full(n, 5)],
    )
    begun = time.perf_counter()
    clearing = cleared("random_bilateral", book)
    assert time.perf_counter() - begun < 4
    assert clearing.accepted_wh.tolist() == book.energy_wh.tolist()
    assert set(clearing.price_micro_per_kwh.tolist()) == {7}
