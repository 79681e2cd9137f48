"""An AC power flow of a radial grid by forward and backward sweeps, written without any of our arrays or solvers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sweep(
    grid: Mapping[str, Any], load_kw: Mapping[str, float], load_kvar: Mapping[str, float], rounds: int = 200
) -> tuple[dict[str, float], float]:
    """Voltages per unit by node, and losses in kW, of a `grid` object with loads by node.

    Currents are summed from the ends to the root, then voltages fall from the root to the ends, until they stay.
    """
    base = float(grid["base_kva"])
    neighbours: dict[str, list[tuple[str, complex]]] = {node: [] for node in grid["nodes"]}
    for line in grid["lines"]:
        z = complex(float(line["r"]), float(line["x"]))
        neighbours[line["from"]].append((line["to"], z))
        neighbours[line["to"]].append((line["from"], z))
    root = grid["root"]
    order, parent = [root], {root: ("", 0j)}
    for node in order:
        for other, z in neighbours[node]:
            if other not in parent:
                parent[other] = (node, z)
                order.append(other)
    voltage = dict.fromkeys(order, 1 + 0j)
    current: dict[str, complex] = {}
    for _ in range(rounds):
        current = {
            node: (complex(load_kw.get(node, 0), load_kvar.get(node, 0)) / base / voltage[node]).conjugate()
            for node in order
        }
        for node in reversed(order[1:]):
            current[parent[node][0]] += current[node]
        for node in order[1:]:
            before, z = parent[node]
            voltage[node] = voltage[before] - z * current[node]
    losses = sum(parent[node][1].real * abs(current[node]) ** 2 for node in order[1:]) * base
    return {node: abs(v) for node, v in voltage.items()}, losses
