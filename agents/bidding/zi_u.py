"""Zero intelligence, unconstrained: a random limit that may lose money; a study of what a market does by itself."""

from __future__ import annotations

import numpy as np

from agents.bidding import STRATEGIES, Orders, Strategy, View, one_order_a_home
from agents.state import State
from market.random import whole_between


def bid(state: State, view: View) -> Orders:
    """Order the expected energy at a limit drawn evenly from a range twice as wide as that between the outside prices.

    Buyers and sellers draw from the same range, so that half of the limits are worse than the outside prices: where
    all trade in the end, the gain is what all values less all costs come to.

    Source: Gode, Sunder, Journal of Political Economy 101 (1993), 119-137, section II.
    """
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    more, ends = max(high - low, 0) // 2, np.zeros(len(view.homes), dtype=np.int64)
    limit = whole_between(view.words, ends + low - more, ends + max(high, low) + more)
    return one_order_a_home(view.net_wh, limit, limit)


ZI_U = STRATEGIES.register(
    Strategy(
        "zi_u", bid, "a study: expected energy at a random limit, which may be worse than the outside prices"
    ),
    contract=2,
)
