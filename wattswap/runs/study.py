"""Other homes than those of the data: a sample of them, other production, other batteries, drawn from a seed.

A draw ranks the homes by a hash of the seed, what is drawn and their ids. So a larger sample or share holds the smaller
one, and a home that joins moves at most one other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.devices import DEVICES
from agents.devices.battery import BATTERY
from data.readings import MISSING, BatterySpec, MeterData, carry_round
from market.units import INT64_SAFE, PPM, BoolArray, IntArray
from wattswap.errors import InvalidScenario, Problem

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario


def owners(names: Sequence[str], has: Sequence[bool], share_ppm: int, seed: int, what: str) -> set[str]:
    """Which homes own something after a share of them is to: those that have it first, then the others, by rank.

    Args:
        names: Ids of the homes.
        has: Which have it before.
        share_ppm: Share of the homes; their number is rounded, half up. [parts per million]
        seed: Of the draw.
        what: Distinguishes this draw from others.
    """
    order = sorted(zip(names, has, strict=True), key=lambda home: (not home[1], _rank(seed, what, home[0])))
    count = (len(names) * share_ppm + PPM // 2) // PPM
    return {name for name, _ in order[:count]}


def _rank(seed: int, what: str, name: str) -> bytes:
    return sha256(f"{seed} {what} {name}".encode()).digest()


def studied(scenario: Scenario, meter: MeterData) -> tuple[MeterData, tuple[str, ...]]:
    """The homes that a scenario asks for, out of those in the data.

    Returns:
        The homes, and the ids of those that a sample leaves out.

    Raises:
        InvalidScenario: Everything that these data cannot give.
    """
    homes, problems = scenario.homes, list[Problem]()
    everybody, stores = meter.households, any(meter.batteries)
    if homes.sample_homes is not None:
        if homes.sample_homes > len(everybody) and not homes.sample_with_replacement:
            what = f"{homes.sample_homes} homes of {len(everybody)} in the data"
            cure = "take fewer, or set homes.sample_with_replacement = true"
            problems += scenario.invalid("homes.sample_homes", what, cure).problems
        else:
            meter = _sample(meter, homes.sample_homes, homes.drawn_from, homes.sample_with_replacement)
    for key, value in (("pv_share", homes.pv_share), ("pv_scale", homes.pv_scale_ppm)):
        if value is not None:
            problems += _without_pv(scenario, meter, f"homes.{key}")
    if homes.battery_scale_ppm is not None and not (homes.uses_data(BATTERY) and stores):
        why = "homes.batteries leaves them out" if stores else "the data have none"
        cure = "homes.battery_kwh gives one to every home without"
        problems += scenario.invalid(
            "homes.battery_scale", f"there are no batteries to scale: {why}", cure
        ).problems
    if problems:
        raise InvalidScenario(*problems)
    if homes.pv_share is not None:
        meter = _with_pv_share(scenario, meter, homes.pv_share)
    if homes.pv_scale_ppm is not None:
        pv_wh = _scaled(scenario, "homes.pv_scale", meter.sub_meters["pv"], homes.pv_scale_ppm)
        meter = _with_pv(meter, pv_wh)
    if homes.battery_scale_ppm is not None:
        meter = replace(meter, batteries=tuple(_resized(b, homes.battery_scale_ppm) for b in meter.batteries))
    return meter, tuple(name for name in everybody if name not in meter.households)


def _sample(meter: MeterData, count: int, seed: int, replacement: bool) -> MeterData:
    """Some of the homes, in the order of the data; a home drawn again is called NAME#2, NAME#3, .."""
    names = meter.households
    if not replacement:
        drawn = set(sorted(names, key=lambda name: _rank(seed, "sample", name))[:count])
        return meter.select([name for name in names if name in drawn])
    draws = (int.from_bytes(_rank(seed, "sample with replacement", str(i))[:8]) for i in range(count))
    places = np.sort(np.fromiter((draw % len(names) for draw in draws), dtype=np.int64, count=count))
    number = np.arange(count) - np.searchsorted(places, places) + 1
    copies = [names[p] if n == 1 else f"{names[p]}#{n}" for p, n in zip(places, number, strict=True)]
    return replace(
        meter,
        households=tuple(copies),
        import_wh=meter.import_wh[:, places],
        export_wh=meter.export_wh[:, places],
        quality=meter.quality[:, places],
        sub_meters={name: energy[:, places] for name, energy in meter.sub_meters.items()},
        batteries=tuple(meter.batteries[p] for p in places),
    )


