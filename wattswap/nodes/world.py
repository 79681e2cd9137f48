"""The environment of a node: its clock, its disk, its way to others, and where it computes.

A node takes these from nowhere else, so that the same programs run as processes over libp2p and in a simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import trio

from p2p.blocks.members import Rotated
from p2p.disk import DISK, Disk
from p2p.roles.validator.batch_check import Offload
from p2p.roles.validator.config import wall_clock_ms
from p2p.transports.base import Transport
from p2p.wire.identity import Identity
from wattswap.nodes.batch_checker import BatchChecker, IsBarred
from wattswap.runs.prepare import Setup

OpenTransport = Callable[[Identity, int], AbstractAsyncContextManager[Transport]]
"""(identity, port) -> an open endpoint."""


@dataclass(frozen=True, slots=True)
class World:
    """What a node gets from outside.

    Args:
        open_transport: See `OpenTransport`.
        offload: Where heavy functions run.
        now_ms: The clock; durations are of trio's. [ms since 1970, UTC]
        disk: How it changes its folder.
        checker: Makes what checks batches; nodes in one process may share one.
        shares_process: Whether other nodes run in this process, so that its CPU time is not this node's.
    """

    open_transport: OpenTransport
    offload: Offload = trio.to_thread.run_sync
    now_ms: Callable[[], int] = wall_clock_ms
    disk: Disk = DISK
    checker: Callable[[Setup, Rotated, IsBarred], BatchChecker] = BatchChecker
    shares_process: bool = False


def over_libp2p(identity: Identity, port: int) -> AbstractAsyncContextManager[Transport]:
    """A libp2p endpoint on loopback."""
    from p2p.transports.libp2p import open_libp2p

    return open_libp2p(identity, port=port)
