"""Flows and voltages of a grid as functions of what its nodes take, and its limits as rows of one linear system.

With z the net consumption of each node [Wh], every limit is a row a z <= b:

- on a tree the flow towards a node is the sum of z over everything behind it, so a line's row is 0 or 1;
- on a meshed grid the flow is a fixed share of what each node takes (power transfer distribution factors). A line with
  a limit of 0 is open: it carries nothing, and the others flow as if it were not there;
- the squared voltage of a node is 1 minus 2 (r P + x Q) of every line on the way to it from the root (linearised
  DistFlow: Baran, Wu, IEEE Trans. Power Delivery 4 (1989), 725-734, without losses). [parts per million]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any, Final

import numpy as np

from market.book import OrderBook
from market.errors import InvalidGrid
from market.grid import NO_LIMIT, Grid
from market.units import PPM, WH_PER_KWH, BoolArray, FloatArray, IntArray

NOISE: Final = 1e-6
"""What arithmetic in floats may be off a limit. [Wh, or ppm of a squared voltage]"""
PPM_PER_WH: Final = 2 * PPM / WH_PER_KWH
"""Squared voltage that 1 Wh costs in a line of 1 per unit. [ppm]"""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a grid carries.

    Args:
        load_wh: Net consumption of each node. [Wh]
        flow_wh: Flow of each line, from its start to its end. [Wh]
        v_ppm: Squared voltage of each node, parts per million; None for a grid without voltages.
    """

    load_wh: FloatArray
    flow_wh: FloatArray
    v_ppm: FloatArray | None


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A radial grid in the order of a walk from the root that finishes each branch before the next.

    Args:
        order: Node at each place of the walk; the root is first.
        end: First place that is no longer behind the node at a place.
        place: Place of each node.
        line: Line that leads to the node at each place; -1 at the root.
        towards: +1 where the start of this line is nearer to the root, else -1; 0 at the root.
        parent: Place of the node before it; -1 at the root.
    """

    order: IntArray
    end: IntArray
    place: IntArray
    line: IntArray
    towards: IntArray
    parent: IntArray

    def sums(self, values: FloatArray) -> FloatArray:
        """Of each place, the sum of what is at it and behind it; values are by node."""
        cumulative = np.zeros(len(self.order) + 1)
        values[self.order].cumsum(out=cumulative[1:])
        behind: FloatArray = cumulative[self.end] - cumulative[:-1]
        return behind

    def paths(self, values: FloatArray) -> FloatArray:
        """Of each place, the sum of the values of places on the way from the root to it; values are by place."""
        ended = np.bincount(self.end, values, len(values) + 1)[:-1]
        on_the_way: FloatArray = (values - ended).cumsum()
        return on_the_way


class Network:
    """A grid prepared once: of each limit its row, and of a load its flows and voltages."""

    def __init__(self, grid: Grid) -> None:
        """Prepare a grid.

        Raises:
            InvalidGrid: Its kind asks for a tree, and its lines form a loop.
        """
        self.grid = grid
        self.tree = _walk(grid) if grid.is_tree else None
        if self.tree is None and grid.kind == "lindistflow":
            raise InvalidGrid(
                ["lines form a loop, and 'lindistflow' is for radial grids; choose the kind 'dc'"]
            )
        lines, n = grid.lines, len(grid.nodes)
        self.has_voltages = grid.kind == "lindistflow"
        self.limit_wh: FloatArray = np.where(lines.limit_wh == NO_LIMIT, np.inf, lines.limit_wh)
        self.islands = _islands(grid)
        self.closed = _closed(grid, self.islands)
        if self.tree is not None:
            tree = self.tree
            self.deeper: IntArray = np.zeros(len(lines), dtype=np.int64)
            self.deeper[tree.line[1:]] = tree.order[1:]
            self.line_place: IntArray = np.zeros(len(lines), dtype=np.int64)
            self.line_place[tree.line[1:]] = np.arange(1, n)
            self._line_towards = tree.towards[self.line_place]
            # What is below the noise of floats on a kWh is none, for solvers too.
            self.r_ppm: FloatArray = np.where(lines.r * PPM_PER_WH > 1e-9, lines.r * PPM_PER_WH, 0.0)
            self._r_ppm = np.concatenate(([0.0], self.r_ppm[tree.line[1:]]))
            x_ppm = np.concatenate(([0.0], lines.x[tree.line[1:]])) * 2 * PPM
            drop = tree.paths(x_ppm * tree.sums(grid.nodes.reactive_load))
            self.v_at_rest_ppm: FloatArray = np.empty(n)
            self.v_at_rest_ppm[tree.order] = PPM - drop

    @cached_property
    def transfer(self) -> FloatArray:
        """Flow of each line (rows) for 1 Wh that a node (columns) takes and the root delivers."""
        grid, lines = self.grid, self.grid.lines
        ends = np.zeros((len(lines), len(grid.nodes)))
        ends[np.arange(len(lines)), lines.start] = 1.0
        ends[np.arange(len(lines)), lines.end] = -1.0
        by_line = ends / lines.x[:, None] * self.closed[:, None]
        others = np.delete(np.arange(len(grid.nodes)), grid.root)
        shares = np.zeros_like(ends)
        if len(others):
            laplacian = (ends.T @ by_line)[np.ix_(others, others)]
            shares[:, others] = -np.linalg.solve(laplacian, by_line[:, others].T).T
        shares[np.abs(shares) < 1e-12] = 0.0
        return shares

    def load(self, book: OrderBook, accepted_wh: IntArray | FloatArray) -> FloatArray:
        """Net consumption of each node. [Wh]"""
        taken: Any = np.bincount(book.node, book.side * accepted_wh, len(self.grid.nodes))
        # Without any order, numpy counts in whole numbers.
        load: FloatArray = taken if len(book) else np.zeros(len(self.grid.nodes))
        return load

    def state(self, load_wh: FloatArray) -> State:
        """Flows and voltages of a load that sums to 0."""
        tree = self.tree
        if tree is None:
            return State(load_wh, self.transfer @ load_wh, None)
        behind = tree.sums(load_wh)
        flow = behind[self.line_place] * self._line_towards
        if not self.has_voltages:
            return State(load_wh, flow, None)
        return State(load_wh, flow, self.v_at_rest_ppm - tree.paths(self._r_ppm * behind)[tree.place])

    def room(self, state: State) -> FloatArray:
        """What is left of each limit: of lines forwards and backwards [Wh], of vmin and vmax by node [ppm]."""
        parts = [self.limit_wh - state.flow_wh, self.limit_wh + state.flow_wh]
        if state.v_ppm is not None:
            parts += [state.v_ppm - self.grid.vmin * PPM, self.grid.vmax * PPM - state.v_ppm]
        return np.concatenate(parts)

    @cached_property
    def noise(self) -> FloatArray:
        """How far arithmetic in floats may pass each limit, in the unit of `room`."""
        of_lines = NOISE * (1.0 + 1e-6 * np.where(np.isinf(self.limit_wh), 0.0, self.limit_wh))
        of_nodes = [NOISE] * (2 * len(self.grid.nodes) if self.has_voltages else 0)
        return np.concatenate((of_lines, of_lines, of_nodes))

    @cached_property
    def per_wh(self) -> FloatArray:
        """What 1 Wh moves of each limit at most: 1 for lines; for nodes what one of them takes at itself. [ppm]"""
        ones = np.ones(2 * len(self.grid.lines))
        if self.tree is None or not self.has_voltages:
            return ones
        at_node = np.empty(len(self.grid.nodes))
        at_node[self.tree.order] = self.tree.paths(self._r_ppm)
        return np.concatenate((ones, at_node, at_node))

    def fits(self, state: State) -> bool:
        """Whether every limit holds, within `noise`."""
        if np.count_nonzero(np.abs(state.flow_wh) <= self._most_wh) < len(self.limit_wh):
            return False
        if state.v_ppm is None:
            return True
        lowest, highest = state.v_ppm[state.v_ppm.argmin()], state.v_ppm[state.v_ppm.argmax()]
        return bool(lowest >= self.grid.vmin * PPM - NOISE and highest <= self.grid.vmax * PPM + NOISE)

    @cached_property
    def _most_wh(self) -> FloatArray:
        """Limits of lines with what arithmetic in floats may pass them. [Wh]"""
        most: FloatArray = self.limit_wh + self.noise[: len(self.limit_wh)]
        return most

    def overload_wh(self, state: State) -> int:
        """Largest energy beyond a limit, of a voltage as the Wh at its node that cause it; 0 where all hold. [Wh]"""
        over = -self.room(state)
        beyond = over > self.noise
        if not beyond.any():
            return 0
        return max(1, ceil(float((over[beyond] / np.maximum(self.per_wh[beyond], NOISE)).max())))

    def rows(self, limits: IntArray) -> FloatArray:
        """Coefficients a of some limits, one row each, as numbered by `room`."""
        found = np.zeros((len(limits), len(self.grid.nodes)))
        count = len(self.grid.lines)
        for i, limit in enumerate(limits.tolist()):
            if limit < 2 * count:
                sign = 1.0 if limit < count else -1.0
                found[i] = sign * self._line_row(limit % count)
            else:
                at, node = divmod(limit - 2 * count, len(self.grid.nodes))
                found[i] = (1.0, -1.0)[at] * self._voltage_row(node)
        return found

    def bounds(self, limits: IntArray) -> FloatArray:
        """Right sides b of some limits: what is left of them without any trade."""
        rest: FloatArray = self.room(self.at_rest)[limits]
        return rest

    @cached_property
    def at_rest(self) -> State:
        """The grid without any trade."""
        return self.state(np.zeros(len(self.grid.nodes)))

    @cached_property
    def rests(self) -> bool:
        """Whether every limit holds without any trade."""
        return self.fits(self.at_rest)

    def name_of(self, limit: int) -> str:
        """A limit in words."""
        lines, nodes = self.grid.lines, self.grid.nodes
        if limit < 2 * len(lines):
            return f"the limit of line {lines.names[limit % len(lines)]!r}"
        at, node = divmod(limit - 2 * len(lines), len(nodes))
        return f"{('vmin', 'vmax')[at]} at node {nodes.names[node]!r}"

    def _line_row(self, line: int) -> FloatArray:
        if self.tree is None:
            share: FloatArray = self.transfer[line]
            return share
        place = int(self.line_place[line])
        row = np.zeros(len(self.grid.nodes))
        row[self.tree.order[place : int(self.tree.end[place])]] = float(self._line_towards[line])
        return row

    def _voltage_row(self, node: int) -> FloatArray:
        """Fall of the squared voltage at a node per Wh that each node takes: twice the shared resistance. [ppm]"""
        tree = self.tree
        assert tree is not None
        on_the_way = np.zeros(len(tree.order))
        place = int(tree.place[node])
        while place > 0:
            on_the_way[place] = self._r_ppm[place]
            place = int(tree.parent[place])
        row = np.empty(len(tree.order))
        row[tree.order] = tree.paths(on_the_way)
        return row


_KEPT = 16
_NETWORKS: dict[int, Network] = {}


def network_of(grid: Grid) -> Network:
    """The prepared network of a grid; those of the last grids are kept."""
    # The network holds its grid, so that no other object can have its id as long as it is kept.
    found = _NETWORKS.get(id(grid))
    if found is None:
        if len(_NETWORKS) >= _KEPT:
            _NETWORKS.pop(next(iter(_NETWORKS)))
        found = _NETWORKS[id(grid)] = Network(grid)
    return found


def _walk(grid: Grid) -> Tree:
    n, lines = len(grid.nodes), grid.lines
    beside: list[list[tuple[int, int, int]]] = [[] for _ in range(n)]
    for line, (start, end) in enumerate(zip(lines.start.tolist(), lines.end.tolist(), strict=True)):
        beside[start].append((end, line, 1))
        beside[end].append((start, line, -1))
    order: list[int] = []
    line_of: list[int] = []
    towards: list[int] = []
    parent: list[int] = []
    end = np.zeros(n, dtype=np.int64)
    waiting = [(grid.root, -1, 0, -1)]
    while waiting:
        node, line, sign, before = waiting.pop()
        place = len(order)
        order.append(node)
        line_of.append(line)
        towards.append(sign)
        parent.append(before)
        waiting += [(other, way, s, place) for other, way, s in beside[node] if way != line]
    # A node's branch ends where the last of its descendants does: counted from the back.
    size = np.ones(n, dtype=np.int64)
    for place in range(n - 1, 0, -1):
        size[parent[place]] += size[place]
    end = np.arange(n) + size
    place_of = np.empty(n, dtype=np.int64)
    place_of[order] = np.arange(n)
    columns = (np.array(column, dtype=np.int64) for column in (line_of, towards, parent))
    return Tree(np.array(order, dtype=np.int64), end, place_of, *columns)


def _islands(grid: Grid) -> IntArray | None:
    """Part of the grid that each node is in, where open lines cut it; None where no line is open."""
    lines, n = grid.lines, len(grid.nodes)
    if (lines.limit_wh != 0).all():
        return None
    part = np.arange(n)
    carries = lines.limit_wh != 0
    start, end = lines.start[carries], lines.end[carries]
    while True:
        least = np.minimum(part[start], part[end])
        before = part.copy()
        np.minimum.at(part, start, least)
        np.minimum.at(part, end, least)
        if (part == before).all():
            return np.unique(part, return_inverse=True)[1].astype(np.int64)


def _closed(grid: Grid, islands: IntArray | None) -> BoolArray:
    """Lines that the equations of flows know: not an open one, with a limit of 0, where others connect its ends.

    Between parts of the grid that only open lines connect, one of them stays, so that the grid is one: its limit holds.
    """
    closed: BoolArray = grid.lines.limit_wh != 0
    if islands is None:
        return closed
    part = islands.copy()
    for line in np.flatnonzero(~closed).tolist():
        a, b = part[grid.lines.start[line]], part[grid.lines.end[line]]
        if a != b:
            closed[line] = True
            part[part == b] = a
    return closed


def traded_nodes(network: Network, book: OrderBook, accepted_wh: IntArray) -> BoolArray | None:
    """Nodes of the parts of the grid in which something is traded; None where that is all or none."""
    if network.islands is None:
        return None
    traded = np.bincount(network.islands[book.node], accepted_wh, int(network.islands.max()) + 1) > 0
    nodes: BoolArray = traded[network.islands]
    return nodes
