"""Neighbours share what they meter at the middle of the outside prices."""

from fractions import Fraction

from market.auctions.local_price import outside_prices, share_at, suits, trade_at
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import FEED_IN, RETAIL


def share(supply_wh, demand_wh, retail, feed_in):
    """Settle the metered quantities of an interval. [Wh, micro-currency/kWh]"""
    return share_at(Fraction(retail + feed_in, 2), supply_wh, demand_wh, retail, feed_in)


def clear(book, rules):
    """Trade the orders of an interval at that price."""
    price = sum(outside_prices(rules, "half_way")) // 2
    return trade_at(book, price, suits(book, price))


MECHANISMS.register(
    Mechanism(
        "half_way",
        clear,
        Promises(source="an example", uniform_price=True),
        (RETAIL, FEED_IN),
        inputs="metered",
        share=share,
    )
)
