"""One scenario, one saving: run, compare, live, report and Python tell the same amounts to the nano."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.drawn_kit import MECHANISMS, RATIONINGS, RULES, drawn
from tests.kits.run_kit import call, one_object, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.town_kit import playing
from wattswap.nodes.live import run_live
from wattswap.report.of_comparison import story_of_comparison
from wattswap.report.of_run import story_of_run

PARTS = (
    "saving",
    "saving_by_mechanism",
    "saving_by_imbalance_rule",
    "saving_from_outside",
    "saving_bound",
    "cost_with_market",
)
SCENARIOS = 20
LIVE = (0, 7, 13)
SAMPLE = (3, 9, 13, 16, 19)
"""Scenarios of `make test`."""


def nano(figures: object, name: str) -> int:
    """An amount of currency as nano-currency."""
    return round(float(figures[name]) * 1e9)  # type: ignore[index]


@pytest.mark.parametrize("number", sample_of(range(SCENARIOS), SAMPLE))
def test_every_way_to_a_saving_gives_the_same(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    street, settings, mechanism = drawn(number, tmp_path / "street")
    scenario = ws.load(street, overrides=settings)
    sets = [word for setting in settings for word in ("--set", setting)]
    called = one_object(call(capsys, "run", street, *sets, "--out", tmp_path / "a", "--json", "-q"))
    compared = one_object(
        call(capsys, "compare", street, *sets, "-m", mechanism, "--out", tmp_path / "b", "--json", "-q")
    )
    run, comparison = (
        ws.run(scenario, out=tmp_path / "c"),
        ws.compare(scenario, mechanism, out=tmp_path / "d"),
    )
    told = story_of_run(run).outcome(mechanism)
    beside = story_of_comparison(comparison).outcome(mechanism)
    ways = {
        "wattswap run": called,
        "wattswap compare": compared["points"]["base"][mechanism],
        "ws.run": run.metrics,
        "ws.compare": comparison.summary().loc[mechanism],
        "report of a run": {name: told.value(name) for name in PARTS},
        "report of a comparison": {name: beside.value(name) for name in PARTS},
    }
    if number in LIVE:
        ways["live"] = run_live(scenario, out=tmp_path / "e", run_nodes=playing()).metrics
    for name in PARTS:
        found = {way: nano(figures, name) for way, figures in ways.items()}
        assert len(set(found.values())) == 1, (name, found, settings)
    bills = run.table("bills")
    credited = bills[["trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano"]].sum(axis=1)
    assert nano(called, "saving") == int((credited - bills["baseline_nano"]).sum())
    parts = sum(
        nano(called, f"saving_{name}") for name in ("by_mechanism", "by_imbalance_rule", "from_outside")
    )
    assert parts == nano(called, "saving")
    assert nano(called, "saving") + nano(called, "market_operator_income") <= nano(called, "saving_bound")


def test_the_scenarios_differ(tmp_path: Path) -> None:
    seen = [drawn(number, tmp_path / str(number))[1:] for number in range(SCENARIOS)]
    words = {setting for settings, _ in seen for setting in settings}
    assert {mechanism for _, mechanism in seen} == set(MECHANISMS)
    used = [word.partition("=")[2] for settings, _ in seen for word in settings if "imbalance" in word]
    assert {word for rule in RULES for word in rule.split("/")} == set(used)
    assert {f"homes.strategy={name}" for name in ("staircase", "truthful", "zi_c")} <= words
    assert {f"market.rationing={name}" for name in RATIONINGS} <= words


def test_huang_without_a_trade_brings_nothing(tmp_path: Path) -> None:
    run = ws.run(ws.load(write_street(tmp_path, homes=2), overrides=["market.mechanism=huang"]), out=tmp_path)
    assert run.metrics["traded_kwh"] == run.metrics["saving_by_mechanism"] == 0
    assert run.metrics["saving_by_imbalance_rule"] == run.metrics["saving"] == run.metrics["saving_bound"] > 0
