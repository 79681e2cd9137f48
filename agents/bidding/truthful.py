"""Bid the expected energy at the price of the outside option: the reference against which regret is measured."""

from __future__ import annotations

from agents.bidding import STRATEGIES, Orders, Strategy, View, one_order_a_home, outside_limits
from agents.state import State


def bid(state: State, view: View) -> Orders:
    """Buy an expected deficit up to the outside price, sell an expected surplus from the feed-in price.

    The outside price of a buyer is the import price plus the remote grid fee less the local one, so that energy
    from a neighbour, fee included, never costs more than energy from the retailer. A home with a preference has the
    worth that it states in its place.
    """
    return one_order_a_home(view.net_wh, *view.worth)


TRUTHFUL = STRATEGIES.register(
    Strategy(
        "truthful",
        bid,
        "expected energy, buying up to the outside price, selling from the feed-in price",
        identical_limits=True,
        limits=outside_limits,
        by_worth=True,
    ),
    contract=2,
)
