"""Ridge regression learnt by all homes together from sums of theirs, drawn towards each home's own readings.

A home uses it only where it clearly beats the home's own regression on its last 28 days; with too few readings for that
it has nothing better. So a home that adds wrong sums harms the others no more than their own regression would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from agents.forecast import FORECASTERS, Forecast, Forecaster, Horizon, Points
from agents.learning.features import Features
from agents.learning.sums import Learnt, Sums, Weights, examples, learn, over, pooled, solve
from agents.rules import FloatArray, Known
from market.units import BoolArray, IntArray

OWN_PENALTY: Final = 200.0
SHARED_PENALTY: Final = 200.0
PERSONAL_PENALTY: Final = 3000.0
"""On the distance of a home's weights from the shared ones, in examples."""
GATE_DAYS: Final = 28
"""Days on which the home's own and the shared regression, learnt from the days before, are compared."""
MARGIN_PERCENT: Final = 4
"""By how much the shared one must be better there: less is luck, and a false sum may hide in it."""
LEAST_DAYS: Final = 2 * GATE_DAYS
"""Days of readings below which there is nothing to compare."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What was learnt, the weights of each home, None before there are examples, and which homes use shared ones."""

    learnt: Learnt
    weights: Weights | None
    shared: BoolArray


def fit(known: Known) -> Model | None:
    """Learn from all readings of all homes; None without a whole day of them."""
    return _model(known, learn(known))


def update(model: Model, known: Known) -> Model | None:
    """Learn on from the readings that were not known before."""
    return _model(known, learn(known, model.learnt))


def personal(sums: Sums, scale: FloatArray) -> Weights:
    """The weights of each home near those of all homes together, of whose sums none has more than its share.

    With its mean as unit, a home that is empty but for an hour would count as thousands of homes.
    """
    examples_of = np.maximum(sums.count.sum(axis=0), 1)
    largest = np.diagonal(sums.product, axis1=1, axis2=2).max(axis=1)
    unit = np.maximum(scale, np.sqrt(largest / examples_of))
    of_all = solve(pooled(sums, unit), np.ones(1), SHARED_PENALTY)
    return solve(sums, unit, PERSONAL_PENALTY, of_all)


def _model(known: Known, learnt: Learnt | None) -> Model | None:
    if learnt is None:
        return None
    cold = learnt.readings < LEAST_DAYS * known.steps_per_day
    if learnt.sums is None:
        return Model(learnt, None, cold)
    scale, shared = learnt.mean_wh, cold
    first = len(known.net_wh) - GATE_DAYS * known.steps_per_day
    recent = over(known, first, len(known.net_wh)) if first >= GATE_DAYS * known.steps_per_day else None
    if recent is not None:
        before = learnt.sums.plus(recent, -1)
        own, near = (
            _error_wh(known, first, weights)
            for weights in (solve(before, scale, OWN_PENALTY), personal(before, scale))
        )
        shared = cold | (100 * near < (100 - MARGIN_PERCENT) * own)
    own_weights = solve(learnt.sums, scale, OWN_PENALTY)
    return Model(learnt, personal(learnt.sums, scale).where(shared, own_weights), shared)


def _error_wh(known: Known, first: int, weights: Weights) -> IntArray:
    """Sum of what the examples from a row on were off the forecast of weights, per home. [Wh]"""
    features, total = Features(known), np.zeros(known.net_wh.shape[1], dtype=np.int64)
    for begin in range(first, len(known.net_wh), known.steps_per_day):
        rows = np.arange(begin, min(begin + known.steps_per_day, len(known.net_wh)))
        cells, columns, exists = examples(features, rows)
        off_wh = np.abs(columns[..., -1] - weights.off_wh(cells, columns[..., :-1]))
        total += (off_wh if exists is None else off_wh * exists).sum(axis=0)
    return total


def points(model: Model, known: Known, rows: IntArray, gates: IntArray) -> Points:
    """The mean of the last 14 days, and how far the home is expected to be off it."""
    features = Features(known)
    usual_wh, of, exists = features.of(rows, gates)
    if model.weights is not None:
        usual_wh = usual_wh + model.weights.off_wh(features.cell(rows), of)
    return usual_wh, exists


def predict(model: Model, horizon: Horizon) -> Forecast:
    """As `points`, from one gate on."""
    return Forecast.point(*points(model, horizon.known, *horizon.rows))


SHARED_RIDGE = FORECASTERS.register(
    Forecaster(
        "shared_ridge",
        fit,
        predict,
        "regression that all homes learn together, where it beats a home's own on its last 28 days; not in `live`",
        fit_every_hours=168,
        reads_valid=True,
        history_days=98,
        update=update,
        points=points,
        shares=True,
    ),
    contract=2,
)
