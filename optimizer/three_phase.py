"""An AC power flow of a radial grid in three phases, by forward and backward sweeps in numpy.

A line of the sequence impedances z1 and z0 has the impedance (2 z1 + z0) / 3 of each phase and (z0 - z1) / 3 between
two of them, its neutral included. No zero-sequence current passes a transformer whose primary is connected in delta, as
those of streets are: lines before one have no zero-sequence voltage drop. Loads are constant powers between phase and
neutral.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from market.auctions.network import Tree
from market.grid import Grid
from market.units import FloatArray
from optimizer.errors import NoPowerFlow
from optimizer.sweeps import swept, tree_of

PHASES: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class ThreePhaseFlow:
    """A state of a grid by phase.

    Args:
        voltage: Voltage of each node and phase to neutral, as a share of the base, shape (n, 3).
        loading: Current of each line and phase over a third of what its limit allows, shape (m, 3); NaN without one.
        losses_kw: What the lines lose. [kW]
    """

    voltage: FloatArray
    loading: FloatArray
    losses_kw: float


def three_phase_power_flow(
    grid: Grid,
    r0: FloatArray,
    x0: FloatArray,
    load_kw: FloatArray,
    load_kvar: FloatArray,
    *,
    transformers: Sequence[int] = (),
    hours: float = 1.0,
) -> ThreePhaseFlow:
    """Return the state of a radial grid for loads by phase.

    Args:
        grid: A tree; its impedances are those of the positive sequence.
        r0: Resistance of the zero sequence of each line, on the base of the grid, shape (m,).
        x0: Reactance of the zero sequence, the same.
        load_kw: Power that each node takes from each phase; that of the root is ignored, shape (n, 3). [kW]
        load_kvar: Reactive power, the same. [kvar]
        transformers: Rows of the lines that are transformers.
        hours: Length of the interval whose energies the limits and the base of the grid count. [h]

    Raises:
        InvalidGrid: The grid is meshed.
        NoPowerFlow: The loads are more than the lines can carry at any voltage.
    """
    tree = tree_of(grid, "sweeps in three phases")
    impedance = phase_impedances(grid, tree, r0, x0, transformers)
    # A base of 1 kWh an interval is 1 / hours kW, a third of it a phase.
    found = swept(grid, tree, impedance, ((load_kw + 1j * load_kvar) * PHASES * hours)[:, :, None])
    if np.isnan(found.losses_kwh).any():
        raise NoPowerFlow(
            "no power flow in three phases exists for these loads: the voltage collapses; lower the loads, or check r,"
            " x and base_kva by `wattswap grid check`"
        )
    return ThreePhaseFlow(found.voltage[:, :, 0], found.loading[:, :, 0], float(found.losses_kwh[0]) / hours)


def phase_impedances(
    grid: Grid, tree: Tree, r0: FloatArray, x0: FloatArray, transformers: Sequence[int]
) -> Any:
    """Matrix of the phases of the line that leads to each place, shape (n, 3, 3)."""
    z1, z0 = grid.lines.r + 1j * grid.lines.x, r0 + 1j * x0
    before = np.zeros(len(grid.lines), dtype=np.bool_)
    is_transformer = np.isin(np.arange(len(grid.lines)), list(transformers))
    for place in range(1, len(tree.order)):
        behind = tree.line[place + 1 : int(tree.end[place])]
        before[tree.line[place]] = bool(is_transformer[behind].any())
    z0 = np.where(before, 0.0, z0)
    own, between = (2 * z1 + z0) / 3, (z0 - z1) / 3
    found = np.zeros((len(tree.order), PHASES, PHASES), dtype=np.complex128)
    rows = tree.line[1:]
    found[1:] = between[rows, None, None]
    found[1:, range(PHASES), range(PHASES)] = own[rows, None]
    return found
