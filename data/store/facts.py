"""Numbers of a home: span, energy, coverage, gaps, peak and base load, and its typical picture of days."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from data.clock import local_of_utc
from data.findings import runs
from data.readings import ESTIMATED, MISSING
from data.store.series import HomeSeries, computed_load_wh
from market.units import FloatArray, IntArray

DAY_MINUTES = 1_440
BASE_SHARE = 0.05
"""The base load is what a home draws more than in 95 % of the time."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Numbers of a home.

    Args:
        home: Its name.
        minutes: Length of its intervals. [min]
        start_s: Start of its first interval. [s since 1970]
        end_s: End of its last interval. [s since 1970]
        intervals: How many.
        energy_wh: By channel. [Wh]
        missing: Intervals without a reading.
        estimated: Intervals that are estimated.
        gaps: Runs of intervals without a reading.
        longest_gap: Intervals of the longest of them.
        longest_gap_s: Its start; None where there is none. [s since 1970]
        peak_w: Highest mean power of the import in an interval. [W]
        peak_s: When; None without a reading. [s since 1970]
        base_w: Mean power of the consumption in the interval that 5 % of all are below; None where the consumption is
            not known, because a home gives energy and its production is not metered. [W]
    """

    home: str
    minutes: int
    start_s: int
    end_s: int
    intervals: int
    energy_wh: dict[str, int]
    missing: int
    estimated: int
    gaps: int
    longest_gap: int
    longest_gap_s: int | None
    peak_w: int
    peak_s: int | None
    base_w: int | None

    @property
    def coverage(self) -> float:
        """Share of its intervals that were read or estimated, 0..1."""
        return 1 - self.missing / self.intervals


def facts_of(series: HomeSeries) -> Facts:
    """The numbers of a home."""
    lacking = series.quality == MISSING
    first, last = runs(lacking)
    longest = int(np.argmax(last - first)) if len(first) else None
    drawn = series.energy.get("import", np.zeros(series.intervals, dtype=np.int64))
    peak = int(np.argmax(drawn))
    per_hour = 60 / series.minutes
    read = ~lacking
    load = load_wh(series)
    base = None
    if load is not None and read.any():
        rank = int(BASE_SHARE * int(read.sum()))
        base = round(int(np.partition(load[read], rank)[rank]) * per_hour)
    return Facts(
        home=series.home,
        minutes=series.minutes,
        start_s=series.start_s,
        end_s=series.end_s,
        intervals=series.intervals,
        energy_wh={name: int(column.sum()) for name, column in series.energy.items()},
        missing=int(lacking.sum()),
        estimated=int((series.quality == ESTIMATED).sum()),
        gaps=len(first),
        longest_gap=0 if longest is None else int(last[longest] - first[longest]),
        longest_gap_s=None if longest is None else series.start_s + int(first[longest]) * series.step_s,
        peak_w=round(int(drawn[peak]) * per_hour),
        peak_s=series.start_s + peak * series.step_s if read.any() else None,
        base_w=base,
    )


def load_wh(series: HomeSeries) -> IntArray | None:
    """What a home consumes; None where it cannot be known. [Wh]"""
    if "load" in series.energy:
        return series.energy["load"]
    if "import" not in series.energy or ("pv" not in series.energy and series.total_wh("export")):
        return None
    return computed_load_wh(series)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Mean power by day and time of day.

    Args:
        first_day: Day of the first row. [days since 1970, on the local clock]
        minutes: Length of a column. [min]
        power_w: Mean power, by day and time of day; NaN where nothing was read. [W]
    """

    first_day: int
    minutes: int
    power_w: FloatArray


def picture(series: HomeSeries, channel: str, zone: ZoneInfo | None) -> Picture:
    """How a channel goes through the days, on the local clock; the hour that comes twice in autumn is averaged."""
    time_s = series.time_s
    local_s = time_s if zone is None else local_of_utc(time_s, zone)
    day, second = np.divmod(local_s, 86_400)
    slots = DAY_MINUTES // series.minutes
    first = int(day[0])
    cell = (day - first) * slots + second // series.step_s
    size = (int(day[-1]) - first + 1) * slots
    read = series.quality != MISSING
    column = series.energy.get(channel, np.zeros(series.intervals, dtype=np.int64))
    total = np.bincount(cell[read], weights=column[read], minlength=size)
    count = np.bincount(cell[read], minlength=size)
    power = np.full(size, np.nan)
    power[count > 0] = total[count > 0] / count[count > 0] * 60 / series.minutes
    return Picture(first, series.minutes, power.reshape(-1, slots))
