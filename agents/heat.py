"""A body of heat, such as a building or a tank of water: one resistance, one capacity, whole numbers.

Its temperature nears that of its surroundings as the exact solution of C dT/dt = Q - H (T - T_around), with all inputs
constant over an interval. Temperatures are in millionths of a degree Celsius (udeg) and heat is in mWh, so that energy
at the terminals (Wh) times a coefficient of performance in thousandths is heat without a rounding. What is stored is
capacity x temperature; what is lost is the rest, so heat in = heat stored + heat lost to the last nWh.

Source: the solution of a linear differential equation of the first order; for buildings as in ISO 52016-1:2017 with one
thermal zone and one node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import numpy as np

from agents.errors import Fault
from market.units import IntArray
from optimizer.solver.builder import NONE, Columns, ModelBuilder

UDEG = 1_000_000
"""Millionths of a degree in a degree."""
_SCALE = 10**9


@dataclass(frozen=True, slots=True, eq=False)
class Bodies:
    """The bodies of all homes for intervals of one length; a home without one has a body that stays as it is.

    Args:
        keep: What remains of the difference to the surroundings at the end of an interval. [billionths]
        gain: Rise at the end of an interval by heat spread over it. [billionths of a udeg per mWh]
        capacity_mwh_per_k: Heat that warms the body by a degree. [mWh/K]
        low_udeg: Lower end of the band of temperatures.
        high_udeg: Upper end.
    """

    keep: IntArray
    gain: IntArray
    capacity_mwh_per_k: IntArray
    low_udeg: IntArray
    high_udeg: IntArray

    def left_alone(self, warmth_udeg: IntArray, around_udeg: IntArray) -> IntArray:
        """The temperature an interval later without heat. [udeg]"""
        after: IntArray = around_udeg + (warmth_udeg - around_udeg) * self.keep // _SCALE
        return after

    def heated(self, alone_udeg: IntArray, heat_mwh: IntArray) -> IntArray:
        """The temperature with heat, from the one without. [udeg]"""
        after: IntArray = alone_udeg + heat_mwh * self.gain // _SCALE
        return after

    def lost_nwh(self, before_udeg: IntArray, after_udeg: IntArray, heat_mwh: IntArray) -> IntArray:
        """Heat that went to the surroundings; below 0 where they warm the body. [nWh]"""
        lost: IntArray = heat_mwh * 1_000_000 - self.capacity_mwh_per_k * (after_udeg - before_udeg)
        return lost

    def before(self, after_udeg: IntArray, around_udeg: IntArray, heat_mwh: IntArray) -> IntArray:
        """The lowest temperature from which heat reaches another one in an interval. [udeg]"""
        alone = after_udeg - heat_mwh * self.gain // _SCALE - around_udeg
        earlier: IntArray = around_udeg - (-alone * _SCALE // self.keep)
        return earlier

    def wanted_wh(
        self,
        floor_udeg: IntArray,
        alone_udeg: IntArray,
        command_wh: IntArray,
        most_wh: IntArray,
        per_wh: IntArray,
    ) -> IntArray:
        """Energy at the terminals that is nearest to a command and keeps the band, within the power. [Wh]

        Args:
            floor_udeg: Lowest temperature that is wanted at the end of the interval.
            alone_udeg: Temperature there without heat.
            command_wh: What is asked for. [Wh]
            most_wh: By the power. [Wh]
            per_wh: Heat of a Wh at the terminals. [mWh]
        """
        rise = np.maximum(per_wh * self.gain, 1)
        least_wh = -(-np.maximum(floor_udeg - alone_udeg, 0) * _SCALE // rise)
        room_wh = np.maximum(self.high_udeg - alone_udeg, 0) * _SCALE // rise
        wanted: IntArray = np.minimum(np.maximum(np.minimum(command_wh, room_wh), least_wh), most_wh)
        return wanted

    def outside(self, warmth_udeg: IntArray, minutes: int) -> tuple[IntArray, IntArray]:
        """How far and long an interval's end is below the band and above it. [thousandths of a degree-hour]"""
        below = np.maximum(self.low_udeg - warmth_udeg, 0) * minutes // 60_000
        above = np.maximum(warmth_udeg - self.high_udeg, 0) * minutes // 60_000
        return below, above


