"""Statistics of a node, one JSON line per interval, for the run folder and for `show RUN network`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2p.disk import DISK, Disk
from wattswap.errors import InvalidData

if TYPE_CHECKING:
    from p2p.transports.base import Transport

STATS = "stats.jsonl"
COUNTED = ("frames_sent", "bytes_sent", "frames_received", "bytes_received", "gossip_sent", "gossip_received")


@dataclass(slots=True)
class Stats:
    """Appends a line per interval with the changes since the previous line.

    Args:
        path: File; a restarted node appends to it.
        node: Name of the node.
        transports: Endpoints whose counters are summed.
        now_ms: The clock. [ms since 1970, UTC]
        cpu_s: CPU seconds of the process so far; None for a node that shares a process with others. [s]
        disk: Where it is written.
    """

    path: Path
    node: str
    transports: list[Transport]
    now_ms: Callable[[], int]
    cpu_s: Callable[[], float] | None = time.process_time
    disk: Disk = DISK
    _before: dict[str, float] = field(default_factory=dict)

    def add(self, interval_start: int, **facts: Any) -> None:
        """Add a line about an interval.

        Raises:
            InvalidData: The disk is full, or the file may not be written.
        """
        now: dict[str, float] = {
            name: sum(getattr(t.stats, name) for t in self.transports) for name in COUNTED
        }
        if self.cpu_s is not None:
            now["cpu_s"] = self.cpu_s()
        changed = {name: round(value - self._before.get(name, 0), 6) for name, value in now.items()}
        self._before = now
        line = {
            "node": self.node,
            "interval_start": interval_start,
            "at": self.now_ms() / 1_000,
            **changed,
            **facts,
        }
        line["refused"] = refused_codes(self.transports)
        try:
            self.disk.append_line(self.path, json.dumps(line).encode())
        except OSError as error:
            cure = "free disk space or give write access, and start again"
            raise InvalidData.of(str(self.path), f"cannot be written: {error.strerror}", cure) from None


def refused_codes(transports: Iterable[Transport]) -> dict[str, int]:
    """Number of refusals of endpoints since they opened, by code."""
    found: dict[str, int] = {}
    for transport in transports:
        for (_, code), count in sorted(transport.stats.refused.counts.items()):
            found[code] = found.get(code, 0) + count
    return found


def read_stats(folders: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Read the lines of several nodes; an incomplete last line of a killed node is skipped."""
    for folder in folders:
        path = folder / STATS
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue
