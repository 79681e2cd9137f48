"""Write the bundled grid again from a SimBench grid as pandapower stores it, and from its load profiles.

Run it as `python -m data.samples.extract_grid NET.json PROFILES.csv.gz [FILE]`. Lines and transformer become r and x
per unit of 100 kVA and a limit in kW: the rated current at the rated voltage, and the rated power, both at a power
factor of 1. The reactive load of a node is the mean of its loads over the year. Home N is Load N.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from data.samples import grid_path

BASE_KVA = 100.0
DIGITS = 9


def main(net: Path, profiles: Path, target: Path | None = None) -> None:
    """Write the grid of `street`."""
    found = grid_of(json.loads(net.read_text(encoding="utf-8"))["_object"], means_of(profiles))
    path = target or grid_path("street")
    path.write_text(text_of(found), encoding="utf-8")
    print(f"{path.name}  {len(found['nodes'])} nodes, {len(found['lines'])} lines")


def means_of(profiles: Path) -> dict[str, float]:
    """Mean of each column of a table of profiles."""
    with gzip.open(profiles, "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    head, body = rows[0][1:], rows[1:]
    return {name: math.fsum(float(row[i]) for row in body) / len(body) for i, name in enumerate(head, 1)}


def grid_of(tables: dict[str, Any], mean: dict[str, float]) -> dict[str, Any]:
    """The grid as a scenario reads it.

    Args:
        tables: The tables of the grid, as pandapower stores them.
        mean: Mean of each profile, for reactive power NAME_qload.
    """
    bus = {row["index"]: row for row in _rows(tables, "bus")}
    (trafo,) = _rows(tables, "trafo")
    name = {i: _name(row["name"]) for i, row in bus.items()}
    name[trafo["hv_bus"]] = "grid"
    lines = [_transformer(trafo, name), *(_line(row, bus, name) for row in _rows(tables, "line"))]
    reactive: dict[str, float] = {}
    homes: dict[str, str] = {}
    for load in _rows(tables, "load"):
        node = name[load["bus"]]
        homes[f"home-{int(_name(load['name']).split()[-1]):02}"] = node
        kvar = load["q_mvar"] * 1_000 * mean[f"{load['profile']}_qload"]
        reactive[node] = reactive.get(node, 0.0) + kvar
    return {
        "kind": "lindistflow",
        "root": "grid",
        "base_kva": BASE_KVA,
        "vmin": 0.81,
        "vmax": 1.21,
        "nodes": list(name.values()),
        "lines": lines,
        "reactive_load": {node: round(kvar, 3) for node, kvar in reactive.items()},
        "homes": dict(sorted(homes.items())),
    }


def text_of(grid: dict[str, Any]) -> str:
    """JSON with one line of the grid a line of the file."""
    parts = []
    for key, value in grid.items():
        if key == "lines":
            inside = ",\n  ".join(json.dumps(line) for line in value)
            parts.append(f'"lines": [\n  {inside}]')
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{" + ",\n ".join(parts) + "}\n"


def _transformer(trafo: dict[str, Any], name: dict[int, str]) -> dict[str, Any]:
    kva = trafo["sn_mva"] * 1_000
    r, z = trafo["vkr_percent"] / 100, trafo["vk_percent"] / 100
    x = math.sqrt(z * z - r * r)
    ends = {"id": "transformer", "from": name[trafo["hv_bus"]], "to": name[trafo["lv_bus"]]}
    return ends | {"r": _cut(r * BASE_KVA / kva), "x": _cut(x * BASE_KVA / kva), "limit_kw": round(kva, 3)}


def _line(row: dict[str, Any], bus: dict[int, Any], name: dict[int, str]) -> dict[str, Any]:
    kv = bus[row["from_bus"]]["vn_kv"]
    ohm = kv * kv * 1_000 / BASE_KVA
    ends = {"id": _name(row["name"]), "from": name[row["from_bus"]], "to": name[row["to_bus"]]}
    r, x = (row[f"{key}_ohm_per_km"] * row["length_km"] / ohm for key in ("r", "x"))
    kw = math.sqrt(3) * kv * row["max_i_ka"] * 1_000
    return ends | {"r": _cut(r), "x": _cut(x), "limit_kw": round(kw, 3)}


def _rows(tables: dict[str, Any], what: str) -> list[dict[str, Any]]:
    table = json.loads(tables[what]["_object"])
    return [
        {**dict(zip(table["columns"], row, strict=True)), "index": index}
        for index, row in zip(table["index"], table["data"], strict=True)
    ]


def _name(text: str) -> str:
    """The last words of a name of SimBench: "LV1.101 Bus 5" is "bus 5"."""
    return " ".join(re.split(r"\s+", text)[-2:]).lower()


def _cut(value: float) -> float:
    return round(value, DIGITS)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