def _without_pv(scenario: Scenario, meter: MeterData, key: str) -> list[Problem]:
    """Why production cannot be changed, if it cannot: it has to be metered apart from consumption."""
    cure = "use data with a meter of production (pv), or leave the key out"
    if "pv" not in meter.sub_meters:
        what = "the data have the net register alone, not production and consumption apart"
        return list(scenario.invalid(key, what, cure).problems)
    hidden = meter.export_wh.any(axis=0) & ~meter.sub_meters["pv"].any(axis=0)
    if hidden.any():
        what = f"home {meter.households[int(hidden.argmax())]!r} exports energy and has no meter of its production"
        return list(scenario.invalid(key, what, cure).problems)
    return []


def _with_pv_share(scenario: Scenario, meter: MeterData, share_ppm: int) -> MeterData:
    """Homes lose their production, or get that of a drawn home in proportion to their consumption.

    Raises:
        InvalidScenario: There is no production to copy.
    """
    names, seed = meter.households, scenario.homes.drawn_from
    pv_wh, load_wh = meter.sub_meters["pv"].astype(np.int64), meter.load_wh.sum(axis=0)
    has: BoolArray = pv_wh.sum(axis=0) > 0
    own = owners(names, has.tolist(), share_ppm, seed, "pv")
    donors = [name for name, fits in zip(names, has & (load_wh > 0), strict=True) if fits]
    quality = meter.quality.copy()
    for i, name in enumerate(names):
        if name not in own:
            pv_wh[:, i] = 0
        elif not has[i]:
            if not donors:
                what, cure = "no home produces, so there is nothing to copy", "use data with production"
                raise scenario.invalid("homes.pv_share", what, cure)
            donor = names.index(sorted(donors, key=partial(_rank, seed, f"pv of {name}"))[0])
            ratio_ppm = max(int(load_wh[i]), 0) * PPM // int(load_wh[donor])
            pv_wh[:, i] = _scaled(scenario, "homes.pv_share", meter.sub_meters["pv"][:, donor], ratio_ppm)
            quality[:, i] = np.maximum(quality[:, i], quality[:, donor])
    return _with_pv(replace(meter, quality=quality), pv_wh)


def _scaled(scenario: Scenario, key: str, energy_wh: IntArray, factor_ppm: int) -> IntArray:
    """Energy times a factor; any stretch of readings sums to the true amount within 1 Wh.

    Raises:
        InvalidScenario: The product does not fit into the integers that energy is counted in.
    """
    if int(energy_wh.sum(axis=0).max()) * factor_ppm >= INT64_SAFE:
        raise scenario.invalid(key, f"the production is too large to be taken {factor_ppm / PPM:g} times")
    return carry_round(np.multiply(energy_wh, factor_ppm, dtype=np.int64), PPM)


def _with_pv(meter: MeterData, pv_wh: IntArray) -> MeterData:
    """The same consumption with another production; the registers become what is left of both in each interval."""
    added_wh = np.where(
        meter.quality == MISSING, 0, np.subtract(pv_wh, meter.sub_meters["pv"], dtype=np.int64)
    )
    changed = added_wh != 0
    net_wh = meter.net_wh() - added_wh
    return replace(
        meter,
        import_wh=np.where(changed, np.maximum(net_wh, 0), meter.import_wh),
        export_wh=np.where(changed, np.maximum(-net_wh, 0), meter.export_wh),
        sub_meters={**meter.sub_meters, "pv": pv_wh},
    )


def _resized(battery: BatterySpec | None, factor_ppm: int) -> BatterySpec | None:
    """A battery with other capacity and powers; None where nothing is left of it."""
    if battery is None:
        return None
    names = ("capacity_wh", "charge_w", "discharge_w")
    sizes = {name: (getattr(battery, name) * factor_ppm + PPM // 2) // PPM for name in names}
    return replace(battery, **sizes) if min(sizes.values()) > 0 else None


def doubled(devices: Mapping[str, Sequence[Any]], meter: MeterData) -> list[str]:
    """What people should know of devices that the scenario adds to homes whose readings hold one already."""
    found = []
    for name, specs in devices.items():
        metered_wh = meter.sub_meters.get(name)
        if metered_wh is None or DEVICES.get(name).in_data is not None:
            continue
        owns = np.array([spec is not None for spec in specs])
        twice = int((owns & metered_wh.any(axis=0)).sum())
        if twice:
            what = (
                f"homes: {twice} with a simulated {name.replace('_', ' ')} have one in their readings as well"
            )
            found.append(f"{what}, so its energy counts twice")
    return found
