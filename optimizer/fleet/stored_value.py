"""What stored energy is worth to each battery at given prices: the dual values of its contents, without a solver."""

from __future__ import annotations

import numpy as np

from market.units import FloatArray
from optimizer.fleet.response import Batteries

_NOTHING_WH = 1e-6
"""Less than this is nothing, and less than this off a limit is at it. [Wh]"""


def stored_values(fleet: Batteries, price: FloatArray, change: FloatArray) -> FloatArray:
    """The value of a kWh in each battery at the end of each interval, shape (batteries, intervals). [micro-currency]

    An interval by itself leaves a range: what charging costs and what discharging brings, at rest both, at full power
    one side open. From an interval to the next the value stays where the battery is neither full nor at its least
    content; it may rise where it is full, and fall where it is at the least. After the last it is the value of what
    is left. Two passes along time narrow the ranges by each other, and the middle of each is taken.

    Args:
        fleet: The batteries.
        price: By interval. [micro-currency/kWh]
        change: What their contents change by, best at these prices. [Wh]
    """
    low, high = _ranges(fleet, price, change)
    content = fleet.initial_wh[:, None] + np.cumsum(change, axis=1)
    at_least = content < fleet.least_wh + _NOTHING_WH
    is_full = content > fleet.capacity_wh[:, None] - _NOTHING_WH
    low, high = (np.column_stack((end, fleet.left)) for end in (low, high))
    steps = change.shape[1]
    for t in range(steps):  # from an interval to the next
        low[:, t + 1] = np.where(at_least[:, t], low[:, t + 1], np.maximum(low[:, t + 1], low[:, t]))
        high[:, t + 1] = np.where(is_full[:, t], high[:, t + 1], np.minimum(high[:, t + 1], high[:, t]))
    for t in range(steps - 1, -1, -1):
        low[:, t] = np.where(is_full[:, t], low[:, t], np.maximum(low[:, t], low[:, t + 1]))
        high[:, t] = np.where(at_least[:, t], high[:, t], np.minimum(high[:, t], high[:, t + 1]))
    # An open end may be anywhere, at the same place for all so that what rises along time still does.
    known = np.concatenate([end[np.isfinite(end)] for end in (low, high)])
    low, high = np.maximum(low, known.min()), np.minimum(high, known.max())
    middle: FloatArray = (low[:, :-1] + high[:, :-1]) / 2
    return middle


def _ranges(fleet: Batteries, price: FloatArray, change: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Between what each interval by itself leaves the value, by what the battery does in it."""
    into, out = price / fleet.charge[:, None], (price - fleet.wear[:, None]) * fleet.discharge[:, None]
    most_in, most_out = fleet.charge_wh * fleet.charge[:, None], fleet.discharge_wh / fleet.discharge[:, None]
    # Worth at least what it cost where any is charged, at least what it would have brought where more could be drawn.
    low = np.where(-change < most_out - _NOTHING_WH, out, -np.inf)
    low = np.where(change > _NOTHING_WH, into, low)
    high = np.where(change < most_in - _NOTHING_WH, into, np.inf)
    high = np.where(change < -_NOTHING_WH, out, high)
    return low, high
