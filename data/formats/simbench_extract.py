"""Our own compact Parquet file of a neighbourhood on profiles; the bundled SimBench extracts are in it.

One column per profile: int32, parts per million of the power of the elements that follow it, one row per
interval. The schema's metadata hold the JSON document `wattswap.neighbourhood`: homes, elements, batteries,
start, interval, and the SimBench code. Times are UTC, named by the start of the interval. Nothing is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data.formats import FORMATS, Format
from data.grids.neighbourhood import KINDS, Element, Neighbourhood
from data.grids.simbench import NOTES
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import GridReadings, Hints, IntakeLog
from data.readings import BatterySpec

KEY = b"wattswap.neighbourhood"
VERSION = 1
_REWORDED = {"import and export are load - pv; the batteries are listed, not operated": NOTES[1]}
"""Notes of older extracts that mislead: a run of one may operate its batteries."""


def sniff(file: MeterFile) -> Claim:
    """Whether the schema's metadata hold a neighbourhood."""
    schema = file.parquet_schema
    return (
        Claim(1.0, ("a Parquet file that names its grid",))
        if schema is not None and KEY in (schema.metadata or {})
        else NO_CLAIM
    )


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[GridReadings]:
    """Read an extract; its stamps are UTC, so `hints` are not used."""
    log.zone = "UTC"
    try:
        neighbourhood, origin = load_neighbourhood(file.path)
    except (KeyError, TypeError, ValueError, OSError) as problem:
        message = f"the extract is damaged ({type(problem).__name__}: {problem})"
        log.add("error", "unreadable", f"{message}; write it again with extract_simbench.py")
        return
    log.answers = {str(key): str(value) for key, value in origin["answers"].items()}
    log.notes = [_REWORDED.get(note, note) for note in origin["notes"]]
    log.batteries = dict(zip(neighbourhood.households, neighbourhood.batteries, strict=True))
    yield neighbourhood.readings()


def load_neighbourhood(path: Path) -> tuple[Neighbourhood, dict[str, Any]]:
    """Return the neighbourhood of an extract and what it says of its origin (answers, notes).

    Raises:
        ValueError, KeyError, TypeError, OSError: The file is damaged.
    """
    from pyarrow import parquet

    table = parquet.read_table(path)
    document = json.loads((table.schema.metadata or {})[KEY])
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']}, only {VERSION} is known")
    elements = tuple(Element(**element) for element in document["elements"])
    homes = tuple(document["households"])
    if any(e.kind not in KINDS or not 0 <= e.household < len(homes) or e.power_w < 0 for e in elements):
        raise ValueError("an element of an unknown kind or home")
    profiles = {name: np.asarray(table.column(name), dtype=np.int64) for name in table.column_names}
    neighbourhood = Neighbourhood(
        households=homes,
        labels=tuple(document["labels"]),
        start_s=document["start_s"],
        minutes=document["minutes"],
        elements=elements,
        batteries=tuple(BatterySpec(**spec) if spec else None for spec in document["batteries"]),
        profiles=profiles,
    )
    return neighbourhood, document["origin"]


def save_neighbourhood(
    neighbourhood: Neighbourhood, path: Path, *, code: str, zone: str, notes: tuple[str, ...]
) -> None:
    """Write an extract; the same neighbourhood gives the same bytes with the same pyarrow.

    Args:
        neighbourhood: What to write.
        path: The Parquet file.
        code: SimBench code of the grid.
        zone: Zone of the clock that the source had.
        notes: Traps found in the source.
    """
    import pyarrow as pa
    from pyarrow import parquet

    document = {
        "version": VERSION,
        "households": neighbourhood.households,
        "labels": neighbourhood.labels,
        "start_s": neighbourhood.start_s,
        "minutes": neighbourhood.minutes,
        "elements": [asdict(element) for element in neighbourhood.elements],
        "batteries": [asdict(spec) if spec else None for spec in neighbourhood.batteries],
        "origin": {"answers": {"code": code, "zone": zone}, "notes": notes},
    }
    names = sorted(neighbourhood.profiles)
    table = pa.table({name: pa.array(neighbourhood.profiles[name].astype(np.int32)) for name in names})
    table = table.replace_schema_metadata({KEY: json.dumps(document, sort_keys=True, separators=(",", ":"))})
    parquet.write_table(
        table, path, compression="zstd", compression_level=19, use_dictionary=True, row_group_size=len(table)
    )


FORMATS.register(
    Format(
        name="simbench_extract",
        summary="Parquet of profiles with a neighbourhood in its metadata, UTC; the bundled samples",
        unit="parts per million of each element's power",
        sniff=sniff,
        parse=parse,
    )
)
