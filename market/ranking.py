"""Orders of one side ranked by limit, as cumulated units: what the auctions of unit orders look at.

A unit is `unit_wh` Wh. An order is floor(energy / unit) unit orders at its limit; what is left over is no unit order
and does not trade. Units are counted, never listed: an order of a thousand units is one entry.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from market.book import OrderBook, Side
from market.clearing import Clearing, PriceInterval, no_trade
from market.parameters import Parameter
from market.units import IntArray

PACKED_BITS = 63

UNIT = Parameter(
    name="unit_kwh",
    field="unit_wh",
    kind="energy",
    default=1_000,
    in_run=1,
    summary="Size of the unit orders that an order stands for; what is left over does not trade.",
)


class Ranking(NamedTuple):
    """The orders of one side with at least one unit, best limit first; ties by arrival, then by row.

    Args:
        rows: Rows of the book.
        limit: Limits. [micro-currency/kWh]
        units: Units of each order, at least 1.
        ends: Cumulated units: entry i holds the units ends[i] - units[i] + 1 .. ends[i] of the side, counted from 1.
    """

    rows: IntArray
    limit: IntArray
    units: IntArray
    ends: IntArray

    @property
    def total(self) -> int:
        """Units of the whole side."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def limit_of(self, unit: int, missing: int | None = None) -> int | None:
        """Limit of the unit-th best unit, counted from 1, or `missing` where there is none. [micro/kWh]"""
        if not 0 < unit <= self.total:
            return missing
        return int(self.limit[self.ends.searchsorted(unit)])

    def best(self, count: int) -> IntArray:
        """Units among the `count` best of the side, of each entry down to the last one that has any."""
        entries = int(self.ends.searchsorted(count)) + 1 if count else 0
        units = self.units[:entries].copy()
        if entries:
            units[-1] -= int(self.ends[entries - 1]) - count
        return units


def rank(book: OrderBook, side: Side, unit_wh: int = 1) -> Ranking:
    """Rank one side of a book.

    Args:
        book: Orders of one interval. Not changed.
        side: Bids are ranked by falling, offers by rising limit.
        unit_wh: Size of a unit. [Wh]
    """
    units = book.energy_wh if unit_wh == 1 else book.energy_wh // unit_wh
    rows = np.flatnonzero((book.side == side) & (units > 0))
    rows = rows[best_first(-int(side) * book.limit_micro_per_kwh[rows], book.sequence[rows])]
    units = units[rows]
    return Ranking(rows, book.limit_micro_per_kwh[rows], units, np.cumsum(units))


def best_first(key: IntArray, sequence: IntArray) -> IntArray:
    """Positions by rising key, ties by rising sequence, then by position.

    Key, sequence and position are packed into one number each, so that a plain sort, which numpy does several times
    faster than a stable one, has nothing left to decide.
    """
    n = len(key)
    if n < 2:
        return np.arange(n)
    key_least, sequence_least = int(key.min()), int(sequence.min())
    place_bits, arrival_bits = n.bit_length(), (int(sequence.max()) - sequence_least).bit_length()
    if (int(key.max()) - key_least).bit_length() + arrival_bits + place_bits > PACKED_BITS:
        return np.lexsort((sequence, key))
    packed = (((key - key_least) << arrival_bits | (sequence - sequence_least)) << place_bits) | np.arange(n)
    packed.sort()
    place: IntArray = packed & ((1 << place_bits) - 1)
    return place


def efficient_units(buys: Ranking, sells: Ranking) -> int:
    """The largest k for which the k-th best bid is at least the k-th best offer; touching units trade."""
    if not (len(buys.rows) and len(sells.rows)):
        return 0

    def supply(entry: int) -> int:
        """Units offered at the limit of a bid or below."""
        within = int(sells.limit.searchsorted(buys.limit[entry], "right"))
        return int(sells.ends[within - 1]) if within else 0

    # Down the bids demand rises and supply falls: the best volume lies beside the first bid where they have met.
    met = bisect_left(range(len(buys.rows)), True, key=lambda entry: int(buys.ends[entry]) >= supply(entry))
    demand = int(buys.ends[met - 1]) if met else 0
    return max(demand, supply(met)) if met < len(buys.rows) else demand


def accept_units(
    book: OrderBook, unit_wh: int, sides: tuple[tuple[Ranking, IntArray], tuple[Ranking, IntArray]]
) -> IntArray:
    """Accepted energy per order of the book, from the accepted units of the first entries of both rankings. [Wh]"""
    accepted_wh = np.zeros(len(book), dtype=np.int64)
    for ranking, units in sides:
        accepted_wh[ranking.rows[: len(units)]] = units if unit_wh == 1 else units * unit_wh
    return accepted_wh


def at_two_prices(
    book: OrderBook,
    accepted_wh: IntArray,
    buyer_price: int,
    seller_price: int,
    details: Mapping[str, Any],
) -> Clearing:
    """Make the clearing in which all buyers pay one price and all sellers get one, the difference is the operator's.

    Args:
        book: Orders of one interval. Not changed.
        accepted_wh: Per order, balanced; becomes read-only. [Wh]
        buyer_price: What buyers pay. [micro-currency/kWh]
        seller_price: What sellers get. [micro-currency/kWh]
        details: See `Clearing`.
    """
    traded_wh = int(accepted_wh.sum()) // 2
    if not traded_wh:
        return replace(no_trade(book), details=details)
    price = np.where(book.side > 0, buyer_price, seller_price)
    welfare_nano = int(np.dot(accepted_wh * book.side, book.limit_micro_per_kwh))
    for column in (accepted_wh, price):
        column.flags.writeable = False
    one = PriceInterval(buyer_price, buyer_price, buyer_price) if buyer_price == seller_price else None
    surplus_nano = traded_wh * (buyer_price - seller_price)
    return Clearing(accepted_wh, price, (one,), surplus_nano, welfare_nano, details=details)
