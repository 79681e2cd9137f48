"""Battery control for self-consumption: store one's own surplus, cover one's own deficit, nothing else.

All arithmetic is in integers, so a home gives the same numbers alone as among a thousand: energy at the terminals in
Wh, energy stored in uWh (Wh x efficiency in ppm is exactly uWh).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.errors import BatteryOutOfRange
from data.readings import BatterySpec
from market.units import PPM, IntArray

MAX_CAPACITY_WH = 1_000_000
"""Above 1 MWh a product inside `step` could pass 2^63; no household battery comes near."""


@dataclass(frozen=True, slots=True, eq=False)
class Batteries:
    """Batteries of all homes as columns; a home without one has capacity 0.

    Args:
        capacity_uwh: Usable capacity. [uWh]
        charge_wh: Most energy taken in an interval, at the terminals. [Wh]
        discharge_wh: Most energy given in an interval, at the terminals. [Wh]
        charge_efficiency_ppm: Stored per energy taken.
        discharge_efficiency_ppm: Given per energy stored.
    """

    capacity_uwh: IntArray
    charge_wh: IntArray
    discharge_wh: IntArray
    charge_efficiency_ppm: IntArray
    discharge_efficiency_ppm: IntArray

    @property
    def any(self) -> bool:
        """Whether at least one home has a battery."""
        return bool(self.capacity_uwh.any())

    @classmethod
    def from_specs(cls, specs: Sequence[BatterySpec | None], minutes: int) -> Batteries:
        """Turn one spec per home into columns for intervals of `minutes`.

        Raises:
            BatteryOutOfRange: Names the first battery that is too large.
        """
        for i, spec in enumerate(specs):
            if spec is not None and spec.capacity_wh > MAX_CAPACITY_WH:
                raise BatteryOutOfRange(
                    f"battery of home {i + 1}: capacity {spec.capacity_wh} Wh; at most {MAX_CAPACITY_WH} Wh can be"
                    " simulated, divide it among several homes"
                )

        def column(name: str, missing: int, factor: int = 1, divisor: int = 1) -> IntArray:
            values = [missing if s is None else getattr(s, name) * factor // divisor for s in specs]
            return np.array(values, dtype=np.int64)

        return cls(
            column("capacity_wh", 0, PPM),
            column("charge_w", 0, minutes, 60),
            column("discharge_w", 0, minutes, 60),
            column("charge_efficiency_ppm", PPM),
            column("discharge_efficiency_ppm", PPM),
        )


def step(net_wh: IntArray, stored_uwh: IntArray, battery: Batteries) -> tuple[IntArray, IntArray]:
    """Run every battery for one interval.

    A home in surplus charges, a home in deficit discharges, never both; power, capacity and content limit it.
    Rounding never creates energy: the room is rounded down, the draw up.

    Args:
        net_wh: Import minus export before the battery. [Wh]
        stored_uwh: Content at the start. [uWh]
        battery: The batteries.

    Returns:
        Energy at the battery's terminals (positive charges, negative discharges) [Wh], and the content at the
        end [uWh].
    """
    charge_ppm, discharge_ppm = battery.charge_efficiency_ppm, battery.discharge_efficiency_ppm
    room_wh = (battery.capacity_uwh - stored_uwh) // charge_ppm
    charge_wh = np.maximum(np.minimum(np.minimum(-net_wh, battery.charge_wh), room_wh), 0)
    content_wh = stored_uwh * discharge_ppm // (PPM * PPM)
    discharge_wh = np.maximum(np.minimum(np.minimum(net_wh, battery.discharge_wh), content_wh), 0)
    drawn_uwh = -(-discharge_wh * (PPM * PPM) // discharge_ppm)
    return charge_wh - discharge_wh, stored_uwh + charge_wh * charge_ppm - drawn_uwh
