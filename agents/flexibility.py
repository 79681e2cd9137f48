"""What homes submit to a market that clears a horizon: their energy of every interval, and what the market may move.

Batteries are storages; what cars and appliances need in a window are flexible orders. All that the market sees of a
home is here, and it depends on that home alone. What it does not submit, such as a battery that follows the rule of
self-consumption or a heat pump that follows its plan, is in the energy that it orders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from agents.devices import DEVICES, Fleet, Moment, Windows
from agents.devices.battery import BATTERY, Batteries
from agents.errors import InvalidEnergy
from agents.state import State, is_whole, whole_from_json
from market.orders import Flexible, Storage
from market.units import MICRO_PER_UNIT, PPM, BoolArray, IntArray

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
BEYOND: Final = 10
"""The highest outside price ahead, divided by this, is what energy that must be taken is worth beyond it."""


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


class FlexibleOrder(NamedTuple):
    """Energy of a device within a window, as its home submits it.

    Args:
        home: Its place among the homes.
        device: Name of the device.
        energy_wh: In all. [Wh]
        limit_micro_per_kwh: Highest price at which it is taken. [micro-currency/kWh]
        terms: Window, power, and whether it may stop and go on.
    """

    home: int
    device: str
    energy_wh: int
    limit_micro_per_kwh: int
    terms: Flexible


@dataclass(frozen=True, slots=True, eq=False)
class Submitted:
    """What homes order for the intervals of a horizon, each at what its energy is worth to it then.

    Args:
        net_wh: Import minus export without what is submitted of devices; 0 where a home has no forecast, shape
            (intervals, homes). [Wh]
        stores: Batteries that are submitted.
        flexible: Windows of other devices that are submitted, in the order of devices, homes and windows.
        placed: By device other than a battery, the homes whose device does what the market says, whether it has a
            window or not.
    """

    net_wh: IntArray
    stores: tuple[StorageOrder, ...]
    flexible: tuple[FlexibleOrder, ...] = ()
    placed: Mapping[str, BoolArray] = field(default_factory=lambda: NOTHING)


class Otherwise(NamedTuple):
    """What homes submit instead of what they would, where somebody tries what that brings.

    Args:
        submitted: Given what they would submit, and whether it begins with what meters show.
        limits: Given their limits to buy and to sell in the first interval. [micro-currency/kWh]
    """

    submitted: Callable[[Submitted, bool], Submitted]
    limits: Callable[[tuple[IntArray, IntArray]], tuple[IntArray, IntArray]]


class Moved(NamedTuple):
    """What the market has one kind of device do in an interval.

    Args:
        energy_wh: Into the device of each home, negative out of it. [Wh]
        has: Which homes have such a schedule; the others run their device themselves.
    """

    energy_wh: IntArray
    has: BoolArray


class Schedule(NamedTuple):
    """What the market has devices do in an interval.

    Args:
        energy_wh: Into the battery of each home, negative out of it. [Wh]
        has: Which homes have such a schedule; the others run their batteries themselves.
        others: The same of other devices, by name.
    """

    energy_wh: IntArray
    has: BoolArray
    others: Mapping[str, Moved] = NOTHING

    def of(self, device: str) -> Moved | None:
        """What it has a device do; None where it says nothing of it."""
        return Moved(self.energy_wh, self.has) if device == BATTERY.name else self.others.get(device)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        everything = {BATTERY.name: Moved(self.energy_wh, self.has), **self.others}
        return {
            name: [one.energy_wh.tolist(), one.has.astype(int).tolist()] for name, one in everything.items()
        }

    @classmethod
    def from_json(cls, saved: Any, homes: int) -> Schedule:
        """From the JSON values of as many homes.

        Raises:
            TypeError, ValueError: They are none.
        """
        if not isinstance(saved, Mapping) or BATTERY.name not in saved:
            raise TypeError("scheduled is not a table with what batteries do")
        found = {}
        for name, columns in saved.items():
            energy_wh, has = whole_from_json("scheduled", columns, (2, homes))
            found[name] = Moved(energy_wh, has > 0)
        return cls(*found.pop(BATTERY.name), MappingProxyType(found))

    @classmethod
    def nothing(cls, homes: int) -> Schedule:
        """No home has one."""
        return cls(np.zeros(homes, dtype=np.int64), np.zeros(homes, dtype=np.bool_))


class Placed(NamedTuple):
    """The devices beside batteries that homes submit.

    Args:
        flexible: Their orders.
        fixed_wh: By device, what it takes beside them, shape (intervals, homes). [Wh]
        homes: By device, the homes that submit it.
    """

    flexible: tuple[FlexibleOrder, ...]
    fixed_wh: Mapping[str, IntArray]
    homes: Mapping[str, BoolArray]


def beyond_all(highest_micro_per_kwh: int) -> int:
    """What energy is worth that a device takes at any price: clearly more than the highest outside price ahead.

    So of clearings it is the best to take it, also where outside prices are all the same.
    """
    return highest_micro_per_kwh + max(abs(highest_micro_per_kwh), MICRO_PER_UNIT // 100) // BEYOND


def placed_devices(
    fleets: Mapping[str, Fleet],
    owns: Mapping[str, BoolArray],
    states: Mapping[str, State],
    moments: Sequence[Moment],
    willing: Mapping[str, BoolArray],
    limits: tuple[int, int],
) -> Placed:
    """Read the windows of devices that can say them, as orders.

    Args:
        fleets: The devices by name.
        owns: Which homes have each of them.
        states: Their states when the horizon begins.
        moments: Its intervals.
        willing: By device, the homes that want to submit it.
        limits: Of what is needed, and of what may wait for energy that costs no more than that.
            [micro-currency/kWh]

    Raises:
        InvalidEnergy: A device describes its windows wrongly.
    """
    orders: list[FlexibleOrder] = []
    fixed_wh, homes = dict[str, IntArray](), dict[str, BoolArray]()
    for name, fleet in fleets.items():
        windows, asked = getattr(fleet, "windows", None), owns[name] & willing[name]
        if windows is None or not asked.any():
            continue
        with DEVICES.held(DEVICES.get(name)):
            found: Windows = windows(states[name], moments, asked)
            if not is_whole(found.fixed_wh, (len(moments), len(asked))) or (found.known & ~asked).any():
                raise InvalidEnergy(f"device {name!r} describes windows of homes that it was not asked for")
        fixed_wh[name], homes[name] = found.fixed_wh, found.known
        for one in sorted(found.windows, key=lambda one: (one.home, one.terms.first)):
            limit = limits[0] if one.needed else limits[1]
            orders.append(FlexibleOrder(one.home, name, one.energy_wh, limit, one.terms))
    return Placed(tuple(orders), fixed_wh, homes)


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
