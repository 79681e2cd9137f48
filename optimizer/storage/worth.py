"""What a common battery saves many groups of homes, exactly and without a solver: a dynamic programme on slopes.

The cost that is still to come is a convex, piecewise linear function of the content. At a tariff of a few prices it
has few slopes, so it is kept as the length over which each of them holds: a step back in time adds the lengths of the
interval to theirs and cuts what lies outside the battery, for all groups at once.
"""

from __future__ import annotations

import numpy as np

from market.units import FloatArray, IntArray
from optimizer.storage.store import Demand, Store, floats


def levels_of(demand: Demand, store: Store) -> FloatArray:
    """All slopes that the cost to come can have, ascending. [micro-currency/kWh stored]"""
    found: FloatArray = np.unique(np.append(_slopes(demand, store), 0.0))
    return found


def _slopes(demand: Demand, store: Store) -> FloatArray:
    """Change of the cost per energy drawn from the store, shape (4, intervals), in ascending order of each interval.

    Not charging from outside, not charging what is offered, giving the homes, giving outside.
    """
    bought, sold, fee = floats(demand.bought), floats(demand.sold), float(demand.fee)
    return -np.stack(
        (
            (bought + fee) / store.gain,
            (sold + fee) / store.gain,
            bought * store.yields,
            sold * store.yields,
        )
    )


def least_costs_nano(
    net_wh: IntArray, capacity_wh: FloatArray, power_wh: FloatArray, demand: Demand, store: Store
) -> FloatArray:
    """Least cost of what groups draw from outside and of the fee of charging, each with an empty battery of its own.

    Args:
        net_wh: Of each group, shape (intervals, groups). [Wh]
        capacity_wh: Of each group's battery, shape (groups,). [Wh]
        power_wh: Of each group's battery, in an interval, shape (groups,). [Wh]
        demand: The prices; `convex` in every interval.
        store: The efficiencies.

    Returns:
        Shape (groups,). [nano-currency]
    """
    slopes, levels = _slopes(demand, store), levels_of(demand, store)
    place = np.searchsorted(levels, slopes)
    bought, sold = floats(demand.bought), floats(demand.sold)
    groups = len(capacity_wh)
    length = np.zeros((len(levels), groups))
    length[np.searchsorted(levels, 0.0)] = capacity_wh
    cost = np.zeros(groups)
    charged = power_wh * store.gain
    for t in range(len(net_wh) - 1, -1, -1):
        net = net_wh[t].astype(np.float64)
        surplus, need = np.clip(-net, 0, power_wh), np.clip(net, 0, power_wh)
        by_import, by_surplus, to_home, to_grid = place[:, t].tolist()
        length[by_import] += (power_wh - surplus) * store.gain
        length[by_surplus] += surplus * store.gain
        length[to_home] += need / store.yields
        length[to_grid] += (power_wh - need) / store.yields
        # The cost with an empty battery: from charging at full power, drawn back along the lowest slopes.
        reached = np.cumsum(length, axis=0)
        start = np.minimum(reached, charged)
        most = net + power_wh
        cost += np.where(most > 0, bought[t], sold[t]) * most + demand.fee * power_wh
        cost += levels @ np.diff(start, axis=0, prepend=0.0)
        length = np.diff(np.minimum(reached - start, capacity_wh), axis=0, prepend=0.0)
    return cost
