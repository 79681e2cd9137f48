"""What a comparison and a report say of limits and prices: two prices, trades beyond a limit, idle rules, counts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import wattswap as ws
from market.book import OrderBook
from market.clearing import Clearing
from tests.kits.report_kit import outcome, story
from tests.kits.run_kit import call, write_street
from tests.oracles.welfare import worse_than_limit
from wattswap.comparison.plan import BASE, CellKey
from wattswap.comparison.store import part_path
from wattswap.report.story import Observed, Outcome
from wattswap.report.words import against_best, idle, two_prices
from wattswap.report.write import html_of, story_of
from wattswap.results import Comparison

RULES = [
    "uniform_price",
    "bill_sharing",
    "supply_demand_ratio",
    "huang",
    "pay_as_bid:price_rule=both_as_bid",
    "vcg",
    "mcafee",
]


@pytest.fixture(scope="module")
def by_lot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_street(tmp_path_factory.mktemp("lots"), homes=6)
    file = folder / "scenario.toml"
    text = file.read_text(encoding="utf-8").replace("[homes]\n", '[homes]\nstrategy = "zi_c"\n')
    file.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def compared(by_lot: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return ws.compare(by_lot, RULES, out=tmp_path_factory.mktemp("comparisons"))


def test_turnover_counts_rebates_and_no_fees() -> None:
    """One kWh at 0.30 to pay and 0.20 to get: the buyer has 10 nano back, the seller pays a fee of 50."""
    book = OrderBook.from_columns(
        np.arange(2), np.array([1, -1]), np.array([1_000, 1_000]), np.array([400_000, 100_000])
    )
    charge = np.where(book.side > 0, -10, 50)
    price = np.where(book.side > 0, 300_000, 200_000)
    clearing = Clearing(np.full(2, 1_000), price, (None,), 100_000_040, 300_000_000, charge_nano=charge)
    assert clearing.turnover_nano(book) == (299_999_990, 200_000_000)


@pytest.mark.parametrize(
    ("buyer", "seller", "fee", "rows"),
    [(300, 200, 0, 0), (400, 100, 0, 0), (401, 100, 0, 1), (401, 99, 0, 2), (400, 100, 1, 1)],
)
def test_an_order_is_worse_off_beyond_its_limit_charges_included(
    buyer: int, seller: int, fee: int, rows: int
) -> None:
    book = OrderBook.from_columns(np.arange(2), np.array([1, -1]), np.array([10, 10]), np.array([400, 100]))
    price = np.where(book.side > 0, buyer, seller)
    charge = np.where(book.side > 0, fee, 0)
    clearing = Clearing(np.full(2, 10), price, (None,), 0, 3_000, charge_nano=charge)
    assert len(worse_than_limit(book, clearing)) == rows


@pytest.mark.parametrize("label", RULES)
def test_the_price_lies_in_the_middle_of_both_prices(label: str, compared: Comparison) -> None:
    row = compared.summary().loc[label]
    intervals = pq.ParquetFile(part_path(compared.path, "intervals", CellKey(BASE, label, 7))).read()
    if not row["traded_kwh"]:
        assert np.isnan(row["buyer_price_per_kwh"])
        assert np.isnan(row["seller_price_per_kwh"])
        return
    middle = (row["buyer_price_per_kwh"] + row["seller_price_per_kwh"]) / 2
    assert middle == pytest.approx(row["price_per_kwh"], abs=1e-6)
    between = np.array(intervals["bought_nano"]) - np.array(intervals["sold_nano"])
    assert between.sum() / 1e9 == pytest.approx(row["operator_surplus"], abs=1e-9)  # no rule here has fees
    if label == "uniform_price":
        assert row["buyer_price_per_kwh"] == row["seller_price_per_kwh"]
    if label == "pay_as_bid:price_rule=both_as_bid":
        assert row["buyer_price_per_kwh"] > row["seller_price_per_kwh"] + 0.01


def test_no_market_has_no_price(compared: Comparison) -> None:
    row = compared.summary().loc["retailer_only"]
    assert row[["buyer_price_per_kwh", "seller_price_per_kwh"]].isna().all()


def test_a_comparison_counts_trades_beyond_the_limit_as_a_run_does(
    by_lot: Path, compared: Comparison, tmp_path: Path
) -> None:
    overrides = ["market.mechanism=bill_sharing"]
    run = ws.run(ws.load(by_lot, overrides=overrides), out=tmp_path)
    of_run, of_cell = story_of(run.path).focused, story_of(compared.path).outcome("bill_sharing")
    assert of_run.observed.worse_than_limit == of_cell.observed.worse_than_limit
    assert (of_cell.observed.worse_than_limit or 0) > 0
    for name in ("buyer_price_per_kwh", "seller_price_per_kwh", "traded_share"):
        assert of_run.value(name) == pytest.approx(of_cell.value(name)), name
    html = html_of(story_of(compared.path))
    sentence = f"{of_cell.observed.worse_than_limit} trades worse than the limit, fees included"
    (cell,) = [cell for cell in re.findall(r"<td[^>]*>[^<]*", html) if cell.endswith(f">{sentence}")]
    assert 'data-label="nobody trades worse than the limit"' in cell
    assert story_of(compared.path).outcome("vcg").observed.worse_than_limit == 0


def test_the_report_tells_of_two_prices_where_there_are_two(compared: Comparison) -> None:
    told = story_of(compared.path)
    sentence = two_prices(told.outcomes)
    assert "pay_as_bid:price_rule=both_as_bid (buyers " in sentence
    assert "uniform_price" not in sentence
    assert html_of(told).count("The price is the middle of what buyers pay and sellers get with") >= 2
    assert two_prices([told.outcome("uniform_price")]) == ""


def test_efficiency_says_at_which_limits_and_stands_beside_the_traded_share(compared: Comparison) -> None:
    html = html_of(story_of(compared.path))
    assert "efficiency at stated limits, %" in html
    assert "traded of possible, %" in html


def test_homes_are_counted_not_measured_in_percent() -> None:
    assert against_best(20, 1, 0, count=True) == "+19"
    assert against_best(20, 10, 0) == "200.0 % of best"
    changed = tuple(
        outcome(o.label, more={"homes_worse_off": [{"uniform_price": 1.0, "mcafee": 20.0}.get(o.label, 2.0)]})
        for o in story().outcomes
    )
    html = html_of(story(outcomes=changed))
    assert '<td class="number">20<small>+19</small></td>' in html
    assert "2000.0 % of best" not in html


def idle_story(strategy: str, *names: str, **others: float) -> str:
    def one(o: Outcome) -> Outcome:
        seen = Observed(volume_share=0.0 if o.label in names else 1.0)
        return Outcome(o.label, o.metrics, o.intervals, o.bills, seen, o.promises)

    homes = {"strategy": strategy, "strategies": others}
    made = story(outcomes=tuple(map(one, story().outcomes)), scenario={"homes": homes})
    assert (idle(made) in html_of(made).replace("&quot;", '"')) is True
    return idle(made)


def test_rules_that_trade_nothing_among_two_limits_say_why() -> None:
    both = idle_story("truthful", "mcafee", "vcg")
    assert both.startswith("mcafee and vcg trade nothing because all homes state the same two limits")
    assert 'homes.strategy = "staircase"' in both
    assert idle_story("truthful", "vcg").startswith("vcg trades nothing")
    assert idle_story("zi_c", "vcg") == idle_story("truthful") == ""
    assert idle_story("truthful", "vcg", zi_c=0.1) == idle_story("one_that_is_not_installed", "vcg") == ""


def test_idle_rules_of_truthful_homes_are_told_in_a_real_comparison(street: Path, tmp_path: Path) -> None:
    rules = ["huang", "muda_lottery", "muda_vickrey", "uniform_price"]
    scenario = ws.load(street, overrides=["homes.strategy=truthful"])
    told = story_of(ws.compare(scenario, rules, out=tmp_path).path)
    assert idle(told).startswith("huang, muda_lottery and muda_vickrey trade nothing")


def test_a_summary_says_with_whom_imbalance_was_settled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    street = write_street(tmp_path / "street")
    for imbalance, words in (
        ("pooled", "netted among homes at the retailer's prices"),
        ("retailer", "every home settles what its orders missed with the retailer"),
    ):
        done = call(capsys, "run", street, "--set", f"market.imbalance={imbalance}", "-q", "--out", tmp_path)
        assert words in " ".join(done.out.split())
        folder = Path(next(line for line in done.out.splitlines() if "Folder" in line).split()[1])
        result = ws.RunResult(folder)
        assert result.manifest["imbalance"] == imbalance
        html = html_of(story_of(folder))
        assert ("neighbours are served before the retailer" in html) is (imbalance == "pooled")
        assert words in html.replace("&#x27;", "'")


@pytest.mark.parametrize(
    ("market", "nets"),
    [
        ({}, True),  # version 0.1 had one way
        ({"imbalance": "shared"}, True),
        ({"imbalance": "pooled", "imbalance_shares": "equal"}, True),
        ({"imbalance": "retailer"}, False),
        ({"quantities": "metered"}, False),
    ],
)
def test_a_report_knows_the_imbalance_rules_of_every_version(
    finished: ws.RunResult, market: dict[str, str], nets: bool
) -> None:
    told = story_of(finished.path)
    assert replace(told, scenario={"market": market}).nets_imbalance is nets
