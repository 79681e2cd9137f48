"""Deemed use: whatever a home's meter shows within its connection, it pays no less without a reading."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.settlement.accounts import EXPORT, IMBALANCE, IMPORT, LOCAL, check_balanced
from market.settlement.deemed import Registers, deemed_wh, outside_cost_nano
from market.settlement.imbalance import Imbalance, ImbalanceRule, Shares
from market.settlement.settle import settle
from market.settlement.tariff import AnyPrices, HomePrices, IntervalPrices
from market.units import IntArray
from tests.market.settlement.test_settlement import cleared

PRICES = IntervalPrices(300_000, 100_000, 20_000, 50_000)
RULES = (
    *(ImbalanceRule(Imbalance.POOLED, shares) for shares in Shares),
    ImbalanceRule(Imbalance.RETAILER),
    ImbalanceRule(Imbalance.MIDDLE),
    ImbalanceRule(Imbalance.CLEARING_PRICE),
)
price = st.integers(-500_000, 500_000)
fee = st.integers(0, 100_000)
prices_of = st.builds(IntervalPrices, price, price, fee, fee)


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


@dataclass(frozen=True)
class Case:
    """An interval: what homes have bought less sold at which price, what they meter, what fits, who is silent."""

    traded: tuple[int, ...]
    price: int
    imported: tuple[int, ...]
    exported: tuple[int, ...]
    most: tuple[tuple[int, int], ...]
    silent: tuple[bool, ...]
    weights: tuple[int, ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    homes = draw(st.integers(2, 5))
    most = tuple((draw(st.integers(1, 60)), draw(st.integers(1, 60))) for _ in range(homes))
    traded = [draw(st.integers(-80, 80)) for _ in range(homes - 1)]
    return Case(
        (*traded, -sum(traded)),
        draw(price),
        tuple(draw(st.integers(0, one)) for one, _ in most),
        tuple(draw(st.integers(0, other)) for _, other in most),
        most,
        (True, *(draw(st.booleans()) for _ in range(homes - 1))),
        tuple(draw(st.integers(0, 9)) for _ in range(homes)),
    )


def bill(case: Case, silent: tuple[bool, ...], prices: AnyPrices, rule: ImbalanceRule) -> IntArray:
    """What each account is credited where some homes are silent; energy and money add up in any case."""
    bought, sold = [max(wh, 0) for wh in case.traded], [max(-wh, 0) for wh in case.traded]
    book, clearing = cleared(bought, sold, case.price)
    most = Registers(*(ints(*column) for column in zip(*case.most, strict=True)))
    deemed, mask = deemed_wh(ints(*case.traded), most, prices), np.array(silent)
    postings = settle(
        book,
        clearing,
        np.where(mask, deemed.import_wh, ints(*case.imported)),
        np.where(mask, deemed.export_wh, ints(*case.exported)),
        prices,
        rule=rule,
        weight_wh=ints(*case.weights),
        deemed=mask,
    )
    check_balanced(postings)
    return postings.total_nano


@given(cases(), prices_of, st.sampled_from(RULES))
def test_no_reading_costs_more_than_silence(case: Case, prices: IntervalPrices, rule: ImbalanceRule) -> None:
    """The same others are silent; a rule that nets at a price is held to one between those outside."""
    if rule.needs_price and not (prices.feed_in_micro_per_kwh <= case.price <= prices.buy_cap_micro_per_kwh):
        rule = ImbalanceRule(Imbalance.MIDDLE)
    silent = bill(case, case.silent, prices, rule)[0]
    given_in = bill(case, (False, *case.silent[1:]), prices, rule)[0]
    assert silent <= given_in


@given(cases(), prices_of, st.lists(price, min_size=10, max_size=10))
def test_no_reading_costs_more_than_silence_where_homes_have_several_retailers(
    case: Case, main: IntervalPrices, own: list[int]
) -> None:
    homes = len(case.traded)
    prices = HomePrices(main, ints(*own[:homes]), ints(*own[5 : 5 + homes]))
    rule = ImbalanceRule(Imbalance.RETAILER)
    silent = bill(case, case.silent, prices, rule)[0]
    assert silent <= bill(case, (False, *case.silent[1:]), prices, rule)[0]


@given(cases(), prices_of, st.sampled_from(RULES))
def test_what_a_silent_home_pays_does_not_depend_on_who_else_is_silent(
    case: Case, prices: IntervalPrices, rule: ImbalanceRule
) -> None:
    everybody = bill(case, (True,) * len(case.traded), prices, rule)
    assert bill(case, case.silent, prices, rule)[0] == everybody[0]


@given(st.integers(-8, 8), st.integers(1, 6), st.integers(1, 6), prices_of)
def test_no_reading_costs_more_than_the_deemed_value(
    traded: int, import_wh: int, export_wh: int, prices: IntervalPrices
) -> None:
    """All readings of a small connection are tried."""
    found = deemed_wh(ints(traded), Registers(ints(import_wh), ints(export_wh)), prices)
    assert 0 <= found.import_wh[0] <= import_wh
    assert 0 <= found.export_wh[0] <= export_wh
    readings = np.array([*product(range(import_wh + 1), range(export_wh + 1))], dtype=np.int64)
    costs = outside_cost_nano(readings[:, 0], readings[:, 1], np.full(len(readings), traded), prices)
    assert outside_cost_nano(*found, ints(traded), prices)[0] == costs.max()


@given(cases(), prices_of)
def test_the_cost_outside_is_what_the_settlement_posts(case: Case, prices: IntervalPrices) -> None:
    silent = (False,) * len(case.traded)
    traded = ints(*case.traded)
    cost = outside_cost_nano(ints(*case.imported), ints(*case.exported), traded, prices)
    total = bill(case, silent, prices, ImbalanceRule(Imbalance.RETAILER))[: len(traded)]
    assert (total == -traded * case.price - cost).all()


@pytest.mark.parametrize(
    ("traded", "prices", "wanted"),
    [
        (0, PRICES, (40, 0)),
        (
            30,
            PRICES,
            (40, 20),
        ),  # 20 Wh through the meter at once cost 0.23 a kWh, so 10 Wh more at 0.10 are sold
        (0, IntervalPrices(0, 0), (40, 0)),  # all cost the same: the first
        (0, IntervalPrices(-200_000, -300_000), (0, 20)),  # import would pay the home
        (0, IntervalPrices(-200_000, -100_000, 0, 0), (0, 20)),
        (0, IntervalPrices(-200_000, 100_000), (0, 0)),  # both would pay it
        (0, IntervalPrices(200_000, -100_000), (40, 20)),  # both cost it
        (10, IntervalPrices(-200_000, 100_000), (10, 0)),  # what it has bought, it has taken
        (-10, IntervalPrices(-200_000, 100_000), (0, 10)),
        (-90, IntervalPrices(-200_000, 100_000), (0, 20)),  # as near to that as it can be
    ],
)
def test_which_registers_are_deemed(traded: int, prices: IntervalPrices, wanted: tuple[int, int]) -> None:
    found = deemed_wh(ints(traded), Registers(ints(40), ints(20)), prices)
    assert (found.import_wh[0], found.export_wh[0]) == wanted


def test_what_nobody_has_metered_is_netted_with_nobody_and_has_no_share() -> None:
    """Home 0 is silent; of what home 1 gives, home 2 alone gets any, and the gain is of these two."""
    book, clearing = cleared([0, 0, 0], [0, 0, 0], 0)
    registers = deemed_wh(ints(0, 0, 0), Registers(ints(1_000, 1_000, 1_000), ints(9, 9, 9)), PRICES)
    imported = ints(int(registers.import_wh[0]), 0, 30)
    mask = np.array([True, False, False])
    postings = settle(book, clearing, imported, ints(0, 50, 0), PRICES, deemed=mask)
    lines = postings.lines
    assert lines[:3, [IMPORT, EXPORT, LOCAL]].tolist() == [[1_000, 0, 0], [0, 50, -30], [30, 0, 30]]
    gain = 30 * PRICES.local_gain_micro_per_kwh
    assert lines[:3, IMBALANCE].tolist() == [
        0,
        30 * PRICES.feed_in_micro_per_kwh + gain // 2,
        gain - gain // 2 - 30 * PRICES.buy_cap_micro_per_kwh,
    ]
    assert postings.total_nano[0] == -1_000 * (300_000 + 50_000)
