"""AC power flows of a radial grid for many loads at once, by forward and backward sweeps in numpy.

Loads are constant powers, and the voltage of the root is 1. A balanced state needs one phase; those of three
phases see `optimizer.three_phase`. Shirmohammadi, Hong, Semlyen, Luo, IEEE Trans. Power Systems 3 (1988), 753-762.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from market.auctions.network import Tree, network_of
from market.errors import InvalidGrid
from market.grid import Grid
from market.units import WH_PER_KWH, FloatArray

MOST_ROUNDS: Final = 200
SETTLED: Final = 1e-10
"""Largest change of a voltage in the last round. [per unit]"""
COLLAPSED: Final = 0.2
"""Voltage below which a constant power has no meaning. [per unit]"""


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """States of a grid, NaN where loads have none.

    Args:
        voltage: Voltage of each node and phase to neutral, as a share of the base, shape (n, phases, T).
        loading: Current of each line and phase over what its limit allows in it, shape (m, phases, T); NaN without a
            limit, and for an open line.
        losses_kwh: What the lines lose, shape (T,). [kWh]
    """

    voltage: FloatArray
    loading: FloatArray
    losses_kwh: FloatArray


def tree_of(grid: Grid, what: str = "sweeps") -> Tree:
    """The walk of a radial grid.

    Raises:
        InvalidGrid: The grid is meshed.
    """
    if not grid.is_tree:
        raise InvalidGrid([f"lines form a loop, and {what} are for radial grids; open a line"])
    tree = network_of(grid).tree
    assert tree is not None
    return tree


def balanced_flows(grid: Grid, load_wh: FloatArray, load_varh: FloatArray | None = None) -> Swept:
    """Return the states of a radial grid, balanced over its phases, for the loads of several intervals.

    Args:
        grid: A tree, in the units of an interval.
        load_wh: Energy that each node takes, below 0 where it gives; that of the root is ignored, shape (n, T). [Wh]
        load_varh: Reactive energy, the same; the reactive loads of the grid where None. [varh]

    Raises:
        InvalidGrid: The grid is meshed.
    """
    tree = tree_of(grid)
    impedance = np.zeros((len(tree.order), 1, 1), dtype=np.complex128)
    impedance[1:, 0, 0] = (grid.lines.r + 1j * grid.lines.x)[tree.line[1:]]
    reactive = grid.nodes.reactive_load[:, None] * WH_PER_KWH if load_varh is None else load_varh
    return swept(grid, tree, impedance, ((load_wh + 1j * reactive) / WH_PER_KWH)[:, None, :])


def swept(grid: Grid, tree: Tree, impedance: Any, taken: Any) -> Swept:
    """Return the states of a radial grid.

    Args:
        grid: The grid.
        tree: Its walk.
        impedance: Matrix of the phases of the line that leads to each place, per unit, shape (n, phases, phases).
        taken: Complex power of each node and phase, per unit of a phase, shape (n, phases, T).
    """
    at_place = np.array(taken[tree.order], dtype=np.complex128)
    at_place[0] = 0.0
    voltage, current = _rounds(tree, impedance, at_place)
    phases = taken.shape[1]
    losses = np.einsum("pit,pit->t", current.conj(), impedance @ current).real / phases
    by_node, by_line = np.empty(taken.shape), np.full((len(grid.lines), *taken.shape[1:]), np.nan)
    by_node[tree.order] = np.abs(voltage)
    limit = np.where(grid.lines.limit_wh > 0, grid.lines.limit_wh / WH_PER_KWH, np.nan)
    rows = tree.line[1:]
    by_line[rows] = np.abs(current[1:]) / limit[rows, None, None]
    return Swept(by_node, by_line, losses)


def _rounds(tree: Tree, impedance: Any, taken: Any) -> tuple[Any, Any]:
    """Voltage of each place, and current of the line that leads to it, of the shape of `taken`; NaN without a state."""
    count, phases, _ = taken.shape
    source = np.exp(-2j * np.pi * np.arange(phases) / phases)[:, None]
    voltage = np.broadcast_to(source, taken.shape).copy()
    parents = tree.parent.tolist()
    taken = taken.copy()
    lost = np.zeros(taken.shape[2], dtype=np.bool_)
    for _ in range(MOST_ROUNDS):
        current = (taken / voltage).conj()
        for place in range(count - 1, 0, -1):
            current[parents[place]] += current[place]
        current[0] = 0.0
        drop = impedance @ current
        found = np.empty_like(voltage)
        found[0] = source
        for place in range(1, count):
            found[place] = found[parents[place]] - drop[place]
        change = np.abs(found - voltage).max(axis=(0, 1), initial=0.0)
        voltage = found
        # Loads without a state are taken out, so that the others go on in finite numbers.
        collapsed = ~(np.abs(voltage).min(axis=(0, 1), initial=1.0) > COLLAPSED)
        if collapsed.any():
            lost |= collapsed
            taken[:, :, collapsed] = 0.0
            voltage[:, :, collapsed] = source
            change[collapsed] = 0.0
        if not (change >= SETTLED).any():
            break
    else:
        lost |= change >= SETTLED
    voltage[:, :, lost], current[:, :, lost] = np.nan, np.nan
    return voltage, current
