"""Every mechanism has a page, and the cases worked by hand on it come out of the code."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.book import OrderBook
from market.mechanism import MECHANISMS, Mechanism
from market.parameters import rules_with
from market.rules import MarketRules
from market.units import money
from wattswap.cases.contract import clear_case
from wattswap.inputs.parameters import run_defaults
from wattswap.runs.books import build_book
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import TEMPLATES, load

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference" / "mechanisms"
OURS = sorted(
    name
    for name, mechanism in MECHANISMS.all().items()
    if mechanism.clear.__module__.split(".")[0] in ("market", "optimizer")
)
WORKED = re.compile(r"^```json case\n(.*?)^```\n.*?^```json result\n(.*?)^```", re.MULTILINE | re.DOTALL)


def worked(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The cases of a page with the part of their results that the page shows."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    return [(json.loads(case), json.loads(result)) for case, result in WORKED.findall(text)]


@pytest.mark.parametrize("name", OURS)
def test_a_mechanism_has_a_page_with_a_worked_case(name: str) -> None:
    assert (PAGES / f"{name}.md").read_text(encoding="utf-8").startswith(f"# {name}\n")
    assert worked(name)


@pytest.mark.parametrize("name", OURS)
def test_the_worked_cases_come_out_of_the_code(name: str) -> None:
    for case, shown in worked(name):
        result = clear_case(case, name)
        assert {key: result[key] for key in shown} == shown


@pytest.mark.parametrize("name", OURS)
def test_the_page_names_every_parameter_and_the_source(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    mechanism = MECHANISMS.all()[name]
    assert not [p.name for p in mechanism.parameters if f"`{p.name}`" not in text]
    assert "Source" in text or "source" in text
    for part in ("**Promises.**", "## When to use"):
        assert part in text


@pytest.fixture(scope="module")
def gains() -> dict[str, tuple[int, int, float]]:
    """By rule: orders that gain by another limit, all orders, and the most gained, on the first day of the demo."""
    scenario = load(TEMPLATES / "street.toml", overrides=["time.intervals=96", "homes.strategy=zi_c"])
    setup = prepare(scenario)
    community, books = setup.community(), []
    for i in range(setup.intervals):
        bids = community.bids(setup.prices.at(i))
        start_s = setup.start_of(i)
        columns = (setup.members, bids.side, bids.energy_wh, bids.limit_micro_per_kwh)
        book = build_book(setup.seed, start_s, *columns)
        books += [(book, setup.rules_at(i))] if len(set(book.side.tolist())) == 2 else []
        community.live()
    found = {}
    for name in ("mcafee", "trade_reduction", "sbba", "uniform_price", "huang"):
        rule = MECHANISMS.all()[name]
        best = [
            gain
            for book, rules in books
            for gain in _gain_of_each(rule, book, rules_with(rules, run_defaults(rule)))
        ]
        found[name] = sum(gain > 0 for gain in best), len(best), money(max(best))
    return found


def _gain_of_each(rule: Mechanism, book: OrderBook, rules: MarketRules) -> list[int]:
    """The most that each order gains, all alone; every home of a run has one."""
    assert len(set(book.participant.tolist())) == len(book)
    limits = book.limit_micro_per_kwh
    outside = [rules.retail_micro_per_kwh, rules.feed_in_micro_per_kwh]
    middles = (np.sort(limits)[1:] + np.sort(limits)[:-1]) // 2
    grid = {*limits.tolist(), *(limits - 1).tolist(), *(limits + 1).tolist(), *middles.tolist(), *outside}

    def utility(row: int, stated: int) -> int:
        told = limits.copy()
        told[row] = stated
        lie = replace(book, limit_micro_per_kwh=told)
        clearing = rule.clear(lie, rules)
        worth = int(book.side[row] * clearing.accepted_wh[row] * limits[row])
        return worth - int(clearing.payment_nano(lie)[row])

    return [
        max(utility(row, stated) for stated in grid) - utility(row, int(limits[row]))
        for row in range(len(book))
    ]


@pytest.mark.parametrize("name", ["mcafee", "trade_reduction", "sbba"])
def test_what_orders_gain_in_a_run_is_what_the_page_says(
    name: str, gains: dict[str, tuple[int, int, float]]
) -> None:
    text = " ".join((PAGES / f"{name}.md").read_text(encoding="utf-8").split())
    gained, orders, most = gains[name]
    assert f"{gained} of {orders} orders gained by stating another limit, up to {most:.2f} EUR" in text
    assert f"under [uniform_price](uniform_price.md) {gains['uniform_price'][0]} did" in text
    assert gains["huang"][0] == 0


@pytest.mark.parametrize(
    ("name", "wanted", "params", "shares"),
    [
        ("mcafee", 2, {}, ["0.47976", "operator"]),
        ("mcafee", 3, {}, ["0.47976", "operator"]),
        ("mcafee", 2, {"b_missing": 0.08, "s_missing": 0.32}, ["0.48", "buyer"]),
        ("mcafee", 3, {"b_missing": 0.08, "s_missing": 0.32}, ["0.48", "seller"]),
        ("trade_reduction", 2, {}, ["0.47976", "operator"]),
        ("trade_reduction", 3, {}, ["0.47976", "operator"]),
        ("sbba", 2, {}, ["0.48", "buyer"]),
        ("sbba", 3, {}, ["0.47976", "seller"]),
        ("huang", 2, {}, ["0.0", "buyer"]),
    ],
)
def test_who_gains_where_all_state_the_same_outside_prices(
    name: str, wanted: int, params: dict[str, float], shares: list[str]
) -> None:
    """2 or 3 kWh wanted at .32, 3 or 2 offered at .08, as the tables say."""
    orders = [
        {
            "id": f"{side}{i}",
            "participant": f"{side}{i}",
            "side": side,
            "quantity_kwh": 1,
            "price_per_kwh": limit,
        }
        for side, count, limit in (("buy", wanted, 0.32), ("sell", 5 - wanted, 0.08))
        for i in range(count)
    ]
    unit = {} if name == "huang" else {"unit_kwh": 0.001}
    result = clear_case({"orders": orders, "params": unit | params}, name)
    surplus = {who: result[f"{who}_surplus"] for who in ("buyer", "seller", "operator")}
    amount, who = shares
    assert surplus == dict.fromkeys(surplus, 0.0) | {who: float(amount)}
    assert "all bids at .32 and all offers at .08" in (PAGES / f"{name}.md").read_text(encoding="utf-8")


def test_the_overview_is_right_in_every_row() -> None:
    """A mechanism that is new needs its page; a row in the table is for those that a reader chooses among."""
    text = (PAGES / "README.md").read_text(encoding="utf-8")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| [")
    ]
    rows = [(*re.findall(r"\w+", first)[:2], truthful, operator) for first, _, _, truthful, operator in cells]
    names = [name for name, *_ in rows]
    assert len(set(names)) == len(names) >= 20
    assert set(names) <= set(OURS)
    budget = {"strong": "breaks even", "weak": "keeps", "deficit": "pays in"}
    for name, page, truthful, operator in rows:
        promises = MECHANISMS.all()[name].promises
        assert page == name
        assert bool(truthful) == promises.truthful
        assert budget[promises.budget_balance] in operator or name == "retailer_only"
