"""Cases of metered quantities: prices, payments that balance, and that everything wrong is told at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.mechanism import MECHANISMS
from wattswap.cases.metered import clear_sharing_case
from wattswap.inputs.collector import InvalidCase

PARAMS = {"retail_price": 0.30, "feed_in_tariff": 0.08}
every_rule = pytest.mark.parametrize(
    "name", [name for name, m in MECHANISMS.all().items() if m.share is not None]
)


def run(name: str, supply: Any, demand: Any, **params: Any) -> dict[str, Any]:
    case = {"supply_kwh": supply, "demand_kwh": demand, "params": {**PARAMS, **params}}
    return clear_sharing_case(case, MECHANISMS.get(name))


def refused(name: str, case: Any) -> list[str]:
    with pytest.raises(InvalidCase) as error:
        clear_sharing_case(case, MECHANISMS.get(name))
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("name", "supply", "demand", "buy", "sell"),
    [
        ("mid_market_rate", 3, 2, 0.19, (2 * 0.19 + 1 * 0.08) / 3),
        ("mid_market_rate", 2, 3, (2 * 0.19 + 1 * 0.30) / 3, 0.19),
        ("bill_sharing", 3, 2, 0.0, 0.08 / 3),
        ("bill_sharing", 2, 3, 0.10, 0.0),
        ("supply_demand_ratio", 3, 2, 0.08, 0.08),
        ("supply_demand_ratio", 1, 2, 0.5 * 0.024 / 0.19 + 0.15, 0.024 / 0.19),
    ],
)
def test_total_quantities_give_the_published_prices(
    name: str, supply: float, demand: float, buy: float, sell: float
) -> None:
    result = run(name, supply, demand)
    assert result["buy_price"] == pytest.approx(buy, rel=1e-12)
    assert result["sell_price"] == pytest.approx(sell, rel=1e-12)
    assert result["participants"] == []
    assert result.get("sdr") == (supply / demand if name == "supply_demand_ratio" else None)


@every_rule
@given(
    supply=st.lists(st.integers(0, 5_000), min_size=3, max_size=3),
    demand=st.lists(st.integers(0, 5_000), min_size=3, max_size=3),
)
def test_payments_are_price_times_energy_and_leave_what_the_retailer_gets(
    name: str, supply: list[int], demand: list[int]
) -> None:
    names = ("cy", "ann", "bob")
    fed, drawn = (dict(zip(names, (x / 1_000 for x in side), strict=True)) for side in (supply, demand))
    result = run(name, fed, drawn)
    paid = {entry["participant"]: entry["payment"] for entry in result["participants"]}
    assert list(paid) == list(names)
    for who in names:
        due = drawn[who] * (result["buy_price"] or 0) - fed[who] * (result["sell_price"] or 0)
        assert paid[who] == pytest.approx(due, abs=3e-9)
    short = Decimal(sum(demand) - sum(supply)) / 1_000
    due_outside = short * (Decimal("0.30") if short > 0 else Decimal("0.08"))
    assert sum(Decimal(str(amount)) for amount in paid.values()) == due_outside


@every_rule
def test_lists_are_settled_interval_by_interval(name: str) -> None:
    supply, demand = {"ann": [0, 2, 1]}, {"bob": [1, 1, 1], "cy": [1, 0, 3]}
    together = run(name, supply, demand)
    single = [
        run(name, {k: v[t] for k, v in supply.items()}, {k: v[t] for k, v in demand.items()})
        for t in range(3)
    ]
    for key in ("buy_price", "sell_price", *(["sdr"] if name == "supply_demand_ratio" else [])):
        assert together[key] == [one[key] for one in single]
    for i in range(3):
        total = sum(one["participants"][i]["payment"] for one in single)
        assert together["participants"][i]["payment"] == pytest.approx(total, abs=1e-12)


def test_bill_sharing_over_the_sum_of_intervals_splits_the_same_bills_in_another_way() -> None:
    """Night: Bob draws 4, and the retailer bills 1.20. Noon: Ann feeds in 4, Cy draws 1, and it pays for 3, 0.24.

    By interval Bob bears the night alone and Cy draws for nothing; over the sum both pay 1.20 / 5 = 0.24 a kWh.
    """
    supply, demand = {"ann": [0, 4]}, {"bob": [4, 0], "cy": [0, 1]}
    by_interval = run("bill_sharing", supply, demand, horizon="interval")
    by_sum = run("bill_sharing", supply, demand, horizon="sum")
    assert by_interval["buy_price"] == [0.3, 0.0]
    assert by_interval["sell_price"] == [None, 0.06]
    assert [entry["payment"] for entry in by_interval["participants"]] == [-0.24, 1.2, 0.0]
    assert (by_sum["buy_price"], by_sum["sell_price"]) == (0.24, 0.06)
    assert [entry["payment"] for entry in by_sum["participants"]] == [-0.24, 0.96, 0.24]


@given(
    supply=st.lists(st.tuples(*[st.integers(0, 5_000)] * 4), min_size=1, max_size=3),
    demand=st.lists(st.tuples(*[st.integers(0, 5_000)] * 4), min_size=1, max_size=3),
)
def test_bill_sharing_collects_what_the_retailer_bills_over_any_horizon(
    supply: list[tuple[int, ...]], demand: list[tuple[int, ...]]
) -> None:
    fed = {f"s{i}": [x / 1_000 for x in row] for i, row in enumerate(supply)}
    drawn = {f"d{i}": [x / 1_000 for x in row] for i, row in enumerate(demand)}
    short = [
        sum(d) - sum(s) for s, d in zip(zip(*supply, strict=True), zip(*demand, strict=True), strict=True)
    ]
    imports, exports = (Decimal(sum(max(sign * x, 0) for x in short)) / 1_000 for sign in (1, -1))
    for horizon in ("interval", "sum"):
        result = run("bill_sharing", fed, drawn, horizon=horizon)
        paid = {entry["participant"]: Decimal(str(entry["payment"])) for entry in result["participants"]}
        assert sum(paid[who] for who in drawn) == imports * Decimal("0.30")
        assert -sum(paid[who] for who in fed) == exports * Decimal("0.08")


@every_rule
def test_the_price_of_a_side_that_is_empty_is_null(name: str) -> None:
    for params in ({}, {"horizon": "sum"} if name == "bill_sharing" else {}):
        no_sellers = run(name, {}, {"ann": [1, 2]}, **params)
        no_buyers = run(name, {"ann": [1, 2]}, {"bob": [0, 0]}, **params)
        for result, key, other, retailers in (
            (no_sellers, "sell_price", "buy_price", 0.3),
            (no_buyers, "buy_price", "sell_price", 0.08),
        ):
            lists = not params
            assert result[key] == ([None, None] if lists else None)
            assert result[other] == ([retailers] * 2 if lists else retailers)


def test_a_compensation_lifts_the_price_where_supply_is_plenty() -> None:
    result = run("supply_demand_ratio", 4, 2, compensation=0.02)
    assert (result["buy_price"], result["sell_price"], result["sdr"]) == (0.1, 0.09, 2.0)


@every_rule
def test_without_energy_there_is_no_price(name: str) -> None:
    result = run(name, 0, {"ann": 0})
    assert (result["buy_price"], result["sell_price"]) == (None, None)
    assert result["participants"] == [{"participant": "ann", "payment": 0.0}]
    assert result.get("sdr") is None


def test_a_ratio_without_demand_is_null() -> None:
    assert run("supply_demand_ratio", 1, 0)["sdr"] is None


def test_everything_wrong_is_told_at_once() -> None:
    problems = refused(
        "mid_market_rate",
        {
            "supply_kwh": {"ann": -1, "bob": [1, float("nan")], "": 1, "cy": {}},
            "demand_kwh": "much",
            "params": {"retail_price": True, "compensation": 1},
            "load_kwh": {},
        },
    )
    for part in (
        "case: unknown key 'load_kwh'",
        "supply_kwh: some quantities are lists and some are numbers",
        "supply_kwh.ann: is -1",
        "supply_kwh.bob[1]: is nan",
        "supply_kwh: must be a name",
        "supply_kwh.cy: must be a number or a list of numbers",
        "demand_kwh: must be a number, not 'much'",
        "params: unknown key 'compensation'",
        "params.retail_price: must be a number, not true",
        "params: 'feed_in_tariff' is missing",
    ):
        assert any(problem.startswith(part) for problem in problems), (part, problems)


@pytest.mark.parametrize(
    ("case", "part"),
    [
        ({}, "'params' is missing"),
        ([], "must be an object"),
        ({"supply_kwh": [1, 2], "demand_kwh": [1], "params": PARAMS}, "[1, 2] intervals"),
        ({"supply_kwh": 1e14, "demand_kwh": 1, "params": {**PARAMS, "retail_price": 1e5}}, "64 bits"),
        ({"supply_kwh": 1, "demand_kwh": 2, "params": {**PARAMS, "feed_in_tariff": -0.1}}, "below 0"),
    ],
)
def test_what_cannot_be_settled_is_refused(case: Any, part: str) -> None:
    assert any(part in problem for problem in refused("supply_demand_ratio", case))


@every_rule
def test_the_order_of_naming_decides_no_nano(name: str) -> None:
    """Three equal parts of an amount that 3 does not divide: somebody gets a nano more, always the same."""
    names = ("ann", "bob", "cy")
    results = [
        run(name, dict.fromkeys(listed, 0.001), dict.fromkeys(listed, 0.002))
        for listed in (names, names[::-1])
    ]
    paid = [{entry["participant"]: entry["payment"] for entry in r["participants"]} for r in results]
    assert paid[0] == paid[1]
    fed = [run(name, dict.fromkeys(listed, 0.001), 0.001) for listed in (names, names[::-1])]
    assert {e["participant"]: e["payment"] for e in fed[0]["participants"]} == {
        e["participant"]: e["payment"] for e in fed[1]["participants"]
    }
