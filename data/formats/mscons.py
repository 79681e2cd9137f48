"""MSCONS, the EDIFACT message of meter readings in Germany, Austria and Switzerland.

- LOC+172 names the location (MaLo, MeLo, Zaehlpunkt), PIA+5 the OBIS code: 1-1:1.29.0 is import and 1-1:2.29.0 export
  of each interval, 1.9.0 and 2.9.0 too; 1.8.x and 2.8.x with the time of a reading are counters, tariffs being parts.
- QTY+220 is a true value, 67 a substitute, 201 proposed, Z18 preliminary (all three estimated), 20 and Z30 no reading.
  Forecasts, sums and peaks are left out with a note. The unit is in the code, kWh, or KWH, MWH, KWT (mean power).
- DTM+163 and 164 are the start and end of the interval: in format 303 with an offset to UTC; in format 203 without one,
  and then the zone is asked for.
- A location's interval that is sent again counts by DTM+293 or else DTM+137 of its message, the later one.
- UNA may change every separator and the decimal mark; segments stand on one line or many. UNT and UNZ count segments
  and messages: a file that was cut off is refused, and so is one with a message that cancels another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from typing import BinaryIO

import numpy as np

from data import clock
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim, Question
from data.intake.file import MeterFile
from data.intake.raw import Channel, Hints, IntakeLog, Labels, RawReadings, Stamps, numbers
from data.intake.steps import SPREAD
from data.readings import ESTIMATED, MEASURED, MISSING
from data.recipes.model import held_as_it_is
from market.interval import ALLOWED_MINUTES

CHUNK_ROWS = 300_000
READ_BYTES = 1 << 20

QUALITY = {
    **dict.fromkeys(("220", "46"), MEASURED),
    **dict.fromkeys(("67", "201", "Z18"), ESTIMATED),
    **dict.fromkeys(("20", "Z30"), MISSING),
}
NO_READING = {"187": "forecasts", "79": "sums", "Z31": "delivery notes", "Z47": "values for a price cap"}
UNITS = {"KWH": "kWh", "MWH": "MWh", "KWT": "kW", "MAW": "MW"}

_OBIS = re.compile(r"(?P<medium>\d)-\w+:(?P<what>\d{1,3})\.(?P<kind>\d{1,3})\.(?P<tariff>\d{1,3})(\*\d+)?")
_TIME = re.compile(r"(\d{12})(?:([+-])(\d\d)(\d\d)?)?")
_VERSION = re.compile(r"(\d{12})\d{0,2}(?:[+-]\d{2,4})?")
_START = re.compile(rb"\s*(\xef\xbb\xbf)?\s*(UNA......\s*)?UN[BH].", re.DOTALL)

_ASIDE = "\ue000\ue001\ue002\ue003"
"""Where released marks are while a segment is split; latin-1 has no such characters."""

Elements = list[list[str]]


def sniff(file: MeterFile) -> Claim:
    """Whether the file is an EDIFACT interchange with an MSCONS message."""
    if not _START.match(file.head):
        return NO_CLAIM
    if re.search(rb"UNH.{1,40}MSCONS", file.head, re.DOTALL):
        return Claim(
            1.0, ("an EDIFACT interchange with an MSCONS message",), {"unit": "kWh, by the OBIS code"}
        )
    return Claim(0.1, ("an EDIFACT interchange, but its message is not MSCONS",))


def asks(file: MeterFile, hints: Hints) -> tuple[Question, ...]:
    """Ask for the zone of times without an offset, and for what an unknown code holds."""
    log = IntakeLog()
    reader = _Reader(hints, log)
    segments = _Segments(BytesIO(file.head))
    for line, text in segments:
        reader.take(line, text, segments.split)
    local = any((chunk.stamp.kind == clock.LOCAL).any() for chunk in reader.chunks())
    if local and hints.zone is None:
        told = "times have no offset to UTC (format 203); name their time zone, e.g. Europe/Berlin"
        log.ask(Question("--zone", told))
    return tuple(log.questions)


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Yield the quantities as chunks of one channel and one version each."""
    with file.open(file.name) as source:
        segments = _Segments(source)
        reader = _Reader(hints, log)
        for line, text in segments:
            reader.take(line, text, segments.split)
            if reader.rows >= CHUNK_ROWS:
                yield from reader.chunks()
    if segments.rest.strip():
        told = f"the last segment, {segments.rest.strip()[:20]!r}, has no end"
        log.add("error", "cut_off", f"{told}; the file is cut off: export it again", line=segments.line)
    if segments.by_number:
        log.notes.append("the file is one line: numbers of lines in findings are those of its segments")
    reader.finish(segments.line)
    yield from reader.chunks()


