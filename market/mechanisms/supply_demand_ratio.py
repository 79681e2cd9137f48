"""Supply-demand ratio: the local price falls from the import price to the feed-in price as supply meets demand."""

from __future__ import annotations

from fractions import Fraction

from market.auctions.local_price import Shared, half_up, outside_prices, share_at, suits, trade_at
from market.book import OrderBook
from market.clearing import Clearing, no_trade
from market.errors import InvalidRules
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import FEED_IN, RETAIL, Parameter
from market.rules import MarketRules
from market.units import MICRO_PER_UNIT

COMPENSATION = Parameter(
    name="compensation",
    field="compensation_micro_per_kwh",
    kind="price",
    default=0,
    summary="What a shared kWh brings above the feed-in price where supply is plenty.",
)


def local_price(
    supply_wh: int, demand_wh: int, retail: int, feed_in: int, compensation: int = 0
) -> Fraction | None:
    """Price of the shared energy at r = supply / demand. [Wh, micro-currency/kWh]

    With lb the import price and ls the feed-in price plus compensation, but at most lb:
    lb ls / ((lb - ls) r + ls) for r < 1, else ls.

    Returns:
        None where there is no price between feed-in and import price: without supply or demand, where the feed-in price
        is above the import price, and where lb or ls is below 0 (between r = 0 and 1 the formula has a pole then). All
        energy is then settled with the retailer.

    Raises:
        InvalidRules: The compensation is below 0, so that sharing would bring less than the feed-in price.

    Source: Liu, Yu, Wang, Li, Ma, Lei, IEEE Transactions on Power Systems 32 (2017), 3569-3583.
    """
    if compensation < 0:
        raise InvalidRules(f"compensation is {compensation / MICRO_PER_UNIT:g}; it must be 0 or more")
    floor = min(feed_in + compensation, retail)
    if not (supply_wh and demand_wh) or floor < 0 or feed_in > retail:
        return None
    if supply_wh >= demand_wh:
        return Fraction(floor)
    below = retail * supply_wh + floor * (demand_wh - supply_wh)
    return Fraction(retail * floor * demand_wh, below) if below else Fraction(0)  # both prices are 0


def share(supply_wh: int, demand_wh: int, retail: int, feed_in: int, compensation: int = 0) -> Shared:
    """Settle metered quantities at the local price, not rounded. [Wh, micro-currency/kWh]

    Raises:
        InvalidRules: There is energy to share and an outside price below 0, or the compensation is.
    """
    price = local_price(supply_wh, demand_wh, retail, feed_in, compensation)
    if supply_wh and demand_wh and min(retail, feed_in + compensation) < 0:
        raise InvalidRules(
            "supply_demand_ratio names no price where an outside price is below 0: the import price, or the feed-in"
            " price with its compensation"
        )
    return share_at(price, supply_wh, demand_wh, retail, feed_in)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Trade at the local price of all energy ordered, rounded half up; orders whom it does not suit stay out.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses the import price, the feed-in price and the parameter `compensation`.

    Raises:
        InvalidRules: An outside price is not given, or the compensation is below 0.
    """
    retail, feed_in = outside_prices(rules, "supply_demand_ratio")
    total_wh = int(book.energy_wh.sum())
    demand_wh = int((book.energy_wh * (book.side > 0)).sum())
    exact = local_price(total_wh - demand_wh, demand_wh, retail, feed_in, COMPENSATION.of(rules))
    if exact is None:
        return no_trade(book)
    price = half_up(exact)
    return trade_at(book, price, suits(book, price))


SUPPLY_DEMAND_RATIO = MECHANISMS.register(
    Mechanism(
        "supply_demand_ratio",
        clear,
        Promises(
            source="SDR: Liu, Yu, Wang, Li, Ma, Lei, IEEE Transactions on Power Systems 32 (2017), 3569-3583",
            uniform_price=True,
            truthful=True,
            truthful_for="single_orders",
        ),
        (RETAIL, FEED_IN, COMPENSATION),
        inputs="metered",
        share=share,
    )
)
