"""The check of a result accepts what was cleared, and refuses every result that was changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.kits.agents_kit import Case, random_case
from wattswap.cases.agents_proof import check_agents
from wattswap.cases.contract import clear_case

Result = dict[str, Any]


def bilateral(method: str = "central") -> tuple[Case, Result]:
    case = {**random_case(16, 3, prosumers=0.3), "params": {"method": method}}
    return case, json.loads(json.dumps(clear_case(case, "bilateral")))


def community() -> tuple[Case, Result]:
    case = {
        "agents": random_case(16, 3, prosumers=0.3)["agents"],
        "params": {"import_cost": 0.2, "export_revenue": 0.1},
    }
    return case, json.loads(json.dumps(clear_case(case, "community_manager")))


def test_what_was_cleared_holds() -> None:
    for case, result in (bilateral(), bilateral("admm"), community()):
        proof = check_agents(case, result)
        assert proof.holds, proof.problems
        assert proof.gap == pytest.approx(result["certificate"]["gap"], abs=1e-12)
        assert proof.gap < 1e-4


def _more(result: Result) -> None:
    result["trades"][0]["quantity_kwh"] += 0.001


def _consistently_more(result: Result) -> None:
    """One Wh more, with p and payments: feasible, but not what objective and gap say."""
    trade = result["trades"][0]
    trade["quantity_kwh"] = (round(trade["quantity_kwh"] * 1_000) + 100) / 1_000
    for end, sign in ((trade["seller"], 1), (trade["buyer"], -1)):
        result["p"][end] = (round(result["p"][end] * 1_000) + 100 * sign) / 1_000
        (own,) = (one for one in result["participants"] if one["participant"] == end)
        own["payment"] -= sign * 0.1 * trade["price_per_kwh"]


def _half_a_wh(result: Result) -> None:
    result["trades"][0]["quantity_kwh"] += 0.0005


def _dropped(result: Result) -> None:
    del result["trades"][0]


def _twice(result: Result) -> None:
    result["trades"].append(deepcopy(result["trades"][0]))


def _turned(result: Result) -> None:
    trade = next(one for one in result["trades"] if one["seller"] != one["buyer"])
    trade["seller"], trade["buyer"] = trade["buyer"], trade["seller"]


def _dearer(result: Result) -> None:
    result["trades"][0]["price_per_kwh"] += 0.01


def _other_p(result: Result) -> None:
    result["p"][next(iter(result["p"]))] += 0.001


def _without_p(result: Result) -> None:
    del result["p"][next(iter(result["p"]))]


def _payment(result: Result) -> None:
    result["participants"][0]["payment"] += 1e-9


def _cheaper(result: Result) -> None:
    result["objective"] -= 0.001


def _bound(result: Result) -> None:
    result["certificate"]["bound"] += 1e-6


def _gap(result: Result) -> None:
    result["certificate"]["gap"] += 1e-6


def _prices(result: Result) -> None:
    prices = result["certificate"]["prices"]
    prices[result["trades"][0]["buyer"]] += 0.05


def _no_number(result: Result) -> None:
    prices = result["certificate"]["prices"]
    prices[next(iter(prices))] = float("nan")


OF_PAIRS: list[Callable[[Result], None]] = [
    _more, _consistently_more, _half_a_wh, _dropped, _twice, _turned, _dearer, _other_p, _without_p, _payment,
    _cheaper, _bound, _gap, _prices, _no_number,
]  # fmt: skip


@pytest.mark.parametrize("change", OF_PAIRS, ids=lambda change: change.__name__)
@pytest.mark.parametrize("method", ["central", "admm"])
def test_a_changed_result_of_pairs_is_refused(method: str, change: Callable[[Result], None]) -> None:
    case, result = bilateral(method)
    change(result)
    assert not check_agents(case, result).holds


def _import(result: Result) -> None:
    result["import_kwh"] += 0.001


def _price(result: Result) -> None:
    result["price"] += 0.001


def _interval(result: Result) -> None:
    result["price_interval"][1] += 0.05


def _surplus(result: Result) -> None:
    result["manager_surplus"] += 0.01


def _other_price(result: Result) -> None:
    result["certificate"]["price"] += 1e-4


@pytest.mark.parametrize(
    "change",
    [
        _import,
        _price,
        _interval,
        _surplus,
        _other_price,
        _other_p,
        _without_p,
        _payment,
        _cheaper,
        _bound,
        _gap,
    ],
    ids=lambda change: change.__name__,
)
def test_a_changed_result_of_a_manager_is_refused(change: Callable[[Result], None]) -> None:
    case, result = community()
    change(result)
    assert not check_agents(case, result).holds


def test_trades_between_agents_that_are_no_partners_are_refused() -> None:
    case, result = bilateral()
    trade = result["trades"][0]
    others = [
        [one["id"], two["id"]]
        for one in case["agents"]
        for two in case["agents"]
        if {one["id"], two["id"]} != {trade["seller"], trade["buyer"]} and one is not two
    ]
    proof = check_agents({**case, "partners": others}, result)
    assert any("may not trade" in sentence for sentence in proof.problems)


def test_limits_of_the_case_count() -> None:
    case, result = bilateral()
    seller = result["trades"][0]["seller"]
    narrower = deepcopy(case)
    (own,) = (one for one in narrower["agents"] if one["id"] == seller)
    own["pmax"] = result["p"][seller] - 0.001
    own["pmin"] = min(own["pmin"], own["pmax"])
    assert f"p of {seller!r} is beyond its limits" in check_agents(narrower, result).problems
