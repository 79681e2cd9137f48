"""What a grid carries for given loads: by the linear equations of the market, and by an AC power flow of pandapower.

Both take the active and reactive power of every node, balanced over three phases, and say the voltage of every node and
how much of its limit every line uses. The linear equations know neither losses nor what reactive power adds to a
current; the AC power flow does. It needs the optional package pandapower (`pip install wattswap[ac]`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np

from market.auctions.network import Network
from market.grid import NO_LIMIT, Grid
from market.units import WH_PER_KWH, FloatArray
from optimizer.errors import MissingPackage, NoPowerFlow

KW_PER_MW: Final = 1_000.0
TOLERANCE_MVA: Final = 1e-9
"""Power that may be left at a node: a milliwatt. [MVA]"""
KV: Final = 1.0
"""Voltage at which a grid in per unit is built; any gives the same. [kV]"""


@dataclass(frozen=True, slots=True, eq=False)
class PowerFlow:
    """A state of a grid.

    Args:
        voltage: Voltage of each node, as a share of the base, shape (n,); NaN in a grid without voltages.
        flow_kw: Active power that enters each line at its start, shape (m,); below 0 towards the start. [kW]
        loading: Share of its limit that each line uses, shape (m,): of its current in AC; NaN without a limit.
        losses_kw: What the lines lose; 0 by the linear equations. [kW]
    """

    voltage: FloatArray
    flow_kw: FloatArray
    loading: FloatArray
    losses_kw: float


def linear_power_flow(
    grid: Grid, load_kw: FloatArray, load_kvar: FloatArray, *, hours: float = 1.0
) -> PowerFlow:
    """Return the state of a grid by the equations of the market: LinDistFlow, or DC without voltages.

    Args:
        grid: The grid; of its own reactive loads nothing is used.
        load_kw: Power that each node takes, below 0 where it gives; that of the root is ignored, shape (n,). [kW]
        load_kvar: Reactive power that each node takes, the same. [kvar]
        hours: Length of the interval whose energies the limits and the base of the grid count. [h]
    """
    network = Network(grid)
    taken = _balanced(grid, load_kw)
    state = network.state(taken * WH_PER_KWH * hours)
    flow = state.flow_wh / (WH_PER_KWH * hours)
    voltage: FloatArray = np.full(len(grid.nodes), np.nan)
    tree = network.tree
    if tree is not None and network.has_voltages:
        lines, row = grid.lines, tree.line[1:]
        drop = np.zeros(len(grid.nodes))
        drop[1:] = (
            lines.r[row] * tree.sums(taken)[1:] + lines.x[row] * tree.sums(_balanced(grid, load_kvar))[1:]
        )
        squared = 1.0 - 2.0 * hours * tree.paths(drop)
        voltage[tree.order] = np.sqrt(np.maximum(squared, 0.0))
    limit = _limit_kw(grid, hours)
    return PowerFlow(voltage, flow, np.abs(flow) / limit, 0.0)


class AcNetwork:
    """A grid built once in pandapower, for any number of loads."""

    def __init__(self, grid: Grid, *, hours: float = 1.0) -> None:
        """Build a grid.

        Args:
            grid: In per unit; open lines (a limit of 0) are left out.
            hours: Length of the interval whose energies the limits and the base of the grid count. [h]

        Raises:
            MissingPackage: pandapower is not installed.
        """
        self._pp = _pandapower()
        self.grid, self._limit_kw = grid, _limit_kw(grid, hours)
        self._closed = np.flatnonzero(grid.lines.limit_wh != 0)
        with warnings.catch_warnings():
            # pandapower warns about its own use of pandas; nothing there that a user could act on.
            warnings.simplefilter("ignore")
            self._net = self._built(hours)

    def _built(self, hours: float) -> Any:
        pp, grid, closed = self._pp, self.grid, self._closed
        net = pp.create_empty_network(sn_mva=1.0)
        pp.create_buses(net, len(grid.nodes), vn_kv=KV)
        pp.create_ext_grid(net, grid.root, vm_pu=1.0)
        # A base of 1 kWh an interval is 1 / hours kW; z per unit of S kVA is z 1000 U^2 / S ohm.
        ohm = KW_PER_MW * KV**2 * hours
        limit = np.where(np.isfinite(self._limit_kw), self._limit_kw, 1.0)[closed]
        pp.create_lines_from_parameters(
            net,
            grid.lines.start[closed],
            grid.lines.end[closed],
            length_km=1.0,
            r_ohm_per_km=grid.lines.r[closed] * ohm,
            x_ohm_per_km=grid.lines.x[closed] * ohm,
            c_nf_per_km=0.0,
            max_i_ka=limit / (sqrt(3) * KV * KW_PER_MW),
        )
        pp.create_loads(net, list(range(len(grid.nodes))), p_mw=0.0, q_mvar=0.0)
        return net

    def solve(self, load_kw: FloatArray, load_kvar: FloatArray) -> PowerFlow:
        """Return the state of the grid for loads, as `linear_power_flow` takes them.

        Raises:
            NoPowerFlow: The loads are more than the lines can carry at any voltage.
        """
        net, closed = self._net, self._closed
        net.load["p_mw"] = _without_root(self.grid, load_kw) / KW_PER_MW
        net.load["q_mvar"] = _without_root(self.grid, load_kvar) / KW_PER_MW
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._pp.runpp(net, numba=False, tolerance_mva=TOLERANCE_MVA, init="flat", max_iteration=50)
            except self._pp.LoadflowNotConverged:
                raise NoPowerFlow(
                    f"no power flow exists for loads of {float(load_kw.sum()):.1f} kW: the voltage collapses;"
                    " lower the loads, or check r, x and base_kva by `wattswap grid check`"
                ) from None
        flow, loading = np.zeros((2, len(self.grid.lines)))
        flow[closed] = net.res_line["p_from_mw"].to_numpy() * KW_PER_MW
        loading[closed] = net.res_line["loading_percent"].to_numpy() / 100
        return PowerFlow(
            net.res_bus["vm_pu"].to_numpy().copy(),
            flow,
            np.where(np.isfinite(self._limit_kw), loading, np.nan),
            float(net.res_line["pl_mw"].sum()) * KW_PER_MW,
        )


def ac_power_flow(grid: Grid, load_kw: FloatArray, load_kvar: FloatArray, *, hours: float = 1.0) -> PowerFlow:
    """Return the AC state of a grid for one set of loads; arguments and errors as of `AcNetwork`."""
    return AcNetwork(grid, hours=hours).solve(load_kw, load_kvar)


def _limit_kw(grid: Grid, hours: float) -> FloatArray:
    """Limits of lines; NaN without one. An open line carries nothing and uses nothing of its limit. [kW]"""
    limit = grid.lines.limit_wh / (WH_PER_KWH * hours)
    found: FloatArray = np.where(grid.lines.limit_wh == NO_LIMIT, np.nan, np.where(limit == 0, np.inf, limit))
    return found


def _balanced(grid: Grid, load: FloatArray) -> FloatArray:
    """Loads with the root giving what all others take."""
    found = _without_root(grid, load)
    found[grid.root] = -found.sum()
    return found


def _without_root(grid: Grid, load: FloatArray) -> FloatArray:
    found = np.array(load, dtype=np.float64)
    found[grid.root] = 0.0
    return found


def _pandapower() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pandapower
    except ImportError:
        raise MissingPackage(
            "an AC power flow needs the optional package pandapower; install it: pip install 'wattswap[ac]'"
        ) from None
    return pandapower
