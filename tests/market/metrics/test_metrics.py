"""Market metrics: hand-computed figures, every undefined case, and what must not change when units do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auctions.uniform import clear_exact
from market.book import Order, OrderBook, Side
from market.clearing import no_trade
from market.metrics.concentration import hhi
from market.metrics.price import (
    price_volatility,
    price_volatility_weighted,
    smith_alpha_percent,
    volume_weighted_price,
)
from market.metrics.welfare import allocative_efficiency, exact_dot, traded_share
from market.rules import MarketRules
from market.units import IntArray
from tests.oracles.welfare import WelfareSplit, ordered_wh, welfare_split

RULES = MarketRules()


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


NOTHING = ints()
STREET = OrderBook.from_orders(
    [
        Order("b1", 0, Side.BUY, 3_000, 300_000),
        Order("b2", 1, Side.BUY, 1_000, 150_000),
        Order("s1", 2, Side.SELL, 2_500, 100_000),
        Order("s2", 3, Side.SELL, 1_000, 120_000),
    ]
)
"""Cleared by hand in docs/reference/mechanisms/uniform_price.md: 3.5 kWh at 0.15; buyers get 0.45, sellers 0.155."""


@st.composite
def books(draw: st.DrawFn) -> OrderBook:
    return OrderBook.from_orders(
        Order(
            f"o{i}",
            draw(st.integers(0, 4)),
            draw(st.sampled_from(list(Side))),
            draw(st.integers(0, 5)),
            draw(st.integers(-6, 6)),
            i,
        )
        for i in range(draw(st.integers(0, 8)))
    )


series = st.lists(st.tuples(st.integers(-50, 400_000), st.integers(0, 5_000)), min_size=1, max_size=12)


# ---- welfare


def test_the_hand_checked_street_is_split_over_buyers_and_sellers() -> None:
    split = welfare_split(STREET, clear_exact(STREET, RULES))
    assert split == WelfareSplit(450_000_000, 155_000_000, 0, 0)
    assert split.total_nano == 605_000_000


def test_the_local_fee_goes_to_the_grid_operator_whole() -> None:
    """3,500 Wh at 0.02 are 0.07; limits are net of the fee, so nobody else has less."""
    split = welfare_split(STREET, clear_exact(STREET, RULES), 20_000)
    assert split == WelfareSplit(450_000_000, 155_000_000, 0, 70_000_000)


def test_what_buyers_pay_beyond_what_sellers_get_is_the_operators() -> None:
    """Each pays or gets its own limit, so the operator has all: 2.5 x 0.2 + 0.5 x 0.18 + 0.5 x 0.03 = 0.605."""
    cleared = clear_exact(STREET, RULES)
    surplus = int((STREET.side * cleared.accepted_wh * STREET.limit_micro_per_kwh).sum())
    as_bid = replace(cleared, price_micro_per_kwh=STREET.limit_micro_per_kwh, operator_surplus_nano=surplus)
    assert welfare_split(STREET, as_bid) == WelfareSplit(0, 0, 605_000_000, 0)


@given(book=books(), fee=st.integers(0, 50))
def test_the_parts_sum_to_welfare_at_stated_limits_plus_the_fees_paid(book: OrderBook, fee: int) -> None:
    cleared = clear_exact(book, RULES)
    assert welfare_split(book, cleared, fee).total_nano == cleared.welfare_nano + fee * cleared.traded_wh(
        book
    )


@given(book=books(), factor=st.integers(1, 1_000))
def test_scaling_prices_scales_the_split_and_leaves_efficiency(book: OrderBook, factor: int) -> None:
    scaled = OrderBook.from_columns(
        book.participant, book.side, book.energy_wh, book.limit_micro_per_kwh * factor
    )
    one, many = (clear_exact(b, replace(RULES, k_ppm=0)) for b in (book, scaled))
    a, b = welfare_split(book, one), welfare_split(scaled, many)
    assert (b.buyers_nano, b.sellers_nano) == (a.buyers_nano * factor, a.sellers_nano * factor)
    assert allocative_efficiency(many.welfare_nano, many.welfare_nano) == allocative_efficiency(
        one.welfare_nano, one.welfare_nano
    )


def test_efficiency_is_reached_over_possible_welfare() -> None:
    assert allocative_efficiency(17, 20) == 0.85
    assert allocative_efficiency(-5, 20) == -0.25


@pytest.mark.parametrize("optimum", [0, -3])
def test_efficiency_is_undefined_where_nothing_can_be_gained(optimum: int) -> None:
    assert allocative_efficiency(0, optimum) is None


def test_products_beyond_64_bits_are_summed_exactly() -> None:
    assert exact_dot(ints(2**40, -3), ints(2**40, 1)) == 2**80 - 3
    assert exact_dot(ints(3, -2), ints(5, 7)) == 1
    assert exact_dot(NOTHING, NOTHING) == 0


# ---- volumes and prices


def test_demand_and_supply_count_whole_orders() -> None:
    assert ordered_wh(STREET) == (4_000, 3_500)
    assert ordered_wh(OrderBook.from_orders([])) == (0, 0)


def test_liquidity_is_what_traded_over_what_could() -> None:
    """(30 + 0) / (min(40, 60) + min(20, 50)) = 0.5; the interval without offers could trade nothing."""
    assert traded_share(ints(30, 0, 0), ints(40, 20, 10), ints(60, 50, 0)) == 0.5


def test_liquidity_is_undefined_without_two_sides() -> None:
    assert traded_share(ints(0), ints(40), ints(0)) is None
    assert traded_share(NOTHING, NOTHING, NOTHING) is None


def test_the_weighted_price_counts_each_kwh() -> None:
    assert volume_weighted_price(ints(100, 200, 999), ints(3, 1, 0)) == 125
    assert volume_weighted_price(ints(-100, 100), ints(3, 1)) == -50


def test_the_weighted_price_of_a_clearing_is_the_middle_of_paid_and_received() -> None:
    assert volume_weighted_price(ints(300, 100), ints(2, 2)) == 200


def test_prices_of_intervals_without_trade_are_never_looked_at() -> None:
    for metric in (volume_weighted_price, price_volatility, price_volatility_weighted):
        assert metric(ints(5, 7, 10**9), ints(1, 2, 0)) == metric(ints(5, 7, -3), ints(1, 2, 0))


def test_volatility_is_the_coefficient_of_variation() -> None:
    """Mean 200, population std 100; weighted 3:1 the mean is 150 and the std sqrt(7500)."""
    assert price_volatility(ints(100, 300), ints(3, 1)) == 0.5
    assert price_volatility_weighted(ints(100, 300), ints(3, 1)) == pytest.approx(7_500**0.5 / 150)
    assert price_volatility(ints(100), ints(3)) == 0


@pytest.mark.parametrize("metric", [volume_weighted_price, price_volatility, price_volatility_weighted])
def test_a_price_is_undefined_where_nothing_traded(metric: object) -> None:
    assert callable(metric)
    assert metric(ints(100, 200), ints(0, 0)) is None
    assert metric(NOTHING, NOTHING) is None


@pytest.mark.parametrize("metric", [price_volatility, price_volatility_weighted])
def test_volatility_is_undefined_where_the_mean_price_is_not_positive(metric: object) -> None:
    assert callable(metric)
    assert metric(ints(-100, 100), ints(1, 1)) is None
    assert metric(ints(-100, -300), ints(1, 1)) is None


@given(rows=series, factor=st.integers(1, 1_000))
def test_volatility_has_no_unit(rows: list[tuple[int, int]], factor: int) -> None:
    price, energy = (ints(*column) for column in zip(*rows, strict=True))
    for metric in (price_volatility, price_volatility_weighted):
        expected = metric(price, energy)
        assert metric(price * factor, energy) == pytest.approx(expected)
        assert metric(price[::-1], energy[::-1]) == pytest.approx(expected)
    assert price_volatility_weighted(price, energy * factor) == pytest.approx(
        price_volatility_weighted(price, energy)
    )


@given(rows=series)
def test_the_weighted_figures_are_those_of_a_list_with_one_entry_a_wh(rows: list[tuple[int, int]]) -> None:
    price, energy = (ints(*column) for column in zip(*rows, strict=True))
    energy //= 500
    each = np.repeat(price, energy)
    if not len(each):
        assert volume_weighted_price(price, energy) is None
        return
    assert volume_weighted_price(price, energy) == pytest.approx(float(np.mean(each)))
    found = price_volatility_weighted(price, energy)
    if np.mean(each) <= 0:
        assert found is None
    else:
        assert found == pytest.approx(float(np.std(each) / np.mean(each)), abs=1e-12)


# ---- concentration and convergence


def test_hhi_of_hand_computed_shares() -> None:
    assert hhi(ints(50, 30, 20)) == 2_500 + 900 + 400
    assert hhi(ints(7, 0, 0)) == 10_000
    assert hhi(ints(5, 5, 5, 5)) == 2_500
    assert hhi(ints(0, 0)) is None
    assert hhi(NOTHING) is None


@given(energy=st.lists(st.integers(0, 10**12), min_size=1, max_size=8), factor=st.integers(1, 99))
def test_hhi_has_no_unit_and_knows_no_order(energy: list[int], factor: int) -> None:
    found = hhi(ints(*energy))
    assert hhi(ints(*energy[::-1])) == found
    assert hhi(ints(*(e * factor for e in energy), 0)) == (found and pytest.approx(found))
    if found is not None:
        active = sum(e > 0 for e in energy)
        assert 10_000 / active - 1e-6 <= found <= 10_000
        assert found == pytest.approx(sum((100 * e / sum(energy)) ** 2 for e in energy))


def test_smiths_alpha_of_unit_trades() -> None:
    """Distances 10, -10, 20, 0 from 100: sqrt(600 / 4) = 12.247."""
    found = smith_alpha_percent(ints(110, 90, 120, 100), ints(100, 100, 100, 100), ints(1, 1, 1, 1))
    assert found == pytest.approx(150**0.5)


def test_smiths_alpha_weights_by_energy_and_takes_a_competitive_price_per_trade() -> None:
    """Mean of 3 x 10^2 and 1 x 20^2 is 175; the mean competitive price is (3 x 100 + 200) / 4 = 125."""
    found = smith_alpha_percent(ints(110, 220), ints(100, 200), ints(3, 1))
    assert found == pytest.approx(100 * 175**0.5 / 125)
    assert smith_alpha_percent(ints(5), ints(5), ints(1)) == 0


@pytest.mark.parametrize(("centre", "energy"), [(100, 0), (0, 1), (-100, 1)])
def test_smiths_alpha_is_undefined_without_trade_or_positive_price(centre: int, energy: int) -> None:
    assert smith_alpha_percent(ints(110), ints(centre), ints(energy)) is None
    assert smith_alpha_percent(NOTHING, NOTHING, NOTHING) is None


def test_an_empty_clearing_has_an_empty_split() -> None:
    assert welfare_split(STREET, no_trade(STREET), 20_000) == WelfareSplit(0, 0, 0, 0)
