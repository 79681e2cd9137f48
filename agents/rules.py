"""How the agents of a run behave, and what is known at gate closure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.energy_rows import of_homes
from data.clock import local_of_utc, zone_named
from market.settlement.tariff import OutsidePrices
from market.units import BoolArray, IntArray

FloatArray = npt.NDArray[np.float64]
Weather = Mapping[str, FloatArray]
"""Columns such as "temp_c" by name, a value per interval."""


DAY_MINUTES: Final = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRules:
    """How the agents of a run behave.

    Args:
        forecaster: Name of the registered forecaster of consumption, or of all energy where production has no meter.
        forecaster_pv: Name of the registered forecaster of production.
        forecast_days: Days that a mean or median of the same time of day looks back.
        strategy: Name of the registered bidding strategy of every home to which no other is assigned.
        control: Name of a registered controller.
        gate_closure_minutes: Lead of gate closure before the interval starts. [min]
        minutes: Length of an interval. [min]
        seed: From which all random draws of the agents follow.
        rounds: Rounds in which the market of an interval is open.
        horizon_minutes: How far ahead a market clears that clears several intervals at once, else 0. [min]
    """

    forecaster: str = "ridge"
    forecaster_pv: str = "scaled_median"
    forecast_days: int = 7
    strategy: str = "staircase"
    control: str = "self_consumption"
    gate_closure_minutes: int = 15
    minutes: int = 15
    seed: int = 0
    rounds: int = 1
    horizon_minutes: int = 0

    @property
    def lead(self) -> int:
        """Intervals before the traded one whose readings are not yet known at gate closure."""
        return -(-self.gate_closure_minutes // self.minutes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What the homes know when the gate of one interval closes; no reading in it is later than `knowledge_s`.

    Args:
        knowledge_s: The instant of gate closure. [s since 1970 UTC]
        start_s: Start of the first row of readings. [s since 1970 UTC]
        minutes: Length of a row. [min]
        days: Number of past days that a forecast uses.
        net_wh: Import minus export without simulated devices, shape (rows, homes), oldest first; only intervals
            that have ended. A forecaster of one part finds that part here. Of a large neighbourhood it is an
            `EnergyRows`: as an array, but computed where it is read, so take the rows that are needed. [Wh]
        zone: Name of the time zone whose calendar the homes live by.
        local_minute: What a clock in that zone shows at the start of each row, of later rows too. [min since 1970]
        tariff: Outside prices of the whole run, which are published before it.
        tariff_row: The traded interval's place in it; below 0 where the forecast of an earlier row is made again.
        weather: Measured weather of the same rows; empty where a run has none.
        valid: Which readings exist, of the shape of `net_wh`, where a missing one is 0; None if all do.
        pv_wh: Production, where the homes have meters of it; of the shape of `net_wh`. [Wh]
        load_wh: Consumption, `net_wh` plus production, where they have. [Wh]
    """

    knowledge_s: int
    start_s: int
    minutes: int
    days: int
    net_wh: IntArray
    zone: str
    local_minute: IntArray
    tariff: OutsidePrices
    tariff_row: int
    weather: Weather = field(default_factory=dict)
    valid: BoolArray | None = None
    pv_wh: IntArray | None = None
    load_wh: IntArray | None = None

    @property
    def steps_per_day(self) -> int:
        """Intervals in 24 hours."""
        return DAY_MINUTES // self.minutes

    def of_homes(self, columns: IntArray) -> Known:
        """What some of the homes know."""
        return replace(
            self,
            net_wh=of_homes(self.net_wh, columns),
            valid=None if self.valid is None else self.valid[:, columns],
            pv_wh=None if self.pv_wh is None else of_homes(self.pv_wh, columns),
            load_wh=None if self.load_wh is None else of_homes(self.load_wh, columns),
        )

    def of_part(self, part_wh: IntArray | None) -> Known:
        """The same with one part of the net energy in its place; the net energy itself where there is no such part."""
        return self if part_wh is None else replace(self, net_wh=part_wh, pv_wh=None, load_wh=None)


def tariff_rows(tariff: OutsidePrices, rows: IntArray, steps_per_day: int) -> IntArray:
    """The rows of a tariff that stand for others: after the last price those of the day before it."""
    last = len(tariff) - 1
    late = np.maximum(rows - last, 0)
    found: IntArray = np.clip(rows - -(-late // steps_per_day) * steps_per_day, 0, last)
    return found


@lru_cache(maxsize=8)
def local_minutes(start_s: int, minutes: int, rows: int, zone: str) -> IntArray:
    """What the local clock shows at the start of each row, kept for all homes of a process, read-only.

    [min since 1970 on that clock]
    """
    found = local_of_utc(start_s + np.arange(rows, dtype=np.int64) * minutes * 60, zone_named(zone)) // 60
    found.flags.writeable = False
    return found


def slot_of_day(local_minute: IntArray, minutes: int) -> IntArray:
    """The local time of day as a number of intervals since midnight; an interval counts by its start."""
    return local_minute % DAY_MINUTES // minutes