def bodies(
    loss_uw_per_k: Sequence[int],
    capacity_mwh_per_k: Sequence[int],
    low_udeg: Sequence[int],
    high_udeg: Sequence[int],
    minutes: int,
) -> Bodies:
    """Bodies of all homes from one number each; capacity 0 for a home without.

    Args:
        loss_uw_per_k: Heat lost per degree. [uW/K]
        capacity_mwh_per_k: Heat that warms by a degree. [mWh/K]
        low_udeg: Lower end of the band.
        high_udeg: Upper end.
        minutes: Length of an interval. [min]
    """
    pairs = [_factors(*one, minutes) for one in zip(loss_uw_per_k, capacity_mwh_per_k, strict=True)]
    keep, gain = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Bodies(
        keep, gain, *(np.array(c, dtype=np.int64) for c in (capacity_mwh_per_k, low_udeg, high_udeg))
    )


@lru_cache(maxsize=4_096)
def _factors(loss_uw_per_k: int, capacity_mwh_per_k: int, minutes: int) -> tuple[int, int]:
    """Decay and rise of one interval; in decimals, which round alike on every machine."""
    if capacity_mwh_per_k == 0:
        return _SCALE, 0
    loss_mwh = Decimal(loss_uw_per_k) * minutes / 60_000  # per degree and interval
    capacity = Decimal(capacity_mwh_per_k)
    keep = (-loss_mwh / capacity).exp()
    gain = 1 / capacity if loss_uw_per_k == 0 else (1 - keep) / loss_mwh
    return int((keep * _SCALE).to_integral_value()), int((gain * UDEG * _SCALE).to_integral_value())


def block(
    model: ModelBuilder,
    name: str,
    body: Bodies,
    home: int,
    *,
    start_udeg: int,
    around_udeg: Sequence[int],
    drawn_mwh: Sequence[int],
    per_wh: Sequence[int],
    floor_udeg: Sequence[int],
    most_wh: int,
    short_cost: float,
) -> list[Columns]:
    """Add one home's body to a linear program: energy taken at the terminals, and none given. [Wh]

    Its content is the heat above the lower end of the band. Heat that is short comes from nowhere, at a price; and
    where the surroundings alone warm the body above the upper end, that is no limit.

    Args:
        model: The model.
        name: Before the names of variables.
        body: All bodies.
        home: Row of the home.
        start_udeg: Temperature at the start of the first interval.
        around_udeg: Temperature of the surroundings, of each interval.
        drawn_mwh: Heat taken out at the start of each interval.
        per_wh: Heat of a Wh at the terminals, of each interval. [mWh]
        floor_udeg: Lowest temperature that is wanted at the end of each interval.
        most_wh: By the power. [Wh]
        short_cost: Of a Wh of heat that is short.
    """
    steps = len(around_udeg)
    keep, capacity = int(body.keep[home]) / _SCALE, int(body.capacity_mwh_per_k[home]) / 1_000
    low, high = int(body.low_udeg[home]) / UDEG, int(body.high_udeg[home]) / UDEG
    rise = int(body.gain[home]) / _SCALE / UDEG * 1_000 * capacity  # Wh stored per Wh of heat
    around = np.array(around_udeg, dtype=np.float64) / UDEG
    drawn = np.array(drawn_mwh, dtype=np.float64) / 1_000
    takes = model.variables(f"{name}.takes_wh", steps, upper=float(most_wh))
    gives = model.variables(f"{name}.gives_wh", steps, upper=0.0)
    passing = (1 - keep) * capacity * (around - low) - keep * drawn
    before = capacity * (start_udeg / UDEG - low)
    floor = capacity * (np.array(floor_udeg, dtype=np.float64) / UDEG - low)
    top, alone = np.full(steps, capacity * (high - low)), before
    for t in range(steps):
        alone = max(keep * alone + passing[t], floor[t])
        top[t] = max(top[t], alone)
    heat = model.variables(f"{name}.heat_wh", steps, lower=floor, upper=top)
    short = model.variables(f"{name}.short_wh", steps, cost=short_cost)
    held = passing.copy()
    held[0] += keep * before
    warms = -rise * np.array(per_wh, dtype=np.float64) / 1_000
    model.constraints(
        f"{name}.balance",
        [(heat, 1.0), (takes, warms), (short, -1.0), (np.append(NONE, heat[:-1]), -keep)],
        lower=held,
        upper=held,
    )
    return [takes, gives]


def faults_of_band(low: int, high: int, low_key: str, high_key: str) -> list[Fault]:
    """Refuse a band that is upside down or empty. [udeg]"""
    if low < high:
        return []
    wrong = f"is {high / UDEG:g}, and {low_key} is {low / UDEG:g}: the band is upside down"
    return [(high_key, wrong, f"give a {high_key} above {low_key}")]


def udeg(degrees: float) -> int:
    """A measured temperature in whole millionths. [udeg]"""
    return round(degrees * UDEG)
