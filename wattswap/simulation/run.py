"""One simulated run: every node of a neighbourhood in one process, in virtual time, with the faults of a plan."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from p2p.transports.memory import Faults
from wattswap.nodes.live import ENDING
from wattswap.nodes.node import JOURNAL_FILE
from wattswap.simulation import acts, byzantine
from wattswap.simulation.base import Base, base_of
from wattswap.simulation.history import History
from wattswap.simulation.network import SimulatedNetwork, Trace
from wattswap.simulation.plan import CALM, Plan, Weather
from wattswap.simulation.scheduler import run_repeatably
from wattswap.simulation.signatures import by_hash
from wattswap.simulation.town import ObservedDisk, SimulatedNode, Town
from wattswap.simulation.truth import Truth

_PLACES: Final = [Path("/dev/shm")]
"""Folders in which runs make theirs; the first that is there counts."""
TAIL_S: Final = 45.0
"""Time after the last interval is due in which homes may finish. [s]"""


@dataclass(slots=True)
class Outcome:
    """A finished run.

    Args:
        history: For the oracles; its folders are there as long as the run is inspected.
        trace: Hash of all messages.
        events: Number of them.
        lines: A line of each, where they were asked for.
    """

    history: History
    trace: str
    events: int
    lines: list[str]


@contextmanager
def simulated(plan: Plan, *, with_lines: bool = False) -> Iterator[Outcome]:
    """Run a plan; its folders are there inside the context.

    Args:
        with_lines: Keep a line of each message.
    """
    quiet = logging.getLogger("wattswap"), logging.getLogger("p2p")
    with nullcontext() if plan.signatures else by_hash(), work_folder() as folder:
        base = base_of(plan.shape, plan.signatures)
        levels = [log.level for log in quiet]
        for log in quiet:
            log.setLevel(logging.CRITICAL + 1)
        try:
            yield run_repeatably(lambda: _main(plan, base, folder, with_lines), f"{plan.seed}")
        finally:
            for log, level in zip(quiet, levels, strict=True):
                log.setLevel(level)


def work_in(folder: Path) -> None:
    """Let the runs of this process make their folders in this one, which the caller deletes."""
    _PLACES.insert(0, folder)


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for a run: in memory, where there is one."""
    place = next((one for one in _PLACES if one.is_dir()), None)
    folder = Path(tempfile.mkdtemp(prefix="wattswap-sim-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _main(plan: Plan, base: Base, folder: Path, with_lines: bool) -> Outcome:
    truth, trace = Truth(), Trace([] if with_lines else None)
    unfinished: list[str] = []
    network = SimulatedNetwork(
        _faults(plan.weather, plan.seed), names=dict(base.names), direct=not plan.frames
    )
    async with trio.open_nursery() as nursery:
        nodes = {
            name: SimulatedNode(name, config.model_copy(), _disk(folder / name))
            for name, config in base.configs.items()
        }
        town = Town(plan, base, nursery, network, truth, nodes, trace)
        network.seen += [trace, truth.see, town.see]
        for name, node in nodes.items():
            node.config = base.configs[name].model_copy(update={"data": str(folder / name)}).in_folder(folder)
            node.disk.before_write = partial(town.before_write, name)
            node.disk.wrote = partial(town.wrote, name)
        acts.await_moments(town)
        for act in plan.acts:
            nursery.start_soon(acts.play, town, act)
        for i in range(plan.shape.intervals):
            nursery.start_soon(_open, town, i)
        nursery.start_soon(_calm, town)
        byzantine.arm(town)
        for name in nodes:
            town.start(name)
        end_s = plan.opens_s(plan.shape.intervals) + TAIL_S + 3 * plan.shape.pace_s
        waiting = [node for node in nodes.values() if node.config.role in ENDING]
        while trio.current_time() < end_s and not all(node.has_finished or node.is_gone for node in waiting):
            await trio.sleep(plan.shape.pace_s / 4)
        unfinished = [node.name for node in waiting if not node.has_finished and not node.is_gone]
        nursery.cancel_scope.cancel()
    truth.end_s = trio.current_time()
    for name, node in nodes.items():
        truth.hold(name, "bytes on disk", node.disk.bytes_held())
        truth.hold(name, "files", sum(1 for path in node.disk.folder.rglob("*") if path.is_file()))
        node.disk.restart()
        truth.hold(name, "promises", _promises(folder / name / JOURNAL_FILE))
    folders = {name: folder / name for name in nodes}
    history = History(plan, base, truth, folders, unfinished, town.acted)
    return Outcome(history, trace.hexdigest(), trace.events, trace.lines or [])


def _disk(folder: Path) -> ObservedDisk:
    folder.mkdir()
    return ObservedDisk(folder)


def _faults(weather: Weather, seed: int) -> Faults:
    return Faults(seed, weather.delay_min_s, weather.delay_max_s, weather.loss, weather.duplication)


def _promises(path: Path) -> int:
    """Number of promises in a collector's journal."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as journal:
        return int(journal.execute("SELECT count(*) FROM promises").fetchone()[0])


async def _open(town: Town, i: int) -> None:
    await trio.sleep_until(town.plan.opens_s(i))
    town.happened("opening", "", i)


async def _calm(town: Town) -> None:
    """Begin the calm: a good network, right clocks, room on the disks, and everybody up who is not gone for good."""
    await trio.sleep_until(town.plan.calm_s)
    town.network.weather = _faults(CALM, town.plan.seed)
    town.network.slow.clear()
    for node in town.nodes.values():
        node.clock.offset_ms = 0
        node.disk.full = False
        if not node.is_up:
            await trio.sleep(0)
            town.start(node.name)
