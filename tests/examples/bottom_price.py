"""A call auction at the lowest price that clears it."""

from dataclasses import replace

from market.auctions.uniform import clear_exact
from market.mechanism import MECHANISMS, Mechanism, Promises


def clear(book, rules):
    """Clear at the bottom of the price interval."""
    return clear_exact(book, replace(rules, k_ppm=0))


PROMISES = Promises(source="an example", uniform_price=True, efficient=True)
MECHANISMS.register(Mechanism("bottom_price", clear, PROMISES), contract=1)
