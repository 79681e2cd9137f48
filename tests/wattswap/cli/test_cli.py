"""The command line: what each command prints where, its exit codes, and what bad input leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.kits.run_kit import call, files_below, one_object, python, refused, start, write_street
from wattswap.results import RunResult

Capture = pytest.CaptureFixture[str]
INTERVAL = "2026-06-02T12:00Z"


# ---- run


def test_run_prints_the_summary_and_every_bill_on_stdout_and_progress_on_stderr(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    outcome = call(capsys, "run", street, "--out", tmp_path)
    assert outcome.code == 0
    for phrase in ("tiny: 3 homes, 48 intervals", "Agreed ahead", "EUR/kWh", "home-1", "home-3"):
        assert phrase in outcome.out
    assert "intervals, " not in outcome.out.split("\n", 1)[1]
    assert "uniform_price: 48/48 intervals" in outcome.err
    assert len(outcome.err.splitlines()) == 10
    (folder,) = tmp_path.iterdir()
    assert str(folder) in outcome.out


def test_run_json_is_one_object_with_the_folder_and_the_figures(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    outcome = call(capsys, "run", street, "--out", tmp_path, "--json", "--quiet")
    facts = one_object(outcome)
    assert outcome.err == ""
    assert RunResult(facts["run"]).metrics.items() <= facts.items()


def test_run_takes_mechanism_seed_case_and_keys_from_the_command_line(
    tmp_path: Path, capsys: Capture
) -> None:
    street = write_street(tmp_path / "street", more="[case.short]\ntime.days = 1\n")
    options = ["-m", "retailer_only", "--seed", 3, "--set", "chain.authorities=5", "--case", "short", "-q"]
    facts = one_object(call(capsys, "run", street, "--out", tmp_path / "runs", "--json", *options))
    manifest = RunResult(facts["run"]).manifest
    found = [manifest[name] for name in ("mechanism", "seed", "intervals")]
    assert found == ["retailer_only", 3, 24]
    assert manifest["chain"]["authorities"] == 5


def test_a_dry_run_prints_the_scenario_and_writes_nothing(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    facts = one_object(call(capsys, "run", street, "--out", tmp_path / "runs", "--dry-run"))
    assert (facts["homes"], facts["intervals"], facts["scenario"]["seed"]) == (3, 48, 7)
    assert files_below(tmp_path) == []


def test_the_demo_needs_no_file(tmp_path: Path, capsys: Capture) -> None:
    outcome = call(capsys, "run", "demo", "--dry-run", "--out", tmp_path)
    assert one_object(outcome)["homes"] == 13


BAD_RUNS = {
    "a missing file": (["nowhere.toml"], 3, ["nowhere.toml: cannot be read", "wattswap new"]),
    "an unknown mechanism": (["{street}", "-m", "uniform_prise"], 2, ["did you mean 'uniform_price'?"]),
    "an unknown case": (["{street}", "--case", "summer"], 2, ["summer"]),
    "an unknown key": (["{street}", "--set", "market.kk=1"], 3, ["market.kk: unknown key", "market.k"]),
    "a wrong value": (["{street}", "--set", "market.k=2"], 3, ["market.k: 2 is too large; the largest is 1"]),
    "a seed that is text": (["{street}", "--seed", "x"], 2, ["--seed"]),
    "an unknown option": (["{street}", "--sed", "3"], 2, ["--sed"]),
    "no scenario": ([], 2, ["SCENARIO"]),
    "days without data": (["{street}", "--set", "time.days=9"], 3, ["time.days", "the data hold 2026-06-01"]),
    "an unknown home": (
        ["{street}", "--set", 'data.households=["home-9"]'],
        3,
        ["no home 'home-9'", "home-1"],
    ),
    "a folder that is a file": (["{street}", "--out", "{street}/meter.csv"], 3, ["meter.csv", "directory"]),
}


@pytest.mark.parametrize("what", BAD_RUNS)
def test_a_run_that_cannot_start_says_why_and_writes_nothing(
    what: str, street: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, code, phrases = BAD_RUNS[what]
    before = files_below(street)
    outcome = call(
        capsys, "run", *(argument.replace("{street}", str(street)) for argument in arguments), "-q"
    )
    refused(outcome, code, *phrases)
    assert (files_below(tmp_path), files_below(street)) == ([], before)


@pytest.mark.parametrize("what", BAD_RUNS)
def test_the_same_refusal_with_json_is_one_object_on_stdout(
    what: str, street: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, code, _ = BAD_RUNS[what]
    arguments = [argument.replace("{street}", str(street)) for argument in arguments]
    outcome = call(capsys, "run", *arguments, "-q", "--json")
    error = one_object(outcome)["error"]
    assert (outcome.code, error["code"], outcome.err) == (code, code, "")
    assert error["message"]


def test_every_wrong_line_of_a_meter_file_is_named(tmp_path: Path, capsys: Capture) -> None:
    street = write_street(tmp_path / "street")
    lines = (street / "meter.csv").read_text(encoding="utf-8").splitlines()
    lines[4] = lines[4].rsplit(",", 2)[0] + ",nan,0"
    lines[8] = lines[8].rsplit(",", 2)[0] + ",-1.5,0"
    (street / "meter.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = call(capsys, "run", street, "--out", tmp_path / "runs", "-q")
    refused(outcome, 3, "5", "9", "meter.csv")
    assert not (tmp_path / "runs").exists()


# ---- resume and verify of what is no run


@pytest.mark.parametrize(
    "command", [["resume"], ["verify"], ["show"], ["chain", "show"], ["chain", "verify"]]
)
def test_a_folder_that_is_no_run_is_refused(command: list[str], tmp_path: Path, capsys: Capture) -> None:
    for folder, what in ((tmp_path, "no "), (tmp_path / "missing", "there is no such folder")):
        refused(call(capsys, *command, folder), 3, f"{folder}: {what}")
        assert one_object(call(capsys, *command, folder, "--json"))["error"]["code"] == 3
    assert files_below(tmp_path) == []


def test_verify_prints_each_check_on_stdout(finished: RunResult, capsys: Capture) -> None:
    outcome = call(capsys, "verify", finished.path)
    assert outcome.code == 0
    assert [line.split()[:2] for line in outcome.out.splitlines() if line[:1] != " "] == [
        *(["ok", name] for name in ("files", "chain", "tables", "again")),
        *(["--", name] for name in ("times", "machine", "base", "unused", "log")),
    ]
    assert "recompute: 48/48 intervals" in outcome.err
    assert "Verified" in outcome.err


def test_verify_names_meter_data_that_are_gone(tmp_path: Path, capsys: Capture) -> None:
    street = write_street(tmp_path / "street", days=1)
    facts = one_object(call(capsys, "run", street, "--out", tmp_path / "runs", "--json", "-q"))
    (street / "meter.csv").unlink()
    refused(call(capsys, "verify", facts["run"], "-q"), 3, "meter.csv")


# ---- show

VIEWS = {
    ("summary",): "Agreed ahead",
    ("bills",): "Bills in EUR",
    ("prices",): "by hour of the day (UTC)",
    ("book",): "Order book of Tue 02 Jun 2026",
    ("book", INTERVAL): "Order book of Tue 02 Jun 2026 12:00 (UTC)",
    ("block", "3"): "2026-06-02T02:00Z",
    ("why", "home-2"): "home-2: energy in kWh, money in EUR",
}


@pytest.mark.parametrize("view", VIEWS)
def test_show_prints_each_view_as_text_and_as_one_object(
    view: tuple[str, ...], finished: RunResult, capsys: Capture
) -> None:
    outcome = call(capsys, "show", finished.path, *view)
    assert (outcome.code, outcome.err) == (0, "")
    assert VIEWS[view] in outcome.out
    outcome = call(capsys, "show", finished.path, *view, "--json")
    assert outcome.code == 0
    assert one_object(outcome)


def test_the_json_of_prices_has_iso_times_and_null_where_nothing_traded(
    finished: RunResult, capsys: Capture
) -> None:
    rows = one_object(call(capsys, "show", finished.path, "prices", "--json"))["rows"]
    assert rows[0]["interval_start"] == "2026-06-02T00:00:00+00:00"
    assert [row["price_per_kwh"] is None for row in rows] == [row["traded_kwh"] == 0 for row in rows]


def test_the_book_lists_high_bids_and_low_offers_first(street: Path, tmp_path: Path, capsys: Capture) -> None:
    run = RunResult(one_object(call(capsys, "run", street, "--out", tmp_path, "--json", "-q"))["run"])
    path = run.path / "orders.parquet"
    table = pq.read_table(path)
    limits = pa.array([100_000 + 1_000 * (7 * i % 5) for i in range(table.num_rows)], pa.int64())
    column = table.column_names.index("limit_micro_per_kwh")
    pq.write_table(table.set_column(column, "limit_micro_per_kwh", limits), path)
    manifest = json.loads((run.path / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (run.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    rows = one_object(call(capsys, "show", run.path, "book", "--json"))["rows"]
    bids = [row["limit_per_kwh"] for row in rows if row["side"] == "buy"]
    offers = [row["limit_per_kwh"] for row in rows if row["side"] == "sell"]
    assert [row["side"] for row in rows] == ["buy"] * len(bids) + ["sell"] * len(offers)
    assert bids == sorted(bids, reverse=True)
    assert offers == sorted(offers)


def test_why_sums_up_to_the_bill(finished: RunResult, capsys: Capture) -> None:
    rows = one_object(call(capsys, "show", finished.path, "why", "home-2", "--json"))["rows"]
    bills = one_object(call(capsys, "show", finished.path, "bills", "--json"))["rows"]
    paid = -sum(row[kind] for row in rows for kind in ("trade", "imbalance", "retail", "grid_fee"))
    (bill,) = [row for row in bills if row["household"] == "home-2"]
    assert paid == pytest.approx(bill["cost_with_market"], abs=1e-9)


@pytest.mark.parametrize(
    ("view", "phrase"),
    [
        (["bill"], "Did you mean 'bills'?"),
        (["why"], "known: home-1, home-2, home-3"),
        (["why", "hom-1"], "Did you mean 'home-1'?"),
        (["block"], "needs the height of a block"),
        (["block", "49"], "the chain has blocks 1 to 48"),
        (["block", "x"], "needs the height of a block"),
        (["book", "2020-01-01T00:00Z"], "the run has no interval 2020-01-01T00:00Z"),
        (["book", "noon"], "write it as 20"),
        (["book", "2026-06-02T12:00"], "names no zone"),
        (["network"], "this run used no network"),
    ],
)
def test_show_says_what_it_needs(view: list[str], phrase: str, finished: RunResult, capsys: Capture) -> None:
    refused(call(capsys, "show", finished.path, *view), 2, phrase)


@pytest.mark.parametrize("name", ["bills.parquet", "metrics.json", "manifest.json"])
def test_show_names_a_damaged_file(name: str, finished: RunResult, tmp_path: Path, capsys: Capture) -> None:
    copy = shutil.copytree(finished.path, tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes()[:40])
    refused(call(capsys, "show", copy), 5, f"{copy / name}: is damaged")


# ---- the whole


@pytest.mark.parametrize("arguments", [["-h"], ["run", "--help"], ["chain", "-h"], ["chain", "prove", "-h"]])
def test_help_works_everywhere(arguments: list[str], capsys: Capture) -> None:
    outcome = call(capsys, *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Usage: " in outcome.out


def test_an_unknown_command_is_a_usage_error(capsys: Capture) -> None:
    refused(call(capsys, "rum"), 2, "No such command 'rum'")
    assert one_object(call(capsys, "rum", "--json"))["error"]["code"] == 2


def test_no_command_prints_the_help_and_exits_with_2(capsys: Capture) -> None:
    outcome = call(capsys)
    assert outcome.code == 2
    assert "Usage: wattswap [OPTIONS] COMMAND" in outcome.out + outcome.err


def test_a_bug_exits_with_1_and_names_the_crash_file(
    street: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wattswap.runs import engine

    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(engine, "run", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outcome = call(capsys, "run", street, "-q")
    (crash,) = tmp_path.glob("wattswap-crash-*.txt")
    assert (outcome.code, outcome.out) == (1, "")
    assert str(crash) in outcome.err
    assert "ZeroDivisionError: on purpose" in crash.read_text()
    outcome = call(capsys, "run", street, "-q", "--json")
    assert one_object(outcome)["error"]["code"] == 1


def test_debug_shows_where_an_error_came_from(tmp_path: Path, capsys: Capture) -> None:
    outcome = call(capsys, "verify", tmp_path, "--debug")
    assert outcome.code == 3
    assert "Traceback" in outcome.err


def test_a_process_of_its_own_keeps_data_and_progress_apart(street: Path, tmp_path: Path) -> None:
    process = start("run", street, "--out", tmp_path, "--json", NO_COLOR="1")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["intervals"] == 48
    assert "48/48 intervals" in err
    assert "\x1b" not in out + err


def test_a_reader_that_has_seen_enough_is_no_error(finished: RunResult) -> None:
    program = (
        f"from wattswap.cli import main; main(['show', {str(finished.path)!r}, 'why', 'home-1', '--json'])"
    )
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_wattswap_is_the_command_line() -> None:
    done = python(
        "import runpy, sys; sys.argv = ['wattswap', '-h']; runpy.run_module('wattswap', run_name='__main__')"
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout
