"""Quantities of a market of zones where orders tie with the price of their zone: the most volume, in equal shares.

At supporting prices an order better than its price is served in full and a worse one not at all. What remains are the
orders at their price, one group for each side of each zone, and the pairs of zones that energy may flow between: those
whose prices differ by just the fee. Every balanced choice is optimal; which one is a rule of the market, not of a
solver.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.auctions.rationing import ration
from market.auctions.zonal import SidePrices, by_zone
from market.book import OrderBook
from market.rules import MarketRules
from market.units import BoolArray, FloatArray, IntArray
from market.zones import Zones
from optimizer.errors import Infeasible, Unproven
from optimizer.solver.builder import ModelBuilder
from optimizer.solver.session import Session


class Quantities(NamedTuple):
    """What is accepted of each order, and what flows from zone to zone. [Wh]"""

    accepted_wh: IntArray
    flow_wh: IntArray


def quantities(book: OrderBook, zones: Zones, prices: SidePrices, rules: MarketRules) -> Quantities:
    """The most that can be traded at these prices; of it every group of orders at its price gets an equal share.

    As far as fees let energy flow: a group that cannot have its share leaves the rest to the others. The odd Wh go to
    the zone that is listed first. Within a group the rationing of the rules decides.

    Args:
        book: The orders, `node` an index into the zones.
        zones: The fees.
        prices: Supporting prices of an optimum.
        rules: Uses `rationing` and `seed`.

    Raises:
        Unproven: No balanced quantities agree with the prices.
    """
    own = np.where(book.side > 0, prices.buy[book.node], prices.sell[book.node])
    gain = book.side * (book.limit_micro_per_kwh - own)
    accepted = np.where(gain > 0, book.energy_wh, 0)
    ties = np.flatnonzero((gain == 0) & (book.energy_wh > 0))
    group_of = 2 * book.node[ties] + (book.side[ties] > 0)
    groups, place = np.unique(group_of, return_inverse=True)
    most = np.zeros(len(groups), dtype=np.int64)
    np.add.at(most, place, book.energy_wh[ties])
    tight = prices.buy[None, :] - prices.sell[:, None] == zones.fee_micro_per_kwh
    face = _Face(*by_zone(book, accepted, len(zones)), tight.ravel(), groups, most)
    share, flow = face.equal_shares()
    for group in range(len(groups)):
        rows = ties[place == group]
        accepted[rows] = ration(book.energy_wh[rows], int(share[group]), book.sequence[rows], rules)
    return Quantities(accepted, flow.reshape(len(zones), len(zones)))


class _Face:
    """All optimal quantities: what groups at their price may take, and flows between zones.

    Args:
        sold: What offers better than their price sell in each zone. [Wh]
        bought: What bids better than their price buy. [Wh]
        tight: Pairs of zones that energy may flow between.
        groups: Twice the zone, and one more for bids.
        most: What each group has. [Wh]
    """

    def __init__(
        self, sold: IntArray, bought: IntArray, tight: BoolArray, groups: IntArray, most: IntArray
    ) -> None:
        self.count, self.most = len(groups), most.astype(np.float64)
        self.buys = (groups % 2).astype(np.float64)
        self.least = np.zeros(len(groups), dtype=np.int64)
        model, zones = ModelBuilder(), len(sold)
        taken = model.variables("taken", len(groups), 0.0, self.most)
        # The share of its energy that every group of a round can have; in other rounds no row has it.
        share = model.variables("share", 1, 0.0, 1.0)
        flow = model.variables("flow", zones * zones, 0.0, np.where(tight, np.inf, 0.0))
        ends = np.divmod(np.arange(zones * zones), zones)
        for name, zone, side, fixed in (("sold", ends[0], 0, sold), ("bought", ends[1], 1, bought)):
            own = np.flatnonzero(groups % 2 == side)
            parts = [(flow, zone, 1.0), (taken[own], groups[own] // 2, -1.0)]
            model.sums(name, zones, parts, fixed.astype(np.float64), fixed.astype(np.float64))
        model.sums("volume", 1, [(taken, np.zeros(len(groups), dtype=np.int64), self.buys)])
        model.constraints("at_least", [(taken, 1.0), (np.repeat(share, len(groups)), -self.most)])
        self.model = model.compile()
        self.session = Session(self.model)
        self.row_lower = self.model.row_lower.copy()

    def equal_shares(self) -> tuple[IntArray, IntArray]:
        """What each group takes, and the flows. [Wh]"""
        if self.count:
            self.row_lower[-1 - self.count] = round(float(self.buys @ self._best(self.buys)[0]))  # the volume
        active = np.ones(self.count, dtype=bool)
        while np.count_nonzero(active) > 1:
            wanted = self._largest_share(active) * self.most
            shares = np.floor(wanted + 1e-6).astype(np.int64)
            self.least = np.where(active, np.maximum(self.least, shares), self.least)
            ahead = [float(self._best(one)[0] @ one) for one in np.eye(self.count)]
            # A group that whole Wh alone let have more has its share.
            done = active & (np.array(ahead) < wanted + 1 + self.count)
            active &= ~done if done.any() else False
        for one in np.eye(self.count):
            self.least += ((self._best(one)[0] @ one - self.least) * one).round().astype(np.int64)
        found, flow = self._best(self.buys)
        return _whole(found), _whole(flow)

    def _largest_share(self, active: BoolArray) -> float:
        """The largest share of its energy that every active group can have at once."""
        cost = np.zeros(len(self.model.cost))
        cost[self.count] = -1.0
        row_lower = self.row_lower.copy()
        row_lower[len(row_lower) - self.count :][active] = 0.0
        return float(self._solved(cost, row_lower)[self.count])

    def _best(self, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The energy of groups for which a weighted sum is largest, and flows. [Wh]"""
        cost = np.zeros(len(self.model.cost))
        cost[: self.count] = -weight
        x = self._solved(cost, self.row_lower)
        return x[: self.count], x[self.count + 1 :]

    def _solved(self, cost: FloatArray, row_lower: FloatArray) -> FloatArray:
        lower = self.model.lower.copy()
        lower[: self.count] = self.least
        try:
            return self.session.answer(cost, lower, self.model.upper, row_lower, self.model.row_upper)
        except Infeasible:
            raise Unproven("no quantities agree with the prices of the zones") from None


def _whole(energy: FloatArray) -> IntArray:
    """The whole Wh that a vertex of a program of flows has."""
    found = np.rint(energy).astype(np.int64)
    if np.abs(found - energy).max(initial=0.0) > 1e-3:
        raise Unproven("flows between zones that are no whole Wh")
    return found
