"""From the values of columns to whole Wh: energies of lumps, flows and storages, then of simple orders."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from market.auctions.rationing import ration
from market.horizon import Horizon
from market.rules import MarketRules
from market.units import INT64_SAFE, PPM, BoolArray, FloatArray, IntArray
from optimizer.models.multi_interval import HorizonModel

NOISE = 1e-6
"""What a share or an energy may be off and count as whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Whole energies.

    Args:
        lump: By lump and interval, bought positive. [Wh]
        flow: By flow and interval. [Wh]
        store: By storage and interval, into it positive. [Wh]
    """

    lump: IntArray
    flow: IntArray
    store: IntArray

    @property
    def net_wh(self) -> IntArray:
        """What all of them buy in each interval. [Wh]"""
        total: IntArray = self.lump.sum(axis=0) + self.flow.sum(axis=0) + self.store.sum(axis=0)
        return total


def planned_of(horizon: Horizon, model: HorizonModel, x: FloatArray) -> tuple[FloatArray, ...]:
    """The energies of lumps, flows and storages in the answer of a solver, shapes as in `Schedule`. [Wh]"""
    lump = x[model.share][:, None] * horizon.lumps.profile_wh
    flow = np.zeros((len(horizon.flows), horizon.intervals))
    for f, one in enumerate(horizon.flows):
        flow[f, one.terms.first : one.terms.last + 1] = one.side * x[model.flow[f]]
    store = np.zeros((len(horizon.stores), horizon.intervals))
    for s, unit in enumerate(horizon.stores):
        store[s, unit.terms.first : unit.terms.last + 1] = x[model.charge[s]] - x[model.discharge[s]]
    return lump, flow, store


def whole_schedule(horizon: Horizon, model: HorizonModel, x: FloatArray, no_discharge: BoolArray) -> Schedule:
    """Round so that every interval keeps its planned total as far as orders allow.

    What an order is off in an interval it makes up for in the next; the Wh that an interval lacks go one each to where
    they are missing most, the earlier order first.
    """
    planned = planned_of(horizon, model, x)
    share = x[model.share]
    partial = (share > NOISE) & (share < 1 - NOISE) & horizon.lumps.profile_wh.any(axis=1)
    lump = np.where(share[:, None] >= 1 - NOISE, horizon.lumps.profile_wh, 0)
    moving = _Moving(horizon, planned[0][partial], planned[1], planned[2], no_discharge)
    total = planned[0][partial].sum(axis=0) + planned[1].sum(axis=0) + planned[2].sum(axis=0)
    moved = np.array([moving.step(t, float(total[t])) for t in range(horizon.intervals)], dtype=np.int64)
    moved = moved.reshape(horizon.intervals, -1).T
    cuts = np.cumsum([int(partial.sum()), len(horizon.flows)])
    lump[partial], flow, store = np.split(moved, cuts)
    return Schedule(lump, flow, store)


def whole_stores(
    horizon: Horizon, planned_wh: FloatArray, no_discharge: BoolArray, no_charge: BoolArray
) -> IntArray:
    """As `whole_schedule`, of a horizon whose storages alone are planned.

    Args:
        horizon: With storages, and without lumps and flows.
        planned_wh: Into each storage, out of it negative, shape (storages, intervals). [Wh]
        no_discharge: Intervals in which storages do not discharge.
        no_charge: Intervals in which they do not charge.
    """
    nothing = np.zeros((0, horizon.intervals))
    moving = _Moving(horizon, nothing, nothing, planned_wh, no_discharge, no_charge)
    total = planned_wh.sum(axis=0).tolist()
    moved = np.array([moving.step(t, total[t]) for t in range(horizon.intervals)], dtype=np.int64)
    return moved.reshape(horizon.intervals, -1).T


class _Moving:
    """Partial lumps, flows and storages, interval by interval."""

    def __init__(
        self,
        horizon: Horizon,
        lump: FloatArray,
        flow: FloatArray,
        store: FloatArray,
        no_discharge: BoolArray,
        no_charge: BoolArray | None = None,
    ) -> None:
        self._lump, self._flow_plan = lump, np.cumsum(flow, axis=1)
        self._flow_done = np.zeros(len(flow), dtype=np.int64)
        self._accepted = (np.abs(flow).sum(axis=1) > NOISE).astype(np.int64)
        self._flows, self._no_discharge = horizon.flows, no_discharge
        self._no_charge = np.zeros_like(no_discharge) if no_charge is None else no_charge
        self._power = np.array([one.terms.power_wh for one in horizon.flows], dtype=np.int64)
        self._energy = np.array([one.energy_wh for one in horizon.flows], dtype=np.int64)
        self._least = np.array([one.terms.least_wh for one in horizon.flows], dtype=np.int64)
        self._side = np.array([one.side for one in horizon.flows], dtype=np.int64)
        self._tank = _Tanks(horizon, store)

    def _owed(self, t: int) -> IntArray:
        """What an accepted flow must take now so that its least energy still fits into its window. [Wh]"""
        after = np.array([max(0, one.terms.last - t) for one in self._flows], dtype=np.int64) * self._power
        due: IntArray = self._least - self._side * self._flow_done - after
        return due

    def step(self, t: int, total: float) -> IntArray:
        """Whole energies of one interval, given the planned total. [Wh]"""
        lump = self._lump[:, t]
        flow = self._flow_plan[:, t] - self._flow_done
        window = np.array([one.terms.first <= t <= one.terms.last for one in self._flows], dtype=np.int64)
        there = window * self._accepted
        left = np.minimum(self._power, self._energy - self._side * self._flow_done) * there
        owed = np.minimum(np.maximum(self._owed(t), 0), left) * there
        flow_least, flow_most = np.where(self._side > 0, owed, -left), np.where(self._side > 0, left, -owed)
        store, store_least, store_most = self._tank.wanted(
            t, bool(self._no_discharge[t]), bool(self._no_charge[t])
        )
        wanted = np.concatenate((lump, flow, store))
        least = np.concatenate((np.floor(lump + NOISE).astype(np.int64), flow_least, store_least))
        most = np.concatenate((np.ceil(lump - NOISE).astype(np.int64), flow_most, store_most))
        found = to_total(wanted, least, most, round(total))
        cut = len(lump)
        self._flow_done += found[cut : cut + len(flow)]
        self._tank.take(found[cut + len(flow) :])
        return found


def to_total(wanted: FloatArray, least: IntArray, most: IntArray, total: int) -> IntArray:
    """Whole numbers near wanted ones, each at most four away, that add up to a total as nearly as they can."""
    found: IntArray = np.clip(np.floor(wanted + NOISE).astype(np.int64), least, most)
    for sign, end in ((1, most), (-1, least)):
        for reach in range(1, 5):
            lacking = sign * (total - int(found.sum()))
            if lacking <= 0:
                break
            off = sign * (wanted - found)
            able = np.flatnonzero((sign * (end - found) > 0) & (off > 1 - reach + NOISE))
            turn = able[np.argsort(-off[able], kind="stable")][:lacking]
            found[turn] += sign
    return found


class _Tanks:
    """Contents of storages as exact whole numbers, each in a unit of its own."""

    def __init__(self, horizon: Horizon, plan: FloatArray) -> None:
        terms = [store.terms for store in horizon.stores]
        units = []
        for t in terms:
            # A Wh stored, what a Wh in adds and what a Wh out takes are whole numbers of this unit.
            parts = (PPM * t.discharge_ppm, t.charge_ppm * t.discharge_ppm, PPM * PPM)
            by = gcd(*parts)
            units.append([part // by for part in parts])
        self._terms = terms
        largest = max((t.capacity_wh * unit[0] for t, unit in zip(terms, units, strict=True)), default=0)
        kind: type = np.int64 if largest < 2**52 else object
        columns: Any = np.array(units, dtype=kind).reshape(-1, 3)
        self._wh, self._into, self._out = columns[:, 0], columns[:, 1], columns[:, 2]
        first, last, capacity, initial, final, charge, discharge = (
            np.array([getattr(t, name) for t in terms], dtype=np.int64)
            for name in (
                "first",
                "last",
                "capacity_wh",
                "initial_wh",
                "final_wh",
                "charge_wh",
                "discharge_wh",
            )
        )
        self._first, self._last, self._charge, self._discharge = first, last, charge, discharge
        self._content, self._full = initial.astype(kind) * self._wh, capacity.astype(kind) * self._wh
        self._final = np.maximum(final.astype(kind) * self._wh - self._out, 0)
        rate_in, rate_out = (
            np.array([getattr(t, name) for t in terms], dtype=np.float64) / PPM
            for name in ("charge_ppm", "discharge_ppm")
        )
        self._rate_in, self._rate_out = rate_in, rate_out
        stored = np.maximum(plan, 0) * rate_in[:, None] + np.minimum(plan, 0) / rate_out[:, None]
        self._plan = np.cumsum(stored, axis=1) + initial[:, None]

    def wanted(self, t: int, no_discharge: bool, no_charge: bool) -> tuple[FloatArray, IntArray, IntArray]:
        """What each storage would take to reach its planned content, and the least and most that it can take. [Wh]"""
        if not len(self._terms):
            nothing = np.zeros(0, dtype=np.int64)
            return np.zeros(0), nothing, nothing
        there = (self._first <= t) & (t <= self._last)
        off = self._plan[:, t] - (self._content / self._wh).astype(np.float64)
        wanted = np.where(off > 0, off / self._rate_in, off * self._rate_out)
        room = ((self._full - self._content) // self._into).astype(np.int64)
        # From what is left in it the final content must be within reach.
        later = np.maximum(self._last - t, 0) * self._charge
        least_content = np.maximum(self._final - later * self._into, 0)
        spare = self._content - least_content
        most = np.minimum(self._charge, room) * there
        least = -np.minimum(self._discharge, np.maximum(spare // self._out, 0).astype(np.int64)) * there
        if no_discharge:
            least = np.zeros_like(least)
        if no_charge:
            most = np.zeros_like(most)
        short = (spare < 0) & there
        if short.any():  # near the end, what is missing must come in
            needed = (-(spare // self._into)).astype(np.int64)
            least = np.where(short, np.minimum(needed, most), least)
        return wanted * there, least, most

    def take(self, energy: IntArray) -> None:
        """Go on to the next interval with these energies. [Wh]"""
        if len(self._terms):
            self._content = (
                self._content + np.maximum(energy, 0) * self._into + np.minimum(energy, 0) * self._out
            )


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Simple orders of one interval, cleared against what the others buy.

    Args:
        accepted_wh: Of each order, in the order of `SimpleOrders`. [Wh]
        lo: Lowest clearing price. [micro/kWh]
        hi: Highest. [micro/kWh]
    """

    accepted_wh: IntArray
    lo: int
    hi: int


