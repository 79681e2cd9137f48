"""The rules of one local price: on metered quantities against the published formulas, on books against plain sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from market.auctions.local_price import Shared, split_nano, together
from market.book import Order, OrderBook, Side
from market.clearing import check_feasible
from market.errors import InvalidRules
from market.mechanism import MECHANISMS
from market.mechanisms import bill_sharing, mid_market_rate, supply_demand_ratio
from market.rules import MarketRules
from tests.kits.pairs_kit import RULES, cleared, half_up, orders, row

Prices = tuple[Fraction, Fraction]


def mmr(g: int, d: int, lb: int, ls: int) -> Prices:
    """Long et al. 2017: the scarce side gets the middle, the long side a blend with the retailer."""
    m = Fraction(lb + ls, 2)
    return (m, (d * m + (g - d) * ls) / g) if g >= d else ((g * m + (d - g) * lb) / d, m)


def bs(g: int, d: int, lb: int, ls: int) -> Prices:
    """Long et al. 2017: importers and exporters split the retailer's bills."""
    return Fraction(lb * max(0, d - g), d), Fraction(ls * max(0, g - d), g)


def sdr(g: int, d: int, lb: int, ls: int) -> Prices:
    """Liu et al. 2017."""
    r = Fraction(g, d)
    if r >= 1:
        return Fraction(ls), Fraction(ls)
    sell = Fraction(lb * ls) / ((lb - ls) * r + ls)
    return sell * r + lb * (1 - r), sell


FORMULAS = [(mid_market_rate.share, mmr), (bill_sharing.share, bs), (supply_demand_ratio.share, sdr)]
every_rule = pytest.mark.parametrize(("share", "formula"), FORMULAS, ids=["mmr", "bs", "sdr"])
energies = st.integers(1, 10**6)
prices = st.integers(0, 10**6)


@every_rule
@given(g=energies, d=energies, lb=prices, ls=prices)
def test_the_prices_are_those_of_the_published_formula(
    share: Callable[..., Shared], formula: Callable[..., Prices], g: int, d: int, lb: int, ls: int
) -> None:
    assume(lb > ls)
    shared = share(g, d, lb, ls)
    assert (shared.buy_price, shared.sell_price) == formula(g, d, lb, ls)
    assert ls <= (shared.buy_price or 0) <= lb or formula is bs


@every_rule
@given(g=st.integers(0, 10**6), d=st.integers(0, 10**6), lb=prices, ls=prices)
def test_what_members_pay_is_what_the_retailer_gets(
    share: Callable[..., Shared], formula: object, g: int, d: int, lb: int, ls: int
) -> None:
    shared = share(g, d, lb, ls)
    assert shared.demand_nano - shared.supply_nano == shared.retailer_nano
    netted = min(g, d) if ls <= lb or formula is bs else 0  # else sharing would cost both sides
    assert shared.retailer_nano == lb * (d - netted) - ls * (g - netted)
    for price, energy, amount in (
        (shared.buy_price, d, shared.demand_nano),
        (shared.sell_price, g, shared.supply_nano),
    ):
        if energy:
            assert price is not None
            assert abs(price * energy - amount) <= Fraction(1, 2)


@given(g=energies, d=energies, lb=prices, ls=prices, more=st.integers(0, 10**5))
def test_a_compensation_raises_the_floor_and_is_paid_by_the_buyers(
    g: int, d: int, lb: int, ls: int, more: int
) -> None:
    assume(lb >= ls and lb)
    shared, r, floor = supply_demand_ratio.share(g, d, lb, ls, more), Fraction(g, d), min(ls + more, lb)
    if r >= 1:
        assert (shared.buy_price, shared.sell_price) == (floor, ls + (floor - ls) / r)
    else:
        assert (shared.buy_price, shared.sell_price) == sdr(g, d, lb, floor)


@pytest.mark.parametrize("name", [name for name, m in MECHANISMS.all().items() if m.share is not None])
@given(g=st.integers(0, 10**6), d=st.integers(0, 10**6), lb=prices, ls=prices, more=st.integers(0, 10**6))
def test_no_buyer_pays_more_than_the_retailer_takes_and_no_seller_gets_less_than_it_pays(
    name: str, g: int, d: int, lb: int, ls: int, more: int
) -> None:
    """Bill sharing alone gives sellers less: what they share brings nothing."""
    share = MECHANISMS.get(name).share
    assert share is not None
    own = {"compensation": more} if name == "supply_demand_ratio" else {}
    shared = share(g, d, lb, ls, **own)
    assert (shared.buy_price is None) == (d == 0)
    assert (shared.sell_price is None) == (g == 0)
    assert shared.buy_price is None or shared.buy_price <= lb
    assert shared.sell_price is None or shared.sell_price >= (0 if name == "bill_sharing" else ls)
    if ls > lb and name != "bill_sharing":
        assert (shared.buy_price, shared.sell_price) == (lb if d else None, ls if g else None)


