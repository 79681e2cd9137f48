"""The best plan of a battery that a community has in common, or of many: cases of `wattswap clear` with storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from market.units import INT64_SAFE, NANO_PER_UNIT, PPM, is_exact, kwh, money
from optimizer.storage.plan import Planner
from optimizer.storage.prices import lower_bound_nano, values_of
from optimizer.storage.store import Demand, Store
from optimizer.storage.whole import whole
from wattswap.cases.demand import read_demand, read_minutes
from wattswap.cases.storages import clear_storages
from wattswap.inputs.collector import CaseReader

_KEYS = {"load_kwh", "generation_kwh", "retail_price", "feed_in_tariff", "storage"}
_STORAGE = {"energy_kwh", "power_kw", "charge_efficiency", "discharge_efficiency", "initial_kwh"}
_EFFICIENCIES = ("charge_efficiency", "discharge_efficiency")


def clear_storage(case: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Plan the storage of a community at least cost, its future known.

    The community is netted at one meter: in an interval it buys at the import price or is paid the feed-in price.
    The storage charges or discharges in an interval, never both, also where a price below 0 would pay for wasting
    energy. What is left at the end is worth nothing.

    Args:
        case: {"load_kwh", "generation_kwh", "retail_price", "feed_in_tariff", "storage"}, and optionally "params"
            with "interval_minutes" (60), by which power becomes energy. Prices are lists or one number. With
            "storages" in the place of "storage": see `wattswap.cases.storages`. Not changed.
        name: "community_storage".

    Returns:
        {"mechanism", "cost", "cost_without_storage", "import_kwh", "export_kwh", "state_of_charge_kwh",
        "certificate"}; the lists have a value an interval, in whole Wh, content rounded down. The certificate holds
        the prices at which no plan costs less than its lower bound, and the gap to it.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
    """
    if isinstance(case, Mapping) and "storages" in case:
        return {"mechanism": name, **clear_storages(case)}
    read = CaseReader()
    top = read.mapping(case, "case", _KEYS, {"params"})
    load, generation, retail, feed_in = read_demand(read, top)
    minutes = read_minutes(read, read.mapping(top.get("params", {}), "params", set(), {"interval_minutes"}))
    store = _storage(read, top.get("storage", dict.fromkeys(_STORAGE, 1)), minutes)
    largest = max(map(abs, (*retail, *feed_in, 0)))
    if (sum(load) + sum(generation) + store.power_wh * len(load)) * largest >= INT64_SAFE:
        read.note("case", "energy times price passes what 64 bits hold", "use a larger currency unit")
    read.refuse()
    net = np.array(load, dtype=np.int64) - np.array(generation, dtype=np.int64)
    demand = Demand(
        np.maximum(net, 0),
        np.maximum(-net, 0),
        np.array(retail, dtype=np.int64),
        np.array(feed_in, dtype=np.int64),
    )
    return {"mechanism": name, **_result(demand, store)}


def _result(demand: Demand, store: Store) -> dict[str, Any]:
    plan = Planner(demand, store).plan(store)
    done = whole(demand, store, plan)
    cost_nano, without_nano = demand.cost_nano(done.taken_wh), demand.cost_nano()
    values = values_of(demand, store, plan)
    bound_nano = max(plan.bound_nano if plan.solved > 1 else -np.inf, lower_bound_nano(demand, store, values))
    net = demand.net_wh + done.taken_wh
    return {
        "cost": money(cost_nano),
        "cost_without_storage": money(without_nano),
        "import_kwh": [kwh(x) for x in np.maximum(net, 0).tolist()],
        "export_kwh": [kwh(x) for x in np.maximum(-net, 0).tolist()],
        "state_of_charge_kwh": [kwh(x // PPM) for x in done.stored_uwh.tolist()],
        "certificate": {
            "lower_bound": bound_nano / NANO_PER_UNIT,
            "gap": max(0.0, cost_nano - bound_nano) / NANO_PER_UNIT,
            "price_per_kwh": (values.price / 1e6).tolist(),
            "stored_value_per_kwh": (values.stored / 1e6).tolist(),
        },
    }


def _storage(read: CaseReader, value: Any, minutes: int) -> Store:
    """Read the storage; its power in an interval is rounded down to whole Wh."""
    given = read.mapping(value, "storage", _STORAGE, set())
    energy_wh, initial_wh, power_w = (
        read.energy_wh(given.get(key, 0), f"storage.{key}")
        for key in ("energy_kwh", "initial_kwh", "power_kw")
    )
    if initial_wh > energy_wh:
        found = f"is {kwh(initial_wh):g}, more than the {kwh(energy_wh):g} kWh that the storage holds"
        read.note("storage.initial_kwh", found, "give at most energy_kwh")
        initial_wh = energy_wh
    gain, yields = (_efficiency(read, given.get(key, 1), f"storage.{key}") for key in _EFFICIENCIES)
    return Store(energy_wh, power_w * minutes // 60, gain, yields, initial_wh)


def _efficiency(read: CaseReader, value: Any, where: str) -> int:
    """Read a share above 0 and at most 1. [parts per million]"""
    found = read.number(value, where)
    if found is None:
        return PPM
    if not 0 < found <= 1 or not is_exact(found, PPM):
        read.note(where, f"is {found}", "give a number above 0 and at most 1, of at most six decimals")
        return PPM
    return int(found * PPM)
