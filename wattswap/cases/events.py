"""Clear a case of events in the continuous market: decimal numbers outside, integers inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from market.auctions.limit_order_book import Event, Kind, Resting, clear_events
from market.mechanism import Mechanism
from market.mechanisms.continuous import SELF_TRADE
from market.rules import MarketRules
from market.units import INT64_SAFE, kwh, price
from wattswap.inputs.collector import CaseReader
from wattswap.inputs.parameters import read_parameters

_KINDS = {kind.name.lower(): kind for kind in Kind}
_SIDES = {"buy": 1, "sell": -1}
_ORDER_KEYS = {"id", "participant", "side", "quantity_kwh"}
_EVENT_KEYS = {"type", *_ORDER_KEYS, "price_per_kwh"}


def clear_event_case(case: Mapping[str, Any], mechanism: Mechanism) -> dict[str, Any]:
    """Run the events of a case through an empty limit order book.

    Args:
        case: {"events": [..], "params"?: {"self_trade"?}}, as read from JSON. Not changed.
        mechanism: The continuous market; its name goes into the result.

    Returns:
        {"mechanism", "trades", "bids", "offers"}: trades in order of execution, the orders left best first.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
    """
    read = CaseReader()
    top = read.mapping(case, "case", {"events"}, {"params"})
    rules = MarketRules(params=read_parameters(read, top.get("params", {}), mechanism.parameters))
    given = read.items(top.get("events", []), "events")
    events = [_event(read, event, f"events[{i}]") for i, event in enumerate(given)]
    _check_cancels(read, events)
    worst_price = max((abs(event.limit_micro_per_kwh) for event in events), default=0)
    if sum(event.energy_wh for event in events) * max(worst_price, 1) >= INT64_SAFE:
        read.note("events", "energy times price passes what 64 bits hold", "use a larger currency unit")
        read.refuse()
    done = clear_events(events, SELF_TRADE.of(rules))
    for i, j in done.id_in_use:
        if events[i].id:  # a missing one is noted already
            problem = f"{events[i].id!r} is the id of events[{j}], which is still in the book"
            read.note(f"events[{i}].id", problem, "use another id, or cancel that order first")
    read.refuse()
    name: dict[Any, Any] = {str(event["id"]): event["id"] for event in given if event["type"] != "cancel"}

    def left(orders: list[Resting]) -> list[list[Any]]:
        return [[name[o.id], price(o.limit_micro_per_kwh), kwh(o.energy_wh)] for o in orders]

    return {
        "mechanism": mechanism.name,
        "trades": [
            {
                "resting": name[trade.resting],
                "aggressor": name[trade.aggressor],
                "quantity_kwh": kwh(trade.energy_wh),
                "price_per_kwh": price(trade.price_micro_per_kwh),
            }
            for trade in done.trades
        ],
        "bids": left(done.bids),
        "offers": left(done.offers),
    }


def _event(read: CaseReader, event: Any, where: str) -> Event:
    """Read one event; keys that its type does not need may be left out or null, and are ignored."""
    given = read.mapping(event, where, {"type", "id"}, _EVENT_KEYS)
    kind = Kind.LIMIT
    if "type" in given:
        kind = _KINDS[read.choice(given["type"], f"{where}.type", tuple(_KINDS))]
    needed = set() if kind is Kind.CANCEL else set(_ORDER_KEYS)
    if kind not in (Kind.CANCEL, Kind.MARKET):
        needed.add("price_per_kwh")
    for key in sorted(needed.difference(given) - {"id"}):
        read.note(where, f"{key!r} is missing")

    def needs(key: str) -> bool:
        return key in given and (given[key] is not None or key in needed)

    side, energy_wh, limit = 1, 0, 0
    participant = read.name(given["participant"], f"{where}.participant") if needs("participant") else ""
    if needs("side"):
        side = _SIDES[read.choice(given["side"], f"{where}.side", tuple(_SIDES))]
    if needs("quantity_kwh"):
        energy_wh = max(0, read.energy_wh(given["quantity_kwh"], f"{where}.quantity_kwh"))
    if needs("price_per_kwh"):
        limit = read.micro(given["price_per_kwh"], f"{where}.price_per_kwh")
    id_ = read.name(given["id"], f"{where}.id") if "id" in given else ""
    if kind is Kind.CANCEL:
        energy_wh, limit = 0, 0
    return Event(kind, id_, participant, side, energy_wh, limit)


def _check_cancels(read: CaseReader, events: list[Event]) -> None:
    """Note a cancel that names no earlier order, or that of another participant."""
    owners: dict[Any, Any] = {}
    for i, event in enumerate(events):
        owner = owners.get(event.id)
        if event.kind is not Kind.CANCEL:
            owners[event.id] = event.participant
        elif not event.id:
            continue  # noted already
        elif event.id not in owners:
            read.note(
                f"events[{i}].id", f"no earlier order is called {event.id!r}", "cancel an order given above"
            )
        elif event.participant and event.participant != owner:
            read.note(f"events[{i}].participant", f"the order {event.id!r} is that of {owner!r}")
