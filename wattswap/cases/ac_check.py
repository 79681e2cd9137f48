"""An AC power flow of what a market cleared on a grid, or of the loads of a file, beside the market's equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from market.grid import NO_LIMIT
from market.units import WH_PER_KWH, FloatArray
from optimizer.power_flow import AcNetwork, PowerFlow, linear_power_flow
from optimizer.three_phase import ThreePhaseFlow, three_phase_power_flow
from wattswap.cases.grid_file import LoadedGrid
from wattswap.cases.grid_loads import NodeLoads

HARDLY = 1e-6
"""Share of a limit or bound that rounding may pass."""


@dataclass(frozen=True, slots=True, eq=False)
class AcCheck:
    """The states of a grid for the same loads.

    Args:
        loaded: The grid.
        load_kw: Power that each node takes; that of the root is what all others take. [kW]
        load_kvar: Reactive power, the same. [kvar]
        ac: By the AC power flow.
        linear: By the equations of the market.
        price: Price of each node, None where it has none; None without a market.
    """

    loaded: LoadedGrid
    load_kw: FloatArray
    load_kvar: FloatArray
    ac: PowerFlow
    linear: PowerFlow
    price: list[float | None] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON holds it; voltages per unit, loadings as shares of the limit."""
        grid, has_voltages = self.loaded.grid, self.loaded.grid.kind == "lindistflow"
        limits = grid.lines.limit_wh
        error = np.abs(self.ac.voltage - self.linear.voltage)
        nodes = [
            {
                "node": name,
                "load_kw": round(float(self.load_kw[i]), 6),
                "load_kvar": round(float(self.load_kvar[i]), 6),
                "voltage_ac": round(float(self.ac.voltage[i]), 6),
                "voltage_market": _known(self.linear.voltage[i]),
                **({} if self.price is None else {"price": self.price[i]}),
            }
            for i, name in enumerate(grid.nodes.names)
        ]
        lines = [
            {
                "id": name,
                "limit_kw": None if limits[i] == NO_LIMIT else float(limits[i]) / WH_PER_KWH,
                "flow_kw_ac": round(float(self.ac.flow_kw[i]), 6),
                "flow_kw_market": round(float(self.linear.flow_kw[i]), 6),
                "loading_ac": _known(self.ac.loading[i]),
                "loading_market": _known(self.linear.loading[i]),
            }
            for i, name in enumerate(grid.lines.names)
        ]
        low, high = (int(pick(self.ac.voltage)) for pick in (np.argmin, np.argmax))
        return {
            "losses_kw": round(self.ac.losses_kw, 6),
            "lowest_voltage": {"node": grid.nodes.names[low], "voltage": _known(self.ac.voltage[low])},
            "highest_voltage": {"node": grid.nodes.names[high], "voltage": _known(self.ac.voltage[high])},
            "largest_voltage_error": _known(error.max()) if has_voltages else None,
            "nodes_out_of_bounds": self.nodes_out_of_bounds() if has_voltages else [],
            "lines_overloaded": self.lines_overloaded(),
            "nodes": nodes,
            "lines": lines,
        }

    def nodes_out_of_bounds(self) -> list[str]:
        """Nodes whose AC voltage is outside the bounds of the grid."""
        grid, squared = self.loaded.grid, self.ac.voltage**2
        out = (squared < grid.vmin - HARDLY) | (squared > grid.vmax + HARDLY)
        return [grid.nodes.names[i] for i in np.flatnonzero(out).tolist()]

    def lines_overloaded(self) -> list[str]:
        """Lines whose AC current is above their limit."""
        over = np.flatnonzero(np.nan_to_num(self.ac.loading) > 1 + HARDLY).tolist()
        return [self.loaded.grid.lines.names[i] for i in over]


def check_ac(loaded: LoadedGrid, loads: NodeLoads) -> AcCheck:
    """Compare the AC power flow with the equations of the market, balanced over three phases.

    Raises:
        OptimizerError: No power flow exists, or pandapower is not installed.
    """
    kw, kvar = loads.kw.sum(axis=1), loads.kvar.sum(axis=1)
    ac = AcNetwork(loaded.grid).solve(kw, kvar)
    return AcCheck(loaded, kw, kvar, ac, linear_power_flow(loaded.grid, kw, kvar), loads.price)


@dataclass(frozen=True, slots=True, eq=False)
class PhaseCheck:
    """The state of a grid in three phases, for the same loads as balanced by the equations of the market.

    Args:
        loaded: The grid.
        loads: Loads by phase.
        flow: The state by phase.
        linear: By the equations of the market.
    """

    loaded: LoadedGrid
    loads: NodeLoads
    flow: ThreePhaseFlow
    linear: PowerFlow

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON holds it; voltages per unit by phase a, b, c, loadings as shares of the limit."""
        grid, voltage, loading = self.loaded.grid, self.flow.voltage, self.flow.loading
        names = grid.nodes.names
        (low, low_phase), (high, high_phase) = (
            np.unravel_index(pick(voltage), voltage.shape) for pick in (np.argmin, np.argmax)
        )
        squared = voltage**2
        out = ((squared < grid.vmin - HARDLY) | (squared > grid.vmax + HARDLY)).any(axis=1)
        over = (np.nan_to_num(loading) > 1 + HARDLY).any(axis=1)
        worst = np.abs(voltage - self.linear.voltage[:, None]).max()
        return {
            "losses_kw": round(self.flow.losses_kw, 6),
            "lowest_voltage": {
                "node": names[low],
                "phase": "abc"[low_phase],
                "voltage": _known(voltage.min()),
            },
            "highest_voltage": {
                "node": names[high],
                "phase": "abc"[high_phase],
                "voltage": _known(voltage.max()),
            },
            "largest_voltage_error": _known(worst),
            "nodes_out_of_bounds": [names[i] for i in np.flatnonzero(out).tolist()],
            "lines_overloaded": [grid.lines.names[i] for i in np.flatnonzero(over).tolist()],
            "nodes": [
                {
                    "node": name,
                    "load_kw": [round(kw, 6) for kw in self.loads.kw[i].tolist()],
                    "voltage_ac": [_known(v) for v in voltage[i]],
                    "voltage_market": _known(self.linear.voltage[i]),
                }
                for i, name in enumerate(names)
            ],
            "lines": [
                {
                    "id": name,
                    "loading_ac": [_known(one) for one in loading[i]],
                    "loading_market": _known(self.linear.loading[i]),
                }
                for i, name in enumerate(grid.lines.names)
            ],
        }


def check_phases(loaded: LoadedGrid, loads: NodeLoads) -> PhaseCheck:
    """Compare an AC power flow in three phases with the balanced equations of the market.

    Raises:
        InvalidData: Lines lack the impedance of the zero sequence.
        InvalidGrid: The grid is meshed.
        OptimizerError: No power flow exists.
    """
    r0, x0 = loaded.zero_sequence()
    flow = three_phase_power_flow(loaded.grid, r0, x0, loads.kw, loads.kvar, transformers=loaded.transformers)
    linear = linear_power_flow(loaded.grid, loads.kw.sum(axis=1), loads.kvar.sum(axis=1))
    return PhaseCheck(loaded, loads, flow, linear)


def _known(value: Any) -> float | None:
    """A number of six decimals; None where it does not exist."""
    return None if not np.isfinite(value) else round(float(value), 6)
