"""Where a run in process ends: amounts beyond 64 bits, gates that close a day ahead, little history."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from market.errors import AmountTooLarge
from market.units import INT64_SAFE, IntArray
from tests.kits.run_kit import FIRST, call, files_below, write_street
from wattswap.results import RunResult
from wattswap.runs.books import build_book
from wattswap.runs.engine import Run, begin, own_chain
from wattswap.runs.interval import clear_book, settled_interval
from wattswap.runs.prepare import Setup, prepare

LARGE = ["tariff.import_per_kwh=900000", "tariff.grid_fee_remote_per_kwh=0"]
SENTENCE = "pass 2^62 nano-currency (about 4.6e9 currency units); use a larger currency unit in the scenario"


def started(street: Path, folder: Path, *settings: str) -> tuple[Setup, Run]:
    """A run before its first interval."""
    setup = prepare(ws.load(street, overrides=settings))
    partial = begin(setup, folder)
    return setup, Run(setup, partial, own_chain(setup, partial))


def test_a_run_whose_amounts_are_too_large_together_is_refused_in_one_sentence(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every interval fits, the run does not; that is the scenario's doing, so it is no bug and leaves nothing."""
    monkeypatch.setattr("wattswap.runs.totals.INT64_SAFE", 10**16)
    settings = [word for setting in LARGE for word in ("--set", setting)]
    outcome = call(capsys, "run", street, "--out", tmp_path, "-q", *settings)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.startswith("warning: ")  # of the price
    assert outcome.err.splitlines()[1:] == [f"Error: the amounts of the run together {SENTENCE}"]
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("mechanism", ["uniform_price", "retailer_only"])
def test_an_interval_whose_amounts_are_too_large_is_refused_in_one_sentence(
    mechanism: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    street = write_street(tmp_path / "street")
    file = street / "meter.csv"
    line = next(
        line for line in file.read_text().splitlines() if line.startswith("2026-06-02T00:00:00Z,home-3")
    )
    file.write_text(file.read_text().replace(line, "2026-06-02T00:00:00Z,home-3,9999.000,0.000"))
    settings = ["--set", "data.fuse_kw=1000000", "--set", "tariff.import_per_kwh=1000000"]
    outcome = call(capsys, "run", street, "--out", tmp_path / "runs", "-q", "-m", mechanism, *settings)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.startswith("warning: ")  # of the price
    (sentence,) = outcome.err.splitlines()[1:]
    assert (
        "the bills of this run are about 1e+10 EUR, and a run can count 4.6e+09 EUR; run a shorter"
        in sentence
    )
    assert files_below(tmp_path / "runs") == []


def test_a_run_is_stopped_before_any_sum_of_its_bills_wraps(street: Path, tmp_path: Path) -> None:
    """Without orders every home pays import price times import; summed here without a limit to the size."""
    setup, run = started(street, tmp_path, *LARGE)
    homes, import_wh = len(setup.roster), 100_000
    owed = import_wh * 900_000_000_000
    stopped = 0
    for done in range(1, setup.intervals + 1):
        try:
            live_without_orders(setup, run, np.full(homes, import_wh, dtype=np.int64))
        except AmountTooLarge:
            stopped = done
            break
        assert run.totals.bills["baseline_nano"].tolist() == [-done * owed] * homes
        assert run.totals.system_nano.tolist() == [done * homes * owed, 0, 0]
    run.close()
    assert 2 < stopped < setup.intervals
    # What is counted: paid by homes, got by the retailer, and the bill without a market.
    assert 3 * homes * owed * (stopped - 1) < INT64_SAFE <= 3 * homes * owed * stopped


def live_without_orders(setup: Setup, run: Run, import_wh: IntArray) -> None:
    """One interval in which nobody ordered and every home imported."""
    nothing = np.zeros(0, dtype=np.int64)
    start_s = setup.start_of(run.done)
    book = build_book(setup.seed, start_s, nothing, nothing.astype(np.int8), nothing, nothing)
    clearing, _ = clear_book(setup, run.done, book)
    zero = np.zeros_like(import_wh)
    run.add(settled_interval(setup, run.done, book, clearing, import_wh, zero, {"stored_wh": zero}))


def test_the_count_towards_the_limit_goes_on_after_a_resumption(street: Path, tmp_path: Path) -> None:
    _, run = started(street, tmp_path)
    for _ in range(3):
        run.step()
    run.checkpoint()
    counted = run.totals.turnover_nano
    run.close()
    chain = own_chain(run.setup, run.folder)
    resumed = Run(run.setup, run.folder, chain)
    resumed.restore(chain)
    resumed.close()
    assert counted > 0
    assert resumed.totals.turnover_nano == counted


def orders_by_interval(run: RunResult) -> list[int]:
    found: list[int] = run.table("intervals")["orders"].tolist()
    return found


@pytest.mark.parametrize("gate_closure_minutes", [60, 180, 1_440])
def test_the_first_interval_has_orders_whatever_the_lead_of_the_gate(
    gate_closure_minutes: int, street: Path, tmp_path: Path
) -> None:
    """One day of forecast needs the day before gate closure: the history that is kept reaches beyond it by the lead."""
    start = f"{FIRST.replace(day=3):%Y-%m-%dT%H:%M:%SZ}"
    run = ws.run(
        ws.load(
            street,
            overrides=[
                f"time.start={start}",
                "time.days=1",
                "homes.forecast_days=1",
                f"market.gate_closure_minutes={gate_closure_minutes}",
            ],
        ),
        out=tmp_path,
    )
    assert orders_by_interval(run)[0] > 0
    assert run.metrics["traded_kwh"] > 0
