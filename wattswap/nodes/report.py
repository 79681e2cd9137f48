"""Network statistics: a table by node and interval, and totals for the manifest."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wattswap.nodes.config import NodeConfig
from wattswap.nodes.stats import COUNTED
from wattswap.runs.layout import NETWORK

if TYPE_CHECKING:
    import pyarrow as pa

Line = dict[str, Any]
"""A line of a node's statistics."""
WHOLE: Final = ("orders", "readings", "receipts", "late", "by_gossip", "proofs", "height", "round")
"""Whole numbers of a line that are not counters of an endpoint."""
LATENCIES: Final = ("gate_s", "work_s", "finality_s", "receipt_s", "result_s")


def network_table(lines: Sequence[Line]) -> pa.Table:
    """The statistics of all nodes as a table, one row per line."""
    import pyarrow as pa

    from wattswap.runs.tables import starts

    table: dict[str, Any] = {
        "interval_start": starts([line["interval_start"] for line in lines], [1] * len(lines)),
        "node": pa.array([line["node"] for line in lines], pa.string()),
        "what": pa.array([line["what"] for line in lines], pa.string()),
        "at": pa.array([line["at"] for line in lines], pa.float64()),
    }
    for name in (*COUNTED, *WHOLE):
        table[name] = pa.array([_whole(line.get(name)) for line in lines], pa.int64())
    for name in ("cpu_s", *LATENCIES):
        table[name] = pa.array([line.get(name) for line in lines], pa.float64())
    return pa.table(table)


def write_network(folder: Path, lines: Sequence[Line]) -> None:
    """Write the statistics of all nodes as a table, one row per line."""
    import pyarrow.parquet as pq

    pq.write_table(network_table(lines), folder / NETWORK, compression="zstd")


def lines_of(table: pa.Table) -> list[Line]:
    """The lines of which a table was made; what they hold beyond its columns is lost."""
    stamps = table["interval_start"].cast("int64").to_pylist()
    per_second = {"s": 1, "ms": 1_000}[table.schema.field("interval_start").type.unit]
    return [
        {name: value for name, value in row.items() if value is not None}
        | {"interval_start": stamp // per_second}
        for row, stamp in zip(table.to_pylist(), stamps, strict=True)
    ]


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def network_facts(
    configs: Sequence[NodeConfig], lines: Sequence[Line], restarts: Mapping[str, int]
) -> dict[str, Any]:
    """Totals over all nodes, for the manifest and for `wattswap show RUN network`; the homes that were absent are added
    from the chain, see `wattswap.nodes.assemble`."""
    lived = [line for line in lines if line["what"] == "lived"]
    roles = sorted({config.role for config in configs})
    return {
        "nodes": len(configs),
        "roles": {role: sum(config.role == role for config in configs) for role in roles},
        **measured(lines),
        "missed": sum(line["missed"] for line in lived),
        "broken_promises": sum(line["broken_promises"] for line in lived),
        "refused": _refused(lines),
        "restarts": dict(restarts),
    }


def measured(lines: Sequence[Line]) -> dict[str, Any]:
    """The totals that follow from the lines of `lines_of`, too."""
    settled = [line for line in lines if line["what"] == "settled"]
    lived = [line for line in lines if line["what"] == "lived"]
    return {
        "interval_s": percentiles(_gaps(settled)),
        **{name: percentiles(_values(lines, name)) for name in LATENCIES},
        "cpu_s_per_interval": _per_interval(lines, "cpu_s"),
        **{f"{name}_per_interval": _per_interval(lines, name) for name in COUNTED},
        "signed_receipts": sum(line["receipts"] for line in lived),
        "late": sum(line["late"] for line in lived),
        "results_by_gossip": sum(line["by_gossip"] for line in lived),
        "results_by_request": sum(line["proofs"] - line["by_gossip"] for line in lived),
        "proofs_checked": sum(line["proofs"] for line in lived),
        "later_rounds": sum(line["round"] > 0 for line in settled if "finality_s" in line),
    }


def _refused(lines: Iterable[Line]) -> dict[str, int]:
    """What all nodes refused since each was last started, by code."""
    newest = {line["node"]: line["refused"] for line in lines}
    found: dict[str, int] = {}
    for refused in newest.values():
        for code, count in refused.items():
            found[code] = found.get(code, 0) + count
    return found


def _values(lines: Iterable[Line], name: str) -> list[float]:
    return [line[name] for line in lines if name in line]


def _per_interval(lines: Sequence[Line], name: str) -> dict[str, float | None]:
    """Percentiles over the intervals of a sum over all nodes, without the first, which includes the start."""
    sums: dict[int, float] = {}
    for line in lines:
        sums[line["interval_start"]] = sums.get(line["interval_start"], 0) + line.get(name, 0)
    return percentiles([sums[start] for start in sorted(sums)][1:])


def _gaps(settled: Sequence[Line]) -> list[float]:
    """Seconds from one settled interval to the next, at the first node that settled."""
    seen: dict[int, float] = {}
    for line in settled:
        start = line["interval_start"]
        seen[start] = min(seen.get(start, math.inf), line["at"])
    times = [seen[start] for start in sorted(seen)]
    return [b - a for a, b in pairwise(times)]


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Median, 95th percentile and maximum; None if nothing was measured."""
    if not values:
        return {"p50": None, "p95": None, "max": None}
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 4),
        "p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1], 4),
        "max": round(ordered[-1], 4),
    }
