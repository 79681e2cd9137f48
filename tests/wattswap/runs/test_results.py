"""What a finished run says of itself: percentages that mean something, tables by name, the sum of the bills."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import wattswap as ws
from market.metrics.fairness import percent_of
from tests.kits.run_kit import call, write_street
from wattswap.cli.output import Progress
from wattswap.errors import UsageError
from wattswap.results import RunResult
from wattswap.runs.shown import bills_in_cents


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("results")
    return ws.run(ws.load(write_street(folder / "street")), out=folder / "runs")


@pytest.mark.parametrize(
    ("saving", "without", "expected"),
    [(2.0, 8.0, 25.0), (6.0, -8.0, 75.0), (-1.0, 4.0, -25.0), (5.0, 0.0, None), (10.78, 0.03, None)],
)
def test_a_percentage_of_next_to_nothing_does_not_exist(
    saving: float, without: float, expected: float | None
) -> None:
    assert percent_of(saving, without) == expected


def test_an_unknown_table_is_named_with_the_known_ones(result: RunResult) -> None:
    with pytest.raises(UsageError, match=r"no table 'reading'.*did you mean 'readings'"):
        result.table("reading")


def test_the_printed_bills_end_with_their_sum(result: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    bills = result.bills()
    last = [line for line in call(capsys, "show", result.path, "bills").out.splitlines() if line.strip()][-1]
    name, *cells = last.split()
    assert name == "all"
    assert float(cells[4]) == pytest.approx(bills["cost_without_market"].sum(), abs=0.0051)
    assert float(cells[5]) == pytest.approx(bills["cost_with_market"].sum(), abs=0.0051)


def test_why_adds_the_money_of_a_home_up_to_its_bill(
    result: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(result.bills().index[0])
    *_, total, said = [
        line for line in call(capsys, "show", result.path, "why", home).out.splitlines() if line.strip()
    ]
    cost = bills_in_cents(result.bills()).loc[home, "cost_with_market"]
    assert float(total.split()[-1]) == -cost
    assert said == f"The bill with the market is {cost:.2f}: the total with the other sign."


def test_homes_left_out_are_named_above_the_bills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    street = write_street(tmp_path / "street")
    meter = street / "meter.csv"
    rows = meter.read_text().splitlines()
    gone = next(i for i in range(len(rows) - 1, 0, -1) if ",home-2," in rows[i])
    meter.write_text("\n".join([*rows[:gone], *rows[gone + 1 :]]) + "\n")
    arguments = (street, "--set", "data.on_missing=drop_home")
    assert "left out for missing readings: home-2" in call(capsys, "validate", *arguments).out
    out = call(capsys, "run", *arguments, "--out", tmp_path / "runs", "-q").out
    assert "Left out for missing readings home-2" in " ".join(out.split())


def test_a_tab_in_a_notebook_shows_what_can_be_called() -> None:
    assert {"run", "load", "clear", "verify", "demo"} <= set(dir(ws))


@pytest.mark.parametrize(
    ("key", "value"), [("chain", []), ("data", None), ("versions", 3), ("files", "x"), ("network", 1)]
)
def test_every_reader_tells_of_a_damaged_manifest(
    result: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: object
) -> None:
    copy = Path(shutil.copytree(result.path, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {key: value}))
    for command in ("show", "report", "verify"):
        done = call(capsys, command, copy)
        assert (done.code, done.out) == (5, ""), (command, done.err)
        assert f"{key} must be an object" in done.err


def test_an_error_after_progress_has_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for done, end in ((1, "no trade\n"), (2, "no trade\n")):
        with Progress("run", quiet=False) as progress:
            progress(done, 2, None)
        shown = capsys.readouterr().err
        assert shown.endswith(end)
        assert shown.count("\n") == 1
