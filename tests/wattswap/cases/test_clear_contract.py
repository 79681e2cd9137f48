"""The contract of `wattswap clear`: exact numbers out, one sentence for everything that is wrong."""

from __future__ import annotations

import json
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import UnknownName
from wattswap.cases.contract import InvalidCase, clear_case, clear_file


def order(id_: Any, participant: Any, side: str, kwh: Any, price: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "participant": participant,
        "side": side,
        "quantity_kwh": kwh,
        "price_per_kwh": price,
        **more,
    }


STREET: dict[str, Any] = {
    "orders": [
        order("b1", "anna", "buy", 3, 0.30),
        order("b2", "ben", "buy", 1, 0.15),
        order("s1", "cleo", "sell", 2.5, 0.10),
        order("s2", "dora", "sell", 1, 0.12),
    ]
}
"""docs/reference/mechanisms/uniform_price.md clears it by hand: 3.5 kWh at 0.15, ben's order is cut to half."""


def clear(orders: list[dict[str, Any]], **params: Any) -> dict[str, Any]:
    return clear_case({"orders": orders, "params": params}, "uniform_price")


def problems(case: Any, mechanism: str = "uniform_price") -> list[str]:
    with pytest.raises(InvalidCase) as caught:
        clear_case(case, mechanism)
    assert caught.value.code == 3
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("solver", ["highs", "exact", "pyomo"])
def test_the_hand_checked_street(solver: str) -> None:
    assert clear_case({**STREET, "params": {"solver": solver}}, "uniform_price") == {
        "mechanism": "uniform_price",
        "status": "cleared",
        "traded_kwh": 3.5,
        "welfare": 0.605,
        "buyer_surplus": 0.45,
        "seller_surplus": 0.155,
        "operator_surplus": 0.0,
        "price": 0.15,
        "price_interval": [0.15, 0.15],
        "orders": [
            {"id": "b1", "accepted_kwh": 3.0, "price_per_kwh": 0.15, "payment": 0.45},
            {"id": "b2", "accepted_kwh": 0.5, "price_per_kwh": 0.15, "payment": 0.075},
            {"id": "s1", "accepted_kwh": 2.5, "price_per_kwh": 0.15, "payment": -0.375},
            {"id": "s2", "accepted_kwh": 1.0, "price_per_kwh": 0.15, "payment": -0.15},
        ],
        "trades": [
            {"buy": "b1", "sell": "s1", "quantity_kwh": 2.5, "price_per_kwh": 0.15},
            {"buy": "b1", "sell": "s2", "quantity_kwh": 0.5, "price_per_kwh": 0.15},
            {"buy": "b2", "sell": "s2", "quantity_kwh": 0.5, "price_per_kwh": 0.15},
        ],
        "participants": [
            {"participant": "anna", "payment": 0.45, "fee": 0.0},
            {"participant": "ben", "payment": 0.075, "fee": 0.0},
            {"participant": "cleo", "payment": -0.375, "fee": 0.0},
            {"participant": "dora", "payment": -0.15, "fee": 0.0},
        ],
        "certificate": {"dual_price_per_kwh": 0.15, "gap": 0.0, "residual_kwh": 0.0},
    }


def test_no_crossing_is_no_trade_and_no_price() -> None:
    result = clear([order("b", "a", "buy", 1, 0.1), order("s", "c", "sell", 1, 0.2)])
    assert (result["status"], result["price"], result["price_interval"]) == ("no_trade", None, None)
    assert [o["price_per_kwh"] for o in result["orders"]] == [None, None]
    assert (result["traded_kwh"], result["trades"]) == (0.0, [])


def test_an_empty_book_is_no_trade() -> None:
    result = clear([])
    assert (result["status"], result["orders"], result["participants"]) == ("no_trade", [], [])


