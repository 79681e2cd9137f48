"""NEM12, interval readings of Australian meters: AEMO's Meter Data File Format, and as portals write it.

- 100 header, 200 one channel of a meter (its NMI, suffix, unit, interval length), 300 a day of its intervals, 400 the
  quality of a range of them, 500 field work, 900 end. Interval n of a day ends n lengths after midnight; here it is
  placed by its start.
- The clock is Australian Eastern Standard Time, UTC+10 all year. Western Australia and the Northern Territory have
  clocks of their own and their files do not say which they use: the zone is asked for.
- E is energy to the customer (import), B from the customer (export); each register, E2 of a controlled load too, is a
  part of its channel. Reactive energy, power factor, volts, check meters, averages and nets are left out with a note.
- Quality A is measured; S, F and E are estimated; N is no reading; V varies by the 400 records that follow.
- A day that is given again counts by its update time, the later one; with the same time it has to be the same.
- Portals leave out the header, the end, the unit or the last columns, pad rows with commas, quote fields and write
  units in any case: all of that is read. A file that contradicts itself is refused by line.
"""

from __future__ import annotations

from collections.abc import Iterator

from data.formats import FORMATS, Format
from data.formats.nem12.reader import Reader
from data.formats.nem12.records import LENGTHS, day_of, open_questions, records_of
from data.intake.claims import NO_CLAIM, Claim, Question
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog, RawReadings

CHUNK_ROWS = 300_000
LONGEST_LINE = 1 << 20


def sniff(file: MeterFile) -> Claim:
    """Whether the first record is a NEM12 header, or a channel followed by a day where the header is left out."""
    found = [cells for _, cells in records_of(file.head.splitlines()[:8])]
    if found and found[0][0] == "100" and found[0][1:2] and found[0][1].upper() == "NEM12":
        return Claim(1.0, ("the header names NEM12",), {"zone": "UTC+10", "stamp": "end"})
    if len(found) > 1 and [cells[0] for cells in found[:2]] == ["200", "300"]:
        length = found[0][8] if len(found[0]) > 8 else ""
        if length in map(str, LENGTHS) and len(found[1]) > 1 and day_of(found[1][1]) is not None:
            why = ("no header, but a 200 record of a channel and a 300 record of a day",)
            return Claim(0.95, why, {"zone": "UTC+10", "stamp": "end"})
    return NO_CLAIM


def asks(file: MeterFile, hints: Hints) -> tuple[Question, ...]:
    """Ask for the unit of energy that names none, and for the zone outside the eastern market."""
    found: dict[str, Question] = {}
    sender = ""
    for _, cells in records_of(file.head.splitlines()[:-1] or file.head.splitlines()):
        if cells[0] == "100":
            sender = cells[3] if len(cells) > 3 else ""
        elif cells[0] == "200" and len(cells) > 8:
            for question in open_questions(cells, sender, hints):
                found.setdefault(question.option, question)
    return tuple(found.values())


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Yield the days of every channel, as chunks of one channel and one issue each."""
    log.zone = "UTC+10, Australian Eastern Standard Time all year"
    reader = Reader(hints, log)
    with file.open(file.name) as source:
        for line, cells in records_of(iter(lambda: source.readline(LONGEST_LINE), b"")):
            reader.take(line, cells)
            if reader.rows >= CHUNK_ROWS:
                yield from reader.chunks()
    reader.finish()
    yield from reader.chunks()


FORMATS.register(
    Format(
        name="nem12",
        summary="Australian NEM12 (AEMO MDFF), a row for each channel and day; UTC+10 all year",
        unit="kWh, Wh or MWh per interval, as each channel says",
        sniff=sniff,
        parse=parse,
        asks=asks,
        meters="id",
        sample="100,NEM12,200401011030,MDP1,RETAIL1\n"
        "200,NMI1234567,E1B1,1,E1,N1,METER1,kWh,30,\n"
        "300,20040101,0.263,0.188,...,A,,,20040102030405,\n"
        "900\n",
        source="AEMO, Meter Data File Format Specification NEM12 & NEM13, version 1.06;"
        " github.com/aguinane/nem-reader: examples @ fa33c2acf4b56cc85fff1198c701d6d4bd3eb2ce",
    ),
    contract=3,
)
