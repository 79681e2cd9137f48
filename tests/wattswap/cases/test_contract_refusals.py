"""Bad input of every kind for every rule of `wattswap clear`: all reported at once, a sentence each, never a bug."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from market.auctions.uniform import clear_exact
from market.clearing import no_trade
from market.mechanism import MECHANISMS, Mechanism, Promises
from tests.kits.clear_cases import (
    BOOK,
    EVENTS,
    GAME,
    GRID,
    HOMES,
    METERED,
    NONSENSE,
    PRICES,
    Case,
    Place,
    at,
    book,
    places,
    put,
    rules,
    without,
)
from tests.kits.plugin_kit import own_registries
from tests.kits.refusal_kit import INFINITY, NAN, VALID, label, one, sentences
from wattswap.cases.book import clear_book_case
from wattswap.cases.contract import InvalidCase, clear_case
from wattswap.cases.cooperative import METHODS
from wattswap.inputs.no_run import OF_AGENTS


@pytest.mark.parametrize(("name", "case"), VALID, ids=label)
def test_a_case_of_every_kind_is_taken_by_every_rule(name: str, case: Case) -> None:
    before = deepcopy(case)
    assert sentences(case, name) == []
    assert case == before


@cache
def refused_unseen() -> set[tuple[Place, int]]:
    """Places of orders, and the nonsense in each, that no rule ever sees: the book is refused before."""
    blind = replace(MECHANISMS.get("uniform_price"), clear=lambda orders, _rules: no_trade(orders))
    found = set()
    for place in (place for place in places(BOOK) if place[:1] == ("orders",)):
        for number, nonsense in enumerate(NONSENSE):
            try:
                clear_book_case(put(BOOK, place, nonsense), blind)
            except InvalidCase:
                found.add((place, number))
    return {(place, number) for place, number in found if place[:1] == ("orders",)}


@pytest.mark.parametrize(("name", "case"), VALID, ids=label)
def test_nonsense_in_any_place_is_taken_or_refused_but_never_a_bug(name: str, case: Case) -> None:
    """What no rule sees is tried once; what one rule reads otherwise, with every rule."""
    seen_before = refused_unseen() if "orders" in case and name != "uniform_price" else set()
    for place in places(case):
        for number, nonsense in enumerate(NONSENSE):
            if (place, number) not in seen_before:
                sentences(put(case, place, nonsense), name)
        if place:
            sentences(without(case, place), name)


def test_most_nonsense_is_refused_before_a_rule_sees_it_and_some_is_left_to_the_rules() -> None:
    tried = sum(place[:1] == ("orders",) for place in places(BOOK)) * len(NONSENSE)
    assert tried / 2 < len(refused_unseen()) < tried - 50


@pytest.mark.parametrize(("name", "case"), VALID, ids=label)
def test_an_unknown_key_is_refused_wherever_it_stands(name: str, case: Case) -> None:
    for place in places(case):
        if not isinstance(at(case, place), dict) or place[-1:] == ("attributes",):
            continue
        if place[-1:] in (("supply_kwh",), ("demand_kwh",), ("load_kwh",), ("generation_kwh",)):
            continue  # their keys are participants
        said = one(put(case, (*place, "bogus"), 1), name)
        assert "bogus" in said


WRONG: list[tuple[str, Any, str]] = [
    ("quantity_kwh", -1, "is -1; give at least 0"),
    ("quantity_kwh", NAN, "is nan; give a finite number"),
    ("quantity_kwh", INFINITY, "is inf; give a finite number"),
    ("quantity_kwh", "2", "must be a number, not '2'"),
    ("quantity_kwh", None, "must be a number, not null"),
    ("quantity_kwh", 10**400, "is beyond 1e15"),
    ("quantity_kwh", [2], "must be a number, not [2]"),
    ("quantity_kwh", [0.5], "must be a number, not [0.5]"),
    ("price_per_kwh", NAN, "is nan; give a finite number"),
    ("price_per_kwh", -INFINITY, "is -inf; give a finite number"),
    ("price_per_kwh", "0.3", "must be a number, not '0.3'"),
    ("price_per_kwh", False, "must be a number, not false"),
    ("price_per_kwh", None, "must be a number, not null"),
    ("price_per_kwh", 1e14, "beyond what 64 bits hold"),
    ("price_per_kwh", -2e15, "is beyond 1e15"),
    ("side", "purchase", "is 'purchase'; known: buy, sell"),
    ("side", "Buy", "did you mean 'buy'?"),
    ("side", None, "is null; known: buy, sell"),
    ("participant", "", "must be a name, not ''"),
    ("participant", None, "must be a name, not null"),
    ("participant", {}, "must be a name, not {}"),
    ("participant", "\ud800", "holds half of a character pair"),
    ("id", [], "must be a name, not []"),
    ("id", "b", "'b' is the id of orders[0] already"),
    ("time", 0.5, "must be a whole number, not 0.5"),
    ("time", "1", "must be a whole number, not '1'"),
    ("attributes", [], "must be an object, not []"),
    ("requirements", {}, "must be a list, not {}"),
    ("requirements", [{"partner": []}], "did you mean 'partners'?"),
    ("requirements", [{"partners": "anna"}], "must be a list, not 'anna'"),
    ("requirements", [{"energy_type": [None]}], "must be a name, not null"),
]
"""What a key of an order must not hold, and the problem it gives."""


@pytest.mark.parametrize(("key", "value", "sentence"), WRONG)
def test_a_wrong_order_gets_one_sentence(key: str, value: Any, sentence: str) -> None:
    said = one(put(book("uniform_price"), ("orders", 1, key), value), "uniform_price")
    assert said.startswith(f"orders[1].{key}")
    assert sentence in said


@pytest.mark.parametrize("name", rules())
def test_every_rule_says_all_that_is_wrong_with_many_orders(name: str) -> None:
    right, other = BOOK["orders"]
    wrong = [{**other, "id": f"s{i}", key: value} for i, (key, value, _) in enumerate(WRONG)]
    said = sentences({**book(name), "orders": [right, *wrong]}, name)
    assert len(said) == len(WRONG)
    for i, (key, _, sentence) in enumerate(WRONG, 1):
        (about,) = [line for line in said if line.startswith(f"orders[{i}].{key}")]
        assert sentence in about


@pytest.mark.parametrize("orders", [None, {}, "none", 3, [None], [[]], [3], [[[{}]]]], ids=str)
def test_orders_that_are_no_list_of_objects_are_refused_by_every_rule(orders: Any) -> None:
    for name in rules():
        assert one(put(book(name), ("orders",), orders), name).startswith("orders")


@pytest.mark.parametrize("case", [None, [], "case", 3, {}], ids=str)
def test_something_else_than_a_case_is_refused_by_every_rule(case: Any) -> None:
    for name in (*rules(), *METHODS, *OF_AGENTS):
        assert sentences(case, name)


@pytest.mark.parametrize("name", [name for name in rules() if not MECHANISMS.get(name).promises.needs_places])
def test_a_grid_given_to_a_rule_that_does_not_use_it_is_refused(name: str) -> None:
    said = one({**book(name), "grid": GRID}, name)
    assert said == f"grid: is not used by {name}; leave it out, or choose a mechanism that uses one"


def test_a_rule_that_uses_a_grid_takes_it_and_refuses_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with own_registries(monkeypatch):
        promises = Promises(source="a test", needs_grid=True)
        MECHANISMS.register(Mechanism("on_a_grid", clear_exact, promises))
        case = {**book("uniform_price"), "grid": GRID}
        assert sentences(case, "on_a_grid") == []
        assert "'n3' is not a node of the grid" in one(put(case, ("orders", 1, "node"), "n3"), "on_a_grid")
        assert "bogus" in one(put(case, ("grid", "bogus"), 1), "on_a_grid")
        for place in places(case):
            for nonsense in NONSENSE if place[:1] == ("grid",) else ():
                sentences(put(case, place, nonsense), "on_a_grid")


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
        "orders[1].node: 'n9' is not a node",
        "orders[1].time: must be a whole number",
        "orders[1].id: 'b' is the id of orders[0] already",
        "orders[2]: 'participant' is missing",
        "orders[2]: 'side' is missing",
        "orders[2]: 'quantity_kwh' is missing",
        "orders[2]: 'price_per_kwh' is missing",
        "params: unknown key 'kk'",
        "params.k: is 2",
        "params.seed: is -1",
        "params.rationing: is 'pro rata'",
        "grid: is not used by uniform_price; leave it out, or choose a mechanism that uses one",
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
                    *[{**EVENTS["events"][0], "id": "8"}] * 2,
                ],
                "params": {"self_trade": "no"},
                "orderz": [],
            },
            (
                "events[0].quantity_kwh: is -1",
                "events[0].side: is 'by'",
                "events[1].type: is 'limits'",
                "events[6].id: '8' is the id of events[5], which is still in the book",
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


def test_the_metered_cases_are_refused_by_the_rules_of_books() -> None:
    for name in ("uniform_price", "vcg", "sbba"):
        for case in (METERED, HOMES, EVENTS, GAME):
            with pytest.raises(InvalidCase, match="unknown key"):
                clear_case(case, name)
    assert PRICES.keys() <= METERED["params"].keys()
