"""The command line of the simulator: exit codes, stories, plans, slices."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wattswap.simulation import command
from wattswap.simulation.__main__ import main
from wattswap.simulation.options import read_options, words_of
from wattswap.simulation.plan import (
    PLAN_BYTES_MAX,
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
    "false_within:home-01",
    "--quiet-network",
    "--intervals",
    "2",
    "--workers",
    "1",
)


LIED = Path(__file__).with_name("plans") / "false_within.json"


@pytest.fixture(autouse=True)
def _results_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")


def test_a_violation_ends_with_6_the_story_and_the_command_that_repeats_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    assert main([*FALSE, "--save", str(plan)]) == 6
    out = capsys.readouterr().out
    assert "violated: meters" in out
    assert "operator-0 answers for the reading" in out
    assert "its meter counted" in out
    assert "again: python -m wattswap.simulation --seeds 1 --intervals 2 --lie false_within:home-01" in out
    assert main(["--plan", str(plan)]) == 6
    out = capsys.readouterr().out
    assert "violated: meters" in out
    assert f"again: python -m wattswap.simulation --plan {plan}" in out


def test_a_lie_that_hurts_nobody_is_counted_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    late = ("--seeds", "1", "--lie", "late:operator-0:home-01", "--quiet-network", "--intervals", "2")
    assert main([*late, "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "nothing is violated" in out
    assert "lie late: reaches somebody in 1 seed\n" in out


def test_a_slice_is_not_run_again_with_the_same_code(capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--intervals", "2", "--quiet-network", "--workers", "1")
    assert main(["--seeds", "0..2", *few]) == 0
    assert "2 seeds, 0 of them from earlier slices" in capsys.readouterr().out
    assert main(["--seeds", "0..3", *few]) == 0
    assert "3 seeds, 2 of them from earlier slices" in capsys.readouterr().out
    assert main(["--seeds", "0..1", *few, "--again"]) == 0
    assert "1 seed, 0 of them from earlier slices" in capsys.readouterr().out


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
    assert main(["--plan", str(path)]) == code
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert main(["--plan", str(tmp_path / "none.json")]) == 3


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (Plan(acts=(Act("crash", ("home-99",)),)), "names no node: 'home-99'; did you mean"),
        (Plan(acts=(Act("crash", ()),)), "names no node"),
        (Plan(acts=(Act("rotate", ("operator-0",)),)), "rotate names a node without homes: 'operator-0'"),
        (Plan(acts=(Act("rotate", ("home-01",)),) * 2), "rotate names home-01 twice"),
        (Plan(acts=(Act("rotate", ("home-01", "home-02")),)), "rotate names several nodes"),
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
    assert main(["--plan", str(path)]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("seeds", [str(SEEDS_MAX), "4x", "9..", "5..5", ""])
def test_seeds_out_of_range_are_refused(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", seeds, "--workers", "1"]) == 2
    assert "--seeds" in capsys.readouterr().err


def test_a_seed_that_cannot_be_simulated_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("wattswap.simulation.sweep.simulated", broken)
    assert main(["--seeds", "3", "--intervals", "2", "--quiet-network", "--workers", "1"]) == 6
    assert "seed 3: the simulation ended with RuntimeError: no such thing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--validators", "3"), "--validators: 3 is out of range; use 4 to 25"),
        (("--gateways", "-1"), "--gateways: -1 is out of range; use 0 to 13"),
        (("--intervals", "0"), "--intervals: 0 is out of range; use 1 to 1000"),
        (("--pace-seconds", "0"), "--pace-seconds: 0 is out of range; use 0.5 to 3600"),
        (("--pace-seconds", "nan"), "--pace-seconds: nan is out of range"),
        (("--workers", "0"), "--workers: 0 is out of range; use 1 to 256"),
        (("--workers", "x"), "--workers: 'x' is no whole number; `python -m wattswap.simulation -h` shows"),
        (("--pace-seconds", "x"), "--pace-seconds: 'x' is no number"),
        (("--intervals", "1000000"), "--intervals: 1000000 is out of range; use 1 to 1000"),
        (("--pace-seconds", "1e6"), "--pace-seconds: 1000000 is out of range"),
        (("--seeds", "0..1000001"), "--seeds: '0..1000001' has 1000001 seeds; run at most 1000000 in a call"),
        (("--seed", "3"), "--seed: is no option; did you mean --seeds?"),
        (("--sed=3",), "--sed: is no option; did you mean '--seeds'? Known: --seeds, --plan"),
        (("seven",), "seven: is no option; `python -m wattswap.simulation -h` shows the options"),
        (("--plan",), "--plan: expected one argument"),
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
    assert main([*words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"Error: {sentence}")
    assert err.count("\n") == 1


def test_the_role_that_does_not_fit_a_lie_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--lie", "settle_last:operator-0"]) == 2
    assert "settle_last is no lie of operator-0, whose role is operator" in capsys.readouterr().err


def test_options_of_seeds_are_refused_beside_a_plan_all_in_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    usual = {"seeds": "0..20", "validators": "4", "gateways": "0", "intervals": "8", "pace-seconds": "10"}
    words = [word for name, value in usual.items() for word in (f"--{name}", value)]
    words += ["--lie", "late:operator-0", "--quiet-network", "--byzantine", "--workers", "2", "--again"]
    assert main(["--plan", str(LIED), *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    named = err.removeprefix("Error: ").partition(": cannot be used with --plan; ")[0].split(", ")
    assert named == [word for word in words if word.startswith("--")]
    assert main(["--plan", str(LIED), "--workers", "2"]) == 2
    assert capsys.readouterr().err.startswith("Error: --workers: cannot be used with --plan")


def test_a_file_that_is_written_is_none_that_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, link, new = tmp_path / "plan.json", tmp_path / "link.json", tmp_path / "new.json"
    plan.write_bytes(LIED.read_bytes())
    link.hardlink_to(plan)
    given = ["--plan", str(plan)]
    for words, sentence in (
        (["--trace", str(plan)], f"--trace: {plan} is the file of --plan"),
        (["--trace", f"{tmp_path}/../{tmp_path.name}/plan.json"], "is the file of --plan"),
        (["--shrink", "--save", str(link)], f"--save: {link} is the file of --plan"),
        (["--shrink", "--save", str(new), "--trace", str(new)], f"--trace: {new} is the file of --save"),
        (["--save", str(new)], "--save: with --plan needs --shrink"),
    ):
        assert main([*given, *words]) == 2
        assert sentence in capsys.readouterr().err
    assert plan.read_bytes() == LIED.read_bytes()
    assert not new.exists()


def test_a_plan_without_an_end_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(LIED.read_bytes() + b" " * PLAN_BYTES_MAX)
    for path in (large, *([Path("/dev/zero")] if Path("/dev/zero").exists() else [])):
        assert main(["--plan", str(path)]) == 3
        assert f"{path}: is larger than 1000000 bytes; write plans with" in capsys.readouterr().err


def test_a_plan_that_violates_nothing_is_not_made_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shrink(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(command, "shrink", shrink)
    path, saved = tmp_path / "plan.json", tmp_path / "saved.json"
    path.write_text(plan_json(Plan(shape=Shape(intervals=1), calm_after=1)), encoding="utf-8")
    assert main(["--plan", str(path), "--shrink", "--save", str(saved)]) == 0
    assert "nothing is violated" in capsys.readouterr().out
    assert not saved.exists()


def test_the_command_that_repeats_a_seed_has_all_that_it_was_drawn_from() -> None:
    words = (
        "--validators 7 --gateways 2 --intervals 3 --pace-seconds 3.123456789 --lie late:operator-0:home-01"
    )
    words += " --lie flood:stranger --quiet-network --byzantine"
    options = read_options(words.split())
    assert options is not None
    assert words_of(options.draw) == f" {words}"
    usual = read_options([])
    assert usual is not None
    assert words_of(usual.draw) == ""


def test_on_a_terminal_no_line_is_wider_than_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    assert main(["--lie", "late:zebra"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") > 1
    assert max(map(len, err.splitlines())) <= 80
    assert " ".join(err.split()).endswith("home-12, home-13")
    assert main([*FALSE]) == 6
    story = capsys.readouterr().out.partition("again:")[0]
    assert "violated: meters" in story
    assert max(map(len, story.splitlines())) <= 80
    assert main(["--plan", str(LIED)]) == 6
    trace, messages, *_ = capsys.readouterr().out.splitlines()
    assert len(trace.removeprefix("trace ")) == 64
    assert messages.endswith(" messages")
