"""The live run: real nodes on loopback, started, supervised and stopped, and the run folder made from their data.

Homes, operator and validators are processes of their own that use libp2p. The run folder is assembled
afterwards from the longest chain and the blobs, by recomputing every interval.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from market.units import WH_PER_KWH
from p2p.blocks.genesis import read_genesis
from wattswap.errors import ExitCode, Interrupted, VerificationFailed, WattswapError
from wattswap.nodes.assemble import assemble, keep_omissions, take_over
from wattswap.nodes.config import KEPT_INTERVALS, NodeConfig
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes, node_slots
from wattswap.nodes.report import network_facts, write_network
from wattswap.nodes.stats import read_stats
from wattswap.nodes.supervisor import Supervisor
from wattswap.runs import engine
from wattswap.runs.interrupt import Interrupt
from wattswap.runs.layout import LIVE, RUNS, SCENARIO
from wattswap.runs.prepare import cut_to, prepare

if TYPE_CHECKING:
    from wattswap.runs.folder import RunFolder
    from wattswap.scenario.load import Scenario

GATE_S: Final = 20.0
"""Timeout of the orders of each round, and then of readings; all end as soon as every home has sent. [s]"""
POLL_S: Final = 0.1
SHOWN_LATE: Final = 5
"""Most homes that a sentence names."""
STALL_S: Final = 120.0
"""A live run of one round is aborted if no interval is settled for this long. [s]"""
NODES: Final = "nodes"
ENDING: Final = ("household", "gateway")
"""Roles whose processes end by themselves."""


class LiveFailed(WattswapError):
    """A live run that stalled."""

    exit_code = ExitCode.CHECK_FAILED


@dataclass(frozen=True, slots=True)
class Topology:
    """The nodes and processes of a live run.

    Args:
        validators: Their number, a process each.
        processes: Number of processes that share the homes' nodes.
        gateways: Nodes, a process each, that act for all homes; 0: one node per home.
        pace_s: Minimum interval duration; 0: as fast as possible. [s]
        gate_s: See GATE_S. [s]
        modules: Files of plug-ins, imported by every process.
    """

    validators: int = 4
    processes: int = 2
    gateways: int = 0
    pace_s: float = 0.0
    gate_s: float = GATE_S
    modules: tuple[Path, ...] = ()


OnNodes = Callable[[Supervisor, Sequence[NodeConfig]], None]
"""Called repeatedly while the processes run; a test may kill some of them."""
NodeRunner = Callable[[Sequence[NodeConfig], Topology, int, engine.OnProgress | None], Mapping[str, int]]
"""Runs nodes until the homes have finished this number of intervals; returns restarts by process."""


def run_live(
    scenario: Scenario,
    *,
    topology: Topology = Topology(),
    intervals: int | None = None,
    start_s: int | None = None,
    out: Path | str = RUNS,
    on_progress: engine.OnProgress | None = None,
    run_nodes: NodeRunner | None = None,
) -> RunFolder:
    """Run a scenario with real nodes.

    Args:
        scenario: What to run.
        topology: Its nodes and processes.
        intervals: Number of intervals to run; all when left out.
        start_s: First interval; the scenario's own when left out. [s]
        out: Folder under which the run's own folder is made.
        on_progress: See `engine.OnProgress`.
        run_nodes: Runs the nodes; as processes over libp2p when left out.

    Raises:
        NodeFailed: A node could not be kept running; the sentence has the end of its log.
        LiveFailed: Nothing was settled for STALL_S.
        VerificationFailed: The chain does not follow from the blobs.
    """
    authorities = scenario.chain.model_copy(update={"authorities": topology.validators})
    setup = prepare(cut_to(scenario.model_copy(update={"chain": authorities}), intervals, start_s))
    spec = NetworkSpec(
        0,
        topology.validators,
        gateways=topology.gateways,
        pace_s=topology.pace_s,
        gate_s=topology.gate_s,
        kept_intervals=max(KEPT_INTERVALS, setup.intervals),  # its folder has the messages of all
    )
    node_slots(setup.roster, spec)  # refuse wrong numbers before anything is written
    partial = engine.begin(setup, Path(out), driver=LIVE)
    begun = time.time()
    try:
        configs = init_nodes(
            setup.scenario,
            partial / NODES,
            spec,
            KeyPlan(derived=True),
            make_genesis=lambda *_: setup.genesis,
            scenario_file=partial / SCENARIO,
        )
        restarts = (run_nodes or run_processes)(configs, topology, setup.intervals, on_progress)
        lines = list(read_stats(config.data_path for config in configs))
        take_over(setup, partial, [c.data_path for c in configs if c.role in ("operator", "validator")])
        keep_omissions(partial, [config.data_path for config in configs])
        write_network(partial, lines)
        shutil.rmtree(partial / NODES)
        return assemble(setup, partial, begun, network_facts(configs, lines, restarts))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def run_processes(
    configs: Sequence[NodeConfig],
    topology: Topology,
    intervals: int,
    on_progress: engine.OnProgress | None,
    on_nodes: OnNodes | None = None,
) -> Mapping[str, int]:
    """Run nodes as processes: the homes share some, every other node has its own; see `NodeRunner`."""
    alone = [(c.name, [c]) for c in configs if c.role != "household"]
    homes = [c for c in configs if c.role == "household"]
    count = min(topology.processes, len(homes))
    groups = [*alone, *((f"homes-{i}", homes[i::count]) for i in range(count))]
    ending = [name for name, group in groups if group[0].role in ENDING]
    supervisor = Supervisor({}, topology.modules)
    more_rounds = read_genesis(configs[0].genesis_path).params.rounds - 1
    stall_s = STALL_S + topology.pace_s + more_rounds * topology.gate_s
    with Interrupt().listening() as interrupt:
        try:
            for name, group in groups:
                supervisor.start(name, [config.folder for config in group], group[0].folder / "node.log")
            watch = _Watch(configs, intervals, stall_s, on_progress)
            while not all(supervisor.children[name].done for name in ending):
                if interrupt.asked:
                    raise Interrupted.of("live", "stopped", "a live run cannot be continued; start a new one")
                supervisor.check()
                if on_nodes is not None:
                    on_nodes(supervisor, configs)
                watch.look()
                time.sleep(POLL_S)
        finally:
            supervisor.stop()
    return {name: child.restarts for name, child in supervisor.children.items() if child.restarts}


class _Watch:
    """Reads the statistics of the collectors, to show progress and to detect a stall."""

    def __init__(
        self,
        configs: Sequence[NodeConfig],
        intervals: int,
        stall_s: float,
        on_progress: engine.OnProgress | None,
    ) -> None:
        self._folders = [c.data_path for c in configs if c.role in ("operator", "validator")]
        self._intervals, self._stall_s, self._on_progress = intervals, stall_s, on_progress
        self._settled, self._moved = 0, time.monotonic()

    def look(self) -> None:
        """Report progress.

        Raises:
            LiveFailed: No interval was settled for too long.
        """
        prices = {
            line["interval_start"]: line["price_per_kwh"]
            for line in read_stats(self._folders)
            if line.get("what") == "settled"
        }
        if len(prices) > self._settled:
            self._settled, self._moved = len(prices), time.monotonic()
            if self._on_progress is not None:
                self._on_progress(self._settled, self._intervals, prices[max(prices)])
        elif time.monotonic() - self._moved > self._stall_s:
            what = (
                f"no interval was settled for {self._stall_s:g} s, after {self._settled} of {self._intervals}"
            )
            raise LiveFailed.of("live", what, "find what keeps the machine busy, or run fewer nodes")


def _refuse_late(live: RunFolder, moment: str, start_s: int, absent: Sequence[str]) -> None:
    """Say that homes were late, where they were, in place of a difference that follows from it."""
    late = [text.partition(" ")[2] for text in absent if text.startswith(f"{start_s} ")]
    if late:
        shown = ", ".join(late[:SHOWN_LATE]) + (", ..." if len(late) > SHOWN_LATE else "")
        what = f"{len(late)} of {live.metrics['homes']} homes sent nothing before the gate closed ({shown})"
        cure = f"run it with less to do or fewer nodes; the times: wattswap show {live.path} network"
        raise LiveFailed.of(moment, what, cure)


def compare_runs(live: RunFolder, in_process: RunFolder) -> list[dict[str, Any]]:
    """Compare two runs interval by interval: order-book root, clearing and postings.

    Blocks differ: validators that vote over a network need other rounds and times than one process.

    Raises:
        LiveFailed: Homes sent nothing in time, so that the runs cannot be equal; names them.
        VerificationFailed: They differ; names the first interval and what.
    """
    absent = live.manifest.get("network", {}).get("silent", [])
    names = ("book_root", "clearing_root", "postings_root")
    a, b = live.table("intervals"), in_process.table("intervals")
    rows = []
    for (_, x), (_, y) in zip(a.iterrows(), b.iterrows(), strict=True):
        moment = x["interval_start"].strftime("%Y-%m-%dT%H:%MZ")
        for name in names:
            if x[name] != y[name]:
                _refuse_late(live, moment, int(x["interval_start"].timestamp()), absent)
                raise VerificationFailed.of(
                    moment,
                    f"{name.replace('_', ' ')}: {x[name].hex()[:16]} live, {y[name].hex()[:16]} in process",
                )
        facts = {
            "interval": moment,
            "orders": int(x["orders"]),
            "traded_kwh": int(x["traded_wh"]) / WH_PER_KWH,
        }
        rows.append(facts | {name: x[name].hex() for name in names})
    if live.manifest["replay_sha256"] != in_process.manifest["replay_sha256"]:
        raise VerificationFailed.of("all intervals", "the replay hashes differ")
    return rows
