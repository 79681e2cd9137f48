"""Readings added to a home that has some: new intervals, equal ones, better ones, and those that contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.errors import LISTED
from data.readings import ESTIMATED, MEASURED, MISSING
from data.store.errors import Mismatch
from data.store.rows import HomeRows, chosen, rows_of, whole
from data.store.series import HomeSeries
from market.units import IntArray

Prefer = Literal["new", "old"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the intervals of a home that are appended.

    Args:
        new: Intervals that had no reading before, or none of these channels.
        equal: Intervals that are there already, with the same energy.
        measured: Estimated before and measured now.
        kept: Measured before and estimated, or not read, now: the measured reading stays.
        preferred: Different, and settled by `--prefer`.
    """

    new: int = 0
    equal: int = 0
    measured: int = 0
    kept: int = 0
    preferred: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Appended:
    """What is to be written of a home.

    Args:
        rows: Intervals that count from now on.
        counts: What became of all of them.
        conflicts: Different readings of the same intervals: the first as sentences, and how many there are.
    """

    rows: tuple[HomeRows, ...]
    counts: Counts
    conflicts: tuple[str, ...] = ()
    conflict_count: int = 0


def appended(
    old: HomeSeries | None, new: HomeSeries, prefer: Prefer | None = None, zone: ZoneInfo | None = None
) -> Appended:
    """Compare new readings of a home with those that it has.

    Args:
        old: What it has; None where it is new.
        new: What is added, in the same step.
        prefer: Which reading counts where both differ; a contradiction where left out.
        zone: Zone in which sentences name times.

    Raises:
        Mismatch: Their intervals are of another length or begin at other times.
    """
    if old is None:
        return Appended(tuple(rows_of(new)), Counts(new=int((whole(new).quality != MISSING).sum())))
    refuse_other_grid(old, new)
    row = (new.time_s - old.start_s) // old.step_s
    inside = (row >= 0) & (row < old.intervals)
    at = np.clip(row, 0, old.intervals - 1)
    nothing = np.zeros(new.intervals, dtype=np.bool_)
    known = {name: inside & ~old.absent[name][at] if name in old.absent else inside for name in old.energy}
    has = new.quality
    had = np.where(inside, old.quality[at], MISSING).astype(np.uint8)
    common = [name for name in new.energy if name in known]
    comparable = np.logical_or.reduce([known[name] for name in common]) if common else nothing
    others = np.logical_or.reduce(
        [nothing, *(mask for name, mask in known.items() if name not in new.energy)]
    )
    more = np.logical_or.reduce([~known.get(name, nothing) for name in new.energy])
    differs = nothing.copy()
    for name in common:
        differs |= known[name] & (new.energy[name] != old.energy[name][at])
    both = comparable & (had != MISSING) & (has != MISSING)
    fresh = (has != MISSING) & ~both
    better = both & (had == ESTIMATED) & (has == MEASURED)
    worse = both & (had == MEASURED) & (has == ESTIMATED) & differs | comparable & (had != MISSING) & (
        has == MISSING
    )
    conflict = both & (had == has) & differs
    beside = both & more & ~better & ~differs
    write = fresh | better | beside | (conflict if prefer == "new" else nothing)
    counts = Counts(
        new=int((fresh | beside).sum()),
        equal=int((both & ~better & ~worse & ~conflict & ~beside).sum()),
        measured=int(better.sum()),
        kept=int(worse.sum()),
        preferred=int(conflict.sum()) if prefer else 0,
    )
    # Of an interval that other files know other channels of, the worst of both counts.
    flags = np.where(others, np.maximum(has, had), has).astype(np.uint8)
    rows = (chosen(replace(new, quality=flags), write, new.energy),) if write.any() else ()
    if prefer or not conflict.any():
        return Appended(rows, counts)
    told = _told(old, new, at, np.flatnonzero(conflict), common, zone)
    return Appended(rows, counts, told, int(conflict.sum()))


def refuse_other_grid(old: HomeSeries, new: HomeSeries, there: str = "in the store") -> None:
    """Refuse readings in another step than those that a home has.

    Args:
        old: What it has.
        new: What is added.
        there: Where the former are, as an error says it.

    Raises:
        Mismatch: Their intervals are of another length or begin at other times.
    """
    if old.minutes != new.minutes:
        problem = f"home {new.home} reads every {old.minutes} minutes {there}, and every {new.minutes} here"
        longest = max(old.minutes, new.minutes)
        cure = (
            "import the readings of the shorter step into a store of their own, sum them by `wattswap data resample"
            f" --minutes {longest}`, and import the others into what that writes"
        )
        raise Mismatch([problem], cure)
    if old.phase_s != new.phase_s:
        problem = (
            f"intervals of home {new.home} begin {new.phase_s} s after a multiple, {there} {old.phase_s} s"
        )
        raise Mismatch([problem], "check the zone")


def _told(
    old: HomeSeries,
    new: HomeSeries,
    at: IntArray,
    rows: IntArray,
    common: Sequence[str],
    zone: ZoneInfo | None,
) -> tuple[str, ...]:
    sentences = []
    for row in rows[:LISTED].tolist():
        pairs = [(name, int(old.energy[name][at[row]]), int(new.energy[name][row])) for name in common]
        what = ", ".join(
            f"{name} {there} Wh there and {here} Wh here" for name, there, here in pairs if there != here
        )
        sentences.append(f"home {new.home}, {clock.shown(int(new.time_s[row]), zone)}: {what}")
    return tuple(sentences)


def refuse_conflicts(found: Sequence[Appended]) -> None:
    """Refuse readings that contradict those that are there, all at once.

    Raises:
        Mismatch: Names the first by home and time, and says how many there are.
    """
    sentences = [sentence for one in found for sentence in one.conflicts]
    if sentences:
        cure = (
            "two readings of one interval differ: --prefer new or --prefer old says which counts, --combine sums parts"
            " of one home, and --map gives homes other names"
        )
        raise Mismatch(sentences[:LISTED], cure, sum(one.conflict_count for one in found))
