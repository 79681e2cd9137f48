"""EIEP3, half-hour readings of New Zealand meters: an exchange protocol of the electricity industry, file type ICPHH.

- HDR names the version, the number of DET records, the utility (E or G) and the status of the file. A DET record has
  the ICP, the data stream (a meter), F or E (final, estimated), the local day, the trading period, kWh, kVArh, kVAh and
  the direction of flow: X is extraction from the network (import), I is injection into it (export).
- Trading periods are counted through the local day, Pacific/Auckland: 46 on the day in spring, 50 on the day in autumn.
- Several data streams of one ICP are meters beside each other, and parts of a channel. Their numbers identify people:
  they are parts 1, 2, .. of their ICP.
- `null` and an empty cell are no reading. Reactive and apparent energy are left out; gas is refused.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import numpy as np

from data import clock
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import Channel, Hints, IntakeLog, Labels, RawReadings, exact_stamps, numbers
from data.readings import ESTIMATED, MEASURED

CHUNK_ROWS = 300_000
LONGEST_LINE = 1 << 16
MINUTES = 30
ZONE = "Pacific/Auckland"

ICP, STREAM, STATUS, DAY, PERIOD, ACTIVE, FLOW = 1, 2, 3, 4, 5, 6, 9
"""Cells of a DET record that are read."""
RECORDS, UTILITY = 9, 11
"""Cells of the HDR record that are read."""

FLOWS = {"X": "import", "I": "export"}
QUALITY = {"F": MEASURED, "E": ESTIMATED}


def sniff(file: MeterFile) -> Claim:
    """Whether the first line is a header of file type ICPHH, or a DET record with a day, a period and a direction."""
    cells = _cells(file.head.split(b"\n", 1)[0], first=True)
    assumed = {"zone": ZONE, "unit": "kWh", "stamp": "number of the half hour in the local day"}
    if [cell.upper() for cell in cells[:2]] == ["HDR", "ICPHH"]:
        return Claim(1.0, ("the header names the file type ICPHH",), assumed)
    if (
        len(cells) > FLOW
        and cells[0].upper() == "DET"
        and _day(cells[DAY]) is not None
        and cells[FLOW] in FLOWS
    ):
        return Claim(0.9, ("no header, but a DET record with day, trading period and direction",), assumed)
    return NO_CLAIM


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Yield the records as chunks of one channel each."""
    log.zone = f"{ZONE}, by the number of the half hour in the day"
    reader = _Reader(log)
    with file.open(file.name) as source:
        for line, raw in enumerate(iter(lambda: source.readline(LONGEST_LINE), b""), start=1):
            cells = _cells(raw, first=line == 1)
            if cells[0]:
                reader.take(line, cells)
            if reader.rows >= CHUNK_ROWS:
                yield from reader.chunks()
    reader.finish(line)
    yield from reader.chunks()


def _cells(raw: bytes, *, first: bool) -> list[str]:
    text = raw.decode("utf-8-sig" if first else "utf-8", errors="replace").strip()
    try:
        cells = next(csv.reader([text]), [""]) if '"' in text else text.split(",")
    except csv.Error:  # an open quotation, or a cell beyond the limit of the module
        cells = text.split(",")
    return [cell.strip() for cell in cells]


@lru_cache(maxsize=4096)
def _day(text: str) -> int | None:
    """Local midnight of a day 24/10/2019, day first as the protocol says. [s since 1970 on the local clock]"""
    try:
        return clock.local_seconds(datetime.strptime(text, "%d/%m/%Y")) if len(text) == 10 else None
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _is_long(day: int) -> bool:
    """Whether a local day has 50 trading periods."""
    _, there = clock.instants_of_positions(np.array([day]), np.array([50]), MINUTES, clock.zone_named(ZONE))
    return bool(there[0])


@dataclass(slots=True)
class _Columns:
    """Records of one channel, column by column."""

    line: list[int] = field(default_factory=list)
    icp: list[int] = field(default_factory=list)
    day: list[int] = field(default_factory=list)
    period: list[int] = field(default_factory=list)
    energy: list[str] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)


