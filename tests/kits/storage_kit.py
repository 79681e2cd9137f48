"""Communities with a common battery, drawn from a seed, and its best plan by other means than the solver."""

from __future__ import annotations

from itertools import product

import numpy as np

from market.units import PPM, FloatArray
from optimizer.storage.store import Demand, Store

HALF = PPM // 2


def community(seed: int, *, flat: bool = False, fee: int = 0) -> tuple[Demand, Store]:
    """A community of 1 to 39 intervals whose prices are ordinary, and a battery that starts empty."""
    draw = np.random.default_rng(seed)
    steps = int(draw.integers(1, 40))
    need, offer = draw.integers(0, 3_000, steps), draw.integers(0, 3_000, steps) * (draw.random(steps) < 0.6)
    sold = draw.integers(0, 100, steps) * 1_000
    bought = sold + draw.integers(0, 400, steps) * 1_000
    if flat:
        sold, bought = np.full(steps, 80_000), np.full(steps, 300_000)
    gain, yields = (int(x) for x in draw.integers(700_000, PPM + 1, 2))
    store = Store(int(draw.integers(0, 6_000)), int(draw.integers(0, 2_000)), gain, yields)
    return Demand(need, offer, bought, sold, fee), store


def strange(seed: int, steps: int = 5) -> tuple[Demand, Store]:
    """A community with prices below 0, and some at which energy earns more outside than it costs."""
    draw = np.random.default_rng(seed)
    need, offer = draw.integers(0, 30, steps) * 100, draw.integers(0, 30, steps) * 100
    bought = draw.integers(-300, 300, steps) * 1_000
    sold = bought - draw.integers(-50, 300, steps) * 1_000
    store = Store(int(draw.integers(0, 40)) * 100, int(draw.integers(1, 20)) * 100, 900_000, 850_000)
    return Demand(need, offer, bought, sold), store


def by_all_whole_plans(demand: Demand, store: Store, step_wh: int) -> int:
    """Least cost over all plans in steps of an energy, one by one. [nano-currency]"""
    moves = range(-store.power_wh, store.power_wh + 1, step_wh)
    best: int | None = None
    for taken in product(moves, repeat=len(demand.need_wh)):
        stored, possible = store.initial_wh * PPM, True
        for one in taken:
            stored = store.after(stored, one)
            possible = possible and 0 <= stored <= store.capacity_wh * PPM
        if possible:
            cost = demand.cost_nano(np.array(taken, dtype=np.int64))
            best = cost if best is None else min(best, cost)
    assert best is not None
    return best


def by_grid(demand: Demand, store: Store, levels: int) -> float:
    """Least cost over plans that go from one of equally spaced contents to another: never below the optimum. [nano]"""
    content = np.linspace(0, store.capacity_wh, levels)
    moved = content[None, :] - content[:, None]
    taken = np.where(moved > 0, moved / store.gain, moved * store.yields)
    later: FloatArray = np.zeros(levels)
    for t in range(len(demand.need_wh) - 1, -1, -1):
        net = float(demand.net_wh[t]) + taken
        now = np.where(net > 0, demand.bought[t], demand.sold[t]) * net + demand.fee * np.maximum(taken, 0)
        now = np.where(np.abs(taken) <= store.power_wh + 1e-9, now, np.inf)
        later = (now + later[None, :]).min(axis=1)
    at = int(np.abs(content - store.initial_wh).argmin())
    return float(later[at]) + demand.fee * int(demand.need_wh.sum())
