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

from market.auctions.losses import parts
from market.auctions.network import network_of
from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InvalidGrid
from market.grid import ENDS_NOWHERE, NO_LIMIT, Grid, GridKind, Lines, Nodes
from market.units import PPM, WH_PER_KWH, FloatArray, IntArray, kwh, money, price
from wattswap.errors import suggest
from wattswap.inputs.collector import CaseReader, shown

GRID_DETAILS = frozenset({"line_flow_wh", "line_loss_wh", "v_squared", "congestion_rent_nano"})
"""Details of a clearing: flows of lines from start to end, and what they lose [Wh], squared voltages of nodes per unit,
the rent [nano]."""

COMPONENTS = ("energy_per_kwh", "losses_per_kwh", "congestion_per_kwh", "grid_fee_per_kwh")
"""Keys of an order: the price at the root, what losses and limits of lines add to it, and the fee on top."""

_KEYS = {"nodes", "kind", "lines", "root", "vmin", "vmax", "reactive_load", "base_kva", "homes", "phases"}
_LINE_KEYS = {"id", "from", "to"}
_MORE_LINE_KEYS = {"susceptance", "r", "x", "limit_kw", "loss", "length_m", "transformer", "r0", "x0"}


PHASES = ("a", "b", "c", "ab", "ac", "bc", "abc")
"""What a home may be connected to."""
_HIGHEST_BOUND = 4
"""A squared voltage per unit above this is meant in another unit."""
_VOLTS = "vmin and vmax look like volts; they are squared and per unit, as in 0.81 and 1.21"


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    start: int
    end: int
    r: float
    x: float
    limit_wh: int
    loss_ppm: int


def node_names(read: CaseReader, grid: Any) -> dict[str, int]:
    """Index of each node by its name."""
    if not isinstance(grid, Mapping) or "nodes" not in grid:
        read.note("grid", "must be an object with 'nodes'")
        return {}
    read.mapping(grid, "grid", {"nodes"}, _KEYS)
    return listed_names(read, grid["nodes"], "grid.nodes")


def listed_names(read: CaseReader, value: Any, where: str) -> dict[str, int]:
    """Index of each name of a list; a name that comes twice is noted."""
    names = [read.name(name, f"{where}[{i}]") for i, name in enumerate(read.items(value, where))]
    for name in sorted({name for name in names if names.count(name) > 1}):
        read.note(where, f"{shown(name)} is listed twice", "keep one")
    return {name: i for i, name in enumerate(dict.fromkeys(names))}


def node_index(
    read: CaseReader,
    value: Any,
    where: str,
    nodes: Mapping[str, int],
    what: str = "a node of the grid",
) -> int:
    """Index of the node, or of the zone, that a value names; -1 where none has this name."""
    name = read.name(value, where)
    if name not in nodes:
        read.note(where, f"{shown(name)} is not {what}", suggest(name, nodes))
    return nodes.get(name, -1)


def read_homes(read: CaseReader, grid: Any, nodes: Mapping[str, int]) -> dict[str, int]:
    """Index of the node of each home; an order of a home is placed at it unless it names a node."""
    if not isinstance(grid, Mapping) or "homes" not in grid or not nodes:
        return {}
    homes = read.anything_named(grid["homes"], "grid.homes")
    for home, phases in read.anything_named(grid.get("phases", {}), "grid.phases").items():
        if home not in homes:
            read.note(
                "grid.phases", f"{shown(home)} is not among 'homes'", suggest(str(home), map(str, homes))
            )
        elif phases not in PHASES:
            read.note(f"grid.phases.{home}", f"is {shown(phases)}", f"give one of {', '.join(PHASES)}")
    return {str(home): node_index(read, node, f"grid.homes.{home}", nodes) for home, node in homes.items()}


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
                read.note("grid", problem, _VOLTS if max(bounds.values(), default=0) > _HIGHEST_BOUND else "")
        return None
    if found.kind == "lindistflow" and not found.is_tree:
        closing = ", ".join(map(repr, _closing(found)))
        read.note(
            "grid.lines", f"form a loop, which {closing} closes", "take a line out, or choose the kind 'dc'"
        )
    return found if len(read.problems) == before else None


def grid_as_case(grid: Grid) -> dict[str, Any]:
    """A grid as a case holds it, which is read back as the same grid."""
    lines, names = grid.lines, grid.nodes.names
    rows = zip(lines.start.tolist(), lines.end.tolist(), lines.r.tolist(), lines.x.tolist(), strict=True)
    found: dict[str, Any] = {
        "kind": grid.kind,
        "nodes": list(names),
        "lines": [
            {
                "id": lines.names[i],
                "from": names[start],
                "to": names[end],
                "r": r,
                "x": x,
                "limit_kw": None if lines.limit_wh[i] == NO_LIMIT else kwh(int(lines.limit_wh[i])),
                **({} if lines.loss_ppm is None else {"loss": int(lines.loss_ppm[i]) / PPM}),
            }
            for i, (start, end, r, x) in enumerate(rows)
        ],
        "root": names[grid.root],
    }
    if grid.kind == "lindistflow":
        load = {name: q for name, q in zip(names, grid.nodes.reactive_load.tolist(), strict=True) if q}
        found |= {"vmin": grid.vmin, "vmax": grid.vmax, "reactive_load": load}
    return found


