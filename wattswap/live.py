"""The live run: a neighbourhood of real nodes on loopback, started, supervised and taken down, and what it left behind.

Households, operator and authorities are processes of their own that speak libp2p. The run folder is put together
afterwards, from the operator's copy of the chain and the blobs, by working everything out once more.
"""

from __future__ import annotations

import math
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wattswap import engine
from wattswap.engine import SCENARIO
from wattswap.errors import ExitCode, Interrupted, WattswapError
from wattswap.nodes.assemble import assemble, take_over
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.init import KeyPlan, Wish, init_nodes
from wattswap.nodes.node import BLOBS, CHAIN_FILE
from wattswap.nodes.stats import COUNTED, read_stats
from wattswap.nodes.supervisor import Supervisor
from wattswap.setup import cut_to, prepare

if TYPE_CHECKING:
    from wattswap.results import RunResult
    from wattswap.scenario import Scenario

GATE_S: Final = 20.0
"""How long orders, and then readings, are waited for; both end when everybody has spoken. [s]"""
POLL_S: Final = 0.1
STALL_S: Final = 120.0
"""Without an interval settled for so long, a live run is given up. [s]"""
NODES: Final = "nodes"
ENDING: Final = ("household", "gateway")
"""Roles whose processes end by themselves."""


class LiveFailed(WattswapError):
    """A live run that could not go on."""

    exit_code = ExitCode.CHECK_FAILED


@dataclass(frozen=True, slots=True)
class Town:
    """What a live run consists of.

    Args:
        validators: Authorities, a process each.
        processes: Among how many processes the homes' nodes are divided.
        gateways: Nodes, a process each, that act for all homes; 0 gives every home a node of its own.
        pace_s: Least time an interval takes. [s]
        gate_s: See GATE_S. [s]
    """

    validators: int = 4
    processes: int = 2
    gateways: int = 0
    pace_s: float = 0.0
    gate_s: float = GATE_S


OnNodes = Callable[[Supervisor, Sequence[NodeConfig]], None]
"""Called now and then while the nodes run; a test may kill some of them."""


def run_live(
    scenario: Scenario,
    *,
    town: Town = Town(),
    intervals: int | None = None,
    start_s: int | None = None,
    out: Path | str = "runs",
    on_progress: engine.OnProgress | None = None,
    on_nodes: OnNodes | None = None,
) -> RunResult:
    """Run a scenario with real nodes.

    Args:
        scenario: What to run.
        town: How many nodes and processes.
        intervals: Only so many intervals; all when left out.
        start_s: First interval; the scenario's own when left out. [s]
        out: Folder under which the run's own folder is made.
        on_progress: See `engine.OnProgress`.
        on_nodes: See `OnNodes`.

    Raises:
        NodeFailed: A node could not be kept running; the sentence has the end of its log.
        LiveFailed: Nothing was settled for STALL_S.
        VerificationFailed: What the nodes left behind does not hold.
    """
    authorities = scenario.chain.model_copy(update={"authorities": town.validators})
    setup = prepare(cut_to(scenario.model_copy(update={"chain": authorities}), intervals, start_s))
    partial = engine.begin(setup, Path(out), driver=engine.LIVE)
    begun = time.time()
    try:
        wish = Wish(0, town.validators, gateways=town.gateways, pace_s=town.pace_s, gate_s=town.gate_s)
        configs = init_nodes(
            setup.scenario,
            partial / NODES,
            wish,
            KeyPlan(derived=True),
            make_genesis=lambda *_: setup.genesis,
            scenario_file=partial / SCENARIO,
        )
        session = _Session(configs, town, setup.intervals, on_progress, on_nodes)
        session.run()
        operator = next(config for config in configs if config.role == "operator")
        # An operator that was down lacks the blobs of what was collected in its place.
        collectors = [c for c in configs if c.role in ("operator", "validator")]
        take_over(partial, operator.data_path / CHAIN_FILE, [c.data_path / BLOBS for c in collectors])
        network = _facts(configs, session.restarts)
        shutil.rmtree(partial / NODES)
        return assemble(setup, partial, begun, network)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


