"""The example of PyMarket's documentation (pages MUDA and Huang): eleven orders, nothing drawn but the halves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import market.mechanisms  # noqa: F401  (registers them)
from benchmarks.replications.table import Replication
from market.auctions.uniform import clear_exact
from market.book import Order, OrderBook, Side
from market.mechanism import MECHANISMS
from market.rules import MarketRules

BIDS = (6.7, 6.6, 6.5, 6.4, 6.3, 6.0)
OFFERS = ((1, 1.0), (1, 2.0), (2, 3.0), (2, 4.0), (1, 6.1))
"""Units and limit; a bid is of one unit."""

HALVES = ((1, 3, 4, 7, 8, 9), (0, 2, 5, 6, 10))
"""As the documentation prints them."""


def book() -> OrderBook:
    """The orders in the documentation's numbering; one unit is 1 kWh."""
    sides = [(Side.BUY, 1, limit) for limit in BIDS] + [(Side.SELL, units, limit) for units, limit in OFFERS]
    return OrderBook.from_orders(
        Order(str(i), i, side, 1_000 * units, round(1_000_000 * limit), i)
        for i, (side, units, limit) in enumerate(sides)
    )


def results() -> Iterator[Replication]:
    """Traded share, share of the gain, fees, and what traders keep."""
    orders, rules = (
        book(),
        MarketRules(params={"partition": HALVES, "price_rule": "marginal_midpoint", "boundary": "weak"}),
    )
    best = clear_exact(orders, MarketRules())
    muda, huang = (
        MECHANISMS.get("muda_vickrey").clear(orders, rules),
        MECHANISMS.get("huang").clear(orders, MarketRules()),
    )
    kept = huang.welfare_nano - huang.operator_surplus_nano
    line = Replication(source="PyMarket", what="", published=0, ours=0, band=0.00005, digits=4)
    for what, published, ours in (
        ("muda vickrey, traded share", 0.6667, muda.traded_wh(orders) / best.traded_wh(orders)),
        ("muda vickrey, share of the gain", 0.7907, muda.welfare_nano / best.welfare_nano),
        ("muda vickrey, fees", 8.75, muda.operator_surplus_nano / 1e9),
        ("huang, traded share", 0.6667, huang.traded_wh(orders) / best.traded_wh(orders)),
        ("huang, traders' share of the gain", 0.4186, kept / best.welfare_nano),
    ):
        yield replace(line, what=what, published=published, ours=ours)
