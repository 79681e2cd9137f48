"""No local market: every home buys from and sells to its retailer. The baseline of every comparison."""

from __future__ import annotations

from market.book import OrderBook
from market.clearing import Clearing, no_trade
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.rules import MarketRules


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Accept nothing, whatever is ordered."""
    return no_trade(book)


RETAILER_ONLY = MECHANISMS.register(
    Mechanism(
        "retailer_only",
        clear,
        Promises(
            source="no trade between members: imports at the tariff, exports at the feed-in price",
            truthful=True,
            local_market=False,
        ),
        (),
        inputs="metered",
    )
)
