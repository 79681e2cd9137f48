"""The closed-form call auction against an exhaustive search, and on books with stated answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auctions import uniform as auction
from market.auctions.uniform import clear_exact, fill, walrasian_interval
from market.book import Order, OrderBook, Side
from market.clearing import Clearing, PriceInterval, certify, check_feasible
from market.errors import InfeasibleClearing, InvalidBook
from market.rules import MarketRules

RULES = MarketRules(solver="exact")

Row = tuple[int, int, int]  # side, energy, limit


def book_of(rows: list[Row], sequence: list[int] | None = None) -> OrderBook:
    return OrderBook.from_orders(
        Order(f"o{i}", i, Side(side), energy, limit, i if sequence is None else sequence[i])
        for i, (side, energy, limit) in enumerate(rows)
    )


def rows_of(max_orders: int, max_energy: int, limits: tuple[int, int]) -> st.SearchStrategy[list[Row]]:
    order = st.tuples(st.sampled_from([1, -1]), st.integers(0, max_energy), st.integers(*limits))
    return st.lists(order, max_size=max_orders)


def search(rows: list[Row]) -> tuple[int, int]:
    """Best welfare and, among the best, largest volume, over every balanced allocation."""
    best = (0, 0)
    for accepted in product(*(range(energy + 1) for _, energy, _ in rows)):
        if sum(side * x for (side, _, _), x in zip(rows, accepted, strict=True)) == 0:
            welfare = sum(side * limit * x for (side, _, limit), x in zip(rows, accepted, strict=True))
            best = max(best, (welfare, sum(accepted) // 2))
    return best


def clearing_prices(rows: list[Row]) -> list[int]:
    """Every whole price at which what people want to trade can balance."""
    found = []
    for price in range(-3, 8):
        wants = [(side * (limit - price), side, energy) for side, energy, limit in rows]
        must_buy = sum(e for gain, side, e in wants if side > 0 and gain > 0)
        must_sell = sum(e for gain, side, e in wants if side < 0 and gain > 0)
        may_buy = sum(e for gain, side, e in wants if side > 0 and gain >= 0)
        may_sell = sum(e for gain, side, e in wants if side < 0 and gain >= 0)
        if must_buy <= may_sell and must_sell <= may_buy:
            found.append(price)
    return found


@given(rows_of(5, 2, (-1, 4)))
def test_welfare_and_volume_are_those_of_an_exhaustive_search(rows: list[Row]) -> None:
    book = book_of(rows)
    clearing = clear_exact(book, RULES)
    assert (clearing.welfare_nano, clearing.traded_wh(book)) == search(rows)


@given(rows_of(8, 3, (-1, 4)))
def test_the_interval_holds_exactly_the_prices_at_which_the_book_can_balance(rows: list[Row]) -> None:
    interval = walrasian_interval(book_of(rows))
    if interval is not None:
        prices = clearing_prices(rows)
        assert interval == (min(prices), max(prices))


@given(rows_of(8, 3, (0, 4)), st.sampled_from(["pro_rata", "time", "random"]), st.integers(0, 1_000_000))
def test_every_clearing_is_feasible_and_proven_optimal(rows: list[Row], rationing: str, k_ppm: int) -> None:
    book = book_of(rows)
    clearing = clear_exact(book, replace(RULES, rationing=rationing, k_ppm=k_ppm))
    check_feasible(book, clearing)
    assert clearing.certificate is not None
    assert (clearing.certificate.gap_nano, clearing.certificate.residual_wh) == (0, 0)
    price = clearing.node_price[0]
    assert (price is None) == (clearing.traded_wh(book) == 0) == (walrasian_interval(book) is None)
    if price is not None:
        assert price.lo <= price.price <= price.hi


@given(rows_of(40, 5, (0, 6)))
def test_the_bracket_gives_what_the_sort_gives(rows: list[Row]) -> None:
    sorted_whole = clear_exact(book_of(rows), RULES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auction, "SORT_BELOW", 0)
        bracketed = clear_exact(book_of(rows), RULES)
    assert same(sorted_whole, bracketed)


@pytest.mark.parametrize("seed", range(8))
def test_the_bracket_gives_what_the_sort_gives_on_large_books(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 5_000
    levels = [3, 40, 10_000, 10**9][seed % 4]
    side = np.where(rng.random(count) < [0.5, 0.02][seed % 2], 1, -1).astype(np.int8)
    limit = np.sort(rng.integers(-levels, levels, count)) if seed > 5 else rng.integers(0, levels, count)
    book = OrderBook.from_columns(np.arange(count), side, rng.integers(0, 9_000, count), limit)
    demand, total = int(book.energy_wh[side > 0].sum()), int(book.energy_wh.sum())
    assert auction._select(book, side > 0) == auction._select_by_sort(limit, book.energy_wh, demand, total)


@given(rows_of(12, 4, (0, 5)), st.randoms(use_true_random=False))
def test_shuffling_the_book_changes_nothing(rows: list[Row], random: object) -> None:
    orders = [Order(f"o{i}", i % 3, Side(s), e, p, i) for i, (s, e, p) in enumerate(rows)]
    shuffled = list(orders)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert same(
        clear_exact(OrderBook.from_orders(orders), RULES), clear_exact(OrderBook.from_orders(shuffled), RULES)
    )


@given(rows_of(10, 4, (0, 5)), st.integers(2, 1000))
def test_scaling_all_prices_scales_prices_and_money_and_moves_no_energy(rows: list[Row], factor: int) -> None:
    once = clear_exact(book_of(rows), replace(RULES, k_ppm=0))
    scaled = clear_exact(book_of([(s, e, p * factor) for s, e, p in rows]), replace(RULES, k_ppm=0))
    assert scaled.accepted_wh.tolist() == once.accepted_wh.tolist()
    assert scaled.welfare_nano == factor * once.welfare_nano
    if once.node_price[0] is not None and scaled.node_price[0] is not None:
        assert scaled.node_price[0].price == factor * once.node_price[0].price


@given(rows_of(10, 4, (0, 5)), st.integers(2, 1000))
def test_scaling_all_energy_scales_energy_and_keeps_the_price(rows: list[Row], factor: int) -> None:
    once_book, book = book_of(rows), book_of([(s, e * factor, p) for s, e, p in rows])
    once, scaled = clear_exact(once_book, RULES), clear_exact(book, RULES)
    assert scaled.node_price == once.node_price
    assert scaled.traded_wh(book) == factor * once.traded_wh(once_book)


@given(rows_of(9, 6, (0, 5)).filter(bool), st.integers(0, 6))
def test_splitting_an_order_keeps_price_and_volume(rows: list[Row], part: int) -> None:
    side, energy, limit = rows[0]
    part = min(part, energy)
    whole, split = book_of(rows), book_of([(side, part, limit), (side, energy - part, limit), *rows[1:]])
    a, b = clear_exact(whole, RULES), clear_exact(split, RULES)
    assert (a.node_price, a.traded_wh(whole), a.welfare_nano) == (
        b.node_price,
        b.traded_wh(split),
        b.welfare_nano,
    )


BUY, SELL = 1, -1

STATED = {
    "empty": ([], None, []),
    "one-sided": ([(BUY, 5, 9), (BUY, 1, 3)], None, [0, 0]),
    "no crossing": ([(BUY, 5, 10), (SELL, 5, 20)], None, [0, 0]),
    "zero energy only": ([(BUY, 0, 10), (SELL, 0, 5)], None, [0, 0]),
    "a zero order at the best price is not an order": (
        [(BUY, 0, 90), (BUY, 5, 30), (SELL, 5, 10)],
        (10, 30, 20),
        None,
    ),
    "both filled": ([(BUY, 5, 30), (SELL, 5, 10)], (10, 30, 20), [5, 5]),
    "short supply pins the price to the bid": ([(BUY, 5, 30), (SELL, 3, 10)], (30, 30, 30), [3, 3]),
    "short demand pins the price to the offer": ([(BUY, 3, 30), (SELL, 5, 10)], (10, 10, 10), [3, 3]),
    "touching orders trade": ([(BUY, 5, 20), (SELL, 5, 20)], (20, 20, 20), [5, 5]),
    "a rejected bid lifts the interval": (
        [(BUY, 5, 30), (BUY, 5, 15), (SELL, 5, 10)],
        (15, 30, 23),
        [5, 0, 5],
    ),
    "ties share in proportion": ([(BUY, 3, 30), (BUY, 1, 30), (SELL, 2, 10)], (30, 30, 30), [2, 0, 2]),
    "negative prices": ([(BUY, 4, -10), (SELL, 4, -50)], (-50, -10, -30), [4, 4]),
    "huge": ([(BUY, 2**40, 400_000), (SELL, 2**40, 100_000)], (100_000, 400_000, 250_000), [2**40, 2**40]),
    "ties on both sides fill the short side": (
        [(BUY, 6, 20), (BUY, 2, 20), (SELL, 3, 20), (SELL, 1, 20)],
        (20, 20, 20),
        [3, 1, 3, 1],
    ),
}


@pytest.mark.parametrize("name", STATED)
def test_books_with_a_stated_answer(name: str) -> None:
    rows, price, accepted = STATED[name]
    clearing = clear_exact(book_of(rows), RULES)
    assert clearing.node_price == ((None,) if price is None else (PriceInterval(*price),))
    if accepted is not None:
        assert clearing.accepted_wh.tolist() == accepted


def test_energy_times_price_beyond_64_bits_is_refused_before_the_auction() -> None:
    with pytest.raises(InvalidBook, match="2\\^62"):
        book_of([(BUY, 2**60, 400_000)])


def test_time_priority_serves_the_earliest_and_then_the_earlier_row() -> None:
    book = book_of([(BUY, 4, 30), (BUY, 4, 30), (BUY, 4, 30), (SELL, 6, 10)], sequence=[7, 2, 7, 0])
    clearing = clear_exact(book, replace(RULES, rationing="time"))
    assert clearing.accepted_wh.tolist() == [2, 4, 0, 6]


def test_the_lottery_depends_on_the_seed_and_on_nothing_else() -> None:
    book = book_of([(BUY, 1, 30)] * 20 + [(SELL, 10, 10)])
    drawn = [
        clear_exact(book, replace(RULES, rationing="random", seed=s)).accepted_wh.tolist() for s in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sum(drawn[0][:20]) == 10


def test_the_price_moves_through_the_interval_with_k() -> None:
    book = book_of([(BUY, 5, 30), (SELL, 5, 10)])
    prices = [
        clear_exact(book, replace(RULES, k_ppm=k)).price_micro_per_kwh[0] for k in (0, 250_000, 1_000_000)
    ]
    assert prices == [10, 15, 30]


@pytest.mark.parametrize(("lo", "hi"), [(10, 30), (20, 20), (5, 5), (12, 20), (40, 40)])
def test_fill_refuses_an_interval_that_is_not_the_books(lo: int, hi: int) -> None:
    book = book_of([(BUY, 5, 30), (BUY, 2, 20), (SELL, 4, 10), (SELL, 4, 12)])
    assert walrasian_interval(book) == (12, 12)
    with pytest.raises(InfeasibleClearing):
        fill(book, lo, hi, RULES)


def test_the_bracket_is_hit_on_an_ordinary_large_book() -> None:
    rng = np.random.default_rng(5)
    limit, energy = rng.integers(50_000, 400_000, 10_000), rng.integers(1, 5_000, 10_000)
    total = int(energy.sum())
    assert auction._select_in_bracket(limit, energy, total // 2, total) is not None


def test_a_tampered_clearing_fails_its_certificate() -> None:
    book = book_of([(BUY, 5, 30), (BUY, 5, 15), (SELL, 5, 10)])
    clearing = clear_exact(book, RULES)
    other = np.array([4, 1, 5])
    tampered = replace(clearing, accepted_wh=other, welfare_nano=4 * 30 + 15 - 5 * 10)
    assert certify(book, tampered, 15).gap_nano == 15
    assert certify(book, replace(tampered, accepted_wh=np.array([5, 1, 5])), 15).residual_wh == 1


def test_a_clearing_cannot_be_written_to() -> None:
    clearing = clear_exact(book_of([(BUY, 5, 30), (SELL, 5, 10)]), RULES)
    for column in (clearing.accepted_wh, clearing.price_micro_per_kwh):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


def same(a: Clearing, b: Clearing) -> bool:
    return (
        a.accepted_wh.tolist() == b.accepted_wh.tolist()
        and a.price_micro_per_kwh.tolist() == b.price_micro_per_kwh.tolist()
        and (a.node_price, a.welfare_nano, a.certificate) == (b.node_price, b.welfare_nano, b.certificate)
    )
