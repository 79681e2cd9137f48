"""The best response of batteries in compiled code, where numba is installed: the same numbers as numpy's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np


@cache
def compiled_change() -> Callable[..., Any] | None:
    """`response.best_change` with the columns of the batteries and the prices as arguments; None without numba."""
    try:
        from numba import njit
    except ImportError:
        return None
    compiled: Callable[..., Any] = njit(cache=True)(_best_change)
    return compiled


def _best_change(  # type: ignore[no-untyped-def]  # compiled: numba finds the types
    charge_wh, discharge_wh, capacity_wh, initial_wh, least_wh, charge, discharge, wear, left, price
):
    """One battery after the other, each in the operations of `response.targets` and in their order."""
    count, steps = charge_wh.shape
    change = np.empty((count, steps))
    into, out, up_to, down_to = np.empty(steps), np.empty(steps), np.empty(steps), np.empty(steps)
    for b in range(count):
        most, end = capacity_wh[b], least_wh[b, steps - 1]
        for t in range(steps):
            into[t] = -price[t] / charge[b]
            out[t] = -(price[t] - wear[b]) * discharge[b]
            up_to[t] = most if -left[b] < into[t] else end
            down_to[t] = most if -left[b] <= out[t] else end
        for t in range(steps - 1, 0, -1):
            more, less = charge_wh[b, t] * charge[b], discharge_wh[b, t] / discharge[b]
            before, by_charge, by_discharge = least_wh[b, t - 1], into[t], out[t]
            for s in range(t):
                moved = (less if by_discharge < into[s] else 0.0) - (more if by_charge >= into[s] else 0.0)
                up_to[s] = min(max(up_to[s] + moved, before), most)
            for s in range(t):
                moved = (less if by_discharge <= out[s] else 0.0) - (more if by_charge > out[s] else 0.0)
                down_to[s] = min(max(down_to[s] + moved, before), most)
        content = initial_wh[b]
        for t in range(steps):
            stored = min(max(up_to[t] - content, 0.0), charge_wh[b, t] * charge[b])
            drawn = min(max(content - down_to[t], 0.0), discharge_wh[b, t] / discharge[b])
            change[b, t] = stored - drawn
            content += change[b, t]
    return change
