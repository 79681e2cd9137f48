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

    With lb the import price and ls the feed-in price plus compensation: lb ls / ((lb - ls) r + ls) for r < 1, else ls.

    Returns:
        None where the formula names no price: without energy, without supply when ls is 0 (0/0), and where an outside
        price is below 0 (between r = 0 and 1 it has a pole then). All energy is then settled with the retailer.

    Source: Liu, Yu, Wang, Li, Ma, Lei, IEEE Transactions on Power Systems 32 (2017), 3569-3583.
    """
    floor = feed_in + compensation
    if retail < 0 or floor < 0:
        return None
    if supply_wh >= demand_wh:
        return Fraction(floor) if supply_wh else None
    below = retail * supply_wh + floor * (demand_wh - supply_wh)
    if below:
        return Fraction(retail * floor * demand_wh, below)
    return Fraction(0) if supply_wh else None  # both prices are 0, or 0/0


def share(supply_wh: int, demand_wh: int, retail: int, feed_in: int, compensation: int = 0) -> Shared:
    """Settle metered quantities at the local price, not rounded. [Wh, micro-currency/kWh]

    Raises:
        InvalidRules: There is energy to share and an outside price below 0.
    """
    price = local_price(supply_wh, demand_wh, retail, feed_in, compensation)
    if price is None and supply_wh and demand_wh:
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
        InvalidRules: An outside price is not given.
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
