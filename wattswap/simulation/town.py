"""The nodes of a simulated run, which are started, stopped and killed, and what happens among them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import trio

from p2p.blocks.members import Rotated
from p2p.errors import LocalError
from p2p.transports.base import peer_id_of
from p2p.wire.identity import Identity
from wattswap.errors import InvalidData
from wattswap.nodes.batch_checker import BatchChecker, IsBarred
from wattswap.nodes.config import NodeConfig, former_key
from wattswap.nodes.live import ENDING
from wattswap.nodes.roles import run_role
from wattswap.nodes.world import World
from wattswap.simulation.base import Base
from wattswap.simulation.disk import Crashed, SimulatedDisk
from wattswap.simulation.network import SimulatedNetwork, Trace
from wattswap.simulation.plan import START_MS, Act, Plan
from wattswap.simulation.truth import Truth

EVENTS_MAX: Final = 300_000
"""Messages of a run; one with more is ended, and `bounded` is violated."""

RunNode = Callable[[NodeConfig, Any, World, Any], Awaitable[None]]


class Returned(Exception):
    """A node ended as if its work were done, which has no end."""


@dataclass(slots=True)
class NodeClock:
    """The clock of one node.

    Args:
        offset_ms: How much it is ahead. [ms]
    """

    offset_ms: int = 0

    def now_ms(self) -> int:
        """[ms since 1970, UTC]"""
        return START_MS + round(trio.current_time() * 1_000) + self.offset_ms


class ObservedDisk(SimulatedDisk):
    """A simulated disk whose files and lines an observer sees.

    Attributes:
        wrote: Called with the path and what was written.
    """

    wrote: Callable[[Path, bytes], None] = staticmethod(lambda _path, _data: None)

    def write_whole(self, path: Path, data: bytes) -> None:
        """See `Disk`."""
        super().write_whole(path, data)
        self.wrote(path, data)

    def append_line(self, path: Path, line: bytes) -> None:
        """See `SimulatedDisk`."""
        super().append_line(path, line)
        self.wrote(path, line)


@dataclass(slots=True)
class SimulatedNode:
    """One node, up or down.

    Args:
        disk: Its disk, which outlives its process.
        scope: Of its process.
        is_up: Whether its process runs.
        is_gone: It is never started again.
        has_finished: It has ended by itself, its work done.
        was_full: Its disk was full in this life, so that it may end by an error of it.
        starts: How often it was started.
    """

    name: str
    config: NodeConfig
    disk: ObservedDisk
    clock: NodeClock = field(default_factory=NodeClock)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)
    is_up: bool = False
    is_gone: bool = False
    has_finished: bool = False
    was_full: bool = False
    starts: int = 0


@dataclass(slots=True)
class Town:
    """The nodes of a run."""

    plan: Plan
    base: Base
    nursery: trio.Nursery
    network: SimulatedNetwork
    truth: Truth
    nodes: dict[str, SimulatedNode]
    trace: Trace
    events: dict[tuple[str, str, int], trio.Event] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    keys: dict[str, Mapping[str, Identity]] = field(default_factory=dict)
    checker: BatchChecker | None = None
    roles: dict[str, RunNode] = field(default_factory=dict)
    acted: list[tuple[float, Act]] = field(default_factory=list)
    crash_at: dict[tuple[str, int], trio.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys |= self.base.keys

    # --- processes ------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a node, perhaps again."""
        node = self.nodes[name]
        if node.is_gone or node.is_up or node.has_finished:
            return
        if node.starts:
            node.disk.restart()
        node.was_full = node.disk.full
        node.scope, node.ended = trio.CancelScope(), trio.Event()
        node.is_up = True
        node.starts += 1
        self.nursery.start_soon(self._run, node)

    def kill(self, name: str) -> None:
        """End a node as SIGKILL does: what it wrote stays, it writes and sends nothing more."""
        node = self.nodes[name]
        if node.is_up:
            node.disk.kill()
            self.network.drop(self.peer(name))
            node.scope.cancel()

    async def stop(self, name: str) -> None:
        """End a node as SIGTERM does, and wait until it has ended."""
        node = self.nodes[name]
        if node.is_up:
            node.scope.cancel()
            await node.ended.wait()

    def peer(self, name: str) -> str:
        """Peer id of a node."""
        return next(peer for peer, other in self.network.names.items() if other == name)

    def give_key(self, name: str, key_name: str, key: Identity, signs_from_s: int) -> None:
        """Give a node another key, which it has from its next start on beside the former one.

        Args:
            signs_from_s: Start of the first interval whose messages it signs. [s since 1970, UTC]
        """
        node, was = self.nodes[name], self.keys[name][key_name]
        self.keys[name] = {**self.keys[name], key_name: key, former_key(key_name): was}
        store = node.config.keystore.model_copy(update={"signs_from_unix_s": signs_from_s})
        node.config = node.config.model_copy(update={"keystore": store}).in_folder(node.config.folder)
        if self.network.names.pop(peer_id_of(was.public_key), None) is not None:  # not behind a gateway
            self.network.names[peer_id_of(key.public_key)] = name

    async def _run(self, node: SimulatedNode) -> None:
        config, run = node.config, self.roles.get(node.name, run_role)
        try:
            with node.scope:
                await run(config, self.keys[node.name], self.world(node), self.base.setup)
                if config.role not in ENDING:
                    raise Returned(f"a {config.role} has no end")
                node.has_finished = True
        except BaseException as error:
            self._note_end(node, error)
            if any(isinstance(leaf, trio.Cancelled) for leaf in leaves(error)):
                raise
        finally:
            self.network.drop(self.peer(node.name))
            node.is_up = False
            node.ended.set()

    def _note_end(self, node: SimulatedNode, error: BaseException) -> None:
        """Note an error that ended a node, unless an act explains it."""
        for leaf in leaves(error):
            expected = isinstance(leaf, Crashed | trio.Cancelled) or not node.disk.alive
            refused = node.was_full and isinstance(leaf, LocalError | InvalidData | OSError)
            if not expected and not refused:
                self.truth.ended.append((node.name, leaf))

    def world(self, node: SimulatedNode) -> World:
        """The environment of a node."""
        random = Random(f"{self.plan.seed}|compute|{node.name}")

        async def offload(function: Callable[..., Any], *arguments: Any) -> Any:
            await trio.sleep(random.random() * self.plan.compute_s if self.is_chaos() else 0.0)
            return function(*arguments)

        return World(
            lambda identity, _port: self.network.endpoint(identity),
            offload,
            node.clock.now_ms,
            node.disk,
            BatchChecker if self.plan.needs_own_checks else self._shared_checker,
            shares_process=True,
        )

    def _shared_checker(self, setup: Any, _rotated: Rotated, _is_barred: IsBarred) -> BatchChecker:
        if self.checker is None:
            self.checker = BatchChecker(setup)
        return self.checker

    def is_chaos(self) -> bool:
        """Whether the calm has not begun."""
        return trio.current_time() < self.plan.calm_s

    # --- events ---------------------------------------------------------------------------------------------

    def event(self, kind: str, where: str, number: int) -> trio.Event:
        """What is set when something has happened for the `number`-th time."""
        return self.events.setdefault((kind, where, number), trio.Event())

    def happened(self, kind: str, where: str, number: int | None = None) -> None:
        """Note that something happened; without a number it is counted."""
        if number is None:
            number = self.counts[kind, where] = self.counts.get((kind, where), 0) + 1
        found = self.events.get((kind, where, number))
        if found is not None:
            found.set()

    def see(
        self, kind: str, sender: str, receiver: str, channel: str, data: bytes, asked: bytes = b""
    ) -> None:
        """Count requests, and end a run without an end."""
        if kind == "ask":
            self.happened("message", f"{receiver} {channel}")
        if self.trace.events > EVENTS_MAX:
            self.nursery.cancel_scope.cancel()

    def before_write(self, name: str, number: int, _what: str) -> None:
        """Count a write, and let a node crash before it where an act says so."""
        crash = self.crash_at.get((name, number))
        if crash is not None and self.is_chaos():
            self.kill(name)
            crash.set()
            raise Crashed
        self.happened("write", name, number)

    def wrote(self, name: str, path: Path, data: bytes) -> None:
        """Note a file that a node has written, or a line that it has added to one."""
        if path.suffix == ".blob":
            self.truth.blobs[path.name] = data
            self.truth.holders.setdefault(path.name, set()).add(name)
        elif b'"what": "settled"' in data:
            start_s = int(data.partition(b'"interval_start": ')[2].partition(b",")[0])
            if start_s not in self.truth.settled:
                self.truth.settled[start_s] = (trio.current_time(), name)
                self.happened("settled", "", self.base.setup.index_of(start_s))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in the exception groups that nurseries raise."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error
