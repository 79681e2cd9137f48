"""Files of one home joined: months one after the other, channels beside each other, phases and inverters summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations

import numpy as np

from data.clock import iso_utc
from data.store.append import appended, refuse_other_grid
from data.store.errors import Mismatch
from data.store.rows import placed, rows_of
from data.store.series import HomeSeries
from market.units import IntArray

SAME_SPAN = 0.9
"""Parts of one home cover the same time: at least this share of each of them."""
_APART = "give each its own home with --map FILE=HOME, or leave one out"


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Readings of one home out of several.

    Args:
        series: Its readings; a channel may be absent in some of the intervals.
        how: What was done: "summed", "beside" or "continued".
    """

    series: HomeSeries
    how: tuple[str, ...]


def joined_home(parts: Sequence[HomeSeries]) -> Joined:
    """Join readings that their owner calls one home.

    Those of the same channel and the same time are its parts, and are summed. What is then left of a channel are its
    months, and follow each other; where they overlap, they have to be equal. Channels stand beside each other.

    Raises:
        Mismatch: Neither of these meanings is plain: files overlap in part and differ, have the same readings, or have
            more parts in one time than in another.
    """
    for one in parts[1:]:
        refuse_other_grid(parts[0], one, "in one file")
    how: dict[str, None] = {}
    channels: dict[frozenset[str], list[HomeSeries]] = {}
    for one in sorted(parts, key=lambda one: one.start_s):
        channels.setdefault(frozenset(one.energy), []).append(one)
    if len(channels) > 1 and any(a & b for a in channels for b in channels if a != b):
        channels = {frozenset(): sorted(parts, key=lambda one: one.start_s)}
    done = [_of_channels(group, how) for group in channels.values()]
    if len(done) > 1:
        how["beside"] = None
    return Joined(reduce(_beside, done), tuple(how))


def _of_channels(parts: Sequence[HomeSeries], how: dict[str, None]) -> HomeSeries:
    """Join readings of the same channels."""
    groups: list[list[HomeSeries]] = []
    for one in parts:
        group = next((group for group in groups if _same_time(group[0], one)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    counts = {len(group) for group in groups}
    if len(counts) > 1:
        most, least = max(groups, key=len), min(groups, key=len)
        problem = (
            f"home {parts[0].home} has {len(most)} files from {iso_utc(most[0].start_s)} on, and {len(least)} from"
            f" {iso_utc(least[0].start_s)} on: a part of it is lacking, or one too many"
        )
        raise Mismatch([problem], "give all files of each part, or join them one by one")
    for group in groups:
        _refuse_copies(group)
    sums = [reduce(_summed, group) for group in groups]
    if max(counts) > 1:
        how["summed"] = None
    if len(sums) > 1:
        how["continued"] = None
    return reduce(_continued, sums)


def _same_time(one: HomeSeries, other: HomeSeries) -> bool:
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return shared >= SAME_SPAN * max(one.end_s - one.start_s, other.end_s - other.start_s)


def _refuse_copies(parts: Sequence[HomeSeries]) -> None:
    """Refuse two parts of equal readings: summing one meter twice would double its energy."""
    for one, other in combinations(parts, 2):
        start_s, end_s = max(one.start_s, other.start_s), min(one.end_s, other.end_s)
        a, b = one.cut(start_s, end_s), other.cut(start_s, end_s)
        if all((a.energy[n] == b.energy[n]).all() for n in a.energy) and any(
            e.any() for e in a.energy.values()
        ):
            problem = f"two files of home {one.home} have the same readings: one meter twice, or parts that are equal"
            raise Mismatch([problem], _APART)


def _summed(old: HomeSeries, new: HomeSeries) -> HomeSeries:
    """Both added; an interval of which a part was not read is MISSING."""
    start_s, end_s = min(old.start_s, new.start_s), max(old.end_s, new.end_s)
    a, b = old.widened(start_s, end_s), new.widened(start_s, end_s)
    names = {**a.energy, **b.energy}
    energy = {name: _column(a, name) + _column(b, name) for name in names}
    return replace(a, energy=energy, quality=np.maximum(a.quality, b.quality))


def _continued(old: HomeSeries, new: HomeSeries) -> HomeSeries:
    """One after the other."""
    found = appended(old, new)
    if found.conflict_count:
        problem = f"files of home {old.home} overlap in part and differ there: they are neither months nor parts of it"
        raise Mismatch([problem, *found.conflicts], _APART, found.conflict_count + 1)
    return placed([*rows_of(old), *found.rows], old.minutes)


def _beside(old: HomeSeries, new: HomeSeries) -> HomeSeries:
    """Channels of both; an interval that only one of them has lacks those of the other."""
    new = replace(new, home=old.home)
    found = appended(old, new)
    return placed([*rows_of(old), *found.rows], old.minutes)


def _column(series: HomeSeries, name: str) -> IntArray:
    column = series.energy.get(name)
    return np.zeros(series.intervals, dtype=np.int64) if column is None else column
