"""Comparisons: a cell is a run without its record, and every figure follows from the cells."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import wattswap as ws
from market.book import OrderBook
from market.clearing import Clearing, check_feasible, no_trade
from market.metrics.table import METRICS
from market.rules import MarketRules
from market.settlement.accounts import SYSTEM_ACCOUNTS
from tests.kits.plugin_kit import own_registries
from tests.kits.run_kit import MONEY, call, one_object, write_street
from wattswap.comparison import runner
from wattswap.comparison.plan import BASE, CellKey, Point, make_plan
from wattswap.comparison.store import DATASETS, part_path
from wattswap.errors import InvalidScenario, UsageError
from wattswap.results import Comparison
from wattswap.scenario.load import load
from wattswap.selection import read_choices

CHOSEN = ["uniform_price", "pay_as_bid:price_rule=bid", "mcafee", "muda_vickrey"]


SEEDS = [7, 8, 9]


@pytest.fixture(scope="module")
def compared(street_by_lot: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return ws.compare(street_by_lot, CHOSEN, seeds=SEEDS, out=tmp_path_factory.mktemp("comparisons"))


@pytest.mark.parametrize("label", ["retailer_only", *CHOSEN, "welfare_optimum"])
def test_the_bills_of_a_cell_are_those_of_a_run(
    label: str, street_by_lot: Path, compared: Comparison, tmp_path: Path
) -> None:
    name, _, params = label.partition(":")
    overrides = [f"market.mechanism={name}", "seed=8"]
    overrides += [f"market.params.{params}"] if params else []
    run = ws.run(load(street_by_lot, overrides=overrides), out=tmp_path)
    cell = pq.ParquetFile(part_path(compared.path, "bills", CellKey(BASE, label, 8))).read().to_pandas()
    stored = run.table("bills")
    assert len(stored.columns) > 12
    for column in stored.columns.intersection(cell.columns):
        pd.testing.assert_series_equal(stored[column], cell[column], check_dtype=False)
    intervals = (
        pq.ParquetFile(part_path(compared.path, "intervals", CellKey(BASE, label, 8))).read().to_pandas()
    )
    of_run = run.table("intervals")
    for column in ("orders", "traded_wh", "welfare_nano", "operator_surplus_nano", "price_micro_per_kwh"):
        assert of_run[column].astype("Int64").tolist() == intervals[column].astype("Int64").tolist(), column


def test_money_adds_up_in_every_cell(compared: Comparison) -> None:
    for key in compared.cell_keys():
        bills = pq.ParquetFile(part_path(compared.path, "bills", key)).read().to_pandas()
        cell = runner.run_cell(compared.setup(key.mechanism, key.seed))
        assert int(bills[MONEY].to_numpy().sum()) + int(cell.totals.system_nano.sum()) == 0
        assert len(cell.totals.system_nano) == len(SYSTEM_ACCOUNTS)


def test_baseline_and_upper_bound_hold_every_mechanism_between_them(compared: Comparison) -> None:
    cells = compared.cells().set_index(["mechanism", "seed"])
    for seed in SEEDS:
        none, best = cells.loc[("retailer_only", seed)], cells.loc[("welfare_optimum", seed)]
        assert (none["saving"], none["traded_kwh"], none["welfare"]) == (0, 0, 0)
        assert best["allocative_efficiency"] == 1
        for label in CHOSEN:
            row = cells.loc[(label, seed)]
            assert 0 <= row["welfare"] <= best["welfare"]
            parts = row["buyer_surplus"] + row["seller_surplus"] + row["operator_surplus"]
            assert parts == pytest.approx(row["welfare"], abs=1e-9)
            assert row["saving_with_operator_surplus"] == pytest.approx(
                row["saving"] + row["market_operator_income"]
            )


def test_every_metric_is_on_its_page_and_can_be_a_condition(compared: Comparison) -> None:
    columns = set(compared.cells().columns) - {"point", "mechanism", "seed"}
    assert columns == set(METRICS.all())
    page = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "metrics.md").read_text(
        encoding="utf-8"
    )
    assert not [name for name in sorted(columns) if f"`{name}`" not in page]


def test_another_seed_draws_other_limits_for_all_mechanisms_alike(compared: Comparison) -> None:
    start = compared.intervals("uniform_price").index[30]
    first, again, other = compared.book(start, 7), compared.book(start, 7), compared.book(start, 8)
    assert len(first) > 2
    assert first.limit_micro_per_kwh.tolist() == again.limit_micro_per_kwh.tolist()
    assert first.energy_wh.tolist() == other.energy_wh.tolist()
    assert first.limit_micro_per_kwh.tolist() != other.limit_micro_per_kwh.tolist()
    for label in ("uniform_price", "muda_vickrey"):
        setup = compared.setup(label, 7)
        i = setup.index_of(int(start.timestamp()))
        clearing = setup.mechanism.clear(first, setup.rules_at(i))
        check_feasible(first, clearing)
        assert clearing.traded_wh(first) / 1000 == compared.intervals(label, 7).loc[start, "traded_kwh"]


def test_differences_are_paired_by_seed(compared: Comparison) -> None:
    cells = compared.cells().pivot(index="seed", columns="mechanism", values="saving")
    frame = compared.differences("saving", reference="uniform_price")
    by_hand = (cells["mcafee"] - cells["uniform_price"]).tolist()
    half = 4.302653 * statistics.stdev(by_hand) / 3**0.5
    row = frame.loc["mcafee"]
    assert row["n"] == 3
    assert row["mean"] == pytest.approx(statistics.fmean(by_hand))
    assert (row["high"] - row["low"]) / 2 == pytest.approx(half, rel=1e-5)
    assert frame.loc["uniform_price", ["mean", "low", "high"]].tolist() == [0, 0, 0]


def test_several_processes_give_the_same_tables(
    street_by_lot: Path, compared: Comparison, tmp_path: Path
) -> None:
    again = ws.compare(street_by_lot, CHOSEN, seeds=SEEDS, jobs=2, out=tmp_path)
    times = ["clear_ms"]
    pd.testing.assert_frame_equal(
        again.cells().drop(columns=times), compared.cells().drop(columns=times), check_exact=True
    )


def test_means_are_over_the_seeds_that_all_have(street_by_lot: Path, tmp_path: Path) -> None:
    ws.compare(street_by_lot, ["uniform_price"], seeds=[7, 8, 9], out=tmp_path)
    few = ws.compare(street_by_lot, ["sbba"], seeds=[8], out=tmp_path)
    assert (few.mechanisms, few.seeds) == (["retailer_only", "sbba", "welfare_optimum"], [8])
    folder = Comparison(few.path)
    assert folder.mechanisms == ["retailer_only", "uniform_price", "sbba", "welfare_optimum"]
    assert folder.seeds == [8]
    alone = folder.cells().set_index(["mechanism", "seed"]).loc[("uniform_price", 8)]
    assert folder.summary().loc["uniform_price", "saving"] == alone["saving"]
    assert len(folder.cells()) == 3 * 3 + 1
    ws.compare(street_by_lot, ["mcafee"], seeds=[11], out=tmp_path)
    with pytest.raises(UsageError, match="no seed that all its mechanisms share"):
        _ = Comparison(few.path).seeds


def test_a_figure_that_is_missing_under_one_seed_has_no_mean(compared: Comparison) -> None:
    cells, means = compared.cells(), compared.summary()
    for label in compared.mechanisms:
        defined = cells.loc[cells["mechanism"] == label, "gini_saving"].notna()
        assert means["gini_saving"].notna()[label] == defined.all()


def test_the_command_that_repeats_a_comparison_gives_the_same_folder(
    street_by_lot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--set", "time.days=1", "-m", "uniform_price:k=0.9", "--seed", "3", "--seeds", "2"]
    where = ["--out", tmp_path, "-q", "--json"]
    first = one_object(call(capsys, "compare", street_by_lot, *options, *where))
    repeat = shlex.split(Comparison(first["comparison"]).about["command"])
    assert one_object(call(capsys, *repeat[1:], *where)) == first
    options = ["--vary", "market.k=0,1", "--vary", "tariff.feed_in_per_kwh=0.04,0.06", "-m", "sbba"]
    swept = one_object(call(capsys, "sweep", street_by_lot, *options, *where))
    repeat = shlex.split(Comparison(swept["comparison"]).about["command"])
    assert one_object(call(capsys, *repeat[1:], *where)) == swept


def test_seeds_that_do_not_follow_each_other_take_one_command_each(street_by_lot: Path) -> None:
    plan = make_plan([Point(BASE, {}, load(street_by_lot))], read_choices(["sbba"]), [1, 2, 7])
    first, second = plan.command(["sbba"], [1, 2, 7]).split(" && ")
    assert first.endswith("-m sbba --seed 1 --seeds 2")
    assert second.endswith("-m sbba --seed 7 --seeds 1")


def test_python_verifies_a_comparison_too(compared: Comparison) -> None:
    assert ws.verify(compared.path) == {"ok": True, "cells": 6 * len(SEEDS)}


def test_ten_lines_of_python_compare_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ws.demo()
    write_street(tmp_path / "street", days=1)
    with own_registries(monkeypatch):
        scenario = ws.load("street/scenario.toml")
        result = ws.compare(scenario, ["uniform_price", "pay_as_bid", "mcafee"], seeds=range(2))
        summary = result.summary()
        assert {"welfare", "price_per_kwh", "self_sufficiency"} <= set(summary.columns)
        assert summary.attrs["currency"] == "EUR"
        assert list(result["mcafee"].bills().index) == ["home-1", "home-2", "home-3"]
        assert type(result.plot.price()).__name__ == "Figure"
        result.report("report.html")
        assert (tmp_path / "report.html").stat().st_size > 1_000_000

        @ws.mechanism(name="mine", budget_balanced=False)
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            return no_trade(book)

        orders = pd.DataFrame(
            [
                {"id": "b", "participant": "x", "side": "buy", "quantity_kwh": 1.0, "price_per_kwh": 0.3},
                {"id": "s", "participant": "y", "side": "sell", "quantity_kwh": 1.0, "price_per_kwh": 0.1},
            ]
        )
        assert ws.clear(orders, "mine")["status"] == "no_trade"
        assert ws.clear(orders, "uniform_price")["price"] == 0.2


def test_wrong_choices_are_all_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        read_choices(
            ["mcaffee", "pay_as_bid:price_rule=mid", "mcafee:unit_kwh=-1", "uniform_price:kk=1", "vcg:k"]
        )
    text = str(caught.value)
    for phrase in (
        "Did you mean 'mcafee'?",
        "price_rule: is 'mid'",
        "unit_kwh: is -1",
        "unknown key 'kk'",
        "'k' is not parameter=value",
    ):
        assert phrase in text
    assert len(caught.value.problems) >= 5


def test_a_mechanism_that_cannot_run_here_is_refused_before_any_cell_is(
    street_by_lot: Path, tmp_path: Path
) -> None:
    scenario = load(street_by_lot, overrides=["community.battery.capacity_kwh=4"])
    with pytest.raises(InvalidScenario, match="multi_interval clears a horizon") as caught:
        ws.compare(scenario, ["uniform_price", "multi_interval"], seeds=1, out=tmp_path)
    assert "--set community.battery.capacity_kwh=4" in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_datasets_are_read_as_one_by_others(compared: Comparison) -> None:
    for dataset in DATASETS:
        frame = pd.read_parquet(compared.path / dataset)
        assert set(frame["seed"].astype(int)) == set(SEEDS)
        assert set(frame["mechanism"]) == set(compared.mechanisms)


@pytest.fixture(autouse=True, scope="module")
def _no_workers_left() -> Iterator[None]:
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
