"""Homes of different intervals beside each other: the readings of all are summed to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.readings import MISSING, MeterData, QualityArray
from market.units import IntArray


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
