"""compare and sweep on the command line: what they print where, their exit codes, and what bad input leaves behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.kits.run_kit import call, files_below, one_object, refused, start, write_street
from tests.kits.sample_kit import sample_of
from wattswap.results import Comparison

Capture = pytest.CaptureFixture[str]
FEW = ["-m", "uniform_price", "-m", "mcafee"]


def test_compare_prints_a_table_between_baseline_and_upper_bound(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    outcome = call(capsys, "compare", street, *FEW, "--seeds", 2, "--out", tmp_path)
    assert outcome.code == 0
    rows = [line.split()[0] for line in outcome.out.splitlines() if line.startswith(" ") and line.split()]
    labels = ["retailer_only", "uniform_price", "mcafee", "welfare_optimum"]
    assert [row for row in rows if row in labels] == labels * 2
    tables = [line for line in outcome.out.partition("The homes")[2].splitlines() if line.startswith(" ")]
    assert max(len(line.rstrip()) for line in tables) <= 80
    assert "tiny: 3 homes, 48 intervals of 60 min from Tue 02 Jun 2026 00:00 (UTC), seeds 7, 8" in outcome.out
    assert "Homes net what a mechanism leaves untraded (imbalance pooled)" in outcome.err
    assert "8/8 cells" in outcome.err
    (folder,) = tmp_path.iterdir()
    assert f"Folder  {folder}" in outcome.out


def test_the_table_the_json_and_the_frames_say_the_same(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    facts = one_object(call(capsys, "compare", street, *FEW, "--out", tmp_path, "--json", "-q"))
    frame = Comparison(facts["comparison"]).summary()
    for label, row in facts["points"]["base"].items():
        for metric, value in row.items():
            stored = frame.loc[label, metric]
            assert (value is None and stored != stored) or value == stored, (label, metric)
    assert (
        facts["saving_difference_to_reference"]["base"]["mcafee"]["low"] is None
    )  # one seed has no interval


def test_differences_to_any_of_them_are_printed(street: Path, tmp_path: Path, capsys: Capture) -> None:
    options = [*FEW, "--seeds", 3, "--out", tmp_path, "-q", "--against", "uniform_price"]
    text = call(capsys, "compare", street, *options)
    assert "Saved more than by uniform_price, in EUR" in text.out
    facts = one_object(call(capsys, "compare", street, *options, "--json"))
    saved = facts["saving_difference_to_reference"]["base"]
    means = facts["points"]["base"]
    assert facts["reference"] == "uniform_price"
    assert saved["uniform_price"]["mean"] == 0
    by_hand = means["mcafee"]["saving"] - means["uniform_price"]["saving"]
    assert saved["mcafee"]["mean"] == pytest.approx(by_hand)
    parts = facts["effects"]["base"]["mcafee"]
    assert parts["saving"] == pytest.approx(by_hand)
    own = means["mcafee"]["saving_by_mechanism"] - means["uniform_price"]["saving_by_mechanism"]
    assert parts["price_effect"] + parts["rationing_effect"] == pytest.approx(own)
    wrong = [*FEW, "--out", tmp_path, "--against", "uniform"]
    refused(call(capsys, "compare", street, *wrong), 2, "'uniform' is not compared", "uniform_price")


def test_quiet_is_quiet(street: Path, tmp_path: Path, capsys: Capture) -> None:
    first = call(
        capsys, "compare", street, *FEW, "--out", tmp_path, "--set", 'market.imbalance="retailer"', "-q"
    )
    assert (first.code, first.err) == (0, "")


@pytest.mark.parametrize(
    "rule", sample_of(["", "pooled", "middle", "clearing_price", "retailer"], ("", "clearing_price"))
)
def test_a_run_and_a_comparison_settle_imbalance_alike(
    rule: str, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    """One default of market.imbalance, and the same figures of both commands under every value."""
    settings = ["--set", f"market.imbalance={rule}"] if rule else []
    options = [*settings, "--out", tmp_path, "--json", "-q"]
    run = one_object(call(capsys, "run", street, "-m", "mcafee", *options))
    compared = one_object(call(capsys, "compare", street, "-m", "mcafee", *options))
    cell = compared["points"]["base"]["mcafee"]
    assert {name: run[name] for name in cell} == cell | {n: run[n] for n in ("qoe_saving", "clear_ms")}


def test_sharing_in_the_scenario_stays(tmp_path: Path, capsys: Capture) -> None:
    street = write_street(tmp_path / "street", more='imbalance = "middle"\n')
    outcome = call(capsys, "compare", street, *FEW, "--out", tmp_path / "out", "--json", "-q")
    rows = one_object(outcome)["points"]["base"]
    assert outcome.err == ""
    assert (
        rows["mcafee"]["settled_with_retailer_import_kwh"]
        == (rows["uniform_price"]["settled_with_retailer_import_kwh"])
    )


def test_sweep_compares_over_the_whole_grid(street: Path, tmp_path: Path, capsys: Capture) -> None:
    grid = ["--vary", "market.k=0,1", "--vary", "tariff.feed_in_per_kwh=0.05,0.1"]
    facts = one_object(
        call(capsys, "sweep", street, *grid, "-m", "uniform_price", "--out", tmp_path, "--json", "-q")
    )
    assert list(facts["points"]) == [
        "market.k=0 tariff.feed_in_per_kwh=0.05",
        "market.k=0 tariff.feed_in_per_kwh=0.1",
        "market.k=1 tariff.feed_in_per_kwh=0.05",
        "market.k=1 tariff.feed_in_per_kwh=0.1",
    ]
    cells = Comparison(facts["comparison"]).cells()
    assert len(cells) == 4 * 3
    assert set(cells["market.k"]) == {"0", "1"}
    saved = {point: rows["uniform_price"]["saving"] for point, rows in facts["points"].items()}
    assert saved["market.k=0 tariff.feed_in_per_kwh=0.05"] > saved["market.k=0 tariff.feed_in_per_kwh=0.1"]
    text = call(capsys, "sweep", street, *grid, "-m", "uniform_price", "--out", tmp_path, "-q")
    assert text.out.count("retailer_only") >= 4


@pytest.mark.parametrize(
    ("condition", "code", "phrase"),
    [
        ("saving < -5", 0, ""),
        ("traded_kwh < 1000", 6, "traded_kwh of uniform_price is"),
        ("mcafee.homes_worse_off >= 0", 6, "homes_worse_off of mcafee is"),
        ("co2_kg > 1", 6, "co2_kg of mcafee does not exist"),
        ("saving", 2, 'as in "saving < 10"'),
        ("mcafe.saving < 1", 2, "did you mean 'mcafee'?"),
        ("savings < 1", 2, "did you mean 'saving'?"),
        ("saving < nan", 2, "is not a condition"),
    ],
)
def test_conditions_decide_the_exit_code(
    condition: str, code: int, phrase: str, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    outcome = call(capsys, "compare", street, *FEW, "--out", tmp_path, "-q", "--fail-if", condition)
    assert outcome.code == code
    assert phrase in outcome.err
    assert bool(files_below(tmp_path)) == (code != 2), (
        "a condition that cannot be read stops before anything runs"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "phrases"),
    [
        (["-m", "mcaffee", "-m", "uniform"], 2, ["2 problems", "Did you mean 'mcafee'?", "'uniform'"]),
        (["-m", "mcafee:unit_kwh=0"], 2, ["unit_kwh: is 0", "above 0"]),
        (["-m", "uniform_price:k=2,rationing=fair"], 2, ["k: is 2", "rationing: is 'fair'"]),
        (["-m", "mcafee", "--set", "market.mechanism=vcg"], 2, ["use -m NAME"]),
        (
            ["-m", "uniform_price:k=inf", "-m", "uniform_price:k=1e9999999"],
            2,
            ["k: must be a number", "'1e9999999'"],
        ),
        (["-m", "uniform_price", "--seeds", "0"], 2, ["--seeds: is 0", "give at least 1"]),
        (["-m", "uniform_price", "--seeds", "-3"], 2, ["--seeds: is -3", "give at least 1"]),
        (["-m", "uniform_price", "--jobs", "0"], 2, ["--jobs: is 0"]),
        (["-m", "uniform_price", "--set", "market.k=2"], 3, ["too large"]),
        (["-m", "uniform_price", "--set", "time.days=99"], 3, ["the run would end"]),
    ],
)
def test_wrong_calls_leave_nothing_behind(
    arguments: list[str], code: int, phrases: list[str], street: Path, tmp_path: Path, capsys: Capture
) -> None:
    refused(call(capsys, "compare", street, *arguments, "--out", tmp_path / "out", "-q"), code, *phrases)
    assert not files_below(tmp_path)


@pytest.mark.parametrize(
    ("vary", "code", "phrases"),
    [
        (["market.k"], 2, ["is not KEY=VALUE,VALUE"]),
        (
            ["market.k=0,2", "market.q=1"],
            3,
            ["--vary market.k=2: 2 is too large", "--vary market.q=1: unknown key"],
        ),
        (["market.mechanism=vcg,mcafee"], 2, ["use -m NAME"]),
        (["market.k=0", "market.k=1"], 2, ["varies market.k again"]),
        (["seed=1,2"], 2, ["use --seed and --seeds"]),
        (["market.k=0,0"], 2, ["same setting twice"]),
        (["market.k=[0,0.5,1]"], 2, ["without brackets: --vary market.k=0,0.5,1"]),
        (["market.k=0;0.5"], 2, ["separated by commas, without brackets: --vary market.k=0,0.5"]),
        (["market.k=0 0.5 1"], 2, ["--vary market.k=0,0.5,1"]),
    ],
)
def test_a_wrong_grid_is_refused(
    vary: list[str], code: int, phrases: list[str], street: Path, tmp_path: Path, capsys: Capture
) -> None:
    options = [word for text in vary for word in ("--vary", text)]
    outcome = call(capsys, "sweep", street, *options, "-m", "uniform_price", "--out", tmp_path / "out", "-q")
    refused(outcome, code, *phrases)
    assert not files_below(tmp_path)


def test_a_failed_condition_is_part_of_the_one_object(street: Path, tmp_path: Path, capsys: Capture) -> None:
    outcome = call(
        capsys, "compare", street, *FEW, "--out", tmp_path, "-q", "--json", "--fail-if", "traded_kwh < 1000"
    )
    assert outcome.code == 6
    failed = one_object(outcome)["failed"]
    assert len(failed) == 2
    assert failed[0].startswith("--fail-if traded_kwh < 1000: traded_kwh of uniform_price is")


def test_parameters_on_the_command_line_belong_to_the_mechanism_on_it(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    options = ["-m", "mcafee", "--set", "market.params.unit_kwh=0.5", "--dry-run"]
    market = json.loads(call(capsys, "run", street, *options).out)["scenario"]["market"]
    assert (market["mechanism"], market["params"]) == ("mcafee", {"unit_kwh": "0.5"})
    wrong = ["-m", "mcafee", "--set", "market.params.unit=0.5", "--out", tmp_path]
    refused(call(capsys, "run", street, *wrong), 3, "unknown key 'unit'", "did you mean 'unit_kwh'?")


def test_parameters_behind_the_name_are_those_of_compare(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    def market(*arguments: str) -> dict[str, object]:
        found = json.loads(call(capsys, "run", street, *arguments, "--dry-run").out)["scenario"]["market"]
        assert isinstance(found, dict)
        return found

    told = market("-m", "mcafee:unit_kwh=0.5,b_missing=0.1")
    assert (told["mechanism"], told["params"]) == ("mcafee", {"unit_kwh": "0.5", "b_missing": "0.1"})
    told = market("-m", "pay_as_bid:price_rule=bid,k=0.3")
    assert (told["k"], told["params"]) == ("0.3", {"price_rule": "bid"})
    later = market("-m", "pay_as_bid:k=0.3", "--set", "market.k=0.7")
    assert later["k"] == "0.7"
    label = "mcafee:unit_kwh=0.02"
    facts = one_object(call(capsys, "compare", street, "-m", label, "--out", tmp_path, "--json", "-q"))
    options = ["-m", label, "--out", tmp_path / "runs"]
    run = one_object(call(capsys, "run", street, *options, "--json", "-q"))
    cell = facts["points"]["base"][label]
    assert run["traded_kwh"] == pytest.approx(cell["traded_kwh"])
    assert 0 < run["traded_kwh"] * 50 == pytest.approx(round(run["traded_kwh"] * 50))
    assert run["saving"] == pytest.approx(cell["saving"])


@pytest.mark.parametrize(
    ("choice", "code", "phrase"),
    [
        ("mcafee:unit=0.5", 2, "-m mcafee:unit=0.5: unknown key 'unit'; did you mean 'unit_kwh'?"),
        ("mcafee:unit_kwh", 2, "is not parameter=value"),
        ("mcafee:unit_kwh=0", 2, "above 0"),
        ("mcafe:unit_kwh=1", 2, "Did you mean 'mcafee'?"),
    ],
)
@pytest.mark.parametrize("command", ["run", "live"])
def test_wrong_parameters_behind_the_name_are_refused(
    command: str, choice: str, code: int, phrase: str, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    outcome = call(capsys, command, street, "-m", choice, "--out", tmp_path / "out", "-q")
    refused(outcome, code, phrase)
    assert not files_below(tmp_path)


def test_verify_proves_a_comparison(street: Path, tmp_path: Path, capsys: Capture) -> None:
    facts = one_object(call(capsys, "compare", street, *FEW, "--out", tmp_path, "--json", "-q"))
    outcome = call(capsys, "verify", facts["comparison"])
    assert (outcome.code, outcome.out) == (
        0,
        "ok  cells      4 recomputed from the scenario, every bill and interval equal\n",
    )
    assert one_object(call(capsys, "verify", facts["comparison"], "--json")) == {"cells": 4}


def test_an_interrupted_comparison_goes_on_with_the_same_command(tmp_path: Path, capsys: Capture) -> None:
    street = write_street(tmp_path / "street", homes=12, days=4)
    arguments = ["compare", street, *FEW, "--seeds", "4", "--out", tmp_path / "out"]
    process = start(*arguments)
    assert process.stderr is not None
    while "cells" not in process.stderr.readline():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same command continues" in errors
    (folder,) = (tmp_path / "out").iterdir()
    about = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    missing = len(about["missing"])
    assert 0 < missing < len(about["cells"])
    shown = call(capsys, "show", folder)
    assert "bug of wattswap" not in shown.err
    before = {path: number for number, path in enumerate(folder.glob("summary/**/part.parquet"), 10**18)}
    assert len(before) == len(about["cells"]) - missing
    for path, stamp in before.items():
        os.utime(path, ns=(stamp, stamp))  # none of now: whoever writes the file again changes it
    assert call(capsys, *arguments, "-q").code == 0
    about = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert not about["missing"]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
