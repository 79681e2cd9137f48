"""The step of a home's readings changed: to a longer one, by sums; to a shorter one only by a stated profile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from data.errors import InvalidResampling
from data.readings import ESTIMATED, MISSING, Known
from data.store.series import HomeSeries
from market.interval import ALLOWED_MINUTES
from market.units import IntArray

Profile = Literal["flat"]


def resampled(
    series: HomeSeries, minutes: int, profile: Profile | None = None, zone: ZoneInfo | None = None
) -> HomeSeries:
    """The readings of a home in another step; its energy stays the same to the Wh.

    Quality is the worst of the parts; an interval of which a part lies outside of the readings is MISSING, and keeps
    the energy that was read. What a profile makes is ESTIMATED.

    Args:
        series: The readings.
        minutes: The new step. [min]
        profile: How energy is spread over shorter intervals: "flat", evenly.
        zone: On whose clock longer intervals begin at a multiple of their length; UTC where left out.

    Raises:
        InvalidResampling: The steps are no multiples, or shorter intervals are asked for without a profile.
    """
    if minutes == series.minutes:
        return series
    if minutes not in ALLOWED_MINUTES or max(minutes, series.minutes) % min(minutes, series.minutes):
        raise InvalidResampling(
            f"cannot turn intervals of {series.minutes} minutes of home {series.home} into {minutes};"
            f" choose one of {', '.join(map(str, ALLOWED_MINUTES))} that is a multiple, or a part"
        )
    if minutes > series.minutes:
        return _longer(series, minutes, zone)
    if profile is None:
        raise InvalidResampling(
            f"home {series.home} reads every {series.minutes} minutes: what happened in {minutes} is not known;"
            " --profile flat spreads it evenly and marks it as estimated"
        )
    return _flat(series, minutes)


def known_on(series: HomeSeries, known: Iterable[Known]) -> list[Known]:
    """Energy that is known over stretches of whole intervals of a home; of parts of intervals it is not."""
    return [
        one
        for one in known
        if one.home == series.home
        and not (one.start_s - series.start_s) % series.step_s
        and not (one.end_s - series.start_s) % series.step_s
        and series.start_s <= one.start_s
        and one.end_s <= series.end_s
    ]


def _longer(series: HomeSeries, minutes: int, zone: ZoneInfo | None) -> HomeSeries:
    step_s, phase_s = minutes * 60, 0
    if zone is not None:  # the hours of some zones begin at half past
        offset = datetime.fromtimestamp(series.start_s, zone).utcoffset()
        phase_s = -int(offset.total_seconds()) % step_s if offset is not None else 0
    start_s = series.start_s - (series.start_s - phase_s) % step_s
    end_s = series.end_s + (phase_s - series.end_s) % step_s
    wide = series.widened(start_s, end_s)
    shape = (wide.intervals * series.minutes // minutes, minutes // series.minutes)
    energy = {name: column.reshape(shape).sum(axis=1) for name, column in wide.energy.items()}
    return replace(wide, minutes=minutes, energy=energy, quality=wide.quality.reshape(shape).max(axis=1))


def _flat(series: HomeSeries, minutes: int) -> HomeSeries:
    parts = series.minutes // minutes

    def spread(column: IntArray) -> IntArray:
        reached = column[:, None] * np.arange(parts + 1, dtype=np.int64) // parts
        return np.diff(reached, axis=1).ravel()

    quality = np.repeat(np.where(series.quality == MISSING, MISSING, ESTIMATED).astype(np.uint8), parts)
    energy = {name: spread(column) for name, column in series.energy.items()}
    return replace(series, minutes=minutes, energy=energy, quality=quality)