def test_a_feed_in_price_above_the_import_price_leaves_all_to_the_retailer() -> None:
    """1 kWh each way at 20 and 30: shared at 25, the buyer would pay 5 more and the seller get 5 less."""
    for rule, own in ((mid_market_rate, {}), (supply_demand_ratio, {"compensation": 5})):
        shared = rule.share(1_000, 1_000, 20, 30, **own)
        assert shared == Shared(Fraction(20), Fraction(30), 20_000, 30_000, -10_000)
        book = OrderBook.from_orders([row("buy", 0, 4, 40), row("sell", 1, 4, 10)])
        rules = MarketRules(retail_micro_per_kwh=20, feed_in_micro_per_kwh=30)
        assert not rule.clear(book, rules).accepted_wh.any()
    # Members of bill sharing have one meter at the retailer, where flows net whatever the prices are.
    assert bill_sharing.share(1_000, 1_000, 20, 30) == Shared(Fraction(0), Fraction(0), 0, 0, 0)


def test_a_compensation_never_lifts_a_price_above_that_of_the_retailer() -> None:
    """10 + 25 would be 35 of 30: buyers pay 30; sellers get it for the half that is shared and 10 for the rest."""
    assert supply_demand_ratio.share(2, 1, 30, 10, 25)[:2] == (30, 20)
    assert supply_demand_ratio.share(1, 2, 30, 10, 25)[:2] == (30, 30)
    with pytest.raises(InvalidRules, match="compensation is -6e-06; it must be 0 or more"):
        supply_demand_ratio.share(2, 1, 30, 10, -6)


@pytest.mark.parametrize(
    ("share", "g", "d", "expected"),
    [
        (mid_market_rate.share, 0, 5, (30, None)),
        (mid_market_rate.share, 5, 0, (None, 10)),
        (bill_sharing.share, 0, 5, (30, None)),
        (bill_sharing.share, 5, 0, (None, 10)),
        (supply_demand_ratio.share, 0, 5, (30, None)),
        (supply_demand_ratio.share, 5, 0, (None, 10)),
        (mid_market_rate.share, 0, 0, (None, None)),
        (bill_sharing.share, 0, 0, (None, None)),
        (supply_demand_ratio.share, 0, 0, (None, None)),
    ],
)
def test_a_side_without_energy_has_no_price_and_the_other_one_that_of_the_retailer(
    share: Callable[..., Shared], g: int, d: int, expected: tuple[int | None, int | None]
) -> None:
    shared = share(g, d, 30, 10)
    assert (shared.buy_price, shared.sell_price) == expected
    assert (shared.demand_nano, shared.supply_nano) == (d * 30, g * 10)


def test_a_feed_in_tariff_of_0_makes_the_sell_price_0() -> None:
    assert supply_demand_ratio.share(1, 2, 30, 0).sell_price == 0
    assert supply_demand_ratio.share(1, 2, 0, 0)[:2] == (0, 0)


@pytest.mark.parametrize(("retail", "feed_in", "more"), [(30, -1, 0), (-1, 10, 0), (30, -9, 6)])
def test_a_ratio_of_negative_prices_is_no_price(retail: int, feed_in: int, more: int) -> None:
    with pytest.raises(InvalidRules, match="below 0"):
        supply_demand_ratio.share(1, 2, retail, feed_in, more)
    book = OrderBook.from_orders([Order("b", 0, Side.BUY, 2, 40), Order("s", 1, Side.SELL, 1, -40)])
    rules = MarketRules(
        retail_micro_per_kwh=retail,
        feed_in_micro_per_kwh=feed_in,
        params={"compensation_micro_per_kwh": more},
    )
    assert not supply_demand_ratio.clear(book, rules).accepted_wh.any()


def test_one_bill_of_several_intervals_adds_up_and_nets_nothing_across() -> None:
    """Night: 4 drawn for 120. Noon: 1 drawn, 4 fed in, 3 leave for 30. So 5 drawn pay 24 each, 4 fed in get 7.5."""
    night, noon = bill_sharing.share(0, 4, 30, 10), bill_sharing.share(4, 1, 30, 10)
    bill = together([(0, 4, night), (4, 1, noon)])
    assert bill == Shared(Fraction(24), Fraction(15, 2), 120, 30, 90)
    assert together([(0, 4, night)]) == night
    assert together([(0, 0, bill_sharing.share(0, 0, 30, 10))] * 2) == Shared(None, None, 0, 0, 0)


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**6), max_size=9))
def test_an_amount_is_split_within_a_unit_of_the_exact_part(total: int, weights: list[int]) -> None:
    parts, whole = split_nano(total, weights), sum(weights)
    assert sum(parts) == (total if whole else 0)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, whole or 1)) < 1 or not whole


# ---- as rules for books


