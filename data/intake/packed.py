"""Rows of chunks in little memory, as they are put away in files, and chunks out of them again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from data import clock
from data.intake.raw import Labels, Numbers, RawReadings, Stamps
from market.units import IntArray

KEPT_TEXTS: Final = 200
"""Stamps of a chunk that cannot be read whose texts are kept for messages."""
INT32_MAX: Final = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True)
class Packed:
    """Some rows of a chunk, without what can be computed.

    Args:
        key: Channels, meaning of the stamps, revision, what is omitted, and which columns there are.
        columns: Line, home, seconds and kind of the stamps; flags and lengths, where there are any.
        values: Value of each channel, and which cells are empty where any is.
        bad: Cells of each channel that are not numbers, by row.
        texts: Stamps that cannot be read, by row.
    """

    key: tuple[Any, ...]
    columns: dict[str, npt.NDArray[Any]]
    values: list[tuple[npt.NDArray[Any], npt.NDArray[Any] | None]]
    bad: list[dict[int, str]]
    texts: dict[int, str]

    @property
    def bytes(self) -> int:
        """Size of the columns."""
        values = (one for pair in self.values for one in pair if one is not None)
        return sum(column.nbytes for column in (*self.columns.values(), *values))

    def of(self, rows: slice) -> Packed:
        """A stretch of the rows."""

        def inside(texts: dict[int, str]) -> dict[int, str]:
            if not texts:
                return {}
            return {row - rows.start: text for row, text in texts.items() if rows.start <= row < rows.stop}

        return Packed(
            self.key,
            {name: column[rows] for name, column in self.columns.items()},
            [(wh[rows], None if empty is None else empty[rows]) for wh, empty in self.values],
            [inside(texts) for texts in self.bad],
            inside(self.texts),
        )


def packed(chunk: RawReadings, order: IntArray, home: IntArray) -> Packed:
    """The rows of a chunk in another order, of which the homes are given by the number of their text."""
    kind = chunk.stamp.kind
    columns: dict[str, npt.NDArray[Any]] = {"line": chunk.line, "seconds": chunk.stamp.seconds}
    columns |= {"minutes": chunk.minutes} if chunk.minutes is not None else {}
    kept: dict[str, npt.NDArray[Any]] = {name: _narrow(column)[order] for name, column in columns.items()}
    alike = len(kind) > 0 and (kind == kind[0]).all()
    kept["kind"] = np.broadcast_to(kind[:1], kind.shape) if alike else kind[order]
    kept |= {"home": _narrow(home)[chunk.meter.code[order]]}
    kept |= {"quality": chunk.quality[order]} if chunk.quality is not None else {}
    unreadable = np.flatnonzero(kind == clock.UNREADABLE)[:KEPT_TEXTS].tolist()
    at = np.empty(0, dtype=np.int64)
    if unreadable or any(column.bad for column in chunk.values.values()):
        at = np.empty(len(order), dtype=np.int64)
        at[order] = np.arange(len(order))
    return Packed(
        key=(tuple(chunk.values), chunk.stamp_is, chunk.revision, chunk.omitted, tuple(kept)),
        columns=kept,
        values=[
            (column.values[order], column.empty[order] if column.empty.any() else None)
            for column in chunk.values.values()
        ],
        bad=[{int(at[row]): text for row, text in column.bad.items()} for column in chunk.values.values()],
        texts={int(at[row]): chunk.stamp.text(row) for row in unreadable},
    )


def unpacked(parts: list[Packed], names: list[str]) -> RawReadings:
    """Rows of the same kind as one chunk."""
    first = np.cumsum([0, *(len(part.columns["line"]) for part in parts)]).tolist()
    wide = {"line": np.int64, "seconds": np.int64, "minutes": np.int64, "home": np.int64, "kind": np.int8}
    columns = {
        name: np.concatenate([part.columns[name] for part in parts], dtype=wide.get(name))
        for name in parts[0].columns
    }
    channels, stamp_is, revision, omitted, _ = parts[0].key
    seconds, kind = columns["seconds"], columns["kind"]
    texts = {
        at + row: text for at, part in zip(first, parts, strict=False) for row, text in part.texts.items()
    }

    def text(row: int) -> str:
        return texts.get(row) or _stamp_text(int(seconds[row]), int(kind[row]))

    def numbers(i: int) -> Numbers:
        lacking = np.zeros(first[-1], dtype=np.bool_)
        for at, part in zip(first, parts, strict=False):
            empty = part.values[i][1]
            if empty is not None:
                lacking[at : at + len(empty)] = empty
        return Numbers(
            np.concatenate([part.values[i][0] for part in parts]),
            lacking,
            {at + row: t for at, part in zip(first, parts, strict=False) for row, t in part.bad[i].items()},
        )

    # The homes of these rows alone, in the order of the file, as if it held no others.
    there = np.zeros(len(names), dtype=np.bool_)
    there[columns["home"]] = True
    return RawReadings(
        line=columns["line"],
        meter=Labels(
            (np.cumsum(there) - 1)[columns["home"]], [names[i] for i in np.flatnonzero(there).tolist()]
        ),
        stamp=Stamps(seconds, kind, text),
        values={channel: numbers(i) for i, channel in enumerate(channels)},
        quality=columns.get("quality"),
        stamp_is=stamp_is,
        revision=revision,
        minutes=columns.get("minutes"),
        omitted=omitted,
    )


def _narrow(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """As int32 where all values of an int64 column fit."""
    if column.dtype != np.int64:
        return column
    fits = int(column.min(initial=0)) >= -INT32_MAX and int(column.max(initial=0)) <= INT32_MAX
    return column.astype(np.int32) if fits else column


def _stamp_text(seconds: int, kind: int) -> str:
    """A stamp as it was understood."""
    if kind == clock.WITH_OFFSET:
        return clock.iso_utc(seconds)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
