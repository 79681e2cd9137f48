"""Parts of the search: which lumps are accepted and which rejected, what follows, and bounds on their welfare.

All of it is numpy, and the search and the check of its proof use the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from market.horizon import Horizon
from market.orders import NONE
from market.units import BoolArray, FloatArray, IntArray
from optimizer.models.multi_interval import HorizonModel

NOISE_WH = 1e-6
RELATIVE = 1e-10
"""Part of the sum of all values that floats may be off."""


class Region(NamedTuple):
    """Lumps that are accepted and lumps that are rejected; the others are open."""

    on: BoolArray
    off: BoolArray


class _Curve(NamedTuple):
    """Simple orders of an interval by limit: limits, cumulated energy of all, energy of bids, and of all."""

    limit: IntArray
    energy_wh: IntArray
    bids_wh: int
    total_wh: int


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """A horizon as the search sees it.

    Args:
        horizon: Its orders.
        model: Its linear program.
        price_range: Lowest and highest price of the market. [micro-currency/kWh]
        tolerance_nano: What floats may be off. [nano-currency]
        decided: Lumps that are accepted or rejected; the others may be divided at will.
        depth: Lumps from the lowest generation to the highest.
        curves: Of each interval.
        least_wh: By interval, the least that flows and storages may buy net; negative where they sell. [Wh]
        most_wh: The most. [Wh]
    """

    horizon: Horizon
    model: HorizonModel
    price_range: tuple[int, int]
    tolerance_nano: float
    decided: BoolArray
    depth: IntArray
    curves: tuple[_Curve, ...]
    least_wh: FloatArray
    most_wh: FloatArray

    @property
    def root(self) -> Region:
        """Nothing is decided but the lumps that all others together could not balance: those are rejected.

        A lump of a million times what the others trade would drown them in the program's tolerances.
        """
        nothing = np.zeros(len(self.decided), dtype=np.bool_)
        least_wh, most_wh = self._net_range(Region(nothing, nothing))
        bids, total = (np.array([getattr(c, name) for c in self.curves]) for name in ("bids_wh", "total_wh"))
        lumps = self.horizon.lumps
        up, down = (end(lumps.profile_wh, 0) * lumps.least[:, None] for end in (np.maximum, np.minimum))
        too_much = (up > 0) & (least_wh + up > total - bids + NOISE_WH)
        too_little = (down < 0) & (most_wh + down < -bids - NOISE_WH)
        off = self.decided & np.any(too_much | too_little, axis=1)
        return self.followed(Region(nothing, off)) or Region(nothing, off)

    def share_bounds(self, region: Region) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bounds of shares in a region."""
        return np.where(region.on, self.horizon.lumps.least, 0.0), np.where(region.off, 0.0, 1.0)

    def relaxed_bounds(self, on: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Bounds of shares in R(on): from 0 to 1 for lumps of the set and for what may be divided at will."""
        return np.zeros(len(on)), np.where(on | ~self.decided, 1.0, 0.0)

    def followed(self, region: Region) -> Region | None:
        """Add what families demand: parents of accepted lumps, no children of rejected ones, one lump a group.

        Returns:
            The smaller region, None where it holds nothing.
        """
        parent, group = self.horizon.lumps.parent, self.horizon.lumps.group
        on, off = region.on.copy(), region.off.copy()
        child = parent != NONE
        while True:
            before = on.sum() + off.sum()
            on[parent[child & on]] = True
            off[child] |= off[parent[child]]
            grouped = group[on & (group != NONE)]
            if len(grouped):
                if np.bincount(grouped).max() > 1:
                    return None
                off |= np.isin(group, grouped) & ~on
            if (on & off).any():
                return None
            if on.sum() + off.sum() == before:
                return Region(on, off)

    def price_box(self, region: Region) -> tuple[FloatArray, FloatArray] | None:
        """Lowest and highest price of each interval at which any clearing of the region could be supported.

        Simple orders trade against what the others buy net: the price rises in what these buy, falls in what they sell.

        Returns:
            Prices [micro/kWh]; None where simple orders cannot balance any clearing of the region.
        """
        least_wh, most_wh = self._net_range(region)
        lowest, highest = self.price_range
        lo, hi = np.full(len(self.curves), float(lowest)), np.full(len(self.curves), float(highest))
        for t, curve in enumerate(self.curves):
            bought, at_most = curve.bids_wh + least_wh[t] - NOISE_WH, curve.bids_wh + most_wh[t] + NOISE_WH
            if bought > curve.total_wh or at_most < 0:
                return None
            if bought > 0:
                lo[t] = max(lowest, int(curve.limit[curve.energy_wh.searchsorted(bought, "left")]))
            if at_most < curve.total_wh:
                hi[t] = min(highest, int(curve.limit[curve.energy_wh.searchsorted(at_most, "right")]))
        return lo, hi

    def _net_range(self, region: Region) -> tuple[FloatArray, FloatArray]:
        """By interval, the least and the most that all but the simple orders may buy net in a region. [Wh]"""
        lumps = self.horizon.lumps
        profile, least = lumps.profile_wh, lumps.least[:, None]
        open_ = ~region.on & ~region.off
        up, down = np.maximum(profile, 0), np.minimum(profile, 0)
        on, alone = region.on, open_ & (lumps.group == NONE)
        least_wh = self.least_wh + (down + least * up)[on].sum(axis=0) + down[alone].sum(axis=0)
        most_wh = self.most_wh + (up + least * down)[on].sum(axis=0) + up[alone].sum(axis=0)
        for g in np.unique(lumps.group[open_ & ~alone]):  # one of a group at most
            members = open_ & (lumps.group == g)
            least_wh = least_wh + down[members].min(axis=0)
            most_wh = most_wh + up[members].max(axis=0)
        return least_wh, most_wh

    def tightened(self, region: Region) -> Region | None:
        """Reject open lumps that lose at every price, with all that their families could add; again until none is left.

        Returns:
            The smaller region, None where an accepted lump loses at every price or nothing balances.
        """
        found = self.followed(region)
        while found is not None:
            box = self.price_box(found)
            if box is None:
                return None
            loses = self._best_gain(box, found) < -self.tolerance_nano
            if (loses & found.on).any():
                return None
            loses &= ~found.off & self.decided
            if not loses.any():
                return found
            found = self.followed(Region(found.on, found.off | loses))
        return None

    def _best_gain(self, box: tuple[FloatArray, FloatArray], region: Region) -> FloatArray:
        """Most that each lump and those below it could gain at prices of the box. [nano-currency]"""
        lo, hi = box
        lumps = self.horizon.lumps
        profile = lumps.profile_wh
        gain = lumps.value_nano - np.maximum(profile, 0) @ lo - np.minimum(profile, 0) @ hi
        for flow in self.horizon.flows:
            window = slice(flow.terms.first, flow.terms.last + 1)
            best = -lo[window].min() if flow.side > 0 else hi[window].max()
            gain[flow.lump] += flow.energy_wh * best
        for j in self.depth:
            up = lumps.parent[j]
            if up != NONE and gain[j] > 0 and not region.off[j]:
                gain[up] += gain[j]
        found: FloatArray = gain
        return found

    def bound(self, row_price: FloatArray, region: Region, *, without_cost: bool = False) -> float:
        """No clearing of the region has more welfare, by weak duality at any row prices. [nano-currency]

        Args:
            row_price: Of the minimisation, one for each row.
            region: Shares are bounded as in it.
            without_cost: Take all costs as 0: a bound below 0 then proves that the region holds nothing.
        """
        arrays = self.model.arrays
        y = self._signed(row_price)
        cost = np.zeros_like(arrays.cost) if without_cost else arrays.cost
        reduced = cost - arrays.transpose_times(y)
        lower, upper = arrays.lower.copy(), arrays.upper.copy()
        lower[self.model.share], upper[self.model.share] = self.share_bounds(region)
        least = np.where(reduced > 0, reduced * lower, reduced * upper).sum()
        rows = np.where(y > 0, arrays.row_lower, arrays.row_upper)
        rows[y == 0] = 0.0
        return -float(least + y @ rows)

    def fixed(self, row_price: FloatArray, region: Region, bound_nano: float, welfare_nano: float) -> Region:
        """Decide the open lumps whose other decision would bound the welfare to that of a known clearing."""
        reduced = self.model.arrays.cost - self.model.arrays.transpose_times(self._signed(row_price))
        of_share = reduced[self.model.share]
        open_ = self.decided & ~region.on & ~region.off
        worth_nothing = bound_nano - of_share * self.horizon.lumps.least <= welfare_nano + self.tolerance_nano
        worth_all = bound_nano + of_share <= welfare_nano + self.tolerance_nano
        return Region(
            region.on | (open_ & (of_share < -self.tolerance_nano) & worth_all),
            region.off | (open_ & (of_share > self.tolerance_nano) & worth_nothing),
        )

    def _signed(self, row_price: FloatArray) -> FloatArray:
        """Row prices that point to a finite bound: what points to an infinite one counts as 0."""
        arrays = self.model.arrays
        y = np.where((row_price > 0) & np.isinf(arrays.row_lower), 0.0, row_price)
        return np.where((y < 0) & np.isinf(arrays.row_upper), 0.0, y)


def space_of(horizon: Horizon, model: HorizonModel, price_range: tuple[int, int]) -> Space:
    """What the search needs to know of a horizon, computed once."""
    lumps, simple = horizon.lumps, horizon.simple
    at = simple.interval.searchsorted(np.arange(horizon.intervals + 1)).tolist()
    energy = np.concatenate(([0], simple.energy_wh.cumsum()))
    bids = np.concatenate(([0], (simple.energy_wh * (simple.side > 0)).cumsum()))
    curves = tuple(
        _Curve(
            simple.limit_micro_per_kwh[first:end],
            energy[first + 1 : end + 1] - energy[first],
            int(bids[end] - bids[first]),
            int(energy[end] - energy[first]),
        )
        for first, end in pairwise(at)
    )
    least, most = np.zeros((2, horizon.intervals))
    for flow in horizon.flows:
        window = slice(flow.terms.first, flow.terms.last + 1)
        (most if flow.side > 0 else least)[window] += flow.side * flow.terms.power_wh
    for store in horizon.stores:
        window = slice(store.terms.first, store.terms.last + 1)
        most[window] += store.terms.charge_wh
        least[window] -= store.terms.discharge_wh
    space = Space(
        horizon,
        model,
        price_range,
        1.0,
        lumps.whole_or_nothing,
        _from_below(lumps.parent),
        curves,
        least,
        most,
    )
    possible = np.abs(
        lumps.value_nano[~space.root.off]
    )  # what can never be accepted makes nothing less exact
    size = np.abs(simple.energy_wh * simple.limit_micro_per_kwh).sum() + possible.sum()
    return replace(space, tolerance_nano=1.0 + RELATIVE * float(size))


def _from_below(parent: IntArray) -> IntArray:
    """Lumps in an order in which children come before parents."""
    depth = np.zeros(len(parent), dtype=np.int64)
    above = parent.copy()
    while (above != NONE).any():
        depth += above != NONE
        above = np.where(above == NONE, NONE, parent[above])
    found: IntArray = np.argsort(-depth, kind="stable")
    return found
