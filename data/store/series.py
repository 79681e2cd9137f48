"""The readings of one home on its own step and span, and of several on one grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import cast

import numpy as np

from data.intake.join import joined
from data.readings import MISSING, BatterySpec, MeterData, QualityArray, Source, whole
from data.store.errors import Mismatch
from market.units import BoolArray, IntArray

GRID = ("import", "export")


@dataclass(frozen=True, slots=True, eq=False)
class HomeSeries:
    """Readings of one home, interval by interval.

    Args:
        home: Its name.
        start_s: Start of the first interval, UTC. [s since 1970]
        minutes: Length of an interval. [min]
        energy: By channel: "import", "export" and sub-meters; a channel that is not there was not metered. [Wh]
        quality: MEASURED, ESTIMATED or MISSING.
        absent: By channel, intervals of which no file has this channel while it has others; its energy is 0 there.
    """

    home: str
    start_s: int
    minutes: int
    energy: Mapping[str, IntArray]
    quality: QualityArray
    absent: Mapping[str, BoolArray] = field(default_factory=dict)

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return len(self.quality)

    @property
    def step_s(self) -> int:
        """Length of an interval. [s]"""
        return self.minutes * 60

    @property
    def end_s(self) -> int:
        """The first second after the last interval. [s since 1970]"""
        return self.start_s + self.intervals * self.step_s

    @property
    def time_s(self) -> IntArray:
        """Start of each interval. [s since 1970]"""
        return _times(self.start_s, self.intervals, self.step_s)

    @property
    def phase_s(self) -> int:
        """How long after a multiple of its step its intervals begin. [s]"""
        return self.start_s % self.step_s

    def total_wh(self, channel: str) -> int:
        """Energy of a channel over all intervals. [Wh]"""
        return int(self.energy[channel].sum()) if channel in self.energy else 0

    def widened(self, start_s: int, end_s: int) -> HomeSeries:
        """The same readings in a wider window, of which the rest is MISSING."""
        pad = ((self.start_s - start_s) // self.step_s, (end_s - self.end_s) // self.step_s)
        if not any(pad):
            return self
        energy = {name: np.pad(column, pad) for name, column in self.energy.items()}
        quality: QualityArray = np.pad(self.quality, pad, constant_values=MISSING)
        absent = {name: np.pad(mask, pad, constant_values=False) for name, mask in self.absent.items()}
        return replace(self, start_s=start_s, energy=energy, quality=quality, absent=absent)

    def cut(self, start_s: int, end_s: int) -> HomeSeries:
        """The intervals that begin in [start_s, end_s); may be none."""
        first = max(0, -(-(start_s - self.start_s) // self.step_s))
        last = max(first, min(self.intervals, -(-(end_s - self.start_s) // self.step_s)))
        return replace(
            self,
            start_s=self.start_s + first * self.step_s,
            energy={name: column[first:last] for name, column in self.energy.items()},
            quality=self.quality[first:last],
            absent={name: mask[first:last] for name, mask in self.absent.items()},
        )


@lru_cache(maxsize=64)
def _times(start_s: int, intervals: int, step_s: int) -> IntArray:
    """Starts of intervals, one array for all homes of one span. [s since 1970]"""
    times = start_s + np.arange(intervals, dtype=np.int64) * step_s
    times.flags.writeable = False
    return times


def narrowed(series: HomeSeries) -> HomeSeries:
    """The same readings as int32 where all of a channel fit; sums of them need `data.readings.whole`."""
    largest = np.iinfo(np.int32).max
    energy = {
        name: cast(IntArray, column.astype(np.int32)) if int(column.max(initial=0)) <= largest else column
        for name, column in series.energy.items()
    }
    return replace(series, energy=energy)


def series_of(data: MeterData, channels: Iterable[str] | None = None) -> list[HomeSeries]:
    """Each home on its own span: intervals before its first and after its last reading are no part of it.

    A home without any reading is left out. Energy stays int32 where that of `data` is.

    Args:
        data: Readings of homes.
        channels: Registers and sub-meters that the source has; without it both registers and all sub-meters.
    """
    columns = {"import": data.import_wh, "export": data.export_wh, **data.sub_meters}
    names = columns.keys() if channels is None else {*channels, *data.sub_meters}
    found = []
    for h, home in enumerate(data.households):
        there = data.quality[:, h] != MISSING
        for name in names:
            if not (there[0] and there[-1]):
                there |= columns[name][:, h] != 0
        rows = np.flatnonzero(there)
        if not len(rows):
            continue
        first, last = int(rows[0]), int(rows[-1]) + 1
        energy = {
            name: np.ascontiguousarray(column[first:last, h])
            for name, column in columns.items()
            if name in names
        }
        quality = np.ascontiguousarray(data.quality[first:last, h])
        found.append(
            HomeSeries(home, data.start_s + first * data.minutes * 60, data.minutes, energy, quality)
        )
    return found


def on_one_grid(
    series: Sequence[HomeSeries], source: Source, batteries: Mapping[str, BatterySpec | None]
) -> MeterData:
    """Put homes beside each other in the window of all of them, summed to the longest step.

    What lies outside of a home's own span is MISSING.

    Raises:
        Mismatch: There is no home, or intervals of one length do not begin together.
    """
    if not series:
        raise Mismatch(["no home has a reading"], "import a file first")
    _refuse_phases(series)
    series, notes = _with_loads(series)
    groups = {minutes: [one for one in series if one.minutes == minutes] for minutes in _steps(series)}
    parts = [_beside(group, source, batteries) for group in groups.values()]
    if len(parts) == 1:
        data = parts[0]
    else:
        data, note = joined(parts, [one.home for one in series])
        notes.append(note)
    return replace(data, source=replace(source, notes=(*source.notes, *notes)))


def _steps(series: Sequence[HomeSeries]) -> list[int]:
    return sorted({one.minutes for one in series})


def _refuse_phases(series: Sequence[HomeSeries]) -> None:
    longest = max(one.step_s for one in series)
    by_phase = {one.start_s % longest if one.step_s == longest else None: one.home for one in series}
    by_phase.pop(None, None)
    if len(by_phase) > 1:
        first, second = sorted(by_phase.items())[:2]
        problem = (
            f"intervals of {longest // 60} minutes of home {first[1]} begin {first[0]} s past a multiple in UTC, and"
            f" those of {second[1]} {second[0]} s"
        )
        raise Mismatch([problem], "take homes of one clock")


def _with_loads(series: Sequence[HomeSeries]) -> tuple[Sequence[HomeSeries], list[str]]:
    """Give all homes a gross consumption where some have one: a home without would count as consuming nothing."""
    lacking = [one for one in series if "load" not in one.energy]
    if not lacking or len(lacking) == len(series):
        return series, []
    computed = {one.home: computed_load_wh(one) for one in lacking}
    if all((load >= 0).all() for load in computed.values()):
        filled = [
            replace(one, energy={**one.energy, "load": computed[one.home]}) if one.home in computed else one
            for one in series
        ]
        return filled, []
    note = (
        f"the gross consumption of {_homes(len(series) - len(lacking))} is left out: {lacking[0].home} has none,"
        " and without its production it cannot be computed"
    )
    kept = [
        replace(one, energy={name: column for name, column in one.energy.items() if name != "load"})
        for one in series
    ]
    return kept, [note]


def computed_load_wh(one: HomeSeries) -> IntArray:
    """Import - export + production: the consumption where all of these are metered. [Wh]"""
    zero = np.zeros(one.intervals, dtype=np.int64)
    imported, exported, pv = (whole(one.energy.get(name, zero)) for name in (*GRID, "pv"))
    return imported - exported + pv


def _beside(
    group: Sequence[HomeSeries], source: Source, batteries: Mapping[str, BatterySpec | None]
) -> MeterData:
    """Homes of one step as columns."""
    start_s, end_s = min(one.start_s for one in group), max(one.end_s for one in group)
    step_s = group[0].step_s
    shape = ((end_s - start_s) // step_s, len(group))
    names = dict.fromkeys([*GRID, *(name for one in group for name in one.energy)])
    wide = {
        name for one in group for name, column in one.energy.items() if column.dtype != np.int32
    }  # all are where readings were not narrowed
    columns = {name: np.zeros(shape, dtype=np.int64 if name in wide else np.int32) for name in names}
    quality = np.full(shape, MISSING, dtype=np.uint8)
    for h, one in enumerate(group):
        rows = slice((one.start_s - start_s) // step_s, (one.end_s - start_s) // step_s)
        quality[rows, h] = one.quality
        for name, column in one.energy.items():
            columns[name][rows, h] = column
    return MeterData(
        households=tuple(one.home for one in group),
        start_s=start_s,
        minutes=group[0].minutes,
        import_wh=columns.pop("import"),
        export_wh=columns.pop("export"),
        quality=quality,
        sub_meters=columns,
        batteries=tuple(batteries.get(one.home) for one in group),
        source=source,
    )


def _homes(count: int) -> str:
    return f"{count} home{'' if count == 1 else 's'}"
