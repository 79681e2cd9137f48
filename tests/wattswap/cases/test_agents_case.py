"""Agents with quadratic costs by the contract: whole Wh, exact payments, and everything that is wrong in one go."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import wattswap as ws
from optimizer.errors import OptimizerError
from tests.kits.agents_kit import Case, random_case
from wattswap.cases.agents_proof import check_agents
from wattswap.cases.bilateral import clear_bilateral
from wattswap.cases.community_manager import clear_community
from wattswap.cases.contract import clear_case
from wattswap.cli import main
from wattswap.errors import ExitCode, Infeasible, exit_code_of
from wattswap.inputs.collector import InvalidCase
from wattswap.inputs.no_run import NO_RUN

FOUR: Case = {
    "agents": [
        {"id": "pv", "type": "producer", "a": 0.1, "b": 0.1, "pmin": 0, "pmax": 5},
        {"id": "chp", "type": "producer", "a": 0.05, "b": 0.2, "pmin": 0, "pmax": 5},
        {"id": "ann", "type": "consumer", "a": 0.1, "b": 0.6, "pmin": -3, "pmax": 0},
        {"id": "bob", "type": "consumer", "a": 0.2, "b": 0.7, "pmin": -3, "pmax": -0.5},
    ],
    "trade_costs": [
        {"agent": "ann", "partner": "chp", "cost": 0.1},
        {"agent": "chp", "partner": "bob", "cost": 0.02},
    ],
}


def problems(case: Any, mechanism: str = "bilateral") -> list[str]:
    with pytest.raises(InvalidCase) as caught:
        clear_case(case, mechanism)
    assert caught.value.code == 3
    return [str(problem) for problem in caught.value.problems]


def changed(at: int, **keys: Any) -> Case:
    case = deepcopy(FOUR)
    case["agents"][at].update(keys)
    return case


def pool(**params: Any) -> Case:
    return {"agents": deepcopy(FOUR["agents"]), "params": params}


@pytest.mark.parametrize("method", ["central", "admm"])
def test_four_agents_by_hand(method: str) -> None:
    """pv with ann: .1 + .1 q = .6 - .1 q; chp with bob: .2 + .05 q + .02 = .7 - .2 q, at .02 more than chp's."""
    result = ws.clear({**FOUR, "params": {"method": method}}, "bilateral")
    assert result["p"] == {"pv": 2.5, "chp": 1.92, "ann": -2.5, "bob": -1.92}
    assert result["trades"] == [
        {"seller": "pv", "buyer": "ann", "quantity_kwh": 2.5, "price_per_kwh": 0.35},
        {"seller": "chp", "buyer": "bob", "quantity_kwh": 1.92, "price_per_kwh": 0.316},
    ]
    assert result["objective"] == pytest.approx(-1.0858)
    assert result["participants"] == [
        {"participant": "pv", "payment": -0.875},
        {"participant": "chp", "payment": -0.60672},
        {"participant": "ann", "payment": 0.875},
        {"participant": "bob", "payment": 0.60672},
    ]
    assert (method == "admm") == ("iterations" in result) == ("residuals" in result)


def test_the_manager_imports_exports_or_neither_by_hand() -> None:
    """At .30: 2 + 2 produced, 3 + 2 consumed. At .4 of export: 3 + 4 produced, 2 + 1.5 consumed."""
    imports = ws.clear(pool(import_cost=0.3, export_revenue=0.1), "community_manager")
    assert (imports["price"], imports["import_kwh"], imports["export_kwh"]) == (0.3, 1.0, 0.0)
    assert imports["p"] == {"pv": 2.0, "chp": 2.0, "ann": -3.0, "bob": -2.0}
    exports = ws.clear(pool(import_cost=0.5, export_revenue=0.4), "community_manager")
    assert (exports["price"], exports["import_kwh"], exports["export_kwh"]) == (0.4, 0.0, 3.5)
    alone = ws.clear(pool(external=False), "community_manager")
    between = ws.clear(pool(import_cost=0.5, export_revenue=0.1), "community_manager")
    assert alone["price"] == between["price"] == pytest.approx(0.322222)
    assert between["import_kwh"] == between["export_kwh"] == between["manager_surplus"] == 0.0


def test_a_manager_at_its_limit_keeps_the_difference() -> None:
    """0.5 kWh at .3 are sold at the price of .31 and a bit."""
    result = ws.clear(pool(import_cost=0.3, export_revenue=0.1, external=0.5), "community_manager")
    assert result["import_kwh"] == 0.5
    assert result["price"] > 0.3
    assert result["manager_surplus"] == pytest.approx(0.5 * (result["price"] - 0.3))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("method", ["central", "admm"])
