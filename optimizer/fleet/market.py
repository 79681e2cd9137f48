"""A horizon with many storages, cleared by coordination: the same answer and proof as of its one linear program."""

from __future__ import annotations

import numpy as np

from market.horizon import Horizon
from market.units import FloatArray
from optimizer.blocks.proof import ProofNode
from optimizer.blocks.region import Region, space_of
from optimizer.blocks.search import Found, Supported
from optimizer.fleet.coordinate import Aim, Coordinated, coordinate, taken_wh
from optimizer.fleet.response import batteries_of, best_change
from optimizer.fleet.steps import in_full
from optimizer.fleet.stored_value import stored_values
from optimizer.models.multi_interval import HorizonModel, compiled

MANY = 300
"""Storages from which coordination is faster than one linear program."""


def is_for_many(horizon: Horizon) -> bool:
    """Whether a horizon is one to coordinate: many storages, simple orders, and nothing else."""
    return len(horizon.stores) >= MANY and not len(horizon.lumps.row)


def unsettled_nano(horizon: Horizon) -> float:
    """What orders and storages may gain by other plans than the coordinated ones. [nano-currency]

    A quarter of what rounding may cost, so that both together stay within what a clearing may be off.
    """
    places = sum(store.terms.last - store.terms.first + 1 for store in horizon.stores)
    return max(1.0, places * (horizon.price_range[1] - horizon.price_range[0]) / 2)


def coordinated(horizon: Horizon, limit_s: float) -> tuple[HorizonModel, Found, Coordinated]:
    """The program, its answer as the search would give it, and how it was found.

    Raises:
        Infeasible: Storages cannot reach their final contents with what the orders trade.
        SolverFailed: The solver gave no answer, or the time was too short to find plans that balance.
    """
    done = coordinate(horizon, Aim(unsettled_nano=unsettled_nano(horizon), limit_s=limit_s))
    model = compiled(horizon, horizon.price_range, done.no_discharge)
    x, row_price = _answer(horizon, model, done), _row_prices(horizon, done)
    space = space_of(horizon, model, horizon.price_range)
    nothing = np.zeros(0, dtype=np.bool_)
    bound = max(space.bound(row_price, Region(nothing, nothing)), -done.cost_nano)
    market = np.concatenate((-done.mixed_price, row_price[horizon.intervals :]))
    best = Supported(nothing, x, market, -done.cost_nano)
    return model, Found(best, bound, bound, done.complete, [ProofNode(row_price)], done.rounds), done


def _answer(horizon: Horizon, model: HorizonModel, done: Coordinated) -> FloatArray:
    """The values of all columns."""
    fleet = batteries_of(horizon.stores, horizon.intervals, done.no_discharge)
    x = np.zeros(len(model.arrays.cost))
    x[model.simple] = -in_full(horizon).sold_wh(taken_wh(fleet, done.change).sum(axis=0))
    energy_in = np.maximum(done.change, 0) / fleet.charge[:, None]
    energy_out = np.maximum(-done.change, 0) * fleet.discharge[:, None]
    content = fleet.initial_wh[:, None] + np.cumsum(done.change, axis=1)
    for s, store in enumerate(horizon.stores):
        window = slice(store.terms.first, store.terms.last + 1)
        x[model.charge[s]], x[model.discharge[s]] = energy_in[s, window], energy_out[s, window]
        x[model.content[s]] = content[s, window]
    return x


def _row_prices(horizon: Horizon, done: Coordinated) -> FloatArray:
    """Prices of all rows: of the balances, and of the contents that the best plans at those prices have."""
    fleet = batteries_of(horizon.stores, horizon.intervals, done.no_discharge)
    value = stored_values(fleet, done.price, best_change(fleet, done.price))
    # The costs of charging and discharging hold the value of what is left already.
    rows = fleet.left[:, None] - value
    windows = [rows[s, store.terms.first : store.terms.last + 1] for s, store in enumerate(horizon.stores)]
    return np.concatenate((-done.price, *windows))
