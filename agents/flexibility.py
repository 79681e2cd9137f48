"""What homes submit to a market that clears a horizon: their energy of every interval, and batteries as storages.

All that the market sees of a home is here. What it does not submit, such as a battery that follows the rule of
self-consumption or a car that it charges by its own plan, is in the energy that it orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from agents.devices.battery import Batteries
from agents.state import whole_from_json
from market.orders import Storage
from market.units import PPM, BoolArray, IntArray


class StorageOrder(NamedTuple):
    """A battery as its home submits it.

    Args:
        home: Its place among the homes.
        left_micro_per_kwh: Value of a kWh that is left in it when the horizon ends. [micro-currency/kWh]
        terms: Its limits, efficiencies and contents.
    """

    home: int
    left_micro_per_kwh: int
    terms: Storage


@dataclass(frozen=True, slots=True, eq=False)
class Submitted:
    """What homes order for the intervals of a horizon, each at what its energy is worth to it then.

    Args:
        net_wh: Import minus export without the batteries that are submitted; 0 where a home has no forecast, shape
            (intervals, homes). [Wh]
        stores: Batteries that are submitted.
    """

    net_wh: IntArray
    stores: tuple[StorageOrder, ...]


class Schedule(NamedTuple):
    """What the market has batteries do in an interval.

    Args:
        energy_wh: Into the battery of each home, negative out of it. [Wh]
        has: Which homes have such a schedule; the others run their batteries themselves.
    """

    energy_wh: IntArray
    has: BoolArray

    def to_json(self) -> list[list[int]]:
        """As JSON values."""
        return [self.energy_wh.tolist(), self.has.astype(int).tolist()]

    @classmethod
    def from_json(cls, saved: Any, homes: int) -> Schedule:
        """From the JSON values of as many homes.

        Raises:
            TypeError, ValueError: They are none.
        """
        energy_wh, has = whole_from_json("scheduled", saved, (2, homes))
        return cls(energy_wh, has > 0)

    @classmethod
    def nothing(cls, homes: int) -> Schedule:
        """No home has one."""
        return cls(np.zeros(homes, dtype=np.int64), np.zeros(homes, dtype=np.bool_))


def storage_orders(
    batteries: Batteries, stored_uwh: IntArray, submitted: BoolArray, steps: int, left_micro_per_kwh: int
) -> tuple[StorageOrder, ...]:
    """Batteries as storage orders over a horizon; their reserve stays out of it.

    Content and room are rounded down, so that what the market schedules first is what the battery can do.

    Args:
        batteries: Of all homes.
        stored_uwh: In them when the horizon begins. [uWh]
        submitted: Homes that submit theirs.
        steps: Intervals of the horizon.
        left_micro_per_kwh: What a kWh that is given after it brings. [micro-currency/kWh]
    """
    content_wh = np.maximum(stored_uwh - batteries.reserve_uwh, 0) // PPM
    room_wh = np.maximum(batteries.capacity_uwh - np.maximum(stored_uwh, batteries.reserve_uwh), 0) // PPM
    worth = np.maximum(left_micro_per_kwh - batteries.wear_micro_per_kwh, 0)
    left = worth * batteries.discharge_efficiency_ppm // PPM
    return tuple(
        StorageOrder(
            home,
            int(left[home]),
            Storage(
                first=0,
                last=steps - 1,
                capacity_wh=int(content_wh[home] + room_wh[home]),
                initial_wh=int(content_wh[home]),
                final_wh=0,
                charge_wh=int(batteries.charge_wh[home]),
                discharge_wh=int(batteries.discharge_wh[home]),
                charge_ppm=int(batteries.charge_efficiency_ppm[home]),
                discharge_ppm=int(batteries.discharge_efficiency_ppm[home]),
                wear_micro_per_kwh=int(batteries.wear_micro_per_kwh[home]),
            ),
        )
        for home in np.flatnonzero(submitted & (batteries.capacity_uwh > 0)).tolist()
    )
