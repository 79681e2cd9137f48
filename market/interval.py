"""Market intervals: half-open [start, end), UTC, named by their start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

ALLOWED_MINUTES = (5, 15, 30, 60)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """One market time unit.

    Args:
        start_s: Start, seconds since 1970-01-01T00:00Z, a multiple of the length. [s]
        minutes: Length: 5, 15, 30 or 60. [min]
    """

    start_s: int
    minutes: int = 15

    def __post_init__(self) -> None:
        if self.minutes not in ALLOWED_MINUTES:
            raise ValueError(f"an interval of {self.minutes} minutes; choose one of {ALLOWED_MINUTES}")
        if self.start_s % (self.minutes * 60):
            raise ValueError(f"interval start {self.start} is not on a {self.minutes}-minute boundary")

    @property
    def end_s(self) -> int:
        """The first second after the interval. [s]"""
        return self.start_s + self.minutes * 60

    @property
    def start(self) -> datetime:
        """The start as an aware UTC datetime."""
        return datetime.fromtimestamp(self.start_s, UTC)

    def __str__(self) -> str:
        return self.start.strftime("%Y-%m-%dT%H:%MZ") + f"/{self.minutes}min"
