"""The best plan of a common battery for many sizes: one program, solved hot, and branched where energy costs below 0.

A battery charges or discharges in an interval, never both. At prices of at least 0 that is no restriction: both at once
waste energy. Where wasting would pay, and where energy given outside earns more than it costs, the program is
branched on the intervals in which its answer does both.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np

from market.units import FloatArray, IntArray
from optimizer.errors import Infeasible
from optimizer.models.community_storage import StorageModel, compiled
from optimizer.progress import Teller
from optimizer.solver.builder import Columns
from optimizer.solver.session import Session
from optimizer.storage.store import Demand, Store, floats

TOLERANCE_WH = 1e-5
"""Less than this is nothing. [Wh]"""
GAP = 1e-9
"""Relative difference to the bound that counts as none."""
BRANCHED_ROWS = 1_000_000
"""Rows solved in all before the search for a better plan ends, and the bound is stated."""
LEAST_SOLVED = 20
"""Programs that are solved at least before it ends."""


class Plan(NamedTuple):
    """A plan in fractions of a Wh, before rounding.

    Args:
        taken_wh: At the terminals of the battery, negative where it gives. [Wh]
        stored_wh: Content after each interval. [Wh]
        net_wh: From outside, negative where it is given. [Wh]
        cost_nano: What the program says it costs, without the fee of what homes need. [nano-currency]
        bound_nano: No plan costs less. [nano-currency]
        solved: Programs that were solved for it.
    """

    taken_wh: FloatArray
    stored_wh: FloatArray
    net_wh: FloatArray
    cost_nano: float
    bound_nano: float
    solved: int


def without_battery(demand: Demand) -> Plan:
    """The plan of a community that has none."""
    nothing, net = np.zeros(len(demand.need_wh)), floats(demand.net_wh)
    cost = float(demand.outside_nano(demand.net_wh))
    return Plan(nothing, nothing, net, cost, cost, 0)


class Planner:
    """Plans of batteries with the same efficiencies and initial content, in one hot session.

    Args:
        demand: The community.
        store: Any battery with these efficiencies and initial content.
    """

    def __init__(self, demand: Demand, store: Store) -> None:
        self._demand = demand
        self._model: StorageModel = compiled(demand, store)
        self._session = Session(self._model.model, interruptible=True)
        steps = len(demand.need_wh)
        self._reversed = np.flatnonzero(demand.reversed)
        self._most_solved = max(LEAST_SOLVED, BRANCHED_ROWS // max(steps, 1))

    def plan(self, store: Store, most_import_wh: float = np.inf) -> Plan:
        """The least costly plan of a battery.

        Args:
            store: Its size; the rest as in the planner's.
            most_import_wh: Most energy from outside in an interval. [Wh]

        Raises:
            Infeasible: More than that is needed.
            SolverFailed: The solver gives no answer, or none that its certificate confirms.
        """
        upper, row_upper = self._model.bounds(store, most_import_wh)
        for column, most in self._boxes(store):
            upper[column] = np.minimum(upper[column], most)
        if not len(self._model.one_way) and not len(self._reversed):
            x = self._solve(upper, row_upper)
            cost = float(self._model.model.cost @ x)
            return self._read(x, store, cost, cost, 1)
        return self._branch(store, upper, row_upper)

    def _boxes(self, store: Store) -> Iterator[tuple[Columns, FloatArray]]:
        """Bounds without which buying and selling the same energy would earn without end."""
        rows, net, power = self._reversed, self._demand.net_wh[self._reversed], store.power_wh
        yield self._model.imported[rows], np.maximum(net + power, 0).astype(np.float64)
        yield self._model.exported[rows], np.maximum(power - net, 0).astype(np.float64)

    def _solve(self, upper: FloatArray, row_upper: FloatArray) -> FloatArray:
        model = self._model.model
        return self._session.resolve_rows(model.cost, model.lower, upper, model.row_lower, row_upper).x

    def _branch(self, store: Store, upper: FloatArray, row_upper: FloatArray) -> Plan:
        """Best-first branch and bound on pairs of columns of which one must be 0."""
        pairs = self._pairs()
        cost = self._model.model.cost
        best: FloatArray | None = None
        least, solved, order, tell = np.inf, 0, count(), Teller()
        heap: list[tuple[float, int, tuple[int, ...]]] = [(-np.inf, next(order), ())]
        bound = -np.inf
        while heap:
            bound, _, closed = heapq.heappop(heap)
            tell(least, min(bound, least), solved)
            if bound >= least - GAP * (1 + abs(least)) or (solved >= self._most_solved and best is not None):
                break
            node = upper.copy()
            node[list(closed)] = 0.0
            try:
                x = self._solve(node, row_upper)
            except Infeasible:
                if not closed:
                    raise
                continue
            solved += 1
            value = float(cost @ x)
            if value >= least:
                continue
            both = _both(x, pairs)
            if not len(both):
                best, least = x, value
                continue
            if best is None:
                best, least, dived = self._dive(x, node, row_upper, pairs)
                solved += dived
            worst = pairs[both[np.argmax(x[pairs[both]].min(axis=1))]]
            for column in worst.tolist():
                heapq.heappush(heap, (value, next(order), (*closed, column)))
        else:
            bound = least
        assert best is not None
        return self._read(best, store, least, min(bound, least), solved)

    def _dive(
        self, x: FloatArray, upper: FloatArray, row_upper: FloatArray, pairs: IntArray
    ) -> tuple[FloatArray, float, int]:
        """A plan that does nothing both ways: the smaller of each pair is closed until none is left."""
        node, solved = upper.copy(), 0
        while len(both := _both(x, pairs)):
            chosen = pairs[both]
            node[chosen[np.arange(len(both)), x[chosen].argmin(axis=1)]] = 0.0
            x, solved = self._solve(node, row_upper), solved + 1
        return x, float(self._model.model.cost @ x), solved

    def _pairs(self) -> IntArray:
        """Columns of which one must be 0, shape (pairs, 2)."""
        model, ways, rows = self._model, self._model.one_way, self._reversed
        battery = np.stack((model.charged[ways], model.discharged[ways]), axis=1)
        outside = np.stack((model.imported[rows], model.exported[rows]), axis=1)
        return np.concatenate((battery, outside)).astype(np.int64)

    def _read(self, x: FloatArray, store: Store, cost: float, bound: float, solved: int) -> Plan:
        model = self._model
        charged, discharged = x[model.charged], x[model.discharged]
        # Where both cost nothing more, as at a price of 0, the battery does their difference on the side of the store.
        moved = store.gain * charged - discharged / store.yields
        both = np.minimum(charged, discharged) > TOLERANCE_WH
        single = np.where(moved > 0, moved / store.gain, moved * store.yields)
        taken = np.where(both, single, charged - discharged)
        return Plan(taken, x[model.stored], floats(self._demand.net_wh) + taken, cost, bound, solved)


def _both(x: FloatArray, pairs: IntArray) -> IntArray:
    """Pairs of which neither is 0."""
    found: IntArray = np.flatnonzero(x[pairs].min(axis=1) > TOLERANCE_WH)
    return found
