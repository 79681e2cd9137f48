"""A network in ohm and kV as a grid in per unit: the `grid` object of a case, and the node of each home.

The base voltage of a node is the one that it has without load: the voltage that the outside holds at the source, times
the ratios of the transformers on the way. So each node rests at 1, as the equations of a radial grid take it, whatever
the outside holds and however a tap stands; bounds of voltages are converted to the same base. A branch of z ohm at a
base of U kV is z S / (1000 U^2) per unit of S kVA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Final

import numpy as np

from data.findings import FindingLog
from data.grids.network import Branch, Bus, Load, Network
from market.units import FloatArray

BASE_KVA: Final = 100.0
"""Base of what is written, near the rating of a street. [kVA]"""
VMIN_PU: Final = 0.9
"""Lowest voltage where a file gives none: EN 50160, 10 % below the nominal one. [per unit]"""
VMAX_PU: Final = 1.1
"""Highest voltage where a file gives none: EN 50160, 10 % above the nominal one. [per unit]"""
NO_CURRENT_KA: Final = 9_999.0
"""From here on a rating stands for none, as 99999 kA in cases converted from MATPOWER. [kA]"""
PHASES: Final = "abc"
LARGEST_KV: Final = 10_000.0
"""No voltage is as high. [kV]"""
DIGITS: Final = 12
"""Significant digits of what is written."""


@dataclass(frozen=True, slots=True)
class GridFile:
    """A grid as it is written, with what the file says beyond it.

    Args:
        grid: The `grid` object of a case, with `homes`: the node of each load.
        load_kw: Power that each node takes by the file, by name. [kW]
        load_kvar: Reactive power that each node takes, by name. [kvar]
        phase_kw: Power that each node takes from each of three phases, by name. [kW]
        phase_kvar: Reactive power, the same. [kvar]
        notes: What the file holds and the grid does not.
    """

    grid: dict[str, Any]
    load_kw: dict[str, float]
    load_kvar: dict[str, float]
    phase_kw: dict[str, list[float]]
    phase_kvar: dict[str, list[float]]
    notes: tuple[str, ...]


def grid_file(network: Network, log: FindingLog, base_kva: float = BASE_KVA) -> GridFile | None:
    """Convert a network; None where that is not possible, and the log says why.

    Args:
        network: As read.
        log: Takes what is wrong.
        base_kva: Base of the impedances. [kVA]
    """
    notes = list(network.notes)
    node = _joined(len(network.buses), network.joined)
    branches = [
        replace(branch, start=node[branch.start], end=node[branch.end]) for branch in network.branches
    ]
    loads = [replace(load, bus=node[load.bus]) for load in network.loads]
    merged = sum(i != first for i, first in enumerate(node))
    if merged:
        notes.append(f"closed switches join {merged} buses with others")
    for short in (branch for branch in branches if branch.start == branch.end):
        notes.append(f"line {short.name} is bridged by a closed switch and left out")
    branches = _without_parallels([one for one in branches if one.start != one.end], notes)
    _check(network.buses, branches, log)
    for value in (network.source_kv, network.source_pu, *(bus.vn_kv for bus in network.buses)):
        if value is not None and not 0 < value < LARGEST_KV:
            log.add("error", "voltage", f"a voltage is {value:g}; give kV and per unit above 0")
    if log.has_errors:
        return None
    root = node[network.source_bus]
    base_kv = _base_kv(root, network.source_kv * network.source_pu, branches)
    if not _reached(network.buses, loads, base_kv, log):
        return None
    kept = [i for i in range(len(network.buses)) if node[i] == i and i in base_kv]
    left = sum(1 for i in range(len(network.buses)) if node[i] == i) - len(kept)
    if left:
        notes.append(f"{left} buses without load or supply are left out")
    branches = [branch for branch in branches if branch.start in base_kv]
    return _written(network, loads, branches, kept, node, base_kv, base_kva, notes, log)


def _written(
    network: Network,
    loads: Sequence[Load],
    branches: Sequence[Branch],
    kept: Sequence[int],
    node: Sequence[int],
    base_kv: dict[int, float],
    base_kva: float,
    notes: list[str],
    log: FindingLog,
) -> GridFile | None:
    name = {bus: network.buses[bus].name for bus in kept}
    root = node[network.source_bus]
    is_tree = len(branches) == len(kept) - 1
    kw, kvar = ({name[bus]: 0.0 for bus in kept} for _ in range(2))
    for load in loads:
        kw[name[load.bus]] += load.kw
        kvar[name[load.bus]] += load.kvar
    grid: dict[str, Any] = {
        "kind": "lindistflow" if is_tree else "dc",
        "base_kva": base_kva,
        "nodes": [name[bus] for bus in kept],
        "lines": [_line(one, name, network, base_kv, base_kva) for one in branches],
        "root": name[root],
    }
    if is_tree:
        bounds = _bounds(network, kept, root, base_kv, notes, log)
        if bounds is None:
            return None
        grid["vmin"], grid["vmax"] = bounds
        grid["reactive_load"] = {bus: _rounded(q) for bus, q in kvar.items() if q}
    else:
        loops = len(branches) - len(kept) + 1
        notes.append(f"the lines form {loops} loops: the grid is of the kind 'dc', without voltages")
    unlimited = sum(line["limit_kw"] is None for line in grid["lines"])
    if unlimited:
        notes.append(f"{unlimited} of {len(branches)} lines have no rating in the file, and so no limit")
    grid["homes"] = {load.name: name[load.bus] for load in loads if load.is_home}
    phases = {load.name: load.phases for load in loads if load.is_home and load.phases}
    if phases:
        grid["phases"] = phases
    return GridFile(
        grid,
        {bus: _rounded(value) for bus, value in kw.items()},
        {bus: _rounded(value) for bus, value in kvar.items()},
        _by_phase(loads, name, [load.kw for load in loads]),
        _by_phase(loads, name, [load.kvar for load in loads]),
        tuple(notes),
    )


def _line(
    branch: Branch, name: dict[int, str], network: Network, base_kv: dict[int, float], base_kva: float
) -> dict[str, Any]:
    """A branch as a case has it."""
    ohm = 1_000 * base_kv[branch.end] ** 2 / base_kva
    # A rating is a current at nominal voltage.
    vn = network.buses[branch.end].vn_kv or base_kv[branch.end] / network.source_pu
    limits = [] if branch.limit_kva is None else [branch.limit_kva]
    if branch.limit_ka is not None and branch.limit_ka < NO_CURRENT_KA:
        limits.append(branch.limit_ka * sqrt(3) * vn * 1_000)
    return {
        "id": branch.name,
        "from": name[branch.start],
        "to": name[branch.end],
        "r": _rounded(branch.r_ohm / ohm),
        "x": _rounded(branch.x_ohm / ohm),
        "limit_kw": round(min(limits), 3) if limits else None,
        **({} if branch.length_m is None else {"length_m": _rounded(branch.length_m)}),
        **({} if branch.ratio is None else {"transformer": True}),
        **({} if branch.r0_ohm is None else {"r0": _rounded(branch.r0_ohm / ohm)}),
        **({} if branch.x0_ohm is None else {"x0": _rounded(branch.x0_ohm / ohm)}),
    }


def _by_phase(loads: Sequence[Load], name: dict[int, str], values: Sequence[float]) -> dict[str, list[float]]:
    """Sums of loads by node and phase; a load is in equal parts on its phases."""
    found = {node: [0.0, 0.0, 0.0] for node in name.values()}
    for load, value in zip(loads, values, strict=True):
        phases = load.phases or PHASES
        for phase in phases:
            found[name[load.bus]][PHASES.index(phase)] += value / len(phases)
    return found


def _rounded(value: float) -> float:
    """A number without the noise of floats."""
    return float(f"{value:.{DIGITS}g}")


def _joined(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Of each bus the first of those that closed switches make one node with it."""
    first = list(range(count))

    def find(bus: int) -> int:
        while first[bus] != bus:
            first[bus] = first[first[bus]]
            bus = first[bus]
        return bus

    for a, b in pairs:
        low, high = sorted((find(a), find(b)))
        first[high] = low
    return [find(bus) for bus in range(count)]


