"""What the commands on grids print: a few facts, and short tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from market.grid import NO_LIMIT
from market.units import WH_PER_KWH

if TYPE_CHECKING:
    from market.grid import Grid
    from wattswap.cases.grid_file import LoadedGrid


def summary(loaded: LoadedGrid) -> dict[str, Any]:
    """What a grid is, as facts by name.

    Returns:
        Kind and counts; lines and metres from the root to the farthest node, None in a mesh; the weakest line and the
        transformers with their limits; bounds of the voltage, not squared.
    """
    grid = loaded.grid
    limit_kw = grid.lines.limit_wh / WH_PER_KWH
    limited = np.flatnonzero(grid.lines.limit_wh != NO_LIMIT)
    transformers = loaded.transformers
    cables = [i for i in limited.tolist() if i not in transformers]
    depth, length = _longest(grid, loaded.length_m)
    return {
        "kind": grid.kind,
        "nodes": len(grid.nodes),
        "lines": len(grid.lines),
        "homes": len(loaded.homes),
        "root": grid.nodes.names[grid.root],
        "is_tree": grid.is_tree,
        "depth_lines": depth,
        "depth_m": length if any(loaded.length_m) else None,
        "total_length_m": sum(loaded.length_m) if any(loaded.length_m) else None,
        "lines_with_limit": len(limited),
        "weakest_line": _line(grid, cables, limit_kw),
        "transformers": [
            {
                "id": grid.lines.names[i],
                "limit_kw": None if grid.lines.limit_wh[i] == NO_LIMIT else float(limit_kw[i]),
            }
            for i in transformers
        ],
        "voltage_bounds": [round(bound**0.5, 4) for bound in (grid.vmin, grid.vmax)]
        if grid.kind == "lindistflow"
        else None,
    }


def _line(grid: Grid, rows: Sequence[int], limit_kw: Any) -> dict[str, Any] | None:
    if not rows:
        return None
    row = min(rows, key=lambda i: float(limit_kw[i]))
    return {"id": grid.lines.names[row], "limit_kw": float(limit_kw[row])}


def _longest(grid: Grid, length_m: Sequence[float]) -> tuple[int | None, float | None]:
    """Lines and metres from the root to the farthest node, by lines and by metres each; None in a mesh."""
    if not grid.is_tree:
        return None, None
    from market.auctions.network import Network

    tree = Network(grid).tree
    assert tree is not None
    ones = np.array([0.0, *np.ones(len(grid.lines))])
    metres = np.array([0.0, *np.array(length_m)[tree.line[1:]]])
    return int(tree.paths(ones).max()), float(tree.paths(metres).max())


def print_summary(found: dict[str, Any], oddities: Sequence[str]) -> None:
    """Print the facts of a grid, one a line."""
    from wattswap.cli.output import print_facts
    from wattswap.cli.tables import wrapped

    bounds = found["voltage_bounds"]
    shape = "radial" if found["is_tree"] else "meshed"
    facts = {
        "grid": f"{found['kind']}, {shape}, root {found['root']}",
        "nodes": found["nodes"],
        "lines": found["lines"],
        "homes": found["homes"],
        "farthest node": _far(found),
        "limits": f"{found['lines_with_limit']} of {found['lines']} lines have one",
        "weakest line": _weakest(found),
        "transformers": "; ".join(f"{one['id']}, {_kw(one)}" for one in found["transformers"])
        or "none named",
        "voltages": "none in this kind"
        if bounds is None
        else f"{bounds[0]:.3f} to {bounds[1]:.3f} of the root's",
    }
    print_facts(facts)
    for text in oddities:
        print(wrapped(f"warning: {text}", 2))


def _far(found: dict[str, Any]) -> str:
    if found["depth_lines"] is None:
        return "unknown in a mesh"
    metres = (
        "" if found["depth_m"] is None else f", {found['depth_m']:.0f} m of {found['total_length_m']:.0f} m"
    )
    return f"{found['depth_lines']} lines from the root{metres}"


def _weakest(found: dict[str, Any]) -> str:
    if (weakest := found["weakest_line"]) is not None:
        return f"{weakest['id']}, {_kw(weakest)}"
    return "no limit but those of transformers" if found["lines_with_limit"] else "no line has a limit"


def _kw(line: dict[str, Any]) -> str:
    return "no limit" if line["limit_kw"] is None else f"{line['limit_kw']:.1f} kW"


def print_ac(found: dict[str, Any], rows: int, *, wide: bool) -> None:
    """Print the figures of a check, then the nodes and lines that are nearest to their limits, or beyond.

    In three phases the phase that is worst counts.
    """
    from wattswap.cli.output import print_facts

    low, high, error = found["lowest_voltage"], found["highest_voltage"], found["largest_voltage_error"]
    out, over = found["nodes_out_of_bounds"], found["lines_overloaded"]
    print_facts(
        {
            "losses": f"{found['losses_kw']:.3f} kW",
            "lowest voltage": _voltage(low),
            "highest voltage": _voltage(high),
            "largest error": "no voltages in this kind" if error is None else f"{error:.2%} of the voltage",
            "voltages out of bounds": _listed(out),
            "lines overloaded": _listed(over),
        }
    )
    if "phase" in low:
        _print_phases(found, rows, wide)
        return
    _print_nodes(found["nodes"], rows, wide)
    _print_lines(found["lines"], rows, wide)


def _voltage(found: dict[str, Any]) -> str:
    phase = f", phase {found['phase']}" if "phase" in found else ""
    return f"{found['voltage']:.4f} at {found['node']}{phase}"


def _print_phases(found: dict[str, Any], rows: int, wide: bool) -> None:
    from wattswap.cli.tables import Column, print_columns

    nodes, lines = found["nodes"], found["lines"]
    worst = sorted(nodes, key=lambda node: -max(abs(v - 1) for v in node["voltage_ac"]))[:rows]
    columns = [
        *(
            Column(f"kW {phase}", [f"{node['load_kw'][i]:.2f}" for node in worst])
            for i, phase in enumerate("abc")
        ),
        *(
            Column(f"voltage {phase}", [f"{node['voltage_ac'][i]:.4f}" for node in worst])
            for i, phase in enumerate("abc")
        ),
        Column("market's voltage", [_figure(node["voltage_market"], ".4f") for node in worst]),
    ]
    key = Column("node", [node["node"] for node in worst], right=False)
    print()
    title = _title("nodes, by the distance of a voltage from 1", len(worst), len(nodes))
    print_columns(title, key, columns, keep=[column.head for column in columns[3:]], wide=wide)
    full = sorted(lines, key=lambda line: -max(one or 0 for one in line["loading_ac"]))[:rows]
    columns = [
        *(
            Column(f"loading {phase}", [_figure(line["loading_ac"][i], ".1%") for line in full])
            for i, phase in enumerate("abc")
        ),
        Column("market's loading", [_figure(line["loading_market"], ".1%") for line in full]),
    ]
    key = Column("line", [line["id"] for line in full], right=False)
    print_columns(_title("lines, by the loading of a phase", len(full), len(lines)), key, columns, wide=wide)


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "none"


def _print_nodes(nodes: Sequence[dict[str, Any]], rows: int, wide: bool) -> None:
    from wattswap.cli.tables import Column, print_columns

    worst = sorted(nodes, key=lambda node: -abs(node["voltage_ac"] - 1))[:rows]
    columns = [
        Column("load kW", [f"{node['load_kw']:.2f}" for node in worst]),
        Column("load kvar", [f"{node['load_kvar']:.2f}" for node in worst]),
        Column("AC voltage", [f"{node['voltage_ac']:.4f}" for node in worst]),
        Column("market's voltage", [_figure(node["voltage_market"], ".4f") for node in worst]),
        Column("error %", [_error(node) for node in worst]),
    ]
    if "price" in nodes[0]:
        columns.append(Column("price", [_figure(node["price"], ".4f") for node in worst]))
    key = Column("node", [node["node"] for node in worst], right=False)
    print()
    title = _title("nodes, by the distance of the voltage from 1", len(worst), len(nodes))
    print_columns(title, key, columns, wide=wide)


def _print_lines(lines: Sequence[dict[str, Any]], rows: int, wide: bool) -> None:
    from wattswap.cli.tables import Column, print_columns

    worst = sorted(lines, key=lambda line: (-(line["loading_ac"] or 0), -abs(line["flow_kw_ac"])))[:rows]
    columns = [
        Column("limit kW", [_figure(line["limit_kw"], ".1f") for line in worst]),
        Column("AC kW", [f"{line['flow_kw_ac']:.2f}" for line in worst]),
        Column("market's kW", [f"{line['flow_kw_market']:.2f}" for line in worst]),
        Column("AC loading", [_figure(line["loading_ac"], ".1%") for line in worst]),
        Column("market's loading", [_figure(line["loading_market"], ".1%") for line in worst]),
    ]
    key = Column("line", [line["id"] for line in worst], right=False)
    print_columns(_title("lines, by AC loading", len(worst), len(lines)), key, columns, wide=wide)


def _title(what: str, shown: int, count: int) -> str:
    return what if shown == count else f"{shown} of {count} {what}"


def _error(node: dict[str, Any]) -> str:
    if node["voltage_market"] is None:
        return "-"
    return f"{100 * (node['voltage_market'] - node['voltage_ac']):.3f}"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