def clear_interval(
    horizon: Horizon,
    t: int,
    net_wh: int,
    supporting: float | None,
    sequence: IntArray,
    price_range: tuple[int, int],
    rules: MarketRules,
    most_moved_wh: int = INT64_SAFE,
) -> Market:
    """Accept simple orders of an interval so that they sell what the others buy net.

    Where rounding has moved the net energy out of what simple orders would trade at the supporting price, orders that
    would gain are served that much less, the least gain first; nobody trades at a loss.

    Args:
        horizon: The orders.
        t: The interval.
        net_wh: What all other orders buy less what they sell. [Wh]
        supporting: A price that supports the plan before rounding; None where nothing was rounded. [micro/kWh]
        sequence: Order of arrival of each row of the book.
        price_range: Lowest and highest price of the market.
        rules: Uses `rationing` and `seed`.
        most_moved_wh: What rounding can have moved; where more is moved, the simple orders alone say the prices. [Wh]
    """
    simple = horizon.simple
    first, end = np.searchsorted(simple.interval, (t, t + 1))
    limit, energy, side = (
        column[first:end] for column in (simple.limit_micro_per_kwh, simple.energy_wh, simple.side)
    )
    curve = np.concatenate(([0], np.cumsum(energy)))
    bids = int(energy[side > 0].sum())
    # At a price p simple orders can sell net what keeps bids + net between the energy with limits below and up to p.
    served = net_wh
    if supporting is not None:
        low = int(curve[limit.searchsorted(supporting - 1e-3, "left")]) - bids
        high = int(curve[limit.searchsorted(supporting + 1e-3, "right")]) - bids
        served = min(max(net_wh, low), high)
        served = net_wh if abs(served - net_wh) > most_moved_wh else served
    demand = bids + served
    lo = int(limit[curve[1:].searchsorted(demand, "left")]) if demand > 0 else -INT64_SAFE
    hi = int(limit[curve[1:].searchsorted(demand, "right")]) if demand < curve[-1] else INT64_SAFE
    is_bid, arrival = side > 0, sequence[simple.row[first:end]]
    accepted = energy * ((limit > lo) == is_bid)
    if lo == hi:
        _margin(accepted, limit == lo, is_bid, energy, served, arrival, rules)
    excess = int((side * accepted).sum()) + net_wh
    if excess:
        _serve_less(accepted, limit, side, excess)
    return Market(accepted, max(lo, price_range[0]), min(hi, price_range[1]))


