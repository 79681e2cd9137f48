"""Meter formats, one file each; importing this package registers those that come with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data.errors import AmbiguousFile, InvalidMeterFile, MissingFile, UnrecognisedFile
from data.findings import Finding, errors_of
from data.formats import citylearn, plain, simbench_extract
from data.formats.registry import (
    DEFAULT_FUSE_W,
    FileReading,
    Format,
    ReadOptions,
    get,
    register,
    registered,
)
from data.readings import MeterData

__all__ = [
    "DEFAULT_FUSE_W",
    "FileReading",
    "Format",
    "ReadOptions",
    "citylearn",
    "get",
    "load",
    "plain",
    "read",
    "recognise",
    "register",
    "registered",
    "simbench_extract",
]


def recognise(path: Path) -> Format:
    """Return the one format that claims a path.

    A CSV or Parquet file that nobody claims is taken for the plain format, whose reader then says what its
    header lacks.

    Raises:
        MissingFile: Nothing is there.
        AmbiguousFile: Several formats claim it.
        UnrecognisedFile: No format claims it.
    """
    if not path.exists():
        raise MissingFile(path)
    known = registered()
    claims = [format for format in known.values() if format.sniff(path)]
    if len(claims) > 1:
        raise AmbiguousFile(path, [format.name for format in claims])
    if claims:
        return claims[0]
    if path.is_file() and path.suffix.lower() in plain.SUFFIXES:
        return plain.FORMAT
    raise UnrecognisedFile(path, known)


def read(path: Path, format: Format, options: ReadOptions) -> FileReading:
    """Read a path and keep a one-sentence summary of its warnings with the data."""
    if not path.exists():
        raise MissingFile(path)
    reading = format.read(path, options)
    data = reading.data
    if data is None:
        return reading
    if options.minutes not in (None, data.minutes):
        message = f"the intervals are {data.minutes} minutes, not {options.minutes}; correct `minutes`"
        wrong = Finding("error", "interval_length", None, None, message)
        return replace(reading, data=None, findings=(wrong, *reading.findings))
    warned = sorted({finding.code for finding in reading.findings})
    if warned:
        notes = (*data.source.notes, f"warnings when read: {', '.join(warned)}")
        data = replace(data, source=replace(data.source, notes=notes))
    return replace(reading, data=data)


def load(
    path: str | Path,
    *,
    format: str | None = None,
    zone: str | None = None,
    minutes: int | None = None,
    fuse_w: int = DEFAULT_FUSE_W,
) -> MeterData:
    """Load meter data of any registered format.

    Args:
        path: File or folder.
        format: Name of the format; recognised from the content where left out.
        zone: Time zone of local stamps, e.g. "Europe/Berlin"; only needed where the file does not tell.
        minutes: Interval length; found in the file where left out, compared with it where given. [min]
        fuse_w: Power above which a metered register is impossible. [W]

    Raises:
        InvalidMeterFile: Holds every error by line.
        MissingFile, UnknownFormat, UnrecognisedFile, AmbiguousFile, UnknownZone: As their names say.
    """
    where = Path(path)
    chosen = get(format) if format is not None else recognise(where)
    reading = read(where, chosen, ReadOptions(zone, minutes, fuse_w))
    if reading.data is None:
        raise InvalidMeterFile(where, errors_of(reading.findings))
    return reading.data
