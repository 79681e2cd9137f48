"""The grid of a sweep: lists, ranges and cases, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import call, files_below, one_object, refused
from wattswap.comparison.grid import axes_of, read_axes
from wattswap.errors import InvalidScenario, UsageError
from wattswap.results import Comparison

Capture = pytest.CaptureFixture[str]
SHORT = [
    word
    for setting in ("time.intervals=4", "homes.forecast=same_hour_mean", "homes.strategy=truthful")
    for word in ("--set", setting)
]
"""Homes that forecast in a moment: without quantiles, for which four weeks are forecast first."""


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("homes.battery_kwh=0:20:5", ["0", "5", "10", "15", "20"]),
        ("homes.battery_kwh=0:19:5", ["0", "5", "10", "15"]),
        ("market.k=0:0.3:0.1", ["0", "0.1", "0.2", "0.3"]),
        ("tariff.feed_in_per_kwh=-0.1:0.1:0.1", ["-0.1", "0", "0.1"]),
        ("market.k=3:3:1", ["3"]),
        ("market.k=0,0.2:0.4:0.1,1", ["0", "0.2", "0.3", "0.4", "1"]),
        (
            "time.start=2016-09-19T00:00:00Z,2016-09-20T00:00:00Z",
            ["2016-09-19T00:00:00Z", "2016-09-20T00:00:00Z"],
        ),
        ("homes.strategies={zi_c=1,zi_u=0},{zi_c=0.5}", ["{zi_c=1,zi_u=0}", "{zi_c=0.5}"]),
    ],
)
def test_values_are_lists_and_ranges_with_both_ends(text: str, values: list[str]) -> None:
    ((_, found),) = read_axes([text]).items()
    assert found == values


@pytest.mark.parametrize(
    ("texts", "phrases"),
    [
        (["homes.battery_kwh=20:0:5"], ["runs backwards from 20 to 0; write 0:20:5"]),
        (
            ["homes.battery_kwh=0:20:0", "market.k=0:1:-1"],
            ["has the step 0", "has the step -1; give a step above 0"],
        ),
        (["homes.battery_kwh=0:20"], ["0:20 has no step; write 0:20:5"]),
        (["homes.battery_kwh=0:20:0.001"], ["makes 20001 points; give at most 1000"]),
        (["market.k=0:1:0.01", "homes.battery_kwh=0:20:1"], ["makes 2121 points; give at most 1000"]),
        (
            ["homes.battery_kwh=5:0:1", "market.k", "market.q=[1,2]"],
            ["backwards", "is not KEY=VALUE", "brackets"],
        ),
    ],
)
def test_a_wrong_range_is_refused_with_all_others(texts: list[str], phrases: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read_axes(texts)
    said = str(caught.value)
    assert all(phrase in said for phrase in phrases), said


def test_python_values_are_those_of_the_command_line() -> None:
    vary = {"a.b": [0, 0.5, True, "x"], "c.d": "1:3:1", "e.f": range(2)}
    assert axes_of(vary) == {"a.b": ["0", "0.5", "true", "x"], "c.d": ["1", "2", "3"], "e.f": ["0", "1"]}
    with pytest.raises(UsageError, match="vary a: has no values"):
        axes_of({"a": []})
    with pytest.raises(UsageError, match="names no key"):
        axes_of({})


def test_what_is_wrong_with_points_is_said_once_and_all_at_once(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["sweep", street, "-m", "uniform_price", "--out", tmp_path, "-q"]
    outcome = call(capsys, *words, "--vary", "homes.battery_kwhh=0:20:5", "--vary", "homes.pv_share=0,2")
    refused(outcome, 3, "did you mean 'battery_kwh'?", "2 is too large; the largest is 1")
    assert outcome.err.count("unknown key") == 1
    outcome = call(capsys, *words, "--vary", "homes.sample_homes=2,5,9", "--vary", "homes.pv_scale=0.5")
    refused(outcome, 3, "5 homes of 3 in the data", "9 homes of 3 in the data", "the net register alone")
    assert not files_below(tmp_path)


def test_a_sweep_says_its_runs_and_prints_one_row_a_point(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = [
        "sweep",
        street,
        "--vary",
        "homes.battery_kwh=0:4:2",
        "-m",
        "uniform_price",
        "--seeds",
        2,
        *SHORT,
    ]
    outcome = call(capsys, *words, "--out", tmp_path)
    assert "18 runs: 3 points x 3 mechanisms x 2 seeds" in outcome.err
    rows = [line.split() for line in outcome.out.splitlines() if line[1:2].isdigit()]
    assert [row[:2] for row in rows] == [
        [value, label] for value in ("0", "2", "4") for label in ("retailer_only", "uniform_price")
    ]
    facts = one_object(call(capsys, *words, "--out", tmp_path, "--json", "-q"))
    assert [row["homes.battery_kwh"] for row in facts["rows"]] == [0] * 3 + [2] * 3 + [4] * 3
    assert {"saving", "saving_low", "saving_high"} <= set(facts["rows"][0])
    assert facts["intervals_over"] == "seeds"
    (folder,) = tmp_path.iterdir()
    csv = call(capsys, "show", folder, "points", "uniform_price", "--csv").out.splitlines()
    assert csv[0].startswith("homes.battery_kwh,mechanism,")
    assert len(csv) == 1 + 3
    assert "saving_by_mechanism_low" in csv[0]
    text = call(capsys, "show", folder, "points").out
    assert "At every point, money in EUR" in text


def test_cases_are_values_of_their_own(tmp_path: Path, capsys: Capture) -> None:
    words = ["sweep", "demo", "-m", "uniform_price", *SHORT, "--out", tmp_path, "-q", "--json"]
    facts = one_object(call(capsys, *words, "--vary", "case=base,low_feed_in"))
    assert list(facts["points"]) == ["case=base", "case=low_feed_in"]
    command = Comparison(facts["comparison"]).about["command"]
    assert "--vary case=base,low_feed_in" in command
    assert "--case" not in command
    refused(call(capsys, *words[:-1], "--vary", "case=low_feed"), 2, "did you mean 'low_feed_in'?")
    both = call(capsys, *words[:-1], "--vary", "case=base", "--case", "low_feed_in")
    refused(both, 2, "is what --vary case=... varies")


def test_python_and_the_command_line_sweep_into_one_folder(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = [
        "--set",
        "time.intervals=4",
        "--vary",
        "market.k=0:1:0.5",
        "-m",
        "uniform_price",
        "--out",
        tmp_path,
    ]
    facts = one_object(call(capsys, "sweep", street, *words, "--json", "-q"))
    scenario = ws.load(street, overrides=["time.intervals=4"])
    swept = ws.sweep(scenario, {"market.k": "0:1:0.5"}, "uniform_price", out=tmp_path)
    assert str(swept.path) == facts["comparison"]
    assert swept.frame["market.k"].unique().tolist() == [0, 0.5, 1]
    assert swept.plot.sweep("saving").data
    with pytest.raises(InvalidScenario, match="2 is too large"):
        ws.sweep(scenario, {"market.k": [2]}, out=tmp_path)
