"""Homes whose meters read in different steps: split by step, placed each on its own grid, summed to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.clock import UNREADABLE
from data.intake.raw import Numbers, Stamps
from data.intake.rows import Rows
from data.readings import MISSING, MeterData, QualityArray
from market.interval import ALLOWED_MINUTES
from market.units import IntArray

SAMPLED_HOMES = 20
"""The usual step of a file is that of its first homes."""

LEAST_STEPS, LEAST_SHARE = 8, 0.9
"""A home has a step of its own if it has this many readings, and this share of them are that far apart."""


def by_step(tables: Sequence[Rows]) -> list[list[Rows]]:
    """Split the rows of a file into homes of one step each, the shortest first; most files have one step.

    A home whose readings are far fewer because it has gaps keeps the usual step of the file.
    """
    step_s = np.zeros(len(tables[0].homes), dtype=np.int64)
    for rows in tables:
        step_s = np.maximum(step_s, _steps_s(rows))
    known = np.unique(step_s[step_s > 0]).tolist()
    if len(known) < 2:
        return [list(tables)]
    step_s[step_s == 0] = known[-1]
    groups = [[_part(rows, (step_s == s)[rows.home]) for rows in tables] for s in known]
    return [[rows for rows in group if rows.count] for group in groups]


def _steps_s(rows: Rows) -> IntArray:
    """The step of each home, 0 where the file does not show it. [s]"""
    homes = len(rows.homes)
    steps = np.zeros(homes, dtype=np.int64)
    good = np.flatnonzero(rows.stamp.kind != UNREADABLE)
    home, second = rows.home[good], rows.stamp.seconds[good]
    sampled = _own_steps(home, second, np.flatnonzero(np.bincount(home, minlength=homes))[:SAMPLED_HOMES])
    found = np.concatenate([*sampled.values(), np.zeros(0, dtype=np.int64)])
    usual = _most_frequent(found)[0] if len(found) else 0
    if usual // 60 not in ALLOWED_MINUTES:
        return steps
    first, last = np.full(homes, np.iinfo(np.int64).max), np.full(homes, np.iinfo(np.int64).min)
    np.minimum.at(first, home, second)
    np.maximum.at(last, home, second)
    count = np.bincount(home, minlength=homes)
    length = np.where(count > 1, last - first, 0) / np.maximum(count - 1, 1)
    steps[count > 1] = usual
    odd = np.flatnonzero((count > LEAST_STEPS) & ((length < 0.9 * usual) | (length > 1.9 * usual)))
    for h, own in _own_steps(home, second, odd).items():
        step, share = _most_frequent(own) if len(own) else (usual, 0.0)
        if (
            len(own) >= LEAST_STEPS
            and share >= LEAST_SHARE
            and step % 60 == 0
            and step // 60 in ALLOWED_MINUTES
        ):
            steps[h] = step
    return steps


def _own_steps(home: IntArray, second: IntArray, chosen: IntArray) -> dict[int, IntArray]:
    """How far the readings of each chosen home are apart. [s]"""
    kept = np.flatnonzero(np.isin(home, chosen))
    kept = kept[np.lexsort((second[kept], home[kept]))]
    begins = np.searchsorted(home[kept], chosen)
    parts = np.split(second[kept], begins[1:])
    steps = {h: np.diff(part) for h, part in zip(chosen.tolist(), parts, strict=False)}
    return {h: step[step > 0] for h, step in steps.items()}


def _most_frequent(steps: IntArray) -> tuple[int, float]:
    """The most frequent value, and its share of all."""
    lengths, count = np.unique(steps, return_counts=True)
    return int(lengths[np.argmax(count)]), float(count.max() / len(steps))


def _part(rows: Rows, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Rows:
    """Some rows of a table, with their lines."""
    index = np.flatnonzero(kept)
    place = {row: i for i, row in enumerate(index.tolist())}

    def column(numbers: Numbers) -> Numbers:
        bad = {place[row]: text for row, text in numbers.bad.items() if row in place}
        return Numbers(numbers.values[index], numbers.empty[index], bad)

    return replace(
        rows,
        line=rows.line[index],
        stamp=Stamps(
            rows.stamp.seconds[index], rows.stamp.kind[index], lambda row: rows.stamp.text(int(index[row]))
        ),
        home=rows.home[index],
        values={channel: column(numbers) for channel, numbers in rows.values.items()},
        quality=None if rows.quality is None else rows.quality[index],
        revision=None if rows.revision is None else rows.revision[index],
    )


def joined(parts: Sequence[MeterData], homes: Sequence[str]) -> tuple[MeterData, str]:
    """Sum the readings of all homes to the longest step, and put the homes beside each other.

    Energy is conserved to the Wh; an interval of which any part was not read is MISSING.

    Args:
        parts: Homes of one step each.
        homes: All ids, in the order of the file.

    Returns:
        The data of all homes, and a sentence for people.
    """
    longest = max(parts, key=lambda part: part.minutes)
    step_s, phase_s = longest.minutes * 60, longest.start_s % (longest.minutes * 60)
    start_s = min(part.start_s - (part.start_s - phase_s) % step_s for part in parts)
    end_s = max(part.end_s + (phase_s - part.end_s) % step_s for part in parts)
    wide = [_filled(part, start_s, end_s).resample(longest.minutes, phase_s) for part in parts]
    names = tuple(dict.fromkeys(name for part in wide for name in part.sub_meters))
    whole = replace(
        wide[0],
        households=tuple(name for part in wide for name in part.households),
        import_wh=np.concatenate([part.import_wh for part in wide], axis=1),
        export_wh=np.concatenate([part.export_wh for part in wide], axis=1),
        quality=np.concatenate([part.quality for part in wide], axis=1),
        sub_meters={
            name: np.concatenate(
                [part.sub_meters.get(name, np.zeros_like(part.import_wh)) for part in wide], axis=1
            )
            for name in names
        },
        batteries=tuple(battery for part in wide for battery in part.batteries),
    )
    counts = ", ".join(f"{len(part.households)} of {part.minutes} minutes" for part in parts)
    note = f"homes read in different steps ({counts}): all readings are summed to {longest.minutes} minutes"
    there = set(whole.households)
    return whole.select([name for name in homes if name in there]), note


def _filled(part: MeterData, start_s: int, end_s: int) -> MeterData:
    """The same homes over a longer time, of which the rest is MISSING."""
    step_s = part.minutes * 60
    before, after = (part.start_s - start_s) // step_s, (end_s - part.end_s) // step_s
    if not before and not after:
        return part

    def wide(column: IntArray) -> IntArray:
        return np.pad(column, ((before, after), (0, 0)))

    quality: QualityArray = np.pad(part.quality, ((before, after), (0, 0)), constant_values=MISSING)
    return replace(
        part,
        start_s=start_s,
        import_wh=wide(part.import_wh),
        export_wh=wide(part.export_wh),
        quality=quality,
        sub_meters={name: wide(energy) for name, energy in part.sub_meters.items()},
    )
