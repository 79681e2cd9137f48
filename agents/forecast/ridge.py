"""Ridge regression of each home's own readings: how far the next hours lie from the mean of the last 14 days.

Its features are the last readings, the same local time one, two and seven days ago, the mean of a week, of the times
beside it, the level of the last day and week, the hour of the local day on working days and weekends, and the weather
where a run has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from agents.forecast import FORECASTERS, Forecast, Forecaster, Horizon, Points
from agents.learning.features import USUAL_DAYS, Features
from agents.learning.sums import Sums, Weights, over, solve
from agents.rules import Known
from market.units import BoolArray, IntArray

PENALTY: Final = 200.0
"""Of the regression, in examples; each interval gives two."""
LEAST_DAYS: Final = 28
"""Days of readings below which a home is forecast by the mean of the last 14 days."""

HISTORY_DAYS: Final = 70
"""Days of readings to learn from at the start of a run; more days change little."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """The sums of the homes, their weights, and which homes have readings enough for them."""

    sums: Sums | None
    weights: Weights | None
    enough: BoolArray | None


def fit(known: Known) -> Model | None:
    """Learn from all readings; None without a whole day of them."""
    return update(Model(None, None, None), known)


def update(model: Model, known: Known) -> Model | None:
    """Learn on from the readings that were not known before."""
    rows, per_day = len(known.net_wh), known.steps_per_day
    if rows < per_day:
        return None
    first = USUAL_DAYS * per_day if model.sums is None else model.sums.until
    new = over(known, first, rows)
    found = new if model.sums is None else model.sums if new is None else model.sums.plus(new)
    if found is None:
        return Model(None, None, None)
    readings = np.full(known.net_wh.shape[1], rows) if known.valid is None else known.valid.sum(axis=0)
    return Model(found, solve(found, PENALTY), readings >= LEAST_DAYS * per_day)


def points(model: Model, known: Known, rows: IntArray, gates: IntArray) -> Points:
    """The mean of the last 14 days, and how far the home is expected to be off it."""
    features = Features(known)
    usual_wh, of, exists = features.of(rows, gates)
    if model.weights is not None and model.enough is not None:
        off_wh = np.floor(model.weights.off_wh(features.cell(rows), of) + 0.5).astype(np.int64)
        usual_wh = usual_wh + off_wh * model.enough
    return usual_wh, exists


def predict(model: Model, horizon: Horizon) -> Forecast:
    """As `points`, from one gate on."""
    return Forecast.point(*points(model, horizon.known, *horizon.rows))


RIDGE = FORECASTERS.register(
    Forecaster(
        "ridge",
        fit,
        predict,
        "regression on the home's own last hours, days and weeks; a mean of 14 days until 28 are known",
        fit_every_hours=168,
        reads_valid=True,
        history_days=HISTORY_DAYS,
        update=update,
        points=points,
    ),
    contract=2,
)
