"""Every home bids in the middle of the outside prices."""

from agents.bidding import STRATEGIES, Strategy, one_order_a_home


def bid(state, view):
    """Order the net energy of each home at one limit."""
    prices = view.prices
    middle = (prices.buy_cap_micro_per_kwh + prices.feed_in_micro_per_kwh) // 2
    return one_order_a_home(view.net_wh, middle, middle)


STRATEGIES.register(Strategy("halves", bid, "the middle of the outside prices"), contract=2)
