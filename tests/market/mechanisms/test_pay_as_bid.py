"""pay_as_bid against a loop over sorted lists, and its optimum against the call auction."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auctions.merit_order import row_order
from market.auctions.uniform import clear_exact
from market.book import Order, OrderBook
from market.clearing import check_feasible
from tests.kits.pairs_kit import RULES, cleared, half_up, orders, row, trades

RULE_NAMES = ("midpoint", "bid", "offer", "both_as_bid")


def by_hand(book: OrderBook, rule: str, k: Fraction) -> list[tuple[int, int, int, int]]:
    """Two sorted lists, the heads of which trade as long as they cross."""
    rows = [i for i in range(len(book)) if book.energy_wh[i]]
    limit, turn = book.limit_micro_per_kwh.tolist(), book.sequence.tolist()
    bids = sorted((i for i in rows if book.side[i] > 0), key=lambda i: (-limit[i], turn[i], i))
    asks = sorted((i for i in rows if book.side[i] < 0), key=lambda i: (limit[i], turn[i], i))
    left = book.energy_wh.tolist()
    found = []
    while bids and asks and limit[bids[0]] >= limit[asks[0]]:
        b, a = bids[0], asks[0]
        energy = min(left[b], left[a])
        price = {
            "midpoint": half_up(limit[a] + k * (limit[b] - limit[a])),
            "bid": limit[b],
            "offer": limit[a],
        }
        found.append((b, a, energy, price[rule]))
        for queue in (bids, asks):
            left[queue[0]] -= energy
            if not left[queue[0]]:
                queue.pop(0)
    return found


@given(orders(), st.sampled_from(RULE_NAMES[:3]), st.sampled_from([0, 250_000, 500_000, 777_777, 1_000_000]))
def test_the_pairs_are_those_of_two_sorted_lists(listed: list[Order], rule: str, k_ppm: int) -> None:
    book = OrderBook.from_orders(listed)
    rules = replace(RULES, k_ppm=k_ppm, rationing="time")
    clearing = cleared("pay_as_bid", book, rules, price_rule=rule)
    assert trades(clearing) == by_hand(book, rule, Fraction(k_ppm, 1_000_000))
    payment = [0] * len(book)
    for b, a, energy, price in trades(clearing):
        payment[b] += energy * price
        payment[a] -= energy * price
    assert clearing.payment_nano(book).tolist() == payment
    check_feasible(book, clearing)


@given(orders(), st.sampled_from(RULE_NAMES))
def test_welfare_and_volume_are_those_of_the_call_auction_and_proven(listed: list[Order], rule: str) -> None:
    book = OrderBook.from_orders(listed)
    clearing = cleared("pay_as_bid", book, price_rule=rule)
    best = clear_exact(book, RULES)
    assert clearing.welfare_nano == best.welfare_nano
    assert clearing.traded_wh(book) == best.traded_wh(book)
    assert clearing.certificate is not None
    assert (clearing.certificate.gap_nano, clearing.certificate.residual_wh) == (0, 0)


@given(orders())
def test_both_as_bid_leaves_all_welfare_to_the_operator(listed: list[Order]) -> None:
    book = OrderBook.from_orders(listed)
    clearing = cleared("pay_as_bid", book, price_rule="both_as_bid")
    check_feasible(book, clearing)
    assert clearing.operator_surplus_nano == clearing.welfare_nano
    assert (
        clearing.payment_nano(book).tolist()
        == (book.side * clearing.accepted_wh * book.limit_micro_per_kwh).tolist()
    )


@pytest.mark.parametrize(("k_ppm", "price"), [(0, 10), (500_000, 18), (1_000_000, 25), (333_333, 15)])
def test_k_weighs_the_two_limits(k_ppm: int, price: int) -> None:
    """10 + 0.5 x 15 = 17.5 is rounded up to 18."""
    book = OrderBook.from_orders([row("buy", 0, 5, 25), row("sell", 1, 5, 10)])
    assert trades(cleared("pay_as_bid", book, replace(RULES, k_ppm=k_ppm))) == [(0, 1, 5, price)]


def test_a_spread_times_k_may_pass_64_bits() -> None:
    book = OrderBook.from_orders([row("buy", 0, 1, 2**60), row("sell", 1, 1, -(2**60))])
    assert trades(cleared("pay_as_bid", book)) == [(0, 1, 1, 0)]


def test_arrival_decides_between_equal_limits() -> None:
    book = OrderBook.from_orders([row("buy", 0, 1, 20, 2), row("buy", 1, 1, 20, 1), row("sell", 2, 1, 20, 3)])
    assert cleared("pay_as_bid", book).accepted_wh.tolist() == [0, 1, 1]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), max_size=20), st.booleans())
def test_rows_are_sorted_by_keys_then_as_they_stand(rows: list[tuple[int, int]], wide: bool) -> None:
    """Wide keys do not fit into one integer and take the other way."""
    scale = 2**40 if wide else 1
    keys = np.array(rows, dtype=np.int64).reshape(-1, 2).T * scale
    assert row_order(keys[0], keys[1]).tolist() == sorted(range(len(rows)), key=lambda i: (*rows[i], i))
