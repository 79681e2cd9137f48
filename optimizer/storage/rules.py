"""A common battery in whole numbers: the rule of self-consumption, and the least peak that can be kept."""

from __future__ import annotations

from collections.abc import Sequence

from market.units import PPM
from optimizer.storage.store import Demand, Lived, Store, lived


def self_consuming(demand: Demand, store: Store) -> Lived:
    """Store what the homes offer beyond what they need, and give what they need beyond it; nothing else.

    It knows nothing of the future, and no plan of a battery that starts empty takes less energy from outside.
    """
    stored, taken = store.initial_wh * PPM, []
    for net in demand.net_wh.tolist():
        gives = net > 0
        energy = -min(net, store.gives_at_most(stored)) if gives else min(-net, store.takes_at_most(stored))
        stored = store.after(stored, energy)
        taken.append(energy)
    return lived(store, taken)


def least_peak_wh(demand: Demand, store: Store) -> int:
    """The least energy from outside in any interval that a battery can keep to from its initial content on. [Wh]"""
    return least_peak_from(store.initial_wh * PPM, demand.net_wh.tolist(), store)


def least_peak_from(stored_uwh: int, net_wh: Sequence[int], store: Store) -> int:
    """The least energy from outside in any interval that a battery can keep to, by bisection in whole numbers. [Wh]

    More in store never harms, so a limit can be kept exactly where it is kept by charging all that it leaves room
    for.

    Args:
        stored_uwh: What it holds before the first interval. [uWh]
        net_wh: What the homes need in each interval, below 0 what they offer. [Wh]
        store: The battery.
    """
    high = max((0, *net_wh))
    low = max(0, high - store.power_wh)
    while low < high:
        middle = (low + high) // 2
        if _keeps(net_wh, store, middle, stored_uwh):
            high = middle
        else:
            low = middle + 1
    return high


def _keeps(net_wh: Sequence[int], store: Store, most_wh: int, stored: int) -> bool:
    for net in net_wh:
        if net > most_wh:
            energy = most_wh - net
            if -energy > store.gives_at_most(stored):
                return False
        else:
            energy = min(most_wh - net, store.takes_at_most(stored))
        stored = store.after(stored, energy)
    return True
