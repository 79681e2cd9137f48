"""The grid of a case: nodes and lines in decimal numbers become the arrays of `market.grid`.

A case has no clock: its interval counts as one hour. A limit of 1 kW lets 1 kWh through, and per-unit values have a
base of 1 kWh per interval, which is 1 kVA. With `base_kva` they are converted to it: r and x are divided by the base.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, get_args

import numpy as np

from market.clearing import PriceInterval
from market.errors import InvalidGrid
from market.grid import ENDS_NOWHERE, NO_LIMIT, Grid, GridKind, Lines, Nodes
from market.units import FloatArray, price
from wattswap.errors import suggest
from wattswap.inputs.collector import CaseReader, shown

_KEYS = {"nodes", "kind", "lines", "root", "vmin", "vmax", "reactive_load", "base_kva"}
_LINE_KEYS = {"id", "from", "to"}
_MORE_LINE_KEYS = {"susceptance", "r", "x", "limit_kw"}


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    start: int
    end: int
    r: float
    x: float
    limit_wh: int


def node_names(read: CaseReader, grid: Any) -> dict[str, int]:
    """Index of each node by its name."""
    if not isinstance(grid, Mapping) or "nodes" not in grid:
        read.note("grid", "must be an object with 'nodes'")
        return {}
    read.mapping(grid, "grid", {"nodes"}, _KEYS)
    nodes = read.items(grid["nodes"], "grid.nodes")
    names = [read.name(node, f"grid.nodes[{i}]") for i, node in enumerate(nodes)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        read.note("grid.nodes", f"{shown(name)} is listed twice", "keep one")
    return {name: i for i, name in enumerate(dict.fromkeys(names))}


def node_index(read: CaseReader, value: Any, where: str, nodes: Mapping[str, int]) -> int:
    """Index of the node that a value names; -1 where the grid has none of this name."""
    name = read.name(value, where)
    if name not in nodes:
        read.note(where, f"{shown(name)} is not a node of the grid", suggest(name, nodes))
    return nodes.get(name, -1)


def read_grid(read: CaseReader, grid: Any, names: Mapping[str, int]) -> Grid | None:
    """Read a whole grid; what is wrong with it is noted.

    Args:
        read: Collects what is wrong.
        grid: As JSON holds it.
        names: Its nodes, as `node_names` reads them.

    Returns:
        The grid, None where it is none.
    """
    if not names:
        return None
    before = len(read.problems)
    for key in sorted({"kind", "lines"} - set(grid)):
        read.note("grid", f"{key!r} is missing")
    kind: GridKind = read.choice(grid.get("kind", "dc"), "grid.kind", get_args(GridKind))
    base_kva = _number(read, grid, "base_kva", "grid", 1.0)
    if base_kva <= 0:
        read.note("grid.base_kva", f"is {shown(grid['base_kva'])}", "give a power above 0")
        base_kva = 1.0
    lines = [
        _line(read, line, f"grid.lines[{i}]", names, kind, base_kva)
        for i, line in enumerate(read.items(grid.get("lines", []), "grid.lines"))
    ]
    root = node_index(read, grid["root"], "grid.root", names) if "root" in grid else 0
    bounds = {key: _number(read, grid, key, "grid", 1.0) for key in ("vmin", "vmax") if key in grid}
    reactive = _reactive_load(read, grid.get("reactive_load", {}), names)
    try:
        found = Grid(kind, Nodes(tuple(names), reactive), _columns(lines), max(root, 0), **bounds)
    except InvalidGrid as invalid:
        # An end that is not a node has been noted, with the nearest name.
        for problem in invalid.problems:
            if not problem.endswith(ENDS_NOWHERE):
                read.note("grid", problem)
        return None
    if found.kind == "lindistflow" and not found.is_tree:
        read.note("grid.lines", "form a loop", "take a line out, or choose the kind 'dc'")
    return found if len(read.problems) == before else None


def node_prices(grid: Grid, prices: tuple[PriceInterval | None, ...]) -> list[dict[str, Any]]:
    """The prices of the nodes for people; a clearing with a single price has it at every node."""
    by_node = prices * len(grid.nodes) if len(prices) == 1 else prices
    return [
        {
            "node": name,
            "price": None if found is None else price(found.price),
            "price_interval": None if found is None else [price(found.lo), price(found.hi)],
        }
        for name, found in zip(grid.nodes.names, by_node, strict=True)
    ]


def _line(
    read: CaseReader, line: Any, where: str, names: Mapping[str, int], kind: GridKind, base_kva: float
) -> _Line:
    given = read.mapping(line, where, _LINE_KEYS, _MORE_LINE_KEYS)
    name = read.name(given["id"], f"{where}.id") if "id" in given else where
    start, end = (
        node_index(read, given[key], f"{where}.{key}", names) if key in given else -1
        for key in ("from", "to")
    )
    if {"x", "susceptance"} <= set(given):
        read.note(where, "has both 'x' and 'susceptance'", "keep one; susceptance is 1/x")
    elif kind == "lindistflow" and not {"x", "susceptance"} & set(given):
        read.note(where, "'x' is missing", "a grid of the kind 'lindistflow' needs it")
    susceptance = _number(read, given, "susceptance", where, 1.0)
    x = _number(read, given, "x", where, 1 / susceptance if susceptance else inf)
    r = _number(read, given, "r", where, 0.0)
    limit = given.get("limit_kw")
    limit_wh = NO_LIMIT if limit is None else read.energy_wh(limit, f"{where}.limit_kw")
    return _Line(name, start, end, r / base_kva, x / base_kva, max(limit_wh, NO_LIMIT))


def _number(read: CaseReader, given: Mapping[str, Any], key: str, where: str, default: float) -> float:
    number = read.number(given[key], f"{where}.{key}") if key in given else None
    return default if number is None else float(number)


def _reactive_load(read: CaseReader, given: Any, names: Mapping[str, int]) -> FloatArray:
    """Reactive load by node, zero where none is given. [kvarh per interval]"""
    load = read.mapping(given, "grid.reactive_load", set(), set(names))
    return np.array([_number(read, load, name, "grid.reactive_load", 0.0) for name in names])


def _columns(lines: list[_Line]) -> Lines:
    return Lines(
        tuple(line.name for line in lines),
        np.array([line.start for line in lines], dtype=np.int64),
        np.array([line.end for line in lines], dtype=np.int64),
        np.array([line.r for line in lines], dtype=np.float64),
        np.array([line.x for line in lines], dtype=np.float64),
        np.array([line.limit_wh for line in lines], dtype=np.int64),
    )
