"""Regret: what a participant gains by stating other limits than its own, over misreports on a grid of prices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from market.book import OrderBook
from market.checking.random_books import unit_wh
from market.checking.trial import cleared
from market.clearing import Clearing
from market.errors import InvalidRules
from market.mechanism import Mechanism, TruthfulFor
from market.rules import MarketRules
from market.units import IntArray


@dataclass(frozen=True, slots=True)
class Misreport:
    """The most that one participant gains on a book.

    Args:
        rows: Rows of the book whose limits are misreported.
        stated_micro_per_kwh: The limit stated for all of them.
        gain_nano: More than the truth brings; 0 or less where the truth is best.
    """

    rows: tuple[int, ...]
    stated_micro_per_kwh: int
    gain_nano: int


def best_misreport(
    mechanism: Mechanism, book: OrderBook, rules: MarketRules, scope: TruthfulFor = "participants"
) -> Misreport | None:
    """Try every misreport of every participant in scope, one at a time; None where there is nobody to try.

    The limits of the book are taken as true: energy accepted for an order is worth the order's limit, and payments
    are counted with their charges. Stated limits are those just around every limit of the book, the middles between
    them, and the outside prices; for one order at a time, and for all orders of a participant on one side.

    Args:
        mechanism: Cleared once with the truth and once with each misreport, under the same rules and seed.
        book: A small book; about 3 n^2 clearings for n orders.
        rules: The same for all.
        scope: Whose misreports are tried: everybody's; those of participants with one order; or with one order of one
            unit (`unit_wh`). The others may hold any orders.

    Raises:
        Unfit: The mechanism raised, or returned no clearing of integers.
        InvalidRules: The parameters do not fit the book.
    """
    if not len(book):
        return None
    grid, best = _grid(book, rules), None
    truth = _utility_nano(book, book, cleared(mechanism, book, rules))
    for rows in _groups(book, scope, unit_wh(mechanism, rules)):
        who = int(book.participant[rows[0]])
        for stated in grid:
            limit = book.limit_micro_per_kwh.copy()
            limit[list(rows)] = stated
            limit.flags.writeable = False
            lie = replace(book, limit_micro_per_kwh=limit)
            try:
                utility = _utility_nano(book, lie, cleared(mechanism, lie, rules))
            except InvalidRules:  # no report that the rules allow
                continue
            gain = int((utility - truth)[who])
            if best is None or gain > best.gain_nano:
                best = Misreport(rows, stated, gain)
    return best


def _utility_nano(book: OrderBook, stated: OrderBook, clearing: Clearing) -> IntArray:
    """Per participant, what its accepted energy is worth at the limits of `book` minus what it pays. [nano]"""
    worth = book.side * clearing.accepted_wh * book.limit_micro_per_kwh - clearing.payment_nano(stated)
    utility = np.zeros(int(book.participant[-1]) + 1, dtype=np.int64)
    np.add.at(utility, book.participant, worth)
    return utility


def _groups(book: OrderBook, scope: TruthfulFor, unit: int) -> Iterator[tuple[int, ...]]:
    """Rows to misreport together: each order alone, then all orders of a participant on one side."""
    for who in np.unique(book.participant):
        rows = np.flatnonzero((book.participant == who) & (book.energy_wh > 0))
        if scope != "participants" and len(rows) != 1:
            continue
        if scope == "unit_orders" and book.energy_wh[rows[0]] != unit:
            continue
        for row in rows.tolist():
            yield (row,)
        for side in (1, -1):
            together = rows[book.side[rows] == side]
            if len(together) > 1:
                yield tuple(together.tolist())


def _grid(book: OrderBook, rules: MarketRules) -> list[int]:
    limits = np.unique(book.limit_micro_per_kwh[book.energy_wh > 0])
    outside = [p for p in (rules.retail_micro_per_kwh, rules.feed_in_micro_per_kwh) if p is not None]
    middles = (limits[1:] + limits[:-1]) // 2
    points = np.concatenate([limits - 1, limits, limits + 1, middles, np.array(outside, dtype=np.int64)])
    return np.unique(points).tolist()  # type: ignore[no-any-return]
