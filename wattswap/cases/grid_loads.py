"""What the nodes of a grid take, by phase: cleared by a market, of a network file, or of a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from market.units import FloatArray
from wattswap.cases.contract import clear_case
from wattswap.cases.grid_file import LoadedGrid
from wattswap.errors import Infeasible, InvalidData, Problem, UsageError, suggest


@dataclass(frozen=True, slots=True, eq=False)
class NodeLoads:
    """Loads of nodes by phase.

    Args:
        kw: Power that each node takes, below 0 where it gives, shape (n, 3). [kW]
        kvar: Reactive power, the same. [kvar]
        price: Price of each node, None where it has none; None without a market.
    """

    kw: FloatArray
    kvar: FloatArray
    price: list[float | None] | None = None


def loads_of(
    loaded: LoadedGrid, *, mechanism: str = "nodal_price", loads: Path | None = None, scale: float = 1.0
) -> NodeLoads:
    """Return the loads of a grid; a home is on its phases where the grid states them.

    Args:
        loaded: A case, which is cleared; or a grid with loads.
        mechanism: Clears the case.
        loads: CSV file with the columns node, kw and kvar, instead of the loads of a network file; without the last one
            the reactive loads of the grid count. A home may be named in place of its node.
        scale: Factor on these loads.

    Raises:
        UsageError: A grid without loads, or loads for a case.
        InvalidData: The file of loads cannot be used.
        Infeasible: The case cannot be cleared.
    """
    if loaded.case is not None and "orders" in loaded.case:
        if loads is not None or scale != 1:
            what = "--loads" if loads is not None else "--scale"
            raise UsageError.of(what, "is for a grid without orders", "leave it out, or name the grid alone")
        return _cleared(loaded, mechanism)
    found = _from_file(loaded, loads) if loads is not None else _own(loaded)
    return NodeLoads(found.kw * scale, found.kvar * scale)


def _cleared(loaded: LoadedGrid, mechanism: str) -> NodeLoads:
    assert loaded.case is not None
    result = clear_case(loaded.case, mechanism)
    if result["status"] == "infeasible":
        raise Infeasible.of("", f"the case cannot be cleared: {result['reason']}")
    place = _places(loaded)
    orders = {str(order["id"]): order for order in loaded.case["orders"]}
    kw = np.zeros((len(loaded.grid.nodes), 3))
    for found in result["orders"]:
        order = orders[str(found["id"])]
        home = str(order["participant"])
        node = str(order.get("node", loaded.homes.get(home)))
        sign = 1.0 if order["side"] == "buy" else -1.0
        kw[place[node]] += sign * found["accepted_kwh"] * loaded.phases(home)
    return NodeLoads(kw, _reactive(loaded), [node["price"] for node in result["nodes"]])


def _reactive(loaded: LoadedGrid) -> FloatArray:
    """The reactive loads of the grid, on the phases of the homes at each node in equal parts."""
    share = np.zeros((len(loaded.grid.nodes), 3))
    place = _places(loaded)
    for home, node in loaded.homes.items():
        share[place[node]] += loaded.phases(home)
    share[share.sum(axis=1) == 0] = 1.0
    found: FloatArray = loaded.grid.nodes.reactive_load[:, None] * share / share.sum(axis=1, keepdims=True)
    return found


def _places(loaded: LoadedGrid) -> dict[str, int]:
    return {name: i for i, name in enumerate(loaded.grid.nodes.names)}


def _own(loaded: LoadedGrid) -> NodeLoads:
    """The loads of a network file."""
    if not loaded.phase_kw:
        cure = "give them by --loads FILE.csv (node,kw,kvar), or name the network file or a case with orders"
        raise UsageError.of("GRID", "has no loads", cure)
    names = loaded.grid.nodes.names
    return NodeLoads(_by_node(loaded.phase_kw, names), _by_node(loaded.phase_kvar, names))


def _by_node(values: Mapping[str, list[float]], names: tuple[str, ...]) -> FloatArray:
    return np.array([values[name] for name in names], dtype=np.float64)


def _from_file(loaded: LoadedGrid, path: Path) -> NodeLoads:
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as unreadable:
        raise InvalidData.of(str(path), f"cannot be read: {unreadable}", "name a CSV file") from None
    place = _places(loaded)
    place |= {home: place[node] for home, node in loaded.homes.items() if home not in place}
    kw, kvar = np.zeros((2, len(loaded.grid.nodes), 3))
    problems = []
    for number, row in enumerate(rows, 2):
        where, name = f"{path.name}:{number}", row.get("node") or ""
        if name not in place:
            problems.append(Problem(where, f"{name!r} is no node of the grid", suggest(name, place)))
            continue
        try:
            share = loaded.phases(name)
            kw[place[name]] += float(row["kw"]) * share
            kvar[place[name]] += float(row.get("kvar") or 0.0) * share
        except (KeyError, TypeError, ValueError):
            what = "needs a number in 'kw', and one or nothing in 'kvar'"
            problems.append(Problem(where, what, "correct it"))
    if rows and "kvar" not in rows[0]:
        kvar = _reactive(loaded)
    if problems or not rows or not (np.isfinite(kw).all() and np.isfinite(kvar).all()):
        raise InvalidData(*problems or [Problem(str(path), "holds no finite loads", "give node,kw,kvar")])
    return NodeLoads(kw, kvar)
