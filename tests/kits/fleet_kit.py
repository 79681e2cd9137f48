"""Communities with many random batteries, and the one linear program that says what is best for all."""

from __future__ import annotations

import numpy as np

from market.horizon import Horizon, Store
from market.orders import Storage
from market.units import BoolArray
from optimizer.blocks.clear import Limits, searched
from optimizer.blocks.hot import HotModel
from optimizer.fleet.community import Community
from optimizer.models.multi_interval import compiled


def community_of(
    seed: int,
    count: int,
    intervals: int = 24,
    limit: float | None = None,
    feed_in: int = 80_000,
    sunny: float = 1.0,
) -> tuple[Community, tuple[Store, ...]]:
    """Homes with sun at noon, prices around .28, and batteries of all kinds that end as full as they began.

    Args:
        seed: Draws it.
        count: Batteries.
        intervals: Of a day.
        limit: Import limit, as a share of the peak without batteries.
        feed_in: Price of what is given outside. [micro-currency/kWh]
        sunny: Factor of the sun; from about 4 on, batteries cannot hold the surplus.
    """
    rng = np.random.default_rng(seed)
    hour = np.arange(intervals) * 24 / intervals
    load = 300 + 400 * np.exp(-((hour - 19) ** 2) / 6)
    sun = 900 * sunny * np.sin((hour - 6) / 12 * np.pi).clip(0)
    net = np.rint(count * (load - sun) + rng.normal(0, 20 * count, intervals)).astype(np.int64)
    bought = np.rint(280 + 60 * np.sin(hour / 6 * np.pi) + rng.normal(0, 15, intervals)).astype(np.int64)
    stores = []
    for i in range(count):
        capacity, power = int(rng.integers(4_000, 14_000)), int(rng.integers(400, 1_300))
        kept = int(capacity * rng.uniform(0.2, 0.6))
        rates = (int(rng.integers(930, 986)) * 1_000, int(rng.integers(930, 986)) * 1_000)
        wear = int(rng.choice([0, 5_000, 10_000, 20_000]))
        terms = Storage(0, intervals - 1, capacity, kept, kept, power, power, *rates, wear)
        stores.append(Store(i, 0, terms))
    most = None if limit is None else int(limit * net.max())
    sold = np.full(intervals, feed_in, dtype=np.int64)
    return Community(net, bought * 1_000, sold, most, 3_000_000), tuple(stores)


def least_cost_nano(horizon: Horizon, no_discharge: BoolArray | None = None) -> float:
    """The least cost by one linear program; minus the welfare. [nano-currency]"""
    model = compiled(horizon, horizon.price_range, no_discharge)
    answer = HotModel(model.arrays).solve(np.zeros(0, dtype=np.int32), np.zeros(0), np.zeros(0))
    assert answer is not None
    return -answer.welfare_nano


def ruled_cost_nano(horizon: Horizon) -> tuple[float, BoolArray]:
    """As `least_cost_nano` by the rule for prices below 0, and the intervals without discharging."""
    found = searched(horizon, Limits(horizon.price_range, 60))
    return -found.found.best.welfare_nano, found.no_discharge