def test_k_chooses_the_price_in_the_interval() -> None:
    orders = [order("b", "a", "buy", 1, 0.3), order("s", "c", "sell", 1, 0.1)]
    result = clear(orders, k=0.25)
    assert (result["price_interval"], result["price"]) == ([0.1, 0.3], 0.15)


def test_rationing_by_time_follows_the_stated_times_and_else_the_list() -> None:
    timed = [
        order("b1", "a", "buy", 1, 0.3, time=9),
        order("b2", "b", "buy", 1, 0.3, time=-4),
        order("s", "c", "sell", 1, 0.1, time=0),
    ]
    accepted = [o["accepted_kwh"] for o in clear(timed, rationing="time")["orders"]]
    assert accepted == [0.0, 1.0, 1.0]
    untimed = [{k: v for k, v in o.items() if k != "time"} for o in timed]
    assert [o["accepted_kwh"] for o in clear(untimed, rationing="time")["orders"]] == [1.0, 0.0, 1.0]


def test_the_order_of_the_list_changes_nothing_but_the_order_of_the_answer() -> None:
    orders = [order(f"b{i}", f"p{i % 3}", "buy", 0.003, 0.3) for i in range(5)]
    orders.append(order("s", "q", "sell", 0.007, 0.1))
    forth, back = clear(orders), clear(orders[::-1])
    assert forth["orders"] == back["orders"][::-1]


def test_the_lottery_takes_its_seed_from_the_case() -> None:
    orders = [order(f"b{i}", i, "buy", 1, 0.3) for i in range(12)] + [order("s", "q", "sell", 6, 0.1)]
    drawn = [clear(orders, rationing="random", seed=seed)["orders"] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_decimals_are_rounded_once_from_their_text_half_to_even() -> None:
    case = [order("b", "a", "buy", 0.0025, 0.3), order("s", "c", "sell", 0.0035, 0.1)]
    assert [o["accepted_kwh"] for o in clear(case)["orders"]] == [0.002, 0.002]


def test_payments_of_the_participants_add_up_their_orders() -> None:
    result = clear(
        [order("b", "a", "buy", 2, 0.3), order("s", "a", "sell", 1, 0.1), order("t", "c", "sell", 1, 0.1)]
    )
    assert result["participants"] == [
        {"participant": "a", "payment": 0.2, "fee": 0.0},
        {"participant": "c", "payment": -0.2, "fee": 0.0},
    ]


def test_the_case_is_not_changed_and_numpy_numbers_are_numbers() -> None:
    case = {"orders": [order("b", "a", "buy", np.float64(1), np.int64(1)), order(2, 3, "sell", 1, -1)]}
    before = deepcopy(case)
    result = clear_case(case, "uniform_price")
    assert case == before
    assert result["orders"][1]["id"] == 2


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"quantity_kwh": -1}, "orders[0].quantity_kwh: is -1; give at least 0"),
    ({"quantity_kwh": float("nan")}, "orders[0].quantity_kwh: is nan; give a finite number"),
    ({"price_per_kwh": float("inf")}, "orders[0].price_per_kwh: is inf; give a finite number"),
    ({"price_per_kwh": True}, "orders[0].price_per_kwh: must be a number, not true"),
    ({"price_per_kwh": "0.3"}, "orders[0].price_per_kwh: must be a number, not '0.3'"),
    ({"quantity_kwh": None}, "orders[0].quantity_kwh: must be a number, not null"),
    ({"quantity_kwh": Decimal("1e999999999")}, "orders[0].quantity_kwh: is beyond 1e15"),
    ({"side": "byu"}, "orders[0].side: is 'byu'; did you mean 'buy'?"),
    ({"side": 1}, "orders[0].side: is 1"),
    ({"id": ""}, "orders[0].id: must be a name"),
    ({"participant": 1.5}, "orders[0].participant: must be a name, not 1.5"),
    ({"quantity_khw": 1}, "orders[0]: unknown key 'quantity_khw'; did you mean 'quantity_kwh'?"),
    ({"time": 1.5}, "orders[0].time: must be a whole number, not 1.5"),
    ({"attributes": 3}, "orders[0].attributes: must be an object"),
    ({"requirements": {}}, "orders[0].requirements: must be a list"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_order_gets_a_sentence_that_says_where(change: dict[str, Any], sentence: str) -> None:
    case = deepcopy(STREET)
    case["orders"][0].update(change)
    assert [p for p in problems(case) if p.startswith(sentence)]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"k": 1.5}, "params.k: is 1.5"),
        ({"k": "half"}, "params.k: must be a number"),
        ({"seed": -1}, "params.seed: is -1"),
        ({"seed": 0.5}, "params.seed: must be a whole number"),
        ({"solver": "highz"}, "params.solver: is 'highz'; did you mean 'highs'?"),
        ({"rationing": "prorata"}, "params.rationing: is 'prorata'; did you mean 'pro_rata'?"),
        ({"unit_kwh": 1}, "params: unknown key 'unit_kwh'"),
        ([], "params: must be an object"),
    ],
)
def test_a_wrong_parameter_gets_a_sentence(params: Any, sentence: str) -> None:
    assert any(p.startswith(sentence) for p in problems({**STREET, "params": params}))


