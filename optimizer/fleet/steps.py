"""What the simple orders of a horizon sell net in each interval, as steps of price: their cost and its bound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.horizon import Horizon
from market.units import FloatArray, IntArray


class Steps(NamedTuple):
    """Energy that is for sale at a price, sorted by interval and then by price.

    Args:
        interval: Of each step.
        price: [micro-currency/kWh]
        least_wh: Least that is sold net, negative where it is bought. [Wh]
        most_wh: Most that is sold net. [Wh]
    """

    interval: IntArray
    price: FloatArray
    least_wh: FloatArray
    most_wh: FloatArray

    def sold_wh(self, net_wh: FloatArray) -> FloatArray:
        """What each step sells so that all of them sell this at the least cost. [Wh]

        Args:
            net_wh: By interval; what lies beyond all steps is left out.
        """
        room = self.most_wh - self.least_wh
        before = np.cumsum(room) - room
        first = np.searchsorted(self.interval, np.arange(len(net_wh) + 1))
        begun = np.append(before, room.sum())[first[:-1]]
        wanted = net_wh - np.bincount(self.interval, self.least_wh, len(net_wh)) + begun
        sold: FloatArray = self.least_wh + np.clip(wanted[self.interval] - before, 0.0, room)
        return sold

    def cost_nano(self, net_wh: FloatArray) -> float:
        """Least cost of selling this net; a value of buyers counts as minus a cost. [nano-currency]"""
        return float(self.price @ self.sold_wh(net_wh))

    def bound_nano(self, price: FloatArray) -> float:
        """No sale costs less, after what it earns at prices by interval. [nano-currency]"""
        lost = self.price - price[self.interval]
        return float(np.minimum(lost * self.least_wh, lost * self.most_wh).sum())


def in_full(horizon: Horizon) -> Steps:
    """The simple orders of a horizon, one step each."""
    simple = horizon.simple  # sorted by interval and limit
    energy = simple.energy_wh.astype(np.float64)
    least, most = np.where(simple.side > 0, -energy, 0.0), np.where(simple.side > 0, 0.0, energy)
    return Steps(simple.interval, simple.limit_micro_per_kwh.astype(np.float64), least, most)


def steps_of(horizon: Horizon) -> Steps:
    """The simple orders of a horizon, those of an interval with the same limit as one step."""
    interval, price, least, most = in_full(horizon)
    if not len(interval):
        return Steps(interval, price, least, most)
    is_new = np.append(True, (np.diff(interval) != 0) | (np.diff(price) != 0))
    first = np.flatnonzero(is_new)
    return Steps(interval[first], price[first], np.add.reduceat(least, first), np.add.reduceat(most, first))
