"""Records of NEM12: cells of a line, dates, what a channel and a day say, and what a channel leaves open."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from data import clock
from data.intake.claims import Question
from data.intake.raw import Channel, Hints, Numbers
from data.readings import QualityArray

LENGTHS = (1, 5, 10, 15, 30, 60)
FLOWS = {"E": "import", "B": "export"}
_WEST = re.compile(r"80(0[1-9]|1\d|20)")
"""Beginning of the NMIs of Western Australia."""


def records_of(lines: Iterator[bytes] | Sequence[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Split lines into trimmed cells; blank lines and lines of commas are none."""
    for line, raw in enumerate(lines, start=1):
        text = raw.decode("utf-8-sig" if line == 1 else "utf-8", errors="replace").strip()
        if text.strip(","):
            cells = _quoted(text) if '"' in text else text.split(",")
            cells[0] = cells[0].strip()
            yield line, cells if cells[0] == "300" else [cell.strip() for cell in cells]


def _quoted(text: str) -> list[str]:
    try:
        return next(csv.reader([text]))
    except csv.Error:  # an open quotation, or a cell beyond the limit of the module
        return text.split(",")


@lru_cache(maxsize=8192)
def day_of(text: str) -> int | None:
    """Midnight of a date 20040229, as on the clock of the file. [s since 1970]"""
    try:
        return clock.local_seconds(datetime.strptime(text, "%Y%m%d")) if len(text) == 8 else None
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def update_of(text: str) -> int | None:
    """The time at which a day was updated, as on the clock of the file; None where it is none. [s since 1970]"""
    try:
        layout = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M"}.get(len(text))
        return clock.local_seconds(datetime.strptime(text, layout)) if layout else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Series:
    """What a 200 record says; `channel` is None where its days are not read."""

    nmi: str
    suffix: str
    minutes: int
    unit: str
    channel: Channel | None
    offset_s: int

    @property
    def count(self) -> int:
        return 1440 // self.minutes


@dataclass(slots=True)
class Day:
    """A 300 record whose 400 records may follow; `covered` intervals have a quality of their own."""

    series: Series
    line: int
    begin_s: int
    values: Numbers
    quality: QualityArray
    varies: bool
    revision: int
    covered: int = 0


def open_questions(cells: Sequence[str], sender: str, hints: Hints) -> Iterator[Question]:
    """What a 200 record leaves open: the unit of energy, and the zone outside the eastern market."""
    if not cells[7] and cells[4][:1].upper() in FLOWS and hints.unit is None:
        asks = "a 200 record of energy names no unit, and a wrong one scales all readings by 1000"
        yield Question("--unit", asks, ("kWh", "Wh", "MWh"), "kWh", 0.9, "most files are in kWh")
    west = sender.upper().startswith(("WPN", "WESTERN")) or bool(_WEST.match(cells[1]))
    north = cells[1].startswith("250")
    if (west or north) and hints.zone is None:
        place, likely = (
            ("Western Australia", "Australia/Perth")
            if west
            else ("the Northern Territory", "Australia/Darwin")
        )
        asks = f"the file is of {place}, where files use the clock of the place or that of the eastern market"
        yield Question(
            "--zone", asks, (likely, "Australia/Brisbane"), likely, 0.7, "the market there has its clock"
        )
