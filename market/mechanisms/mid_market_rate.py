"""Mid-market rate: energy shared between members costs the middle of the import price and the feed-in price."""

from __future__ import annotations

from fractions import Fraction

from market.auctions.local_price import Shared, half_up, outside_prices, share_at, suits, trade_at
from market.book import OrderBook
from market.clearing import Clearing, no_trade
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import FEED_IN, RETAIL
from market.rules import MarketRules


def local_price(retail: int, feed_in: int) -> Fraction | None:
    """Price of the shared energy, not rounded; None where the retailer pays more for a kWh than it takes for one.

    Sharing would then cost both sides, and all energy is settled with the retailer. [micro-currency/kWh]
    """
    return Fraction(retail + feed_in, 2) if feed_in <= retail else None


def share(supply_wh: int, demand_wh: int, retail: int, feed_in: int) -> Shared:
    """Settle metered quantities at the middle (retail + feed_in) / 2. [Wh, micro-currency/kWh]"""
    return share_at(local_price(retail, feed_in), supply_wh, demand_wh, retail, feed_in)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Trade at the middle, rounded half up; orders whose limit does not suit it stay out.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses the import price and the feed-in price.

    Raises:
        InvalidRules: One of the outside prices is not given.
    """
    exact = local_price(*outside_prices(rules, "mid_market_rate"))
    if exact is None:
        return no_trade(book)
    price = half_up(exact)
    return trade_at(book, price, suits(book, price))


MID_MARKET_RATE = MECHANISMS.register(
    Mechanism(
        "mid_market_rate",
        clear,
        Promises(
            source="MMR: Long, Wu, Zhang, Thomas, Cheng, Jenkins, IEEE PES General Meeting 2017",
            uniform_price=True,
            truthful=True,
            truthful_for="single_orders",
        ),
        (RETAIL, FEED_IN),
        inputs="metered",
        share=share,
    )
)
