"""The best plans of many storages behind one meter: cases of `community_storage` with a list of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from market.horizon import Store
from market.orders import MAX_HORIZON
from market.units import INT64_SAFE, NANO_PER_UNIT, IntArray, kwh, money
from optimizer.blocks.infeasible import Unreachable
from optimizer.fleet.community import Community, Dispatch, contents_wh, dispatch
from wattswap.cases.demand import read_demand, read_minutes
from wattswap.cases.horizon import read_storage
from wattswap.inputs.collector import CaseReader, shown

_KEYS = {"load_kwh", "generation_kwh", "retail_price", "feed_in_tariff", "storages"}
_PARAMS = {"interval_minutes", "import_limit_kw", "shed_price"}


def clear_storages(case: Mapping[str, Any]) -> dict[str, Any]:
    """Plan the storages of a community at least cost, its future known.

    Args:
        case: {"load_kwh", "generation_kwh", "retail_price", "feed_in_tariff", "storages"}, each storage with the keys
            of one in `multi_interval`; and optionally "params" with "interval_minutes" (60), "import_limit_kw" and,
            with it, "shed_price", the cost of load that is not served. Not changed.

    Returns:
        {"cost", "cost_without_storage", "peak_import_kwh", "peak_import_without_storage_kwh", "import_kwh",
        "export_kwh", "shed_kwh", "storages", "certificate"}, or {"status": "infeasible", "reason"}.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
    """
    read = CaseReader()
    top = read.mapping(case, "case", _KEYS, {"params"})
    params = read.mapping(top.get("params", {}), "params", set(), _PARAMS)
    minutes = read_minutes(read, params)
    load, generation, retail, feed_in = read_demand(read, top)
    if len(load) > MAX_HORIZON:
        read.note("load_kwh", f"has {len(load)} intervals", f"give {MAX_HORIZON} at most")
    given = top.get("storages", [])
    named = [
        read_storage(read, x, f"storages[{i}]", len(load), minutes)
        for i, x in enumerate(read.items(given, "storages"))
    ]
    if isinstance(given, list | tuple) and not given:
        read.note("storages", "is empty", "give at least one")
    _check_names(read, [str(name) for name, _, _ in named])
    reverse = [t for t, (buy, sell) in enumerate(zip(retail, feed_in, strict=True)) if sell > buy]
    if reverse:
        at = f"energy earns more outside than it costs in interval {reverse[0]}"
        read.note("feed_in_tariff", at, "give at most the import price of the interval")
    limit_wh, shed = _limit(read, params, minutes, max(retail, default=0))
    stores = tuple(Store(i, left, terms) for i, (_, left, terms) in enumerate(named))
    largest = max(map(abs, (*retail, *feed_in, shed, *(store.left_micro_per_kwh for store in stores)))) + 1
    moved = sum(s.terms.charge_wh + s.terms.discharge_wh for s in stores) * len(load)
    if (sum(load) + sum(generation) + moved) * largest >= INT64_SAFE:
        read.note("case", "energy times price passes what 64 bits hold", "use a larger currency unit")
    read.refuse()
    net = np.array(load, dtype=np.int64) - np.array(generation, dtype=np.int64)
    community = Community(net, np.array(retail), np.array(feed_in), limit_wh, shed)
    try:
        found = dispatch(community, stores)
    except Unreachable as unreachable:
        reason = unreachable.said_of([str(named[row][0]) for row in unreachable.rows])
        return {"status": "infeasible", "reason": reason}
    return _result(community, stores, [name for name, _, _ in named], found)


def _check_names(read: CaseReader, names: list[str]) -> None:
    for i, name in enumerate(names):
        if names.index(name) < i:
            where = f"storages[{names.index(name)}]"
            read.note(f"storages[{i}].id", f"{shown(name)} is the id of {where} already")


def _limit(read: CaseReader, params: Mapping[str, Any], minutes: int, highest: int) -> tuple[int | None, int]:
    """Read the import limit [Wh], rounded down, and the cost of load that it leaves unserved. [micro-currency/kWh]"""
    if "import_limit_kw" not in params:
        if "shed_price" in params:
            read.note("params.shed_price", "has no meaning without import_limit_kw", "leave it out")
        return None, 0
    limit_wh = read.energy_wh(params["import_limit_kw"], "params.import_limit_kw") * minutes // 60
    if "shed_price" not in params:
        what = "is missing; with a limit, load that it leaves unserved must cost something"
        read.note("params.shed_price", what, "give a price above retail_price")
        return limit_wh, highest + 1
    shed = read.micro(params["shed_price"], "params.shed_price")
    if shed <= highest:
        read.note("params.shed_price", f"is {params['shed_price']}", "give a price above retail_price")
    return limit_wh, shed


def _result(
    community: Community, stores: tuple[Store, ...], names: list[Any], found: Dispatch
) -> dict[str, Any]:
    bought, sold, shed = community.drawn_wh(found.taken_wh.sum(axis=0))
    without, _, _ = community.drawn_wh(np.zeros_like(community.net_wh))
    contents = contents_wh(stores, found.taken_wh)
    return {
        "cost": money(found.cost_nano),
        "cost_without_storage": money(community.cost_nano(np.zeros_like(community.net_wh))),
        "peak_import_kwh": kwh(int(bought.max())),
        "peak_import_without_storage_kwh": kwh(int(without.max())),
        "import_kwh": _kwh(bought),
        "export_kwh": _kwh(sold),
        "shed_kwh": _kwh(shed),
        "storages": [
            {
                "id": name,
                "charge_kwh": _kwh(np.maximum(taken, 0)),
                "discharge_kwh": _kwh(np.maximum(-taken, 0)),
                "content_kwh": [round(x / 1_000, 6) for x in content],
            }
            for name, taken, content in zip(names, found.taken_wh, contents.tolist(), strict=True)
        ],
        "certificate": {
            "lower_bound": found.bound_nano / NANO_PER_UNIT,
            "gap": max(0.0, found.cost_nano - found.bound_nano) / NANO_PER_UNIT,
            "gap_share": max(0.0, found.gap),
            "complete": found.complete,
            "price_per_kwh": (found.price / 1e6).tolist(),
            "no_discharge_periods": np.flatnonzero(found.no_discharge).tolist(),
            "no_charge_periods": np.flatnonzero(found.no_charge).tolist(),
        },
    }


def _kwh(energy_wh: IntArray) -> list[float]:
    return [kwh(x) for x in energy_wh.tolist()]
