"""Oracle of the continuous book: a list of resting orders that is searched from the start for every event."""

from __future__ import annotations

from fractions import Fraction
from typing import Any


def continuous(case: dict[str, Any]) -> dict[str, Any]:
    """Trades in order of execution, and what rests at the end, best first."""
    skip = case.get("params", {}).get("self_trade", "allow") == "skip"
    resting: list[dict[str, Any]] = []
    trades = []
    for event in case["events"]:
        if event["type"] == "cancel":
            resting = [order for order in resting if order["id"] != event["id"]]
            continue
        order = {**event, "left": Fraction(str(event["quantity_kwh"]))}
        matches = _matches(order, resting, skip)
        if event["type"] == "fok" and sum(other["left"] for other in matches) < order["left"]:
            continue
        for other in matches:
            energy = min(order["left"], other["left"])
            if energy:
                trades.append((other["id"], order["id"], energy, Fraction(str(other["price_per_kwh"]))))
            order["left"] -= energy
            other["left"] -= energy
        resting = [other for other in resting if other["left"] > 0]
        if event["type"] == "limit" and order["left"] > 0:
            resting.append(order)
    return {
        "trades": trades,
        "bids": _left(resting, "buy", -1),
        "offers": _left(resting, "sell", 1),
    }


def _price(order: dict[str, Any]) -> Fraction:
    return Fraction(str(order["price_per_kwh"]))


def _matches(order: dict[str, Any], resting: list[dict[str, Any]], skip: bool) -> list[dict[str, Any]]:
    sign = 1 if order["side"] == "buy" else -1
    found = [
        other
        for other in resting
        if other["side"] != order["side"]
        and (order["type"] == "market" or sign * (_price(order) - _price(other)) >= 0)
        and not (skip and other["participant"] == order["participant"])
    ]
    return sorted(found, key=lambda other: sign * _price(other))  # stable: the earliest first


def _left(resting: list[dict[str, Any]], side: str, sign: int) -> list[tuple[str, Fraction, Fraction]]:
    ranked = sorted(
        (order for order in resting if order["side"] == side), key=lambda order: sign * _price(order)
    )
    return [(order["id"], _price(order), order["left"]) for order in ranked]
