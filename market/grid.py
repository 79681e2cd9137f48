"""The grid of a market: nodes and lines as arrays, checked once; a mechanism declares whether it needs one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from market.errors import InvalidGrid
from market.units import PPM, FloatArray, IntArray

GridKind = Literal["dc", "lindistflow"]
NO_LIMIT = -1
"""In `Lines.limit_wh`: any flow fits."""
ENDS_NOWHERE = "ends at no node"
"""The message about a line with an end outside the nodes."""


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """The nodes of a grid; an order's `node` is an index into them.

    Args:
        names: Each once.
        reactive_load: Reactive load by node, in kvar-hours an interval; zeros where unknown.
    """

    names: tuple[str, ...]
    reactive_load: FloatArray

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """The lines and transformers of a grid, one row each.

    Args:
        names: Each once.
        start: Index of the node at one end; a positive flow leaves it.
        end: Index of the node at the other end.
        r: Resistance, per unit on a base of 1 kWh an interval.
        x: Reactance, in the unit of `r`.
        limit_wh: Largest flow of an interval in either direction, or NO_LIMIT; of a line with losses what is sent into
            it. [Wh]
        loss_ppm: What of the energy sent into a line is lost in it; None where no line loses any. [parts per million]
    """

    names: tuple[str, ...]
    start: IntArray
    end: IntArray
    r: FloatArray
    x: FloatArray
    limit_wh: IntArray
    loss_ppm: IntArray | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def lose(self) -> bool:
        """Whether energy is lost in any of them."""
        return self.loss_ppm is not None and bool(self.loss_ppm.any())

    @property
    def arriving(self) -> FloatArray:
        """Share of what is sent into each line that arrives at its other end."""
        if self.loss_ppm is None:
            return np.ones(len(self.names))
        share: FloatArray = (PPM - self.loss_ppm) / PPM
        return share


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Nodes, lines, and where the outside is connected.

    Args:
        kind: "dc" for meshed grids, "lindistflow" for radial ones with voltages.
        root: Index of the node at which the outside is connected.
        vmin: Lowest squared voltage, per unit; of lindistflow.
        vmax: Highest squared voltage, per unit.

    Raises:
        InvalidGrid: Lists everything that is wrong.
    """

    kind: GridKind
    nodes: Nodes
    lines: Lines
    root: int = 0
    vmin: float = 0.81
    vmax: float = 1.21

    def __post_init__(self) -> None:
        problems = [*_array_problems(self.nodes, self.lines)]
        if not problems:
            problems = [*_value_problems(self), *_islands(self)]
        if problems:
            raise InvalidGrid(problems)

    @property
    def is_tree(self) -> bool:
        """Whether the lines form a tree; a connected grid does with one line less than nodes."""
        return len(self.lines) == len(self.nodes) - 1


def _array_problems(nodes: Nodes, lines: Lines) -> list[str]:
    columns: Sequence[IntArray | FloatArray] = (lines.start, lines.end, lines.r, lines.x, lines.limit_wh)
    problems = []
    if not len(nodes) or nodes.reactive_load.shape != (len(nodes),):
        problems.append("a grid needs nodes, and one reactive load a node")
    if lines.loss_ppm is not None:
        columns = (*columns, lines.loss_ppm)
    if any(column.shape != (len(lines),) for column in columns):
        problems.append("the columns of the lines must be one-dimensional and of equal length")
    for what, names in (("node", nodes.names), ("line", lines.names)):
        twice = sorted({name for name in names if names.count(name) > 1})
        problems += [f"{what} {name!r} is named twice" for name in twice]
    return problems


def _value_problems(grid: Grid) -> list[str]:
    lines, n = grid.lines, len(grid.nodes)
    problems = []
    if not 0 <= grid.root < n:
        problems.append(f"root {grid.root} of {n} nodes")
    if not 0 < grid.vmin <= 1 <= grid.vmax:
        problems.append(f"voltages {grid.vmin:g}..{grid.vmax:g}; 0 < vmin <= 1 <= vmax must hold")
    wrong = {
        ENDS_NOWHERE: (lines.start < 0) | (lines.start >= n) | (lines.end < 0) | (lines.end >= n),
        "starts and ends at one node": lines.start == lines.end,
        "has no impedance": (lines.x <= 0) | (lines.r < 0) | ~np.isfinite(lines.x) | ~np.isfinite(lines.r),
        "has a limit below 0": (lines.limit_wh < 0) & (lines.limit_wh != NO_LIMIT),
    }
    if lines.loss_ppm is not None:
        wrong["has a loss outside of 0..1, 1 left out"] = (lines.loss_ppm < 0) | (lines.loss_ppm >= PPM)
    for what, rows in wrong.items():
        problems += [f"line {lines.names[i]!r} {what}" for i in np.flatnonzero(rows).tolist()]
    return problems + _unfit_for_losses(grid)


def _unfit_for_losses(grid: Grid) -> list[str]:
    """Why lines of this grid cannot lose energy.

    In a loop the flows would follow from the impedances and the losses from the flows, which no linear program says;
    and a price of a voltage moves all nodes in proportions that losses change.
    """
    if not grid.lines.lose:
        return []
    if grid.kind != "dc":
        return [f"lines have a loss, and a grid of the kind {grid.kind!r} has none; choose the kind 'dc'"]
    if not grid.is_tree:
        return ["lines have a loss and form a loop; only a radial grid may lose energy"]
    return []


def _islands(grid: Grid) -> list[str]:
    """Nodes that no line connects with the root."""
    lines, n = grid.lines, len(grid.nodes)
    inside = (np.minimum(lines.start, lines.end) >= 0) & (np.maximum(lines.start, lines.end) < n)
    if not 0 <= grid.root < n or not inside.all():
        return []
    reached = np.zeros(n, dtype=bool)
    reached[grid.root] = True
    while True:
        touched = reached[lines.start] | reached[lines.end]
        before = int(reached.sum())
        reached[lines.start[touched]] = reached[lines.end[touched]] = True
        if int(reached.sum()) == before:
            break
    left = [grid.nodes.names[i] for i in np.flatnonzero(~reached).tolist()]
    return [f"no line connects {', '.join(map(repr, left[:5]))} with the root"] if left else []
