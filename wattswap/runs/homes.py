"""The homes of a scenario: their readings, checked, and their batteries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.readings import MISSING, BatterySpec, MeterData
from market.units import PPM, IntArray
from wattswap.errors import InvalidData, Problem

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario
    from wattswap.scenario.tables import Battery

MAX_LISTED = 20


def load_meter(scenario: Scenario) -> MeterData:
    """Read the scenario's meter data and pick its homes.

    Raises:
        DataError: The data cannot be read.
        InvalidScenario: A home that the data do not have.
    """
    path = scenario.data_path
    if path is None:
        from data import samples

        assert scenario.data.sample is not None
        meter = samples.load(scenario.data.sample)
    else:
        from data import formats

        options = scenario.data
        meter = formats.load(path, format=options.format, zone=options.zone, fuse_w=options.fuse_w)
    wanted = scenario.data.households
    if wanted is None:
        return meter
    unknown = [name for name in wanted if name not in meter.households]
    if unknown:
        known = ", ".join(meter.households[:MAX_LISTED])
        raise scenario.invalid(
            "data.households", f"the data have no home {unknown[0]!r}", f"they have: {known}"
        )
    return meter.select(wanted)


def history_after_gaps_s(meter: MeterData, start_s: int) -> int:
    """The start of the history that forecasts may use: after its last gap, so that a gap never counts as 0. [s]"""
    step_s = meter.minutes * 60
    before = max(0, -(-(start_s - meter.start_s) // step_s))
    gaps = np.flatnonzero((meter.quality[:before] == MISSING).any(axis=1))
    return meter.start_s + (int(gaps[-1]) + 1) * step_s if len(gaps) else meter.start_s


def without_missing(
    scenario: Scenario, meter: MeterData, first_row: int
) -> tuple[MeterData, tuple[str, ...]]:
    """Refuse, or leave out, homes with a missing reading inside the run; nothing missing is ever traded.

    Returns:
        The data of the homes that run, and the ids of those left out.

    Raises:
        InvalidData: Names each home with the number of its missing readings.
    """
    count = (meter.quality[first_row:] == MISSING).sum(axis=0)
    broken = [name for name, n in zip(meter.households, count.tolist(), strict=True) if n]
    if not broken:
        return meter, ()
    if scenario.data.on_missing == "refuse":
        missing = dict(zip(meter.households, count.tolist(), strict=True))
        raise InvalidData(
            *(
                Problem(
                    f"home {name}",
                    f"{missing[name]} of {meter.intervals - first_row} readings of the run are missing",
                    'choose another time, or set data.on_missing = "drop_home"',
                )
                for name in broken[:MAX_LISTED]
            )
        )
    kept = [name for name in meter.households if name not in broken]
    if not kept:
        raise scenario.invalid(
            "data.on_missing", "every home misses readings in this time", "choose another time"
        )
    return meter.select(kept), tuple(broken)


def batteries_of(
    scenario: Scenario, meter: MeterData, dropped: tuple[str, ...]
) -> tuple[tuple[BatterySpec | None, ...], IntArray]:
    """Batteries by home with the scenario's overrides, and what is stored in them at the start. [Wh]

    Args:
        dropped: Homes that were left out for missing readings; their overrides have nothing to change.

    Raises:
        InvalidScenario: A home that the data do not have, or a battery that is not described in full.
    """
    homes = scenario.homes
    specs: list[BatterySpec | None] = [None] * len(meter.households)
    if homes.batteries == "data":
        specs = list(meter.batteries)
    stored = np.zeros(len(specs), dtype=np.int64)
    for name, override in homes.battery.items():
        if name in dropped:
            continue
        key = ("homes", "battery", name)
        if name not in meter.households:
            known = ", ".join(meter.households[:MAX_LISTED])
            raise scenario.invalid(key, f"the data have no home {name!r}", f"they have: {known}")
        i = meter.households.index(name)
        if override.capacity_wh == 0:
            specs[i] = None
            continue
        spec = _overridden(override, specs[i])
        if spec is None:
            cure = "give capacity_kwh, charge_kw and discharge_kw"
            raise scenario.invalid(key, "this home has no battery in the data", cure)
        specs[i] = spec
        stored[i] = spec.capacity_wh * (override.initial_share_ppm or 0) // PPM
    return tuple(specs), stored


def _overridden(override: Battery, base: BatterySpec | None) -> BatterySpec | None:
    """The data's battery with the scenario's changes; None where neither tells its size and power."""

    def pick(name: str, otherwise: int | None = None) -> int | None:
        given: int | None = getattr(override, name)
        return given if given is not None else getattr(base, name, otherwise)

    size = [pick(name) for name in ("capacity_wh", "charge_w", "discharge_w")]
    losses = [pick(name, PPM) for name in ("charge_efficiency_ppm", "discharge_efficiency_ppm")]
    values = [value for value in (*size, *losses) if value is not None]
    return BatterySpec(*values) if len(values) == len(size) + len(losses) else None