def test_vcg_takes_an_empty_outside_as_none_and_nothing_else() -> None:
    result = clear_case(STREET, "vcg")
    assert clear_case({**STREET, "params": {"outside": {}}}, "vcg") == result
    found = problems({**STREET, "params": {"outside": {"price": 0.3}}}, "vcg")
    assert found == ["params.outside: unknown key 'price'; it takes none"]


def test_everything_wrong_is_said_at_once() -> None:
    case = {
        "orders": [order("x", "a", "buy", -1, 0.3), order("x", "b", "sel", 1, True)],
        "params": {"kk": 1},
        "grid": {},
    }
    found = problems(case)
    assert len(found) == 7
    assert "orders[1].id: 'x' is the id of orders[0] already" in found


@pytest.mark.parametrize("case", [[], None, {"orders": {}}, {}, {"orders": [3]}], ids=repr)
def test_something_else_than_a_case_is_refused(case: Any) -> None:
    assert problems(case)


def test_a_missing_key_is_named() -> None:
    case = deepcopy(STREET)
    del case["orders"][1]["price_per_kwh"]
    assert problems(case) == ["orders[1]: 'price_per_kwh' is missing"]


def test_a_book_beyond_64_bits_is_refused() -> None:
    assert (
        "2^62" in problems({"orders": [order("b", "a", "buy", 1e12, 1000), order("s", "c", "sell", 1, 1)]})[0]
    )
    assert "64 bits" in problems({"orders": [order("b", "a", "buy", 1, 1e14)]})[0]


def test_an_unknown_mechanism_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="uniform_price"):
        clear_case(STREET, "uniform_prize")


HOMES: dict[str, Any] = {
    "load_kwh": {"a": [1, 2], "b": [0, 1]},
    "generation_kwh": {"a": [0, 5]},
    "params": {"retail_price": 0.3, "feed_in_tariff": 0.08},
}


def test_retailer_only_bills_each_home_alone() -> None:
    """Home a imports 1 and exports 3; home b imports 1 while a exports: no netting, but one meter at the street."""
    assert clear_case(HOMES, "retailer_only") == {
        "cost": {"a": 0.06, "b": 0.3},
        "community_cost": 0.36,
        "import_kwh": 2.0,
        "export_kwh": 3.0,
        "community_meter_peak_import_kwh": 1.0,
    }


