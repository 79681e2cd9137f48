"""The largest welfare at stated limits, with a certificate: the upper bound of every comparison."""

from __future__ import annotations

from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.rules import MarketRules

MIDDLE = MarketRules()
"""The price in the middle of the price interval, the margin shared in proportion."""


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Accept the allocation of maximum welfare and volume, whatever the rules say.

    Args:
        book: Orders of one interval. Not changed.
        rules: Not used: a bound has no options.
    """
    return clear_exact(book, MIDDLE)


WELFARE_OPTIMUM = MECHANISMS.register(
    Mechanism(
        "welfare_optimum",
        clear,
        Promises(
            source="maximum of sum(side x limit x accepted) over balanced allocations, by linear programming duality",
            uniform_price=True,
            efficient=True,
        ),
        (),
    )
)
