"""What deviating homes submit to a market that clears a horizon: other simple orders in its first interval, or nothing.

A home that never orders submits none of its devices either, and runs them by its own plan. Any other deviation is of
what it orders at the gate, or of its limits where quantities come from the meters; its devices are submitted as they
are, and what is cleared when the interval is lived takes the quantities that the meters show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from agents.bidding import Limits, Orders
from agents.flexibility import Otherwise, Submitted
from market.units import IntArray
from wattswap.check.deviations import NEVER, Deviation, joined, of_home
from wattswap.runs.books import limits_as_orders
from wattswap.runs.prepare import Setup


class Ahead:
    """The deviating homes of a run, interval by interval.

    Args:
        chosen: Deviating homes by their index in the roster, which is that in the community.

    Attributes:
        sent: Simple orders of the interval that is cleared, as all homes send them.
    """

    def __init__(self, setup: Setup, chosen: Mapping[int, Deviation]) -> None:
        self._setup, self._chosen = setup, chosen
        self._absent = np.isin(setup.members, [home for home, one in chosen.items() if one is NEVER])
        self.begin(0)

    def begin(self, i: int) -> None:
        """Begin with the i-th interval, in which nothing has been sent."""
        self._i, self.sent = i, _orders_of(np.zeros(len(self._setup.roster), dtype=np.int64), self._setup)

    @property
    def otherwise(self) -> Otherwise:
        """For the community."""
        return Otherwise(self._submitted, self._limits)

    def _deviating(self, orders: Orders) -> Orders:
        """The orders of all homes, of which some deviate; one that is no member sends none."""
        prices, part = self._setup.prices.at(self._i), self._setup.takes_part(self._i)
        away = np.isin(orders.home, [*self._chosen])
        others = [
            one.of(home, of_home(orders, home), prices) for home, one in self._chosen.items() if part[home]
        ]
        return joined(orders.of_rows(~away), *others)

    def _submitted(self, own: Submitted, measured: bool) -> Submitted:
        """See `Otherwise`."""
        there = ~self._absent
        net_wh = np.where(there, own.net_wh, 0)
        orders = _orders_of(own.net_wh[0], self._setup)
        if measured == self._setup.metered:
            self.sent = self._deviating(orders)
        if not measured:
            net_wh[0] = _net_wh(self.sent, len(there))
        return replace(
            own,
            net_wh=net_wh,
            stores=tuple(one for one in own.stores if there[one.home]),
            flexible=tuple(one for one in own.flexible if there[one.home]),
            placed={name: homes & there for name, homes in own.placed.items()},
        )

    def _limits(self, own: Limits) -> Limits:
        """See `Otherwise`; of several orders of a side the first counts, which is the home's own."""
        orders = self._deviating(limits_as_orders(self._setup.members, *own))
        found = own[0].copy(), own[1].copy()
        for limits, side in zip(found, (1, -1), strict=True):
            rows = np.flatnonzero(orders.side == side)[::-1]
            limits[orders.home[rows]] = orders.limit_micro_per_kwh[rows]
        return found


def _orders_of(net_wh: IntArray, setup: Setup) -> Orders:
    """What homes need and offer, as one order each. [Wh]"""
    home = np.flatnonzero(net_wh)
    energy = net_wh[home]
    limit = np.zeros_like(energy)
    return Orders(setup.members[home], np.sign(energy).astype(np.int8), np.abs(energy), limit)


def _net_wh(orders: Orders, homes: int) -> IntArray:
    """What each home orders, bought less sold. [Wh]"""
    net_wh = np.zeros(homes, dtype=np.int64)
    np.add.at(net_wh, orders.home, orders.side * orders.energy_wh)
    return net_wh
