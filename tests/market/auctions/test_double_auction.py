"""The frame of MUDA with a serving rule of the test, against a slow clearing that lists every Wh."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auctions.double_auction import LongSide, clear_halves, served
from market.book import OrderBook
from market.errors import InvalidRules
from market.rules import MarketRules, Value
from market.units import PPM, IntArray
from tests.kits.unit_books import Row, book_of, efficient, rows_of, units

BUY, SELL = 1, -1
FEE_NANO = 7


class Recorded:
    """Serves a long side in the order of its rows, charges everybody who wins 7 nano, and keeps what it was shown."""

    def __init__(self, charges: bool) -> None:
        self.sides: list[LongSide] = []
        self.charges = charges

    def __call__(self, side: LongSide) -> tuple[IntArray, IntArray | None]:
        self.sides.append(side)
        got = served(side.energy, side.quota_wh)
        winners = {int(side.book.participant[row]) for row, wh in zip(side.rows, got, strict=True) if wh}
        present = sorted(set(side.book.participant.tolist()))
        fees = np.array([FEE_NANO * (who in winners) for who in present], dtype=np.int64)
        return got, fees if self.charges else None


def in_book_order(book: OrderBook) -> list[Row]:
    arrays = (book.participant, book.side, book.energy_wh, book.limit_micro_per_kwh)
    return [tuple(row) for row in zip(*(array.tolist() for array in arrays), strict=True)]  # type: ignore[misc]


def lowest_and_highest(rows: list[Row]) -> tuple[int, int] | None:
    """The lowest and highest whole price at which demand can meet supply; None where no Wh trades."""
    if not efficient(units(rows, BUY), units(rows, SELL)):
        return None

    def balances(price: int) -> bool:
        def wanted(side: int, least_gain: int) -> int:
            return sum(e for _, s, e, limit in rows if s == side and side * (limit - price) >= least_gain)

        return wanted(BUY, 1) <= wanted(SELL, 0) and wanted(SELL, 1) <= wanted(BUY, 0)

    prices = [price for price in range(-5, 10) if balances(price)]
    return prices[0], prices[-1]


def price_made_by(rows: list[Row], rule: str, k_ppm: int) -> int | None:
    """The price of a half, from the units of the other."""
    found = lowest_and_highest(rows)
    if found is None:
        return None
    if rule == "walras_k":
        low, high = found
        return low + (2 * (high - low) * k_ppm + PPM) // (2 * PPM)
    buys, sells = units(rows, BUY), units(rows, SELL)
    k = efficient(buys, sells)
    return -(-(buys[k - 1][0] + sells[k - 1][0]) // 2)


def slow(
    rows: list[Row], halves: list[tuple[set[int], int | None]], strict: bool
) -> tuple[list[int], list[int | None], list[tuple[list[int], int]]]:
    """Accepted energy and price of each row; rows and quota of the long side of each half that is rationed."""
    accepted, price_of, rationed = [0] * len(rows), [None] * len(rows), []
    for members, price in halves:
        inside = [i for i, row in enumerate(rows) if row[0] in members]
        if price is None:
            continue
        sides = []
        for side in (BUY, SELL):
            gain = [(i, side * (rows[i][3] - price)) for i in inside if rows[i][1] == side and rows[i][2]]
            sides.append([i for i, amount in gain if amount > 0 or (amount == 0 and not strict)])
        listed = [[i for i in side for _ in range(rows[i][2])] for side in sides]
        quota = min(map(len, listed))
        for side, each_wh in zip(sides, listed, strict=True):
            if len(each_wh) > quota:
                rationed.append((side, quota))
            for i in each_wh[:quota]:
                accepted[i] += 1
        for i in inside:
            price_of[i] = price  # type: ignore[call-overload]
    return accepted, price_of, rationed


def halved(partition: int, rows: list[Row]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Everybody whose bit is set on the left, the others on the right."""
    present = sorted({row[0] for row in rows})
    left = tuple(who for who in present if partition >> who & 1)
    return left, tuple(who for who in present if who not in left)


