"""A store as a format of meter data: a folder with a manifest and files of readings.

The folder is recognised by its manifest. Its readings are placed and checked already.
"""

from __future__ import annotations

from collections.abc import Iterator

from data.errors import DataError
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog
from data.readings import MeterData
from data.store.manifest import MANIFEST, read_manifest
from data.store.read import FORMAT, is_store, load_store


def sniff(file: MeterFile) -> Claim:
    """Whether it is a folder with a manifest."""
    return Claim(1.0, (f"a folder with {MANIFEST}",)) if is_store(file.path) else NO_CLAIM


def parse(file: MeterFile, _hints: Hints, log: IntakeLog) -> Iterator[MeterData]:
    """Read all homes, on one grid; what is wrong with the store is one error."""
    try:
        data = load_store(file.path)
        manifest = read_manifest(file.path)
    except DataError as problem:
        log.add("error", "damaged_store", str(problem))
        return
    log.zone = manifest.zone or "UTC"
    log.rows = sum(part.rows for part in manifest.parts)
    yield data


FORMATS.register(
    Format(
        name=FORMAT,
        summary="a folder that `wattswap data import` wrote: readings in Parquet, with a manifest",
        unit="Wh per interval",
        sniff=sniff,
        parse=parse,
        source="docs/reference/store.md",
    )
)
