"""From a scenario to a run: other times, homes that are left out, gaps in the history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattswap as ws
from data.readings import MISSING
from tests.kits.run_kit import FIRST, call, readings, write_street
from wattswap.errors import InvalidData, InvalidScenario
from wattswap.runs.homes import history_after_gaps_s, load_meter
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


def test_the_history_is_as_long_as_the_forecast_looks_back_and_the_lead(street: Path) -> None:
    start_s, _ = history(street, *LATE[:2], "homes.forecast_days=1")
    assert start_s == RUN_S - HOUR_S


@pytest.mark.parametrize("hours", [1, 5, 47])
def test_a_gap_shortens_the_history_of_all_homes_and_never_counts_as_zero(hours: int, tmp_path: Path) -> None:
    """The gap of one home: rows before it are left out for all, the rows after it are as they were read."""
    gap_s = FIRST_S + hours * HOUR_S
    start_s, net = history(without(write_street(tmp_path), (gap_s, "home-2")), *LATE)
    assert start_s == gap_s + HOUR_S
    given = readings(3, 3, 60)
    expected = [
        [
            wh_in - wh_out
            for wh_in, wh_out in (given[FIRST + timedelta(hours=h), f"home-{i}"] for i in (1, 2, 3))
        ]
        for h in range(hours + 1, 48)
    ]
    assert net.tolist() == expected


def test_only_the_last_of_several_gaps_counts(tmp_path: Path) -> None:
    cells = [
        (FIRST_S + 2 * HOUR_S, "home-1"),
        (FIRST_S + 9 * HOUR_S, "home-3"),
        (FIRST_S + 9 * HOUR_S, "home-1"),
    ]
    assert history(without(write_street(tmp_path), *cells), *LATE)[0] == FIRST_S + 10 * HOUR_S


def test_a_gap_within_a_market_interval_spoils_all_of_that_interval(tmp_path: Path) -> None:
    """Four quarters of an hour make an interval; a history that began in the middle of one would count it short."""
    street = write_street(tmp_path, minutes=15)
    gap_s = FIRST_S + 5 * HOUR_S + 900
    settings = [*LATE, "time.interval_minutes=60", "market.gate_closure_minutes=60"]
    start_s, net = history(without(street, (gap_s, "home-2")), *settings)
    assert start_s == FIRST_S + 6 * HOUR_S
    given = readings(3, 3, 15)
    quarters = [given[FIRST + timedelta(hours=6, minutes=m), "home-2"] for m in (0, 15, 30, 45)]
    assert net[0, 1] == sum(wh_in - wh_out for wh_in, wh_out in quarters)


def test_with_less_than_a_day_after_a_gap_homes_order_nothing_until_the_day_is_full(tmp_path: Path) -> None:
    """A zero in the gap would have given them a forecast at once."""
    street = without(write_street(tmp_path / "street"), (RUN_S - 3 * HOUR_S, "home-2"))
    run = ws.run(street, out=tmp_path / "runs")
    orders = run.table("intervals")["orders"].tolist()
    # Two readings before the run, a day needed, and the one of the running interval is not known yet.
    assert not any(orders[:23])
    assert all(orders[23:])


def test_the_start_of_the_history_by_hand(street: Path) -> None:
    meter = load_meter(ws.load(street))
    assert history_after_gaps_s(meter, RUN_S) == FIRST_S
    assert history_after_gaps_s(meter, FIRST_S) == FIRST_S
    quality = np.array(meter.quality)
    quality[[4, 30]] = MISSING  # the second lies within the run
    broken = replace(meter, quality=quality)
    assert history_after_gaps_s(broken, RUN_S) == FIRST_S + 5 * HOUR_S
