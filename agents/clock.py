"""The local clock of homes: what it shows at an instant, and the instant at which it shows something."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from agents.rules import DAY_MINUTES
from data.clock import local_clock, local_of_utc, zone_named
from market.units import IntArray

_THURSDAY = 3
"""Weekday of 1970-01-01, where Monday is 0."""


@lru_cache(maxsize=1_024)
def local_minute(zone: str, utc_s: int) -> int:
    """What the clock of a zone shows. [min since 1970 on that clock]"""
    (local_s,) = local_of_utc(np.array([utc_s], dtype=np.int64), zone_named(zone)).tolist()
    return int(local_s) // 60


def instant_s(zone: str, minute: IntArray) -> IntArray:
    """When the clock of a zone shows a time: at its first pass, and a skipped time as long after the hour it skips.

    Args:
        zone: Name of the zone.
        minute: Times on its clock. [min since 1970]
    """
    times, place = np.unique(minute, return_inverse=True)
    found: IntArray = np.array([_instant_s(zone, one) for one in times.tolist()], dtype=np.int64)[place]
    return found


@lru_cache(maxsize=8_192)
def _instant_s(zone: str, minute: int) -> int:
    clock = local_clock(np.array([minute * 60], dtype=np.int64), zone_named(zone))
    return int(clock.first_utc_s[0])


@lru_cache(maxsize=8_192)
def intervals_of_day(zone: str, start_s: int, minutes: int) -> tuple[int, int]:
    """How many intervals of a local day come before one of them, and how many there are from it on.

    Args:
        zone: Name of the zone.
        start_s: Start of the interval, whose day it belongs to. [s since 1970 UTC]
        minutes: Length of the intervals. [min]
    """
    day, step_s = day_of(local_minute(zone, start_s)), minutes * 60
    first_s, end_s = instant_s(zone, np.array([day, day + 1]) * DAY_MINUTES).tolist()
    return (start_s - first_s) // step_s, max(-(-(end_s - start_s) // step_s), 1)


def weekday(day: int) -> int:
    """Weekday of a local day, counted from 1970-01-01; Monday is 0."""
    return (day + _THURSDAY) % 7


def day_of(minute: int) -> int:
    """The local day of a time, counted from 1970-01-01."""
    return minute // DAY_MINUTES


def seen_row(row: int, known: int, minutes: int) -> int:
    """The measured row that stands for one to come: the last for the next hour, the same time of a day for later."""
    last = known - 1
    if (row - last) * minutes > 60:
        day = DAY_MINUTES // minutes
        row -= -(-(row - last) // day) * day
    return max(min(row, last) if row >= 0 else last, 0)
