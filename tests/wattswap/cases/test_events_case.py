"""Cases of events: what comes out at the edge, and that everything wrong is told at once."""

from __future__ import annotations

from typing import Any

import pytest

from market.mechanism import MECHANISMS
from wattswap.cases.events import clear_event_case
from wattswap.inputs.collector import InvalidCase


def event(kind: str, id_: Any, participant: str, side: str, kwh: Any, price: Any = 0.1) -> dict[str, Any]:
    return {
        "type": kind,
        "id": id_,
        "participant": participant,
        "side": side,
        "quantity_kwh": kwh,
        "price_per_kwh": price,
    }


def run(*events: dict[str, Any], **params: Any) -> dict[str, Any]:
    return clear_event_case({"events": list(events), "params": params}, MECHANISMS.get("continuous"))


def refused(case: Any) -> list[str]:
    with pytest.raises(InvalidCase) as error:
        clear_event_case(case, MECHANISMS.get("continuous"))
    return [str(problem) for problem in error.value.problems]


def test_a_stream_of_every_type_trades_at_the_resting_price() -> None:
    result = run(
        event("limit", "s1", "ann", "sell", 2, 0.10),
        event("limit", "s2", "bob", "sell", 2, 0.12),
        event("fok", "b0", "cy", "buy", 5, 0.12),
        event("limit", "b1", "cy", "buy", 3, 0.12),
        event("ioc", "b2", "cy", "buy", 3, 0.20),
        event("limit", "b3", "cy", "buy", 1, 0.05),
        {"type": "cancel", "id": "b3"},
        event("limit", 7, "cy", "buy", 1, -0.05),
        {"type": "market", "id": "s3", "participant": "bob", "side": "sell", "quantity_kwh": 0.4},
    )
    assert result == {
        "mechanism": "continuous",
        "trades": [
            {"resting": "s1", "aggressor": "b1", "quantity_kwh": 2.0, "price_per_kwh": 0.10},
            {"resting": "s2", "aggressor": "b1", "quantity_kwh": 1.0, "price_per_kwh": 0.12},
            {"resting": "s2", "aggressor": "b2", "quantity_kwh": 1.0, "price_per_kwh": 0.12},
            {"resting": 7, "aggressor": "s3", "quantity_kwh": 0.4, "price_per_kwh": -0.05},
        ],
        "bids": [[7, -0.05, 0.6]],
        "offers": [],
    }


def test_own_orders_trade_unless_they_are_to_be_skipped() -> None:
    crossed = (event("limit", "s", "ann", "sell", 1), event("limit", "b", "ann", "buy", 2))
    assert [trade["resting"] for trade in run(*crossed)["trades"]] == ["s"]
    assert run(*crossed, self_trade="skip") == {
        "mechanism": "continuous",
        "trades": [],
        "bids": [["b", 0.1, 2.0]],
        "offers": [["s", 0.1, 1.0]],
    }


def test_an_order_cancelled_after_it_has_traded_is_no_mistake() -> None:
    result = run(
        event("limit", "s", "ann", "sell", 1),
        event("limit", "b", "bob", "buy", 1),
        {"type": "cancel", "id": "s", "participant": "ann"},
    )
    assert len(result["trades"]) == 1


def test_an_id_may_be_used_again_once_its_order_is_out_of_the_book() -> None:
    cancelled, gone = event("limit", "a", "ann", "sell", 1, 0.10), {"type": "cancel", "id": "a"}
    filled = (event("limit", "a", "ann", "sell", 2, 0.20), event("limit", "b", "bob", "buy", 2, 0.30))
    expired = event("ioc", "a", "ann", "sell", 1, 0.40)
    killed = event("fok", "a", "ann", "sell", 1, 0.40)
    result = run(cancelled, gone, *filled, expired, killed, event("limit", "a", "cy", "sell", 3, 0.50))
    assert result["trades"] == [{"resting": "a", "aggressor": "b", "quantity_kwh": 2.0, "price_per_kwh": 0.2}]
    assert result["offers"] == [["a", 0.5, 3.0]]
    # A cancel means the latest order of the id, and its owner.
    assert run(*filled, event("limit", "a", "cy", "sell", 3), {**gone, "participant": "cy"})["offers"] == []
    other = refused(
        {"events": [*filled, event("limit", "a", "cy", "sell", 3), {**gone, "participant": "ann"}]}
    )
    assert other == ["events[3].participant: the order 'a' is that of 'cy'"]


