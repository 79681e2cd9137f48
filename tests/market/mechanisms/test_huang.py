"""Huang's auction against the text in exact fractions, by hand, and against every misreport of a limit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import market.mechanisms  # noqa: F401  (registers them)
from market.mechanism import MECHANISMS
from market.mechanisms.huang import curtail_equally
from market.rules import MarketRules
from tests.kits.sample_kit import some
from tests.kits.unit_books import Row, best_lie, cleared, efficient, rows_of, units

RULES = MarketRules()
HUANG = MECHANISMS.get("huang")
BUY, SELL = 1, -1


def water_level(energy: list[int], total: int) -> list[Fraction]:
    """Give up equal parts in rounds: who has less than the part gives up all, the rest is spread again."""
    left = [Fraction(e) for e in energy]
    rest = Fraction(total)
    while rest:
        able = [i for i, e in enumerate(left) if e > 0]
        part = min(rest / len(able), min(left[i] for i in able))
        for i in able:
            left[i] -= part
        rest -= part * len(able)
    return left


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.data())
def test_giving_up_is_the_water_level_within_one_wh(energy: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(energy)))
    left = curtail_equally(np.array(energy), total, np.arange(len(energy))).tolist()
    assert sum(energy) - sum(left) == total
    assert all(abs(a - b) < 1 for a, b in zip(left, water_level(energy, total), strict=True))


@given(rows_of(9))
def test_it_is_the_text(rows: list[Row]) -> None:
    rows = sorted(rows, key=lambda r: r[0])
    book, clearing = cleared(HUANG, rows, RULES)
    buys, sells = units(rows, BUY), units(rows, SELL)
    volume = efficient(buys, sells)
    if not volume:
        assert not clearing.accepted_wh.any()
        return
    bid, offer = buys[volume - 1][0], sells[volume - 1][0]
    bids_in = [i for i, (_, side, _, limit) in enumerate(rows) if side == BUY and limit > bid]
    offers_in = [i for i, (_, side, _, limit) in enumerate(rows) if side == SELL and limit < offer]
    energy = [sum(rows[i][2] for i in side) for side in (bids_in, offers_in)]
    expected = [Fraction(0)] * len(rows)
    for side, side_wh in zip((bids_in, offers_in), energy, strict=True):
        for i, left in zip(side, water_level([rows[i][2] for i in side], side_wh - min(energy)), strict=True):
            expected[i] = left
    accepted = clearing.accepted_wh.tolist()
    assert all(abs(a - b) < 1 for a, b in zip(accepted, expected, strict=True))
    assert clearing.traded_wh(book) == min(energy)
    assert clearing.operator_surplus_nano == min(energy) * (bid - offer)


@settings(max_examples=some(300, 100))
@given(rows_of(7, energy=(0, 4), alone=True).filter(bool), st.integers(0, 6))
def test_nobody_with_one_order_gains_by_any_other_limit(rows: list[Row], who: int) -> None:
    truth, lie = best_lie(lambda book: HUANG.clear(book, RULES), rows, who % len(rows), range(-3, 8))
    assert lie <= truth


def test_copying_a_neighbours_limit_does_not_share_its_cut() -> None:
    """Were orders at one price cut as one, the second buyer would lose less by stating 9 than by the truth, 8."""
    rows = [(0, BUY, 4, 9), (1, BUY, 4, 8), (2, BUY, 4, 5), (3, SELL, 4, 1), (4, SELL, 6, 2), (5, SELL, 2, 3)]
    truth, lie = best_lie(lambda book: HUANG.clear(book, RULES), rows, 1, [7, 8, 9, 10])
    assert lie == truth


def test_small_traders_go_to_zero_and_the_rest_is_spread_again() -> None:
    """Buyers of 1, 6 and 9 must give up 8 of 16: 1 first, then 7 between two."""
    energy = np.array([6, 1, 9])
    # 3.5 each: who arrived first gives the odd Wh
    assert curtail_equally(energy, 8, np.array([0, 1, 2])).tolist() == [2, 0, 6]
    assert curtail_equally(energy, 8, np.array([2, 1, 0])).tolist() == [3, 0, 5]


def test_orders_at_one_price_go_together() -> None:
    """Two bids at the marginal 6: both set the price and neither trades."""
    rows = [(0, BUY, 2, 9), (1, BUY, 2, 6), (2, BUY, 2, 6), (3, SELL, 2, 1), (4, SELL, 2, 2), (5, SELL, 1, 3)]
    _, clearing = cleared(HUANG, rows, RULES)
    assert clearing.accepted_wh.tolist() == [2, 0, 0, 1, 1, 0]
    assert clearing.price_micro_per_kwh.tolist() == [6, 6, 6, 3, 3, 3]
    assert clearing.operator_surplus_nano == 2 * 3


def test_without_anybody_inside_the_margin_nothing_trades_and_no_price_is_told() -> None:
    book, clearing = cleared(HUANG, [(0, BUY, 3, 9), (1, SELL, 3, 1)], RULES)
    assert clearing.traded_wh(book) == 0
    assert clearing.node_price == (None,)
    assert set(clearing.details.values()) == {None}