def test_retailer_only_takes_prices_per_interval() -> None:
    params = {"retail_price": [0.3, 0.1], "feed_in_tariff": [0, 0.02]}
    assert clear_case({**HOMES, "params": params}, "retailer_only")["cost"] == {"a": 0.24, "b": 0.1}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"load_kwh": {"a": [1]}}, "case: the series have [1, 2] intervals"),
        ({"load_kwh": {"a": [1, -2], "b": [0, 1]}}, "load_kwh.a[1]: is -2"),
        ({"load_kwh": [1, 2]}, "load_kwh: must be an object"),
        ({"load_kwh": {"a": 1}}, "load_kwh.a: must be a list, not 1"),
        ({"params": {"retail_price": 0.3}}, "params: 'feed_in_tariff' is missing"),
        ({"params": {"retail_price": [0.3], "feed_in_tariff": 0}}, "params.retail_price: has 1 prices for 2"),
        ({"orders": []}, "case: unknown key 'orders'"),
    ],
)
def test_a_wrong_sharing_case_gets_a_sentence(change: dict[str, Any], sentence: str) -> None:
    assert any(p.startswith(sentence) for p in problems({**HOMES, **change}, "retailer_only"))


def test_a_file_holds_one_case(tmp_path: Path) -> None:
    path = tmp_path / "street.json"
    path.write_text(json.dumps(STREET))
    assert list(clear_file(path, "uniform_price")) == [clear_case(STREET, "uniform_price")]


def test_a_jsonl_file_holds_a_case_per_line_and_a_bad_one_does_not_stop_the_rest(tmp_path: Path) -> None:
    bad = deepcopy(STREET)
    bad["orders"][0]["quantity_kwh"] = -1
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join([json.dumps(STREET), json.dumps(bad), "", "{", json.dumps(STREET)]) + "\n")
    good, wrong, broken, again = clear_file(path, "uniform_price")
    assert good == again == clear_case(STREET, "uniform_price")
    assert wrong["error"]["code"] == broken["error"]["code"] == 3
    assert wrong["error"]["message"].startswith("cases.jsonl:2: orders[0].quantity_kwh: is -1")
    assert broken["error"]["message"].startswith("cases.jsonl:4: line 1, column 2: this is not JSON")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"orders": [], "orders": []}', "given twice"),
        ('{"orders": [NaN]}', "must be an object"),
        ("9" * 5000, "cannot be read"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps(STREET).replace("0.3", "1e999999999"), "beyond 1e15"),
        (json.dumps(STREET).replace("0.3", "NaN"), "finite"),
    ],
    ids=["twice", "nan", "digits", "deep", "exponent", "nan price"],
)
def test_hostile_json_gets_a_sentence(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "case.json"
    path.write_text(text)
    (result,) = clear_file(path, "uniform_price")
    assert result["error"]["code"] == 3
    assert reason in result["error"]["message"]


@pytest.mark.parametrize("number", ["1e-99999999999999999999", "-1e99999999999999999999"])
def test_an_exponent_beyond_all_bounds_spoils_its_line_only(tmp_path: Path, number: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(STREET).replace("0.3", number) + "\n" + json.dumps(STREET) + "\n")
    wrong, good = clear_file(path, "uniform_price")
    assert wrong["error"] == {
        "code": 3,
        "message": "cases.jsonl:1: the JSON holds a number beyond all bounds",
    }
    assert good == clear_case(STREET, "uniform_price")


@pytest.mark.parametrize("key", ["id", "participant"])
@pytest.mark.parametrize("name", ["\ud83d", "home-\udc00", "\udc00\ud83d"])
def test_half_of_a_character_pair_in_a_name_is_refused(tmp_path: Path, key: str, name: str) -> None:
    """Such a name cannot be printed; JSON may hold it as an escape."""
    bad = deepcopy(STREET)
    bad["orders"][0][key] = name
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(bad) + "\n" + json.dumps(STREET) + "\n")
    wrong, good = clear_file(path, "uniform_price")
    assert wrong["error"]["code"] == 3
    assert wrong["error"]["message"].startswith(
        f"cases.jsonl:1: orders[0].{key}: holds half of a character pair"
    )
    json.dumps(wrong, ensure_ascii=False).encode("utf-8")
    assert good == clear_case(STREET, "uniform_price")


