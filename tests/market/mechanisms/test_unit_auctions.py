"""McAfee, trade reduction and SBBA against naive rules on listed units, by hand, and against every misreport."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import market.mechanisms  # noqa: F401  (registers them)
from market.auctions.merit_order import best_first
from market.book import OrderBook
from market.clearing import PriceInterval
from market.mechanism import MECHANISMS
from market.rules import MarketRules, Rationing
from tests.kits.sample_kit import some
from tests.kits.unit_books import (
    ONE_WH,
    Row,
    accepted_by_row,
    best_lie,
    by_row,
    cleared,
    efficient,
    rows_of,
    units,
    with_params,
)

RATIONING = st.sampled_from(get_args(Rationing))
RULES = MarketRules(params=ONE_WH, rationing="time")
BUY, SELL = 1, -1
GRID = range(-3, 8)


def singles(bids: list[int], offers: list[int]) -> list[Row]:
    """One unit order a participant."""
    sides = [(BUY, limit) for limit in bids] + [(SELL, limit) for limit in offers]
    return [(i, side, 1, limit) for i, (side, limit) in enumerate(sides)]


def naive_mcafee(
    rows: list[Row], b_missing: int | None, s_missing: int | None
) -> tuple[list[int], Fraction | None, Fraction | None]:
    """McAfee's text on listed units: accepted energies, buyer and seller price."""
    buys, sells = units(rows, BUY), units(rows, SELL)
    k = efficient(buys, sells)
    if not k:
        return [0] * len(rows), None, None
    b_k, s_k = buys[k - 1][0], sells[k - 1][0]
    b_next = buys[k][0] if len(buys) > k else b_missing
    s_next = sells[k][0] if len(sells) > k else s_missing
    if b_next is not None and s_next is not None:
        p0 = Fraction(b_next + s_next, 2)
        if s_k <= p0 <= b_k:
            return accepted_by_row(rows, buys[:k] + sells[:k]), p0, p0
    return accepted_by_row(rows, buys[: k - 1] + sells[: k - 1]), Fraction(b_k), Fraction(s_k)


