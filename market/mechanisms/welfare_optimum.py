"""The largest welfare at stated limits, with a certificate: the upper bound of every comparison."""

from __future__ import annotations

from dataclasses import replace

from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import MARGIN
from market.rules import MarketRules
from market.units import PPM


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Accept the allocation of maximum welfare and volume, at the middle of its price interval.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `rationing` and `seed`: the other mechanisms of a comparison are rationed in the same way.
    """
    return clear_exact(book, replace(rules, k_ppm=PPM // 2))


WELFARE_OPTIMUM = MECHANISMS.register(
    Mechanism(
        "welfare_optimum",
        clear,
        Promises(
            source="maximum of sum(side x limit x accepted) over balanced allocations, by linear programming duality",
            uniform_price=True,
            efficient=True,
        ),
        (MARGIN,),
    )
)
