"""The registry of meter formats: how to recognise a file, how to read it, what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from data.errors import DuplicateFormat, UnknownFormat
from data.findings import Finding
from data.readings import MeterData

ENTRY_POINTS = "wattswap.formats"

DEFAULT_FUSE_W = 43_000
"""Largest plausible power of a home: three phases of 63 A at 230 V. [W]"""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about a file.

    Args:
        zone: Time zone of local stamps; a format asks for it where it needs it.
        minutes: Interval length; found in the file where left out. [min]
        fuse_w: Power above which a metered register is impossible. [W]
    """

    zone: str | None = None
    minutes: int | None = None
    fuse_w: int = DEFAULT_FUSE_W


@dataclass(frozen=True, slots=True)
class FileReading:
    """What reading a file gave.

    Args:
        data: The readings; None where errors prevent it.
        findings: Everything noticed, errors first.
        rows: Rows of data in the file.
        zone: The clock of the file, in words or as a zone name.
    """

    data: MeterData | None
    findings: tuple[Finding, ...]
    rows: int
    zone: str


@dataclass(frozen=True, slots=True)
class Format:
    """A registered meter format.

    Args:
        name: Unique, lower case.
        describe: One sentence for people: layout, stamp, zone.
        unit: Unit and kind of the values as they stand in the file.
        sniff: Tells whether a path is exactly of this format; reads no more than the head.
        read: Reads a path; a file with errors gives findings, it does not raise.
    """

    name: str
    describe: str
    unit: str
    sniff: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], FileReading]


_REGISTRY: dict[str, Format] = {}


def register(format: Format) -> Format:
    """Add a format under its name and return it.

    Raises:
        DuplicateFormat: The name is taken.
    """
    if format.name in _REGISTRY:
        raise DuplicateFormat(format.name)
    _REGISTRY[format.name] = format
    return format


def get(name: str) -> Format:
    """Return the format of this name, loading it when another package provides it.

    Raises:
        UnknownFormat: Names the nearest match and all known ones.
    """
    if name in _REGISTRY:
        return _REGISTRY[name]
    plugins = entry_points(group=ENTRY_POINTS)
    for entry in plugins:
        if entry.name == name:
            loaded = entry.load()
            # Importing the plugin may have registered it already.
            return _REGISTRY[name] if name in _REGISTRY else register(loaded)
    raise UnknownFormat(name, {*_REGISTRY, *plugins.names})


def registered() -> dict[str, Format]:
    """All formats by name, those of other packages included, in alphabetical order."""
    names = {*_REGISTRY, *entry_points(group=ENTRY_POINTS).names}
    return {name: get(name) for name in sorted(names)}


def sha256_of(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(paths: list[Path]) -> str:
    """Hash several files of one folder: over their lines `sha256 name`, sorted by name."""
    lines = [f"{sha256_of(path)} {path.name}\n" for path in sorted(paths, key=lambda p: p.name)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
