"""Ridge regression of each home's own readings: how far the next hours lie from the mean of the last 14 days.

Its features are the last readings, the same local time one, two and seven days ago, the mean of a week, of the times
beside it, the level of the last day and week, the hour of the local day on working days and weekends, and the weather
where a run has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agents.forecast import FORECASTERS, Forecast, Forecaster, Horizon, Points
from agents.learning.features import Features
from agents.learning.sums import HISTORY_DAYS, LEAST_DAYS, Learnt, Weights, learn, solve
from agents.rules import Known
from market.units import BoolArray, IntArray

PENALTY: Final = 200.0
"""Of the regression, in examples; each interval gives two."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What was learnt, the weights that follow from it, None before there are examples, and who uses them."""

    learnt: Learnt
    weights: Weights | None
    enough: BoolArray


def fit(known: Known) -> Model | None:
    """Learn from all readings; None without a whole day of them."""
    return _model(known, learn(known))


def update(model: Model, known: Known) -> Model | None:
    """Learn on from the readings that were not known before."""
    return _model(known, learn(known, model.learnt))


def _model(known: Known, learnt: Learnt | None) -> Model | None:
    if learnt is None:
        return None
    weights = None if learnt.sums is None else solve(learnt.sums, learnt.mean_wh, PENALTY)
    return Model(learnt, weights, learnt.readings >= LEAST_DAYS * known.steps_per_day)


def points(model: Model, known: Known, rows: IntArray, gates: IntArray) -> Points:
    """The mean of the last 14 days, and how far the home is expected to be off it."""
    features = Features(known)
    usual_wh, of, exists = features.of(rows, gates)
    if model.weights is not None:
        usual_wh = usual_wh + model.weights.off_wh(features.cell(rows), of) * model.enough
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
