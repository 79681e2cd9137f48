"""`data check`: what a meter file is and what is wrong with it, by line, before anything is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data import clock
from data.findings import Finding, errors_of
from data.formats import DEFAULT_FUSE_W, ReadOptions, get, read, recognise
from data.readings import ESTIMATED, MISSING


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found.

    Args:
        format: Name of the format.
        unit: Unit and kind of the values as they stand in the file.
        zone: The clock of the file.
        minutes: Interval length; None where errors hide it. [min]
        first: Start of the first interval, ISO 8601 UTC; None where errors hide it.
        last: Start of the last interval, likewise.
        households: Ids of the homes; empty where errors hide them.
        rows: Rows of data in the file.
        findings: Errors first, then warnings, by line.
        estimated_share: Share of home-intervals marked as estimated, 0..1.
        missing_share: Share of home-intervals without a reading, 0..1.
        notes: Traps of the source that the reader handled, one sentence each.
    """

    format: str
    unit: str
    zone: str
    minutes: int | None
    first: str | None
    last: str | None
    households: tuple[str, ...]
    rows: int
    findings: tuple[Finding, ...]
    estimated_share: float
    missing_share: float
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the file can be loaded: warnings are allowed, errors are not."""
        return not errors_of(self.findings)


def check(
    path: str | Path,
    *,
    format: str | None = None,
    zone: str | None = None,
    minutes: int | None = None,
    fuse_w: int = DEFAULT_FUSE_W,
) -> CheckReport:
    """Read a file with the code that `load` uses and report instead of raising.

    Args:
        path: File or folder.
        format: Name of the format; recognised from the content where left out.
        zone: Time zone of local stamps.
        minutes: Interval length, to compare with the file's. [min]
        fuse_w: Power above which a metered register is impossible. [W]

    Raises:
        MissingFile, UnknownFormat, UnrecognisedFile, AmbiguousFile, UnknownZone: There is nothing to check.
    """
    where = Path(path)
    chosen = get(format) if format is not None else recognise(where)
    reading = read(where, chosen, ReadOptions(zone, minutes, fuse_w))
    data = reading.data
    return CheckReport(
        format=chosen.name,
        unit=chosen.unit,
        zone=reading.zone,
        minutes=data.minutes if data else None,
        first=clock.iso_utc(data.start_s) if data else None,
        last=clock.iso_utc(data.end_s - data.minutes * 60) if data else None,
        households=data.households if data else (),
        rows=reading.rows,
        findings=reading.findings,
        estimated_share=float(np.mean(data.quality == ESTIMATED)) if data else 0.0,
        missing_share=float(np.mean(data.quality == MISSING)) if data else 0.0,
        notes=data.source.notes if data else (),
    )
