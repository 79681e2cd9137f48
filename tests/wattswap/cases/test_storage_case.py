"""Cases of a battery in common: the contract's keys, exact Wh, a proof that is recomputed, all mistakes at once."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

import wattswap as ws
from wattswap.inputs.collector import InvalidCase

CASE: dict[str, Any] = {
    "load_kwh": [1, 2, 3, 4],
    "generation_kwh": [3, 3, 0, 0],
    "retail_price": [0.3, 0.3, 0.3, 0.5],
    "feed_in_tariff": [0.08, 0.08, 0.08, 0.08],
    "storage": {
        "energy_kwh": 4,
        "power_kw": 2,
        "charge_efficiency": 0.95,
        "discharge_efficiency": 0.95,
        "initial_kwh": 0,
    },
}


def with_storage(**keys: Any) -> dict[str, Any]:
    case = deepcopy(CASE)
    case["storage"].update(keys)
    return case


def clear(case: dict[str, Any]) -> dict[str, Any]:
    return ws.clear(case, "community_storage")


def recomputed(case: dict[str, Any], result: dict[str, Any]) -> float:
    """Cost of the energies that a result shows."""
    return float(
        np.dot(result["import_kwh"], case["retail_price"])
        - np.dot(result["export_kwh"], case["feed_in_tariff"])
    )


def test_a_case_by_hand() -> None:
    """3 kWh are stored at 95 %: 2.85 kWh come out as 2.7075, 2 of them at 0.50 and the rest at 0.30."""
    result = clear(CASE)
    assert result["cost_without_storage"] == pytest.approx(3 * 0.3 + 4 * 0.5 - 3 * 0.08)
    assert result["state_of_charge_kwh"][:2] == [1.9, 2.85]
    assert result["cost"] == pytest.approx(2 * 0.5 + (3 - 0.7075) * 0.3, abs=0.001)
    assert result["import_kwh"][3] == 2.0
    assert result["export_kwh"] == [0.0] * 4


def test_the_keys_are_those_of_the_contract() -> None:
    assert set(clear(CASE)) == {
        "mechanism", "cost", "cost_without_storage", "import_kwh", "export_kwh", "state_of_charge_kwh", "certificate",
    }  # fmt: skip


@pytest.mark.parametrize("keys", [{}, {"initial_kwh": 3}, {"energy_kwh": 1.234}, {"power_kw": 0.777}])
def test_the_energies_are_whole_balance_and_cost_what_is_said(keys: dict[str, Any]) -> None:
    case = with_storage(**keys)
    result = clear(case)
    assert recomputed(case, result) == pytest.approx(result["cost"], abs=1e-9)
    store = case["storage"]
    content = np.diff(result["state_of_charge_kwh"], prepend=store["initial_kwh"])
    net = np.array(result["import_kwh"]) - result["export_kwh"]
    taken = net - np.array(case["load_kwh"]) + case["generation_kwh"]
    expected = np.where(taken > 0, taken * store["charge_efficiency"], taken / store["discharge_efficiency"])
    assert np.abs(content - expected).max() <= 0.002
    assert np.abs(taken).max() <= store["power_kw"] + 1e-9
    assert min(result["state_of_charge_kwh"]) >= 0
    assert max(result["state_of_charge_kwh"]) <= store["energy_kwh"]
    assert not np.minimum(result["import_kwh"], result["export_kwh"]).any()


def test_the_certificate_is_recomputed_from_its_prices() -> None:
    """The lower bound of the page: every interval at its best against the prices, which nobody has to believe."""
    case = with_storage(initial_kwh=0.5)
    result = clear(case)
    proof, store = result["certificate"], case["storage"]
    price, value = np.array(proof["price_per_kwh"]), np.array(proof["stored_value_per_kwh"])
    net = np.subtract(case["load_kwh"], case["generation_kwh"])
    retail, feed_in, power = (
        np.array(case["retail_price"]),
        np.array(case["feed_in_tariff"]),
        store["power_kw"],
    )
    ends = np.stack((net - power, net + power, np.clip(0, net - power, net + power)))
    outside = (np.where(ends > 0, retail, feed_in) * ends - price * ends).min(axis=0)
    charged = (price - store["charge_efficiency"] * value) * power
    given = (value / store["discharge_efficiency"] - price) * power
    content = np.minimum((value - np.append(value[1:], 0)) * store["energy_kwh"], 0)
    bound = (price * net + outside + np.minimum(np.minimum(charged, given), 0) + content).sum()
    assert bound - value[0] * store["initial_kwh"] == pytest.approx(proof["lower_bound"], abs=1e-9)
    assert result["cost"] - proof["lower_bound"] == pytest.approx(proof["gap"], abs=1e-9)
    assert 0 <= proof["gap"] < 0.003


def test_no_storage_costs_what_is_cost_without() -> None:
    for keys in ({"energy_kwh": 0}, {"power_kw": 0}):
        result = clear(with_storage(**keys))
        assert result["cost"] == result["cost_without_storage"]
        assert result["state_of_charge_kwh"] == [0.0] * 4


def test_a_price_below_0_does_not_pay_for_wasting_energy() -> None:
    """A full storage could burn 2 kW by charging and discharging at once, and be paid 0.2 for each kWh."""
    case = with_storage(energy_kwh=2, initial_kwh=2)
    case["retail_price"] = [-0.2] * 4
    case["feed_in_tariff"] = [-0.3] * 4
    result = clear(case)
    net = np.subtract(case["load_kwh"], case["generation_kwh"])
    moved = np.array(result["import_kwh"]) - result["export_kwh"] - net
    content = np.diff(result["state_of_charge_kwh"], prepend=2)
    assert (moved * content >= -1e-9).all()
    assert result["certificate"]["lower_bound"] <= result["cost"] <= result["cost_without_storage"]


def test_quarters_of_an_hour_take_a_quarter_of_the_power() -> None:
    case = {**CASE, "params": {"interval_minutes": 15}}
    assert max(np.abs(np.diff(clear(case)["state_of_charge_kwh"], prepend=0))) <= 0.5 / 0.95 + 1e-9


def test_one_price_holds_for_all_intervals() -> None:
    once, each = {**CASE, "feed_in_tariff": 0.08}, CASE
    assert clear(once) == clear(each)


def test_a_case_without_intervals_is_refused() -> None:
    with pytest.raises(InvalidCase, match="load_kwh: has no intervals"):
        clear({**CASE, "load_kwh": [], "generation_kwh": [], "retail_price": [], "feed_in_tariff": []})


def test_all_mistakes_are_named_at_once() -> None:
    case = with_storage(charge_efficiency=0, initial_kwh=9, energy_kwh=4, size=3)
    case |= {"load_kwh": [1, -2, 3, 4], "retail_price": [0.3], "params": {"interval_minutes": 0}, "grid": {}}
    with pytest.raises(InvalidCase) as caught:
        clear(case)
    text = str(caught.value)
    for part in ("unknown key 'grid'", "unknown key 'size'", "load_kwh[1]", "1 prices for 4", "initial_kwh: is 9",
                 "charge_efficiency: is 0", "interval_minutes: is 0"):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize("key", ["load_kwh", "storage", "retail_price"])
def test_a_missing_key_is_named(key: str) -> None:
    case = deepcopy(CASE)
    del case[key]
    with pytest.raises(InvalidCase, match=f"'{key}' is missing"):
        clear(case)


def test_energies_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidCase, match="64 bits"):
        clear({**CASE, "load_kwh": [1e14, 0, 0, 0]})


def test_a_wrong_name_is_told_of_this_one() -> None:
    with pytest.raises(Exception, match="community_storage"):
        ws.clear(CASE, "community_storages")
