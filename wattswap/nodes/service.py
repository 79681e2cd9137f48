"""Run nodes as a service: until SIGTERM or SIGINT, then a graceful shutdown."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import trio

from p2p.wire.identity import Identity
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.roles import run_node
from wattswap.nodes.world import World, over_libp2p

Nodes = Sequence[tuple[NodeConfig, Mapping[str, Identity]]]
"""Nodes of one process: configuration and keys by name."""


def run_until_stopped(nodes: Nodes) -> None:
    """Run nodes until all have finished; SIGTERM and SIGINT stop them gracefully.

    Raises:
        Exception: The first error of a node, unwrapped from exception groups.
    """
    _keep_pandas_out()
    _log_plain_lines()
    try:
        trio.run(_until_stopped, nodes)
    except BaseExceptionGroup as group:
        raise first_cause(group) from None


def _log_plain_lines() -> None:
    """Let what is logged go to standard error as it is: a line begins with the name of the node, not of a module."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)


class _NoPandas:
    """An importer that finds no pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError(name)


def _keep_pandas_out() -> None:
    """Let Arrow find no pandas, where nothing has imported it yet.

    Arrow imports it with its first conversion to numpy and remembers whether it is there. A node makes no frames, and
    a small machine has better uses for the memory. Plug-ins may still import pandas themselves.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    refusing = _NoPandas()
    sys.meta_path.insert(0, refusing)
    try:
        pa.array([0]).to_numpy()
        pa.scalar(0)
    finally:
        sys.meta_path.remove(refusing)


async def _until_stopped(nodes: Nodes) -> None:
    world = World(over_libp2p)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(cancel)
            async with trio.open_nursery() as work:
                for number, (config, keys) in enumerate(nodes):
                    # The first node of a process accounts for its CPU time.
                    work.start_soon(run_node, config, keys, replace(world, shares_process=number > 0))
            nursery.cancel_scope.cancel()


def first_cause(error: BaseException) -> BaseException:
    """The first error inside the exception groups that nurseries raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
