"""From a scenario to a run: other times, homes that are left out, gaps in the history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import wattswap as ws
from tests.kits.run_kit import FIRST, call, readings, write_street
from wattswap.errors import InvalidData, InvalidScenario
from wattswap.runs.prepare import cut_to, prepare

HOUR_S = 3_600
FIRST_S = int(FIRST.timestamp())
RUN_S = FIRST_S + 24 * HOUR_S
BATTERY = "homes.battery.{home}.{key}_{unit}={value}"


def stamp(start_s: int) -> str:
    return f"{datetime.fromtimestamp(start_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def without(street: Path, *cells: tuple[int, str]) -> Path:
    """Empty the readings of these starts [s] and homes."""
    file = street / "meter.csv"
    empty = {f"{stamp(start_s)},{home}" for start_s, home in cells}
    rows = file.read_text(encoding="utf-8").splitlines()
    keys = [",".join(row.split(",")[:2]) for row in rows]
    assert empty <= set(keys)
    file.write_text(
        "\n".join(f"{key},," if key in empty else row for key, row in zip(keys, rows, strict=True)) + "\n",
        encoding="utf-8",
    )
    return street


# ---- another time


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("days = 1", 24),
        ("intervals = 5", 5),
        (f"end = {stamp(RUN_S + 30 * HOUR_S)}", 23),
        ("", 41),
    ],
    ids=["days", "intervals", "end", "the rest of the data"],
)
def test_a_start_alone_keeps_how_the_scenario_tells_its_length(
    time: str, expected: int, tmp_path: Path
) -> None:
    """Days and intervals count from the new start; an end, and the end of the data, stay where they are."""
    file = write_street(tmp_path) / "scenario.toml"
    file.write_text(file.read_text().replace("days = 2", time))
    later = RUN_S + 7 * HOUR_S
    setup = prepare(cut_to(ws.load(file), None, later))
    assert (setup.start_s, setup.intervals) == (later, expected)


def test_intervals_alone_keep_the_start(street: Path) -> None:
    setup = prepare(cut_to(ws.load(street), 5, None))
    assert (setup.start_s, setup.intervals) == (RUN_S, 5)


def test_start_and_intervals_replace_both(street: Path) -> None:
    setup = prepare(cut_to(ws.load(street), 5, RUN_S + HOUR_S))
    assert (setup.start_s, setup.intervals) == (RUN_S + HOUR_S, 5)


def test_without_either_nothing_changes(street: Path) -> None:
    scenario = ws.load(street)
    assert cut_to(scenario, None, None) == scenario


def test_a_start_at_which_the_length_leaves_the_data_is_refused(street: Path) -> None:
    with pytest.raises(InvalidScenario, match=r"time\.days: the run would end at 2026-06-04T01:00:00Z"):
        prepare(cut_to(ws.load(street), None, RUN_S + HOUR_S))


def test_live_takes_the_same_words_for_a_time_that_does_not_fit(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(capsys, "live", street, "--at", "2026-06-02T01:00Z", "--out", tmp_path, "-q")
    assert outcome.code == 2
    assert "--at: the run would end at 2026-06-04T01:00:00Z" in outcome.err
    assert list(tmp_path.iterdir()) == []


# ---- homes that are left out


def battery(home: str) -> list[str]:
    """Overrides that give a home a battery of its own."""
    return [
        BATTERY.format(home=home, key=key, unit=unit, value=1)
        for key, unit in (("capacity", "kwh"), ("charge", "kw"), ("discharge", "kw"))
    ]


def test_a_dropped_home_may_have_a_battery_in_the_scenario(tmp_path: Path) -> None:
    street = without(write_street(tmp_path / "street"), (RUN_S + 3 * HOUR_S, "home-1"))
    with pytest.raises(InvalidData, match="home home-1: 1 of 48 readings of the run are missing"):
        prepare(ws.load(street))
    scenario = ws.load(street, overrides=["data.on_missing=drop_home", *battery("home-3")])
    setup = prepare(scenario)
    assert (setup.roster, setup.dropped_homes) == (("home-2", "home-3"), ("home-1",))
    assert [spec and spec.capacity_wh for spec in setup.devices["battery"]] == [None, 1_000]
    run = ws.run(scenario, out=tmp_path / "runs")
    assert run.manifest["data"]["dropped_homes"] == ["home-1"]
    assert ws.verify(run.path)["ok"]


def test_a_battery_for_a_home_that_never_existed_is_refused_whether_homes_are_dropped_or_not(
    tmp_path: Path,
) -> None:
    street = without(write_street(tmp_path), (RUN_S + 3 * HOUR_S, "home-1"))
    overrides = ["data.on_missing=drop_home", *battery("home-9")]
    with pytest.raises(InvalidScenario, match=r"home-9.*the data have no home 'home-9'; they have: home-2"):
        prepare(ws.load(street, overrides=overrides))


def test_a_battery_for_a_home_that_was_not_chosen_is_refused(street: Path) -> None:
    with pytest.raises(InvalidScenario, match="the data have no home 'home-1'"):
        prepare(ws.load(street, overrides=['data.households=["home-2", "home-3"]']))


# ---- gaps in the history


def history(street: Path, *settings: str) -> Any:
    """Net energy that forecasts may use, oldest first. [Wh]"""
    setup = prepare(ws.load(street, overrides=settings))
    meter = setup.meter
    return meter.start_s, (meter.import_wh - meter.export_wh)[: setup.first_row]


LATE = [f"time.start={stamp(RUN_S + 24 * HOUR_S)}", "time.days=1", "homes.forecast_days=2"]


def test_the_history_is_as_long_as_the_forecast_looks_back_and_the_lead(tmp_path: Path) -> None:
    """Longer than the 28 days, and one for the clock, that the shares of a pool look back."""
    street = write_street(tmp_path, days=32)
    late = [f"time.start={stamp(RUN_S + 30 * 24 * HOUR_S)}", "time.days=1"]
    start_s, _ = history(street, *late, "homes.forecast_days=30", "homes.strategy=truthful")
    assert start_s == RUN_S - HOUR_S
    start_s, _ = history(street, *late, "homes.forecast_days=1", "homes.strategy=truthful")
    assert start_s == RUN_S - HOUR_S + 24 * HOUR_S


@pytest.mark.parametrize("hours", [1, 5, 47])
def test_a_gap_of_one_home_leaves_the_history_of_the_others_as_it_was(hours: int, tmp_path: Path) -> None:
    gap_s = FIRST_S + hours * HOUR_S
    start_s, net = history(without(write_street(tmp_path), (gap_s, "home-2")), *LATE)
    assert start_s == FIRST_S
    given = readings(3, 3, 60)
    for row, values in enumerate(net.tolist()):
        expected = [given[FIRST + timedelta(hours=row), f"home-{i}"] for i in (1, 2, 3)]
        if row != hours:
            assert values == [wh_in - wh_out for wh_in, wh_out in expected]
        else:
            assert values[::2] == [wh_in - wh_out for wh_in, wh_out in expected[::2]]


def orders_of(street: Path, out: Path, *settings: str) -> dict[str, set[int]]:
    """The hours after the usual start of the run in which each home has an order."""
    table = ws.run(ws.load(street, overrides=settings), out=out).table("orders")
    hours = (table["interval_start"] - pd.Timestamp(RUN_S, unit="s", tz="UTC")) // pd.Timedelta(hours=1)
    return {name: set(hours[table["household"] == name]) for name in ("home-1", "home-2", "home-3")}


def test_one_lost_reading_keeps_that_home_alone_from_bidding_and_only_at_that_time_of_day(
    tmp_path: Path,
) -> None:
    """Three hours before the run, with a history of one day; a zero in the gap would have given a forecast."""
    street = without(write_street(tmp_path / "street"), (RUN_S - 3 * HOUR_S, "home-2"))
    orders = orders_of(street, tmp_path / "runs")
    whole = orders_of(write_street(tmp_path / "whole"), tmp_path / "runs")
    assert whole["home-2"] == set(range(1, 48))
    # 21:00 has no forecast, and for 22:00 the energy of 21:00 would have to be known as well.
    assert orders == whole | {"home-2": set(range(1, 48)) - {21, 22}}


def test_a_second_day_of_history_closes_the_gap_of_the_first(tmp_path: Path) -> None:
    street = without(write_street(tmp_path / "street"), (RUN_S - 3 * HOUR_S, "home-2"))
    assert orders_of(street, tmp_path / "runs", *LATE)["home-2"] == set(range(24, 48))


def test_a_gap_within_a_market_interval_spoils_all_of_that_interval_for_that_home(tmp_path: Path) -> None:
    """Four quarters of an hour make an interval, and three of them are no reading of it."""
    street = without(write_street(tmp_path, minutes=15), (RUN_S - 3 * HOUR_S + 900, "home-2"))
    settings = ["time.interval_minutes=60", "market.gate_closure_minutes=60"]
    orders = orders_of(street, tmp_path / "runs", *settings)
    assert 21 in orders["home-3"]
    assert orders["home-2"] == set(range(1, 48)) - {21, 22}


MEAN = "homes.forecast=same_hour_mean"


@pytest.mark.parametrize(
    ("settings", "days"),
    [
        (["homes.strategy=truthful", MEAN, "homes.forecast_days=31"], 31),
        ([MEAN], 7 + 29),
        (
            ["homes.strategy=truthful", "homes.strategies={staircase=0.1}", MEAN, "homes.forecast_days=3"],
            3 + 29,
        ),
        (["homes.strategy=truthful", "homes.strategies={zi_c=0.1}", MEAN, "homes.forecast_days=31"], 31),
        (["homes.strategy=truthful", MEAN], 29),
        ([], 70 + 29),
        (["homes.strategy=truthful"], 70),
    ],
    ids=[
        "truthful",
        "staircase",
        "some",
        "no quantiles",
        "for the shares of a pool",
        "staircase, ridge",
        "ridge",
    ],
)
def test_four_weeks_more_are_loaded_where_a_strategy_needs_them(settings: list[str], days: int) -> None:
    setup = prepare(ws.demo(overrides=["time.intervals=4", *settings]))
    assert setup.first_row == days * 96 + setup.agents.lead


def test_a_run_says_which_homes_are_too_new_for_the_staircase(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    street = write_street(tmp_path / "street")
    told = (
        "3 of 3 homes that bid by 'staircase' have forecasts of less than two weeks behind them at the start"
    )
    run = ws.run(ws.load(street), out=tmp_path / "runs")
    assert [note for note in run.manifest["data"]["bidding_notes"] if note.startswith(told)]
    assert not [note for note in run.manifest["data"]["notes"] if note.startswith(told)]
    assert told in call(capsys, "validate", street).out
    assert told not in call(capsys, "validate", street, "--set", "homes.strategy=truthful").out
    assert ws.verify(run.path)["ok"]
