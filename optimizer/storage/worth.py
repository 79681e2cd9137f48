"""What a common battery saves many groups of homes, exactly and without a solver: a dynamic programme on slopes.

The cost that is still to come is a convex, piecewise linear function of the content. At a tariff of a few prices it
has few slopes, so it is kept as the length over which each of them holds: a step back in time adds the lengths of the
interval to theirs and cuts what lies outside the battery, for all groups at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.units import FloatArray
from optimizer.storage.store import Demand, Store, floats

_CELLS = 1 << 20


class Groups(NamedTuple):
    """Groups of homes, each netted among its members, with a battery of its own that is empty at the start.

    Args:
        net_wh: Of each home, shape (intervals, homes). [Wh]
        member: 1 where a home is in a group, else 0, shape (homes, groups).
        capacity_wh: Of each group's battery, shape (groups,). [Wh]
        power_wh: Of each group's battery, in an interval, shape (groups,). [Wh]
    """

    net_wh: FloatArray
    member: FloatArray
    capacity_wh: FloatArray
    power_wh: FloatArray


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


def least_costs_nano(groups: Groups, demand: Demand, store: Store) -> FloatArray:
    """Least cost of what groups draw from outside and of the fee of charging, each with an empty battery of its own.

    Args:
        groups: Their members and batteries.
        demand: The prices; `convex` in every interval.
        store: The efficiencies.

    Returns:
        Shape (groups,). [nano-currency]
    """
    slopes, levels = _slopes(demand, store), levels_of(demand, store)
    place = np.searchsorted(levels, slopes)
    bought, sold, power = floats(demand.bought), floats(demand.sold), groups.power_wh
    length = np.zeros((len(levels), len(power)))
    length[np.searchsorted(levels, 0.0)] = groups.capacity_wh
    cost = np.zeros(len(power))
    charged = power * store.gain
    for t in range(len(bought) - 1, -1, -1):
        net = groups.net_wh[t] @ groups.member
        surplus, need = np.clip(-net, 0, power), np.clip(net, 0, power)
        by_import, by_surplus, to_home, to_grid = place[:, t].tolist()
        length[by_import] += (power - surplus) * store.gain
        length[by_surplus] += surplus * store.gain
        length[to_home] += need / store.yields
        length[to_grid] += (power - need) / store.yields
        # The cost with an empty battery: from charging at full power, drawn back along the lowest slopes.
        reached = np.cumsum(length, axis=0)
        start = np.minimum(reached, charged)
        most = net + power
        cost += np.where(most > 0, bought[t], sold[t]) * most + demand.fee * power
        cost += levels @ np.diff(start, axis=0, prepend=0.0)
        length = np.diff(np.minimum(reached - start, groups.capacity_wh), axis=0, prepend=0.0)
    return cost


def netted_costs_nano(groups: Groups, demand: Demand, store: Store) -> FloatArray:
    """As `least_costs_nano`, of groups without a battery."""
    bought, sold = floats(demand.bought), floats(demand.sold)
    cost = np.zeros(groups.member.shape[1])
    rows = max(1, _CELLS // max(len(cost), 1))
    for first in range(0, len(bought), rows):
        part = slice(first, first + rows)
        net = groups.net_wh[part] @ groups.member
        cost += bought[part] @ np.maximum(net, 0) - sold[part] @ np.maximum(-net, 0)
    return cost


def rule_costs_nano(groups: Groups, demand: Demand, store: Store) -> FloatArray:
    """As `least_costs_nano`, of batteries that store what their group offers and give what it needs, in fractions."""
    stored, cost = np.zeros(len(groups.power_wh)), np.zeros(len(groups.power_wh))
    for t, (bought, sold) in enumerate(zip(demand.bought.tolist(), demand.sold.tolist(), strict=True)):
        net = groups.net_wh[t] @ groups.member
        limit = np.minimum(groups.power_wh, (groups.capacity_wh - stored) / store.gain)
        taken = np.minimum(np.maximum(-net, 0), limit)
        given = np.minimum(np.maximum(net, 0), np.minimum(groups.power_wh, stored * store.yields))
        stored += taken * store.gain - given / store.yields
        net += taken - given
        cost += np.where(net > 0, bought, sold) * net + demand.fee * taken
    return cost