def local_price(name: str, book: OrderBook, lb: int, ls: int) -> int | None:
    """The price of a book, from the formula of the metered rule."""
    buys = sum(o.energy_wh for o in map(book.order, range(len(book))) if o.side > 0)
    sells = sum(o.energy_wh for o in map(book.order, range(len(book))) if o.side < 0)
    if name == "bill_sharing":
        return 0
    if name != "posted_price" and ls > lb:
        return None
    if name == "supply_demand_ratio" and buys and sells:
        return half_up(sdr(sells, buys, lb, ls)[1]) if lb or ls else 0  # 0/0 where both prices are 0
    return None if name == "supply_demand_ratio" else half_up(Fraction(lb + ls, 2))


BOOK_RULES = ("mid_market_rate", "bill_sharing", "supply_demand_ratio", "posted_price")


@pytest.mark.parametrize("name", BOOK_RULES)
@given(listed=orders(), lb=st.integers(0, 40), ls=st.integers(0, 40))
def test_a_book_trades_at_the_local_price_and_the_long_side_in_proportion(
    name: str, listed: list[Order], lb: int, ls: int
) -> None:
    book = OrderBook.from_orders(listed)
    rules = replace(RULES, retail_micro_per_kwh=lb, feed_in_micro_per_kwh=ls)
    clearing = cleared(name, book, rules)
    check_feasible(book, clearing, limits=name != "bill_sharing")
    price = local_price(name, book, lb, ls)
    willing = [
        i
        for i in range(len(book))
        if name == "bill_sharing"
        or (price is not None and book.side[i] * (book.limit_micro_per_kwh[i] - price) >= 0)
    ]
    total = {side: sum(int(book.energy_wh[i]) for i in willing if book.side[i] == side) for side in (1, -1)}
    volume = min(total.values())
    for i in range(len(book)):
        exact = (
            Fraction(volume * int(book.energy_wh[i]), total[int(book.side[i])] or 1) if i in willing else 0
        )
        assert abs(int(clearing.accepted_wh[i]) - exact) < 1
    assert clearing.traded_wh(book) == volume
    interval = clearing.node_price[0]
    assert (interval and interval.price) == (price if volume else None)


def test_the_ratio_counts_orders_that_the_price_then_drives_out() -> None:
    """r = 2/4, ls = 10, lb = 30: the price is 30 x 10 / (20 x 0.5 + 10) = 15; the offer at 20 stays out."""
    book = OrderBook.from_orders([row("buy", 0, 4, 30), row("sell", 1, 1, 12), row("sell", 2, 1, 20)])
    clearing = cleared("supply_demand_ratio", book)
    assert clearing.accepted_wh.tolist() == [1, 1, 0]
    assert clearing.price_micro_per_kwh.tolist() == [15, 15, 15]


@pytest.mark.parametrize("name", ["mid_market_rate", "supply_demand_ratio", "posted_price"])
@given(listed=orders(both_sides=False, least=0), who=st.integers(0, 11))
def test_no_order_gains_by_another_limit(name: str, listed: list[Order], who: int) -> None:
    """Every limit that could make a difference is tried; each order is a participant."""
    alone = [replace(order, participant=i) for i, order in enumerate(listed)]
    assume(who < len(alone))

    def gain(limit: int) -> int:
        lying = [replace(o, limit_micro_per_kwh=limit) if i == who else o for i, o in enumerate(alone)]
        clearing = cleared(name, OrderBook.from_orders(lying))
        true = alone[who]
        margin = true.limit_micro_per_kwh - int(clearing.price_micro_per_kwh[who])
        return int(clearing.accepted_wh[who]) * margin * int(true.side)

    honest = gain(alone[who].limit_micro_per_kwh)
    assert all(gain(limit) <= honest for limit in range(-12, 47, 3))


def test_two_orders_of_one_participant_can_gain_by_withdrawing_one() -> None:
    """Why the promise of truthfulness is for single orders: the higher bid gets more of the 4 Wh on offer alone."""
    honest = [row("buy", 0, 4, 40), row("buy", 0, 4, 21, 1), row("sell", 1, 4, 10)]
    lying = [honest[0], replace(honest[1], limit_micro_per_kwh=0), honest[2]]

    def gain(listed: list[Order]) -> int:
        accepted = cleared("mid_market_rate", OrderBook.from_orders(listed)).accepted_wh.tolist()
        return accepted[0] * (40 - 20) + accepted[1] * (21 - 20)

    assert gain(lying) > gain(honest)


@pytest.mark.parametrize("name", BOOK_RULES)
def test_a_book_without_outside_prices_is_refused_in_one_sentence(name: str) -> None:
    book = OrderBook.from_orders([row("buy", 0, 4, 40)])
    with pytest.raises(InvalidRules, match="retail_price"):
        cleared(name, book, MarketRules(retail_micro_per_kwh=3))


def test_a_posted_price_needs_no_outside_prices() -> None:
    book = OrderBook.from_orders([row("buy", 0, 4, 25), row("sell", 1, 3, 10), row("sell", 2, 3, 26)])
    clearing = cleared("posted_price", book, MarketRules(), price_micro_per_kwh=25)
    assert clearing.accepted_wh.tolist() == [3, 3, 0]
    assert cleared("posted_price", book, MarketRules(), price_micro_per_kwh=9).node_price == (None,)
