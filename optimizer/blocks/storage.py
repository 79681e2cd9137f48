"""What storages would do at given prices, exactly and without a solver."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.horizon import Store
from market.units import PPM, BoolArray, FloatArray


class Batteries(NamedTuple):
    """Storages as columns, by storage and interval where an interval counts.

    Args:
        charge_wh: Most energy in, 0 outside the window. [Wh]
        discharge_wh: Most energy out, 0 outside the window. [Wh]
        capacity_wh: What each holds. [Wh]
        initial_wh: Content at the start. [Wh]
        final_wh: Least content at the end. [Wh]
        charge: Stored per energy in.
        discharge: Energy out per stored.
        wear: Cost of energy out. [micro/kWh]
        left: Value of what is left. [micro/kWh]
    """

    charge_wh: FloatArray
    discharge_wh: FloatArray
    capacity_wh: FloatArray
    initial_wh: FloatArray
    final_wh: FloatArray
    charge: FloatArray
    discharge: FloatArray
    wear: FloatArray
    left: FloatArray


def batteries_of(stores: tuple[Store, ...], intervals: int, no_discharge: BoolArray) -> Batteries:
    """Storages of a horizon as columns."""
    terms = [store.terms for store in stores]
    every = np.arange(intervals)
    first, last = (np.array([getattr(t, name) for t in terms])[:, None] for name in ("first", "last"))
    there = (every >= first) & (every <= last)

    def column(name: str) -> FloatArray:
        return np.array([getattr(t, name) for t in terms], dtype=np.float64)

    return Batteries(
        there * column("charge_wh")[:, None],
        (there & ~no_discharge) * column("discharge_wh")[:, None],
        column("capacity_wh"),
        column("initial_wh"),
        column("final_wh"),
        column("charge_ppm") / PPM,
        column("discharge_ppm") / PPM,
        column("wear_micro_per_kwh"),
        np.array([store.left_micro_per_kwh for store in stores], dtype=np.float64),
    )


def best_response(fleet: Batteries, price: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Energy into and out of each storage that is best for it at these prices.

    The cost of what is still to come is convex and piecewise linear in the content, so a list of slopes and lengths:
    each interval, from the last to the first, adds the slopes of charging and discharging, and the ends are cut to
    what a storage holds. That needs charging to cost at least what discharging brings, so the intervals where it does
    not must be ones without discharging.

    Args:
        fleet: The storages.
        price: By interval. [micro-currency/kWh]

    Returns:
        Energy in and energy out, shape (storages, intervals). [Wh]
    """
    count, steps = fleet.charge_wh.shape
    into = -price / fleet.charge[:, None]
    out = -(price - fleet.wear[:, None]) * fleet.discharge[:, None]
    slopes = np.concatenate((into, out, -fleet.left[:, None]), axis=1)
    order = np.argsort(slopes, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(2 * steps + 1)[None, :], axis=1)
    rows = np.arange(count)
    length = np.zeros((count, 2 * steps + 1))
    low = fleet.final_wh.copy()
    length[rows, rank[:, -1]] = fleet.capacity_wh - fleet.final_wh
    up_to, down_to = np.empty((2, steps, count))
    for t in range(steps - 1, -1, -1):
        total = np.concatenate((np.zeros((count, 1)), np.cumsum(length, axis=1)), axis=1)
        up_to[t] = low + total[rows, rank[:, t]]
        down_to[t] = low + total[rows, rank[:, steps + t] + 1]
        more, less = fleet.charge_wh[:, t] * fleet.charge, fleet.discharge_wh[:, t] / fleet.discharge
        length[rows, rank[:, t]] += more
        length[rows, rank[:, steps + t]] += less
        low = low - more
        end = low[:, None] + np.cumsum(length, axis=1)
        begin = end - length
        length = np.clip(end, 0.0, fleet.capacity_wh[:, None]) - np.clip(
            begin, 0.0, fleet.capacity_wh[:, None]
        )
        low = np.maximum(low, 0.0)
    energy_in, energy_out = np.zeros((2, count, steps))
    content = fleet.initial_wh.copy()
    for t in range(steps):
        stored = np.clip(
            np.minimum(up_to[t], fleet.capacity_wh) - content, 0.0, fleet.charge_wh[:, t] * fleet.charge
        )
        drawn = np.clip(
            content - np.maximum(down_to[t], 0.0), 0.0, fleet.discharge_wh[:, t] / fleet.discharge
        )
        energy_in[:, t], energy_out[:, t] = stored / fleet.charge, drawn * fleet.discharge
        content = content + stored - drawn
    return energy_in, energy_out


def surplus(fleet: Batteries, price: FloatArray, energy_in: FloatArray, energy_out: FloatArray) -> FloatArray:
    """What each storage gains by its plan at these prices, the value of what is left included. [nano-currency]"""
    left = energy_in.sum(axis=1) * fleet.charge - energy_out.sum(axis=1) / fleet.discharge
    money = energy_out @ price - energy_in @ price - fleet.wear * energy_out.sum(axis=1)
    found: FloatArray = money + fleet.left * left
    return found
