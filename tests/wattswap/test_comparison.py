"""Comparisons: a cell is a run without its record, no cell is worked out twice, and nothing stored is believed."""

from __future__ import annotations

import json
import shlex
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_kit import MONEY, call, one_object, own_registry, write_street

import wattswap as ws
from market.auction import clear_exact
from market.book import OrderBook
from market.clearing import Clearing, check_feasible, no_trade
from market.errors import DuplicateMechanism
from market.mechanism import Mechanism, forget, get, register, registered
from market.rules import MarketRules
from market.settlement import SYSTEM_ACCOUNTS
from wattswap.choices import is_ours
from wattswap.comparison import driver
from wattswap.comparison.choices import read_choices
from wattswap.comparison.conditions import METRICS
from wattswap.comparison.plan import BASE, CellKey, Point, make_plan
from wattswap.comparison.result import Comparison
from wattswap.comparison.statistics import mean_interval, paired_difference, student_t
from wattswap.comparison.store import DATASETS, part_path
from wattswap.comparison.summary import Row
from wattswap.errors import Interrupted, UsageError, VerificationFailed
from wattswap.scenario import load

CHOSEN = ["uniform_price", "pay_as_bid:price_rule=bid", "mcafee", "muda_vickrey"]
SEEDS = [7, 8, 9]


@pytest.fixture(scope="module")
def street_by_lot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_street(tmp_path_factory.mktemp("lots"), homes=6)
    file = folder / "scenario.toml"
    text = file.read_text(encoding="utf-8").replace("[homes]\n", '[homes]\nstrategy = "zi_c"\n')
    file.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def compared(street_by_lot: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return ws.compare(street_by_lot, CHOSEN, seeds=SEEDS, out=tmp_path_factory.mktemp("comparisons"))


@pytest.mark.parametrize("label", ["retailer_only", *CHOSEN, "welfare_optimum"])
def test_the_bills_of_a_cell_are_those_of_a_run(
    label: str, street_by_lot: Path, compared: Comparison, tmp_path: Path
) -> None:
    name, _, params = label.partition(":")
    overrides = [f"market.mechanism={name}", "market.imbalance=retailer", "seed=8"]
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
        cell = driver.run_cell(compared.setup(key.mechanism, key.seed))
        assert int(bills[MONEY].to_numpy().sum()) + int(cell.system_nano.sum()) == 0
        assert len(cell.system_nano) == len(SYSTEM_ACCOUNTS)


def test_the_bookends_hold_every_mechanism_between_them(compared: Comparison) -> None:
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
    assert columns == set(METRICS)
    page = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
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


def test_finished_cells_are_not_worked_out_again(street_by_lot: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, bool]] = []

    def note(key: CellKey, row: Row, done: int, total: int, before: bool) -> None:
        assert row["saving"] is not None
        seen.append((key.mechanism, key.seed, before))

    first = ws.compare(street_by_lot, ["uniform_price"], seeds=[7], out=tmp_path, on_cell=note)
    assert [before for _, _, before in seen] == [False] * 3
    seen.clear()
    second = ws.compare(street_by_lot, ["uniform_price", "mcafee"], seeds=[7, 8], out=tmp_path, on_cell=note)
    assert second.path == first.path
    assert [(m, s) for m, s, before in seen if before] == [
        ("retailer_only", 7),
        ("uniform_price", 7),
        ("welfare_optimum", 7),
    ]
    assert len(seen) == 8
    assert second.mechanisms == ["retailer_only", "uniform_price", "mcafee", "welfare_optimum"]
    # A cell whose last file is missing was not finished.
    part_path(second.path, "summary", CellKey(BASE, "mcafee", 8)).unlink()
    seen.clear()
    ws.compare(street_by_lot, ["mcafee"], seeds=[8], out=tmp_path, on_cell=note)
    assert [m for m, _, before in seen if not before] == ["mcafee"]


def test_several_processes_give_the_same_tables(
    street_by_lot: Path, compared: Comparison, tmp_path: Path
) -> None:
    again = ws.compare(street_by_lot, CHOSEN, seeds=SEEDS, jobs=2, out=tmp_path)
    times = ["clear_ms"]
    pd.testing.assert_frame_equal(
        again.cells().drop(columns=times), compared.cells().drop(columns=times), check_exact=True
    )


def test_other_data_or_another_scenario_is_another_folder(street_by_lot: Path, tmp_path: Path) -> None:
    scenario = load(street_by_lot)
    choices = read_choices(["uniform_price"])

    def digest(overrides: list[str], data: str = "x") -> str:
        point = Point(BASE, {}, load(street_by_lot, overrides=overrides))
        return make_plan([point], choices, [scenario.seed]).digest([data])

    same = digest([])
    assert digest(["seed=99"]) == same == digest(["market.mechanism=mcafee"])
    assert len({same, digest([], "y"), digest(["tariff.import_per_kwh=0.5"]), digest(["market.k=0.2"])}) == 4


