"""Gradient boosting by LightGBM of each home's own readings: how far the next hours lie from the mean of 14 days.

The trees see what `ridge` sees, the usual energy, the hour of the local day, whether it is a weekend, and the hours
ahead, so they can learn that one depends on another. They are fitted to the least absolute error, so they expect the
median, which for consumption is below the mean that `ridge` expects. One thread, no draws and sums in a fixed order:
the same readings give the same numbers, a home alone as among a thousand; another version of LightGBM may give others.

Source: Ke and others, LightGBM, Advances in Neural Information Processing Systems 30 (2017), 3146-3154.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agents.forecast import FORECASTERS, Forecast, Forecaster, Horizon, Points
from agents.learning.features import Features
from agents.learning.sums import HISTORY_DAYS, LEAST_DAYS, seen_twice
from agents.rules import FloatArray, Known
from market.units import IntArray

ROUNDS: Final = 120
PARAMETERS: Final = {
    "objective": "l1",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "lambda_l2": 1.0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 0,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """The trees of each home; None for one with less than four weeks of readings, which expects the mean."""

    boosters: tuple[Any | None, ...]


def fit(known: Known) -> Model | None:
    """Learn from all readings, home by home; None without a whole day of them."""
    if len(known.net_wh) < known.steps_per_day:
        return None
    homes = np.arange(known.net_wh.shape[1])
    return Model(tuple(_booster(known.of_homes(home)) for home in homes[:, None]))


def _booster(known: Known) -> Any | None:
    """The trees of one home; None while it has too few readings."""
    rows, per_day = len(known.net_wh), known.steps_per_day
    if (rows if known.valid is None else int(known.valid.sum())) < LEAST_DAYS * per_day:
        return None
    import lightgbm

    features = Features(known)
    rows_seen, gates = seen_twice(known, np.arange(per_day, rows))
    usual_wh, of, exists = features.of(rows_seen, gates)
    wh, valid = features.read(rows_seen)
    there = np.ones(len(rows_seen), dtype=np.bool_)
    for exist in (exists, valid):
        if exist is not None:
            there &= exist[:, 0]
    columns = _columns(features, rows_seen, gates, usual_wh, of)[there, 0]
    data = lightgbm.Dataset(columns, label=(wh - usual_wh)[there, 0].astype(np.float64))
    return lightgbm.train(dict(PARAMETERS), data, num_boost_round=ROUNDS)


def _columns(
    features: Features, rows: IntArray, gates: IntArray, usual_wh: IntArray, of: IntArray
) -> FloatArray:
    """What the trees see, shape (rows, homes, columns)."""
    weekend, hour = np.divmod(features.cell(rows), 24)
    calendar = np.stack([hour, weekend, rows - gates + 1], axis=-1)[:, None]
    calendar = np.broadcast_to(calendar, (*usual_wh.shape, calendar.shape[-1]))
    return np.concatenate([of, usual_wh[..., None], calendar], axis=-1).astype(np.float64)


def points(model: Model, known: Known, rows: IntArray, gates: IntArray) -> Points:
    """The mean of the last 14 days, and how far the trees expect the home to be off it."""
    features = Features(known)
    usual_wh, of, exists = features.of(rows, gates)
    columns, expected_wh = _columns(features, rows, gates, usual_wh, of), usual_wh.copy()
    for home, booster in enumerate(model.boosters):
        if booster is not None and len(rows):
            off_wh = booster.predict(columns[:, home], num_threads=1)
            expected_wh[:, home] += np.floor(off_wh + 0.5).astype(np.int64)
    return expected_wh, exists


def predict(model: Model, horizon: Horizon) -> Forecast:
    """As `points`, from one gate on."""
    return Forecast.point(*points(model, horizon.known, *horizon.rows))


BOOSTED = FORECASTERS.register(
    Forecaster(
        "boosted",
        fit,
        predict,
        "trees of LightGBM on the home's own last hours, days and weeks; a mean of 14 days until 28 are known",
        fit_every_hours=168,
        reads_valid=True,
        history_days=HISTORY_DAYS,
        points=points,
        package="lightgbm",
        install="wattswap[boosted]",
    ),
    contract=2,
)
