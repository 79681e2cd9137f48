"""The baseline on metered quantities: every home alone with its retailer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from market.mechanism import Mechanism
from market.units import kwh, money
from wattswap.inputs.collector import CaseReader, shown

Result = dict[str, Any]


def clear_retailer_case(case: Mapping[str, Any], mechanism: Mechanism) -> Result:
    """Bill each home alone: energy drawn in an interval at the import price, energy fed in at the feed-in price."""
    read = CaseReader()
    top = read.mapping(case, "case", {"load_kwh", "generation_kwh", "params"}, set())
    load = _series_by_participant(read, top.get("load_kwh", {}), "load_kwh")
    generation = _series_by_participant(read, top.get("generation_kwh", {}), "generation_kwh")
    lengths = {len(series) for series in (*load.values(), *generation.values())}
    if len(lengths) > 1:
        read.note("case", f"the series have {sorted(lengths)} intervals", "give all the same number")
    count = max(lengths, default=0)
    keys = ("retail_price", "feed_in_tariff")
    params = read.mapping(top.get("params", dict.fromkeys(keys, 0)), "params", set(keys), set())
    retail, feed_in = (_prices(read, params.get(key, 0), f"params.{key}", count) for key in keys)
    read.refuse()
    nothing = [0] * count
    members = list(dict.fromkeys((*load, *generation)))
    net = {
        m: [x - y for x, y in zip(load.get(m, nothing), generation.get(m, nothing), strict=True)]
        for m in members
    }
    cost = {
        m: sum(x * (retail[t] if x > 0 else feed_in[t]) for t, x in enumerate(series))
        for m, series in net.items()
    }
    together = [sum(series[t] for series in net.values()) for t in range(count)]
    return {
        "cost": {m: money(amount) for m, amount in cost.items()},
        "community_cost": money(sum(cost.values())),
        "import_kwh": kwh(sum(x for series in net.values() for x in series if x > 0)),
        "export_kwh": kwh(-sum(x for series in net.values() for x in series if x < 0)),
        "community_meter_peak_import_kwh": kwh(max(0, *together, 0)),
    }


def _series_by_participant(read: CaseReader, value: Any, where: str) -> dict[str, list[int]]:
    if not isinstance(value, Mapping):
        read.note(where, f"must be an object of one list per participant, not {shown(value)}")
        return {}
    return {
        read.name(name, where): [
            read.energy_wh(x, f"{where}.{name}[{t}]")
            for t, x in enumerate(read.items(series, f"{where}.{name}"))
        ]
        for name, series in value.items()
    }


def _prices(read: CaseReader, value: Any, where: str, count: int) -> list[int]:
    """Read one price for all intervals, or a list of one per interval."""
    if not isinstance(value, list | tuple):
        return [read.micro(value, where)] * count
    if len(value) != count:
        read.note(
            where, f"has {len(value)} prices for {count} intervals", "give one for each, or a single price"
        )
    return [read.micro(x, f"{where}[{t}]") for t, x in enumerate(value)]
