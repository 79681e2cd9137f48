"""Cases of many storages behind one meter: keys, the peak beside the cost, a limit, and all mistakes at once."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattswap as ws
from market.units import PPM
from optimizer.fleet import community
from tests.kits.fleet_kit import community_of
from wattswap.inputs.collector import InvalidCase

CASE: dict[str, Any] = {
    "load_kwh": [1, 2, 3, 4],
    "generation_kwh": [3, 3, 0, 0],
    "retail_price": [0.3, 0.3, 0.3, 0.5],
    "feed_in_tariff": 0.08,
    "storages": [
        {
            "id": "anna",
            "energy_kwh": 2,
            "power_kw": 1,
            "charge_efficiency": 0.95,
            "discharge_efficiency": 0.95,
            "initial_kwh": 0,
        },
        {
            "id": "ben",
            "energy_kwh": 4,
            "power_kw": 1,
            "charge_efficiency": 0.9,
            "discharge_efficiency": 0.9,
            "initial_kwh": 0,
            "wear_per_kwh": 0.02,
        },
    ],
}


def clear(case: dict[str, Any]) -> dict[str, Any]:
    return ws.clear(case, "community_storage")


def with_params(**params: Any) -> dict[str, Any]:
    return {**deepcopy(CASE), "params": params}


def test_a_case_by_hand() -> None:
    """2 kWh of surplus an hour are stored for the last hour, at 0.50; what is left serves the third, at 0.30."""
    result = clear(CASE)
    assert set(result) == {
        "mechanism", "cost", "cost_without_storage", "peak_import_kwh", "peak_import_without_storage_kwh",
        "import_kwh", "export_kwh", "shed_kwh", "storages", "certificate",
    }  # fmt: skip
    assert result["cost_without_storage"] == pytest.approx(3 * 0.3 + 4 * 0.5 - 3 * 0.08)
    assert result["peak_import_without_storage_kwh"] == 4.0
    assert result["peak_import_kwh"] == max(result["import_kwh"])
    assert result["export_kwh"] == [0.0] * 4
    # Each gives 1 kWh in the last hour; anna's best use of the rest is the third.
    assert [one["discharge_kwh"][3] for one in result["storages"]] == pytest.approx([1, 1], abs=0.002)
    worn = 0.02 * sum(result["storages"][1]["discharge_kwh"])
    bought = np.dot(result["import_kwh"], CASE["retail_price"])
    assert result["cost"] == pytest.approx(bought + worn, abs=1e-9)
    proof = result["certificate"]
    assert proof["lower_bound"] <= result["cost"] <= proof["lower_bound"] + 0.002
    assert proof["gap"] == pytest.approx(result["cost"] - proof["lower_bound"])


@pytest.mark.parametrize("minutes", [60, 15])
def test_energies_balance_and_contents_follow(minutes: int) -> None:
    result = clear(with_params(interval_minutes=minutes))
    for given, found in zip(CASE["storages"], result["storages"], strict=True):
        assert max(found["charge_kwh"] + found["discharge_kwh"]) <= given["power_kw"] * minutes / 60
        stored = np.array(found["charge_kwh"]) * given["charge_efficiency"]
        stored -= np.array(found["discharge_kwh"]) / given["discharge_efficiency"]
        assert found["content_kwh"] == pytest.approx(np.cumsum(stored), abs=1e-5)
        assert not np.logical_and(found["charge_kwh"], found["discharge_kwh"]).any()
    drawn = sum(np.array(s["charge_kwh"]) - s["discharge_kwh"] for s in result["storages"])
    net = np.array(CASE["load_kwh"]) - CASE["generation_kwh"] + drawn
    assert np.array(result["import_kwh"]) - result["export_kwh"] == pytest.approx(net)


def test_a_limit_is_kept_and_what_it_leaves_unserved_costs() -> None:
    result = clear(with_params(import_limit_kw=1.5, shed_price=3))
    assert result["peak_import_kwh"] <= 1.5
    assert result["peak_import_without_storage_kwh"] == 1.5
    assert sum(result["shed_kwh"]) == pytest.approx(0.575, abs=0.002)
    paid = np.dot(result["import_kwh"], CASE["retail_price"]) + 3 * sum(result["shed_kwh"])
    assert result["cost"] == pytest.approx(paid + 0.02 * sum(result["storages"][1]["discharge_kwh"]))


def test_many_are_coordinated_and_few_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def case(count: int) -> dict[str, Any]:
        members, stores = community_of(3, count)
        return {
            "load_kwh": np.maximum(members.net_wh, 0) / 1_000,
            "generation_kwh": np.maximum(-members.net_wh, 0) / 1_000,
            "retail_price": (members.bought / 1e6).tolist(),
            "feed_in_tariff": 0.08,
            "storages": [
                {
                    "id": i,
                    "energy_kwh": store.terms.capacity_wh / 1_000,
                    "power_kw": store.terms.charge_wh / 1_000,
                    "charge_efficiency": store.terms.charge_ppm / PPM,
                    "discharge_efficiency": store.terms.discharge_ppm / PPM,
                    "initial_kwh": store.terms.initial_wh / 1_000,
                    "wear_per_kwh": store.terms.wear_micro_per_kwh / 1e6,
                }
                for i, store in enumerate(stores)
            ],
        }

    asked = []
    coordinate = community.coordinate

    def counted(*arguments: Any) -> Any:
        asked.append(len(arguments[0].stores))
        return coordinate(*arguments)

    monkeypatch.setattr(community, "coordinate", counted)
    for count in (community.MANY - 1, community.MANY):
        given = case(count)
        for key in ("load_kwh", "generation_kwh"):
            given[key] = given[key].tolist()
        result = clear(given)
        assert result["certificate"]["gap_share"] < 1e-3
        assert result["certificate"]["complete"]
        assert result["cost"] < result["cost_without_storage"]
    assert asked == [community.MANY]


def test_below_0_storages_go_one_way() -> None:
    case = {**deepcopy(CASE), "feed_in_tariff": -0.2, "generation_kwh": [9, 9, 0, 0]}
    for store in case["storages"]:
        store["initial_kwh"] = store["energy_kwh"]
        store["final_kwh"] = 0
    result = clear(case)
    assert result["certificate"]["no_discharge_periods"]
    assert set(result["certificate"]["no_discharge_periods"]) <= {0, 1}
    for found in result["storages"]:
        assert not np.logical_and(found["charge_kwh"], found["discharge_kwh"]).any()


def test_contents_out_of_reach_are_infeasible_with_a_reason() -> None:
    case = deepcopy(CASE)
    case["storages"][1]["final_kwh"] = 4
    result = clear(case)
    assert result["status"] == "infeasible"
    assert "ben" in result["reason"]


@pytest.mark.parametrize("many", [1, 300])
def test_a_limit_that_leaves_too_little_for_the_contents_is_infeasible(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattswap.cases.storages.dispatch", partial(community.dispatch, many=many))
    case = with_params(import_limit_kw=0, shed_price=3)
    case["generation_kwh"] = [0, 0, 0, 0]
    case["storages"][0]["final_kwh"] = 1
    result = clear(case)
    assert result["status"] == "infeasible"
    assert "anna" in result["reason"]


def test_all_mistakes_are_told_at_once() -> None:
    case = with_params(import_limit_kw=2, interval_minutes=0)
    case["feed_in_tariff"] = 0.4
    case["storages"][1].update(id="anna", charge_efficiency=1.2, initial_kwh=9)
    with pytest.raises(InvalidCase) as caught:
        clear(case)
    said = "; ".join(str(problem) for problem in caught.value.problems)
    for phrase in (
        "interval_minutes", "earns more outside", "'anna' is the id of storages[0] already", "charge_efficiency",
        "initial_kwh", "shed_price",
    ):  # fmt: skip
        assert phrase in said, said


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"shed_price": 1}, "no meaning without import_limit_kw"),
        ({"import_limit_kw": 1, "shed_price": 0.4}, "above retail_price"),
        ({"size": 1}, "size"),
    ],
)
def test_parameters_that_do_not_fit(params: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidCase, match=said):
        clear(with_params(**params))


def test_storage_and_storages_together_are_refused() -> None:
    case = {**deepcopy(CASE), "storage": CASE["storages"][0]}
    with pytest.raises(InvalidCase, match="storage"):
        clear(case)
    with pytest.raises(InvalidCase, match="at least one"):
        clear({**deepcopy(CASE), "storages": []})


@pytest.mark.parametrize("given", [{"id": "anna"}, "anna", None, 3])
def test_storages_that_are_no_list_are_one_problem(given: Any) -> None:
    with pytest.raises(InvalidCase) as caught:
        clear({**deepcopy(CASE), "storages": given})
    (problem,) = caught.value.problems
    assert (problem.where, problem.message[:14]) == ("storages", "must be a list")


def test_the_worked_case_of_the_page_is_as_by_hand() -> None:
    text = (Path(__file__).parents[3] / "docs/how-to/size-a-battery.md").read_text(encoding="utf-8")
    case = json.loads(text.split("```json storages.json\n")[1].split("```")[0])
    result = clear(case)
    anna, ben = result["storages"]
    assert (sum(anna["charge_kwh"]), sum(ben["charge_kwh"])) == (1.8, 1.25)
    assert (anna["discharge_kwh"], ben["discharge_kwh"]) == ([0.0, 0.0, 0.8, 1.0], [0.0, 0.0, 0.0, 1.0])
    assert result["import_kwh"] == [0.0, 0.05, 2.2, 2.0]
    assert result["cost"] == pytest.approx(0.05 * 0.3 + 2.2 * 0.3 + 2 * 0.5, abs=1e-9)
    assert result["cost_without_storage"] == pytest.approx(
        2.2 * 0.3 + 2.2 * 0.5 - 3 * 0.08 + 3 * (1.8 + 0.8), abs=1e-9
    )
    shown = text.split("community_storage storages.json")[1]
    for line in (
        "1.675\n",
        "9.32\n",
        "0.0, 0.05, 2.2, 2.0",
        "[1.0, 0.25, 0.0, 0.0]",
        "lower_bound           1.675",
    ):
        assert line in shown
