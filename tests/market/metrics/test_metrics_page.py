"""The table of docs/reference/metrics.md is the metric table, and every formula is on the page."""

from __future__ import annotations

import re
from inspect import getmembers, isfunction
from pathlib import Path

import numpy as np

from market.metrics import concentration, energy, fairness, grid, price, welfare
from market.metrics.table import METRICS, Figure, Result, figures
from market.settlement.accounts import MONEY_COLUMNS

(FOUND,) = (Path(__file__).resolve().parents[3] / "docs").rglob("metrics.md")
PAGE = FOUND.read_text(encoding="utf-8")
QUOTIENTS = ("share", "ratio", "%", "currency/kWh", "0 to 10,000", "0 to 1", "1/n to 1", "0 to 1 - 1/n")
OURS = (concentration, energy, fairness, grid, price, welfare)


def table() -> str:
    """The table as the page must have it."""
    heads = ["name", "summary", "unit", "better", "null when", "source"]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [f"`{name}`", m.summary, m.unit, m.better, m.undefined_because, m.source]
        for name, m in METRICS.all().items()
    ]
    return "\n".join(
        f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |") for cells in lines
    )


def public_functions() -> dict[str, str]:
    return {
        name: found.__doc__ or ""
        for module in OURS
        for name, found in getmembers(module, isfunction)
        if found.__module__ == module.__name__ and not name.startswith("_")
    }


def test_the_table_of_the_page_is_the_metric_table() -> None:
    assert table() in PAGE, f"put this table into {FOUND.name}:\n\n{table()}"


def test_every_metric_says_what_it_counts_and_in_which_unit() -> None:
    metrics = METRICS.all()
    assert len(metrics) > 50
    assert not [name for name, m in metrics.items() if not (m.summary and m.unit)]


def test_a_metric_that_may_be_undefined_says_when_and_no_other_does() -> None:
    """Its function may return None, or it needs a column or fact that may be absent, exactly where it says so."""
    for name, metric in METRICS.all().items():
        may_be_null = "None" in str(metric.function.__annotations__["return"]) or bool(metric.needs)
        assert bool(metric.undefined_because) == may_be_null, name


def test_every_function_is_on_the_page() -> None:
    assert len(public_functions()) > 20
    assert not [name for name in public_functions() if f"`{name}`" not in PAGE]


def test_every_function_that_may_return_none_says_when() -> None:
    doc = {
        name: found.__doc__ or ""
        for module in OURS
        for name, found in getmembers(module, isfunction)
        if name in public_functions() and "None" in str(found.__annotations__["return"])
    }
    assert len(doc) > 12
    assert not [name for name, text in doc.items() if not re.search(r"None|as in `price_volatility`", text)]


def of_nothing(intervals: int, homes: int) -> dict[str, Figure]:
    """Every metric where all columns are 0."""
    none = np.zeros(intervals, dtype=np.int64)
    kinds = (
        "traded_wh demand_wh supply_wh import_wh export_wh local_wh retail_import_wh retail_export_wh optimum_wh"
        " load_wh pv_wh orders price_micro_per_kwh competitive_micro_per_kwh import_micro_per_kwh"
        " feed_in_micro_per_kwh welfare_nano optimum_nano buyer_surplus_nano seller_surplus_nano"
        " operator_surplus_nano bought_nano sold_nano bound_nano clear_ns"
    ).split()
    bills = dict.fromkeys(
        (*MONEY_COLUMNS, "baseline_nano", "imbalance_cost_nano", "netting_nano", "bought_wh", "sold_wh"),
        np.zeros(homes, dtype=np.int64),
    )
    facts = {"minutes": 15, "retailer_nano": 0, "grid_operator_nano": 0, "market_operator_nano": 0}
    known = {"competitive_micro_per_kwh": none.astype(bool)}
    return figures(Result(dict.fromkeys(kinds, none), bills, facts, known))


def test_a_result_without_intervals_has_no_figure_that_needs_one() -> None:
    """Every metric of an empty result is null, 0 or a sum of nothing, and none raises."""
    found = of_nothing(0, 0)
    assert set(found) == set(METRICS.all())
    assert {value for value in found.values() if value} == set()


def test_a_quotient_without_a_base_is_null_and_never_0() -> None:
    """Nothing is ordered, traded or metered, and the retailer's prices are 0: no share, price or index exists."""
    prices_of_the_retailer = {"import_price_per_kwh", "feed_in_price_per_kwh"}
    quotients = {name for name, m in METRICS.all().items() if m.unit in QUOTIENTS} - prices_of_the_retailer
    assert len(quotients) > 15
    for intervals, homes in ((0, 0), (1, 1), (4, 3)):
        found = of_nothing(intervals, homes)
        stated = {name for name in quotients if found[name] is not None}
        # Who pays as much as without a market would take part.
        assert stated == ({"participation_share"} if homes else set())
        assert all(value is None or np.isfinite(value) for value in found.values())