class _Reader:
    """Takes records one by one and keeps those that are not yet given out."""

    def __init__(self, log: IntakeLog) -> None:
        self._log = log
        self._icps: dict[str, int] = {}
        self._streams: dict[tuple[str, str], dict[str, int]] = {}
        self._kept: dict[Channel, _Columns] = {}
        self._last: dict[tuple[str, str, str, int], tuple[int, int]] = {}
        self._stated: int | None = None
        self._records = self._unknown_status = 0
        self._refused = False
        self.rows = 0

    def take(self, line: int, cells: Sequence[str]) -> None:
        """Take one record."""
        kind = cells[0].upper()
        if kind == "DET":
            self._records += 1
            if not self._refused:
                self._take_reading(line, cells)
        elif kind == "HDR":
            self._take_header(line, cells)
        else:
            message = (
                f"a line that begins with {cells[0][:20]!r} is no record of EIEP3, which are HDR and DET"
            )
            self._error("unknown_record", message, line)

    def _error(self, code: str, message: str, line: int) -> None:
        self._log.add("error", code, message, line=line)

    def _take_header(self, line: int, cells: Sequence[str]) -> None:
        if self._stated is not None or self._records:
            self._error("wrong_header", "a second HDR record; give each file of its own", line)
        elif "".join(cells[1:2]).upper() != "ICPHH":
            self._error(
                "wrong_header", f"the file type is {''.join(cells[1:2])!r}; half hours are ICPHH", line
            )
        elif "".join(cells[UTILITY : UTILITY + 1]).upper() == "G":
            self._error("gas", "the header says that the file is of gas; give the file of electricity", line)
            self._refused = True
        count = "".join(cells[RECORDS : RECORDS + 1])
        self._stated = int(count) if count.isdecimal() and len(count) < 12 else -1
        if self._stated < 0:
            message = "the header does not say how many records the file has; check that it was not cut off"
            self._log.add("warning", "no_end", message, line=line)

    def _take_reading(self, line: int, cells: Sequence[str]) -> None:
        if len(cells) <= FLOW:
            self._error(
                "wrong_cells", f"a DET record has {len(cells)} cells, not 11; is the file cut off?", line
            )
            return
        day = _day(cells[DAY])
        flow = FLOWS.get(cells[FLOW].upper())
        if day is None:
            self._error("bad_timestamp", f"the day {cells[DAY]!r} is not like 24/10/2019", line)
        elif not cells[PERIOD].isdecimal():
            self._error("bad_timestamp", f"the trading period {cells[PERIOD]!r} is not a number from 1", line)
        elif flow is None:
            self._error(
                "wrong_cells", f"the direction {cells[FLOW]!r} is not X (extraction) or I (injection)", line
            )
        elif not cells[ICP]:
            self._error("no_household", "the record names no ICP; export the file again", line)
        else:
            self._keep(line, cells, flow, day)

    def _keep(self, line: int, cells: Sequence[str], flow: str, day: int) -> None:
        streams = self._streams.setdefault((cells[ICP], flow), {})
        part = str(streams.setdefault(cells[STREAM], len(streams) + 1))
        columns = self._kept.setdefault(Channel(flow, "kWh", "interval", "", part), _Columns())
        if _is_long(day):
            key = (cells[ICP], flow, part, day)
            self._last[key] = max(self._last.get(key, (0, 0)), (int(cells[PERIOD][:6]), line))
        status = QUALITY.get(cells[STATUS].upper())
        self._unknown_status += status is None
        columns.line.append(line)
        columns.icp.append(self._icps.setdefault(cells[ICP], len(self._icps)))
        columns.day.append(day)
        columns.period.append(int(cells[PERIOD][:6]))
        columns.energy.append("" if cells[ACTIVE].lower() == "null" else cells[ACTIVE])
        columns.quality.append(ESTIMATED if status is None else status)
        self.rows += 1

    def finish(self, last_line: int) -> None:
        """Compare the number of records with the header, and say what was taken how."""
        if self._stated is None:
            message = "the file has no HDR record, which says how many records follow; check that it is whole"
            self._log.add("warning", "no_header", message, line=1)
        elif self._stated >= 0 and self._stated != self._records:
            told = f"the header says {self._stated} records, but {self._records} follow"
            self._error("wrong_count", f"{told}; the file is cut off or joined: export it again", last_line)
        for period, line in self._last.values():
            if period == 48:
                told = "the day has 50 trading periods, but the file numbers 48"
                cure = "its clock hides the hour that comes twice; ask for the file with all periods"
                self._error("impossible_time", f"{told}: {cure}", line)
        if self._unknown_status:
            message = f"{self._unknown_status} records are neither F (final) nor E (estimated); they count as estimated"
            self._log.add("warning", "unknown_quality", message)
        if not self._icps and not self._log.has_errors:
            self._error("empty_file", "the file has no DET record; export it again", last_line)
        several = sum(len(streams) > 1 for streams in self._streams.values())
        if several:
            self._log.notes.append("meters beside each other (data streams of one ICP) are summed")

    def chunks(self) -> Iterator[RawReadings]:
        """Give out the records so far."""
        for channel, columns in self._kept.items():
            yield self._chunk(channel, columns)
        self._kept, self.rows = {}, 0

    def _chunk(self, channel: Channel, columns: _Columns) -> RawReadings:
        line = np.array(columns.line, dtype=np.int64)
        day = np.array(columns.day, dtype=np.int64)
        period = np.array(columns.period, dtype=np.int64)
        order = np.lexsort((period, day))  # records may stand in any order
        line, day, period = line[order], day[order], period[order]
        start_s, there = clock.instants_of_positions(day, period, MINUTES, clock.zone_named(ZONE))

        def beyond(row: int) -> tuple[int, None, str]:
            told = f"the local day has no trading period {period[row]}"
            return (
                int(line[row]),
                None,
                f"{told}: it has 46, 48 or 50, by daylight saving; correct the number",
            )

        self._log.add_rows("error", "impossible_time", np.flatnonzero(~there), beyond)
        return RawReadings(
            line=line,
            meter=Labels(np.array(columns.icp, dtype=np.int64)[order], list(self._icps)),
            stamp=exact_stamps(start_s),
            values={channel: numbers([columns.energy[row] for row in order.tolist()])},
            quality=np.array(columns.quality, dtype=np.uint8)[order],
            minutes=np.full(len(line), MINUTES, dtype=np.int64),
        )


FORMATS.register(
    Format(
        name="eiep3",
        summary="New Zealand EIEP3 (file type ICPHH), a row for each half hour, numbered through the local day",
        unit="kWh per half hour",
        sniff=sniff,
        parse=parse,
        zone=ZONE,
        meters="id",
        sample="HDR,ICPHH,10.0,SNDR,BHLF,RCPT,21/04/2019,21:11:04,000,2,201904,E,I\n"
        "DET,0000000001AAAAA,METER1,F,19/04/2019,1,0.44,null,null,X,null\n"
        "DET,0000000001AAAAA,METER1,F,19/04/2019,2,0.98,null,null,X,null\n",
        source="New Zealand regulator (ea.govt.nz), EIEP3 half hour metering information;"
        " github.com/our-energy/eiep: tests/Data/eiep3-valid.txt @ f55cafe071c7404893209ba0457c02ef3bf2ddef",
    ),
    contract=3,
)
