"""Bundled neighbourhoods: SimBench, scenario 2, the year 2016 at 15 minutes, own licence (ODbL)."""

from __future__ import annotations

from pathlib import Path

from data import formats
from data.errors import UnknownSample
from data.readings import MeterData

SAMPLES = {"street": "1-LV-rural1--2-sw", "village": "1-LV-semiurb4--2-sw"}
"""Name and SimBench code of each sample: street has 13 homes, village 41."""

GRIDS = ("street",)
"""Samples whose lines, transformer and reactive load are bundled too."""

FOLDER = Path(__file__).parent / "simbench"


def names() -> tuple[str, ...]:
    """Names of the bundled neighbourhoods."""
    return tuple(sorted(SAMPLES))


def path_of(name: str) -> Path:
    """Return the file of a sample.

    Raises:
        UnknownSample: Names the nearest match.
    """
    if name not in SAMPLES:
        raise UnknownSample(name, SAMPLES)
    return FOLDER / f"{name}.parquet"


def grid_path(name: str) -> Path:
    """Return the file with the grid of a sample.

    Raises:
        UnknownSample: Names the nearest match.
    """
    if name not in GRIDS:
        raise UnknownSample(name, GRIDS)
    return FOLDER / f"{name}_grid.json"


def load(name: str) -> MeterData:
    """Load a bundled neighbourhood.

    Raises:
        UnknownSample: Names the nearest match.
    """
    return formats.load(path_of(name), format="simbench_extract")
