"""The common battery and the community around it: what limits the one, and what the other needs and pays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from market.settlement.tariff import OutsidePrices
from market.units import PPM, BoolArray, FloatArray, IntArray

_PPM2 = PPM * PPM


@dataclass(frozen=True, slots=True)
class Store:
    """What limits a battery in every interval; content counts from its reserve on.

    Args:
        capacity_wh: Content that may be used. [Wh]
        power_wh: Most energy taken or given in an interval, at the terminals. [Wh]
        charge_efficiency_ppm: Stored per energy taken, above 0.
        discharge_efficiency_ppm: Given per energy stored, above 0.
        initial_wh: Content before the first interval, at most the capacity. [Wh]
    """

    capacity_wh: int
    power_wh: int
    charge_efficiency_ppm: int = PPM
    discharge_efficiency_ppm: int = PPM
    initial_wh: int = 0

    @property
    def gain(self) -> float:
        """Stored per energy taken."""
        return self.charge_efficiency_ppm / PPM

    @property
    def yields(self) -> float:
        """Given per energy stored."""
        return self.discharge_efficiency_ppm / PPM

    def takes_at_most(self, stored_uwh: int) -> int:
        """Energy that it has the power and the room to take. [uWh -> Wh]"""
        return min(self.power_wh, (self.capacity_wh * PPM - stored_uwh) // self.charge_efficiency_ppm)

    def gives_at_most(self, stored_uwh: int) -> int:
        """Energy that it has the power and the content to give. [uWh -> Wh]"""
        return min(self.power_wh, stored_uwh * self.discharge_efficiency_ppm // _PPM2)

    def after(self, stored_uwh: int, taken_wh: int) -> int:
        """Content after it took energy, or gave some where negative; the draw is rounded up. [uWh]"""
        if taken_wh >= 0:
            return stored_uwh + taken_wh * self.charge_efficiency_ppm
        return stored_uwh - -(taken_wh * _PPM2 // self.discharge_efficiency_ppm)


class Demand(NamedTuple):
    """What the homes of a community need and offer in each interval, and what that costs outside and inside.

    The homes net among themselves first. A kWh from outside costs `bought`, one given outside earns `sold`, and one
    that a home or the battery takes from inside costs the fee. As everything that homes need costs the fee at
    least, `bought` is what an outside kWh costs beyond it.

    Args:
        need_wh: Import of all homes, each netted. [Wh]
        offer_wh: Export of all homes, each netted. [Wh]
        bought: Of energy from outside, beyond the fee. [micro-currency/kWh]
        sold: Of energy given outside. [micro-currency/kWh]
        fee: Of energy taken from inside. [micro-currency/kWh]
    """

    need_wh: IntArray
    offer_wh: IntArray
    bought: IntArray
    sold: IntArray
    fee: int = 0

    @classmethod
    def of_homes(cls, import_wh: IntArray, export_wh: IntArray, prices: OutsidePrices) -> Self:
        """From registers of shape (intervals, homes), each home netted in each interval first."""
        net_wh = import_wh - export_wh
        return cls(
            np.maximum(net_wh, 0).sum(axis=1),
            np.maximum(-net_wh, 0).sum(axis=1),
            prices.buy_cap_micro_per_kwh,
            prices.feed_in_micro_per_kwh,
            prices.grid_fee_local_micro_per_kwh,
        )

    @property
    def net_wh(self) -> IntArray:
        """What all homes together draw from outside without a battery; negative is given. [Wh]"""
        return self.need_wh - self.offer_wh

    @property
    def reversed(self) -> BoolArray:
        """Where energy earns more outside than it costs: the community would buy and sell the same kWh."""
        return self.sold > self.bought

    @property
    def convex(self) -> BoolArray:
        """Where more energy from outside never costs less than nothing, so that wasting some never pays."""
        return ~self.reversed & (self.sold >= 0)

    def outside_nano(self, net_wh: IntArray) -> int:
        """Cost of what is drawn from outside and given to it, netted in each interval. [nano-currency]"""
        return int((np.where(net_wh > 0, self.bought, self.sold) * net_wh).sum())

    def cost_nano(self, taken_wh: IntArray | None = None) -> int:
        """Cost of the community with what the battery takes and, where negative, gives; without one if None. [nano]"""
        taken_wh = np.zeros_like(self.need_wh) if taken_wh is None else taken_wh
        inside_wh = int(self.need_wh.sum()) + int(np.maximum(taken_wh, 0).sum())
        return self.outside_nano(self.net_wh + taken_wh) + self.fee * inside_wh


class Lived(NamedTuple):
    """What a battery did in whole numbers, whoever decided.

    Args:
        taken_wh: At its terminals, negative where it gave. [Wh]
        stored_uwh: Content after each interval, from the reserve on. [uWh]
    """

    taken_wh: IntArray
    stored_uwh: IntArray

    def broken(self, store: Store) -> str:
        """The first limit of a store that this breaks, recomputed from what it took; empty if none."""
        stored = store.initial_wh * PPM
        for t, (taken, after) in enumerate(
            zip(self.taken_wh.tolist(), self.stored_uwh.tolist(), strict=True)
        ):
            if abs(taken) > store.power_wh:
                return f"interval {t}: {taken} Wh, and {store.power_wh} Wh is its power"
            stored = store.after(stored, taken)
            if stored != after or not 0 <= stored <= store.capacity_wh * PPM:
                return f"interval {t}: content of {stored} uWh"
        return ""

    def given_wh(self) -> int:
        """All that it gave, at its terminals. [Wh]"""
        return int(np.maximum(-self.taken_wh, 0).sum())


def lived(store: Store, taken_wh: list[int]) -> Lived:
    """What a battery holds that took these energies, in whole numbers."""
    stored, content = store.initial_wh * PPM, []
    for taken in taken_wh:
        stored = store.after(stored, taken)
        content.append(stored)
    return Lived(np.array(taken_wh, dtype=np.int64), np.array(content, dtype=np.int64))


def floats(values: IntArray) -> FloatArray:
    """Integers as a solver takes them."""
    return values.astype(np.float64)
