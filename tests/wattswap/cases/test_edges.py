"""Every registered mechanism where there is next to nothing to clear: no exception, and null for what is undefined."""

from __future__ import annotations

import json
from typing import Any

import pytest

from market.mechanism import MECHANISMS, Mechanism
from market.parameters import FEED_IN, RETAIL
from wattswap.cases.contract import clear_case

Case = dict[str, Any]


def order(participant: str, side: str, quantity: float, price: float) -> Case:
    return {
        "id": f"{participant} {side} {quantity} {price}",
        "participant": participant,
        "side": side,
        "quantity_kwh": quantity,
        "price_per_kwh": price,
    }


def both_sides(bid: float, offer: float) -> list[Case]:
    return [
        *(order(who, "buy", quantity, bid) for who, quantity in (("a", 1), ("b", 2), ("c", 2.001))),
        *(order(who, "sell", quantity, offer) for who, quantity in (("d", 1), ("e", 3))),
    ]


ONE_SIDED = {
    "no orders": [],
    "bids only": both_sides(0.3, 0.1)[:3],
    "offers only": both_sides(0.3, 0.1)[3:],
    "no energy": [order("a", "buy", 0, 0.3), order("b", "sell", 0, 0.1)],
    "no energy on one side": [order("a", "buy", 1, 0.3), order("b", "sell", 0, 0.1)],
    "bids below offers": both_sides(0.1, 0.3),
    "one order": [order("a", "buy", 1, 0.3)],
}
TWO_SIDED = {
    "all limits equal": both_sides(0.2, 0.2),
    "limits of 0": both_sides(0, 0),
    "negative limits": both_sides(-0.1, -0.1),
    "one participant": [order("a", "buy", 1, 0.3), order("a", "sell", 1, 0.1)],
    "a pair": [order("a", "buy", 1, 0.2), order("b", "sell", 1, 0.2)],
    "a pair of 1 Wh": [order("a", "buy", 0.001, 0.3), order("b", "sell", 0.001, 0.1)],
}
OUTSIDE = {"usual": (0.3, 0.08), "import = feed-in": (0.2, 0.2), "0": (0, 0), "feed-in above": (0.1, 0.2)}

every_mechanism = pytest.mark.parametrize(
    "mechanism", [m for m in MECHANISMS.all().values() if not m.promises.needs_places], ids=lambda m: m.name
)
every_tariff = pytest.mark.parametrize("outside", OUTSIDE.values(), ids=OUTSIDE)


def params(mechanism: Mechanism, outside: tuple[float, float]) -> Case:
    """The outside prices, for mechanisms that take them."""
    both = zip((RETAIL, FEED_IN), outside, strict=True)
    return {parameter.name: price for parameter, price in both if parameter in mechanism.parameters}


@every_mechanism
@every_tariff
@pytest.mark.parametrize("name", [*ONE_SIDED, *TWO_SIDED])
def test_a_book_of_next_to_nothing_is_cleared(
    mechanism: Mechanism, outside: tuple[float, float], name: str
) -> None:
    orders = {**ONE_SIDED, **TWO_SIDED}[name]
    result = clear_case({"orders": orders, "params": params(mechanism, outside)}, mechanism.name)
    json.dumps(result, allow_nan=False)
    traded = result["traded_kwh"]
    assert traded == 0 or name in TWO_SIDED or mechanism.name == "bill_sharing"  # which looks at no limit
    assert result["status"] == ("cleared" if traded else "no_trade")
    assert (result["price"] is None) == (traded == 0)
    assert result["price_interval"] is None or traded
    for row in result["orders"]:
        assert (row["price_per_kwh"] is None) == (row["accepted_kwh"] == 0)
        assert row["accepted_kwh"] or row["payment"] == 0
    paid = sum(row["payment"] + row["fee"] for row in result["participants"])
    assert paid == pytest.approx(result["operator_surplus"], abs=1e-9)
    for key in ("buyer_price", "seller_price"):
        assert result.get(key) is None or traded
    if not traded:
        zero = ("welfare", "buyer_surplus", "seller_surplus", "operator_surplus")
        assert [result[key] for key in zero] == [0, 0, 0, 0]
        assert result["trades"] == []


METERED = {
    "nobody": ({}, {}),
    "no sellers": ({}, {"a": 1, "b": 0}),
    "no buyers": ({"a": 1}, {}),
    "nothing metered": ({"a": 0}, {"b": 0}),
    "one participant": ({"a": 1}, {"a": 2}),
    "totals": (0, 3),
    "lists": ({"a": [0, 1, 0, 2]}, {"b": [1, 0, 0, 1]}),
    "no intervals": ({"a": []}, {"b": []}),
}


@every_tariff
@pytest.mark.parametrize("name", METERED)
@pytest.mark.parametrize("rule", [name for name, m in MECHANISMS.all().items() if m.share is not None])
def test_next_to_nothing_metered_is_settled(rule: str, name: str, outside: tuple[float, float]) -> None:
    supply, demand = METERED[name]
    horizons = ("interval", "sum") if rule == "bill_sharing" else (None,)
    for horizon in horizons:
        case = {"supply_kwh": supply, "demand_kwh": demand, "params": params(MECHANISMS.get(rule), outside)}
        if horizon:
            case["params"]["horizon"] = horizon
        result = clear_case(case, rule)
        json.dumps(result, allow_nan=False)
        for key, side in (("buy_price", demand), ("sell_price", supply)):
            series = list(side.values()) if isinstance(side, dict) else [side]
            lists = name in ("lists", "no intervals") and horizon != "sum"
            columns = zip(*series, strict=True) if lists else [series]
            metered = [sum(sum(x) if isinstance(x, list) else x for x in column) for column in columns]
            found = result[key] if lists else [result[key]]
            assert [price is None for price in found] == [energy == 0 for energy in metered]


@pytest.mark.parametrize("load", [{}, {"a": []}, {"a": [0]}, {"a": [1, 2]}], ids=str)
@pytest.mark.parametrize("generation", [{}, {"b": []}], ids=str)
@every_tariff
def test_the_baseline_bills_next_to_nothing(
    load: Case, generation: Case, outside: tuple[float, float]
) -> None:
    generation = {who: [0] * len(next(iter(load.values()), [])) for who in generation}
    prices = dict(zip(("retail_price", "feed_in_tariff"), outside, strict=True))
    case = {"load_kwh": load, "generation_kwh": generation, "params": prices}
    result = clear_case(case, "retailer_only")
    assert result["community_cost"] == pytest.approx(sum(map(sum, load.values())) * outside[0])


def test_no_events_leave_an_empty_book() -> None:
    assert clear_case({"events": []}, "continuous") == {
        "mechanism": "continuous",
        "trades": [],
        "bids": [],
        "offers": [],
    }


@pytest.mark.parametrize("method", ["shapley", "shapley_sampled", "nucleolus", "prenucleolus"])
@pytest.mark.parametrize("worth", [0, 5, -5])
def test_one_player_gets_what_it_is_worth(method: str, worth: int) -> None:
    result = clear_case({"players": ["a"], "value": {"a": worth}}, method)
    assert result["shares"] == {"a": worth}
    assert result["core_nonempty"]
    assert result["in_core"]
