"""One order a price level, each for what a home still wants at that price: quantities tied to prices."""

from __future__ import annotations

from typing import Final

import numpy as np

from agents.bidding import STRATEGIES, Orders, Strategy, View, one_order_a_home, outside_limits
from agents.response import Response
from agents.state import State
from market.units import PPM, Int8Array, IntArray

STEPS: Final = 8
"""Steps from the feed-in price to the outside price; the price levels between its two ends are one fewer."""
LEVELS_PPM: Final = tuple(PPM * level // STEPS for level in range(1, STEPS))


def bid(state: State, view: View) -> Orders:
    """Order by the response of homes whose controller has one, and by the quantiles of the others.

    Where fees leave no room for the price levels, all place one order of their whole plan.
    """
    cap, floor = view.prices.buy_cap_micro_per_kwh, view.prices.feed_in_micro_per_kwh
    if view.planned_at is None or cap - floor < STEPS:
        return by_quantiles(view)
    price = floor + (cap - floor) * np.arange(STEPS + 1) // STEPS
    response = view.planned_at(price)
    if not response.known.any():
        return by_quantiles(view)
    flexible, (home, level, side, energy_wh) = response.known, _steps(response)
    limit = price[level] + _preferred(view, home, level, side)
    others = by_quantiles(view)
    others = others.of_rows(~flexible[others.home])
    return Orders(
        home=np.concatenate((home, others.home)),
        side=np.concatenate((side, others.side)),
        energy_wh=np.concatenate((energy_wh, others.energy_wh)),
        limit_micro_per_kwh=np.concatenate((limit, others.limit_micro_per_kwh)),
    )


def _preferred(view: View, home: IntArray, level: IntArray, side: Int8Array) -> IntArray:
    """By how much the limits of some orders are beyond their price levels, for what their homes prefer.

    More is paid for what a home needs at any price, and less taken for what it would give at any: with more for the
    other levels, which serve its store, it would buy what it offers.
    """
    more = (view.worth[0] - view.prices.buy_cap_micro_per_kwh)[home]
    less = (view.worth[1] - view.prices.feed_in_micro_per_kwh)[home]
    bids = np.where(level == STEPS, more, np.minimum(more, 0))
    offers = np.where(level == 0, less, np.maximum(less, 0))
    beyond: IntArray = np.where(side > 0, bids, offers)
    return beyond


def _steps(response: Response) -> tuple[IntArray, IntArray, Int8Array, IntArray]:
    """Home, price level, side and energy of the orders that give each home what it wants at every price level.

    What a home takes even at the highest price it bids there, and at each lower one what it takes more; what it gives
    even at the lowest price it offers there, and at each higher one what it gives more. Its bids lie below its offers.
    """
    wanted_wh = np.minimum.accumulate(np.where(response.known, response.net_wh, 0), axis=0)
    bids = -np.diff(np.maximum(wanted_wh, 0), axis=0, append=0)
    offers = np.diff(np.maximum(-wanted_wh, 0), axis=0, prepend=0)
    bid_home, bid_level = np.nonzero(bids.T)
    offer_home, offer_level = np.nonzero(offers.T)
    side = np.repeat(np.array([1, -1], dtype=np.int8), (len(bid_home), len(offer_home)))
    energy_wh = np.concatenate((bids[bid_level, bid_home], offers[offer_level, offer_home]))
    home, level = np.concatenate((bid_home, offer_home)), np.concatenate((bid_level, offer_level))
    return home, level, side, energy_wh


def by_quantiles(view: View) -> Orders:
    """Order, at each price level, the quantile of the home's own net energy at which it pays just then.

    At a price p between the feed-in price f and the outside price r, or what a home prefers to them, a Wh more ordered
    gains r - p if it is used and loses p - f if not, so a home wants the quantile (r - p) / (r - f) of its net energy.
    It stays on the side of its forecast and orders no more than that. At the two ends a trade gains nothing, so nothing
    is ordered there. A home without quantiles places one order of its whole forecast at the outside price or the
    feed-in price, as one does whose fees leave no room for the price levels.

    Source: the newsvendor; Pinson, Chevallier, Kariniotakis, IEEE Transactions on Power Systems 22 (2007), 1148-1156.
    """
    cap, floor = view.worth
    if view.quantiles_wh is None or view.has_quantiles is None:
        return one_order_a_home(view.net_wh, cap, floor)
    buys = view.net_wh > 0
    # Column j: what the home wants in its own direction at the j-th price level below (buys) or above (sells) its end.
    wanted_wh = np.where(buys[:, None], view.quantiles_wh.T, -view.quantiles_wh.T[:, ::-1])
    wanted_wh = np.clip(wanted_wh, 0, np.abs(view.net_wh)[:, None])
    energy_wh = np.diff(wanted_wh, axis=1, prepend=0)
    price = floor[:, None] + (cap - floor)[:, None] * np.arange(1, STEPS) // STEPS
    limit = np.where(buys[:, None], price[:, ::-1], price)
    whole = ~view.has_quantiles | (cap - floor < STEPS)
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
        "at each price what a thinking home wants there, or the quantile of the expected energy that pays",
        several_orders=True,
        quantiles_ppm=LEVELS_PPM,
        limits=outside_limits,
        by_worth=True,
    ),
    contract=2,
)
