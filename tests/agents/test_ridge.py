"""The forecasters that look at the local clock, and the regression against a plain solution of the same sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.forecast import FORECASTERS, Horizon
from agents.forecasts import Forecasts
from agents.learning.features import CELLS, Features
from agents.learning.sums import Sums, examples, learn, pooled, solve
from agents.readings import Readings
from agents.rules import AgentRules, FloatArray, Known, local_minutes
from market.units import BoolArray, IntArray
from tests.kits.community_kit import TARIFF
from tests.kits.sample_kit import sampled, some

START_S = 1_458_432_000  # 20 March 2016, so that the clock of Berlin goes forward a week later
POINTS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            one.lacks_package, reason=f"{name} needs the optional package {one.package}"
        ),
    )
    for name, one in sorted(FORECASTERS.all().items())
    if one.points
]


def habits(seed: int, days: int, homes: int, minutes: int = 60) -> IntArray:
    """Energy by the time of day with noise that lasts some hours. [Wh]"""
    draw = np.random.default_rng(seed)
    rows = days * 1440 // minutes
    shape = draw.integers(100, 900, (1440 // minutes, homes))
    noise = draw.normal(0, 150, (rows, homes))
    for row in range(1, rows):
        noise[row] += 0.7 * noise[row - 1]
    return np.maximum(np.tile(shape, (days, 1)) + noise.astype(np.int64), 0)


def known_of(net_wh: IntArray, minutes: int = 60, valid: BoolArray | None = None, rows: int = 0) -> Known:
    """What homes in Berlin know that have these readings, of the first `rows` only where given."""
    rows = rows or len(net_wh)
    return Known(
        knowledge_s=START_S + rows * minutes * 60,
        start_s=START_S,
        minutes=minutes,
        days=7,
        net_wh=net_wh[:rows],
        zone="Europe/Berlin",
        local_minute=local_minutes(START_S, minutes, len(net_wh) + 300, "Europe/Berlin"),
        tariff=TARIFF,
        tariff_row=0,
        valid=None if valid is None else valid[:rows],
    )


def with_gaps(net_wh: IntArray, seed: int) -> BoolArray:
    """Most readings; the last home has none for three weeks."""
    valid = np.random.default_rng(seed).random(net_wh.shape) < 0.97
    valid[: 21 * 24, -1] = False
    net_wh[~valid] = 0
    return valid


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("name", POINTS)
def test_many_rows_at_once_have_the_forecasts_that_each_had_at_its_gate(name: str, gaps: bool) -> None:
    """Also where readings behind the gate are there to look at, and on the days on which the clock changes."""
    forecaster, net_wh = FORECASTERS.get(name), habits(1, 50, 4)
    valid = with_gaps(net_wh, 2) if gaps else None
    everything = known_of(net_wh, valid=valid)
    assert forecaster.points is not None
    for first, lead in ((30 * 24, 1), (7 * 24, 3), (31 * 24 + 5, 24)):
        model = forecaster.fit(known_of(net_wh, valid=valid, rows=first))
        rows = np.arange(first + lead, first + lead + 30)
        wh, exists = forecaster.points(model, everything, rows, rows - lead)
        for row, got, has in zip(rows.tolist(), wh, [None] * 30 if exists is None else exists, strict=True):
            alone = forecaster.predict(
                model, Horizon(known_of(net_wh, valid=valid, rows=row - lead), lead + 1)
            )
            assert np.array_equal(got, alone.median_wh[-1])
            assert (alone.valid is None or alone.valid[-1].all()) if has is None or has.all() else True
            assert has is None or np.array_equal(has, np.ones(4) if alone.valid is None else alone.valid[-1])


def of_all_rows(net_wh: IntArray, minutes: int) -> tuple[Sums, FloatArray, IntArray, IntArray]:
    """Sums of all examples, the unit of each home, and the examples: their cells and their columns."""
    known, per_day = known_of(net_wh, minutes), 1440 // minutes
    learnt = learn(known)
    assert learnt is not None
    assert learnt.sums is not None
    parts = [
        examples(Features(known), np.arange(row, row + per_day))
        for row in range(per_day, len(net_wh), per_day)
    ]
    cells, columns = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return learnt.sums, learnt.mean_wh, cells, columns


def plainly(cells: IntArray, columns: FloatArray, penalty: float) -> FloatArray:
    """The solution of one regression by numpy."""
    x = np.concatenate([np.eye(CELLS)[cells], columns[:, :-1]], axis=1)
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ columns[:, -1])


@pytest.mark.parametrize("minutes", [15, 60])
def test_the_regression_is_the_plain_solution_of_its_examples(minutes: int) -> None:
    sums, scale, cells, columns = of_all_rows(habits(3, 40, 3, minutes), minutes)
    weights = solve(sums, scale, 200.0)
    for home, unit in enumerate(scale.tolist()):
        plain = plainly(cells, columns[:, home] / unit, 200.0)
        assert np.allclose(weights.cell[:, home] / unit, plain[:CELLS], rtol=0, atol=1e-9)
        assert np.allclose(weights.feature[home], plain[CELLS:], rtol=0, atol=1e-9)


def test_sums_of_all_homes_give_what_their_readings_in_one_place_give() -> None:
    sums, scale, cells, columns = of_all_rows(habits(3, 40, 5), 60)
    together = solve(pooled(sums, scale), np.ones(1), 200.0)
    everything = np.concatenate([columns[:, home] / unit for home, unit in enumerate(scale.tolist())])
    plain = plainly(np.tile(cells, 5), everything, 200.0)
    assert np.allclose(together.cell[:, 0], plain[:CELLS], rtol=0, atol=1e-9)
    assert np.allclose(together.feature[0], plain[CELLS:], rtol=0, atol=1e-9)


REGRESSIONS = ["ridge", "shared_ridge"]


@pytest.mark.parametrize("name", REGRESSIONS)
def test_learning_on_gives_the_bits_of_learning_from_the_start(name: str) -> None:
    net_wh, ridge = habits(4, 60, 3), FORECASTERS.get(name)
    assert ridge.update is not None
    model = ridge.fit(known_of(net_wh, rows=20 * 24))
    for rows in (20 * 24 + 7, 41 * 24, 60 * 24):
        model = ridge.update(model, known_of(net_wh, rows=rows))
    whole = ridge.fit(known_of(net_wh))
    assert whole.weights.cell.tobytes() == model.weights.cell.tobytes()
    assert whole.weights.feature.tobytes() == model.weights.feature.tobytes()


@sampled
@pytest.mark.parametrize("name", REGRESSIONS)
def test_the_order_and_the_number_of_homes_change_no_bit(name: str) -> None:
    net_wh, ridge = habits(5, 60, 12, 15), FORECASTERS.get(name)
    model = ridge.fit(known_of(net_wh, 15))
    expected = ridge.predict(model, Horizon(known_of(net_wh, 15), 96)).median_wh
    for seed in range(some(20, 4)):
        order = np.random.default_rng(seed).permutation(12)
        of = net_wh[:, order]
        moved = ridge.fit(known_of(of, 15))
        assert moved.weights.feature.tobytes() == model.weights.feature[order].tobytes()
        assert np.array_equal(
            ridge.predict(moved, Horizon(known_of(of, 15), 96)).median_wh, expected[:, order]
        )
    if ridge.shares:
        return
    for home in range(12):
        alone = ridge.fit(known_of(net_wh[:, [home]], 15))
        assert alone.weights.feature.tobytes() == model.weights.feature[home].tobytes()
    many = np.tile(net_wh, (1, 20))
    assert ridge.fit(known_of(many, 15)).weights.feature[-12:].tobytes() == model.weights.feature.tobytes()


def test_with_less_than_28_days_it_is_the_mean_of_14_and_a_home_with_gaps_waits_longer() -> None:
    net_wh, ridge = habits(6, 40, 2), FORECASTERS.get("ridge")

    def off(days: int, valid: BoolArray | None = None) -> list[bool]:
        known = known_of(net_wh, valid=valid, rows=days * 24)
        rows = np.arange(days * 24, days * 24 + 24)
        mean, _ = Features(known).usual(rows, np.full(24, days * 24))
        median = ridge.predict(ridge.fit(known), Horizon(known, 24)).median_wh
        different: list[bool] = (median != mean).any(axis=0).tolist()
        return different

    assert off(27) == [False, False]
    assert off(29) == [True, True]
    valid = np.ones(net_wh.shape, dtype=np.bool_)
    valid[: 10 * 24, 1] = False
    assert off(29, valid) == [True, False]


def test_it_beats_the_means_where_what_is_off_lasts_for_hours() -> None:
    net_wh, error = habits(7, 70, 5), {}
    for name in ("ridge", "same_hour_mean", "persistence"):
        forecaster = FORECASTERS.get(name)
        model = forecaster.fit(known_of(net_wh, rows=60 * 24))
        off = []
        for row in range(60 * 24, 69 * 24):
            known = known_of(net_wh, rows=row)
            model = forecaster.fit(known) if name == "same_hour_mean" else model
            off.append(np.abs(forecaster.predict(model, Horizon(known, 2)).median_wh[-1] - net_wh[row + 1]))
        error[name] = float(np.mean(off))
    assert error["ridge"] < 0.95 * error["same_hour_mean"] < error["persistence"]


def test_production_is_forecast_apart_and_the_net_is_the_difference() -> None:
    load, pv = habits(8, 40, 3), habits(9, 40, 3)
    pv[pv < 500] = 0
    rules = AgentRules(minutes=60, gate_closure_minutes=60, forecaster="ridge")
    first, given = 35 * 24, {"start_s": START_S, "zone": "Europe/Berlin", "weather": {}, "ahead": 50}

    def at(net_wh: IntArray, pv_wh: IntArray | None, of: AgentRules = rules) -> IntArray:
        readings = Readings(net_wh.copy(), pv_wh, None, first, of, TARIFF, **given)
        forecast = Forecasts(of, first, readings.known_at).at(first, readings.known_at(first), 24)
        assert forecast is not None
        return forecast.median_wh

    of_pv = replace(rules, forecaster=rules.forecaster_pv)
    assert np.array_equal(at(load - pv, pv), at(load, None) - at(pv, None, of_pv))
    assert not np.array_equal(at(load - pv, pv), at(load - pv, None))


def test_homes_without_a_day_of_history_forecast_as_soon_as_they_have_one() -> None:
    """Although the model is fitted once a week; and the one of the next week is that of all readings."""
    wh, rules = habits(9, 12, 2), AgentRules(minutes=60, gate_closure_minutes=60, forecaster="ridge")
    readings = Readings(wh.copy(), None, None, 0, rules, TARIFF, START_S, "UTC", {}, ahead=2)
    forecasts = Forecasts(rules, 0, readings.known_at)
    has = [forecasts.at(row, readings.known_at(row), 2) is not None for row in range(10 * 24)]
    assert has == [False] * 25 + [True] * (10 * 24 - 25)
    fresh = Forecasts(rules, 0, readings.known_at)
    for row in (30, 8 * 24):
        old, new = (of.at(row, readings.known_at(row), 2) for of in (forecasts, fresh))
        assert old is not None
        assert new is not None
        assert np.array_equal(old.median_wh, new.median_wh)
