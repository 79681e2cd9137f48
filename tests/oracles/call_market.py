"""Oracles of the call market family: uniform price, welfare optimum, pay as bid, VCG, posted price."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.oracles.books import (
    Outcome,
    Pairs,
    Row,
    at_price,
    bids_of,
    micro,
    nothing,
    offers_of,
    rows_of,
    total,
)


def best_volume(rows: list[Row]) -> int:
    """The largest volume at which the last Wh of bids is worth at least the last Wh of offers."""
    best = 0
    for limit in {row.limit for row in rows}:
        demand = sum(row.wh for row in rows if row.sign > 0 and row.limit >= limit)
        supply = sum(row.wh for row in rows if row.sign < 0 and row.limit <= limit)
        best = max(best, min(demand, supply))
    return best


def served(ranked: list[Row], volume: int) -> dict[str, Fraction]:
    """Serve a ranked side in turn."""
    found = {}
    for row in ranked:
        found[row.id] = Fraction(min(row.wh, volume))
        volume -= min(row.wh, volume)
    return found


def interval(rows: list[Row]) -> tuple[Fraction, Fraction] | None:
    """lo and hi of section 1.4, by any efficient serving: who is cut at the margin has one and the same limit."""
    volume = best_volume(rows)
    if volume == 0:
        return None
    got = served(bids_of(rows), volume) | served(offers_of(rows), volume)
    lo = [
        row.limit
        for row in rows
        if (row.sign < 0 and got[row.id] > 0) or (row.sign > 0 and got[row.id] < row.wh)
    ]
    hi = [
        row.limit
        for row in rows
        if (row.sign > 0 and got[row.id] > 0) or (row.sign < 0 and got[row.id] < row.wh)
    ]
    return Fraction(max(lo)), Fraction(min(hi))


def welfare(rows: list[Row]) -> Fraction:
    """The largest welfare. [nano]"""
    volume = best_volume(rows)
    got = served(bids_of(rows), volume) | served(offers_of(rows), volume)
    return sum((row.sign * row.limit * got[row.id] for row in rows), Fraction(0))


def pro_rata(rows: list[Row], volume: int) -> dict[str, Fraction]:
    """Serve better limits whole and share what is left in proportion at the limit where it ends; not rounded."""
    found: dict[str, Fraction] = {}
    left = Fraction(volume)
    for limit in dict.fromkeys(row.limit for row in rows):
        level = [row for row in rows if row.limit == limit]
        take = min(left, Fraction(total(level)))
        for row in level:
            found[row.id] = take * row.wh / total(level)
        left -= take
    return found


def uniform_price(case: dict[str, Any]) -> Outcome:
    """The k-double auction; rationing pro_rata or time."""
    rows, params = rows_of(case), case.get("params", {})
    bounds, volume = interval(rows), best_volume(rows)
    if bounds is None:
        return nothing(rows)
    serve = served if params.get("rationing") == "time" else pro_rata
    accepted = serve(bids_of(rows), volume) | serve(offers_of(rows), volume)
    lo, hi = bounds
    price = lo + Fraction(str(params.get("k", 0.5))) * (hi - lo)
    return Outcome(accepted, at_price(accepted, rows, price), interval=bounds, price=price)


def pay_as_bid(case: dict[str, Any]) -> Outcome:
    """Best bid with best offer while bid >= offer."""
    rows, params = rows_of(case), case.get("params", {})
    pairs, rule = Pairs(rows), params.get("price_rule", "midpoint")
    k = Fraction(str(params.get("k", 0.5)))
    while True:
        bids = [row for row in bids_of(rows) if row.left > 0]
        offers = [row for row in offers_of(rows) if row.left > 0]
        if not bids or not offers or bids[0].limit < offers[0].limit:
            break
        bid, offer = Fraction(bids[0].limit), Fraction(offers[0].limit)
        buys, sells = {
            "midpoint": (offer + k * (bid - offer),) * 2,
            "bid": (bid, bid),
            "offer": (offer, offer),
            "both_as_bid": (bid, offer),
        }[rule]
        pairs.trade(bids[0], offers[0], buys, sells)
    outcome = pairs.outcome()
    if rule == "both_as_bid":
        del outcome.more["trades"]
    return outcome


def vcg_contributions(case: dict[str, Any]) -> dict[str, Fraction]:
    """W - W_-i of every participant, removed with all its orders. [nano]"""
    rows = rows_of(case)
    everybody = {order["participant"] for order in case["orders"]}
    return {who: welfare(rows) - welfare([row for row in rows if row.who != who]) for who in everybody}


def posted_price(case: dict[str, Any], price: Fraction | None = None) -> Outcome:
    """Who accepts the price trades; the long side is served in proportion."""
    rows = rows_of(case)
    price = Fraction(micro(case["params"]["price"])) if price is None else price
    willing = [row for row in rows if row.sign * (row.limit - price) >= 0]
    sides = [[row for row in willing if row.sign == sign] for sign in (1, -1)]
    volume = min(map(total, sides))
    accepted = {row.id: Fraction(0) for row in rows}
    for side in sides:
        for row in side:
            accepted[row.id] = Fraction(volume * row.wh, total(side))
    return Outcome(accepted, at_price(accepted, rows, price), price=price if volume else None)
