"""Limits that run over the rounds of a market from the far end of the outside prices to the home's own."""

from __future__ import annotations

from agents.bidding import STRATEGIES, Orders, Strategy, View, one_order_a_home
from agents.state import State


def bid(state: State, view: View) -> Orders:
    """Begin where a trade would gain most, and end at what energy is worth, in equal steps towards gate closure.

    A buyer begins at the feed-in price and ends at the outside price, a seller the other way round.

    Source: the default strategies of the Grid Singularity exchange (gsy-e), which change their rate between an initial
    and a final one while a market is open.
    """
    buy, sell = view.worth
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    last = max(view.rounds - 1, 1)
    to_go = last - min(view.round, last)
    return one_order_a_home(
        view.net_wh, buy - (buy - low) * to_go // last, sell + (high - sell) * to_go // last
    )


LINEAR_RAMP = STRATEGIES.register(
    Strategy(
        "linear_ramp",
        bid,
        "expected energy at a limit that runs from the far end to its own over the rounds of a market",
        identical_limits=True,
        needs_rounds=True,
        by_worth=True,
    ),
    contract=2,
)
