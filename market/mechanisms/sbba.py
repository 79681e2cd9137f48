"""The strongly budget-balanced auction (SBBA): one price; where a trade must go, a random draw among the sellers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from market.auctions.merit_order import UNIT, Ranking, accept_units, at_two_prices, efficient_units, rank
from market.book import OrderBook, Side
from market.clearing import Clearing, no_trade
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import SEED, TIES
from market.rules import MarketRules
from market.units import IntArray

LISTED_UNITS = 10_000
"""Largest number of units for which the details list the row of each; a run has millions of units."""


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Trade at p = min(b_k, s_{k+1}): all k units if p is that offer, else k-1 with one seller unit drawn out.

    The word of the generator and the rows of the pool in book order decide who goes. A seller cannot move either
    by its limit while it stays in the pool, so the rule is truthful for every draw, not only on average.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `unit_wh`, `rationing` and `seed`.
    """
    unit_wh = UNIT.of(rules)
    buys, sells = rank(book, Side.BUY, unit_wh), rank(book, Side.SELL, unit_wh)
    k = efficient_units(buys, sells)
    bid = buys.limit_of(k)
    if not k or bid is None:
        nobody = sells.units[:0]
        return replace(no_trade(book), details=_details(buys, sells, nobody, nobody, nobody, unit_wh))
    next_offer = sells.limit_of(k + 1)
    everybody = next_offer is not None and next_offer <= bid
    price = next_offer if next_offer is not None and everybody else bid
    pairs = k if everybody else k - 1
    certain, pool = buys.best(pairs, book.sequence, rules), sells.best(k, book.sequence, rules)
    drawn = pool if everybody else _without_one(sells, pool, k, rules.seed)
    accepted_wh = accept_units(book, unit_wh, ((buys, certain), (sells, drawn)))
    return at_two_prices(
        book, accepted_wh, price, price, _details(buys, sells, certain, pool, drawn, unit_wh)
    )


def _without_one(sells: Ranking, pool: IntArray, k: int, seed: int) -> IntArray:
    """The pool without the unit that the lottery picks, every unit with the same chance."""
    out = int(np.random.PCG64(seed).random_raw()) * k >> 64
    by_row = np.argsort(sells.rows[: len(pool)])
    drawn = pool.copy()
    drawn[by_row[np.cumsum(pool[by_row]).searchsorted(out, "right")]] -= 1
    return drawn


def _details(
    buys: Ranking, sells: Ranking, certain: IntArray, pool: IntArray, drawn: IntArray, unit_wh: int
) -> dict[str, Any]:
    """The lottery for people: its units by row of the book, and the mean welfare over all draws."""
    pairs, size = int(certain.sum()), int(pool.sum())
    value, cost = (
        int(np.dot(units, side.limit[: len(units)])) for units, side in ((certain, buys), (pool, sells))
    )
    # Every unit of the pool trades with the chance pairs / size; rounded half up.
    mean_cost_nano = (2 * cost * unit_wh * pairs + size) // (2 * size) if size else 0
    listed = {}
    if size <= LISTED_UNITS:
        columns = (
            ("buyers_certain", buys, certain),
            ("sellers_pool", sells, pool),
            ("sellers_drawn", sells, drawn),
        )
        listed = {
            f"{name}_rows": np.repeat(side.rows[: len(units)], units).tolist()
            for name, side, units in columns
        }
    return {**listed, "expected_welfare_nano": value * unit_wh - mean_cost_nano}


SBBA = MECHANISMS.register(
    Mechanism(
        "sbba",
        clear,
        Promises(
            source="Segal-Halevi, Hassidim, Aumann, SBBA: a strongly-budget-balanced double-auction mechanism,"
            " SAGT 2016, arXiv 1607.05139",
            uniform_price=True,
            truthful=True,
            truthful_for="unit_orders",
        ),
        (UNIT, SEED, TIES),
    )
)