def _without_parallels(branches: Sequence[Branch], notes: list[str]) -> list[Branch]:
    """Put branches between the same two nodes together: they share the current by their admittances."""
    by_ends: dict[frozenset[int], list[Branch]] = {}
    for branch in branches:
        by_ends.setdefault(frozenset((branch.start, branch.end)), []).append(branch)
    found = []
    for same in by_ends.values():
        if len(same) > 1:
            names = ", ".join(branch.name for branch in same)
            notes.append(f"{names} are parallel and become one line")
        found.append(same[0] if len(same) == 1 else _parallel(same))
    return found


def _parallel(same: Sequence[Branch]) -> Branch:
    """One branch for several between the same nodes; the first to reach its limit sets that of all."""
    z = np.array([complex(branch.r_ohm, branch.x_ohm) for branch in same])
    if not z.all():
        return same[int(np.argmin(np.abs(z)))]
    both = 1 / (1 / z).sum()
    shares = np.abs(both / z)

    def limit(values: Sequence[float | None]) -> float | None:
        found = [v / s for v, s in zip(values, shares.tolist(), strict=True) if v is not None]
        return min(found) if found else None

    first, lengths = same[0], [branch.length_m for branch in same if branch.length_m is not None]
    return Branch(
        "+".join(branch.name for branch in same),
        first.start,
        first.end,
        float(both.real),
        float(both.imag),
        limit([branch.limit_ka for branch in same]),
        limit([branch.limit_kva for branch in same]),
        first.ratio,
        max(lengths) if lengths else None,
        *_zero_sequence(same),
    )


