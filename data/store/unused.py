"""Answers that change nothing, and zones that are not those of a file: the user is wrong about what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from data import clock, formats
from data.formats import FORMATS, FileReading
from data.intake.file import MeterFile
from data.intake.raw import Hints

if TYPE_CHECKING:
    from data.store.incoming import Incoming

GENERIC = "generic"
CONCLUDED = ("stamp", "dates", "encoding")
"""Answers that a file nobody knows always leaves open; the unit may be in its head, which no answer overrules."""
_STATED = ("unit", "stamp", "dates", "encoding", "profile")
"""Answers that have no other use than what a file leaves open."""


def unused(files: Sequence[Incoming], hints: Hints) -> list[str]:
    """What was answered and changes nothing in any of the files: a sentence for each.

    An answer that a file asks for is used. For any other the file is read again without it; where the readings
    are the same, the file says itself what was answered, or has nothing that is called so.
    """
    found = []
    for name in _STATED:
        said = getattr(hints, name)
        less: Hints = replace(hints, **{name: None})  # type: ignore[arg-type]
        if said is not None and not any(_uses(one, less, name) for one in files):
            found.append(f"--{name} {said} changes nothing: {_names(files)} does not leave it open")
    for column, channel in hints.channels.items():
        less = replace(hints, channels={key: c for key, c in hints.channels.items() if key != column})
        if not any(_uses(one, less, f"channel {column}") for one in files):
            what = f"{_names(files)} has no such column to read"
            found.append(f"--channel {column}={channel} changes nothing: {what}")
    return found


def _names(files: Sequence[Incoming]) -> str:
    return " or ".join(one.shown_name for one in files[:3]) + (" or any other" if len(files) > 3 else "")


def _uses(one: Incoming, less: Hints, name: str) -> bool:
    """Whether a file is read in another way without an answer."""
    if one.format.name == GENERIC and name in CONCLUDED:
        return True  # its questions follow from what was concluded, which an answer overrules
    with FORMATS.held(one.format):
        if any(question.option == f"--{name}" for question in one.format.asks(MeterFile(one.path), less)):
            return True
    return _differ(one.reading, formats.read(one.path, one.format, less))


def _differ(one: FileReading, other: FileReading) -> bool:
    a, b = one.data, other.data
    if a is None or b is None or (a.households, a.minutes, a.start_s) != (b.households, b.minutes, b.start_s):
        return True
    return (
        a.sub_meters.keys() != b.sub_meters.keys()
        or not np.array_equal(a.import_wh, b.import_wh)
        or not np.array_equal(a.export_wh, b.export_wh)
        or not np.array_equal(a.quality, b.quality)
        or not all(np.array_equal(column, b.sub_meters[name]) for name, column in a.sub_meters.items())
    )


def foreign_zones(files: Sequence[Incoming], hints: Hints) -> list[str]:
    """Files that `--zone` would move in time, because it was given for others that are read with them.

    A zone that is given for files of one kind may overrule that of their format, as for an island. Given for several
    kinds, it answers those that leave it open.
    """
    if hints.zone is None:
        return []
    zones = {one.format.zone for one in files}
    return [
        f"{one.shown_name} is read in {hints.zone}, and {one.format.name} has the clock of {one.format.zone}"
        for one in files
        if len(zones) > 1 and one.format.zone is not None and _moved(one, hints.zone, one.format.zone)
    ]


def _moved(one: Incoming, said: str, own: str) -> bool:
    data = one.reading.data
    if data is None or data.source.answers.get("zone") != said:
        return False  # its stamps have offsets
    first, second = clock.zone_named(said), clock.zone_named(own)
    days = [datetime.fromtimestamp(second_, UTC) for second_ in range(data.start_s, data.end_s, 86_400)]
    return any(day.astimezone(first).utcoffset() != day.astimezone(second).utcoffset() for day in days)