def test_sums_are_exact_in_wh_and_in_nano(method: str, seed: int) -> None:
    case = random_case(24, seed, prosumers=0.3 * (seed % 3), must=0.3 * (seed % 2), degree=6 * (seed % 2))
    case["params"] = {"method": method}
    try:
        result = clear_bilateral(case)
    except (OptimizerError, Infeasible):
        assert seed % 2
        return
    net_wh = dict.fromkeys(result["p"], 0)
    paid_nano = dict.fromkeys(result["p"], 0)
    for trade in result["trades"]:
        energy_wh = round(trade["quantity_kwh"] * 1_000)
        assert energy_wh == pytest.approx(trade["quantity_kwh"] * 1_000)
        net_wh[trade["seller"]] += energy_wh
        net_wh[trade["buyer"]] -= energy_wh
        amount_nano = energy_wh * round(trade["price_per_kwh"] * 1_000_000)
        paid_nano[trade["buyer"]] += amount_nano
        paid_nano[trade["seller"]] -= amount_nano
    assert {name: net / 1_000 for name, net in net_wh.items()} == result["p"]
    assert {one["participant"]: one["payment"] for one in result["participants"]} == {
        name: paid / 1e9 for name, paid in paid_nano.items()
    }
    limits = {one["id"]: (one["pmin"], one["pmax"]) for one in case["agents"]}
    assert all(limits[name][0] <= p <= limits[name][1] for name, p in result["p"].items())
    assert result["certificate"]["gap"] < (1e-6 if method == "central" else 1e-4)
    assert check_agents(case, json.loads(json.dumps(result))).holds


def test_central_and_negotiated_results_cost_the_same() -> None:
    for seed in range(8):
        case = random_case(30, seed, prosumers=0.2)
        central = clear_bilateral(case)
        negotiated = clear_bilateral({**case, "params": {"method": "admm"}})
        size = abs(central["objective"])
        assert negotiated["converged"]
        assert abs(negotiated["objective"] - central["objective"]) < 1e-4 * size
        assert negotiated["certificate"]["bound"] <= central["objective"] + 1e-9 * size


def test_nobody_trades_where_nobody_gains() -> None:
    case = changed(0, b=0.9)
    case["agents"] = [case["agents"][0], case["agents"][2]]
    case["trade_costs"] = []
    for method in ("central", "admm"):
        result = clear_bilateral({**case, "params": {"method": method}})
        assert (result["status"], result["trades"], result["objective"]) == ("no_trade", [], 0.0)
        assert result["certificate"]["gap"] == 0.0


def test_partners_limit_who_trades_and_other_pairs_among_them_do_no_harm() -> None:
    case = {**FOUR, "partners": [["ann", "chp"], ["bob", "chp"], ["ann", "bob"]]}
    result = clear_bilateral(case)
    assert {trade["seller"] for trade in result["trades"]} == {"chp"}
    assert result["p"]["pv"] == 0.0


def test_a_negative_cost_is_a_preference_that_a_producer_and_a_consumer_may_have() -> None:
    liked = clear_bilateral({**FOUR, "trade_costs": [{"agent": "ann", "partner": "chp", "cost": -0.2}]})
    assert ("chp", "ann") in {(trade["seller"], trade["buyer"]) for trade in liked["trades"]}


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        (changed(0, a=-1), "agents[0].a: is -1; give at least 0"),
        (changed(0, a=1e-15), "agents[0].a: is 1e-15; give 0 or at least 1e-12"),
        (changed(0, pmin=6), "agents[0]: pmin 6 is above pmax 5; exchange them"),
        (changed(0, pmin=-1), "agents[0].pmin: is -1 of a producer; give at least 0, or the type prosumer"),
        (changed(2, pmax=1), "agents[2].pmax: is 1 of a consumer; give at most 0, or the type prosumer"),
        (changed(0, type="windmill"), "agents[0].type: is 'windmill'; known: producer, consumer, prosumer"),
        (changed(1, id="pv"), "agents[1].id: 'pv' is the id of agents[0] already"),
        (changed(0, b=float("nan")), "agents[0].b: is nan; give a finite number"),
        (changed(0, pmax=float("inf")), "agents[0].pmax: is inf; give a finite number"),
        (changed(0, pmax=1e12), "agents[0].pmax: is beyond 1e+09 kWh; split the case"),
        (changed(0, b=1e13), "agents[0].b: is a price beyond what 64 bits hold"),
        (changed(0, a=1e12), "agents[0].a: times its limits is a price beyond what 64 bits hold"),
        (changed(0, c=1), "agents[0]: unknown key 'c'"),
        ({**FOUR, "partners": [["ann", "dan"]]}, "partners[0][1]: no agent 'dan'; did you mean 'ann'?"),
        ({**FOUR, "partners": [["ann", "ann"]]}, "partners[0]: 'ann' is its own partner; name two agents"),
        ({**FOUR, "partners": ["ann"]}, "partners[0]: must be a list of two agents, not 'ann'"),
        ({**FOUR, "params": {"method": "magic"}}, "params.method: is 'magic'; known: central, admm"),
        ({**FOUR, "params": {"tolerance": 0.001}}, "params.tolerance: is of the method admm; leave it out"),
        ({**FOUR, "params": {"method": "admm", "rho": 0}}, "params.rho: is 0; give 1e-06 to 1e+06"),
        ({"agents": []}, "agents: are none; give at least one"),
        ({"agents": FOUR["agents"][:2]}, "agents: none is a consumer or prosumer; give one that can consume"),
        ({"agents": FOUR["agents"][2:]}, "agents: none is a producer or prosumer; give one that can produce"),
    ],
)
def test_a_wrong_case_gets_one_sentence(case: Case, sentence: str) -> None:
    found = problems(case)
    about = [one for one in found if one.startswith(sentence)]
    assert len(about) == 1, found
    assert len(found) == 1 or "trade_costs" in str(found)