def _zero_sequence(same: Sequence[Branch]) -> tuple[float | None, float | None]:
    """That of several branches side by side, where all have one."""
    z = np.array([complex(b.r0_ohm, b.x0_ohm) for b in same if b.r0_ohm is not None and b.x0_ohm is not None])
    if len(z) < len(same) or not z.all():
        return None, None
    both = 1 / (1 / z).sum()
    return float(both.real), float(both.imag)


def _base_kv(root: int, source_kv: float, branches: Sequence[Branch]) -> dict[int, float]:
    """Voltage without load of every node that the source reaches. [kV]"""
    at: dict[int, list[Branch]] = {}
    for branch in branches:
        at.setdefault(branch.start, []).append(branch)
        at.setdefault(branch.end, []).append(branch)
    found, front = {root: source_kv}, [root]
    while front:
        bus = front.pop()
        for branch in at.get(bus, []):
            ratio = branch.ratio or 1.0
            other, times = (
                (branch.end, ratio) if bus == branch.start else (branch.start, 1 / ratio if ratio else 1.0)
            )
            if other not in found:
                found[other] = found[bus] * times
                front.append(other)
    return found


def _check(buses: Sequence[Bus], branches: Sequence[Branch], log: FindingLog) -> None:
    """Values of branches that cannot be, all of them."""
    for branch in branches:
        what = "line" if branch.ratio is None else "transformer"
        for value, unit in ((branch.r_ohm, "resistance"), (branch.x_ohm, "reactance")):
            if not np.isfinite(value):
                log.add("error", "no_number", f"{what} {branch.name}: its {unit} is no number; give one")
            elif value < 0:
                log.add(
                    "error", "negative", f"{what} {branch.name}: its {unit} is {value:g} ohm; give at least 0"
                )
        if branch.r_ohm == 0 == branch.x_ohm:
            message = f"{what} {branch.name} has no impedance; make it a closed switch, or give its ohms"
            log.add("error", "no_impedance", message)
        if branch.ratio is not None and not 0 < branch.ratio < LARGEST_KV:
            message = f"{what} {branch.name} has the ratio {branch.ratio:g}; correct its voltages or its tap"
            log.add("error", "ratio", message)
        for limit, unit in ((branch.limit_ka, "kA"), (branch.limit_kva, "kVA")):
            if limit is not None and not 0 < limit < float("inf"):
                message = f"{what} {branch.name} may carry {limit:g} {unit}; give a rating above 0, or none"
                log.add("error", "no_rating", message)
        start, end = buses[branch.start], buses[branch.end]
        if branch.ratio is None and start.vn_kv and end.vn_kv and start.vn_kv != end.vn_kv:
            message = (
                f"line {branch.name} connects {start.name} at {start.vn_kv:g} kV with {end.name} at"
                f" {end.vn_kv:g} kV; make it a transformer, or correct a voltage"
            )
            log.add("error", "two_voltages", message)


def _reached(buses: Sequence[Bus], loads: Sequence[Load], base_kv: dict[int, float], log: FindingLog) -> bool:
    """Whether the source supplies every load; those that it does not are noted."""
    cut = sorted({load.bus for load in loads} - set(base_kv))
    for bus in cut:
        names = ", ".join(load.name for load in loads if load.bus == bus)
        message = (
            f"no closed line connects {buses[bus].name} ({names}) with the source; close a switch or drop it"
        )
        log.add("error", "island", message)
    return not cut


def _bounds(
    network: Network,
    kept: Sequence[int],
    root: int,
    base_kv: dict[int, float],
    notes: list[str],
    log: FindingLog,
) -> tuple[float, float] | None:
    """Bounds of the squared voltage that keep every node within its own; the root is held by the outside."""
    nominal: FloatArray = np.array(
        [network.buses[bus].vn_kv or base_kv[bus] / network.source_pu for bus in kept if bus != root]
    )
    at_rest = np.array([base_kv[bus] for bus in kept if bus != root])
    inside = [network.buses[bus] for bus in kept if bus != root]
    if any(bus.vmin_pu is None or bus.vmax_pu is None for bus in inside):
        notes.append(f"where no bounds of voltage are given they are {VMIN_PU:g} and {VMAX_PU:g} of nominal")
    low = np.array([VMIN_PU if bus.vmin_pu is None else bus.vmin_pu for bus in inside])
    high = np.array([VMAX_PU if bus.vmax_pu is None else bus.vmax_pu for bus in inside])
    if not inside:
        return VMIN_PU**2, VMAX_PU**2
    vmin, vmax = float((low * nominal / at_rest).max()), float((high * nominal / at_rest).min())
    if not 0 < vmin <= 1 <= vmax:
        message = (
            f"without any load the voltage is outside its bounds: {1 / vmax:.3f} of the highest or {1 / vmin:.3f}"
            " of the lowest allowed; correct the voltage of the source, a tap or a bound"
        )
        log.add("error", "voltage_at_rest", message)
        return None
    return _rounded(vmin**2), _rounded(vmax**2)