def _margin(
    accepted: IntArray,
    marginal: BoolArray,
    is_bid: BoolArray,
    energy: IntArray,
    net_wh: int,
    sequence: IntArray,
    rules: MarketRules,
) -> None:
    """Serve the orders at a pinned price, in place: the short side whole and the long side rationed."""
    bids, asks = np.flatnonzero(marginal & is_bid), np.flatnonzero(marginal & ~is_bid)
    accepted[bids] = accepted[asks] = 0
    bought, sold = int(accepted[is_bid].sum()) + net_wh, int(accepted[~is_bid].sum())
    total = min(bought + int(energy[bids].sum()), sold + int(energy[asks].sum()))
    for rows, take in ((bids, total - bought), (asks, total - sold)):
        if take > 0:
            accepted[rows] = ration(energy[rows], take, sequence[rows], rules)


def _serve_less(accepted: IntArray, limit: IntArray, side: IntArray, excess: int) -> None:
    """Take accepted energy away until an interval balances: from bids where too much is bought, else from offers."""
    long = 1 if excess > 0 else -1
    rows = np.flatnonzero((side == long) & (accepted > 0))
    for row in rows[np.argsort(long * limit[rows], kind="stable")].tolist():
        taken = min(abs(excess), int(accepted[row]))
        accepted[row] -= taken
        excess -= long * taken
        if not excess:
            return
