"""One order a price level, each for what a home still wants at that price: quantities tied to prices."""

from __future__ import annotations

from typing import Final

import numpy as np

from agents.bidding import STRATEGIES, Orders, Strategy, View, one_order_a_home, outside_limits
from agents.state import State
from market.units import PPM

STEPS: Final = 8
"""Steps from the feed-in price to the outside price; the price levels between its two ends are one fewer."""
LEVELS_PPM: Final = tuple(PPM * level // STEPS for level in range(1, STEPS))


def bid(state: State, view: View) -> Orders:
    """Order, at each price level, the quantile of the home's own net energy at which it pays just then.

    At a price p between the feed-in price f and the outside price r, a Wh more ordered gains r - p if it is used and
    loses p - f if not, so a home wants the quantile (r - p) / (r - f) of its net energy. It stays on the side of its
    forecast and orders no more than that. At the two ends a trade gains nothing, so nothing is ordered there. A home
    without quantiles places one order of its whole forecast at the outside price or the feed-in price, as all do
    where fees leave no room for the price levels.

    Source: the newsvendor; Pinson, Chevallier, Kariniotakis, IEEE Transactions on Power Systems 22 (2007), 1148-1156.
    """
    cap, floor = view.prices.buy_cap_micro_per_kwh, view.prices.feed_in_micro_per_kwh
    if view.quantiles_wh is None or view.has_quantiles is None or cap - floor < STEPS:
        return one_order_a_home(view.net_wh, cap, floor)
    buys = view.net_wh > 0
    # Column j: what the home wants in its own direction at the j-th price level below (buys) or above (sells) its end.
    wanted_wh = np.where(buys[:, None], view.quantiles_wh.T, -view.quantiles_wh.T[:, ::-1])
    wanted_wh = np.clip(wanted_wh, 0, np.abs(view.net_wh)[:, None])
    energy_wh = np.diff(wanted_wh, axis=1, prepend=0)
    price = floor + (cap - floor) * np.arange(1, STEPS) // STEPS
    limit = np.where(buys[:, None], price[::-1], price)
    whole = ~view.has_quantiles
    energy_wh[whole] = 0
    energy_wh[whole, 0] = np.abs(view.net_wh)[whole]
    limit[whole, 0] = np.where(buys, cap, floor)[whole]
    home, level = np.nonzero(energy_wh)
    return Orders(
        home=home,
        side=np.where(buys[home], 1, -1).astype(np.int8),
        energy_wh=energy_wh[home, level],
        limit_micro_per_kwh=limit[home, level],
    )


STAIRCASE = STRATEGIES.register(
    Strategy(
        "staircase",
        bid,
        "at each price the quantile of the expected energy that pays there, at most its mean",
        several_orders=True,
        quantiles_ppm=LEVELS_PPM,
        limits=outside_limits,
    ),
    contract=2,
)
