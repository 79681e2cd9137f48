"""The table of docs/reference/metrics.md and the functions agree."""

from __future__ import annotations

import re
from inspect import getmembers, isfunction
from pathlib import Path

from market import clearing
from market.metrics import concentration, energy, fairness, grid, price, welfare
from market.settlement import accounts, imbalance
from wattswap.comparison.conditions import METRICS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]
OURS = (concentration, energy, fairness, grid, price, welfare)


def public_functions() -> set[str]:
    return {
        name
        for module in OURS
        for name, found in getmembers(module, isfunction)
        if found.__module__ == module.__name__ and not name.startswith("_")
    }


def test_every_row_is_whole() -> None:
    assert len(ROWS) > 30
    assert not [row for row in ROWS if len(row) != 6 or not all(row[:4])]


def test_every_column_of_a_comparison_has_one_row() -> None:
    named = [row[0].strip("`") for row in ROWS]
    assert len(named) == len(set(named))
    assert set(METRICS) - {"clear_ms"} <= set(named)
    assert not set(named) - set(METRICS)
    assert "`clear_ms`" in PAGE


def test_every_function_of_the_table_exists() -> None:
    elsewhere = {
        "Clearing.traded_wh": clearing.Clearing.traded_wh,
        "Clearing.turnover_nano": clearing.Clearing.turnover_nano,
        "Postings.total_nano": accounts.Postings.total_nano,
        "Postings.column": accounts.Postings.column,
        "baseline_nano": imbalance.baseline_nano,
        "imbalance_cost_nano": imbalance.imbalance_cost_nano,
    }
    named = {row[1].strip("`") for row in ROWS}
    assert not named - public_functions() - set(elsewhere)


def test_every_function_is_on_the_page() -> None:
    assert len(public_functions()) > 20
    assert not {name for name in public_functions() if f"`{name}`" not in PAGE}


def test_every_function_that_may_return_none_says_when_and_so_does_its_row() -> None:
    """The column "null when" is empty exactly where the function always gives a number."""
    doc = {
        name: found.__doc__ or ""
        for module in OURS
        for name, found in getmembers(module, isfunction)
        if name in public_functions() and "None" in str(found.__annotations__["return"])
    }
    assert len(doc) > 12
    for row in ROWS:
        function = row[1].strip("`")
        divided = row[0] == "`saving_percent`" or function == "Clearing.turnover_nano"
        may_be_null = function in doc or divided
        assert bool(row[4]) == may_be_null, row[0]
    assert not [name for name, text in doc.items() if not re.search(r"None|as in `price_volatility`", text)]
