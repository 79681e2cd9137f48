"""The command line of the simulator: exit codes, stories, plans, slices."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattswap.simulation import __main__ as command
from wattswap.simulation.plan import (
    SEEDS_MAX,
    Act,
    Lie,
    Plan,
    Shape,
    Weather,
    draw_plan,
    plan_json,
    read_plan,
)

FALSE = (
    "--seeds",
    "1",
    "--lie",
    "false_reading:home-01",
    "--quiet-network",
    "--intervals",
    "2",
    "--workers",
    "1",
)


@pytest.fixture(autouse=True)
def _results_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")


def test_a_violation_ends_with_6_the_story_and_the_command_that_repeats_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    assert command.main([*FALSE, "--save", str(plan)]) == 6
    out = capsys.readouterr().out
    assert "violated: meters" in out
    assert "operator-0 answers for the reading" in out
    assert "its meter counted" in out
    assert "again: python -m wattswap.simulation --seeds 1 --intervals 2 --lie false_reading:home-01" in out
    assert command.main(["--plan", str(plan)]) == 6
    out = capsys.readouterr().out
    assert "violated: meters" in out
    assert f"again: python -m wattswap.simulation --plan {plan}" in out


def test_a_lie_that_hurts_nobody_is_counted_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    late = ("--seeds", "1", "--lie", "late:operator-0:home-01", "--quiet-network", "--intervals", "2")
    assert command.main([*late, "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "nothing is violated" in out
    assert "lie late: told in 1 seeds" in out


def test_a_slice_is_not_run_again_with_the_same_code(capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--intervals", "2", "--quiet-network", "--workers", "1")
    assert command.main(["--seeds", "0..2", *few]) == 0
    assert "2 seeds, 0 of them from earlier slices" in capsys.readouterr().out
    assert command.main(["--seeds", "0..3", *few]) == 0
    assert "3 seeds, 2 of them from earlier slices" in capsys.readouterr().out
    assert command.main(["--seeds", "0..1", *few, "--again"]) == 0
    assert "1 seeds, 0 of them from earlier slices" in capsys.readouterr().out


def test_a_plan_is_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for seed in range(50):
        plan = draw_plan(seed, Shape(), [f"validator-{i}" for i in range(4)] + ["operator-0", "home-01"])
        path.write_text(plan_json(plan), encoding="utf-8")
        assert read_plan(path) == plan


@pytest.mark.parametrize(
    ("text", "sentence", "code"),
    [
        ('{"version": 7}', "is a plan of version 7", 3),
        ("[]", "is not a plan", 3),
        ('{"version": 1, "acts": [{"kind": "explode", "who": []}]}', "is not a plan", 3),
    ],
)
def test_a_plan_that_cannot_be_read_is_refused(
    text: str, sentence: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    assert command.main(["--plan", str(path)]) == code
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert command.main(["--plan", str(tmp_path / "none.json")]) == 3


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (Plan(acts=(Act("crash", ("home-99",)),)), "names no node: 'home-99'; did you mean"),
        (Plan(acts=(Act("crash", ()),)), "names no node"),
        (Plan(lies=(Lie("laet", "operator-0"),)), "no lie 'laet'; did you mean 'late'"),
        (Plan(lies=(Lie("late", "operator-9"),)), "names no node: 'operator-9'"),
        (Plan(seed=-1), "seed: -1 is out of range; use 0 to 4294967295"),
        (Plan(calm_after=-1), "plan: calm_after of -1 is negative; use 0 or more"),
        (Plan(weather=Weather(loss=-0.5)), "weather: loss of -0.5 is negative"),
        (Plan(acts=(Act("crash", ("home-01",), after_s=-1.0),)), "acts: crash: after_s of -1 is negative"),
        (Plan(lies=(Lie("late", "operator-0", first=-1),)), "lies: late: first of -1 is negative"),
    ],
)
def test_a_plan_that_names_nobody_or_a_negative_number_is_refused(
    plan: Plan, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(plan_json(plan), encoding="utf-8")
    assert command.main(["--plan", str(path)]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("seeds", [str(SEEDS_MAX), "4x", "9..", "5..5", ""])
def test_seeds_out_of_range_are_refused(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seeds", seeds, "--workers", "1"]) == 2
    assert "--seeds" in capsys.readouterr().err


def test_a_seed_that_cannot_be_simulated_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("wattswap.simulation.sweep.simulated", broken)
    assert command.main(["--seeds", "3", "--intervals", "2", "--quiet-network", "--workers", "1"]) == 6
    assert "seed 3: the simulation ended with RuntimeError: no such thing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--validators", "3"), "--validators: 3 is out of range; use 4 to 25"),
        (("--gateways", "-1"), "--gateways: -1 is out of range; use 0 to 13"),
        (("--intervals", "0"), "--intervals: 0 is out of range; use 1 to 1000"),
        (("--pace-seconds", "0"), "--pace-seconds: 0 is out of range; use 0.5 to 3600"),
        (("--pace-seconds", "nan"), "--pace-seconds: nan is out of range"),
        (("--workers", "0"), "--workers: 0 is out of range; use 1 or more"),
        (("--trace", "lines.txt"), "--trace: needs a plan"),
        (("--save", "none/plan.json"), "--save: there is no folder none"),
        (("--save", "."), "--save: . is a folder; name a file"),
        (("--lie", "late"), "--lie: 'late' names no node; write NAME:WHO"),
        (("--lie", ":operator-0"), "--lie: ':operator-0' names no lie; write NAME:WHO"),
    ],
)
def test_options_that_cannot_be_are_refused_in_a_sentence(
    words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_on_a_terminal_no_line_is_wider_than_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for stream in (command.sys.stdout, command.sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    assert command.main(["--lie", "late:zebra"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") > 1
    assert max(map(len, err.splitlines())) <= 80
    assert " ".join(err.split()).endswith("home-12, home-13")
    assert command.main([*FALSE]) == 6
    story = capsys.readouterr().out.partition("again:")[0]
    assert "violated: meters" in story
    assert max(map(len, story.splitlines())) <= 80
