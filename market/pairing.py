"""Fast building blocks of rules that make pairs: sorting orders by several keys, and laying energies side by side."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from market.book import OrderBook
from market.clearing import Trades
from market.units import IntArray

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


def side_by_side(left_wh: IntArray, right_wh: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Lay two rows of energies beside each other; every stretch between two ends is one piece of both.

    Args:
        left_wh: At least 0, shape (n,). [Wh]
        right_wh: At least 0, shape (m,). [Wh]

    Returns:
        Index into `left_wh`, index into `right_wh` and energy above 0 of every stretch, up to the shorter total.
    """
    ends = np.empty(len(left_wh) + len(right_wh), dtype=np.int64)
    left_ends, right_ends = ends[: len(left_wh)], ends[len(left_wh) :]
    np.cumsum(left_wh, out=left_ends)
    np.cumsum(right_wh, out=right_ends)
    ends <<= 1
    right_ends |= 1
    ends.sort(kind="stable")  # two sorted runs: this only merges them
    is_right = ends & 1
    ends >>= 1
    right = np.cumsum(is_right) - is_right  # ends of the right row before this stretch
    left = np.arange(len(ends)) - right
    count = min(int(left.searchsorted(len(left_wh))), int(right.searchsorted(len(right_wh))))
    left, right, energy_wh = left[:count], right[:count], ends[:count].copy()
    energy_wh[1:] -= ends[:count][:-1]
    real = (energy_wh > 0).nonzero()[0]  # of a column of truths it takes a quarter of the time
    if len(real) == count:
        return left, right, energy_wh
    return left[real], right[real], energy_wh[real]


class Assorted(NamedTuple):
    """The pairs of best with best.

    Args:
        trades: Best first, each at the limit of its offer.
        dual_price_micro_per_kwh: A price that supports them: the highest accepted offer or (partly) rejected bid.
    """

    trades: Trades
    dual_price_micro_per_kwh: int


def assortative(book: OrderBook) -> Assorted | None:
    """Pair the best bid with the best offer as long as the bid is at least the offer; None where none is.

    Ties go by arrival, then row of the book. The trades have maximum welfare and, among those, the largest volume.
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
    bought, sold = np.cumsum(energy[bids]), np.cumsum(energy[asks])

    def meets(i: int) -> bool:
        """Whether the first Wh of the i-th bid meets an offer that it can pay."""
        j = int(sold.searchsorted(bought[i - 1], "right")) if i else 0
        return j < len(asks) and bool(bid_limit[i] >= ask_limit[j])

    buyers = bisect_left(range(len(bids)), True, key=lambda i: not meets(i))
    sellers = int(sold.searchsorted(bought[buyers - 1])) + 1
    buy, sell, energy_wh = side_by_side(energy[bids[:buyers]], energy[asks[:sellers]])
    price = ask_limit[sell]
    count = int(np.count_nonzero(bid_limit[buy] >= price))  # all but the rest of the last bid
    buy, sell, energy_wh, price = buy[:count], sell[:count], energy_wh[:count], price[:count]
    unserved = int(bought.searchsorted(energy_wh.sum(), "right"))
    rejected = bid_limit[unserved : unserved + 1].max(initial=price[-1])
    return Assorted(Trades(bids[buy], asks[sell], energy_wh, price), int(rejected))
