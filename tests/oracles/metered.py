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
    if supply >= demand:
        return middle, (demand * middle + (supply - demand) * feed_in) / supply
    return (supply * middle + (demand - supply) * retail) / demand, middle


def bill_sharing(supply: Fraction, demand: Fraction, params: dict[str, Any]) -> Prices:
    """Importers share the import bill, exporters the export income; None where a side is empty."""
    retail, feed_in = _number(params["retail_price"]), _number(params["feed_in_tariff"])
    return (
        retail * max(Fraction(0), demand - supply) / demand if demand else None,
        feed_in * max(Fraction(0), supply - demand) / supply if supply else None,
    )


def supply_demand_ratio(supply: Fraction, demand: Fraction, params: dict[str, Any]) -> Prices:
    """The formula of Liu et al.; r beyond all bounds where nothing is demanded."""
    retail = _number(params["retail_price"])
    compensation = _number(params.get("compensation", 0))
    feed_in = _number(params["feed_in_tariff"]) + compensation
    if supply >= demand:  # who sells beyond the demand gets no compensation for that
        return feed_in, feed_in - compensation * (1 - demand / supply)
    r = supply / demand
    sell = retail * feed_in / ((retail - feed_in) * r + feed_in)
    return sell * r + retail * (1 - r), sell


RULES = {
    "mid_market_rate": mid_market_rate,
    "bill_sharing": bill_sharing,
    "supply_demand_ratio": supply_demand_ratio,
}


def shared(case: dict[str, Any], name: str) -> dict[str, Any]:
    """Prices per interval, and payments in currency, of quantities that are lists per participant."""
    supply, demand = case["supply_kwh"], case["demand_kwh"]
    if case["params"].get("horizon") == "sum":
        supply, demand = (
            {who: [sum(map(_number, row))] for who, row in side.items()} for side in (supply, demand)
        )
    intervals = len(next(iter({**supply, **demand}.values())))
    paid = dict.fromkeys({**supply, **demand}, Fraction(0))
    prices: list[Prices] = []
    for t in range(intervals):
        given, drawn = (
            sum((_number(row[t]) for row in side.values()), Fraction(0)) for side in (supply, demand)
        )
        if given == drawn == 0:
            prices.append((None, None))
            continue
        buy, sell = RULES[name](given, drawn, case["params"])
        prices.append((buy, sell))
        for who in paid:
            paid[who] += _number(demand.get(who, [0] * intervals)[t]) * (buy or 0)
            paid[who] -= _number(supply.get(who, [0] * intervals)[t]) * (sell or 0)
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
