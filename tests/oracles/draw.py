"""Random cases as JSON holds them: few price levels, so that ties are common."""

from __future__ import annotations

import random
from typing import Any

from tests.oracles.stream import continuous

Case = dict[str, Any]


def book(
    rng: random.Random,
    *,
    most: int = 9,
    units: bool = False,
    single: bool = False,
    params: Case | None = None,
    lowest: int = -5,
) -> Case:
    """A book with times that differ; sometimes empty or one-sided, with zero quantities and negative prices.

    Args:
        rng: Decides everything.
        most: Largest number of orders.
        units: Whole kWh from 0 to 3 instead of Wh.
        single: One order per participant.
        params: Taken as they are.
        lowest: Lowest price in cents.
    """
    size = rng.choice((0, 1, 2, *range(3, most), most, most))
    sides = rng.choice((("buy", "sell"),) * 8 + (("buy",), ("sell",)))
    levels = rng.sample(range(2 * lowest, 80, 2), rng.choice((1, 2, 4, 12)))
    times = rng.sample(range(-50, 50), size)
    lift = rng.choice((0, 0, 10, 20, 40))  # so that enough books have much to trade
    orders = [
        {
            "id": f"o{i}",
            "participant": f"p{i}" if single else f"p{rng.randrange(max(1, size - 1))}",
            "side": side,
            "quantity_kwh": float(rng.choice((1, 1, 1, 2, 3, 0)) if units else wh(rng) / 1000),
            "price_per_kwh": (rng.choice(levels) + lift * (side == "buy")) / 100,
            "time": times[i],
        }
        for i, side in enumerate(rng.choices(sides, k=size))
    ]
    return {"orders": orders, "params": params or {}}


def wh(rng: random.Random) -> int:
    """An energy of some Wh or kWh; ties and zeros are common."""
    return rng.choice((0, 1, 1, 2, 7, 10, 1000, 1000, 2500, rng.randrange(1, 10_000)))


def partition(rng: random.Random, case: Case) -> Case:
    """Two halves of the participants of a book."""
    halves: dict[str, list[str]] = {"left": [], "right": []}
    for name in sorted({order["participant"] for order in case["orders"]}):
        halves[rng.choice(("left", "right"))].append(name)
    return halves


def wishes(rng: random.Random, case: Case) -> Case:
    """Give some orders kinds of energy and requirements."""
    names = [order["participant"] for order in case["orders"]]
    for order in case["orders"]:
        if rng.random() < 0.5:
            order["attributes"] = {"energy_type": rng.choice(("PV", "wind"))}
        if rng.random() < 0.6:
            order["requirements"] = [_wish(rng, names) for _ in range(rng.choice((1, 1, 2)))]
    return case


def _wish(rng: random.Random, names: list[str]) -> Case:
    found: Case = {}
    if rng.random() < 0.6:
        found["partners"] = rng.choices([*names, "stranger"], k=rng.choice((1, 2)))
    if rng.random() < 0.5:
        found["energy_type"] = rng.choice((["PV"], ["wind"], ["PV", "wind"]))
    return found


def metered(rng: random.Random, intervals: int) -> Case:
    """Quantities per participant and interval; some have only one side, some intervals nothing."""

    def side() -> dict[str, list[float]]:
        empty = {t for t in range(intervals) if rng.random() < 0.2}
        names = rng.sample(("a", "b", "c", "d"), rng.choice((1, 2, 3)))
        return {name: [0.0 if t in empty else wh(rng) / 1000 for t in range(intervals)] for name in names}

    params = {key: rng.randrange(40) / 100 for key in ("retail_price", "feed_in_tariff")}
    return {"supply_kwh": side(), "demand_kwh": side(), "params": params}


def homes(rng: random.Random) -> Case:
    """A case of retailer_only."""
    count = rng.choice((0, 1, 3))
    load, generation = (
        {n: [wh(rng) / 1000 for _ in range(count)] for n in rng.sample("abcd", rng.choice((1, 2, 3)))}
        for _ in range(2)
    )
    prices = [
        [rng.randrange(-5, 40) / 100 for _ in range(count)] if rng.random() < 0.4 else rng.randrange(40) / 100
        for _ in range(2)
    ]
    params = {"retail_price": prices[0], "feed_in_tariff": prices[1]}
    return {"load_kwh": load, "generation_kwh": generation, "params": params}


def stream(rng: random.Random) -> Case:
    """Events of a continuous book; cancels name earlier orders, also such as are filled or dropped.

    Some orders have the id of an earlier one that is no longer in the book.
    """
    events: list[Case] = []
    params = {"self_trade": rng.choice(("allow", "skip"))}
    levels = rng.sample(range(-5, 30), rng.choice((1, 2, 5)))
    for i in range(rng.randrange(14)):
        kind = rng.choice(("limit",) * 6 + ("ioc", "fok", "market", "cancel"))
        orders = [event for event in events if event["type"] != "cancel"]
        if kind == "cancel":
            if orders:
                events.append({"type": "cancel", "id": rng.choice(orders)["id"]})
            continue
        event = {
            "type": kind,
            "id": f"e{i}",
            "participant": rng.choice("abc"),
            "side": rng.choice(("buy", "sell")),
            "quantity_kwh": wh(rng) / 1000,
            "price_per_kwh": rng.choice(levels) / 100,
        }
        if kind == "market":
            del event["price_per_kwh"]
        if rng.random() < 0.3:
            there = continuous({"events": events, "params": params})
            resting = {order[0] for order in (*there["bids"], *there["offers"])}
            free = sorted({order["id"] for order in orders} - resting)
            event["id"] = rng.choice(free) if free else event["id"]
        events.append(event)
    return {"events": events, "params": params}


def game(rng: random.Random, size: int) -> Case:
    """A value for every coalition, rising or not."""
    players = list("abcd"[:size])
    value: dict[str, float] = {"": 0}
    for mask in range(1, 1 << size):
        members = [p for i, p in enumerate(players) if mask >> i & 1]
        value[",".join(members)] = round(rng.uniform(-2, 3) * len(members) ** rng.choice((1, 1, 2)), 2)
    return {"players": players, "value": value}
