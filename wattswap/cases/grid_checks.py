"""Checks of the values of a grid: negative impedances, units that cannot be, and what is odd but can be cleared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from market.auctions.network import Network
from market.grid import NO_LIMIT, Grid
from market.units import PPM, WH_PER_KWH
from wattswap.inputs.collector import CaseReader

LARGEST_DROP: Final = 1.0
"""Share of the voltage that a line loses at its limit; from here on no power flow exists."""
LARGEST_DROP_PER_KW: Final = 0.05
"""Share of the voltage that one kW costs in a line; 40 km of the cable of a street cost as much."""
_OHM: Final = "r and x look like ohm, and per unit is ohm x base_kva / (1000 x kV x kV)"
MOST_SHOWN: Final = 1e4
"""Multiple of the voltage beyond which its figure says nothing more."""
LISTED: Final = 5
"""Lines or nodes that one sentence names."""


def check_impedances(read: CaseReader, grid: Grid, given: Mapping[str, Any]) -> None:
    """Note lines whose limit would cost more voltage than there is: their impedance is in another unit.

    A grid of the kind 'dc' has no voltages, and its impedances any unit. A case is cleared all the same: a limit that
    is far too large may stand for none.
    """
    if grid.kind != "lindistflow":
        return
    lines = grid.lines
    limit_kw = np.where(lines.limit_wh == NO_LIMIT, 0, lines.limit_wh) / WH_PER_KWH
    drop = lines.r * limit_kw
    rows = np.flatnonzero(drop > LARGEST_DROP).tolist()
    if rows:
        worst = max(rows, key=lambda i: float(drop[i]))
        r = lines.r[worst] * float(given.get("base_kva", 1.0))
        base = f"the base of {given['base_kva']} kVA" if "base_kva" in given else "a base of 1 kVA"
        read.note(
            "grid.lines",
            f"{_named([lines.names[i] for i in rows])} cannot carry the limit: at {limit_kw[worst]:g} kW,"
            f" r {r:g} on {base} takes {_share(float(drop[worst]))} of the voltage of {lines.names[worst]!r}",
            f"{_OHM}, or base_kva is missing" if "base_kva" not in given else _OHM,
        )


def oddities(grid: Grid, given: Mapping[str, Any]) -> list[str]:
    """What can be cleared but is seldom meant, one sentence each.

    Args:
        grid: As read.
        given: As JSON holds it.
    """
    lines, found = grid.lines, []
    if "root" not in given:
        found.append(
            f"no 'root' is given: the outside is connected at the first node, {grid.nodes.names[0]!r}"
        )
    closed = [lines.names[i] for i in np.flatnonzero(lines.limit_wh == 0).tolist()]
    if closed:
        found.append(f"{_named(closed)} may carry 0 kW, which is an open line; leave it out if it is one")
    if grid.kind == "dc":
        if len(lines) and (lines.limit_wh == NO_LIMIT).all():
            found.append("no line has a limit: every market clears as without a grid")
        return found
    per_kw = lines.r
    steep = np.flatnonzero((per_kw > LARGEST_DROP_PER_KW) & (lines.limit_wh == NO_LIMIT)).tolist()
    if steep:
        worst = max(steep, key=lambda i: float(per_kw[i]))
        found.append(
            f"1 kW takes {per_kw[worst]:.0%} of the voltage in {lines.names[worst]!r}"
            f" ({len(steep)} such lines): r and x may be ohm, or base_kva missing or wrong"
        )
    if len(lines) and float((lines.r + lines.x).max()) < 1e-9:
        found.append(
            f"the largest impedance is {float(lines.x.max()):.1e} on 1 kVA: base_kva may be too large"
        )
    rest = Network(grid).v_at_rest_ppm / PPM
    out = np.flatnonzero((rest < grid.vmin) | (rest > grid.vmax)).tolist()
    if out:
        worst = max(out, key=lambda i: abs(float(rest[i]) - 1))
        found.append(
            f"without any trade the reactive loads bring {_named([grid.nodes.names[i] for i in out])} out of bounds"
            f" ({rest[worst]:.3f} squared at {grid.nodes.names[worst]!r}): every market on it is infeasible"
        )
    return found


def _share(drop: float) -> str:
    """A share in whole per cent; a wrong unit can make it longer than anybody reads."""
    return f"{drop:.0%}" if drop < MOST_SHOWN else f"more than {MOST_SHOWN:.0%}"


def _named(names: list[str]) -> str:
    """A few names, and how many more there are."""
    listed = ", ".join(map(repr, names[:LISTED]))
    return listed if len(names) <= LISTED else f"{listed} and {len(names) - LISTED} more"
