"""Two-sided pay-as-bid as Grid Singularity's exchange does it: highest-priced offer first, every trade at the bid.

A mode for comparisons: it leaves welfare on the table. `pay_as_bid` with price_rule "bid" does not.
"""

from __future__ import annotations

from market.auctions.highest_bid_first import match_highest_first
from market.book import OrderBook
from market.clearing import Clearing, no_trade, of_trades
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.rules import MarketRules


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Match the highest-priced offers and bids first, equal limits in reverse order of arrival, own orders skipped.

    Args:
        book: Orders of one interval. Not changed.
        rules: Not used.
    """
    trades = match_highest_first(book)
    return of_trades(book, trades) if len(trades.energy_wh) else no_trade(book)


GSY_PAY_AS_BID = MECHANISMS.register(
    Mechanism(
        "gsy_pay_as_bid",
        clear,
        Promises(source="behaviour of the two-sided pay-as-bid market of gsy-e", listed_by_arrival=True),
        (),
    )
)