class _Session:
    """The processes of one live run, from the first start to the last stop."""

    def __init__(
        self,
        configs: Sequence[NodeConfig],
        town: Town,
        intervals: int,
        on_progress: engine.OnProgress | None,
        on_nodes: OnNodes | None,
    ) -> None:
        self._configs, self._town, self._intervals = configs, town, intervals
        self._on_progress, self._on_nodes = on_progress, on_nodes
        self.restarts: dict[str, int] = {}

    def run(self) -> None:
        supervisor = Supervisor({"PYTHONHASHSEED": "0"})
        with engine.Interrupt().listening() as interrupt:
            try:
                for name, group in self._groups():
                    log = group[0].folder / "node.log"
                    supervisor.start(name, [config.folder for config in group], log)
                self._watch(supervisor, interrupt)
            finally:
                supervisor.stop()
                self.restarts = {
                    name: child.restarts for name, child in supervisor.children.items() if child.restarts
                }

    def _groups(self) -> list[tuple[str, list[NodeConfig]]]:
        """Which nodes share a process: homes by turns, everybody else alone."""
        alone = [(c.name, [c]) for c in self._configs if c.role != "household"]
        homes = [c for c in self._configs if c.role == "household"]
        count = min(self._town.processes, len(homes))
        return [*alone, *((f"homes-{i}", homes[i::count]) for i in range(count))]

    def _watch(self, supervisor: Supervisor, interrupt: engine.Interrupt) -> None:
        ending = [name for name, group in self._groups() if group[0].role in ENDING]
        operator = next(config.data_path for config in self._configs if config.role == "operator")
        settled, moved = 0, time.monotonic()
        while not all(supervisor.children[name].done for name in ending):
            if interrupt.asked:
                raise Interrupted.of("live", "stopped", "a live run cannot be continued; start a new one")
            supervisor.check()
            if self._on_nodes is not None:
                self._on_nodes(supervisor, self._configs)
            prices = {
                line["interval_start"]: line["price_per_kwh"]
                for line in read_stats([operator])
                if line.get("what") == "settled"
            }
            if len(prices) > settled:
                settled, moved = len(prices), time.monotonic()
                if self._on_progress is not None:
                    self._on_progress(settled, self._intervals, prices[max(prices)])
            elif time.monotonic() - moved > STALL_S + self._town.pace_s:
                raise LiveFailed.of(
                    "live", f"no interval was settled for {STALL_S:g} s, after {settled} of {self._intervals}"
                )
            time.sleep(POLL_S)


def _facts(configs: Sequence[NodeConfig], restarts: dict[str, int]) -> dict[str, Any]:
    """Figures for the manifest and for `wattswap show RUN network`, over all nodes."""
    lines = list(read_stats(config.data_path for config in configs))
    settled = [line for line in lines if line.get("what") == "settled"]
    collected = [line for line in lines if line.get("what") == "collected"]
    lived = [line for line in lines if line.get("what") == "lived"]
    intervals = len({line["interval_start"] for line in settled}) or 1
    return {
        "nodes": len(configs),
        "roles": {role: sum(c.role == role for c in configs) for role in sorted({c.role for c in configs})},
        "interval_s": _percentiles(_gaps(settled)),
        "finality_s": _percentiles([line["finality_s"] for line in settled if "finality_s" in line]),
        "receipt_s": _percentiles([line["receipt_s"] for line in lived]),
        "result_s": _percentiles([line["result_s"] for line in lived]),
        "later_rounds": sum(line["round"] > 0 for line in settled if "finality_s" in line),
        "cpu_s_per_interval": round(sum(line.get("cpu_s", 0) for line in lines) / intervals, 4),
        "signed_receipts": sum(line["receipts"] for line in lived),
        "late": sum(line["late"] for line in lived),
        "results_by_gossip": sum(line["by_gossip"] for line in lived),
        "results_by_request": sum(line["proofs"] - line["by_gossip"] for line in lived),
        "proofs_checked": sum(line["proofs"] for line in lived),
        "silent": sorted(f"{line['interval_start']} {home}" for line in collected for home in line["silent"]),
        "restarts": restarts,
        **{
            f"{name}_per_interval": round(sum(line.get(name, 0) for line in lines) / intervals, 1)
            for name in COUNTED
        },
    }


def _gaps(settled: Sequence[dict[str, Any]]) -> list[float]:
    """Seconds from one settled interval to the next, as the first node saw them."""
    seen: dict[int, float] = {}
    for line in settled:
        start = line["interval_start"]
        seen[start] = min(seen.get(start, math.inf), line["at"])
    times = [seen[start] for start in sorted(seen)]
    return [b - a for a, b in pairwise(times)]


def _percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Median, 95th percentile and largest; None where nothing was measured."""
    if not values:
        return {"p50": None, "p95": None, "max": None}
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 4),
        "p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1], 4),
        "max": round(ordered[-1], 4),
    }
