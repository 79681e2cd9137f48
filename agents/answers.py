"""What strategies answer: asked, checked, and put together for all homes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.bidding import STRATEGIES, Limits, Orders, Strategy, View
from agents.errors import InvalidOrders
from agents.state import State
from market.orders import MAX_ORDERS
from market.units import IntArray


@dataclass(slots=True, eq=False)
class Group:
    """The homes of one strategy: their rows in the community, their indices in the roster, their state."""

    strategy: Strategy
    places: IntArray
    homes: IntArray
    state: State


def orders_of(group: Group, view: View) -> Orders:
    """Ask a strategy for orders and put the homes' indices in the roster in place of their rows.

    Raises:
        InvalidOrders: It returns what is no orders of its homes.
    """
    name = group.strategy.name
    with STRATEGIES.held(group.strategy):
        orders = group.strategy.bid(group.state, view)
        columns = (orders.home, orders.side, orders.energy_wh, orders.limit_micro_per_kwh)
        if not all(is_whole(column, (column.size,)) for column in columns):
            raise InvalidOrders(
                f"bidding strategy {name!r} returns columns that are not whole numbers in one row"
            )
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise InvalidOrders(
            f"bidding strategy {name!r} returns columns of {lengths} rows; give each order one row in all four"
        )
    home, homes = orders.home, len(group.homes)
    rising = bool((home[1:] > home[:-1]).all())  # as one order a home comes, which needs no search
    low, high = (0, 0) if not len(home) else (home[0], home[-1]) if rising else (home.min(), home.max())
    if len(home) and not 0 <= low <= high < homes:
        raise InvalidOrders(f"bidding strategy {name!r} orders for homes that are not 0 to {homes - 1}")
    most = 1 if rising else int(np.bincount(home, orders.energy_wh > 0).max(initial=0))
    if most > 1 and not group.strategy.several_orders:
        raise InvalidOrders(
            f"bidding strategy {name!r} places several orders for one home; register it with several_orders=True"
        )
    if most > MAX_ORDERS:
        raise InvalidOrders(
            f"bidding strategy {name!r} places {most} orders for one home; an interval takes at most {MAX_ORDERS}"
        )
    return Orders(group.homes[home], *columns[1:])


def limits_of(group: Group, view: View) -> Limits:
    """Ask a strategy for the limits of its homes."""
    name, limits = group.strategy.name, group.strategy.limits
    assert limits is not None, "refused before"
    with STRATEGIES.held(group.strategy):
        buy, sell = limits(group.state, view)
        if not all(is_whole(side, (len(group.homes),)) for side in (buy, sell)):
            raise InvalidOrders(
                f"bidding strategy {name!r} states limits that are not one whole number per home"
            )
    return buy, sell


def is_whole(values: Any, shape: tuple[int, ...]) -> bool:
    """Whether a plug-in returned whole numbers in an array of this shape."""
    return isinstance(values, np.ndarray) and values.dtype.kind == "i" and values.shape == shape


def view_of(view: View, places: IntArray) -> View:
    """The same view for some of its homes: nothing of the others is in it."""
    planned_at = view.planned_at
    return replace(
        view,
        known=view.known.of_homes(places),
        net_wh=view.net_wh[places],
        forecast=None if view.forecast is None else view.forecast.of_homes(places),
        plan={name: column[places] for name, column in view.plan.items()},
        words=view.words[places],
        homes=view.homes[places],
        planned_at=None if planned_at is None else lambda prices: planned_at(prices).of_homes(places),
    )


def joined(parts: Sequence[Orders]) -> Orders:
    """All orders, by home; those of one home stay in their order."""
    home = np.concatenate([part.home for part in parts])
    rows = np.argsort(home, kind="stable")
    return Orders(
        home[rows],
        np.concatenate([part.side for part in parts])[rows],
        np.concatenate([part.energy_wh for part in parts])[rows],
        np.concatenate([part.limit_micro_per_kwh for part in parts])[rows],
    )
