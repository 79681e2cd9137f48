"""False alarms of the checks of meter files on the bundled homes, whose readings are sound.

`python -m benchmarks.meter_checks [FOLDER ..]` also looks at meter files or folders that are named. Each count is of
findings, which are 0 where a check raises no false alarm. The second part makes one home at a time wrong, in one way
each, and counts the homes that are found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np

from data import formats, samples
from data.intake.counters import look_like_counters
from data.intake.raw import IntakeLog
from data.intake.scale import check_scale, check_standby
from data.intake.sun import check_sun
from data.readings import MEASURED, MeterData
from data.store.neighbours import production_of, shifts
from data.store.pv_sizes import check_sizes
from market.units import IntArray

DAYS = (1, 2, 3, 7, 366)


def counters(data: MeterData) -> dict[int, tuple[int, int]]:
    """Columns taken for a counter, and columns looked at, by the length of the stretch. [days]"""
    per_day = 24 * 60 // data.minutes
    columns = [data.import_wh, data.export_wh, *data.sub_meters.values()]
    found = {}
    for days in DAYS:
        parts = [c[i : i + days * per_day] for c in columns for i in range(0, len(c), days * per_day)]
        found[days] = sum(int(look_like_counters(p).sum()) for p in parts), sum(p.shape[1] for p in parts)
    return found


def sun(data: MeterData, zone: str) -> dict[str, int]:
    """Findings of the checks by the sun, by code."""
    log = IntakeLog()
    check_sun(data, ZoneInfo(zone), log)
    codes = [finding.code for finding in log.findings()]
    return {code: codes.count(code) for code in ("clock_jump", "clock_shift")}


def scale(data: MeterData) -> int:
    """Homes whose production is taken for mis-scaled."""
    log = IntakeLog()
    check_scale(data, log)
    return len(log.findings())


def standby(load_wh: IntArray, data: MeterData) -> dict[str, int]:
    """Homes whose consumption is taken for one that no home has, by code."""
    read = data.quality == MEASURED
    found = [check_standby(load_wh[:, h], read[:, h], data.minutes) for h in range(load_wh.shape[1])]
    codes = [code for home in found for _, code, _ in home]
    return {code: codes.count(code) for code in ("frozen_load", "standby_zero", "high_standby")}


def _late(pv: IntArray) -> IntArray:
    """Four times the production in the second half."""
    half = len(pv) // 2
    return np.concatenate([pv[:half], pv[half:] * 4])


FACTORS: dict[str, Callable[[IntArray], IntArray]] = {
    "1000": lambda pv: pv * 1000,
    "12": lambda pv: pv * 12,
    "10": lambda pv: pv * 10,
    "4": lambda pv: pv * 4,
    "1/4": lambda pv: pv // 4,
    "1/10": lambda pv: pv // 10,
    "1/12": lambda pv: pv // 12,
    "1/1000": lambda pv: pv // 1000,
    "4 from the middle on": _late,
}


def injected(data: MeterData) -> dict[str, tuple[int, int]]:
    """Homes that are found and homes that were made wrong, by the error put into all that can have it."""
    pv = data.sub_meters["pv"]
    homes = int(pv.any(axis=0).sum())
    found = {
        f"production times {name}": (
            scale(replace(data, sub_meters={**data.sub_meters, "pv": change(pv)})),
            homes,
        )
        for name, change in FACTORS.items()
    }
    days, load = 1440 // data.minutes, data.load_wh
    frozen, night = load.copy(), load.copy()
    frozen[10 * days : 12 * days] = load[10 * days]
    night[(np.arange(len(load)) % days < days // 4) & (np.arange(len(load)) < 10 * days)] = 0
    for code, wrong in (("frozen_load", frozen), ("standby_zero", night), ("high_standby", load * 60)):
        found[code] = standby(wrong, data)[code], load.shape[1]
    return found


SHIFTS_H = (1, -1, 2, -8)
"""How much later the production of one home is made. [h]"""
GROUPS, GROUP_HOMES, GROUP_DAYS = 100, (4, 5, 6), (42, 90, 180)
"""Groups of homes that are drawn, how many homes they have, and days that they have."""


def neighbours(data: MeterData) -> dict[str, str]:
    """Homes whose clock is taken for another than that of the others: sound ones, and those that are shifted.

    By their production, and by their export as if production were not metered; all homes together, and in groups over
    a part of a year.
    """
    found = {}
    without = {name: column for name, column in data.sub_meters.items() if name != "pv"}
    for name, one in (("production", data), ("export", replace(data, sub_meters=without))):
        energy = production_of(one)
        homes = np.flatnonzero(energy.any(axis=0)).tolist()
        found[f"clock_shift by {name}"] = f"{len(shifts(energy, one))} of {len(homes)}"
        for hours in SHIFTS_H:
            counts = [_shifted(energy, one, h, hours) for h in homes]
            right, wrong = (sum(c) for c in zip(*counts, strict=True))
            found[f"made wrong, {name} {hours:+} h"] = f"{right} of {len(homes)} found, {wrong} others named"
        random = np.random.default_rng(1)
        alarms = looked = hits = named = 0
        for _ in range(GROUPS):
            some = _group(one, homes, random)
            energy = production_of(some)
            alarms, looked = alarms + len(shifts(energy, some)), looked + len(some.households)
            hours = int(random.choice(SHIFTS_H))
            right, wrong = _shifted(energy, some, int(random.integers(len(some.households))), hours)
            hits, named = hits + right, named + wrong
        found[f"groups by {name}"] = (
            f"{alarms} of {looked} sound homes, {hits} of {GROUPS} shifted ones found, {named} others named"
        )
    return found


def _shifted(energy: IntArray, data: MeterData, home: int, hours: int) -> tuple[bool, int]:
    """Whether a home is found that comes some hours later, and how often another one or another shift is named."""
    late = energy.copy()
    late[:, home] = np.roll(energy[:, home], hours * 60 // data.minutes)
    named = [(one.home, one.late_s) for one in shifts(late, data)]
    return (home, hours * 3600) in named, sum(one != (home, hours * 3600) for one in named)


def _group(data: MeterData, homes: list[int], random: np.random.Generator) -> MeterData:
    some = random.choice(homes, int(random.choice(GROUP_HOMES)), replace=False)
    days = int(random.choice(GROUP_DAYS))
    start_s = data.start_s + 86_400 * int(random.integers(data.intervals * data.minutes // 1440 - days))
    return data.select([data.households[h] for h in sorted(some.tolist())]).window(
        start_s, start_s + days * 86_400
    )


def sizes(data: MeterData) -> dict[str, str]:
    """Homes whose production does not fit the size, which is taken from the largest power of the sound readings."""
    pv = data.sub_meters["pv"]
    largest = (pv.max(axis=0).astype(np.int64) * 60 // data.minutes).tolist()
    peak_w = dict(zip(data.households, largest, strict=True))
    homes = [h for h, size in enumerate(largest) if size]
    found = {"pv_scale by size": f"{len(check_sizes(data, peak_w)[0])} of {len(homes)}"}
    for name, change in FACTORS.items():
        right = wrong = 0
        for h in homes:
            one = pv.astype(np.int64)
            one[:, h] = change(one[:, h])
            named = {
                f.household
                for f in check_sizes(replace(data, sub_meters={**data.sub_meters, "pv": one}), peak_w)[0]
            }
            right, wrong = (
                right + (data.households[h] in named),
                wrong + len(named - {data.households[h]}),
            )
        found[f"made wrong, production times {name} by size"] = (
            f"{right} of {len(homes)} found, {wrong} others named"
        )
    return found


def main() -> None:
    """Print the counts."""
    sets = [(name, samples.load(name), "Europe/Berlin") for name in ("street", "village")]
    for path in sys.argv[1:]:
        data = formats.load(path)
        sets.append((path, data, data.source.answers.get("zone", "UTC")))
    for name, data, zone in sets:
        print(f"{name}: {len(data.households)} homes, {data.intervals} intervals")
        for days, (alarms, looked) in counters(data).items():
            print(f"  counters, stretches of {days} days: {alarms} of {looked}")
        for code, count in sun(data, zone).items():
            print(f"  {code}: {count}")
        for code, count in {"pv_scale": scale(data), **standby(data.load_wh, data)}.items():
            print(f"  {code}: {count}")
        if "pv" in data.sub_meters:
            for error, (hits, homes) in injected(data).items():
                print(f"  made wrong, {error}: {hits} of {homes} found")
            for what, count_ in {**neighbours(data), **sizes(data)}.items():
                print(f"  {what}: {count_}")


if __name__ == "__main__":
    main()
