"""Files of one home joined: months one after the other, channels beside each other, phases and inverters summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from data.readings import MISSING
from data.store.append import refuse_other_grid
from data.store.errors import Mismatch
from data.store.series import HomeSeries
from market.units import IntArray

SAME_SPAN = 0.9
"""Parts of one home cover the same time: at least this share of each of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Readings of one home out of several.

    Args:
        series: Its readings.
        how: What was done: "continued", "beside", "summed" or "equal".
    """

    series: HomeSeries
    how: tuple[str, ...]


def joined_home(parts: Sequence[HomeSeries]) -> Joined:
    """Join readings that are known to be of one home.

    Raises:
        Mismatch: They overlap in part and differ there, so that neither of the meanings is plain.
    """
    ordered = sorted(parts, key=lambda one: one.start_s)
    return reduce(_pair, ordered[1:], Joined(ordered[0], ()))


def _pair(done: Joined, new: HomeSeries) -> Joined:
    old = done.series
    new = replace(new, home=old.home)
    refuse_other_grid(old, new)
    start_s, end_s = max(old.start_s, new.start_s), min(old.end_s, new.end_s)
    if start_s >= end_s:
        return Joined(_first(old, new), _with(done, "continued"))
    here, there = new.cut(start_s, end_s), old.cut(start_s, end_s)
    common = sorted(set(old.energy) & set(new.energy))
    read = (here.quality != MISSING) & (there.quality != MISSING)
    if common and all((here.energy[name] == there.energy[name])[read].all() for name in common):
        return Joined(_first(old, new), _with(done, "equal"))
    shared = (end_s - start_s) / max(old.end_s - old.start_s, new.end_s - new.start_s)
    if not common or shared >= SAME_SPAN:
        return Joined(_summed(old, new), _with(done, "summed" if common else "beside"))
    problem = (
        f"files of home {old.home} overlap in part and differ there: they are neither months nor parts of it"
    )
    raise Mismatch([problem], "give each its own home with --map FILE=HOME, or leave one out")


def _with(done: Joined, how: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*done.how, how]))


def _first(old: HomeSeries, new: HomeSeries) -> HomeSeries:
    """Both one after the other; what the first lacks is taken of the second."""
    start_s, end_s = min(old.start_s, new.start_s), max(old.end_s, new.end_s)
    a, b = old.widened(start_s, end_s), new.widened(start_s, end_s)
    lacking = b.quality < a.quality
    energy = {
        name: np.where(lacking, _column(b, name), _column(a, name)) for name in {**a.energy, **b.energy}
    }
    return replace(a, energy=energy, quality=np.minimum(a.quality, b.quality))


def _summed(old: HomeSeries, new: HomeSeries) -> HomeSeries:
    """Both added; an interval of which a part was not read is MISSING."""
    start_s, end_s = min(old.start_s, new.start_s), max(old.end_s, new.end_s)
    a, b = old.widened(start_s, end_s), new.widened(start_s, end_s)
    energy = {name: _column(a, name) + _column(b, name) for name in {**a.energy, **b.energy}}
    return replace(a, energy=energy, quality=np.maximum(a.quality, b.quality))


def _column(series: HomeSeries, name: str) -> IntArray:
    column = series.energy.get(name)
    return np.zeros(series.intervals, dtype=np.int64) if column is None else column
