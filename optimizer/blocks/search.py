"""Best-first search for the clearing with the most welfare at which no accepted lump loses."""

from __future__ import annotations

from dataclasses import replace
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from market.orders import NONE
from market.units import BoolArray, FloatArray
from optimizer.blocks.hot import Answer, Clock, HotModel
from optimizer.blocks.proof import FEASIBLE, ProofNode, halves
from optimizer.blocks.region import Region, Space
from optimizer.errors import Infeasible
from optimizer.progress import Teller

DIVE_EVERY = 40
"""Nodes from one dive for a better clearing to the next."""
NOTHING = "no clearing exists at prices between the market's lowest and highest, not even one without blocks"


class Supported(NamedTuple):
    """A set of lumps that prices support.

    Args:
        on: The accepted lumps that are decided.
        x: Values of the columns.
        row_price: Row prices at which no accepted lump loses.
        welfare_nano: W = R of the set. [nano-currency]
    """

    on: BoolArray
    x: FloatArray
    row_price: FloatArray
    welfare_nano: float


class Found(NamedTuple):
    """What a search found.

    Args:
        best: The best clearing.
        bound_nano: No supported clearing has more welfare. [nano-currency]
        root_bound_nano: Of the linear program in which lumps are divisible. [nano-currency]
        complete: False where a limit ended it.
        nodes: The tree that proves the bound.
        solves: Linear programs solved.
    """

    best: Supported
    bound_nano: float
    root_bound_nano: float
    complete: bool
    nodes: list[ProofNode]
    solves: int


