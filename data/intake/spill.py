"""Files of more rows than fit into memory: rows go to temporary files by home, and homes are placed in groups.

What a reading means is found home by home, so each group is placed, put on its grid and checked by the code for whole
files. What concerns all homes is kept while rows are put away: the kinds of their stamps, and the first and the last.
Of a stamp its text is not kept; messages write it as it was understood.
"""

from __future__ import annotations

import ctypes
import pickle
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from data import clock
from data.intake.assemble import meter_data, on_grid
from data.intake.checks import check
from data.intake.join import joined
from data.intake.names import first_rows
from data.intake.packed import INT32_MAX, Packed, packed, unpacked
from data.intake.place import Placed, place
from data.intake.raw import OTHER_LOAD, Hints, IntakeLog, RawReadings
from data.intake.rows import rows_of
from data.readings import MISSING, BatterySpec, MeterData, QualityArray, Source, home_id
from market.units import IntArray

ROWS_IN_MEMORY: Final = 1_500_000
"""Rows that are read as a whole; about 200 bytes each while they are placed."""
ROWS_OF_A_GROUP: Final = 400_000
HELD_BYTES: Final = 1 << 27
"""Rows that are put away are held in memory up to this size, and go to files beyond it. [byte]"""
BUCKETS: Final = 128
"""Files of rows, by home; a group is one or more of them."""


@dataclass(slots=True)
class Spilled:
    """Rows that were put away.

    Args:
        folder: Of the files, removed by `close`.
        files: Those that are open, by bucket.
        held: Parts of buckets that are in memory; none once there are files.
        held_bytes: Their size.
        homes: Number of each home, in the order in which the file first shows them.
        count: Rows of each bucket.
        first_line: First line of stamps with an offset and of local ones, by kind.
        first_s: Earliest stamp, as it is written. [s]
        last_s: Latest stamp. [s]
        ends: Whether all stamps end their intervals.
        counters: Whether all channels are counters.
    """

    folder: Path
    files: dict[int, BinaryIO] = field(default_factory=dict)
    held: dict[int, list[Packed]] = field(default_factory=dict)
    held_bytes: int = 0
    homes: dict[str, int] = field(default_factory=dict)
    count: IntArray = field(default_factory=lambda: np.zeros(BUCKETS, dtype=np.int64))
    first_line: dict[int, int] = field(default_factory=dict)
    first_s: int = np.iinfo(np.int64).max
    last_s: int = np.iinfo(np.int64).min
    ends: bool = True
    counters: bool = True

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.count.sum())

    def add(self, chunk: RawReadings) -> None:
        """Put a chunk away."""
        index = np.zeros(len(chunk.meter.texts), dtype=np.int64)
        there = first_rows(chunk.meter.code, len(index)) < len(chunk.meter.code)
        for code in np.flatnonzero(there).tolist():  # texts stand in the order in which they come
            index[code] = self.homes.setdefault(home_id(chunk.meter.texts[code]), len(self.homes))
        self._note(chunk)
        bucket = (index % BUCKETS).astype(np.uint8)[chunk.meter.code]
        order = np.argsort(bucket, kind="stable")
        count = np.bincount(bucket, minlength=BUCKETS)
        rows, end = packed(chunk, order, index), np.cumsum(count)
        self.count += count
        self.held_bytes += rows.bytes
        for number in np.flatnonzero(count).tolist():
            part = rows.of(slice(int(end[number] - count[number]), int(end[number])))
            self.held.setdefault(number, []).append(part)
        if self.held_bytes > HELD_BYTES:
            for number, parts in self.held.items():
                file = self.files.get(number) or self.files.setdefault(number, self._path(number).open("wb"))
                for part in parts:
                    pickle.dump(part, file, protocol=pickle.HIGHEST_PROTOCOL)
            self.held.clear()

    def _path(self, number: int) -> Path:
        return self.folder / str(number)

    def _note(self, chunk: RawReadings) -> None:
        kind = chunk.stamp.kind
        for one in (clock.WITH_OFFSET, clock.LOCAL):
            if one not in self.first_line and (kind == one).any():
                self.first_line[one] = int(chunk.line[np.argmax(kind == one)])
        unreadable = kind == clock.UNREADABLE
        readable = chunk.stamp.seconds[~unreadable] if unreadable.any() else chunk.stamp.seconds
        read_after = {channel.read_after * 60 for channel in chunk.values}
        self.first_s = min(self.first_s, int(readable.min(initial=self.first_s)) + min(read_after))
        self.last_s = max(self.last_s, int(readable.max(initial=self.last_s)) + max(read_after))
        self.ends &= chunk.stamp_is == "end" and all(c.kind == "interval" for c in chunk.values)
        self.counters &= all(channel.kind == "counter" for channel in chunk.values)

    def groups(self) -> Iterator[list[RawReadings]]:
        """The rows of some homes at a time, in the order of the file."""
        waiting: list[int] = []
        for number in range(BUCKETS):
            if waiting and self.count[[*waiting, number]].sum() > ROWS_OF_A_GROUP:
                yield self._group(waiting)
                waiting = []
            if self.count[number]:
                waiting.append(number)
        if waiting:
            yield self._group(waiting)

    def _group(self, numbers: list[int]) -> list[RawReadings]:
        parts: list[Packed] = []
        for number in numbers:
            parts += self._from_file(number) if number in self.files else []
            parts += self.held.pop(number, [])
        names, alike = list(self.homes), dict[Any, list[Packed]]()
        for part in parts:
            alike.setdefault(part.key, []).append(part)
        return [unpacked(some, names) for some in alike.values()]

    def _from_file(self, number: int) -> list[Packed]:
        parts: list[Packed] = []
        self.files[number].close()
        with self._path(number).open("rb") as file:
            while True:
                try:
                    parts.append(pickle.load(file))  # written by this very process
                except EOFError:
                    break
        self._path(number).unlink()
        return parts

    def span(self, zone: ZoneInfo | None) -> tuple[int, int]:
        """The first and the last stamp as instants. [s since 1970 UTC]"""
        if clock.LOCAL not in self.first_line or zone is None:
            return self.first_s, self.last_s
        found = clock.local_clock(np.array([self.first_s, self.last_s]), zone)
        return int(found.first_utc_s[0]), int(found.second_utc_s[1])

    def close(self) -> None:
        """Remove the files."""
        for file in self.files.values():
            file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def gathered(chunks: Iterable[RawReadings], room: Path | None = None) -> list[RawReadings] | Spilled:
    """The chunks of a file; where they are too many for memory, put away in files.

    Args:
        chunks: In the order of the file.
        room: Folder for temporary files; that of the system where left out.
    """
    held: list[RawReadings] = []
    rows, spilled = 0, None
    try:
        for chunk in chunks:
            rows += len(chunk.line)
            held.append(chunk)
            if rows <= ROWS_IN_MEMORY:
                continue
            if spilled is None:
                spilled = Spilled(Path(tempfile.mkdtemp(prefix=".wattswap-rows-", dir=room)))
            while held:
                spilled.add(held.pop(0))
    except BaseException:
        if spilled is not None:
            spilled.close()
        raise
    _give_back()
    return held if spilled is None else spilled


