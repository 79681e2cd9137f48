"""Who gets the odd Wh of a tie: the lottery of each interval decides, so that equals get the same over time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from market.mechanism import MECHANISMS
from market.rules import MarketRules
from market.units import IntArray
from wattswap.runs.books import build_book

SELLERS, INTERVALS = 7, 600
RULES = MarketRules(retail_micro_per_kwh=300_000, feed_in_micro_per_kwh=80_000)

BOOKS = {
    # One buyer of 500 Wh, whose limit pins no price: 500 / 7 is 71 Wh each and 3 odd Wh.
    "one_buyer": [(1, 500, 250_000)],
    # For huang: the bid at .12 and the offer at .11 are marginal, and 7 sellers give up 200 Wh, 28 each and 4 odd Wh.
    "marginal_pair": [(1, 500, 250_000), (1, 250, 120_000), (-1, 100, 110_000)],
}


def sold_wh(mechanism: str, book: str, *, lottery: bool = False) -> IntArray:
    """Energy that identical sellers of 100 Wh at .07 sell in each interval, shape (intervals, sellers). [Wh]"""
    rows = [*[(-1, 100, 70_000)] * SELLERS, *BOOKS[book]]
    side, energy, limit = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    who = np.arange(len(rows))
    found = []
    for i in range(INTERVALS):
        closed = build_book(4, 900 * i, who, side.astype(np.int8), energy, limit)
        rules = replace(RULES, seed=7919 * i) if lottery else RULES
        found.append(MECHANISMS.get(mechanism).clear(closed, rules).accepted_wh[:SELLERS])
    return np.array(found)


@pytest.mark.parametrize(
    ("mechanism", "book", "odd_wh"),
    [
        *((name, "one_buyer", 3) for name in ("uniform_price", "welfare_optimum", "vcg", "posted_price")),
        *((name, "one_buyer", 3) for name in ("mid_market_rate", "bill_sharing", "supply_demand_ratio")),
        ("huang", "marginal_pair", 4),
    ],
)
def test_identical_sellers_sell_the_same_over_time(mechanism: str, book: str, odd_wh: int) -> None:
    """Each gets its odd Wh with the chance odd / 7: in 600 intervals 4.5 standard deviations are 55 Wh at most."""
    sold = sold_wh(mechanism, book)
    assert set(sold.sum(axis=1).tolist()) == {500}
    assert int(sold.max()) - int(sold.min()) == 1
    chance = (500 % SELLERS) / SELLERS
    assert odd_wh in (500 % SELLERS, SELLERS - 500 % SELLERS)
    bound = 4.5 * np.sqrt(INTERVALS * chance * (1 - chance))
    assert np.abs(sold.sum(axis=0) - INTERVALS * 500 / SELLERS).max() < bound


@pytest.mark.parametrize("solver", ["highs", "exact", "pyomo"])
def test_every_solver_gives_the_odd_wh_to_the_same_order(solver: str) -> None:
    side, who = np.array([-1, -1, -1, 1], dtype=np.int8), np.arange(4)
    energy, limit = np.array([100, 100, 100, 200]), np.array([1, 1, 1, 3])
    book = build_book(1, 0, who, side, energy, limit)
    first = np.argsort(book.sequence[:3])[:2]  # 66 Wh each and 2 odd Wh for those who arrived first
    sold = MECHANISMS.get("uniform_price").clear(book, MarketRules(solver=solver)).accepted_wh[:3]
    assert sold.tolist() == [66 + (i in first) for i in range(3)]


@pytest.mark.parametrize(
    "mechanism", [m.name for m in MECHANISMS.all().values() if not m.promises.needs_places]
)
def test_no_mechanism_prefers_one_of_equals_over_time(mechanism: str) -> None:
    """Lotteries give much or nothing to one; over time the means of equals differ by chance alone."""
    sold = sold_wh(mechanism, "one_buyer", lottery=True)
    off = sold.mean(axis=0) - sold.mean()
    assert np.abs(off).max() <= 4.5 * sold.std() / np.sqrt(INTERVALS)
