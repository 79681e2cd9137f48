"""A small neighbourhood of real processes over libp2p, each of which a test may stop, kill, damage and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import wattswap as ws
from p2p.batches.batch import batches
from p2p.blocks.block import Block, CommitCertificate, block_hash
from p2p.ledger.store import ChainStore
from tests.kits.run_kit import FIRST, write_street
from tests.kits.time_kit import eventually
from wattswap.nodes.assemble import assemble, take_over
from wattswap.nodes.config import CONFIG, NodeConfig
from wattswap.nodes.live import compare_runs
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.nodes.report import write_network
from wattswap.nodes.stats import read_stats
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario
from wattswap.runs.layout import CHAIN, LIVE, SCENARIO
from wattswap.runs.prepare import Setup, cut_to, prepare

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
"""Where the homes of the small street trade. [s]"""
GATE_S, TAKEOVER_S, PACE_S = 20.0, 2.0, 1.0
VALIDATORS = tuple(f"validator-{i}" for i in range(4))
HOMES = ("home-1", "home-2", "home-3")
OPERATOR = "operator-0"
POLL_S = 0.1
PATIENCE_S = 60.0
STOPPED_S = 15.0
"""How long a node may take to end after SIGTERM. [s]"""


@dataclass
class Town:
    """Node folders and the processes that run them; each process runs one node.

    Args:
        prefixes: Words in front of the command that starts a node.
    """

    setup: Setup
    partial: Path
    configs: dict[str, NodeConfig]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    prefixes: dict[str, list[str]] = field(default_factory=dict)

    # --- processes --------------------------------------------------------------------------------------

    def start(self, *names: str, clock_s: int = 0) -> None:
        """Start nodes; their logs are continued.

        Args:
            clock_s: By how much the wall clock of these processes is ahead. [s]
        """
        program = (
            "import time\n"
            "ns, s = time.time_ns, time.time\n"
            f"time.time_ns = lambda: ns() + {clock_s} * 10**9\n"
            f"time.time = lambda: s() + {clock_s}\n"
            "from wattswap.cli import main\n"
            "import sys\n"
            "main(sys.argv[1:])\n"
        )
        run = ["-c", program] if clock_s else ["-m", "wattswap"]
        for name in names:
            folder = self.configs[name].folder
            with (folder / "node.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [*self.prefixes.get(name, ()), sys.executable, *run, "node", "run", str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "PYTHONHASHSEED": "0"},
                    start_new_session=True,
                )

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a node."""
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """Kill a node with SIGKILL, and wait until it is gone."""
        self.processes[name].kill()
        self.processes[name].wait()

    def end(self, name: str, patience_s: float = PATIENCE_S) -> int:
        """Wait for a node to end by itself; its exit code."""
        return self.processes[name].wait(patience_s)

    def log(self, name: str) -> str:
        """What a node has printed."""
        return (self.configs[name].folder / "node.log").read_text(encoding="utf-8")

    def stop(self, *names: str) -> None:
        """Ask nodes to end; they must, and with 0."""
        for name in names:
            self.signal(name, signal.SIGTERM)
        codes = {name: self.processes[name].wait(STOPPED_S) for name in names}
        assert set(codes.values()) <= {0}, {name: self.log(name) for name, code in codes.items() if code}

    def take_down(self) -> None:
        """Kill whatever still runs."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()

    # --- what they have done ------------------------------------------------------------------------------

    def data(self, name: str) -> Path:
        """Folder of what a node stores."""
        return self.configs[name].data_path

    def blocks(self, name: str) -> list[tuple[Block, CommitCertificate]]:
        """The chain of a node, read beside it while it runs."""
        path = self.data(name) / CHAIN
        if not path.is_file() or not path.stat().st_size:
            return []
        with ChainStore.open(path, self.setup.genesis, read_only=True) as store:
            return list(store.blocks())

    def height(self, name: str) -> int:
        """How many blocks a node has."""
        return len(self.blocks(name))

    def settled(self, name: str = VALIDATORS[0]) -> list[int]:
        """Interval starts that the chain of a node has settled, in its order. [s]"""
        return [args.interval_start for block, _ in self.blocks(name) for _, args in batches(block.txs)]

    def wait_settled(self, count: int, name: str = VALIDATORS[0], patience_s: float = PATIENCE_S) -> None:
        """Wait until a node's chain has settled so many intervals."""
        what = f"{count} intervals settled at {name}"
        eventually(lambda: len(self.settled(name)) >= count, what, patience_s, POLL_S)

    def collectors(self) -> dict[int, str]:
        """Who collected each interval that is settled, by the key that signed its batch."""
        genesis = self.setup.genesis
        names = dict(zip(genesis.authorities, VALIDATORS, strict=True)) | {genesis.operators[0]: OPERATOR}
        return {
            args.interval_start: names[block.txs[index].sender]
            for block, _ in self.blocks(VALIDATORS[0])
            for index, args in batches(block.txs)
        }

    def signers(self, name: str = VALIDATORS[0], above: int = 0, up_to: int | None = None) -> set[str]:
        """Whose votes are in the certificates above a height, and up to another one."""
        return {
            VALIDATORS[i]
            for block, cert in self.blocks(name)
            if block.header.height > above and (up_to is None or block.header.height <= up_to)
            for i in signed_by(cert)
        }

    # --- what must hold -----------------------------------------------------------------------------------

    def check_chains(self, *names: str) -> None:
        """No fork, nothing signed twice, nothing settled twice, in the chains of these nodes (all validators)."""
        hashes: dict[int, bytes] = {}
        for name in names or VALIDATORS:
            found = self.blocks(name)
            assert [block.header.height for block, _ in found] == list(range(1, len(found) + 1))
            for block, _ in found:
                assert block.evidence == (), f"evidence in block {block.header.height} of {name}"
                own = block_hash(block.header)
                assert hashes.setdefault(block.header.height, own) == own, f"fork at {block.header.height}"
            starts = self.settled(name)
            assert len(set(starts)) == len(starts)

    def finish(self, source: str = VALIDATORS[0], patience_s: float = 90.0) -> RunResult:
        """Wait for the homes, stop the others, check the chains, and compare the run with one in process.

        Args:
            source: Node whose chain becomes the run.
        """
        for home in HOMES:
            assert self.end(home, patience_s) == 0, self.log(home)
        wanted = [self.setup.start_of(i) for i in range(self.setup.intervals)]
        running = [name for name, process in self.processes.items() if process.poll() is None]
        for name in running:
            self.wait_settled(len(wanted), name)
        self.stop(*running)
        self.check_chains(*(name for name in VALIDATORS if self.height(name)))
        assert self.settled(source) == wanted
        collected = list(read_stats(config.data_path for config in self.configs.values()))
        take_over(self.setup, self.partial, [self.data(name) for name in (*VALIDATORS, OPERATOR)])
        write_network(self.partial, collected)
        result = assemble(self.setup, self.partial, time.time(), {})
        assert result.manifest["network"]["silent"] == []
        again = engine.run(stored_scenario(result.path), out=self.partial.parent / "again")
        assert len(compare_runs(result, again)) == len(wanted)
        return result