def check(
    rows: list[Row], rules: MarketRules, halves: list[tuple[set[int], int | None]], charges: bool
) -> None:
    serve, book = Recorded(charges), book_of(rows)
    clearing = clear_halves(book, rules, serve)
    rows = in_book_order(book)
    accepted, price_of, rationed = slow(rows, halves, rules.params["boundary"] == "strict")
    assert clearing.accepted_wh.tolist() == accepted
    if any(accepted):
        prices = clearing.price_micro_per_kwh.tolist()
        assert prices == [row[3] if p is None else p for row, p in zip(rows, price_of, strict=True)]
    assert [(side.rows.tolist(), side.quota_wh) for side in serve.sides] == rationed
    assert all(side.energy.tolist() == book.energy_wh[side.rows].tolist() for side in serve.sides)
    assert [half["price_micro_per_kwh"] for half in clearing.details["halves"]] == [p for _, p in halves]
    assert sum(half["traded_wh"] for half in clearing.details["halves"]) * 2 == sum(accepted)
    check_fees(rows, clearing, rationed, charges)


def check_fees(rows: list[Row], clearing: Any, rationed: list[tuple[list[int], int]], charges: bool) -> None:
    """Each winner of a long side pays one fee, on its orders of that side; the sum is the operator's."""
    due: Counter[tuple[int, int]] = Counter()
    for long_rows, _ in rationed if charges else ():
        winners = {(rows[i][0], rows[i][1]) for i in long_rows if clearing.accepted_wh[i]}
        due.update(dict.fromkeys(winners, FEE_NANO))
    paid: Counter[tuple[int, int]] = Counter()
    charge = clearing.charge_nano
    for row, amount in zip(rows, [0] * len(rows) if charge is None else charge.tolist(), strict=True):
        assert amount >= 0
        paid[row[0], row[1]] += amount
    assert +paid == due
    assert clearing.operator_surplus_nano == due.total()


@given(
    rows=rows_of(9),
    bits=st.integers(0, 2**9 - 1),
    rule=st.sampled_from(["walras_k", "marginal_midpoint"]),
    k_ppm=st.sampled_from([0, 250_000, 500_000, PPM]),
    boundary=st.sampled_from(["strict", "weak"]),
    charges=st.booleans(),
)
def test_each_half_trades_at_the_price_of_the_other_and_rations_its_long_side(
    rows: list[Row], bits: int, rule: str, k_ppm: int, boundary: str, charges: bool
) -> None:
    left, right = halved(bits, rows)
    params: dict[str, Value] = {"partition": (left, right), "price_rule": rule, "boundary": boundary}
    inside = [[row for row in rows if row[0] in half] for half in (left, right)]
    prices = [price_made_by(half, rule, k_ppm) for half in inside]
    halves = [(set(left), prices[1]), (set(right), prices[0])]
    check(rows, MarketRules(k_ppm=k_ppm, params=params), halves, charges)


@given(rows_of(9), st.integers(-3, 7), st.sampled_from(["strict", "weak"]), st.booleans())
def test_a_given_price_makes_one_half_of_the_whole_book(
    rows: list[Row], price: int, boundary: str, charges: bool
) -> None:
    params: dict[str, Value] = {"exogenous_price_micro_per_kwh": price, "boundary": boundary}
    check(rows, MarketRules(params=params), [({row[0] for row in rows}, price)], charges)


@given(rows_of(9).filter(bool), st.integers(0, 2**40))
def test_drawn_halves_hold_everybody_once_and_depend_on_no_price(rows: list[Row], seed: int) -> None:
    def members(rows: list[Row]) -> list[list[int]]:
        halves = clear_halves(book_of(rows), MarketRules(seed=seed), Recorded(False)).details["halves"]
        return [half["members_participants"].tolist() for half in halves]

    left, right = members(rows)
    assert sorted(left + right) == sorted({row[0] for row in rows})
    assert members([(who, side, energy, -limit) for who, side, energy, limit in rows]) == [left, right]


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 80))
def test_a_queue_is_served_in_turn_until_the_quota_is_used_up(queue: list[int], quota: int) -> None:
    expected, left = [], quota
    for wh in queue:
        expected.append(min(wh, left))
        left -= expected[-1]
    assert served(np.array(queue, dtype=np.int64), quota).tolist() == expected


@pytest.mark.parametrize(
    ("partition", "wrong"), [(((0,), ()), "[1]"), (((0, 1), (1,)), "[1]"), (((), ()), "[0, 1]")]
)
def test_who_stands_in_no_half_or_in_both_is_named(
    partition: tuple[tuple[int, ...], tuple[int, ...]], wrong: str
) -> None:
    book = book_of([(0, BUY, 1, 9), (1, SELL, 1, 1)])
    with pytest.raises(InvalidRules) as refused:
        clear_halves(book, MarketRules(params={"partition": partition}), Recorded(False))
    assert f"participants {wrong} must be in exactly one" in str(refused.value)
