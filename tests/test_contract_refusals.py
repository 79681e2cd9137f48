"""Bad input of every kind for every rule of `wattswap clear`: all of it said at once, a sentence each, never a bug."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from market.errors import UnknownMechanism
from tests.clear_cases import (
    BOOK,
    EVENTS,
    GAME,
    HOMES,
    METERED,
    NONSENSE,
    PRICES,
    Case,
    at,
    book,
    places,
    put,
    rules,
    valid_cases,
    without,
)
from wattswap.clear_contract import InvalidCase, clear_case, clear_file
from wattswap.cli import main
from wattswap.cooperative_case import METHODS
from wattswap.errors import exit_code_of, is_expected, problems_of

VALID = valid_cases()
KINDS = [(name, case) for name, case in VALID if "orders" not in case] + [
    ("uniform_price", book("uniform_price"))
]
NAN, INFINITY = float("nan"), float("inf")


def label(value: Any) -> str:
    return value if isinstance(value, str) else ""


def sentences(case: Any, name: str) -> list[str]:
    """What is said about a case; nothing where it is taken."""
    try:
        clear_case(case, name)
    except Exception as error:
        if not is_expected(error):
            raise AssertionError(f"{name}: {type(error).__name__}: {error}; {case!r:.600}") from error
        refusal = error
    else:
        return []
    assert exit_code_of(refusal) in (3, 4)
    said = [str(problem) for problem in problems_of(refusal)]
    assert said
    for sentence in said:
        assert sentence.isprintable()
        assert len(sentence) < 1_300
    return said


def one(case: Any, name: str) -> str:
    """The only sentence about a case."""
    (sentence,) = sentences(case, name)
    return sentence


@pytest.mark.parametrize(("name", "case"), VALID, ids=label)
def test_a_case_of_every_kind_is_taken_by_every_rule(name: str, case: Case) -> None:
    before = deepcopy(case)
    assert sentences(case, name) == []
    assert case == before


@pytest.mark.parametrize(("name", "case"), VALID, ids=label)
def test_nonsense_in_any_place_is_taken_or_refused_but_never_a_bug(name: str, case: Case) -> None:
    for place in places(case):
        for nonsense in NONSENSE:
            sentences(put(case, place, nonsense), name)
        if place:
            sentences(without(case, place), name)


@pytest.mark.parametrize(("name", "case"), VALID, ids=label)
def test_an_unknown_key_is_refused_wherever_it_stands(name: str, case: Case) -> None:
    for place in places(case):
        if not isinstance(at(case, place), dict) or place[-1:] == ("attributes",):
            continue
        if place[-1:] in (("supply_kwh",), ("demand_kwh",), ("load_kwh",), ("generation_kwh",)):
            continue  # their keys are participants
        said = one(put(case, (*place, "bogus"), 1), name)
        assert "bogus" in said


@pytest.mark.parametrize("name", rules())
@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("quantity_kwh", -1, "is -1; give at least 0"),
        ("quantity_kwh", NAN, "is nan; give a finite number"),
        ("quantity_kwh", INFINITY, "is inf; give a finite number"),
        ("quantity_kwh", "2", "must be a number, not '2'"),
        ("quantity_kwh", None, "must be a number, not null"),
        ("quantity_kwh", 10**400, "is beyond 1e15"),
        ("quantity_kwh", [2], "must be a number, not [2]"),
        ("price_per_kwh", NAN, "is nan; give a finite number"),
        ("price_per_kwh", -INFINITY, "is -inf; give a finite number"),
        ("price_per_kwh", "0.3", "must be a number, not '0.3'"),
        ("price_per_kwh", False, "must be a number, not false"),
        ("price_per_kwh", None, "must be a number, not null"),
        ("price_per_kwh", 1e14, "beyond what 64 bits hold"),
        ("side", "purchase", "is 'purchase'; known: buy, sell"),
        ("side", "Buy", "did you mean 'buy'?"),
        ("side", None, "is null; known: buy, sell"),
        ("participant", "", "must be a name, not ''"),
        ("participant", None, "must be a name, not null"),
        ("participant", {}, "must be a name, not {}"),
        ("id", [], "must be a name, not []"),
        ("id", "b", "'b' is the id of orders[0] already"),
        ("time", 0.5, "must be a whole number, not 0.5"),
        ("time", "1", "must be a whole number, not '1'"),
        ("node", "n3", "'n3' is no node of the grid"),
        ("attributes", [], "must be an object, not []"),
        ("requirements", {}, "must be a list, not {}"),
        ("requirements", [{"partner": []}], "did you mean 'partners'?"),
        ("requirements", [{"partners": "anna"}], "must be a list, not 'anna'"),
        ("requirements", [{"energy_type": [None]}], "must be a name, not null"),
    ],
)
def test_a_wrong_order_gets_one_sentence_from_every_rule(
    name: str, key: str, value: Any, sentence: str
) -> None:
    said = one(put(book(name), ("orders", 1, key), value), name)
    assert said.startswith(f"orders[1].{key}")
    assert sentence in said


@pytest.mark.parametrize("name", rules())
@pytest.mark.parametrize("orders", [None, {}, "none", 3, [None], [[]], [3], [[[{}]]]], ids=str)
def test_orders_that_are_no_list_of_objects_are_refused(name: str, orders: Any) -> None:
    assert one(put(book(name), ("orders",), orders), name).startswith("orders")


@pytest.mark.parametrize("name", [*rules(), *METHODS])
@pytest.mark.parametrize("case", [None, [], "case", 3, {}], ids=str)
def test_something_else_than_a_case_is_refused(name: str, case: Any) -> None:
    assert sentences(case, name)


def test_several_mistakes_are_said_at_once() -> None:
    case = {
        "orders": [
            {**BOOK["orders"][0], "quantity_kwh": -1, "price_per_kwh": "x", "colour": "red"},
            {**BOOK["orders"][0], "side": "sel", "node": "n9", "time": None},
            {"id": "s"},
        ],
        "params": {"kk": 1, "k": 2, "seed": -1, "rationing": "pro rata"},
        "grid": {"nodes": ["n1"], "cables": []},
        "book": [],
    }
    said = sentences(case, "uniform_price")
    places_said = {
        "orders[0]: unknown key 'colour'",
        "orders[0].quantity_kwh: is -1",
        "orders[0].price_per_kwh: must be a number",
        "orders[1].side: is 'sel'",
        "orders[1].node: 'n9' is no node",
        "orders[1].time: must be a whole number",
        "orders[1].id: 'b' is the id of orders[0] already",
        "orders[2]: 'participant' is missing",
        "orders[2]: 'side' is missing",
        "orders[2]: 'quantity_kwh' is missing",
        "orders[2]: 'price_per_kwh' is missing",
        "orders: some orders have a 'time'",
        "params: unknown key 'kk'",
        "params.k: is 2",
        "params.seed: is -1",
        "params.rationing: is 'pro rata'",
        "grid: unknown key 'cables'",
        "case: unknown key 'book'",
    }
    assert {start for start in places_said if not any(line.startswith(start) for line in said)} == set()
    assert len(said) == len(places_said)


def test_a_rule_without_its_price_says_so_beside_what_is_wrong_with_the_orders() -> None:
    for name in ("posted_price", "mid_market_rate", "bill_sharing", "supply_demand_ratio"):
        case = put({**deepcopy(BOOK), "params": {}}, ("orders", 0, "quantity_kwh"), -1)
        said = sentences(case, name)
        assert len(said) == 2
        assert said[0].startswith("orders[0].quantity_kwh: is -1")
        assert "retail_price and feed_in_tariff" in said[1]


@pytest.mark.parametrize(
    ("name", "case", "wrong"),
    [
        (
            "continuous",
            {
                "events": [
                    {**EVENTS["events"][0], "quantity_kwh": -1, "side": "by"},
                    {**EVENTS["events"][0], "type": "limits"},
                    {"type": "cancel", "id": "9"},
                    {"type": "limit", "id": "7", "participant": ""},
                    None,
                ],
                "params": {"self_trade": "no"},
                "orderz": [],
            },
            (
                "events[0].quantity_kwh: is -1",
                "events[0].side: is 'by'",
                "events[1].type: is 'limits'",
                "events[1].id: '1' is the id of events[0] already",
                "events[2].id: no earlier order is called '9'",
                "events[3]: 'side' is missing",
                "events[3]: 'quantity_kwh' is missing",
                "events[3]: 'price_per_kwh' is missing",
                "events[3].participant: must be a name",
                "events[4]: must be an object, not null",
                "params.self_trade: is 'no'",
                "case: unknown key 'orderz'",
            ),
        ),
        (
            "bill_sharing",
            {
                "supply_kwh": {"a": [1, -2], "b": [1, "2"], "": [0, NAN]},
                "demand_kwh": {"a": [1, 2, 3]},
                "params": {"retail_price": INFINITY, "feed_in": 1, "horizon": "summ"},
            },
            (
                "supply_kwh.a[1]: is -2",
                "supply_kwh.b[1]: must be a number, not '2'",
                "supply_kwh: must be a name, not ''",
                "supply_kwh.[1]: is nan",
                "case: the quantities have [2, 3] intervals",
                "params.retail_price: is inf",
                "params: unknown key 'feed_in'",
                "params: 'feed_in_tariff' is missing",
                "params.horizon: is 'summ'",
            ),
        ),
        (
            "retailer_only",
            {"load_kwh": {"a": [1, None]}, "generation_kwh": [], "params": {"retail_price": [1]}, "x": 1},
            (
                "load_kwh.a[1]: must be a number, not null",
                "generation_kwh: must be an object",
                "params.retail_price: has 1 prices for 2 intervals",
                "params: 'feed_in_tariff' is missing",
                "case: unknown key 'x'",
            ),
        ),
        (
            "shapley",
            {"players": ["a", "a", "b,c"], "value": {"": 1, "z": 0, "a": "x"}, "params": {"samples": 3}},
            (
                "players[1]: 'a' is given twice",
                "players[2]: 'b,c' holds a comma",
                'value[""]: must be 0',
                "value['z']: no player 'z'",
                "value['a']: must be a number, not 'x'",
                "params: unknown key 'samples'",
            ),
        ),
    ],
    ids=label,
)
def test_several_mistakes_of_the_other_kinds_are_said_at_once(
    name: str, case: Case, wrong: tuple[str, ...]
) -> None:
    said = sentences(case, name)
    assert {start for start in wrong if not any(line.startswith(start) for line in said)} == set()


# Parameters of the table of the contract.

MUDA: dict[str, tuple[Any, ...]] = {
    "partition": (None, {"left": ["anna"], "right": ["cleo"]}, {"left": [], "right": ["cleo", "anna"]}),
    "seed": (0, 5),
    "price_rule": ("walras_k", "marginal_midpoint"),
    "k": (0.5, 0, 1),
    "boundary": ("strict", "weak"),
    "exogenous_price": (None, 0.2, 0),
}
TABLE: dict[str, dict[str, tuple[Any, ...]]] = {
    "uniform_price": {
        "k": (0.5, 0, 1, 0.25),
        "rationing": ("pro_rata", "time", "random"),
        "seed": (0, 1, 2**70),
        "solver": ("highs", "exact", "pyomo"),
    },
    "pay_as_bid": {"price_rule": ("midpoint", "bid", "offer", "both_as_bid"), "k": (0.5, 0, 1)},
    "mcafee": {"b_missing": (None, 0.1, -1), "s_missing": (None, 0.4, 9), "unit_kwh": (1, 0.5, 0.001, 2)},
    "trade_reduction": {"unit_kwh": (1, 0.001), "seed": (0, 7)},
    "sbba": {"unit_kwh": (1, 0.001), "seed": (0, 7)},
    "huang": {"ties": ("merge",)},
    "vcg": {"outside": ({}, None)},
    "gsy_pay_as_bid": {},
    "gsy_pay_as_clear": {},
    "preferred_partners": {"residual": ("touched_leave", "carry_over")},
    "random_bilateral": {"seed": (0, 3)},
    "posted_price": {"price": (0.2, -0.1, 0)},
    "welfare_optimum": {},
    "continuous": {"self_trade": ("allow", "skip")},
    "muda_lottery": MUDA,
    "muda_vickrey": MUDA,
}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_parameter_of_the_contract_is_taken(name: str) -> None:
    if name != "posted_price":  # which cannot do without a price
        assert sentences(book(name), name) == []
    for key, values in TABLE[name].items():
        for value in values:
            assert sentences(book(name, **{key: value}), name) == []
    default = {key: values[0] for key, values in TABLE[name].items()}
    assert sentences(book(name, **default), name) == []


@pytest.mark.parametrize("name", sorted(TABLE))
def test_the_defaults_of_the_contract_change_nothing(name: str) -> None:
    default = {key: values[0] for key, values in TABLE[name].items()}
    assert clear_case(book(name), name) == clear_case(book(name, **default), name)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_parameter_of_a_wrong_type_or_beyond_its_range_gets_a_sentence_that_names_it(name: str) -> None:
    wrong: dict[str, tuple[Any, ...]] = {
        "k": (-0.1, 1.1, "0.5", None, NAN, [], True),
        "seed": (-1, 1.5, "1", None, {}),
        "unit_kwh": (0, -1, 0.0001, "1", None, INFINITY, 1e16),
        "price": ("x", NAN, 1e15, {}),
        "b_missing": ("x", NAN, -1e15, []),
        "s_missing": ("x", INFINITY, 1e15, False),
        "exogenous_price": ("x", NAN, 1e15, {}),
        "outside": ({"price": 1}, [], 0, "none"),
    }
    for key, values in TABLE[name].items():
        words = (*(value.upper() for value in values if isinstance(value, str)), "", 1, [], {})
        for value in wrong.get(key, () if key == "partition" else words):
            assert any(
                line.startswith(f"params.{key}") for line in sentences(book(name, **{key: value}), name)
            )
    assert "unknown key 'sead'" in one(book(name, sead=1), name)
    for params in (None, [], "k", 3):
        assert sentences({**book(name), "params": params}, name)[0].startswith("params: must be an object")


@pytest.mark.parametrize("name", ["muda_lottery", "muda_vickrey"])
@pytest.mark.parametrize(
    ("partition", "wrong"),
    [
        ({"left": ["anna"], "right": []}, ["params.partition: cleo in neither half"]),
        ({"left": ["anna", "cleo"], "right": ["zoe"]}, ["params.partition.right[0]: 'zoe' has no order"]),
        ({"left": ["anna", "cleo"], "right": ["anna"]}, ["params.partition.right[0]: 'anna' stands in left"]),
        ({"left": ["anna", "cleo"]}, ["params.partition: 'right' is missing"]),
        ({"left": ["anna"], "right": ["cleo"], "top": []}, ["params.partition: unknown key 'top'"]),
        (
            {"left": "anna", "right": ["cleo"]},
            ["params.partition.left: must be", "params.partition: anna in"],
        ),
        ({"left": [None, "anna"], "right": ["cleo"]}, ["params.partition.left[0]: must be a name"]),
    ],
    ids=str,
)
def test_a_partition_that_is_none_is_refused(name: str, partition: Any, wrong: list[str]) -> None:
    said = sentences(book(name, partition=partition), name)
    assert all(any(line.startswith(start) for line in said) for start in wrong)


def test_a_partition_says_nothing_about_an_order_without_participant() -> None:
    halves = {"left": ["anna"], "right": ["cleo"]}
    case = book("muda_lottery", partition=halves)
    case["orders"].append({**case["orders"][1], "id": "t"})
    del case["orders"][2]["participant"]
    assert one(case, "muda_lottery") == "orders[2]: 'participant' is missing"


def test_a_price_beyond_64_bits_is_refused_for_every_rule_that_takes_one() -> None:
    """Found here: 1e15 was taken and ended as an OverflowError."""
    for name, case in VALID:
        for key, value in case.get("params", {}).items():
            if isinstance(value, float):
                for beyond in (1e15, -1e15, 4.7e12):
                    said = sentences(put(case, ("params", key), beyond), name)
                    assert any(line.startswith(f"params.{key}: is a price beyond") for line in said)


# Files and the command.


def cleared(path: Path, text: str, name: str) -> list[Case]:
    path.write_text(text, encoding="utf-8")
    return list(clear_file(path, name))


@pytest.mark.parametrize(("name", "case"), KINDS, ids=label)
def test_keys_given_twice_are_refused_together_with_all_else(tmp_path: Path, name: str, case: Case) -> None:
    key, text = next(iter(case)), json.dumps({**case, "bogus": 1})
    twice = f'{{"{key}": {json.dumps(case[key])}, "params": {{"zz": 1, "zz": 2}}, {text[1:]}'
    (result,) = cleared(tmp_path / "case.json", twice, name)
    assert result["error"]["code"] == 3
    for part in (f"{key}: this key is given twice", "zz: this key is given twice", "unknown key 'bogus'"):
        assert part in result["error"]["message"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out = capsys.readouterr()
    return int(end.value.code or 0), out.out, out.err


@pytest.mark.parametrize(("name", "case"), KINDS, ids=label)
@pytest.mark.parametrize("flags", [(), ("--json",)], ids=str)
def test_a_bad_case_ends_with_3_prints_its_error_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, case: Case, flags: tuple[str, ...]
) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps({**case, "bogus": 1}), encoding="utf-8")
    code, out, err = run(capsys, "clear", "-m", name, str(path), *flags)
    assert code == 3
    if flags:
        error = json.loads(out)["error"]
        assert error["code"] == 3
        assert "unknown key 'bogus'" in error["message"]
        assert err == ""
    else:
        assert err.startswith("Error: case.json: case: unknown key 'bogus'")
        assert out == ""
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == [path]


def test_the_exit_code_of_many_cases_is_that_of_the_first_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    infeasible = {**GAME, "value": {**GAME["value"], "a,b": 1}}
    bad = {**GAME, "value": {}}
    for lines, first in (((GAME, infeasible, bad), 4), ((GAME, bad, infeasible), 3), ((GAME, GAME), 0)):
        path = tmp_path / "cases.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        code, out, err = run(capsys, "clear", "-m", "nucleolus", str(path), "--json")
        results = [json.loads(line) for line in out.splitlines()]
        assert code == first
        assert [result.get("error", {}).get("code", 0) for result in results] == [
            {id(GAME): 0, id(infeasible): 4, id(bad): 3}[id(line)] for line in lines
        ]
        assert all(set(result["error"]) == {"code", "message"} for result in results if "error" in result)
        assert err == ""


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("uniform_prise", "uniform_price"),
        ("mcaffee", "mcafee"),
        ("shaply", "shapley"),
        ("VCG", "vcg"),
        ("", ""),
    ],
)
def test_an_unknown_mechanism_gets_the_nearest_name_and_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, right: str
) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(BOOK), encoding="utf-8")
    code, out, err = run(capsys, "clear", "-m", wrong, str(path))
    assert code == 3
    assert not right or f"Did you mean '{right}'?" in err
    assert all(name in err for name in (*rules(), *METHODS))
    assert "Traceback" not in out + err
    with pytest.raises(UnknownMechanism):
        clear_case(BOOK, wrong)


@pytest.mark.parametrize(
    "arguments",
    [(), ("-m",), ("-m", "vcg"), ("-m", "vcg", "a.json", "b.json"), ("-m", "vcg", "a.json", "--jsn")],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, "clear", *arguments)
    assert code == 2
    assert "Traceback" not in out + err


def test_the_metered_cases_are_refused_by_the_rules_of_books() -> None:
    for name in ("uniform_price", "vcg", "sbba"):
        for case in (METERED, HOMES, EVENTS, GAME):
            with pytest.raises(InvalidCase, match="unknown key"):
                clear_case(case, name)
    assert PRICES.keys() <= METERED["params"].keys()
