"""Merit order: bids from the highest limit, offers from the lowest, as rows or as cumulated units.

Mechanisms that make pairs lay the energies of both sides side by side. Auctions of unit orders count units: a unit is
`unit_wh` Wh, an order is floor(energy / unit) unit orders at its limit, and what is left over does not trade. Units
are counted, never listed: an order of a thousand units is one entry.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from market.auctions.rationing import ration
from market.book import OrderBook, Side
from market.clearing import Clearing, PriceInterval, Trades, no_trade
from market.parameters import Parameter
from market.rules import MarketRules
from market.units import IntArray, side_by_side

_WORD_BITS = 63


def row_order(*keys: IntArray) -> IntArray:
    """Return the rows sorted by the keys, the first key first; rows that tie in all of them stay as they are.

    The keys and the row number are packed into one integer where they fit: sorting whole numbers is several times
    faster than an indirect sort by several keys.

    Args:
        keys: At least one, of equal shape (n,).
    """
    n = len(keys[0])
    if n < 2:
        return np.arange(n)
    least = [int(key.min()) for key in keys]
    widths = [(int(key.max()) - low).bit_length() for key, low in zip(keys, least, strict=True)]
    row_bits = (n - 1).bit_length()
    if sum(widths) + row_bits > _WORD_BITS:
        return np.lexsort(keys[::-1])
    packed = keys[0] - least[0]
    for key, low, width in zip(keys[1:], least[1:], widths[1:], strict=True):
        packed <<= width
        packed |= key - low
    packed <<= row_bits
    packed |= np.arange(n)
    packed.sort()
    packed &= (1 << row_bits) - 1
    return packed


def best_bids(book: OrderBook, rows: IntArray) -> IntArray:
    """Sort rows of bids: the highest limit first, then the earliest arrival, then the row of the book."""
    return rows[row_order(-book.limit_micro_per_kwh[rows], book.sequence[rows])]


def best_asks(book: OrderBook, rows: IntArray) -> IntArray:
    """Sort rows of offers: the lowest limit first, then the earliest arrival, then the row of the book."""
    return rows[row_order(book.limit_micro_per_kwh[rows], book.sequence[rows])]


class Assorted(NamedTuple):
    """The pairs of best with best.

    Args:
        trades: Best first, each at the limit of its offer.
        dual_price_micro_per_kwh: A price that supports them: the highest accepted offer or (partly) rejected bid.
    """

    trades: Trades
    dual_price_micro_per_kwh: int


def assortative(book: OrderBook, rules: MarketRules) -> Assorted | None:
    """Pair the best bid with the best offer as long as the bid is at least the offer; None where none is.

    Equal limits meet by arrival, then row of the book; those at the last limit are rationed. The trades have maximum
    welfare and, among those, the largest volume.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `rationing` and `seed`.
    """
    limit, energy, is_buy = book.limit_micro_per_kwh, book.energy_wh, book.side > 0
    live = energy > 0
    bids, asks = (live & is_buy).nonzero()[0], (live & ~is_buy).nonzero()[0]
    if not (len(bids) and len(asks)):
        return None
    best_bid, best_ask = limit[bids].max(), limit[asks].min()
    bids, asks = (
        best_bids(book, bids[limit[bids] >= best_ask]),
        best_asks(book, asks[limit[asks] <= best_bid]),
    )
    if not len(bids):
        return None
    bid_limit, ask_limit = limit[bids], limit[asks]
    bid_wh, ask_wh = energy[bids], energy[asks]
    bought, sold = np.cumsum(bid_wh), np.cumsum(ask_wh)

    def meets(i: int) -> bool:
        """Whether the first Wh of the i-th bid meets an offer that it can pay."""
        j = int(sold.searchsorted(bought[i - 1], "right")) if i else 0
        return j < len(asks) and bool(bid_limit[i] >= ask_limit[j])

    buyers = bisect_left(range(len(bids)), True, key=lambda i: not meets(i))
    reach = int(ask_limit.searchsorted(bid_limit[buyers - 1], "right"))  # offers that the last bid can pay
    traded_wh = min(int(bought[buyers - 1]), int(sold[reach - 1]))
    bid_wh, ask_wh = (
        Ranking(rows, limits, wanted_wh, ends).best(traded_wh, book.sequence, rules)
        for rows, limits, wanted_wh, ends in (
            (bids, bid_limit, bid_wh, bought),
            (asks, ask_limit, ask_wh, sold),
        )
    )
    buy, sell, energy_wh = side_by_side(bid_wh, ask_wh)
    price = ask_limit[sell]
    unserved = int(bought.searchsorted(traded_wh, "right"))
    rejected = bid_limit[unserved : unserved + 1].max(initial=ask_limit[len(ask_wh) - 1])
    return Assorted(Trades(bids[buy], asks[sell], energy_wh, price), int(rejected))


PACKED_BITS = 63

UNIT = Parameter(
    name="unit_kwh",
    field="unit_wh",
    kind="energy",
    default=1_000,
    in_run=1,
    summary="Size of the unit orders that an order is split into; the remainder does not trade.",
)


class Ranking(NamedTuple):
    """The orders of one side with at least one unit, the best first; ties by arrival, then by row.

    Args:
        rows: Rows of the book.
        limit: Limits, or what else orders them. [micro-currency/kWh]
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

    def limit_of(self, unit: int) -> int | None:
        """Limit of the unit-th best unit, counted from 1, or None where there is none. [micro/kWh]"""
        if not 0 < unit <= self.total:
            return None
        return int(self.limit[self.ends.searchsorted(unit)])

    def best(self, count: int, sequence: IntArray, rules: MarketRules) -> IntArray:
        """Units among the `count` best of the side, of each entry down to the last; the last limit is rationed.

        Args:
            count: From 0 to the total.
            sequence: Order of arrival, by row of the book.
            rules: Uses `rationing` and `seed`.
        """
        if not count:
            return self.units[:0]
        last = int(self.ends.searchsorted(count))
        units = self.units[: last + 1].copy()
        units[-1] -= int(self.ends[last]) - count
        if rules.rationing == "time":
            return units
        equal = np.flatnonzero(self.limit == self.limit[last])
        first, end = int(equal[0]), int(equal[-1]) + 1
        if end == first + 1 or self.ends[end - 1] == count:
            return units
        before = int(self.ends[first - 1]) if first else 0
        by_row = first + np.argsort(self.rows[first:end])
        shared = self.units[:end].copy()
        shared[by_row] = ration(self.units[by_row], count - before, sequence[self.rows[by_row]], rules)
        return shared


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
    book: OrderBook, accepted_wh: IntArray, buyer_price: int, seller_price: int, details: Mapping[str, Any]
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
