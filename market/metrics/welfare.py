"""Welfare: who gains how much, how much of the possible gain is reached, how much of what is ordered is traded.

Amounts stay integers; only ratios are floats. A figure that does not exist is None, never 0 and never NaN.
"""

from __future__ import annotations

import numpy as np

from market.units import INT64_SAFE, IntArray


def exact_dot(left: IntArray, right: IntArray) -> int:
    """Sum of products as a Python integer, also where it passes 64 bits."""
    if float(np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)) < INT64_SAFE:
        return int(np.dot(left, right))
    return sum(int(x) * int(y) for x, y in zip(left.tolist(), right.tolist(), strict=True))


def allocative_efficiency(welfare_nano: int, optimum_nano: int) -> float | None:
    """Welfare reached over the welfare that could be reached; over a run, from the sums of both.

    Args:
        welfare_nano: Of the mechanism. [nano]
        optimum_nano: Of the efficient clearing of the same books. [nano]

    Returns:
        At most 1; None where nothing could be gained. Where both count true values it is the efficiency of Gode and
        Sunder, Journal of Political Economy 101 (1993), 119-137; results of this program count stated limits.
    """
    return welfare_nano / optimum_nano if optimum_nano > 0 else None


def traded_share(traded_wh: IntArray, demand_wh: IntArray, supply_wh: IntArray) -> float | None:
    """Liquidity: energy traded over the energy that could be traded if price were no matter.

    Args:
        traded_wh: Per interval, shape (T,). [Wh]
        demand_wh: Energy of all bids, shape (T,). [Wh]
        supply_wh: Energy of all offers, shape (T,). [Wh]

    Returns:
        sum traded / sum min(demand, supply), 0 to 1; None where no interval has both bids and offers.
    """
    possible_wh = int(np.minimum(demand_wh, supply_wh).sum())
    return int(traded_wh.sum()) / possible_wh if possible_wh else None
