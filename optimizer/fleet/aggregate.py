"""Prices to begin with: those of a few batteries, each as large as many together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.horizon import Horizon, Store
from market.orders import Storage
from market.units import FloatArray
from optimizer.blocks.hot import HotModel
from optimizer.models.multi_interval import compiled

AGGREGATED = 20
"""Batteries that stand for all."""


def start_prices(horizon: Horizon) -> FloatArray:
    """Prices of a horizon whose storages are added up to a few. [micro-currency/kWh]

    What a sum of batteries can do, its members need not be able to: these prices are where to begin, and prove nothing.

    Raises:
        SolverFailed: The solver gave no answer.
    """
    few = replace(horizon, stores=aggregated(horizon.stores))
    model = compiled(few, horizon.price_range)
    upper = model.arrays.upper.copy()
    upper[model.short] = upper[model.spare] = np.inf
    hot, nothing = HotModel(replace(model.arrays, upper=upper)), np.zeros(0)
    answer = hot.solve(np.zeros(0, dtype=np.int32), nothing, nothing)
    if answer is None:  # a sum that cannot reach its final content
        return np.full(horizon.intervals, float(np.mean(horizon.price_range)))
    price: FloatArray = -answer.row_price[: horizon.intervals]
    return price


def aggregated(stores: tuple[Store, ...]) -> tuple[Store, ...]:
    """Storages sorted by what they are, and a few of each kind added up, with the mean of their efficiencies."""
    order = sorted(range(len(stores)), key=lambda i: _kind(stores[i]))
    parts = np.array_split(np.array(order, dtype=np.int64), min(AGGREGATED, len(order)))
    return tuple(_sum([stores[i] for i in part.tolist()]) for part in parts)


def _kind(store: Store) -> tuple[int, int, int, float]:
    t = store.terms
    return t.first, t.last, t.wear_micro_per_kwh, t.capacity_wh / max(1, t.charge_wh)


def _sum(stores: list[Store]) -> Store:
    terms = [store.terms for store in stores]

    def total(name: str) -> int:
        return sum(getattr(t, name) for t in terms)

    return Store(
        stores[0].row,
        sum(store.left_micro_per_kwh for store in stores) // len(stores),
        Storage(
            min(t.first for t in terms),
            max(t.last for t in terms),
            total("capacity_wh"),
            total("initial_wh"),
            total("final_wh"),
            total("charge_wh"),
            total("discharge_wh"),
            total("charge_ppm") // len(terms),
            total("discharge_ppm") // len(terms),
            total("wear_micro_per_kwh") // len(terms),
        ),
    )
