"""Two-sided pay-as-clear as Grid Singularity's exchange does it: the first bid level that supply covers sets the price.

A mode for comparisons: its price is always a bid, and it leaves welfare on the table. `uniform_price` does not.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from market.auctions.highest_bid_first import highest_limit_first
from market.auctions.merit_order import best_asks
from market.book import OrderBook
from market.clearing import Clearing, PriceInterval, Trades, no_trade, of_trades
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.rules import MarketRules
from market.units import side_by_side


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Find the level, then serve the highest-priced bids from the lowest-priced offers up to the energy of that level.

    With D(p) the energy of bids at p or more and S(p) that of offers at p or less, the level is the lowest bid p with
    S(p) >= D(p), and D(p) trades. Where no bid is covered it is the highest bid p, and S(p) trades. Bids of the same
    limit are served in reverse order of arrival, offers in order of arrival; own orders are not skipped.

    Args:
        book: Orders of one interval. Not changed.
        rules: Not used.
    """
    limit, energy = book.limit_micro_per_kwh, book.energy_wh
    bids = highest_limit_first(book, 1)
    asks = best_asks(book, ((book.side < 0) & (energy > 0)).nonzero()[0])
    if not (len(bids) and len(asks)) or limit[bids[0]] < limit[asks[0]]:
        return no_trade(book)
    bid_limit, ask_limit = limit[bids], limit[asks]
    demand, supply = np.cumsum(energy[bids]), np.cumsum(energy[asks])

    def reach(bid: int) -> int:
        """Energy offered at the limit of a bid or below."""
        within = int(ask_limit.searchsorted(bid_limit[bid], "right"))
        return int(supply[within - 1]) if within else 0

    # Down the bids demand grows and supply shrinks, so all levels above that of the first uncovered bid are covered.
    uncovered = bisect_left(range(len(bids)), True, key=lambda bid: reach(bid) < demand[bid])
    count = len(bids)
    if uncovered < count:
        above = np.count_nonzero(bid_limit > bid_limit[uncovered])
        count = int(
            above or np.count_nonzero(bid_limit == bid_limit[0])
        )  # none is covered: the highest level
    price, volume = int(bid_limit[count - 1]), min(int(demand[count - 1]), reach(count - 1))
    buyers, sellers = int(demand.searchsorted(volume)) + 1, int(supply.searchsorted(volume)) + 1
    taken_wh = energy[bids[:buyers]]
    taken_wh[-1] -= demand[buyers - 1] - volume
    buy, sell, energy_wh = side_by_side(taken_wh, energy[asks[:sellers]])
    trades = Trades(bids[buy], asks[sell], energy_wh, np.full(len(buy), price, dtype=np.int64))
    return of_trades(book, trades, (PriceInterval(price, price, price),))


GSY_PAY_AS_CLEAR = MECHANISMS.register(
    Mechanism(
        "gsy_pay_as_clear",
        clear,
        Promises(
            source="behaviour of the two-sided pay-as-clear market of gsy-e",
            uniform_price=True,
            listed_by_arrival=True,
        ),
        (),
    )
)
