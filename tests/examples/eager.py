"""Homes ask for a profit, and for less of it after an order that was not filled."""

from agents.bidding import STRATEGIES, Strategy, one_order_a_home


def start(homes, rules):
    """Every home begins with a share of 30 percent."""
    return {"percent": 0 * homes + 30}


def bid(state, view):
    """Keep that share of the distance between the outside prices."""
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    kept = (high - low) * state["percent"] // 100
    return one_order_a_home(view.net_wh, high - kept, low + kept)


def learn(state, outcome):
    """Ask for one percent less where an order was not filled."""
    percent = state["percent"].copy()
    unfilled = outcome.orders.home[outcome.accepted_wh < outcome.orders.energy_wh]
    percent[unfilled] = (percent[unfilled] - 1).clip(0)
    return {"percent": percent}


EAGER = Strategy("eager", bid, "asks for less and less", start=start, learn=learn)
STRATEGIES.register(EAGER, contract=2)
