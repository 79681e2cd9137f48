"""What forecasts must reach on ten Californian homes and on the bundled street, and what the gate must refuse."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from agents.rules import AgentRules
from benchmarks import forecasts as bench
from data import formats, samples
from tests.kits.sample_kit import sample_of

HOMES = Path(__file__).parents[2] / ".." / "shared" / "data" / "homes_fontana_ca"
NEW = (3, 4, 5)
"""Homes that are new in turn; the first three may report false readings."""
with_homes = pytest.mark.skipif(not HOMES.exists(), reason=f"no data of the Californian homes at {HOMES}")


@cache
def california(part: str) -> bench.Series:
    return bench.series_of(formats.load(HOMES, format="citylearn"), part, bench.CALIFORNIA)


@with_homes
def test_load_is_forecast_better_than_by_persistence_and_the_mean_of_14_days() -> None:
    """Also by what all homes learn together, where nobody may keep a regression of its own."""
    found = bench.scores(california("load"), bench.LOAD)
    for error in (found["ridge"], found["shared_ridge"], bench.ungated(california("load"))):
        assert bench.percent_lower(error, found["persistence"]) >= 14
        assert bench.percent_lower(error, found["mean of 14 days"]) >= 3


@with_homes
def test_boosted_trees_have_the_least_error() -> None:
    pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    found = bench.scores(california("load"), ("ridge", "boosted"))
    assert bench.percent_lower(found["boosted"], found["ridge"]) >= 2


@with_homes
@pytest.mark.slow
def test_production_is_forecast_better_than_by_persistence() -> None:
    found = bench.scores(california("pv"), bench.PV)
    for name in ("same_hour_median", "scaled_median"):
        assert bench.percent_lower(found[name], found["persistence"]) >= 10


@with_homes
@pytest.mark.slow
def test_a_home_with_three_days_of_readings_gains_from_the_others() -> None:
    load = california("load")
    old, new = bench.cold_start(load, name="persistence"), bench.cold_start(load)
    assert bench.percent_lower(new, old) >= 15


@with_homes
@pytest.mark.parametrize("attack", sample_of(sorted(bench.ATTACKS), ("doubled",)))
def test_false_sums_of_three_homes_hardly_harm_the_others_behind_the_gate(attack: str) -> None:
    """In California not at all: the gate lets nobody use what all learn, true or false."""
    own, shared = bench.poisoned(california("load"), bench.ATTACKS[attack])
    assert shared <= 1.01 * own


def of_new_homes(series: bench.Series) -> float:
    """Mean error of three homes, each in turn new among the others. [kW]"""
    return sum(bench.new_home(series, home) for home in NEW) / len(NEW)


@cache
def of_new_homes_among_true_ones() -> float:
    return of_new_homes(california("load"))


@with_homes
@pytest.mark.slow
def test_what_a_new_home_gains_by_the_others_is_lost_where_their_readings_are_shuffled() -> None:
    load, shuffle = california("load"), bench.ATTACKS["shuffled"]
    others = {home: [one for one in range(10) if one != home] for home in NEW}
    lost = [bench.new_home(bench.falsified(load, shuffle, others[home]), home) for home in NEW]
    assert sum(lost) / len(lost) > 1.05 * of_new_homes_among_true_ones()


@with_homes
@pytest.mark.parametrize("attack", sample_of(sorted(bench.ATTACKS), ("noise",)))
def test_false_sums_of_three_homes_hardly_harm_a_new_home_that_no_gate_protects(attack: str) -> None:
    false = bench.falsified(california("load"), bench.ATTACKS[attack], range(3))
    assert of_new_homes(false) <= 1.01 * of_new_homes_among_true_ones()


def test_on_the_street_learning_together_loses_and_the_gate_refuses_it() -> None:
    street = bench.series_of(samples.load("street").resample(60), "load", bench.BERLIN)
    found = bench.scores(street, ("ridge", "shared_ridge"))
    first = int(bench.midnights(street, bench.TRAIN_DAYS, 1)[0])
    assert not bench.shared_of(street, first).shared.any()
    assert bench.ungated(street).mean() > found["ridge"].mean() == found["shared_ridge"].mean()


def test_on_the_street_the_errors_of_net_energy_are_less_than_half_of_what_the_mean_gives() -> None:
    meter, start_s = samples.load("street"), 1_474_236_000
    mean = AgentRules(forecaster="same_hour_mean", forecaster_pv="same_hour_mean")
    errors = [bench.market_error(meter, start_s, bench.BERLIN, of, 7) for of in (mean, AgentRules())]
    assert errors[1] < 0.6 * errors[0]