def _give_back() -> None:
    """Return freed memory to the system, which allocators keep in pieces between arrays."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@dataclass(frozen=True, slots=True)
class Grouped:
    """What placing all homes gave.

    Args:
        data: The readings, as int32 where they fit, with a source that is to be replaced; None after errors.
        local: Whether stamps are local.
        given: Lengths of the intervals in the file. [min]
        channels: Names of the channels that any home has.
    """

    data: MeterData | None
    local: bool
    given: set[int]
    channels: set[str]


def placed_in_groups(
    spilled: Spilled,
    zone: ZoneInfo | None,
    hints: Hints,
    log: IntakeLog,
    batteries: Mapping[str, BatterySpec | None],
) -> Grouped:
    """Place and check all homes, a group at a time."""
    whole, local, given = _Whole(list(spilled.homes), batteries), False, set[int]()
    without: list[str] = []
    try:
        for chunks in spilled.groups():
            grids, is_local = place(rows_of(chunks), zone, hints, log)
            local |= is_local
            chunks.clear()
            while grids and not log.has_errors:
                placed = _widened(grids.pop(), spilled, zone)
                given |= set(placed.given)
                without += () if _added(whole, placed, hints, log) else placed.households
                del placed  # else its rows stay while the next ones are placed
            if spilled.files:  # what was held in memory is small, and fresh pages take time to be cleared
                _give_back()
    finally:
        spilled.close()
    _refuse_mixed(spilled, log)
    if without and not log.has_errors:
        message = "the rows hold no import and no load; choose the export that has them"
        log.add("error", "no_register", message, household=without[0], count=len(without))
    return Grouped(None if log.has_errors else whole.data(log), local, given, whole.channels)


def _added(whole: _Whole, placed: Placed, hints: Hints, log: IntakeLog) -> bool:
    """Add the homes of a grid, checked; False for homes without a register of theirs, where no other file has it."""
    grid = on_grid(placed, log)
    names = {channel.name for channel in grid.energy}
    if not hints.partial and not names & {"import", "load", OTHER_LOAD, "net"}:
        return False
    whole.channels |= names
    data = meter_data(grid, Source("", ""), whole.batteries)
    check(data, placed, hints, log)
    whole.add(data)
    return True


def _refuse_mixed(spilled: Spilled, log: IntakeLog) -> None:
    """Refuse a file in which some homes have local stamps and others have none, which no group shows."""
    if len(spilled.first_line) > 1 and not log.has_errors:
        line = max(spilled.first_line.values())
        message = "the timestamp is local and others have a UTC offset, or the reverse; write all in one way"
        log.add("error", "mixed_zones", message, line=line)


def _widened(placed: Placed, spilled: Spilled, zone: ZoneInfo | None) -> Placed:
    """The grid of some homes over the time of all of them, so that what they lack of it is seen as missing."""
    step_s, homes = placed.minutes * 60, len(placed.households)
    first_s, last_s = spilled.span(zone)
    first_s -= step_s if spilled.ends else 0
    last_s -= step_s if spilled.ends or spilled.counters else 0
    before = max((placed.start_s - first_s) // step_s, 0)
    after = max((last_s - placed.start_s) // step_s + 1 - placed.intervals, 0)
    intervals = before + placed.intervals + after
    if not before + after or intervals * len(spilled.homes) > 1_000_000 + 50 * spilled.rows:
        return placed  # one of the stamps is wrong, which the check of its home says
    unknown = placed.unknown
    return replace(
        placed,
        start_s=placed.start_s - before * step_s,
        intervals=intervals,
        cells=tuple(replace(cells, cell=cells.cell + before * homes) for cells in placed.cells),
        unknown=None if unknown is None else np.pad(unknown, ((before, after), (0, 0))),
    )


class _Whole:
    """The readings of all homes, filled group by group.

    Args:
        homes: Ids of all homes, in the order of the file.
        batteries: What the source says that homes own.
    """

    def __init__(self, homes: list[str], batteries: Mapping[str, BatterySpec | None]) -> None:
        self.batteries = batteries
        self.channels: set[str] = set()
        self._homes, self._place = homes, {name: i for i, name in enumerate(homes)}
        self._first: MeterData | None = None
        self._energy: dict[str, IntArray] = {}
        self._quality: QualityArray = np.zeros((0, 0), dtype=np.uint8)  # and energy: shape (H, T)
        self._batteries: list[BatterySpec | None] = [None] * len(homes)
        self._filled = np.zeros(len(homes), dtype=np.bool_)
        self._others: list[MeterData] = []

    def add(self, data: MeterData) -> None:
        """Add some homes; those on another grid than the first wait beside it."""
        if self._first is None:
            self._first = data
            self._quality = np.full((len(self._homes), data.intervals), MISSING, dtype=np.uint8)
        first = self._first
        if (data.start_s, data.minutes, data.intervals) != (first.start_s, first.minutes, first.intervals):
            self._others.append(data)
            return
        places = np.array([self._place[name] for name in data.households])
        energy = {"import_wh": data.import_wh, "export_wh": data.export_wh}
        energy |= {f"sub_meters.{name}": column for name, column in data.sub_meters.items()}
        for name, column in energy.items():
            if name not in self._energy:
                self._energy[name] = np.zeros(self._quality.shape, dtype=np.int32)
            if int(column.max(initial=0)) > INT32_MAX:
                self._energy[name] = self._energy[name].astype(np.int64)
            self._energy[name][_evenly(places)] = column.T
        self._quality[_evenly(places)] = data.quality.T
        self._filled[places] = True
        for place_, battery in zip(places.tolist(), data.batteries, strict=True):
            self._batteries[place_] = battery

    def data(self, log: IntakeLog) -> MeterData | None:
        """All homes; None where there are none."""
        if self._first is None:
            return None
        energy = {name: _turned(column) for name, column in self._energy.items()}
        data = replace(
            self._first,
            households=tuple(self._homes),
            import_wh=energy.pop("import_wh"),
            export_wh=energy.pop("export_wh"),
            quality=_turned(self._quality),
            sub_meters={name.removeprefix("sub_meters."): column for name, column in energy.items()},
            batteries=tuple(self._batteries),
        )
        if not self._filled.all():
            kept = zip(self._homes, self._filled.tolist(), strict=True)
            data = data.select([name for name, there in kept if there])
        if not self._others:
            return data
        parts = sorted([data, *self._others], key=lambda part: part.minutes)
        phases = {part.start_s % (part.minutes * 60) for part in parts if part.minutes == parts[-1].minutes}
        if len(phases) > 1:
            message = (
                "the intervals of some homes begin at other minutes than those of others; correct the stamps"
            )
            log.add("error", "off_grid", message)
            return None
        data, note = joined(parts, self._homes)
        if len({part.minutes for part in parts}) > 1:
            log.notes.append(note)
        return data


def _turned(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A column of shape (H, T) as one of (T, H), sharing memory, which nothing changes from here on."""
    column.flags.writeable = False
    return column.T


def _evenly(places: IntArray) -> IntArray | slice:
    """The same places as a slice where they rise evenly, as those of a bucket do: many times as fast."""
    step = np.diff(places)
    if len(step) and (step[0] <= 0 or (step != step[0]).any()):
        return places
    return slice(int(places[0]), int(places[-1]) + 1, int(step[0]) if len(step) else 1)
