"""Rows of homes as files of a store hold them, and the series that they make together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.readings import MISSING, QualityArray
from data.store.series import HomeSeries
from market.units import BoolArray, IntArray

FROM_THE_BEGINNING = ("import", "load")
"""Channels without which the consumption of a home is not known; another meter may be installed later."""


@dataclass(frozen=True, slots=True, eq=False)
class HomeRows:
    """Intervals of one home, in the order of time and not necessarily one after the other.

    Args:
        home: Its name.
        time_s: Start of each interval. [s since 1970]
        energy: By channel. [Wh]
        quality: MEASURED, ESTIMATED or MISSING.
    """

    home: str
    time_s: IntArray
    energy: Mapping[str, IntArray]
    quality: QualityArray


def chosen(series: HomeSeries, rows: BoolArray, energy: Mapping[str, IntArray]) -> HomeRows:
    """Some intervals of a series, with these columns."""
    at = np.flatnonzero(rows)
    columns = {name: column[at] for name, column in energy.items()}
    return HomeRows(series.home, series.time_s[at], columns, series.quality[at])


def rows_of(series: HomeSeries) -> list[HomeRows]:
    """All intervals of a series; those with other channels apart, and those with none left out."""
    if not series.absent:
        return [HomeRows(series.home, series.time_s, series.energy, series.quality)]
    names = list(series.energy)
    there = np.ones((series.intervals, len(names)), dtype=np.bool_)
    for place, name in enumerate(names):
        if name in series.absent:
            there[:, place] = ~series.absent[name]
    kinds, kind = np.unique(there, axis=0, return_inverse=True)
    found = []
    for number, pattern in enumerate(kinds.tolist()):
        columns = {name: series.energy[name] for name, has in zip(names, pattern, strict=True) if has}
        if columns:
            found.append(chosen(series, kind.ravel() == number, columns))
    return found


def placed(parts: Sequence[HomeRows], minutes: int) -> HomeSeries:
    """Join the rows of a home, of which those of a later part count; what no part has is MISSING."""
    step_s = minutes * 60
    start_s = min(int(one.time_s[0]) for one in parts)
    intervals = (max(int(one.time_s[-1]) for one in parts) - start_s) // step_s + 1
    if len(parts) == 1 and len(parts[0].time_s) == intervals:
        return HomeSeries(parts[0].home, start_s, minutes, parts[0].energy, parts[0].quality)
    names = dict.fromkeys(name for one in parts for name in one.energy)
    energy = {name: np.zeros(intervals, dtype=np.int64) for name in names}
    absent = {name: np.ones(intervals, dtype=np.bool_) for name in names}
    quality = np.full(intervals, MISSING, dtype=np.uint8)
    for one in parts:
        at = (one.time_s - start_s) // step_s
        quality[at] = one.quality
        for name, column in one.energy.items():
            energy[name][at] = column
            absent[name][at] = False
    # Where no channel was read, the quality says so.
    nowhere = np.logical_and.reduce(list(absent.values()))
    absent = {name: mask & ~nowhere for name, mask in absent.items()}
    absent = {name: mask for name, mask in absent.items() if mask.any()}
    return HomeSeries(parts[0].home, start_s, minutes, energy, quality, absent)


def whole(series: HomeSeries) -> HomeSeries:
    """The same readings, in which an interval that lacks a channel is MISSING.

    Before its first reading a meter other than that of the import or of the load is taken as not installed: its
    energy is 0 then.
    """
    if not series.absent:
        return series
    quality = series.quality.copy()
    for name, mask in series.absent.items():
        lacking = mask.copy()
        if name not in FROM_THE_BEGINNING:
            lacking[: int(np.argmin(mask))] = False
        quality[lacking] = MISSING
    return replace(series, quality=quality, absent={})