def test_a_changed_number_is_found_by_working_the_cells_out_again(
    street_by_lot: Path, tmp_path: Path
) -> None:
    comparison = ws.compare(street_by_lot, ["uniform_price"], seeds=[7, 8], out=tmp_path)
    assert driver.verify(comparison.path) == {"cells": 6}
    for dataset, column in (("bills", "trade_nano"), ("intervals", "price_micro_per_kwh")):
        path = part_path(comparison.path, dataset, CellKey(BASE, "uniform_price", 8))
        table = pq.ParquetFile(path).read()
        numbers = table[column].to_pylist()
        place = next(i for i, number in enumerate(numbers) if number)
        numbers[place] += 1
        pq.write_table(table.set_column(table.column_names.index(column), column, [numbers]), path)
    with pytest.raises(VerificationFailed) as caught:
        driver.verify(comparison.path)
    assert "uniform_price 8: intervals.price_micro_per_kwh, bills.trade_nano" in str(caught.value)
    assert "uniform_price 7" not in str(caught.value)


@pytest.mark.parametrize("what", ["figure", "household", "hidden", "deleted", "stray"])
def test_whatever_else_was_changed_is_found_too(what: str, street_by_lot: Path, tmp_path: Path) -> None:
    comparison = ws.compare(street_by_lot, ["uniform_price"], seeds=[7], out=tmp_path)
    folder, key = comparison.path, CellKey(BASE, "uniform_price", 7)
    summary, bills = part_path(folder, "summary", key), part_path(folder, "bills", key)
    table = pq.ParquetFile(summary if what == "figure" else bills).read()
    if what == "figure":
        pq.write_table(table.set_column(table.column_names.index("saving"), "saving", [[999.0]]), summary)
    elif what == "household":
        names = table["household"].to_pylist()[::-1]
        pq.write_table(table.set_column(0, "household", [names]), bills)
    elif what == "hidden":
        about = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
        (folder / "comparison.json").write_text(
            json.dumps(about | {"missing": about["cells"]}), encoding="utf-8"
        )
    elif what == "deleted":
        summary.unlink()
    else:
        part_path(folder, "bills", CellKey(BASE, "mcafee", 7)).parent.mkdir(parents=True)
        shutil.copy(bills, part_path(folder, "bills", CellKey(BASE, "mcafee", 7)))
    with pytest.raises(VerificationFailed):
        driver.verify(folder)