def signed_by(cert: CommitCertificate) -> list[int]:
    """Indices of the authorities whose votes are in a certificate."""
    return [i for i in range(len(VALIDATORS)) if cert.bitmap[i // 8] >> (i % 8) & 1]


@contextmanager
def town(folder: Path, intervals: int, *, pace_s: float = PACE_S) -> Iterator[Town]:
    """Three homes, one operator and four validators, not started yet; whatever runs at the end is killed."""
    scenario = ws.load(write_street(folder / "street"))
    four = scenario.chain.model_copy(update={"authorities": len(VALIDATORS)})
    setup = prepare(cut_to(scenario.model_copy(update={"chain": four}), intervals, DAYLIGHT_S))
    partial = engine.begin(setup, folder / "runs", driver=LIVE)
    configs = init_nodes(
        setup.scenario,
        folder / "nodes",
        NetworkSpec(0, len(VALIDATORS), pace_s=pace_s, gate_s=GATE_S),
        KeyPlan(derived=True),
        make_genesis=lambda *_: setup.genesis,
        scenario_file=partial / SCENARIO,
    )
    for config in configs:
        mend(config, f"takeover_s = {config.clock.takeover_s}", f"takeover_s = {TAKEOVER_S}")
    place = Town(setup, partial, {config.name: config for config in configs})
    try:
        yield place
    finally:
        place.take_down()


def mend(config: NodeConfig, old: str, new: str) -> None:
    """Replace a piece of a node's config.toml."""
    path = config.folder / CONFIG
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new), encoding="utf-8")
