"""Readings as a parser hands them over, taken in without a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from data import clock
from data.formats import FileReading, Format, read
from data.intake.claims import NO_CLAIM
from data.intake.file import MeterFile
from data.intake.raw import Channel, Hints, IntakeLog, RawReadings, Stamps, exact_stamps, labels, numbers
from tests.kits.meter_kit import START

IMPORT, EXPORT = Channel("import"), Channel("export")


def table(
    values: Mapping[Channel, Sequence[Any]],
    minutes: int = 60,
    home: str | Sequence[str] = "a",
    at: int | Sequence[int] = START,
    line: int = 2,
    local: bool = False,
    minutes_stated: Any = None,
    **more: Any,
) -> RawReadings:
    """Rows every `minutes` from an instant, or at given instants; None is an empty cell."""
    count = len(next(iter(values.values())))
    seconds = at + 60 * minutes * np.arange(count) if isinstance(at, int) else np.array(at, dtype=np.int64)
    stamp = exact_stamps(seconds)
    if local:
        stamp = Stamps(
            seconds, np.full(count, clock.LOCAL, dtype=np.int8), lambda row: clock.iso_utc(int(seconds[row]))
        )
    return RawReadings(
        line=np.arange(line, line + count),
        meter=labels([home] * count if isinstance(home, str) else list(home)),
        stamp=stamp,
        values={
            c: numbers(["" if v is None else repr(float(v)) for v in column]) for c, column in values.items()
        },
        minutes=minutes_stated,
        **more,
    )


def intake(*chunks: RawReadings, **hints: Any) -> FileReading:
    """Take chunks in as if a parser had found them in a file."""

    def parse(_file: MeterFile, _hints: Hints, _log: IntakeLog) -> Iterator[RawReadings]:
        yield from chunks

    with TemporaryDirectory() as folder:
        path = Path(folder) / "any"
        path.write_text("not looked at")
        return read(path, Format("any", "", "", lambda _file: NO_CLAIM, parse), Hints(**hints))


def codes(reading: FileReading) -> list[str]:
    """Codes of what was found, errors first."""
    return [finding.code for finding in reading.findings]
