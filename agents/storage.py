"""The value of stored energy, exactly, by a dynamic programme over the content of many stores at once.

With convex costs the cost that is still to come is a convex, piecewise linear function of the content. A function of
that kind is kept as its slopes in ascending order, each with the length over which it holds, and one step back in
time sorts the slopes of the interval's cost into it. So there is no grid, and the answer is that of the linear program.

Source: Bellman, Dynamic Programming, 1957; the infimal convolution of convex functions, Rockafellar, Convex Analysis,
1970, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from market.units import PPM, FloatArray, IntArray

Price = FloatArray | float
"""One of each home, or one of all. [micro-currency/kWh]"""
Cost = tuple[FloatArray, IntArray]
"""Slopes in ascending order and their lengths, as those of a `Value`. [micro-currency/kWh stored, uWh]"""
_PPM2 = PPM * PPM
_QUARTERS = np.arange(5)


class Value(NamedTuple):
    """The cost to come of each home as a function of what it has stored, less the cost with nothing stored.

    Args:
        slope: Change of the cost with the content, ascending, shape (homes, pieces). [micro-currency/kWh stored]
        length_uwh: Content over which each slope holds, from the lowest content on; 0 fills up. [uWh]
    """

    slope: FloatArray
    length_uwh: IntArray

    def at(self, content_uwh: IntArray) -> FloatArray:
        """The cost at a content, one of each home. [nano-currency]"""
        passed = np.minimum(_before(self.length_uwh), content_uwh[:, None])
        used = np.minimum(passed + self.length_uwh, content_uwh[:, None]) - passed
        cost: FloatArray = np.cumsum(self.slope * used / PPM, axis=1)[:, -1]
        return cost

    def mean(self, scenarios: int) -> Value:
        """What each content is worth on average over scenarios, of which the homes of each follow the other's.

        A sum of convex functions: their slopes change at the union of their breakpoints.
        """
        shape = scenarios, -1, self.slope.shape[1]
        capacity_uwh = self.length_uwh.sum(axis=1).reshape(scenarios, -1)[0]
        # Pieces that only fill up begin at the capacity, behind all others, and get no length.
        start = np.concatenate(tuple(_before(self.length_uwh).reshape(shape)), axis=1)
        change = np.concatenate(tuple(np.diff(self.slope, axis=1, prepend=0.0).reshape(shape)), axis=1)
        place = np.argsort(start, axis=1, kind="stable")
        row = _row_of(place)
        slope = np.cumsum(change[row, place], axis=1) / scenarios
        length = np.diff(start[row, place], axis=1, append=capacity_uwh[:, None])
        return _packed(slope, length)


@dataclass(frozen=True, slots=True, eq=False)
class Stores:
    """What limits the stores of homes; a home without one has capacity 0.

    Args:
        capacity_uwh: Content that may be used. [uWh]
        charge_wh: Most energy taken in an interval, at the terminals. [Wh]
        discharge_wh: Most energy given in an interval, at the terminals. [Wh]
        charge_efficiency_ppm: Stored per energy taken.
        discharge_efficiency_ppm: Given per energy stored.
        wear_micro_per_kwh: Cost of a kWh that is given. [micro-currency/kWh]
        gently_ppm: By how much imported energy counts more for each further quarter of the power with which it is
            charged. [parts per million]
    """

    capacity_uwh: IntArray
    charge_wh: IntArray
    discharge_wh: IntArray
    charge_efficiency_ppm: IntArray
    discharge_efficiency_ppm: IntArray
    wear_micro_per_kwh: IntArray
    gently_ppm: int = 0

    def times(self, scenarios: int) -> Stores:
        """The same stores in each of some scenarios, one after the other."""
        names = (one.name for one in fields(self) if one.name != "gently_ppm")
        columns: dict[str, Any] = {name: np.tile(getattr(self, name), scenarios) for name in names}
        return replace(self, **columns)

    def left(self, price: Price) -> Value:
        """The value of what is left at the end of a plan, where it will be given at a price. [micro-currency/kWh]"""
        slope = -np.maximum(price - self.wear_micro_per_kwh, 0) * (self.discharge_efficiency_ppm / PPM)
        return Value(slope[:, None], self.capacity_uwh[:, None])

    def before(self, value: Value, cost: Cost) -> Value:
        """The value of the content one interval earlier, from that at its end and what it costs."""
        slope, length = cost
        charged = length[:, :-2].sum(axis=1)
        _, slope, length = _merged((slope, value.slope), (length, value.length_uwh))
        start = _before(length) - charged[:, None]
        ends = np.minimum(np.maximum((start, start + length), 0), self.capacity_uwh[:, None])
        return _packed(slope, ends[1] - ends[0])

    def best(
        self, value: Value, content_uwh: IntArray, net_wh: IntArray, bought: FloatArray, sold: Price
    ) -> IntArray:
        """Energy at the terminals that costs least in the interval and after it, positive consumes. [Wh]

        Args:
            value: At the end of the interval.
            content_uwh: At its start. [uWh]
            net_wh: As in `cost`.
            bought: As in `cost`.
            sold: As in `cost`.
        """
        slope, length = self.cost(net_wh, bought, sold)
        charged = length[:, :-2].sum(axis=1)
        place, _, length = _merged((slope, value.slope), (length, value.length_uwh))
        reached = np.clip(content_uwh, 0, self.capacity_uwh) + charged
        used = np.clip(reached[:, None] - _before(length), 0, length)
        # Of the least costly pieces up to this content, those of the interval say how much is drawn from the store.
        drawn = np.where(place < slope.shape[1], used, 0).sum(axis=1) - charged
        taken = np.maximum(-drawn, 0) // self.charge_efficiency_ppm
        given = np.maximum(drawn, 0) * self.discharge_efficiency_ppm // _PPM2
        command: IntArray = taken - given
        return command

    def cost(self, net_wh: IntArray, bought: FloatArray, sold: Price) -> Cost:
        """The cost of an interval by what is drawn from the store, from the most charged to the most given.

        Pieces: four quarters of the power charged by import, charged by own surplus, given to the home, to the grid.

        Args:
            net_wh: Import minus export of each home without its store. [Wh]
            bought: What a kWh costs that is imported, of each home. [micro-currency/kWh]
            sold: What a kWh brings that is exported, at most `bought`. [micro-currency/kWh]
        """
        surplus, deficit = np.maximum(-net_wh, 0), np.maximum(net_wh, 0)
        by_surplus = np.minimum(surplus, self.charge_wh)
        to_home = np.minimum(deficit, self.discharge_wh)
        quarters = self.charge_wh[:, None] * _QUARTERS // 4
        by_import = np.diff(np.minimum((self.charge_wh - by_surplus)[:, None], quarters), axis=1)[:, ::-1]
        charge_wh = np.concatenate((by_import, by_surplus[:, None]), axis=1)
        give_wh = np.stack((to_home, self.discharge_wh - to_home), axis=1)
        drawn_uwh = -(-give_wh * _PPM2 // self.discharge_efficiency_ppm[:, None])
        into, out = self.charge_efficiency_ppm / PPM, self.discharge_efficiency_ppm / PPM
        sold = np.minimum(sold, bought)
        wear = self.wear_micro_per_kwh
        costlier = 1 + _QUARTERS[:4][::-1] * (self.gently_ppm / PPM)
        slope = np.concatenate(
            (
                -(bought / into)[:, None] * costlier,
                -np.stack((sold / into, (bought - wear) * out, (sold - wear) * out), axis=1),
            ),
            axis=1,
        )
        length = np.concatenate((charge_wh * self.charge_efficiency_ppm[:, None], drawn_uwh), axis=1)
        length = np.where(self.capacity_uwh[:, None] > 0, length, 0)
        # Negative prices would pay for charging and giving at once, which a store cannot do.
        slope = np.maximum.accumulate(np.where(length > 0, slope, -np.inf), axis=1)
        return slope, length


def _before(length: IntArray) -> IntArray:
    """The sum of the lengths to the left of each piece."""
    before: IntArray = np.cumsum(length, axis=1) - length
    return before


def _row_of(place: IntArray) -> IntArray:
    """The row of each place, shape (rows, 1); `array[row, place]` costs half of what `take_along_axis` does."""
    return np.arange(len(place))[:, None]


def _merged(
    slopes: tuple[FloatArray, FloatArray], lengths: tuple[IntArray, IntArray]
) -> tuple[IntArray, FloatArray, IntArray]:
    """The pieces of two functions by slope, and the place of each among those of the first and the second.

    Pieces of no length come last; where slopes are equal the first function goes first.
    """
    slope, length = np.concatenate(slopes, axis=1), np.concatenate(lengths, axis=1)
    place = np.argsort(np.where(length > 0, slope, np.inf), axis=1, kind="stable")
    row = _row_of(place)
    return place, slope[row, place], length[row, place]


def _packed(slope: FloatArray, length: IntArray) -> Value:
    """The pieces that have a length, from the left, in as few columns as the home with most of them needs."""
    held = length > 0
    slope = np.where(held, slope, 0)
    width = max(int(held.sum(axis=1).max(initial=0)), 1)
    place = np.argsort(~held, axis=1, kind="stable")[:, :width]
    row = _row_of(place)
    return Value(slope[row, place], length[row, place])
