"""Zero intelligence, constrained: a random limit that never loses money, the benchmark of all bidding strategies."""

from __future__ import annotations

import numpy as np

from agents.bidding import STRATEGIES, Limits, Orders, Strategy, View, one_order_a_home, outside_limits
from agents.state import State
from market.random import whole_between


def bid(state: State, view: View) -> Orders:
    """Order the expected energy at a limit drawn evenly between the feed-in price and the outside price.

    A buyer draws between the lowest sensible price and its own limit, a seller between its own limit and the highest
    sensible price, so that neither can lose. Where grid fees close the gap, both bid their limits.

    Source: Gode, Sunder, Journal of Political Economy 101 (1993), 119-137, section II.
    """
    return one_order_a_home(view.net_wh, *limits(state, view))


def limits(state: State, view: View) -> Limits:
    """One draw for both sides."""
    cap, floor = outside_limits(state, view)
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    if high <= low:
        return cap, floor
    return (
        whole_between(view.words, np.minimum(low, cap), cap),
        whole_between(view.words, floor, np.maximum(high, floor)),
    )


ZI_C = STRATEGIES.register(
    Strategy(
        "zi_c",
        bid,
        "expected energy at a limit drawn at random between feed-in and outside price",
        limits=limits,
        by_worth=True,
    ),
    contract=2,
)
