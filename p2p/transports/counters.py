"""Counters of an endpoint: traffic, and refusals by peer."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_REFUSALS_MAX: Final = 4096


@dataclass(slots=True)
class Refusals:
    """What was refused, by peer and code; bounded, so that inventing peers does not cost our memory.

    Attributes:
        on_first: Called with peer, code and sentence when something of a peer is refused for this reason first.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    on_first: Callable[[str, str, str], None] = lambda peer, code, detail: None
    recent: deque[tuple[str, str, str]] = field(default_factory=lambda: deque(maxlen=100))

    def add(self, peer: str, code: str, detail: str) -> None:
        """Count one refusal and keep its sentence among the latest hundred."""
        known = (peer, code) in self.counts or len(self.counts) < _REFUSALS_MAX
        if known and (peer, code) not in self.counts:
            self.on_first(peer, code, detail)
        self.counts[(peer, code) if known else ("others", code)] += 1
        self.recent.append((peer, code, detail))

    def total(self, code: str) -> int:
        """How often a code was counted, over all peers."""
        return sum(count for (_, other), count in self.counts.items() if other == code)

    def by_peer(self, peer: str) -> int:
        """How much was refused of one peer, over all codes."""
        return sum(count for (other, _), count in self.counts.items() if other == peer)


@dataclass(slots=True)
class TransportStats:
    """Counters of one endpoint since it opened; bytes are payloads with their frame heads. [B]"""

    frames_sent: int = 0
    frames_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    streams_opened: int = 0
    gossip_sent: int = 0
    gossip_received: int = 0
    gossip_dropped: int = 0
    refused: Refusals = field(default_factory=Refusals)
