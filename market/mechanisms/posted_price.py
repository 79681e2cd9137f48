"""A posted price: all orders that accept it trade at it, up to the energy of the other side."""

from __future__ import annotations

from fractions import Fraction

from market.auctions.local_price import half_up, suits, trade_at
from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InvalidRules
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import FEED_IN, MARGIN, RETAIL, Parameter
from market.rules import MarketRules

PRICE = Parameter(
    name="price",
    field="price_micro_per_kwh",
    kind="price",
    default=None,
    summary="The price; the middle of import price and feed-in price where none is given.",
)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Trade among the orders that accept the price, the long side rationed.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `rationing`, `seed` and the parameter `price`, else the import price and the feed-in price.

    Raises:
        InvalidRules: Neither a price nor both outside prices are given.
    """
    price = PRICE.of(rules)
    if price is None:
        retail, feed_in = RETAIL.of(rules), FEED_IN.of(rules)
        if retail is None or feed_in is None:
            raise InvalidRules(
                "posted_price has no price; give price, or retail_price and feed_in_tariff for the middle of both"
            )
        price = half_up(Fraction(retail + feed_in, 2))
    return trade_at(book, price, suits(book, price), rules)


POSTED_PRICE = MECHANISMS.register(
    Mechanism(
        "posted_price",
        clear,
        Promises(
            source="a fixed price set before any order is seen, the long side rationed",
            uniform_price=True,
            truthful=True,
            truthful_for="single_orders",
        ),
        (PRICE, RETAIL, FEED_IN, MARGIN),
    )
)
