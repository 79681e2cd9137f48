"""`wattswap size battery`: what it prints, where it ends, and that Ctrl-C works during a long solve."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattswap as ws
from optimizer.storage.store import Demand, Store
from tests.kits.run_kit import call, python, write_street
from wattswap.cli._sizing import StudyProgress
from wattswap.errors import InvalidScenario

Capture = pytest.CaptureFixture[str]
COST = "community.battery.cost_per_kwh=400"


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("command"), homes=4, days=3)


def found(capsys: Capture, *arguments: object) -> dict[str, Any]:
    outcome = call(capsys, "size", "battery", *arguments, "--json")
    assert outcome.code == 0, outcome.err
    result: dict[str, Any] = json.loads(outcome.out)
    return result


def test_json_is_what_python_gives(street: Path, capsys: Capture) -> None:
    assert found(capsys, street, "--range", "0:10:5") == ws.size_battery(street, "0:10:5").to_dict()


def test_csv_has_a_row_a_size(street: Path, capsys: Capture) -> None:
    outcome = call(capsys, "size", "battery", street, "--range", "0:10:5", "--csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert [float(row["capacity_kwh"]) for row in rows] == [0, 5, 10]
    assert rows[0]["payback_years"] == ""


def test_a_mistake_is_not_followed_by_a_size_that_a_study_does_not_need(
    street: Path, capsys: Capture
) -> None:
    done = call(capsys, "size", "battery", street, "--set", "community.battery.colour=1", "--json")
    error = json.loads(done.out)["error"]
    assert (done.code, [one["message"] for one in error["problems"]]) == (3, ["unknown key"])
    coloured = write_street(street.parent / "coloured", homes=2, more="\n[community.battery]\ncolour = 1\n")
    with pytest.raises(InvalidScenario, match="unknown key") as caught:
        ws.size_battery(coloured, "0,5")
    assert len(caught.value.problems) == 1


def test_a_study_on_a_grid_says_that_its_lines_limit_nothing(capsys: Capture) -> None:
    done = call(capsys, "size", "battery", "street_grid", "--set", "time.days=1", "--range", "0")
    text = " ".join(done.out.split())
    assert "Lines and transformers of the scenario limit nothing here" in text
    assert "13 homes, 1 day from" in text
    assert "extrapolated from 1 day." in text


@pytest.mark.parametrize("goal", ["welfare", "peak", "self_consumption"])
def test_the_tables_fit_80_columns_and_cut_no_number(
    street: Path, goal: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = ["size", "battery", street, "--goal", goal, "--set", COST, "--range", "0:10:5"]
    text = call(capsys, *command).out
    assert max(map(len, text.splitlines())) <= 80
    wide = call(capsys, *command, "--wide").out
    number = r"-?\d+\.\d+"
    assert set(re.findall(number, text)) <= set(re.findall(number, wide))
    assert "Left out" not in wide


def test_what_the_figures_rest_on_stands_below_them(street: Path, capsys: Capture) -> None:
    text = " ".join(call(capsys, "size", "battery", street, "--range", "5").out.split())
    assert "perfect foresight" in text
    assert "a season is not a year" in text
    assert "payback is undefined" in text


def test_one_empty_line_stands_before_a_table(street: Path, capsys: Capture) -> None:
    for cost in ([], ["--set", COST]):
        text = call(capsys, "size", "battery", street, "--range", "0,5", *cost).out
        assert "Who gains how much" in text
        assert "\n\n\n" not in text


def test_a_battery_that_never_pays_is_said_to(street: Path, capsys: Capture) -> None:
    dear = "community.battery.cost_per_kwh=1000000"
    text = call(capsys, "size", "battery", street, "--range", "0,5", "--set", dear).out
    assert "By rule, no battery of these sizes saves what it costs." in text


def test_a_figure_is_refused_before_the_work(street: Path, tmp_path: Path, capsys: Capture) -> None:
    outcome = call(capsys, "size", "battery", street, "--figure", tmp_path / "a.png")
    assert (outcome.code, outcome.out) == (2, "")
    written = tmp_path / "a.svg"
    assert call(capsys, "size", "battery", street, "--range", "0,5", "--figure", written).code == 0
    assert written.read_text(encoding="utf-8").startswith("<svg")
    assert call(capsys, "size", "battery", street, "--figure", written).code == 3


def test_progress_is_told_only_of_what_takes_long(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("wattswap.cli._sizing.time.monotonic", lambda: now[0])
    loud, quiet = StudyProgress(quiet=False), StudyProgress(quiet=True)
    for second in (1.0, 1.9, 2.5, 3.0, 5.0):
        now[0] = second
        loud("sizes", int(second), 9)
        quiet("sizes", int(second), 9)
    assert capsys.readouterr().err == "sizes: 2 of 9\nsizes: 5 of 9\n"


def test_a_run_refuses_the_table_and_names_this_command(street: Path, capsys: Capture) -> None:
    outcome = call(capsys, "run", street, "--set", COST)
    assert outcome.code == 3
    assert "wattswap size battery" in outcome.err
    assert call(capsys, "validate", street, "--set", COST).code == 0


PROGRAM = """
import os, signal, threading, time
from optimizer.storage.plan import Planner
from tests.wattswap.sizing.test_size_command import long_solve
demand, store = long_solve()
planner = Planner(demand, store)
sent = []
def interrupt():
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.5, interrupt).start()
try:
    planner.plan(store)
except KeyboardInterrupt:
    print(time.process_time() - sent[0])
else:
    print("ended")
"""
"""CPU seconds, as other processes may hold the machine for as long as they like."""


def long_solve() -> tuple[Demand, Store]:
    """Two years of quarter hours whose prices are all different: seconds of work for the solver."""
    draw, steps = np.random.default_rng(0), 2 * 35_040
    need, offer = draw.integers(0, 9_000, steps), draw.integers(0, 9_000, steps)
    sold = draw.integers(0, 100_000, steps)
    return Demand(need, offer, sold + draw.integers(0, 400_000, steps), sold), Store(
        40_000, 5_000, 950_000, 950_000
    )


def test_ctrl_c_stops_a_long_solve_within_a_second() -> None:
    done = python(PROGRAM, Path(__file__).parents[3])
    words = done.stdout.split()
    assert words, done.stderr
    if words[0] == "ended":
        pytest.skip("this machine solves it before it can be interrupted")
    assert float(words[0]) < 1.0
