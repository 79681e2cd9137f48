"""The chunks of a file joined by channels, so that each kind of row is checked once as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from data.intake.raw import UNITS, Channel, Labels, Numbers, RawReadings, Stamps
from data.readings import MEASURED, QualityArray, home_id
from market.units import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """All rows of a file with the same channels, in file order; columns as in `RawReadings`.

    Args:
        line: Line in the file.
        stamp: Time of each row.
        home: Index into `homes`.
        homes: Ids, in the order in which they first appear in the file.
        values: Columns by channel.
        quality: Flags, where the file has them.
        ends: Whether stamps name the end of the interval; the stamp of a counter is an instant.
        revision: Number of the issue of each row, where some were issued again.
        minutes: Length of the interval of each row, where the file states it. [min]
        omitted: Whether rows of zero are left out between the first and the last row of a home.
        idle: Whether a part of a channel, such as a tariff, has no rows while another part counts.
    """

    line: IntArray
    stamp: Stamps
    home: IntArray
    homes: list[str]
    values: Mapping[Channel, Numbers]
    quality: QualityArray | None
    ends: bool
    revision: IntArray | None
    minutes: IntArray | None = None
    omitted: bool = False
    idle: bool = False

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.line)

    @property
    def series(self) -> IntArray:
        """Number of the home and issue of each row; only within one are rows in the order of time."""
        return self.home if self.revision is None else self.home + self.revision * len(self.homes)

    def describe(self, message: Callable[[int], str]) -> Callable[[int], tuple[int, str | None, str]]:
        """Return what `FindingLog.add_rows` needs to locate a row."""
        return lambda row: (int(self.line[row]), self.homes[self.home[row]] or None, message(row))


def rows_of(chunks: Iterable[RawReadings]) -> list[Rows]:
    """Join the chunks of a file by channels.

    Raises:
        ValueError: Columns of different lengths, or two chunks that share a channel but not all: a bug of the format.
            Parts of a channel are channels of their own.
    """
    homes: dict[str, int] = {}
    kinds: dict[tuple[tuple[Channel, ...], str, str], list[RawReadings]] = {}
    known: dict[tuple[str, str, str, bool], Channel] = {}
    for chunk in chunks:
        lengths = {len(chunk.line), len(chunk.meter.code), *(len(c.values) for c in chunk.values.values())}
        if len(lengths) > 1:
            raise ValueError(
                f"a chunk has columns of {sorted(lengths)} rows; give each row a value in all of them"
            )
        names = map(home_id, chunk.meter.texts)
        index = np.array([homes.setdefault(name, len(homes)) for name in names], dtype=np.int64)
        meter = replace(chunk.meter, code=index[chunk.meter.code])
        for kind in ("interval", "counter"):
            values = dict(
                _alike(channel, column, known)
                for channel, column in chunk.values.items()
                if channel.kind == kind
            )
            if values:
                part = replace(chunk, meter=meter, values=values)
                kinds.setdefault((tuple(values), chunk.stamp_is, chunk.omitted), []).append(part)
    shared = [(channel.name, channel.part) for channels, _, _ in kinds for channel in channels]
    if len(set(shared)) < len(shared):
        twice = sorted(".".join(filter(None, both)) for both in shared)
        raise ValueError(f"chunks of one file share a channel, but not all of them: {twice}")
    return [rows for parts in kinds.values() if (rows := _joined(parts, list(homes))).count]


def _alike(
    channel: Channel, column: Numbers, known: dict[tuple[str, str, str, bool], Channel]
) -> tuple[Channel, Numbers]:
    """The channel in the unit in which a file has it first, where its rows are of several."""
    factor, is_power = UNITS[channel.unit]
    first = known.setdefault((channel.name, channel.part, channel.kind, is_power), channel)
    if first.unit == channel.unit:
        return first, column
    return first, replace(column, values=column.values * (factor / UNITS[first.unit][0]))


def _joined(parts: list[RawReadings], homes: list[str]) -> Rows:
    first = parts[0] if len(parts) == 1 else _concatenated(parts)
    revised = any(part.revision for part in parts)
    return Rows(
        line=first.line,
        stamp=first.stamp,
        home=first.meter.code,
        homes=homes,
        values=first.values,
        quality=first.quality,
        ends=first.stamp_is == "end" and all(channel.kind == "interval" for channel in first.values),
        revision=np.repeat([p.revision for p in parts], [len(p.line) for p in parts]) if revised else None,
        minutes=first.minutes,
        omitted=first.omitted == "zero",
        idle=first.omitted == "idle",
    )


def _concatenated(parts: list[RawReadings]) -> RawReadings:
    first = np.cumsum([0, *(len(part.line) for part in parts)])

    def text(row: int) -> str:
        part = int(np.searchsorted(first, row, side="right")) - 1
        return parts[part].stamp.text(row - int(first[part]))

    def column(channel: Channel) -> Numbers:
        columns = [part.values[channel] for part in parts]
        return Numbers(
            np.concatenate([c.values for c in columns]),
            np.concatenate([c.empty for c in columns]),
            {int(at) + row: t for at, c in zip(first, columns, strict=False) for row, t in c.bad.items()},
        )

    flags = [
        np.full(len(part.line), MEASURED, dtype=np.uint8) if part.quality is None else part.quality
        for part in parts
    ]
    seconds, kind = (
        np.concatenate(c) for c in zip(*((p.stamp.seconds, p.stamp.kind) for p in parts), strict=True)
    )
    return replace(
        parts[0],
        line=np.concatenate([part.line for part in parts]),
        meter=Labels(np.concatenate([part.meter.code for part in parts]), []),
        stamp=Stamps(seconds, kind, text),
        values={channel: column(channel) for channel in parts[0].values},
        quality=None if all(part.quality is None for part in parts) else np.concatenate(flags),
        minutes=_minutes(parts),
    )


def _minutes(parts: list[RawReadings]) -> IntArray | None:
    """Lengths of all rows; where some chunks state none, none are stated."""
    stated = [part.minutes for part in parts if part.minutes is not None]
    return np.concatenate(stated) if len(stated) == len(parts) else None
