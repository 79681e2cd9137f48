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

    weakest, bounds = found["weakest_line"], found["voltage_bounds"]
    shape = "radial" if found["is_tree"] else "meshed"
    facts = {
        "grid": f"{found['kind']}, {shape}, root {found['root']}",
        "nodes": found["nodes"],
        "lines": found["lines"],
        "homes": found["homes"],
        "farthest node": _far(found),
        "limits": f"{found['lines_with_limit']} of {found['lines']} lines have one",
        "weakest line": "no line has a limit" if weakest is None else f"{weakest['id']}, {_kw(weakest)}",
        "transformers": ", ".join(f"{one['id']}, {_kw(one)}" for one in found["transformers"])
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


def _kw(line: dict[str, Any]) -> str:
    return "no limit" if line["limit_kw"] is None else f"{line['limit_kw']:.1f} kW"
