"""What figures rest on, in the same words everywhere; and times in the zone of the scenario."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

import wattswap as ws
from tests.kits.run_kit import call, one_object, write_street
from tests.kits.town_kit import playing
from wattswap.report.write import html_of, story_of
from wattswap.scenario.basis import BOUND, METERED, NO_IMBALANCE, ORDERED, moment, rests_on, title_of, zone_of

Capture = pytest.CaptureFixture[str]
RIDGE = "ridge, regression on the home's own last hours, days and weeks; a mean of 14 days until 28 are known"
SCALED = "scaled_median, median of the same local time over the last days, scaled by what the last half hour gave of it"
DAYS = "of the same time of day over the last"


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ({}, {"quantities": ORDERED, "forecast": f"{RIDGE}; of metered production, {SCALED}"}),
        ({"market": {"quantities": "metered"}}, {"quantities": METERED, "imbalance": NO_IMBALANCE}),
        ({"homes": {"forecast": "perfect_foresight"}}, {"bound": BOUND}),
        (
            {"homes": {"forecast": "same_hour_mean", "forecast_pv": "same_hour_median", "forecast_days": 3}},
            {"forecast": f"mean {DAYS} 3 days; of metered production, median {DAYS} 3 days"},
        ),
        ({"homes": {"forecast_pv": "ridge"}}, {"forecast": f"{RIDGE}; of metered production, {RIDGE}"}),
        (
            {"market": {"imbalance": "retailer", "rationing": "random"}},
            {
                "imbalance": "every home settles what its orders missed with the retailer",
                "rationing": "at equal limits by random draw",
            },
        ),
    ],
)
def test_the_words_are_those_of_the_scenario(scenario: dict[str, Any], said: dict[str, str]) -> None:
    found = rests_on(scenario)
    assert said.items() <= found.items()
    assert ("bound" in found) is ("bound" in said)


def test_production_is_named_where_there_is_a_meter_of_it() -> None:
    assert rests_on({}, metered_pv=False)["forecast"] == RIDGE


@pytest.mark.parametrize("said", [False, True])
def test_a_run_and_a_comparison_say_whether_production_is_metered(said: bool, tmp_path: Path) -> None:
    """Homes of a CSV of registers have no meter of it, those of the demo have one."""
    scenario = ws.demo(["time.intervals=4"]) if said else ws.load(write_street(tmp_path / "street"))
    run = ws.run(scenario, out=tmp_path / "runs")
    compared = ws.compare(scenario, ["uniform_price"], out=tmp_path / "comparisons")
    for result in (run, compared):
        assert ("of metered production" in result.rests_on["forecast"]) is said
        assert ("of metered production" in story_of(result.path).basis["forecast"]) is said


def test_a_mechanism_that_rations_by_its_own_rule_says_so() -> None:
    scenario = {"market": {"rationing": "random"}}
    found = rests_on(scenario)
    own = rests_on(scenario, mechanism="huang")
    assert own["rationing"] == "by the own rule of huang, which market.rationing does not reach"
    assert {**own, "rationing": ""} == {**found, "rationing": ""}
    assert rests_on(scenario, mechanism="mcafee") == found


def test_a_pool_names_its_shares() -> None:
    pooled = rests_on({"market": {"imbalance": "pooled", "imbalance_shares": "delivered"}})["imbalance"]
    assert pooled.endswith("by delivered trade, which homes can raise by ordering what they do not need")


def test_the_zone_is_that_of_tariff_time_or_data() -> None:
    tables = {"data": {"zone": "Asia/Kathmandu"}, "time": {"zone": "Europe/Berlin"}, "tariff": {}}
    assert zone_of(tables) == "Europe/Berlin"
    assert zone_of({**tables, "tariff": {"zone": "America/New_York"}}) == "America/New_York"
    assert zone_of({"data": {"zone": "Asia/Kathmandu"}}) == "Asia/Kathmandu"
    assert zone_of({}) == "UTC"
    assert moment("2016-09-18T22:00Z", "Europe/Berlin") == "Mon 19 Sep 2016 00:00"
    assert title_of({"name": "street", "title": "Our street"}) == "Our street"
    assert title_of({"name": "street"}) == "street"


@pytest.mark.parametrize("title", ["", "a\\nb", "x" * 81])
def test_a_title_is_one_line(title: str, tmp_path: Path, capsys: Capture) -> None:
    street = write_street(tmp_path)
    done = call(capsys, "validate", street, "--set", f'title="{title}"')
    assert done.code == 3
    assert "title" in done.err


def test_foresight_is_called_a_bound_in_every_output_and_times_are_local(
    tmp_path: Path, capsys: Capture
) -> None:
    street = write_street(tmp_path / "street", days=1)
    own = ["--set", "homes.forecast=perfect_foresight", "--set", "tariff.zone=Asia/Kathmandu", "-q"]
    own += ["--set", 'title="Our street"', "--out", tmp_path / "runs"]
    run = call(capsys, "run", street, *own)
    assert run.out.startswith("Our street: 3 homes, ")
    assert "05:45 (Asia/Kathmandu)" in run.out
    assert "bound" in run.out
    assert BOUND in " ".join(run.out.split())
    (folder,) = (tmp_path / "runs").iterdir()
    assert one_object(call(capsys, "show", folder, "--json"))["rests_on"]["bound"] == BOUND
    for view in ("bills", "prices", "shares", "why home-1"):
        assert BOUND in call(capsys, "show", folder, *view.split()).err, view
    assert "+05:45" in call(capsys, "show", folder, "prices", "--csv").out
    assert "+05:45" not in call(capsys, "show", folder, "prices", "--json").out
    html = html_of(story_of(folder))
    assert BOUND in html
    assert "times are those of Asia/Kathmandu" in html
    own[-1] = tmp_path / "compared"
    compared = call(capsys, "compare", street, "-m", "uniform_price", *own)
    assert BOUND in " ".join(compared.out.split())
    (folder,) = (tmp_path / "compared").iterdir()
    assert "05:45 (Asia/Kathmandu)" in html_of(story_of(folder))
    assert ws.Comparison(folder).zone == "Asia/Kathmandu"


HISTORY = (
    "3 of 3 homes that bid by 'staircase' have forecasts of less than two weeks behind them at the start"
)


@pytest.mark.parametrize(
    ("topic", "words", "forecast"),
    [("bound", BOUND, "perfect_foresight"), ("note", HISTORY, "same_hour_mean")],
)
def test_a_bound_and_a_short_history_are_told_by_every_output(
    topic: str, words: str, forecast: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattswap.nodes.live.run_processes", playing())
    street = write_street(tmp_path / "street", days=1)
    told: dict[str, str] = {}

    def tell(command: str, *arguments: object) -> dict[str, Any]:
        """Call it as text and with --json, in which the topic is among what the figures rest on."""
        done = call(capsys, command, *arguments)
        assert done.code == 0, done.err
        told[command] = done.out
        if "--out" in arguments:
            arguments = (*arguments[:-1], f"{arguments[-1]}-json")
        facts = one_object(call(capsys, command, *arguments, "--json"))
        assert facts["rests_on"][topic].startswith(words), command
        return facts

    known = ["--set", f"homes.forecast={forecast}", "-q"]
    run = tell("run", street, *known, "--out", tmp_path / "runs")["run"]
    tell("show", run)
    compared = tell("compare", street, "-m", "mcafee", *known, "--out", tmp_path / "compared")["comparison"]
    grid = ["--vary", "market.k=0,1", "-m", "mcafee"]
    tell("sweep", street, *grid, *known, "--out", tmp_path / "swept")
    tell("live", street, "--intervals", 2, "--no-compare", *known, "--out", tmp_path / "live")
    tell("report", compared, "--out", tmp_path / "page.html")
    told |= {
        "report": html_of(story_of(Path(run))),
        "report of a comparison": html_of(story_of(Path(compared))),
    }
    told |= {"run in Python": repr(ws.RunResult(run)), "comparison in Python": repr(ws.Comparison(compared))}
    escaped = {html.unescape(" ".join(text.split())): name for name, text in told.items()}
    assert [name for text, name in escaped.items() if words not in text] == []