def grid_results(grid: Grid, clearing: Clearing) -> dict[str, Any]:
    """What a clearing says about nodes and lines, for people; one with a single price has it at every node.

    Flows, squared voltages and the rent are there where the mechanism states them in its details, see
    `GRID_DETAILS`.
    """
    prices, details = clearing.node_price, clearing.details
    by_node = prices * len(grid.nodes) if len(prices) == 1 else prices
    nodes: list[dict[str, Any]] = [
        {
            "node": name,
            "price": None if found is None else price(found.price),
            "price_interval": None if found is None else [price(found.lo), price(found.hi)],
        }
        for name, found in zip(grid.nodes.names, by_node, strict=True)
    ]
    if "v_squared" in details:
        for node, v in zip(nodes, details["v_squared"], strict=True):
            node["v_squared"] = float(v)
    found: dict[str, Any] = {"nodes": nodes}
    if "line_flow_wh" in details:
        flows = zip(grid.lines.names, details["line_flow_wh"], strict=True)
        found["lines"] = [{"id": name, "flow": round(float(wh) / WH_PER_KWH, 9)} for name, wh in flows]
    if "line_loss_wh" in details:
        for line, lost in zip(found["lines"], details["line_loss_wh"], strict=True):
            line["loss"] = round(float(lost) / WH_PER_KWH, 9)
        found["losses_kwh"] = kwh(clearing.losses_wh)
    if "congestion_rent_nano" in details:
        found["congestion_rent"] = money(int(details["congestion_rent_nano"]))
    return found


def price_components(
    grid: Grid | None, book: OrderBook, clearing: Clearing, fee_nano: IntArray
) -> list[dict[str, Any]]:
    """The parts of the price of each order, per kWh; none on a grid whose lines lose nothing.

    Args:
        grid: As the mechanism was given it.
        book: The orders.
        clearing: With flows of lines and a price for each node.
        fee_nano: Of each order, on top of its price. [nano]
    """
    if grid is None or not grid.lines.lose or "line_flow_wh" not in clearing.details:
        return [{}] * len(book)
    of_node = np.array([0 if one is None else one.price for one in clearing.node_price], dtype=np.int64)
    made = parts(network_of(grid), clearing.details["line_flow_wh"], of_node)
    found = []
    for node, wh, nano in zip(
        book.node.tolist(), clearing.accepted_wh.tolist(), fee_nano.tolist(), strict=True
    ):
        micro = [int(part[node]) for part in made]
        each = [*map(price, micro), nano / wh / PPM] if wh else [None] * len(COMPONENTS)
        found.append(dict(zip(COMPONENTS, each, strict=True)))
    return found


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
    more = {key: _number(read, given, key, where, 0.0) for key in ("length_m", "r0", "x0")}
    for key, value in {"r": r, "x": x, **more}.items():
        if value < 0 and key in given:
            read.note(f"{where}.{key}", f"is {shown(given[key])}", "give at least 0")
    if not isinstance(given.get("transformer", False), bool):
        read.note(f"{where}.transformer", f"must be true or false, not {shown(given['transformer'])}")
    limit = given.get("limit_kw")
    limit_wh = NO_LIMIT if limit is None else read.energy_wh(limit, f"{where}.limit_kw")
    # A negative impedance has been noted; it must not be reported again as none.
    r, x = (abs(value) / base_kva for value in (r, x))
    return _Line(name, start, end, r, x, max(limit_wh, NO_LIMIT), _loss_ppm(read, given, where))


def _loss_ppm(read: CaseReader, given: Mapping[str, Any], where: str) -> int:
    """What a line loses of the energy sent into it, a share of at least 0 and below 1. [parts per million]"""
    share = read.number(given["loss"], f"{where}.loss") if "loss" in given else None
    if share is None:
        return 0
    ppm = round(share * PPM)
    if not 0 <= share < 1 or ppm == PPM:
        read.note(
            f"{where}.loss",
            f"is {shown(given['loss'])}",
            "give the share of the energy sent into the line that is lost, at least 0 and below 1",
        )
        return 0
    if ppm != share * PPM:
        read.note(f"{where}.loss", f"is {shown(given['loss'])}", "give at most six decimals")
    return ppm


def _closing(grid: Grid) -> list[str]:
    """Lines that close a loop when lines are put together in their order."""
    part, found = list(range(len(grid.nodes))), []
    for name, start, end in zip(
        grid.lines.names, grid.lines.start.tolist(), grid.lines.end.tolist(), strict=True
    ):
        if part[start] == part[end]:
            found.append(name)
        old, new = part[end], part[start]
        part = [new if one == old else one for one in part]
    return found


def _number(read: CaseReader, given: Mapping[str, Any], key: str, where: str, default: float) -> float:
    number = read.number(given[key], f"{where}.{key}") if key in given else None
    return default if number is None else float(number)


def _reactive_load(read: CaseReader, given: Any, names: Mapping[str, int]) -> FloatArray:
    """Reactive load by node, zero where none is given. [kvarh per interval]"""
    load = read.mapping(given, "grid.reactive_load", set(), set(names))
    return np.array([_number(read, load, name, "grid.reactive_load", 0.0) for name in names])


def _columns(lines: list[_Line]) -> Lines:
    loss_ppm = np.array([line.loss_ppm for line in lines], dtype=np.int64)
    return Lines(
        tuple(line.name for line in lines),
        np.array([line.start for line in lines], dtype=np.int64),
        np.array([line.end for line in lines], dtype=np.int64),
        np.array([line.r for line in lines], dtype=np.float64),
        np.array([line.x for line in lines], dtype=np.float64),
        np.array([line.limit_wh for line in lines], dtype=np.int64),
        loss_ppm if loss_ppm.any() else None,
    )
