"""Running a node as a service does: until SIGTERM or Ctrl-C, then an orderly end."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from importlib.util import find_spec

import trio

from p2p.identity import Identity
from wattswap.errors import CheckFailed
from wattswap.nodes.config import NodeConfig

PROGRAM = "wattswap.nodes.node"
RunNode = Callable[[NodeConfig, Mapping[str, Identity]], Awaitable[None]]
"""The program of every role: (configuration, keys by name); it ends when it is cancelled."""


def run_until_told(config: NodeConfig, keys: Mapping[str, Identity]) -> None:
    """Run a node; SIGTERM and SIGINT cancel it, and that is a good end.

    Raises:
        Exception: Whatever ended the node, out of the groups that nurseries make.
    """
    if find_spec(PROGRAM) is None:
        raise CheckFailed.of("node run", "this version of wattswap has no program for nodes", "update it")
    run_node: RunNode = import_module(PROGRAM).run_node
    try:
        trio.run(_until_told, run_node, config, keys)
    except BaseExceptionGroup as group:
        raise _first_cause(group) from None


async def _until_told(run_node: RunNode, config: NodeConfig, keys: Mapping[str, Identity]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(cancel)
            await run_node(config, keys)
            nursery.cancel_scope.cancel()


def _first_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
