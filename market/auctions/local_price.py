"""What mechanisms with one local price have in common, for order books and for metered quantities.

All of them set one local price for the energy that members share, min(supply, demand). What one side has too much is
settled with the retailer, and each side splits its bill evenly: so the prices that members see are blends of the
local price with the import price or the feed-in price.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from market.auctions.rationing import ration
from market.book import OrderBook
from market.clearing import Clearing, PriceInterval, no_trade
from market.errors import InvalidRules
from market.parameters import FEED_IN, RETAIL
from market.rules import MarketRules
from market.units import BoolArray, IntArray, rounded_shares

IN_PROPORTION = MarketRules()
"""Sharing is in proportion by definition: all that one side takes or gives has one price."""


class Shared(NamedTuple):
    """The prices of metered quantities.

    Args:
        buy_price: What a kWh of demand costs on average; None where there is no demand. [micro-currency/kWh]
        sell_price: What a kWh of supply brings on average; None where there is no supply. [micro-currency/kWh]
        demand_nano: The bill of all demand together. [nano]
        supply_nano: The revenue of all supply together. [nano]
        retailer_nano: What the retailer gets less what it pays; demand_nano - supply_nano, exactly. [nano]
    """

    buy_price: Fraction | None
    sell_price: Fraction | None
    demand_nano: int
    supply_nano: int
    retailer_nano: int


def half_up(value: Fraction) -> int:
    """Round to the nearest whole number, halves upwards."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def outside_prices(rules: MarketRules, mechanism: str) -> tuple[int, int]:
    """Return the import price and the feed-in price. [micro-currency/kWh]

    Raises:
        InvalidRules: One of them is not given.
    """
    retail, feed_in = RETAIL.of(rules), FEED_IN.of(rules)
    if retail is None or feed_in is None:
        raise InvalidRules(
            f"{mechanism} needs both {RETAIL.name} and {FEED_IN.name}; give the outside prices"
        )
    return retail, feed_in


def trade_at(
    book: OrderBook, price: int, takes_part: BoolArray, rules: MarketRules = IN_PROPORTION
) -> Clearing:
    """Trade at one price among the orders that take part, the long side rationed.

    An odd Wh that equal remainders leave goes by arrival.

    Args:
        book: Orders of one interval. Not changed.
        price: [micro-currency/kWh]
        takes_part: Per order.
        rules: Uses `rationing` and `seed`; in proportion to the energy ordered when left out.
    """
    accepted_wh = book.energy_wh * takes_part
    bought = accepted_wh * (book.side > 0)
    sold = accepted_wh - bought
    demand, supply = int(bought.sum()), int(sold.sum())
    volume = min(demand, supply)
    if not volume:
        return no_trade(book)
    if demand > supply:
        accepted_wh = _rationed(bought, volume, book, rules) + sold
    elif supply > demand:
        accepted_wh = bought + _rationed(sold, volume, book, rules)
    prices = np.full(len(book), price, dtype=np.int64)
    for column in (accepted_wh, prices):
        column.flags.writeable = False
    welfare_nano = int((book.side * accepted_wh * book.limit_micro_per_kwh).sum())
    return Clearing(accepted_wh, prices, (PriceInterval(price, price, price),), 0, welfare_nano)


def _rationed(energy_wh: IntArray, volume_wh: int, book: OrderBook, rules: MarketRules) -> IntArray:
    rows = energy_wh.nonzero()[0]
    share = np.zeros_like(energy_wh)
    share[rows] = ration(energy_wh[rows], volume_wh, book.sequence[rows], rules)
    return share


def suits(book: OrderBook, price: int) -> BoolArray:
    """Per order, whether it would trade at a price. [micro-currency/kWh]"""
    return (book.limit_micro_per_kwh - price) * book.side >= 0


def share_at(
    local_price: Fraction | None, supply_wh: int, demand_wh: int, retail: int, feed_in: int
) -> Shared:
    """Settle metered quantities: the shared energy at the local price, the rest with the retailer.

    A side without energy has no price. The bill of the shared energy is rounded once, half up to a whole nano.

    Args:
        local_price: None where nothing is shared, so that all is settled with the retailer. [micro-currency/kWh]
        supply_wh: Metered feed-in of all members, at least 0. [Wh]
        demand_wh: Metered draw of all members, at least 0. [Wh]
        retail: [micro-currency/kWh]
        feed_in: [micro-currency/kWh]
    """
    shared_wh = 0 if local_price is None else min(supply_wh, demand_wh)
    bill = (local_price or Fraction(0)) * shared_wh
    bought, sold = retail * (demand_wh - shared_wh), feed_in * (supply_wh - shared_wh)
    bill_nano = half_up(bill)
    return Shared(
        (bill + bought) / demand_wh if demand_wh else None,
        (bill + sold) / supply_wh if supply_wh else None,
        bill_nano + bought,
        bill_nano + sold,
        bought - sold,
    )


def together(intervals: Sequence[tuple[int, int, Shared]]) -> Shared:
    """One bill of several intervals: amounts add up, prices are averages by energy, and nothing is netted across.

    Args:
        intervals: Supply, demand and what they were settled at, of each. [Wh]
    """
    supplies, demands = [supply for supply, _, _ in intervals], [demand for _, demand, _ in intervals]
    shared = [one for _, _, one in intervals]

    def average(prices: Sequence[Fraction | None], energy_wh: Sequence[int]) -> Fraction | None:
        total = sum(
            (wh * price for wh, price in zip(energy_wh, prices, strict=True) if price is not None),
            Fraction(0),
        )
        return total / sum(energy_wh) if any(energy_wh) else None

    return Shared(
        average([one.buy_price for one in shared], demands),
        average([one.sell_price for one in shared], supplies),
        sum(one.demand_nano for one in shared),
        sum(one.supply_nano for one in shared),
        sum(one.retailer_nano for one in shared),
    )


def split_nano(total_nano: int, weights: Sequence[int]) -> list[int]:
    """Split an amount in proportion to weights, in whole nano that add up exactly, by largest remainder.

    Where remainders tie the earlier one gets the unit. The weights are at least 0; if all are 0 so are the parts.
    """
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    shares: list[int] = rounded_shares([total_nano * weight for weight in weights], whole).tolist()
    return shares