def test_a_pair_given_twice_is_refused_with_another_cost_and_read_once_with_the_same() -> None:
    again = {"agent": "ann", "partner": "chp", "cost": 0.1}
    assert clear_bilateral({**FOUR, "trade_costs": [*FOUR["trade_costs"], again]}) == clear_bilateral(FOUR)
    (said,) = problems({**FOUR, "trade_costs": [*FOUR["trade_costs"], {**again, "cost": 0.2}]})
    assert said == "trade_costs[2]: gives 'ann' with 'chp' 0.2 after 0.1; keep one"


def test_two_prosumers_that_gain_by_sending_back_and_forth_are_refused() -> None:
    case = deepcopy(FOUR)
    for one in case["agents"][:2]:
        one.update(type="prosumer", pmin=-1)
    case["trade_costs"] = [{"agent": "pv", "partner": "chp", "cost": -0.1}]
    (said,) = problems(case)
    assert said.startswith("trade_costs: 'pv' and 'chp' gain by every kWh that they send back and forth")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    case = changed(0, a=-1, pmin=9)
    case["agents"][1]["b"] = "x"
    case["trade_costs"] += [{"agent": "ann", "partner": "zoe", "cost": 0}, {"agent": "ann"}]
    case["partners"] = [["pv", "nobody"]]
    case["params"] = {"method": "magic", "colour": 1}
    said = "\n".join(problems(case))
    for place in (
        "agents[0].a", "agents[0]: pmin", "agents[1].b", "trade_costs[2].partner", "trade_costs[3]: 'cost'",
        "trade_costs[3]: 'partner'", "partners[0][1]", "params: unknown key 'colour'", "params.method",
    ):  # fmt: skip
        assert place in said


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "params: 'import_cost' is missing"),
        ({"import_cost": 0.1, "export_revenue": 0.3}, "params.export_revenue: 0.3 is above import_cost 0.1"),
        ({"import_cost": 0.3, "export_revenue": 0.1, "external": -1}, "params.external: is -1"),
        ({"import_cost": 0.3, "export_revenue": 0.1, "external": "no"}, "params.external: must be a number"),
        ({"import_cost": 0.3, "export_revenue": float("nan")}, "params.export_revenue: is nan"),
        ({"import_cost": 0.3, "export_revenue": 0.1, "method": "admm"}, "params: unknown key 'method'"),
    ],
)
def test_wrong_params_of_the_manager_get_one_sentence(params: dict[str, Any], sentence: str) -> None:
    assert any(one.startswith(sentence) for one in problems(pool(**params), "community_manager"))


def test_the_manager_refuses_what_only_pairs_have_and_takes_agents_of_one_kind() -> None:
    case = {**FOUR, "params": {"import_cost": 0.3, "export_revenue": 0.1}}
    (said,) = problems(case, "community_manager")
    assert said.startswith("trade_costs: is not used by community_manager, whose agents trade with the pool")
    one_kind = {**case, "trade_costs": [], "agents": FOUR["agents"][2:]}
    assert clear_community(one_kind)["import_kwh"] == 5.0


def test_agents_that_must_trade_and_cannot_are_named() -> None:
    case = {**FOUR, "partners": [["pv", "ann"]]}
    with pytest.raises(Infeasible, match="'bob' must trade and may trade with nobody") as caught:
        clear_bilateral(case)
    assert exit_code_of(caught.value) == ExitCode.INFEASIBLE
    for method in ("central", "admm"):
        with pytest.raises(OptimizerError) as unbalanced:
            clear_bilateral({**changed(3, pmin=-20, pmax=-12), "params": {"method": method}})
        assert exit_code_of(unbalanced.value) == ExitCode.INFEASIBLE


@pytest.mark.parametrize("name", NO_RUN)
def test_runs_and_comparisons_refuse_mechanisms_of_cases_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("run", "demo", "--set", f'market.mechanism="{name}"'), ("compare", "demo", "-m", name)):
        with pytest.raises(SystemExit) as done:
            main(list(words))
        assert done.value.code in (2, 3)
        said = capsys.readouterr().err
        assert f"{name} {NO_RUN[name][0]}" in said


def test_the_command_prints_tables_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "case.json"
    file.write_text(json.dumps(FOUR), encoding="utf-8")
    for option, shown in (("--json", json.dumps(clear_bilateral(FOUR))), ("--wide", "2.500000")):
        with pytest.raises(SystemExit) as done:
            main(["clear", str(file), "-m", "bilateral", option])
        assert done.value.code == 0
        assert shown in capsys.readouterr().out