class Search:
    """One search; `run` it once.

    Args:
        space: What is searched.
        clock: Of its time limit, begun.
        most_nodes: Of its tree, but always as many as give a bound; None for any number.
    """

    def __init__(self, space: Space, clock: Clock, most_nodes: int | None = None) -> None:
        self._space, self._clock, self._tell = space, clock, Teller(clock.begun_s)
        self._most_nodes = np.inf if most_nodes is None else most_nodes
        model = space.model
        self._share, self._least = model.share, space.horizon.lumps.least
        self._inside = HotModel(model.arrays)
        upper = model.arrays.upper.copy()
        upper[model.short] = upper[model.spare] = np.inf
        self._relaxed = HotModel(replace(model.arrays, upper=upper)) if space.decided.any() else self._inside
        self._nodes: list[ProofNode] = []
        self._best: Supported | None = None
        self._root_bound = np.inf
        self._since_dive = DIVE_EVERY

    def run(self) -> Found:
        """Search until the bound is proven, the time is up, or the tree is as large as it may become.

        Raises:
            Infeasible: There is no clearing even without blocks.
            SolverFailed: HiGHS gives no answer.
        """
        if not self._space.decided.any():
            return self._linear()
        nothing = self._supported(self._space.root.on)
        if nothing is None:
            raise Infeasible(NOTHING)
        self._best = nothing
        open_: list[tuple[float, int, int, Region]] = []
        self._push(open_, np.inf, self._space.root)
        while open_:
            bound = max(-open_[0][0], self._best.welfare_nano)
            self._tell(-self._best.welfare_nano, -bound, len(self._nodes))
            if bound <= self._best.welfare_nano + self._space.tolerance_nano:
                break
            if np.isfinite(bound) and (self._clock.is_up or len(self._nodes) >= self._most_nodes):
                solves = self._inside.solves + self._relaxed.solves
                return Found(self._best, bound, self._root_bound, False, self._nodes, solves)
            above, _, number, region = heappop(open_)
            self._visit(open_, number, region, -above)
        solves = self._inside.solves + self._relaxed.solves
        return Found(self._best, self._best.welfare_nano, self._root_bound, True, self._nodes, solves)

    def _linear(self) -> Found:
        """The answer where nothing is to be decided: one linear program."""
        space, root = self._space, self._space.root
        answer = self._inside.solve(self._share, *space.share_bounds(root))
        if answer is None:
            raise Infeasible(NOTHING)
        bound = max(space.bound(answer.row_price, root), answer.welfare_nano)
        best = Supported(root.on, answer.x, answer.row_price, answer.welfare_nano)
        return Found(best, bound, bound, True, [ProofNode(answer.row_price)], 1)

    def _push(self, open_: list[tuple[float, int, int, Region]], bound: float, region: Region) -> int:
        number = len(self._nodes)
        rows = np.zeros(len(self._space.model.arrays.row_lower))
        self._nodes.append(ProofNode(rows))
        heappush(open_, (-bound, number, number, region))
        return number

    def _visit(
        self, open_: list[tuple[float, int, int, Region]], number: int, region: Region, above: float
    ) -> None:
        """Bound a region, and close it or divide it in two."""
        space, node = self._space, self._nodes[number]
        assert self._best is not None
        tight = space.tightened(region)
        if tight is None:
            return
        answer = self._inside.solve(self._share, *space.share_bounds(tight))
        if answer is None:
            node.row_price, node.empty = self._no_clearing(tight), True
            return
        node.row_price = answer.row_price
        bound = min(above, space.bound(answer.row_price, tight))
        if number == 0:
            self._root_bound = bound
        if bound <= self._best.welfare_nano + space.tolerance_nano:
            return
        self._since_dive += 1
        if self._since_dive >= DIVE_EVERY:
            self._since_dive = 0
            self._dive(tight, answer)
            if bound <= self._best.welfare_nano + space.tolerance_nano:
                return
        tight = space.fixed(answer.row_price, tight, bound, self._best.welfare_nano)
        lump = self._fractional(answer.x[self._share], tight)
        if lump == NONE:
            lump = self._judge(node, tight, answer, bound)
        if lump == NONE:
            return
        node.lump = lump
        on, off = halves(tight, lump)
        node.children = (self._push(open_, bound, on), self._push(open_, bound, off))

    def _fractional(self, share: FloatArray, region: Region) -> int:
        """The open lump furthest from a yes or no, or of two accepted ones of a group the smaller; else NONE."""
        space = self._space
        open_ = space.decided & ~region.on & ~region.off
        least = np.maximum(self._least, FEASIBLE)
        off_by = np.where(open_, np.minimum(share, least - share) / least, 0.0)
        j = int(off_by.argmax()) if len(off_by) else 0
        if len(off_by) and off_by[j] > FEASIBLE:
            return j
        group = space.horizon.lumps.group
        taken = (share > FEASIBLE) & (group != NONE) & ~region.off
        twice = np.bincount(group[taken], minlength=len(group) + 1) > 1
        rivals = np.flatnonzero(taken & open_ & twice[group])
        return int(rivals[share[rivals].argmin()]) if len(rivals) else NONE

    def _judge(self, node: ProofNode, region: Region, answer: Answer, bound: float) -> int:
        """A set of whole lumps with the most welfare of its region: take it, or the lump that must leave it.

        Returns:
            The lump to branch on, or NONE where the region is done.
        """
        assert self._best is not None
        space = self._space
        share = answer.x[self._share]
        on = space.decided & ~region.off & (share > FEASIBLE)
        relaxed = self._relaxed.solve(self._share, *space.relaxed_bounds(on))
        if relaxed is None:
            return NONE
        if relaxed.welfare_nano <= answer.welfare_nano + 2 * space.tolerance_nano:
            if answer.welfare_nano > self._best.welfare_nano:
                self._best = Supported(on, answer.x, relaxed.row_price, answer.welfare_nano)
            if bound <= self._best.welfare_nano + space.tolerance_nano:
                return NONE
        left = relaxed.x[self._share]
        free = np.flatnonzero(on & ~region.on)
        if len(free):
            return int(free[left[free].argmin()])
        rest = np.flatnonzero(space.decided & ~region.on & ~region.off)
        if relaxed.welfare_nano - space.tolerance_nano > bound:
            node.point = relaxed.x
            return NONE
        return int(rest[0]) if len(rest) else NONE

    def _dive(self, region: Region, answer: Answer) -> None:
        """Round the shares of a region, and drop the worst loser until the rest is supported."""
        lumps = self._space.horizon.lumps
        share = answer.x[self._share]
        on = self._space.decided & ~region.off & (region.on | (share >= np.maximum(self._least, 1.0) / 2))
        for g in np.unique(lumps.group[on & (lumps.group != NONE)]):
            members = np.flatnonzero(on & (lumps.group == g))
            on[members] = False
            on[members[share[members].argmax()]] = True
        while True:
            on = self._closed(on)
            relaxed = self._relaxed.solve(self._share, *self._space.relaxed_bounds(on))
            if relaxed is None:
                return
            left = np.where(on, relaxed.x[self._share] / np.maximum(self._least, FEASIBLE), np.inf)
            worst = int(left.argmin()) if len(left) else 0
            if not len(left) or left[worst] >= 1 - FEASIBLE:
                self._keep(on, relaxed)
                return
            on[worst] = False

    def _closed(self, on: BoolArray) -> BoolArray:
        """The lumps of a set whose parents are in it too."""
        parent = self._space.horizon.lumps.parent
        while True:
            orphan = on & (parent != NONE) & ~on[parent]
            if not orphan.any():
                return on
            on = on & ~orphan

    def _keep(self, on: BoolArray, relaxed: Answer) -> None:
        """Take a point of R as the best clearing where it is a clearing and has more welfare."""
        model = self._space.model
        outside = relaxed.x[model.short].sum() + relaxed.x[model.spare].sum()
        if outside <= FEASIBLE and (self._best is None or relaxed.welfare_nano > self._best.welfare_nano):
            self._best = Supported(on, relaxed.x, relaxed.row_price, relaxed.welfare_nano)

    def _supported(self, on: BoolArray) -> Supported | None:
        """W and R of a set; None where nothing balances with it."""
        bounds = self._space.share_bounds(Region(on, self._space.decided & ~on))
        inside = self._inside.solve(self._share, *bounds)
        relaxed = self._relaxed.solve(self._share, *self._space.relaxed_bounds(on))
        if inside is None or relaxed is None:
            return None
        if relaxed.welfare_nano > inside.welfare_nano + 2 * self._space.tolerance_nano:
            return None
        return Supported(on, inside.x, relaxed.row_price, inside.welfare_nano)

    def _no_clearing(self, region: Region) -> FloatArray:
        """Row prices that prove that a region holds no clearing: those of the least energy from or to nowhere."""
        model = self._space.model
        arrays = model.arrays
        cost, upper = np.zeros_like(arrays.cost), arrays.upper.copy()
        outside = np.concatenate((model.short, model.spare))
        cost[outside], upper[outside] = 1.0, np.inf
        hot = HotModel(replace(arrays, cost=cost, upper=upper))
        answer = hot.solve(self._share, *self._space.share_bounds(region))
        return np.zeros(len(arrays.row_lower)) if answer is None else answer.row_price