def test_a_name_of_whole_characters_beyond_ascii_is_kept() -> None:
    result = clear([order("häuschen-🏠", "ä", "buy", 1, 0.3), order("s", "🏠", "sell", 1, 0.1)])
    assert [o["id"] for o in result["orders"]] == ["häuschen-🏠", "s"]


@pytest.mark.parametrize("rationing", ["pro_rata", "time"])
@given(st.permutations(range(8)), st.lists(st.integers(1, 5), min_size=8, max_size=8))
def test_orders_of_one_participant_at_one_time_give_the_same_result_in_any_listing(
    rationing: str, listing: list[int], parts: list[int]
) -> None:
    """Time decides, then the id; where an order is in the file never does."""
    rows = [
        order(
            f"o{i}",
            "ab"[i // 2 % 2] if i < 4 else "c",
            "buy" if i < 4 else "sell",
            kwh / 1000,
            0.2,
            time=i % 2,
        )
        for i, kwh in enumerate(parts)
    ]
    results = [clear(book, rationing=rationing) for book in (rows, [rows[i] for i in listing])]
    for result in results:
        result["orders"].sort(key=lambda row: row["id"])
        result["participants"].sort(key=lambda row: row["participant"])
        result["trades"].sort(key=lambda row: (row["buy"], row["sell"]))
    assert results[0] == results[1]


def test_time_decides_before_the_id() -> None:
    """One kWh for two equal bids: the earlier one gets it, though its id comes later."""
    offer = order("s", "c", "sell", 1, 0.1, time=0)
    for times, first in (((2, 1), "b"), ((1, 2), "a"), ((1, 1), "a")):
        bids = [order(name, "x", "buy", 1, 0.3, time=t) for name, t in zip("ab", times, strict=True)]
        for listing in ([*bids, offer], [offer, *reversed(bids)]):
            accepted = {o["id"]: o["accepted_kwh"] for o in clear(listing, rationing="time")["orders"]}
            assert accepted == {"s": 1.0, "a": float(first == "a"), "b": float(first == "b")}


def test_numbers_come_from_their_text_and_never_through_a_float(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    text = json.dumps({"orders": [order("b", "a", "buy", 1, 7.7), order("s", "c", "sell", 1, 7.7)]})
    path.write_text(text.replace("7.7", "123456789.123456499999999999"))
    (result,) = clear_file(path, "uniform_price")
    assert result["price"] == 123456789.123456


@pytest.mark.parametrize("name", ["case.txt", "missing.json"])
def test_a_file_that_is_no_case_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidCase, match=name):
        list(clear_file(tmp_path / name, "uniform_price"))


def test_an_unknown_mechanism_is_said_once_and_not_per_line(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text("{}\n{}\n")
    with pytest.raises(UnknownName):
        list(clear_file(path, "uniform_prize"))


@pytest.mark.parametrize("mechanism", ["gsy_pay_as_bid", "gsy_pay_as_clear", "preferred_partners"])
def test_without_times_the_parity_rules_read_the_list_as_the_order_of_arrival(mechanism: str) -> None:
    """Of two equal bids the one listed last is served first, whatever their ids and names."""

    def served(names: list[str]) -> dict[str, float]:
        bids = [
            {"id": n, "participant": n, "side": "buy", "quantity_kwh": 1, "price_per_kwh": 0.3} for n in names
        ]
        offer = {"id": "o", "participant": "o", "side": "sell", "quantity_kwh": 1, "price_per_kwh": 0.1}
        orders = clear_case({"orders": [*bids, offer]}, mechanism)["orders"]
        return {order["id"]: order["accepted_kwh"] for order in orders}

    assert served(["a", "b"]) == {"a": 0.0, "b": 1.0, "o": 1.0}
    assert served(["b", "a"]) == {"b": 0.0, "a": 1.0, "o": 1.0}
