"""Read what a community needs and offers in each interval, and its prices outside, from a case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wattswap.inputs.collector import CaseReader

DEFAULT_MINUTES = 60
_DAY_MINUTES = 1_440


def read_demand(read: CaseReader, top: Mapping[str, Any]) -> tuple[list[int], ...]:
    """Load and generation [Wh], import price and feed-in price [micro-currency/kWh], by interval."""
    load, generation = (
        [read.energy_wh(x, f"{key}[{t}]") for t, x in enumerate(read.items(top.get(key, []), key))]
        for key in ("load_kwh", "generation_kwh")
    )
    if not load and isinstance(top.get("load_kwh"), list | tuple):
        read.note("load_kwh", "has no intervals", "give at least one")
    if len(load) != len(generation):
        read.note("generation_kwh", f"has {len(generation)} intervals, load_kwh {len(load)}", "give as many")
    retail, feed_in = (
        _prices(read, top.get(key, 0), key, len(load)) for key in ("retail_price", "feed_in_tariff")
    )
    return load, generation, retail, feed_in


def read_minutes(read: CaseReader, params: Mapping[str, Any]) -> int:
    """Minutes of an interval."""
    wrong_before = len(read.problems)
    minutes = read.whole(params.get("interval_minutes", DEFAULT_MINUTES), "params.interval_minutes")
    if len(read.problems) == wrong_before and not 1 <= minutes <= _DAY_MINUTES:
        read.note("params.interval_minutes", f"is {minutes}", f"give 1 to {_DAY_MINUTES}")
    return min(max(minutes, 1), _DAY_MINUTES)


def _prices(read: CaseReader, value: Any, where: str, count: int) -> list[int]:
    """Read one price for all intervals, or a list of one an interval."""
    if not isinstance(value, list | tuple):
        return [read.micro(value, where)] * count
    if len(value) != count:
        read.note(
            where, f"has {len(value)} prices for {count} intervals", "give one for each, or a single price"
        )
        return [0] * count
    return [read.micro(x, f"{where}[{t}]") for t, x in enumerate(value)]