class _Segments:
    """The segments of an interchange, read piece by piece; with the line of each, or its number where all are on one.

    Attributes:
        line: Of the last segment.
        rest: What follows it.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        head = source.read(READ_BYTES).decode("latin-1").removeprefix("\xef\xbb\xbf").lstrip()
        self._marks = head[3:9] if head.startswith("UNA") and len(head) >= 9 else ":+.? '"
        self.rest = head[9:] if head.startswith("UNA") else head
        end, release = re.escape(self._marks[5]), re.escape(self._marks[3])
        self._segment = re.compile(f"((?:[^{end}{release}]++|{release}.)*+){end}", re.DOTALL)
        self.by_number = head.rstrip().count("\n") < 2
        self.line = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        line = 1
        while True:
            at = 0
            while found := self._segment.match(self.rest, at):
                text, at = found[1], found.end()
                lead = len(text) - len(text.lstrip())
                line += text.count("\n", 0, lead)
                self.line = self.line + 1 if self.by_number else line
                yield self.line, text.strip().replace("\r", "").replace("\n", "")
                line += text.count("\n", lead)
            self.rest = self.rest[at:]
            more = self._source.read(READ_BYTES).decode("latin-1")
            if not more or len(self.rest) > READ_BYTES:
                return
            self.rest += more

    def split(self, text: str) -> Elements:
        """Split a segment into its elements and these into their components; the decimal mark becomes a point."""
        if text.startswith("DTM"):  # two of three segments are times
            kind, _, rest = text[4:].partition(self._marks[0])
            return [["DTM"], [kind, rest.rpartition(self._marks[0])[0].replace(self._marks[3], "")]]
        return _split(text, self._marks)


def _split(text: str, marks: str) -> Elements:
    component, element, decimal, release = (marks[i] for i in range(4))
    released = release != " " and release in text
    if released:  # released marks are put aside while the others split
        for i, mark in enumerate((release, element, component, marks[5])):
            text = text.replace(release + mark, _ASIDE[i])
    parts = [piece.split(component) for piece in text.split(element)]
    if released:
        back = str.maketrans(dict(zip(_ASIDE, (release, element, component, marks[5]), strict=True)))
        parts = [[part.translate(back) for part in piece] for piece in parts]
    if decimal != "." and parts[0][0] == "QTY" and len(parts) > 1 and len(parts[1]) > 1:
        parts[1][1] = parts[1][1].replace(decimal, ".")
    return parts


@lru_cache(maxsize=8192)
def _midnight(text: str) -> int | None:
    try:
        return clock.local_seconds(datetime.strptime(text, "%Y%m%d"))
    except ValueError:
        return None


@lru_cache(maxsize=65_536)
def _instant(text: str) -> tuple[int, int]:
    """Seconds since 1970 and the kind of stamp that they are."""
    found = _TIME.fullmatch(text)
    midnight = _midnight(text[:8]) if found else None
    if not found or midnight is None or text[8:10] > "23" or text[10:12] > "59":
        return 0, clock.UNREADABLE
    seconds = midnight + int(text[8:10]) * 3600 + int(text[10:12]) * 60
    if not found[2]:
        return seconds, clock.LOCAL
    offset = int(found[3]) * 3600 + int(found[4] or 0) * 60
    return seconds - offset if found[2] == "+" else seconds + offset, clock.WITH_OFFSET


@dataclass(slots=True)
class _Quantity:
    """A QTY segment whose times may follow, by the qualifier of their DTM."""

    line: int
    quality: int
    value: str
    unit: str
    times: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Columns:
    """Quantities of one channel and version, column by column."""

    line: list[int] = field(default_factory=list)
    home: list[str] = field(default_factory=list)
    time: list[str] = field(default_factory=list)
    minutes: list[int] = field(default_factory=list)
    value: list[str] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)


class _Reader:
    """Takes segments one by one and keeps the quantities that are not yet given out."""

    def __init__(self, hints: Hints, log: IntakeLog) -> None:
        self._hints, self._log = hints, log
        self._line = self._messages = self._segments = 0
        self._ended = self._in_message = False
        self._location = self._code = self._version = ""
        self._first_version = 0
        self._quantity: _Quantity | None = None
        self._left_out: dict[str, int] = {}
        self._known: dict[tuple[str, str, str, bool, bool], Channel] = {}
        self._seen: dict[tuple[str, str], tuple[Channel, bool]] = {}
        self._long = self._good = 0
        self._kept: dict[tuple[Channel, int], _Columns] = {}
        self._totals: dict[tuple[Channel, int], _Columns] = {}
        self.rows = 0

    def take(self, line: int, text: str, split: Callable[[str], Elements]) -> None:
        """Take one segment."""
        self._line = line
        self._segments += 1
        elements = split(text)
        tag = elements[0][0]
        if tag != "DTM":
            self._close()
        if tag == "UNH":
            self._in_message, self._segments, self._messages = True, 1, self._messages + 1
            self._location = self._code = self._version = ""
            if _at(elements, 2, 0) != "MSCONS":
                self._error("wrong_header", f"a message {_at(elements, 2, 0)!r}; give a file of MSCONS alone")
        elif tag == "BGM" and _at(elements, 3, 0) == "1":
            told = "the message cancels an earlier one, which may be in this file"
            self._error("cancelled", f"{told}; ask for the readings without the cancelled ones")
        elif tag == "DTM":
            self._take_time(_at(elements, 1, 0), _at(elements, 1, 1))
        elif tag == "LOC" and _at(elements, 1, 0) == "172":
            self._location, self._code = _at(elements, 2, 0), ""
        elif tag == "LIN":
            self._code = ""
        elif tag == "PIA" and _at(elements, 1, 0) == "5":
            self._code = _at(elements, 2, 0)
        elif tag == "QTY":
            self._take_quantity(elements)
        elif tag in ("UNT", "UNZ"):
            self._take_end(tag, _at(elements, 1, 0))

    def _error(self, code: str, message: str) -> None:
        self._log.add("error", code, message, line=self._line)

    def _take_end(self, tag: str, stated: str) -> None:
        what, count = ("segments", self._segments) if tag == "UNT" else ("messages", self._messages)
        if stated.lstrip("0") != str(count):
            told = f"{tag} says {stated[:12]!r} {what}, but there are {count}"
            self._error("wrong_count", f"{told}: parts are missing or doubled; export the file again")
        self._in_message = False
        self._ended = self._ended or tag == "UNZ"

    def _take_time(self, qualifier: str, text: str) -> None:
        if self._quantity is not None:
            self._quantity.times[qualifier] = text
        elif qualifier == "293" or (qualifier == "137" and not self._version):
            self._version = text

    def _take_quantity(self, elements: Elements) -> None:
        kind, value, unit = (_at(elements, 1, i) for i in range(3))
        if kind in NO_READING:
            self._leave_out(NO_READING[kind])
        elif kind not in QUALITY:
            self._error(
                "unknown_quality", f"a quantity of kind {kind[:8]!r} is not known; known are {[*QUALITY]}"
            )
        else:
            self._quantity = _Quantity(self._line, QUALITY[kind], value, unit)

    def _leave_out(self, what: str) -> None:
        self._left_out[what] = self._left_out.get(what, 0) + 1

    def _close(self) -> None:
        quantity, self._quantity = self._quantity, None
        if quantity is None:
            return
        line, self._line = self._line, quantity.line
        if not self._location or not self._code:
            self._error(
                "no_household", "a quantity without a location (LOC+172) and an OBIS code (PIA+5) before it"
            )
        else:
            times = quantity.times
            key = (self._location, self._code, quantity.unit, "163" in times, "164" in times)
            channel = self._known.get(key) or self._channel(quantity)
            if channel is not None:
                self._known[key] = channel
                self._keep(channel, quantity)
        self._line = line

    def _channel(self, quantity: _Quantity) -> Channel | None:
        """What the OBIS code and the unit say; None where it is left out or refused."""
        said = self._hints.channels.get(self._code)
        if said == "ignore":
            self._leave_out(f"{self._code} (said so)")
            return None
        found = _OBIS.fullmatch(self._code)
        if found and found["medium"] != "1":
            self._error("gas", f"{self._code} is not electricity; give the file of electricity")
            return None
        what, kind, tariff = (int(found[k]) for k in ("what", "kind", "tariff")) if found else (0, 0, 0)
        if said is None and 3 <= what <= 20:
            self._leave_out(f"{self._code} (reactive or apparent energy, power factor)")
            return None
        if said is None and kind in (2, 6):
            self._leave_out(f"{self._code} (peaks of power)")
            return None
        if said is None and (what not in (1, 2) or kind not in (5, 8, 9, 25, 27, 29)):
            asks = f"what the code {self._code} holds is not known, and whether it is part of another"
            self._log.ask(
                Question(f"--channel {self._code}", asks, ("import", "export", "pv", "ignore")),
                line=self._line,
            )
            return None
        unit = UNITS.get(quantity.unit or ("KWT" if kind in (5, 25, 27) else "KWH"))
        if unit is None:
            self._error("wrong_unit", f"{self._code} in the unit {quantity.unit[:8]!r}; known are {[*UNITS]}")
            return None
        held = held_as_it_is(said or ("import" if what == 1 else "export"), self._code, self._log, self._line)
        if held is None:
            return None
        counter = "163" not in quantity.times and ("9" in quantity.times or "7" in quantity.times)
        if kind == 8 and not counter and "164" not in quantity.times:
            self._error(
                "bad_timestamp", f"{self._code} has a start without an end: a counter or an interval?"
            )
            return None
        # Locations that use other codes or units for the same have parts of their own.
        own = " ".join(
            filter(None, (held.part, self._code, "counter" if counter else "", unit if unit != "kWh" else ""))
        )
        channel = Channel(held.name, unit, "counter" if counter else "interval", self._code, own)
        return channel if self._is_no_double(channel, bool(tariff or held.part)) else None

    def _is_no_double(self, channel: Channel, is_part: bool) -> bool:
        """Whether a location has this energy only once: its total or its tariffs, its intervals or its counters."""
        before, was_part = self._seen.setdefault((self._location, channel.name), (channel, is_part))
        if before.kind != channel.kind:
            counter = before if before.kind == "counter" else channel
            asks = f"a location has {before} and {channel}, a counter and intervals of the same energy; leave out one"
            self._log.ask(Question(f"--channel {counter}", asks, ("ignore",)), line=self._line)
            return False
        if channel != before and not (is_part and was_part):
            self._leave_out(f"{channel} (the same energy as {before}, as a total or by tariff)")
            return False
        return True

    def _keep(self, channel: Channel, quantity: _Quantity) -> None:
        times = quantity.times
        start = times.get("163") or (times.get("9") or times.get("7") if channel.kind == "counter" else None)
        if start is None:
            self._error(
                "bad_timestamp", "a quantity without the start of its interval (DTM+163); export it again"
            )
            return
        minutes = 0
        if "164" in times and channel.kind == "interval":
            (begin_s, kind), (end_s, end_kind) = _instant(start), _instant(times["164"])
            minutes = (end_s - begin_s) // 60
            if clock.UNREADABLE in (kind, end_kind) or kind != end_kind:
                self._error(
                    "bad_timestamp", f"from {start!r} to {times['164']!r} is no time like 202401312315?+00"
                )
                return
            if minutes > max(ALLOWED_MINUTES):
                self._long += 1
                if self._hints.profile is not None:
                    self._put(self._totals, channel, quantity, start, minutes)
                return
            if minutes not in ALLOWED_MINUTES:
                self._error(
                    "interval_length",
                    f"from {start} to {times['164']} are {minutes} minutes; correct the times",
                )
                return
        self._put(self._kept, channel, quantity, start, minutes)
        self.rows += 1
        self._good += 1

    def _put(
        self,
        where: dict[tuple[Channel, int], _Columns],
        channel: Channel,
        quantity: _Quantity,
        start: str,
        minutes: int,
    ) -> None:
        columns = where.setdefault((channel, self._revision()), _Columns())
        columns.line.append(quantity.line)
        columns.home.append(self._location)
        columns.time.append(start)
        columns.minutes.append(minutes)
        columns.value.append(quantity.value if quantity.quality != MISSING else "0")
        columns.quality.append(quantity.quality)

    def _revision(self) -> int:
        found = _VERSION.fullmatch(self._version)
        version = _instant(found[1])[0] if found else 0
        self._first_version = self._first_version or version
        return version - self._first_version if version else 0

    def finish(self, last_line: int) -> None:
        """Close the last quantity; say what is missing and what was left out."""
        if self._ended:
            self._close()
        self._line = last_line
        if self._in_message or not self._ended:
            self._error("cut_off", "the file ends without UNT or UNZ; it is cut off: export it again")
        if self._long:
            told = f"{self._long} quantities are energy of days or months, which do not say when it flowed"
            if self._good:
                self._log.notes.append(f"{told}; they are left out")
            elif self._totals:
                self._kept, self._good = self._totals, self._long
            else:
                self._error("too_coarse", f"{told}; ask for the load profile (Lastgang), or {SPREAD}")
        if not self._good and not self._log.has_errors:
            left = f", only {', '.join(sorted(self._left_out))}" if self._left_out else ""
            self._error("no_register", f"the file holds no energy of intervals and no counter{left}")
        for what, count in sorted(self._left_out.items()):
            self._log.notes.append(f"{what}: {count} quantities are left out")

    def chunks(self) -> Iterator[RawReadings]:
        """Give out the quantities so far."""
        for (channel, revision), columns in self._kept.items():
            yield _chunk(channel, revision, columns)
        self._kept, self.rows = {}, 0


def _at(elements: Elements, element: int, component: int) -> str:
    """A component of a segment; empty where it is left out."""
    return (
        elements[element][component] if len(elements) > element and len(elements[element]) > component else ""
    )


def _chunk(channel: Channel, revision: int, columns: _Columns) -> RawReadings:
    place: dict[str, int] = {}
    code = np.array([place.setdefault(home, len(place)) for home in columns.home], dtype=np.int64)
    seconds, kind = zip(*map(_instant, columns.time), strict=True)
    minutes = np.array(columns.minutes, dtype=np.int64)
    return RawReadings(
        line=np.array(columns.line, dtype=np.int64),
        meter=Labels(code, list(place)),
        stamp=Stamps(
            np.array(seconds, dtype=np.int64), np.array(kind, dtype=np.int8), lambda row: columns.time[row]
        ),
        values={channel: numbers(columns.value)},
        quality=np.array(columns.quality, dtype=np.uint8),
        revision=revision,
        minutes=minutes if minutes.all() else None,
    )


FORMATS.register(
    Format(
        name="mscons",
        summary="EDIFACT MSCONS of Germany, Austria and Switzerland; times with their offset to UTC",
        unit="kWh per interval, kW mean power, or a counter in kWh, as the OBIS code says",
        sniff=sniff,
        parse=parse,
        asks=asks,
        meters="id",
        sample="UNA:+.? '\n"
        "UNB+UNOC:3+9900000000001:500+9900000000002:500+240201:0605+REF1++TL'\n"
        "UNH+1+MSCONS:D:04B:UN:2.4c'\nBGM+7+DOC1+9'\nDTM+137:202402010605?+00:303'\nUNS+D'\nNAD+DP'\n"
        "LOC+172+DE0000000000000000000000000000001'\nLIN+1'\nPIA+5+1-1?:1.29.0:SRW'\n"
        "QTY+220:0.250'\nDTM+163:202401312300?+00:303'\nDTM+164:202401312315?+00:303'\n"
        "UNT+12+1'\nUNZ+1+REF1'\n",
        source="EDI@Energy, MSCONS Nachrichtenbeschreibung 2.4c; github.com/vdmitriyev/msconsconverter:"
        " data/MSCONS_TL_SAMPLE01.txt @ 4911b6df76001714497b29024ea8c91c74e1a57c",
    ),
    contract=3,
)
