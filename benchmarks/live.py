"""Live runs at size: real processes over libp2p, with processes killed on the way, compared hash by hash.

Usage: python -m benchmarks.live HOMES INTERVALS PACE_SECONDS [GATEWAYS]

A validator and a process of homes are killed (SIGKILL) a fifth and two fifths of the way; the supervisor starts them
again. These runs take as long as their intervals, so they are not part of `make bench`.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import wattswap as ws
from benchmarks.neighbourhood import write_neighbourhood
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.live import Topology, compare_runs, run_live, run_processes
from wattswap.nodes.stats import read_stats
from wattswap.nodes.supervisor import Supervisor
from wattswap.runs import engine
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.folder import stored_scenario

START = datetime(2016, 1, 11, 10, tzinfo=UTC)


@dataclass
class Killer:
    """Kills a validator and a process of homes, once each."""

    intervals: int
    victims: list[tuple[int, str]] = field(default_factory=list)

    def __call__(self, supervisor: Supervisor, configs: Sequence[NodeConfig]) -> None:
        """Kill whoever is due."""
        operator = next(config.data_path for config in configs if config.role == "operator")
        done = len({line["interval_start"] for line in read_stats([operator])})
        while self.victims and done >= self.victims[0][0]:
            _, name = self.victims.pop(0)
            supervisor.children[name].signal(signal.SIGKILL)


def live(homes: int, intervals: int, pace_s: float, gateways: int = 0) -> dict[str, Any]:
    """Run it and return the figures; raises when a root differs from the run in process."""
    with tempfile.TemporaryDirectory(prefix="wattswap-live-") as folder:
        scenario = ws.load(write_neighbourhood(Path(folder) / "data", homes, 10))
        homes_process = "gateway-0" if gateways else "homes-0"
        killer = Killer(intervals, [(intervals // 5, "validator-1"), (2 * intervals // 5, homes_process)])
        result = run_live(
            scenario,
            topology=Topology(gateways=gateways, pace_s=pace_s),
            intervals=intervals,
            start_s=int(START.timestamp()),
            out=Path(folder) / "runs",
            run_nodes=partial(run_processes, on_nodes=killer),
        )
        again = engine.run(stored_scenario(result.path), out=Path(folder) / "again")
        equal = compare_runs(result, again)
        with open_chain(result.path) as store:
            evidence = sum(len(block.evidence) for block, _ in store.blocks())
        orders = sum(row["orders"] for row in equal)
        return {
            **result.manifest["network"],
            "equal_intervals": len(equal),
            "orders": orders,
            "evidence": evidence,
        }


def main(arguments: Sequence[str]) -> None:
    """Print the figures of one run."""
    homes, intervals, pace_s, *gateways = arguments
    figures = live(int(homes), int(intervals), float(pace_s), *map(int, gateways))
    for name, value in figures.items():
        print(f"{name:<30} {value}")


if __name__ == "__main__":
    main(sys.argv[1:])
