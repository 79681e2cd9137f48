"""Two-sided pay-as-clear as Grid Singularity's exchange does it: the first bid level that supply covers sets the price.

A mode for comparisons: its price is always a bid, and it leaves welfare on the table. `uniform_price` does not.
"""

from __future__ import annotations

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing, PriceInterval, Trades, no_trade, of_trades
from market.dearest_first import dearest_first
from market.mechanism import Mechanism, Promises, register
from market.pairing import best_asks, side_by_side
from market.rules import MarketRules


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Find the level, then serve the dearest bids from the cheapest offers up to the energy of that level.

    With D(p) the energy of bids at p or more and S(p) that of offers at p or less, the level is the lowest bid p with
    S(p) >= D(p), and D(p) trades. Where no bid is covered it is the highest bid p, and S(p) trades. Bids of the same
    limit are served in reverse order of arrival, offers in order of arrival; own orders are not passed over.

    Args:
        book: Orders of one interval. Not changed.
        rules: Not used.
    """
    limit, energy = book.limit_micro_per_kwh, book.energy_wh
    bids = dearest_first(book, 1)
    asks = best_asks(book, ((book.side < 0) & (energy > 0)).nonzero()[0])
    if not (len(bids) and len(asks)) or limit[bids[0]] < limit[asks[0]]:
        return no_trade(book)
    demand, supply = np.cumsum(energy[bids]), np.concatenate([[0], np.cumsum(energy[asks])])
    last = np.flatnonzero(np.diff(limit[bids], append=limit[bids[-1]] - 1))  # the last bid of each level
    reach = supply[np.searchsorted(limit[asks], limit[bids[last]], "right")]
    covered = int(np.count_nonzero(reach >= demand[last]))  # as p falls, demand grows and supply shrinks
    level = max(covered - 1, 0)
    price, volume = int(limit[bids[last[level]]]), int(min(demand[last[level]], reach[level]))
    first = int(demand.searchsorted(volume)) + 1
    taken_wh = energy[bids[:first]].copy()
    taken_wh[-1] -= int(demand[first - 1]) - volume
    buy, sell, energy_wh = side_by_side(taken_wh, energy[asks])
    trades = Trades(bids[buy], asks[sell], energy_wh, np.full(len(buy), price, dtype=np.int64))
    return of_trades(book, trades, (PriceInterval(price, price, price),))


GSY_PAY_AS_CLEAR = register(
    Mechanism(
        "gsy_pay_as_clear",
        clear,
        Promises(source="behaviour of the two-sided pay-as-clear market of gsy-e", uniform_price=True),
        (),
    )
)
