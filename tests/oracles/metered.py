"""Oracles of metered quantities: mid-market rate, bill sharing, supply-demand ratio, retailer only."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Prices = tuple[Fraction | None, Fraction | None]


def _number(value: Any) -> Fraction:
    return Fraction(str(value))


def mid_market_rate(supply: Fraction, demand: Fraction, params: dict[str, Any]) -> Prices:
    """The scarce side gets the middle, the long side a blend with the retailer."""
    retail, feed_in = _number(params["retail_price"]), _number(params["feed_in_tariff"])
    middle = (retail + feed_in) / 2
    return _blend(middle if feed_in <= retail else None, supply, demand, retail, feed_in)


def bill_sharing(supply: Fraction, demand: Fraction, params: dict[str, Any]) -> Prices:
    """Importers share the import bill, exporters the export income."""
    retail, feed_in = _number(params["retail_price"]), _number(params["feed_in_tariff"])
    return _blend(Fraction(0), supply, demand, retail, feed_in)


def supply_demand_ratio(supply: Fraction, demand: Fraction, params: dict[str, Any]) -> Prices:
    """The formula of Liu et al., its lowest price at most the import price."""
    retail, tariff = _number(params["retail_price"]), _number(params["feed_in_tariff"])
    floor = min(tariff + _number(params.get("compensation", 0)), retail)
    price = None
    if supply and demand and tariff <= retail:
        r = min(supply / demand, Fraction(1))
        price = retail * floor / ((retail - floor) * r + floor) if retail else Fraction(0)
    return _blend(price, supply, demand, retail, tariff)


def _blend(
    local: Fraction | None, supply: Fraction, demand: Fraction, retail: Fraction, feed_in: Fraction
) -> Prices:
    """Averages over what is shared at the local price and what is left for the retailer; None for an empty side."""
    shared = Fraction(0) if local is None else min((supply, demand))
    value = (local or Fraction(0)) * shared
    return (
        (value + retail * (demand - shared)) / demand if demand else None,
        (value + feed_in * (supply - shared)) / supply if supply else None,
    )


RULES = {
    "mid_market_rate": mid_market_rate,
    "bill_sharing": bill_sharing,
    "supply_demand_ratio": supply_demand_ratio,
}


def shared(case: dict[str, Any], name: str) -> dict[str, Any]:
    """Prices per interval, and payments in currency, of quantities that are lists per participant.

    With horizon "sum" the retailer still bills each interval; who used how much in all splits the sums of its bills.
    """
    supply, demand = case["supply_kwh"], case["demand_kwh"]
    intervals = len(next(iter({**supply, **demand}.values())))
    given, drawn = (
        [sum((_number(row[t]) for row in side.values()), Fraction(0)) for t in range(intervals)]
        for side in (supply, demand)
    )
    prices = [RULES[name](g, d, case["params"]) for g, d in zip(given, drawn, strict=True)]
    if case["params"].get("horizon") == "sum":
        bill = sum((d * (buy or 0) for d, (buy, _) in zip(drawn, prices, strict=True)), Fraction(0))
        income = sum((g * (sell or 0) for g, (_, sell) in zip(given, prices, strict=True)), Fraction(0))
        prices = [(bill / sum(drawn) if any(drawn) else None, income / sum(given) if any(given) else None)]
        supply, demand = (
            {who: [sum(map(_number, row))] for who, row in side.items()} for side in (supply, demand)
        )
    paid = dict.fromkeys({**supply, **demand}, Fraction(0))
    for t, (buy, sell) in enumerate(prices):
        for who in paid:
            paid[who] += _number(demand[who][t] if who in demand else 0) * (buy or 0)
            paid[who] -= _number(supply[who][t] if who in supply else 0) * (sell or 0)
    return {"prices": prices, "paid": paid}


def retailer_only(case: dict[str, Any]) -> dict[str, Any]:
    """Every home alone, interval by interval."""
    load, generation = case["load_kwh"], case["generation_kwh"]
    retail, feed_in = (case["params"][key] for key in ("retail_price", "feed_in_tariff"))
    count = max((len(row) for row in (*load.values(), *generation.values())), default=0)
    cost, imported, exported, peak = {}, Fraction(0), Fraction(0), Fraction(0)
    for who in {**load, **generation}:
        cost[who] = Fraction(0)
        for t in range(count):
            net = _number(load.get(who, [0] * count)[t]) - _number(generation.get(who, [0] * count)[t])
            here = [_number(p[t] if isinstance(p, list) else p) for p in (retail, feed_in)]
            cost[who] += net * here[0] if net > 0 else net * here[1]
            imported, exported = imported + max(net, 0), exported + max(-net, 0)
    for t in range(count):
        load_t, generation_t = (sum(_number(row[t]) for row in side.values()) for side in (load, generation))
        peak = max(peak, Fraction(load_t - generation_t))
    return {
        "cost": cost,
        "community_cost": sum(cost.values(), Fraction(0)),
        "import_kwh": imported,
        "export_kwh": exported,
        "community_meter_peak_import_kwh": peak,
    }
