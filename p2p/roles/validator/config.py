"""Settings of a validator, and its clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from p2p.consensus.types import Timeouts
from p2p.roles.validator.intake import Rates


@dataclass(frozen=True, slots=True)
class ValidatorConfig:
    """Settings of a validator.

    Args:
        timeouts: Of a round.
        resend_ms: Between two statuses; five times as long while there is nothing to decide. [ms]
        heartbeat_ms: A block after so long without one; 0 for none. [ms]
        early_ms: How far a fresh block's time may be ahead of our clock. [ms]
        late_ms: How far behind. [ms]
        rates: What one peer may send.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    resend_ms: int = 1_000
    heartbeat_ms: int = 0
    early_ms: int = 500
    late_ms: int = 5_000
    rates: Rates = field(default_factory=Rates)


def wall_clock_ms() -> int:
    """The time. [ms since 1970, UTC]"""
    return time.time_ns() // 1_000_000