@given(rows_of(9), st.sampled_from([(None, None), (-3, 7), (-3, None), (None, 7)]))
def test_mcafee_is_its_text(rows: list[Row], missing: tuple[int | None, int | None]) -> None:
    rows, (b_missing, s_missing) = sorted(rows, key=lambda r: r[0]), missing
    rules = with_params(RULES, b_missing_micro_per_kwh=b_missing, s_missing_micro_per_kwh=s_missing)
    book, clearing = cleared(MECHANISMS.get("mcafee"), rows, rules)
    accepted, buyer, seller = naive_mcafee(rows, b_missing, s_missing)
    assert clearing.accepted_wh.tolist() == accepted
    for side, price in ((BUY, buyer), (SELL, seller)):
        paid = set(clearing.price_micro_per_kwh[(clearing.accepted_wh > 0) & (book.side == side)].tolist())
        assert not paid or (price is not None and paid == {(2 * price + 1) // 2})


@given(rows_of(9))
def test_trade_reduction_gives_up_the_last_efficient_unit(rows: list[Row]) -> None:
    rows = sorted(rows, key=lambda r: r[0])
    book, clearing = cleared(MECHANISMS.get("trade_reduction"), rows, RULES)
    buys, sells = units(rows, BUY), units(rows, SELL)
    k = efficient(buys, sells)
    assert clearing.accepted_wh.tolist() == accepted_by_row(
        rows, buys[: max(k - 1, 0)] + sells[: max(k - 1, 0)]
    )
    if k > 1:
        surplus = (k - 1) * (buys[k - 1][0] - sells[k - 1][0])
        assert clearing.operator_surplus_nano == surplus
        assert set(clearing.price_micro_per_kwh[book.side > 0].tolist()) == {buys[k - 1][0]}


@given(rows_of(9), st.integers(0, 3))
def test_sbba_is_its_text(rows: list[Row], seed: int) -> None:
    rows = sorted(rows, key=lambda r: r[0])
    _, clearing = cleared(
        MECHANISMS.get("sbba"), rows, MarketRules(seed=seed, params=ONE_WH, rationing="time")
    )
    buys, sells = units(rows, BUY), units(rows, SELL)
    k = efficient(buys, sells)
    if not k:
        assert not clearing.accepted_wh.any()
        return
    b_k, rest = buys[k - 1][0], sells[k:]
    details, accepted = clearing.details, clearing.accepted_wh.tolist()
    if rest and rest[0][0] <= b_k:
        assert accepted == accepted_by_row(rows, buys[:k] + sells[:k])
        assert clearing.node_price == (PriceInterval(rest[0][0], rest[0][0], rest[0][0]),)
        assert details["expected_welfare_nano"] == clearing.welfare_nano
        return
    assert [a for a, row in zip(accepted, rows, strict=True) if row[1] == BUY] == [
        a for a, row in zip(accepted_by_row(rows, buys[: k - 1]), rows, strict=True) if row[1] == BUY
    ]
    pool, drawn = Counter(row for _, row in sells[:k]), Counter(details["sellers_drawn_rows"])
    assert Counter(details["sellers_pool_rows"]) == pool
    assert (pool - drawn).total() == 1
    assert not drawn - pool
    assert Counter(details["buyers_certain_rows"]) == Counter(row for _, row in buys[: k - 1])
    value, cost = sum(b for b, _ in buys[: k - 1]), sum(s for s, _ in sells[:k])
    mean = value - Fraction(cost * (k - 1), k)
    assert abs(details["expected_welfare_nano"] - mean) <= Fraction(1, 2)
    if k > 1:
        assert clearing.node_price == (PriceInterval(b_k, b_k, b_k),)


def test_every_seller_of_the_pool_is_drawn_out_equally_often() -> None:
    rows = [*singles([9, 9, 9, 9, 9], [1, 2]), (7, SELL, 3, 3)]
    out: Counter[int] = Counter()
    for seed in range(3_000):
        book, clearing = cleared(
            MECHANISMS.get("sbba"), rows, MarketRules(seed=seed, params=ONE_WH, rationing="time")
        )
        out[int(np.flatnonzero((book.side < 0) & (clearing.accepted_wh < book.energy_wh))[0])] += 1
    # Five units; the last order holds three of them. Four standard deviations of a share of 3,000 draws.
    for row, share in ((5, 0.2), (6, 0.2), (7, 0.6)):
        assert abs(out[row] / 3_000 - share) < 4 * (share * (1 - share) / 3_000) ** 0.5


CASES = {
    "p0 fits": ("mcafee", [9, 8, 7, 4], [2, 3, 5, 6], {}, 3, 5, 5),
    "p0 misses the last bid": ("mcafee", [9, 8], [4, 3], {}, 1, 8, 4),
    "p0 in the middle of the rest": ("mcafee", [9, 4], [3, 8], {}, 1, 6, 6),
    "a single pair is given up": ("mcafee", [9], [4], {}, 0, None, None),
    "a single pair between stand-ins": ("mcafee", [9], [4], {"b": 2, "s": 10}, 1, 6, 6),
    "no bid is left": ("mcafee", [9, 8], [4, 3, 6], {}, 1, 8, 4),
    "no bid is left, but a stand-in": ("mcafee", [9, 8], [4, 3, 6], {"b": 4}, 2, 5, 5),
    "nothing crosses": ("mcafee", [3], [4], {"b": 2, "s": 10}, 0, None, None),
    "touching units trade": ("mcafee", [5, 3], [5, 7], {}, 1, 5, 5),
    "negative": ("mcafee", [-1, -6], [-7, -2], {}, 1, -4, -4),
    "reduction is never spared": ("trade_reduction", [9, 8, 7, 4], [2, 3, 5, 6], {}, 2, 7, 5),
    "a single trade is given up": ("trade_reduction", [9], [4], {}, 0, None, None),
    "the next offer is the price": ("sbba", [9, 8, 7, 4], [2, 3, 5, 6], {}, 3, 6, 6),
    "the last bid is the price": ("sbba", [9, 8, 7], [2, 3, 9], {}, 1, 8, 8),
    "a single pair cannot trade": ("sbba", [9], [4], {}, 0, None, None),
    "a single pair with an offer behind it": ("sbba", [9], [4, 5], {}, 1, 5, 5),
}


@pytest.mark.parametrize("name", CASES)
def test_by_hand(name: str) -> None:
    mechanism, bids, offers, missing, pairs, buyer, seller = CASES[name]
    rules = with_params(
        RULES, b_missing_micro_per_kwh=missing.get("b"), s_missing_micro_per_kwh=missing.get("s")
    )
    book, clearing = cleared(MECHANISMS.get(mechanism), singles(bids, offers), rules)
    assert clearing.traded_wh(book) == pairs
    for side, price in ((BUY, buyer), (SELL, seller)):
        paid = clearing.price_micro_per_kwh[(clearing.accepted_wh > 0) & (book.side == side)].tolist()
        assert set(paid) == (set() if price is None else {price})


def test_what_mcafee_tells() -> None:
    _, clearing = cleared(MECHANISMS.get("mcafee"), singles([9, 8], [4, 3]), RULES)
    assert clearing.details == {
        "traded_pairs": 1,
        "reduced": True,
        "buyer_price_micro_per_kwh": 8,
        "seller_price_micro_per_kwh": 4,
    }
    _, clearing = cleared(MECHANISMS.get("mcafee"), singles([9], [4]), RULES)
    assert clearing.details["traded_pairs"] == 0
    assert clearing.details["reduced"] is True
    assert clearing.details["buyer_price_micro_per_kwh"] is None


@pytest.mark.parametrize("name", ["mcafee", "trade_reduction", "sbba"])
@given(rows=rows_of(7, energy=(0, 5_000)), unit=st.sampled_from([1, 7, 1_000]), rationing=RATIONING)
def test_units_are_counted_as_if_they_were_listed(
    name: str, rows: list[Row], unit: int, rationing: Rationing
) -> None:
    rules = MarketRules(params={"unit_wh": unit}, rationing=rationing)
    book, clearing = cleared(MECHANISMS.get(name), rows, rules)
    counted = [(who, side, energy // unit, limit) for who, side, energy, limit in rows]
    small_book, small = cleared(MECHANISMS.get(name), counted, replace(RULES, rationing=rationing))
    assert clearing.accepted_wh.tolist() == (small.accepted_wh * unit).tolist()
    assert clearing.payment_nano(book).tolist() == (small.payment_nano(small_book) * unit).tolist()


@pytest.mark.parametrize("name", ["mcafee", "trade_reduction", "sbba"])
@settings(max_examples=some(150, 50))
@given(
    rows=rows_of(6, energy=(0, 2), alone=True).filter(bool),
    who=st.integers(0, 5),
    missing=st.tuples(st.none() | st.integers(-3, 7), st.none() | st.integers(-3, 7)),
    seed=st.integers(0, 2),
    rationing=RATIONING,
)
def test_nobody_with_one_unit_gains_by_any_other_limit(
    name: str,
    rows: list[Row],
    who: int,
    missing: tuple[int | None, int | None],
    seed: int,
    rationing: Rationing,
) -> None:
    who %= len(rows)
    rows[who] = (who, rows[who][1], 1, rows[who][3])
    rules = with_params(
        MarketRules(seed=seed, params=ONE_WH, rationing=rationing),
        b_missing_micro_per_kwh=missing[0],
        s_missing_micro_per_kwh=missing[1],
    )
    truth, lie = best_lie(lambda book: MECHANISMS.get(name).clear(book, rules), rows, who, GRID)
    assert lie <= truth


@pytest.mark.parametrize("name", ["mcafee", "trade_reduction", "sbba"])
def test_ties_go_to_the_earlier_arrival(name: str) -> None:
    rows = [(0, BUY, 1, 5), (1, BUY, 1, 9), (2, BUY, 1, 5), (3, SELL, 1, 0), (4, SELL, 1, 0), (5, SELL, 1, 5)]
    late = OrderBook.from_columns(
        *(np.array([row[i] for row in rows]) for i in (0, 1, 2, 3)),  # type: ignore[arg-type]
        sequence=np.array([9, 1, 2, 3, 4, 5]),
    )
    accepted = MECHANISMS.get(name).clear(late, RULES).accepted_wh
    assert accepted[0] <= accepted[2]
    assert accepted[1] == 1


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), max_size=12),
    st.sampled_from([1, 2**61 // 8]),
)
def test_the_fast_ranking_is_a_stable_sort(rows: list[tuple[int, int]], wide: int) -> None:
    """The second width does not fit the combined key of 63 bits."""
    key = np.array([k * wide for k, _ in rows], dtype=np.int64)
    sequence = np.array([s for _, s in rows], dtype=np.int64)
    assert best_first(key, sequence).tolist() == np.lexsort((sequence, key)).tolist()


def test_a_million_units_are_no_work() -> None:
    """Units are cumulated energy: a book of GWh orders in units of 1 Wh clears at once, without listing them."""
    rows = [(0, BUY, 10**9, 9), (1, BUY, 10**9, 8), (2, SELL, 10**9, 3), (3, SELL, 5 * 10**8, 4)]
    for name in ("mcafee", "trade_reduction", "sbba"):
        book, clearing = cleared(MECHANISMS.get(name), rows, RULES)
        assert clearing.traded_wh(book) == 15 * 10**8 - 1
        assert "sellers_pool_rows" not in clearing.details


def test_rows_of_a_clearing_are_those_of_the_book() -> None:
    rows = [(1, BUY, 1, 9), (0, SELL, 1, 1), (0, SELL, 1, 2)]
    book, clearing = cleared(MECHANISMS.get("sbba"), rows, RULES)
    assert by_row(rows, book, clearing.accepted_wh.tolist()) == [1, 1, 0]