RESTS = event("limit", "a", "ann", "sell", 2, 0.20)


@pytest.mark.parametrize(
    "before",
    [
        [RESTS],
        [RESTS, event("ioc", "b", "bob", "buy", 1, 0.30)],
        [RESTS, {"type": "cancel", "id": "a"}, RESTS],
    ],
    ids=["resting", "partly filled", "again after a cancel"],
)
def test_the_id_of_an_order_in_the_book_is_taken(before: list[dict[str, Any]]) -> None:
    """Also for an order that would fill the one in the book."""
    taken = event("limit", "a", "cy", "buy", 5, 0.30)
    found = refused({"events": [*before, taken]})
    which = (
        f"'a' is the id of events[{len(before) - 1 if len(before) != 2 else 0}], which is still in the book"
    )
    assert found == [f"events[{len(before)}].id: {which}; use another id, or cancel that order first"]


def test_a_market_order_needs_no_price_and_a_cancel_no_quantity() -> None:
    assert run(event("market", "m", "ann", "buy", 1, None))["trades"] == []
    cancel = {**event("cancel", "m", "ann", "buy", None, None), "side": None}
    assert run(event("limit", "m", "ann", "buy", 1), cancel)["bids"] == []


def test_everything_wrong_is_told_at_once() -> None:
    problems = refused(
        {
            "events": [
                event("limit", "e", "ann", "buy", -1, float("nan")),
                event("limit", "a", "ann", "buy", 1),
                {"type": "cancel", "id": "zz"},
                {"type": "cancel", "id": "a", "participant": "bob"},
                {"type": "stop", "id": "c", "participant": "ann", "side": "bye", "quantity_kwh": 1},
                {"type": "ioc", "id": "d", "participant": "ann", "quantity_kwh": 1, "when": 3},
                {"id": 1.5},
                event("limit", "f", "ann", "buy", 1),
                event("limit", "f", "ann", "buy", float("inf")),
            ],
            "params": {"self_trade": "no", "k": 1},
            "orders": [],
        }
    )
    for part in (
        "case: unknown key 'orders'",
        "params.self_trade: is 'no'",
        "params: unknown key 'k'",
        "events[0].quantity_kwh: is -1",
        "events[0].price_per_kwh: is nan",
        "events[8].quantity_kwh: is inf",
        "events[8].id: 'f' is the id of events[7], which is still in the book",
        "events[2].id: no earlier order is called 'zz'",
        "events[3].participant: the order 'a' is that of 'ann'",
        "events[4].type: is 'stop'",
        "events[4].side: is 'bye'",
        "events[5]: unknown key 'when'",
        "events[5]: 'side' is missing",
        "events[5]: 'price_per_kwh' is missing",
        "events[6]: 'type' is missing",
        "events[6].id: must be a name, not 1.5",
    ):
        assert any(problem.startswith(part) for problem in problems), (part, problems)


def test_a_cancel_cannot_come_before_its_order() -> None:
    assert refused({"events": [{"type": "cancel", "id": "a"}, event("limit", "a", "ann", "buy", 1)]})


@pytest.mark.parametrize("case", [{}, {"events": 3}, {"events": [3]}, [], None])
def test_what_is_no_case_is_refused(case: Any) -> None:
    assert refused(case)


def test_amounts_beyond_64_bits_are_refused() -> None:
    assert "64 bits" in refused({"events": [event("limit", "a", "ann", "buy", 1e12, 1e6)]})[0]
