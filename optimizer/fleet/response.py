"""What batteries would do at given prices, exactly and without a solver.

The cost of what is still to come is a convex, piecewise linear function of the content. What is kept of it is, for each
slope at which a battery may ever decide, the content up to which the function falls faster: a step back in time moves
those contents by what an interval can charge or discharge and cuts them to what the battery may hold. The slopes of an
interval's own charging and discharging then say up to which content it charges, and down to which it discharges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.horizon import Store
from market.units import PPM, BoolArray, FloatArray

FAST_CELLS = 10_000
"""Batteries x intervals from which compiled code is worth its start."""
AT_ONCE_CELLS = 12_000
"""Batteries x intervals that numpy computes at once: larger arrays come from the system and go back to it each time."""


class Batteries(NamedTuple):
    """Batteries as columns, by battery and interval where an interval counts.

    Args:
        charge_wh: Most energy in, 0 where it is away. [Wh]
        discharge_wh: Most energy out, 0 where it is away. [Wh]
        capacity_wh: What each holds. [Wh]
        initial_wh: Content at the start. [Wh]
        least_wh: Least content at the end of each interval. [Wh]
        charge: Stored per energy in.
        discharge: Energy out per stored.
        wear: Cost of energy out. [micro/kWh]
        left: Value of what is left. [micro/kWh]
    """

    charge_wh: FloatArray
    discharge_wh: FloatArray
    capacity_wh: FloatArray
    initial_wh: FloatArray
    least_wh: FloatArray
    charge: FloatArray
    discharge: FloatArray
    wear: FloatArray
    left: FloatArray


class Targets(NamedTuple):
    """Contents, shape (batteries, intervals), that decide what a battery does in an interval. [Wh]

    Args:
        up_to: It charges while it holds less.
        down_to: It discharges while it holds more.
    """

    up_to: FloatArray
    down_to: FloatArray


def batteries_of(
    stores: tuple[Store, ...],
    intervals: int,
    no_discharge: BoolArray,
    no_charge: BoolArray | None = None,
    *,
    rounded: bool = False,
) -> Batteries:
    """Storages of a horizon as columns.

    Args:
        stores: At least one.
        intervals: Of the horizon.
        no_discharge: Intervals in which none of them discharges.
        no_charge: Intervals in which none charges; none where None.
        rounded: Whether final contents may be short by what one Wh out takes: see `market.schedule`.
    """
    terms = [store.terms for store in stores]
    every = np.arange(intervals)
    first, last = (np.array([getattr(t, name) for t in terms])[:, None] for name in ("first", "last"))
    there = (every >= first) & (every <= last)

    def column(name: str) -> FloatArray:
        return np.array([getattr(t, name) for t in terms], dtype=np.float64)

    final = column("final_wh")
    if rounded:
        final = np.maximum(0.0, final - PPM / column("discharge_ppm"))
    return Batteries(
        (there if no_charge is None else there & ~no_charge) * column("charge_wh")[:, None],
        (there & ~no_discharge) * column("discharge_wh")[:, None],
        column("capacity_wh"),
        column("initial_wh"),
        (every >= last) * final[:, None],
        column("charge_ppm") / PPM,
        column("discharge_ppm") / PPM,
        column("wear_micro_per_kwh"),
        np.array([store.left_micro_per_kwh for store in stores], dtype=np.float64),
    )


def best_response(fleet: Batteries, price: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Energy into and out of each battery that is best for it at these prices.

    That needs charging to cost at least what discharging brings (`lowest_prices`), so the intervals where it does
    not must be ones without the one or the other. Where several plans are equally good a battery moves as little as
    it can.

    Args:
        fleet: The batteries. Their least contents can be reached.
        price: By interval. [micro-currency/kWh]

    Returns:
        Energy in and energy out, shape (batteries, intervals). [Wh]
    """
    change = best_change(fleet, price)
    return np.maximum(change, 0) / fleet.charge[:, None], np.maximum(-change, 0) * fleet.discharge[:, None]


