"""NEM13, accumulated readings of Australian basic meters: known, and refused in words.

A 250 record holds two readings of a register, mostly three months apart, and the energy between them. Nothing in it
says when in these months the energy flowed, so it gives no interval that could be traded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog, RawReadings

NMI, SUFFIX, PREVIOUS, CURRENT, UNIT = 1, 4, 9, 14, 19
"""Cells of a 250 record that are read."""

_HEADER = re.compile(rb'\s*(\xef\xbb\xbf)?"?100"?,"?NEM13\b', re.IGNORECASE)
_RECORD = re.compile(rb'\s*(\xef\xbb\xbf)?"?250"?,')


def sniff(file: MeterFile) -> Claim:
    """Whether the first record is a NEM13 header, or an accumulated reading where the header is left out."""
    if _HEADER.match(file.head):
        return Claim(1.0, ("the header names NEM13",))
    if _RECORD.match(file.head) and file.head.split(b"\n", 1)[0].count(b",") >= UNIT:
        return Claim(0.95, ("no header, but a 250 record of an accumulated reading",))
    return NO_CLAIM


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Say what the file holds and why it cannot be traded."""
    count, first, days, registers = 0, 0, [], set()
    with file.open(file.name) as source:
        for line, raw in enumerate(iter(lambda: source.readline(1 << 20), b""), start=1):
            cells = [cell.strip(' "') for cell in raw.decode("utf-8", errors="replace").split(",")]
            if cells[0].lstrip('\ufeff"') != "250" or len(cells) <= UNIT:
                continue
            first = first or line
            count += 1
            registers.add((cells[NMI], cells[SUFFIX]))
            days += [cells[i][:8] for i in (PREVIOUS, CURRENT) if cells[i][:8].isdecimal()]
    log.rows = count
    if not count:
        log.add("error", "empty_file", "the file has a NEM13 header but no 250 records; export it again")
        return
    span = f" from {_date(min(days))} to {_date(max(days))}" if days else ""
    log.add(
        "error",
        "too_coarse",
        f"the file holds {count} accumulated readings of {len(registers)} registers{span}, weeks or months apart;"
        " they do not say when the energy flowed: ask for interval data (NEM12), which smart meters have",
        line=first,
    )
    yield from ()


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


FORMATS.register(
    Format(
        name="nem13",
        summary="Australian NEM13 (AEMO MDFF): accumulated readings months apart; refused, they give no intervals",
        unit="kWh between two readings",
        sniff=sniff,
        parse=parse,
        meters="id",
        sample="100,NEM13,200401101030,MDP1,RETAIL1\n"
        "250,NMI1234567,11,1,11,11,METER1,E,000888,20040108103055,A,,,000999,20040408000000,E64,,,111,kWh,20040708,"
        "20040409000000,\n"
        "900\n",
        source="AEMO, Meter Data File Format Specification NEM12 & NEM13, version 1.06, clause 5;"
        " github.com/aguinane/nem-reader: examples @ fa33c2acf4b56cc85fff1198c701d6d4bd3eb2ce",
    ),
    contract=3,
)
