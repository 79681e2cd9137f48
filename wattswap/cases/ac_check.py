"""An AC power flow of what a market cleared on a grid, or of the loads of a file, beside the market's equations."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from market.grid import NO_LIMIT
from market.units import WH_PER_KWH, FloatArray
from optimizer.power_flow import AcNetwork, PowerFlow, linear_power_flow
from wattswap.cases.contract import clear_case
from wattswap.cases.grid_file import LoadedGrid
from wattswap.errors import Infeasible, InvalidData, Problem, UsageError, suggest

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


def check_ac(
    loaded: LoadedGrid, *, mechanism: str = "nodal_price", loads: Path | None = None, scale: float = 1.0
) -> AcCheck:
    """Compare the AC power flow with the equations of the market.

    Args:
        loaded: A case, which is cleared; or a grid with loads.
        mechanism: Clears the case.
        loads: CSV file with the columns node, kw and kvar, instead of the loads of a network file; without the last one
            the reactive loads of the grid count.
        scale: Factor on these loads.

    Raises:
        UsageError: A grid without loads, or loads for a case.
        InvalidData: The file of loads cannot be used.
        Infeasible: The case cannot be cleared.
        OptimizerError: No power flow exists, or pandapower is not installed.
    """
    kw, kvar, price = loads_of(loaded, mechanism=mechanism, loads=loads, scale=scale)
    ac = AcNetwork(loaded.grid).solve(kw, kvar)
    return AcCheck(loaded, kw, kvar, ac, linear_power_flow(loaded.grid, kw, kvar), price)


def loads_of(
    loaded: LoadedGrid, *, mechanism: str = "nodal_price", loads: Path | None = None, scale: float = 1.0
) -> tuple[FloatArray, FloatArray, list[float | None] | None]:
    """Active and reactive load of each node, and prices where a case is cleared; see `check_ac`."""
    if loaded.case is not None and "orders" in loaded.case:
        if loads is not None or scale != 1:
            what = "--loads" if loads is not None else "--scale"
            raise UsageError.of(what, "is for a grid without orders", "leave it out, or name the grid alone")
        kw, price = _cleared(loaded, mechanism)
        return kw, loaded.grid.nodes.reactive_load.copy(), price
    kw, kvar = _from_file(loaded, loads) if loads is not None else _own(loaded)
    return kw * scale, kvar * scale, None


def _cleared(loaded: LoadedGrid, mechanism: str) -> tuple[FloatArray, list[float | None]]:
    """Net consumption and price of each node after clearing the case."""
    assert loaded.case is not None
    result = clear_case(loaded.case, mechanism)
    if result["status"] == "infeasible":
        raise Infeasible.of("", f"the case cannot be cleared: {result['reason']}")
    place = {name: i for i, name in enumerate(loaded.grid.nodes.names)}
    at = {
        str(order["id"]): (
            place[str(order.get("node", loaded.homes.get(str(order["participant"]))))],
            1.0 if order["side"] == "buy" else -1.0,
        )
        for order in loaded.case["orders"]
    }
    kw = np.zeros(len(place))
    for order in result["orders"]:
        node, sign = at[str(order["id"])]
        kw[node] += sign * order["accepted_kwh"]
    return kw, [node["price"] for node in result["nodes"]]


def _own(loaded: LoadedGrid) -> tuple[FloatArray, FloatArray]:
    """The loads of a network file."""
    if not loaded.load_kw:
        cure = "give them by --loads FILE.csv (node,kw,kvar), or name the network file or a case with orders"
        raise UsageError.of("GRID", "has no loads", cure)
    names = loaded.grid.nodes.names
    return _by_node(loaded.load_kw, names), _by_node(loaded.load_kvar, names)


def _by_node(values: Mapping[str, float], names: tuple[str, ...]) -> FloatArray:
    return np.array([float(values.get(name, 0.0)) for name in names])


def _from_file(loaded: LoadedGrid, path: Path) -> tuple[FloatArray, FloatArray]:
    """Loads of a CSV file, summed by node; a home may be named in place of its node."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as unreadable:
        raise InvalidData.of(str(path), f"cannot be read: {unreadable}", "name a CSV file") from None
    place = {name: i for i, name in enumerate(loaded.grid.nodes.names)}
    place |= {home: place[node] for home, node in loaded.homes.items() if home not in place}
    kw, kvar = np.zeros((2, len(loaded.grid.nodes)))
    problems = []
    for number, row in enumerate(rows, 2):
        where = f"{path.name}:{number}"
        name = row.get("node") or ""
        if name not in place:
            problems.append(Problem(where, f"{name!r} is no node of the grid", suggest(name, place)))
            continue
        try:
            kw[place[name]] += float(row["kw"])
            kvar[place[name]] += float(row.get("kvar") or 0.0)
        except (KeyError, TypeError, ValueError):
            problems.append(
                Problem(where, "needs a number in 'kw', and one or nothing in 'kvar'", "correct it")
            )
    if rows and "kvar" not in rows[0]:
        kvar = loaded.grid.nodes.reactive_load.copy()
    if problems or not rows or not (np.isfinite(kw).all() and np.isfinite(kvar).all()):
        raise InvalidData(*problems or [Problem(str(path), "holds no finite loads", "give node,kw,kvar")])
    return kw, kvar


def _known(value: Any) -> float | None:
    """A number of six decimals; None where it does not exist."""
    return None if not np.isfinite(value) else round(float(value), 6)