def best_change(fleet: Batteries, price: FloatArray) -> FloatArray:
    """As `best_response`, as what each interval adds to the content, shape (batteries, intervals). [Wh]"""
    if fleet.charge_wh.size >= FAST_CELLS:
        from optimizer.fleet.fast import compiled_change

        if (compiled := compiled_change()) is not None:
            found: FloatArray = compiled(*fleet, price)
            return found
    change = np.empty_like(fleet.charge_wh)
    many = max(1, AT_ONCE_CELLS // max(1, len(price)))
    for first in range(0, len(change), many):
        some = Batteries(*(column[first : first + many] for column in fleet))
        change[first : first + many] = followed(some, targets(some, price))
    return change


def targets(fleet: Batteries, price: FloatArray) -> Targets:
    """Up to and down to which content each battery charges and discharges at these prices."""
    count, steps = fleet.charge_wh.shape
    # Slopes of the cost to come, per Wh stored: of charging and of discharging in each interval, by interval first.
    into = -price[:, None] / fleet.charge
    out = -(price[:, None] - fleet.wear) * fleet.discharge
    more, less = (
        (fleet.charge_wh * fleet.charge[:, None]).T,
        (fleet.discharge_wh / fleet.discharge[:, None]).T,
    )
    least, most = np.ascontiguousarray(fleet.least_wh.T), fleet.capacity_wh
    end = least[-1] if steps else most
    # Of each slope: the content up to which the cost to come falls faster than it (into), or at least as fast (out).
    up_to = np.where(-fleet.left < into, most, end)
    down_to = np.where(-fleet.left <= out, most, end)
    found = Targets(np.empty((steps, count)), np.empty((steps, count)))
    for t in range(steps - 1, -1, -1):
        found.up_to[t], found.down_to[t] = up_to[t], down_to[t]
        before = least[t - 1] if t else np.zeros(count)
        up_to, down_to = up_to[:t], down_to[:t]
        up_to += (out[t] < into[:t]) * less[t] - (into[t] >= into[:t]) * more[t]
        down_to += (out[t] <= out[:t]) * less[t] - (into[t] > out[:t]) * more[t]
        for content in (up_to, down_to):
            np.minimum(np.maximum(content, before, out=content), most, out=content)
    return Targets(found.up_to.T, found.down_to.T)


def followed(fleet: Batteries, target: Targets) -> FloatArray:
    """What the contents change by when each interval goes as far towards its targets as power allows. [Wh]"""
    more, less = fleet.charge_wh * fleet.charge[:, None], fleet.discharge_wh / fleet.discharge[:, None]
    content, change = fleet.initial_wh.copy(), np.empty_like(fleet.charge_wh)
    for t in range(change.shape[1]):
        stored = np.minimum(np.maximum(target.up_to[:, t] - content, 0.0), more[:, t])
        drawn = np.minimum(np.maximum(content - target.down_to[:, t], 0.0), less[:, t])
        change[:, t] = stored - drawn
        content += change[:, t]
    return change


def lowest_prices(fleet: Batteries) -> FloatArray:
    """By interval, the price below which a battery would gain by charging and discharging at once. [micro/kWh]

    What a stored Wh costs, price / charge, is then less than what it brings, (price - wear) x discharge.
    """
    lost = 1 / fleet.charge - fleet.discharge
    lowest = np.where(lost > 0, -fleet.wear * fleet.discharge / np.where(lost > 0, lost, 1.0), -np.inf)
    both = (fleet.charge_wh > 0) & (fleet.discharge_wh > 0)
    found: FloatArray = np.where(both, lowest[:, None], -np.inf).max(axis=0, initial=-np.inf)
    return found


def surplus(fleet: Batteries, price: FloatArray, energy_in: FloatArray, energy_out: FloatArray) -> FloatArray:
    """What each battery gains by its plan at these prices, the value of what is left included. [nano-currency]"""
    left = energy_in.sum(axis=1) * fleet.charge - energy_out.sum(axis=1) / fleet.discharge
    money = energy_out @ price - energy_in @ price - fleet.wear * energy_out.sum(axis=1)
    found: FloatArray = money + fleet.left * left
    return found
