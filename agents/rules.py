"""How the agents of a run behave, and what is known at gate closure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from market.settlement.tariff import OutsidePrices
from market.units import IntArray

FloatArray = npt.NDArray[np.float64]
Weather = Mapping[str, FloatArray]
"""Columns such as "temp_c" by name, a value per interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRules:
    """How the agents of a run behave.

    Args:
        forecaster: Name of a registered forecaster.
        forecast_days: Days that the forecaster may look back.
        strategy: Name of the registered bidding strategy of every home to which no other is assigned.
        control: Name of a registered controller.
        gate_closure_minutes: Lead of gate closure before the interval starts. [min]
        minutes: Length of an interval. [min]
        seed: From which all random draws of the agents follow.
    """

    forecaster: str = "same_hour_mean"
    forecast_days: int = 7
    strategy: str = "truthful"
    control: str = "self_consumption"
    gate_closure_minutes: int = 15
    minutes: int = 15
    seed: int = 0

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
            that have ended. [Wh]
        zone: Name of the time zone whose calendar the homes live by.
        tariff: Outside prices of the whole run, which are published before it.
        tariff_row: The traded interval's place in it.
        weather: Measured weather of the same rows; empty where a run has none.
    """

    knowledge_s: int
    start_s: int
    minutes: int
    days: int
    net_wh: IntArray
    zone: str
    tariff: OutsidePrices
    tariff_row: int
    weather: Weather = field(default_factory=dict)

    @property
    def steps_per_day(self) -> int:
        """Intervals in 24 hours."""
        return 24 * 60 // self.minutes