def test_changed_meter_data_are_read_again_in_the_same_process(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", homes=4)
    first = ws.compare(street, "uniform_price", seeds=1, out=tmp_path / "out")
    meter = street / "meter.csv"
    rows = meter.read_text(encoding="utf-8").splitlines()
    cells = [row.split(",") for row in rows[1:]]
    rows[1:] = [f"{start},{home},{2 * float(bought):.3f},{sold}" for start, home, bought, sold in cells]
    meter.write_text("\n".join(rows) + "\n", encoding="utf-8")
    second = ws.compare(street, "uniform_price", seeds=1, out=tmp_path / "out")
    assert second.path != first.path
    costs = [c.summary().loc["retailer_only", "cost_without_market"] for c in (first, second)]
    assert costs[1] > 1.5 * costs[0]
    assert driver.verify(second.path) == {"cells": 3}


def test_a_cell_that_is_worked_out_again_is_missing_until_it_is_there(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registry(monkeypatch):
        fail = [False]

        @ws.mechanism("mine", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            if fail[0]:
                raise KeyboardInterrupt
            return no_trade(book)

        ws.compare(street_by_lot, "mine", seeds=[7, 8], out=tmp_path)
        fail[0] = True
        with pytest.raises(Interrupted):
            ws.compare(street_by_lot, "mine", seeds=[7], out=tmp_path)
        left = Comparison(next(tmp_path.iterdir()))
        assert left.about["missing"] == [{"point": BASE, "mechanism": "mine", "seed": 7}]
        assert [key.seed for key in left.cell_keys("retailer_only")] == [7, 8]
        assert "1 cells missing" in repr(left)
        assert "mine" not in left.mechanisms


def test_workers_take_the_newest_version_of_a_rule(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registry(monkeypatch):

        def compared_as(rule: str) -> float:
            of_ours = get(rule).clear
            forget("mine")
            register(Mechanism("mine", lambda book, rules: of_ours(book, rules), get(rule).promises))
            found = ws.compare(street_by_lot, "mine", seeds=[7, 8], jobs=2, out=tmp_path / rule)
            return float(found.summary().loc["mine", "traded_kwh"])

        assert compared_as("welfare_optimum") > 0
        assert compared_as("retailer_only") == 0
        assert not is_ours(Mechanism("alias", get("vcg").clear, get("vcg").promises))
        assert all(is_ours(mechanism) for name, mechanism in registered().items() if name != "mine")


def test_a_damaged_file_is_named(street_by_lot: Path, tmp_path: Path) -> None:
    comparison = ws.compare(street_by_lot, ["uniform_price"], seeds=[7], out=tmp_path)
    path = part_path(comparison.path, "intervals", CellKey(BASE, "uniform_price", 7))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(VerificationFailed, match=r"part\.parquet: is damaged"):
        comparison.intervals("uniform_price")


def test_a_mechanism_of_ones_own_is_compared_also_in_other_processes(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registry(monkeypatch):

        @ws.mechanism("never", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            return no_trade(book)

        comparison = ws.compare(street_by_lot, ["never"], seeds=[7, 8], jobs=2, out=tmp_path)
        assert comparison.summary().loc["never", "traded_kwh"] == 0
        assert comparison.summary().loc["never", "saving"] == 0


def test_a_changed_rule_of_ones_own_is_worked_out_again(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What such a rule depends on (globals, other files, a cell of a notebook) cannot be told."""
    with own_registry(monkeypatch):
        trades = [False]

        @ws.mechanism("mine", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            return clear_exact(book, rules) if trades[0] else no_trade(book)

        first = (
            ws.compare(street_by_lot, ["mine"], seeds=[7], out=tmp_path).summary().loc["mine", "traded_kwh"]
        )
        trades[0] = True
        second = (
            ws.compare(street_by_lot, ["mine"], seeds=[7], out=tmp_path).summary().loc["mine", "traded_kwh"]
        )
    assert (first, second > 0) == (0, True)


def test_a_rule_of_a_notebook_may_be_registered_again_and_one_of_ours_may_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def clear(book: OrderBook, rules: MarketRules) -> Clearing:
        return no_trade(book)

    with own_registry(monkeypatch):
        clear.__module__ = "__main__"
        ws.mechanism("again", source="first")(clear)
        ws.mechanism("again", source="second")(clear)
        assert get("again").promises.source == "second"
        with pytest.raises(DuplicateMechanism, match="mcafee"):
            ws.mechanism("mcafee")(clear)


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
    with own_registry(monkeypatch):
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


def test_a_rule_that_fails_names_its_cell(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registry(monkeypatch):

        @ws.mechanism("broken", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            raise ZeroDivisionError("by hand")

        with pytest.raises(ZeroDivisionError) as caught:
            ws.compare(street_by_lot, "broken", seeds=1, out=tmp_path)
        assert caught.value.__notes__ == ["in the cell base broken 7"]
        left = Comparison(next(tmp_path.iterdir()))
        assert [key.mechanism for key in left.cell_keys()] == ["retailer_only"]


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


def test_datasets_are_read_as_one_by_others(compared: Comparison) -> None:
    for dataset in DATASETS:
        frame = pd.read_parquet(compared.path / dataset)
        assert set(frame["seed"].astype(int)) == set(SEEDS)
        assert set(frame["mechanism"]) == set(compared.mechanisms)


@pytest.mark.parametrize(
    ("freedom", "t95", "t99"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (4, 2.776, 4.604),
        (9, 2.262, 3.250),
        (10, 2.228, 3.169),
        (29, 2.045, 2.756),
        (120, 1.980, 2.617),
    ],
)
def test_quantiles_of_student_are_those_of_the_printed_table(freedom: int, t95: float, t99: float) -> None:
    """Fisher and Yates, Statistical Tables, table III."""
    assert round(student_t(freedom, 0.95), 3) == t95
    assert round(student_t(freedom, 0.99), 3) == t99


def test_intervals_cover_the_true_mean_as_often_as_they_say() -> None:
    draw = np.random.default_rng(5)
    samples = draw.normal(3.0, 2.0, (4_000, 5))
    hit = [(d.low or 0) <= 3.0 <= (d.high or 0) for d in (mean_interval(row.tolist()) for row in samples)]
    # The standard error of the share is 0.0034; four of them.
    assert abs(np.mean(hit) - 0.95) < 0.014


@given(st.lists(st.tuples(st.none() | st.integers(-9, 9), st.none() | st.integers(-9, 9)), max_size=8))
def test_a_pair_without_a_value_does_not_count(pairs: list[tuple[int | None, int | None]]) -> None:
    difference = paired_difference([a for a, _ in pairs], [b for _, b in pairs])
    whole = [a - b for a, b in pairs if a is not None and b is not None]
    assert difference.n == len(whole)
    assert difference.mean == (statistics.fmean(whole) if whole else None)
    assert (difference.low is None) == (len(whole) < 2)


@pytest.fixture(autouse=True, scope="module")
def _no_workers_left() -> Iterator[None]:
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
