"""Bill sharing: members share energy for nothing and split the retailer's two bills by what they drew and fed in."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from market.auctions.local_price import Shared, outside_prices, share_at, trade_at
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import FEED_IN, RETAIL, Parameter
from market.rules import MarketRules

HORIZON = Parameter(
    name="horizon",
    field="horizon",
    kind="choice",
    default="interval",
    summary="Whether the retailer's bills are split interval by interval, or the sums of all intervals once.",
    choices=("interval", "sum"),
    case_only=True,
)


def share(supply_wh: int, demand_wh: int, retail: int, feed_in: int) -> Shared:
    """Settle the metered quantities of one interval. [Wh, micro-currency/kWh]"""
    return share_at(Fraction(0), supply_wh, demand_wh, retail, feed_in)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Share all energy ordered at a price of 0; sharing is compulsory, so limits are ignored.

    Args:
        book: Orders of one interval. Not changed.
        rules: Must hold the outside prices, at which the rest is settled.

    Raises:
        InvalidRules: One of the outside prices is not given.
    """
    outside_prices(rules, "bill_sharing")
    return trade_at(book, 0, np.ones(len(book), dtype=np.bool_))


BILL_SHARING = MECHANISMS.register(
    Mechanism(
        "bill_sharing",
        clear,
        Promises(
            source="BS, limits are ignored: "
            "Long, Wu, Zhang, Thomas, Cheng, Jenkins, IEEE PES General Meeting 2017",
            uniform_price=True,
            individually_rational=False,
            no_worse_than_retailer=False,
            truthful=True,
        ),
        (RETAIL, FEED_IN, HORIZON),
        inputs="metered",
        share=share,
    )
)
