"""A whole neighbourhood of nodes in memory, on a clock that jumps: the same programs that processes run over libp2p."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio
import trio.testing

import wattswap as ws
from p2p.blocks.genesis import read_genesis
from p2p.roles.validator.batch_check import inline
from p2p.roles.validator.config import wall_clock_ms
from p2p.transports.base import Transport
from p2p.transports.memory import MemoryNetwork
from p2p.wire.identity import Identity
from tests.kits.time_kit import eventually_trio
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.keys import open_keys
from wattswap.nodes.live import ENDING, Topology, compare_runs, run_live
from wattswap.nodes.roles import run_node
from wattswap.nodes.service import first_cause
from wattswap.nodes.stats import read_stats
from wattswap.nodes.world import World
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario
from wattswap.simulation.base import in_memory


@dataclass
class MemoryTown:
    """Nodes that can be started, killed and started again."""

    nursery: trio.Nursery
    configs: dict[str, NodeConfig]
    network: MemoryNetwork = field(default_factory=MemoryNetwork)
    scopes: dict[str, trio.CancelScope] = field(default_factory=dict)
    ended: dict[str, trio.Event] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    begun_ms: int = field(default_factory=wall_clock_ms)

    def now_ms(self) -> int:
        """The clock of all nodes, which jumps with that of the tasks: gates and turns are times of it."""
        return self.begun_ms + round(trio.current_time() * 1_000)

    def start(self, name: str) -> None:
        """Start a node, perhaps again."""
        if name in self.scopes:
            self.restarts[name] = self.restarts.get(name, 0) + 1
        self.scopes[name], self.ended[name] = trio.CancelScope(), trio.Event()
        self.nursery.start_soon(self._run, name)

    async def kill(self, name: str) -> None:
        """End a node at once; what it had written stays."""
        self.scopes[name].cancel()
        await self.ended[name].wait()

    async def _run(self, name: str) -> None:
        config = self.configs[name]
        keys = open_keys(config, {}, read_genesis(config.genesis_path))
        with self.scopes[name]:
            await run_node(config, keys, World(self.open, inline, self.now_ms, shares_process=True))
        self.ended[name].set()

    def open(self, identity: Identity, _port: int) -> AbstractAsyncContextManager[Transport]:
        """An endpoint of the memory network."""
        return self.network.endpoint(identity)


Script = Callable[[MemoryTown], Awaitable[None]]
"""What happens to the nodes while they run."""


def play_in_memory(
    configs: Sequence[NodeConfig],
    _topology: Topology,
    _intervals: int,
    _on_progress: engine.OnProgress | None,
    script: Script | None = None,
    absent: Sequence[str] = (),
    network: MemoryNetwork | None = None,
) -> Mapping[str, int]:
    """Run nodes in one process; see `wattswap.nodes.live.NodeRunner`.

    Args:
        script: Runs beside the nodes; it is over before the network is.
        absent: Nodes that are not started.
    """
    by_name = {config.name: in_memory(config) for config in configs}

    async def main() -> dict[str, int]:
        async with trio.open_nursery() as nursery:
            town = MemoryTown(nursery, by_name, network or MemoryNetwork())
            for name in by_name:
                if name not in absent:
                    town.start(name)
            if script is not None:
                await script(town)
            for name, config in by_name.items():
                if config.role in ENDING and name not in absent:
                    await town.ended[name].wait()
            nursery.cancel_scope.cancel()
        return town.restarts

    try:
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    except BaseExceptionGroup as group:
        raise first_cause(group) from None


async def settled(town: MemoryTown, intervals: int) -> None:
    """Wait until the chain has so many settled intervals, as any authority's folder tells."""
    folders = [c.data_path for c in town.configs.values() if c.role == "validator"]

    def are_settled() -> bool:
        lines = [line for line in read_stats(folders) if line["what"] == "settled"]
        return len({line["interval_start"] for line in lines}) >= intervals

    await eventually_trio(are_settled, f"{intervals} intervals are settled", 3_600)


def playing(**options: object) -> Callable[..., Mapping[str, int]]:
    """`play_in_memory` with some of its options."""
    return partial(play_in_memory, **options)  # type: ignore[arg-type]


def lived_in_memory(
    scenario: ws.Scenario, out: Path, intervals: int, start_s: int, topology: Topology, **options: object
) -> RunResult:
    """So many intervals of a live run, in memory.

    Args:
        options: See `play_in_memory`.
    """
    return run_live(
        scenario,
        topology=topology,
        intervals=intervals,
        start_s=start_s,
        out=out,
        run_nodes=playing(**options),
    )


def assert_as_in_process(result: RunResult, tmp_path: Path, intervals: int) -> RunResult:
    """Every root of every interval is that of the run in process, and so are the tables."""
    again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
    assert len(compare_runs(result, again)) == intervals
    for name in ("orders", "postings", "bills", "readings"):
        assert (result.path / f"{name}.parquet").read_bytes() == (again.path / f"{name}.parquet").read_bytes()
    assert ws.verify(result.path)["ok"]
    return result


@dataclass
class Stage:
    """The town, which is there once the nodes have been started."""

    town: MemoryTown | None = None

    def cancel(self, name: str) -> None:
        """End a node at once, in the middle of what others do."""
        assert self.town is not None
        self.town.scopes[name].cancel()
