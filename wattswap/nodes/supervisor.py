"""Processes of a network on this machine: started, restarted when they die, stopped together.

A node writes its output to its own log file. Only processes started here are signalled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wattswap.errors import ExitCode, WattswapError

RESTARTS_MAX: Final = 20
"""Restarts of one process before the run is aborted."""
STOP_S: Final = 10.0
"""How long a process may take to end after SIGTERM. [s]"""
_LOG_TAIL_BYTES: Final = 2_000


class NodeFailed(WattswapError):
    """A process of the network that cannot be kept running."""

    exit_code = ExitCode.CHECK_FAILED


@dataclass(slots=True)
class Child:
    """One process.

    Args:
        name: For people.
        folders: Node folders it runs.
        log: File that gets its output; restarts append to it.
        modules: Files of plug-ins that it imports.
    """

    name: str
    folders: tuple[Path, ...]
    log: Path
    modules: tuple[Path, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    done: bool = False

    def start(self, environment: Mapping[str, str]) -> None:
        """Start the process, in a group of its own so that Ctrl-C reaches the supervisor only."""
        command = [sys.executable, "-m", "wattswap", "node", "run", *map(str, self.folders)]
        command += [word for module in self.modules for word in ("--module", str(module))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


@dataclass(slots=True)
class Supervisor:
    """Keeps processes running until those that end by themselves have ended.

    Args:
        environment: Added to each process' environment.
        modules: Files of plug-ins that each process imports.
    """

    environment: Mapping[str, str]
    modules: tuple[Path, ...] = ()
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str, folders: Sequence[Path], log: Path) -> Child:
        """Start a process for some node folders."""
        child = Child(name, tuple(folders), log, self.modules)
        child.start(self.environment)
        self.children[name] = child
        return child

    def check(self) -> list[str]:
        """Restart processes that have crashed, and return their names.

        A process that ended with 0 has done its work and stays down.

        Raises:
            NodeFailed: One ended with an error or crashed too often; the message has the end of its log.
        """
        again = []
        for child in self.children.values():
            code = None if child.process is None else child.process.poll()
            if code is None or child.done:
                continue
            if code == 0:
                child.done = True
                continue
            if code > 0:  # an error exit: a restart would fail in the same way
                raise NodeFailed.of(child.name, f"ended with exit code {code}: {_tail(child.log)}")
            if child.restarts == RESTARTS_MAX:
                raise NodeFailed.of(child.name, f"was started {RESTARTS_MAX + 1} times and killed each time")
            child.restarts += 1
            child.start(self.environment)
            again.append(child.name)
        return again

    def stop(self) -> None:
        """Send SIGTERM to every process, wait, and kill those that do not end."""
        running = [c for c in self.children.values() if c.process is not None and c.process.poll() is None]
        for child in running:
            child.signal(signal.SIGCONT)  # a stopped process would not receive SIGTERM
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for child in running:
            assert child.process is not None
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def _tail(log: Path) -> str:
    lines = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip().splitlines()
    return " | ".join(lines[-3:]) or "its log is empty"
