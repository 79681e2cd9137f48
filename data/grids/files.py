"""Read a network file of any registered format as a grid."""

from __future__ import annotations

from pathlib import Path

from data.errors import AmbiguousFile, InvalidGridFile, MissingFile, UnrecognisedGrid
from data.findings import FindingLog, errors_of
from data.grids.network import GRID_FORMATS, GridFormat
from data.grids.per_unit import BASE_KVA, GridFile, grid_file
from data.intake.file import MeterFile


def recognise_grid(path: Path) -> GridFormat:
    """Return the format of a network file or folder.

    Raises:
        MissingFile: Nothing is there.
        AmbiguousFile: Several formats claim it.
        UnrecognisedGrid: No format claims it.
    """
    if not path.exists():
        raise MissingFile(path)
    file, known = MeterFile(path), GRID_FORMATS.all()
    claims = []
    for name, format in known.items():
        with GRID_FORMATS.held(format):
            if format.claims(file):
                claims.append(name)
    if not claims:
        raise UnrecognisedGrid(path, known)
    if len(claims) > 1:
        raise AmbiguousFile(path, claims)
    return known[claims[0]]


def read_grid_file(path: Path, *, format: str | None = None, base_kva: float = BASE_KVA) -> GridFile:
    """Read a network file or folder as a grid in per unit.

    Args:
        path: File or folder.
        format: Name of the format; recognised from the content where left out.
        base_kva: Base of the impedances. [kVA]

    Raises:
        InvalidGridFile: Holds everything that is wrong.
        MissingFile, UnknownName, UnrecognisedGrid, AmbiguousFile: As their names say.
    """
    if not path.exists():
        raise MissingFile(path)
    chosen = GRID_FORMATS.get(format) if format is not None else recognise_grid(path)
    log = FindingLog()
    with GRID_FORMATS.held(chosen):
        network = chosen.read(MeterFile(path), log)
    found = None if network is None or log.has_errors else grid_file(network, log, base_kva)
    if found is None or log.has_errors:
        if not log.has_errors:
            log.add("error", "empty", "the file holds no buses; name the file that does")
        raise InvalidGridFile(path, errors_of(log.findings()))
    return found
