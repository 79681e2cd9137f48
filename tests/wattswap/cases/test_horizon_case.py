"""Cases of a horizon: what they say, what they refuse in one go, and that a search can be stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.blocks import with_blocks
from market.orders import Block, Flexible
from optimizer.progress import Progress, listening
from wattswap.cases.contract import clear_case
from wattswap.inputs.collector import InvalidCase

Case = dict[str, Any]

CASE: Case = {
    "periods": [
        [
            {"id": "b0", "participant": "anna", "side": "buy", "quantity_kwh": 5, "price_per_kwh": 0.3},
            {"id": "s0", "participant": "cleo", "side": "sell", "quantity_kwh": 7, "price_per_kwh": 0.1},
        ],
        [
            {"id": "b1", "side": "buy", "quantity_kwh": 4, "price_per_kwh": 0.25, "time": 3},
            {"id": "s1", "participant": "cleo", "side": "sell", "quantity_kwh": 6, "price_per_kwh": 0.05},
        ],
        [],
    ],
    "blocks": [
        {"id": "wind", "participant": "wind", "price": 0.06, "profile": [1, 1]},
        {
            "id": "more",
            "participant": "wind",
            "price": 0.04,
            "profile": [0, 1],
            "parent": "wind",
            "min_acceptance": 0.5,
        },
        {"id": "x", "price": 0.2, "profile": [-1, 0], "exclusive_group": "one"},
        {"id": "y", "price": 0.21, "profile": [0, -1], "exclusive_group": "one"},
    ],
    "flexible": [
        {
            "id": "car",
            "participant": "ben",
            "side": "buy",
            "quantity_kwh": 2,
            "price_per_kwh": 0.2,
            "first_period": 0,
            "last_period": 1,
            "power_kw": 2,
        }
    ],
    "storage": [
        {
            "id": "bat",
            "participant": "eva",
            "energy_kwh": 4,
            "power_kw": 1,
            "charge_efficiency": 0.95,
            "discharge_efficiency": 0.95,
            "initial_kwh": 1,
            "wear_per_kwh": 0.01,
        }
    ],
    "params": {"k": 0.5, "price_min": 0, "price_max": 1, "time_limit_s": 5},
}


def changed(*path: Any, to: Any) -> Case:
    """The case with another value at a place."""
    case = deepcopy(CASE)
    at: Any = case
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return case


def refused(case: Case) -> list[str]:
    """What is wrong with a case."""
    with pytest.raises(InvalidCase) as invalid:
        clear_case(case, "multi_interval")
    return [str(problem) for problem in invalid.value.problems]


def test_a_case_of_every_kind_of_order_clears_and_adds_up() -> None:
    result = clear_case(CASE, "multi_interval")
    assert result["status"] == "cleared"
    assert result["certificate"]["holds"]
    assert result["welfare"] <= result["welfare_bound"]
    assert set(result["accepted_blocks"]) <= {"wind", "more", "x", "y"}
    assert not {"x", "y"} <= set(result["accepted_blocks"])
    assert [period["price"] is None for period in result["periods"]] == [False, False, True]
    of_orders = [order["payment"] for period in result["periods"] for order in period["orders"]]
    of_others = [one["payment"] for kind in ("blocks", "flexible", "storage") for one in result[kind]]
    assert round(sum([*of_orders, *of_others]), 9) == 0
    named = {one["participant"]: one["payment"] for one in result["participants"]}
    assert set(named) == {"anna", "ben", "cleo", "eva", "wind"}
    json.dumps(result)


def test_the_case_is_not_changed_and_the_order_of_listing_does_not_matter() -> None:
    case = deepcopy(CASE)
    first = clear_case(case, "multi_interval")
    assert case == CASE
    turned = {**CASE, "periods": [period[::-1] for period in CASE["periods"]], "blocks": CASE["blocks"][::-1]}
    second = clear_case(turned, "multi_interval")
    for key in ("welfare", "traded_kwh", "welfare_bound"):
        assert first[key] == second[key]
    assert [p["price"] for p in first["periods"]] == [p["price"] for p in second["periods"]]


def test_periods_without_orders_clear_nothing() -> None:
    result = clear_case({"periods": [[], []]}, "multi_interval")
    assert result["status"] == "no_trade"
    assert [period["price"] for period in result["periods"]] == [None, None]


def test_an_ordinary_book_is_a_horizon_of_one_period() -> None:
    orders = CASE["periods"][0]
    ours, theirs = (clear_case({"orders": orders}, name) for name in ("multi_interval", "uniform_price"))
    for key in ("welfare", "price", "price_interval", "orders", "participants"):
        assert ours[key] == theirs[key]


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        (
            changed("flexible", 0, "last_period", to=3),
            "flexible[0]: has a window from period 0 to 3, and the horizon",
        ),
        (
            changed("flexible", 0, "first_period", to=2),
            "flexible[0]: has a window from period 2 to 1, and the horizon",
        ),
        (
            changed("flexible", 0, "quantity_kwh", to=5),
            "flexible[0]: needs 5.0 kWh and takes 4.0 kWh in its window",
        ),
        (changed("flexible", 0, "quantity_kwh", to=-1), "flexible[0].quantity_kwh: is -1; give at least 0"),
        (changed("flexible", 0, "power_kw", to=0), "flexible[0].power_kw: is 0; give a power above 0"),
        (
            changed("flexible", 0, "interruptible", to="no"),
            "flexible[0].interruptible: must be true or false",
        ),
        (
            changed("blocks", 0, "profile", to=[1, -1]),
            "blocks[0].profile: sells in some periods and buys in others",
        ),
        (changed("blocks", 0, "profile", to=[1] * 4), "blocks[0].profile: has 4 energies for 3 periods"),
        (changed("blocks", 0, "profile", to=[0, 0]), "blocks[0].profile: holds no energy"),
        (changed("blocks", 0, "parent", to="more"), "the parents form a cycle: wind -> more -> wind"),
        (changed("blocks", 0, "parent", to="wind"), "the parents form a cycle: wind -> wind"),
        (changed("blocks", 1, "parent", to="wnd"), "'wnd' is not the id of a block; did you mean 'wind'?"),
        (changed("blocks", 1, "participant", to="ben"), "'wind' is a block of another participant"),
        (changed("blocks", 2, "exclusive_group", to="two"), "'two' is the group of this block only"),
        (changed("blocks", 2, "participant", to="ben"), "'one' has blocks of several participants"),
        (
            changed("blocks", 1, "min_acceptance", to=0),
            "blocks[1].min_acceptance: is 0; give a number above 0",
        ),
        (
            changed("blocks", 1, "min_acceptance", to=1.5),
            "blocks[1].min_acceptance: is 1.5; give a number above 0",
        ),
        (
            changed("storage", 0, "charge_efficiency", to=1.1),
            "storage[0].charge_efficiency: is 1.1; give a number above",
        ),
        (
            changed("storage", 0, "initial_kwh", to=9),
            "storage[0].initial_kwh: is 9.0 and the storage holds 4.0 kWh",
        ),
        (
            changed("storage", 0, "wear_per_kwh", to=-1),
            "storage[0].wear_per_kwh: is -1; give a cost of at least 0",
        ),
        (changed("storage", 0, "energy_kwh", to=-4), "storage[0].energy_kwh: is -4; give at least 0"),
        (changed("storage", 0, "id", to="car"), "storage[0].id: 'car' is the id of flexible[0] already"),
        (
            changed("periods", 1, 0, "quantity_kwh", to=-2),
            "periods[1][0].quantity_kwh: is -2; give at least 0",
        ),
        (changed("periods", 1, 0, "node", to="a"), "periods[1][0]: unknown key 'node'"),
        (changed("periods", to=[]), "periods: is empty"),
        (changed("minutes", to=0), "minutes: is 0; give the minutes of a period"),
        (
            changed("params", "price_max", to=0.1),
            "params: orders have limits from 0 to 0.3, and price_min and price_max",
        ),
        (changed("params", "price_min", to=2), "params: price_min and price_max are 2 and 1; swap them"),
        (changed("params", "time_limit_s", to=0), "params.time_limit_s: is 0; give at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(case: Case, sentence: str) -> None:
    assert any(sentence in problem for problem in refused(case)), refused(case)


@pytest.mark.parametrize("value", [1.5, "many", True])
def test_a_limit_that_is_no_whole_number_is_one_problem(value: object) -> None:
    (problem,) = refused(changed("params", "time_limit_s", to=value))
    assert "params.time_limit_s: must be a whole number" in problem


def test_everything_that_is_wrong_is_said_at_once() -> None:
    case = changed("blocks", 0, "profile", to=[1, -1])
    case["flexible"][0]["last_period"] = 9
    case["storage"][0]["charge_efficiency"] = 2
    case["blocks"][1]["parent"] = "nobody"
    assert len(refused(case)) == 4


def test_an_infeasible_case_says_which_storage() -> None:
    result = clear_case(changed("storage", 0, "final_kwh", to=4), "multi_interval")
    assert result["status"] == "infeasible"
    assert result["reason"].startswith(
        "the storage bat cannot reach its final content even by charging at full power"
    )
    alone = {"periods": [[], []], "storage": [{**CASE["storage"][0], "final_kwh": 2}]}
    assert "too little is offered" in clear_case(alone, "multi_interval")["reason"]


def test_minutes_turn_power_into_energy() -> None:
    case = changed("flexible", 0, "quantity_kwh", to=1)
    result = clear_case({**case, "minutes": 15}, "multi_interval")
    assert max(result["flexible"][0]["schedule_kwh"]) == 0.5


def hard() -> Case:
    """The first instance of 200 blocks of the benchmark, which takes the search more than half a minute."""
    book = with_blocks(0, 200)
    case: Case = {"periods": [[] for _ in range(24)], "blocks": []}
    for row in range(len(book)):
        terms, price = book.terms.get(row), int(book.limit_micro_per_kwh[row]) / 1_000_000
        if isinstance(terms, Block):
            energies = [-int(book.side[row]) * x / 1_000 for x in terms.profile_wh]
            case["blocks"].append({"id": str(row), "price": price, "profile": [0] * terms.first + energies})
        else:
            period = terms.first if isinstance(terms, Flexible) else 0
            order = {"id": str(row), "side": "buy" if book.side[row] > 0 else "sell", "price_per_kwh": price}
            case["periods"][period].append({**order, "quantity_kwh": int(book.energy_wh[row]) / 1_000})
    return case


def test_a_search_ends_at_its_time_limit_and_tells_how_far_it_is() -> None:
    told: list[Progress] = []
    with listening(told.append):
        result = clear_case({**hard(), "params": {"time_limit_s": 3}}, "multi_interval")
    assert not result["certificate"]["complete"]
    assert not result["certificate"]["holds"]
    assert 0 < result["gap"] < 0.05
    assert told
    assert 0 < told[-1].gap < 0.05
    assert result["welfare"] < result["welfare_bound"]


def test_ctrl_c_ends_a_search_within_a_second(tmp_path: Path) -> None:
    file = tmp_path / "hard.json"
    file.write_text(json.dumps(hard()), encoding="utf-8")
    command = [sys.executable, "-m", "wattswap", "clear", "-m", "multi_interval", str(file), "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"welfare" in process.stderr.readline()  # from the second second on
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert time.monotonic() - begun < 3  # a second on a machine with nothing else to do
        assert process.returncode == 130
