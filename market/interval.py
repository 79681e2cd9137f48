"""Market intervals: half-open [start, end), UTC, named by their start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

ALLOWED_MINUTES = (5, 15, 30, 60)

OFFSET_S = 900
"""Every time zone is a multiple of this away from UTC, and so is the start of an interval on a local clock. [s]"""


def begins_interval(start_s: int, minutes: int) -> bool:
    """Whether an interval of this length can start at an instant: at a whole one on some local clock.

    Hours of +05:30 begin half past the UTC hour. All intervals of one market are whole lengths apart; which of the
    possible clocks they keep to the first one shows.
    """
    return start_s % min(minutes * 60, OFFSET_S) == 0


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """One market time unit.

    Args:
        start_s: Start, seconds since 1970-01-01T00:00Z, as `begins_interval` allows. [s]
        minutes: Length: 5, 15, 30 or 60. [min]
    """

    start_s: int
    minutes: int = 15

    def __post_init__(self) -> None:
        if self.minutes not in ALLOWED_MINUTES:
            raise ValueError(f"an interval of {self.minutes} minutes; choose one of {ALLOWED_MINUTES}")
        if not begins_interval(self.start_s, self.minutes):
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
