"""Boosted trees: the same numbers again, a home alone as among others, the mean while there is little, a refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import agents.forecast as room
from agents.forecast import FORECASTERS, Forecaster, Horizon
from agents.rules import Known
from market.units import IntArray
from tests.agents.test_ridge import habits, known_of, with_gaps
from tests.kits.run_kit import call, refused
from wattswap.evaluation import ALL, evaluate
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import demo

BOOSTED = FORECASTERS.get("boosted")
WEEK = ["time.start=2016-09-19T00:00:00+02:00", "time.days=7", 'data.households=["home-01","home-02"]']
with_package = pytest.mark.skipif(BOOSTED.lacks_package, reason="lightgbm is not installed")


def day_ahead(forecaster: Forecaster, known: Known) -> IntArray:
    """The forecast of a day, fitted on all readings."""
    return forecaster.predict(forecaster.fit(known), Horizon(known, 24)).median_wh


@with_package
def test_the_same_readings_give_the_same_numbers_and_a_home_alone_those_that_it_has_among_others() -> None:
    net_wh = habits(5, 40, 4)
    valid = with_gaps(net_wh, 6)
    together = day_ahead(BOOSTED, known_of(net_wh, valid=valid))
    assert (together == day_ahead(BOOSTED, known_of(net_wh, valid=valid))).all()
    for home in range(4):
        alone = known_of(net_wh[:, home : home + 1], valid=valid[:, home : home + 1])
        assert (day_ahead(BOOSTED, alone)[:, 0] == together[:, home]).all()


@with_package
def test_trees_learn_what_a_straight_line_cannot() -> None:
    """Energy that follows how far the day before was off, whichever way: two leaves of a tree."""
    draw, hours = np.random.default_rng(2), 120 * 24
    wild = draw.random(hours) < 0.5
    off = np.where(np.concatenate([np.zeros(24, np.bool_), wild[:-24]]), 400, 0)
    net_wh = (1_000 + off + np.where(wild, np.where(draw.random(hours) < 0.5, 300, -300), 0))[:, None]
    errors = []
    for name in ("ridge", "boosted"):
        forecaster = FORECASTERS.get(name)
        found = [
            np.abs(day_ahead(forecaster, known_of(net_wh, rows=row)) - net_wh[row : row + 24]).mean()
            for row in range(110 * 24, 119 * 24, 24)
        ]
        errors.append(float(np.mean(found)))
    assert errors[1] < 0.9 * errors[0]


def test_a_home_with_less_than_four_weeks_expects_the_mean_as_by_default() -> None:
    """Without the package too: there is nothing yet that needs it."""
    known = known_of(habits(7, 27, 3))
    assert (day_ahead(BOOSTED, known) == day_ahead(FORECASTERS.get("ridge"), known)).all()


@with_package
def test_it_is_scored_with_quantiles_of_its_own_residuals() -> None:
    scores = {
        (one.forecaster, one.home): one for one in evaluate(prepare(demo(WEEK), 100), ["boosted"], [24.0])
    }
    found = scores["boosted", ALL]
    assert found.coverage is not None
    assert 0.6 < found.coverage < 0.95
    assert found.against_mean.percent is not None


def test_without_its_package_it_is_refused_where_it_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each choice by its key, all at once, before any data are read."""
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    phrase = "'boosted' needs the optional package lightgbm"
    chosen = ["--set", "homes.forecast=boosted", "--set", "homes.forecast_pv=boosted"]
    done = call(capsys, "validate", "demo", *chosen)
    refused(done, 3, phrase, "homes.forecast", "homes.forecast_pv", "pip install 'wattswap[boosted]'")
    refused(call(capsys, "forecast", "evaluate", "demo", "--forecaster", "boosted"), 2, phrase)
    given = "homes.forecasters={boosted=0.5}"
    refused(
        call(capsys, "run", "demo", "--set", given, "--out", tmp_path), 3, "homes.forecasters.boosted", phrase
    )
