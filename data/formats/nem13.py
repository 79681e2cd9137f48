"""NEM13, accumulated readings of Australian basic meters.

- A 250 record holds two readings of a register, mostly three months apart, and the energy between them. It does not say
  when in these months the energy flowed: the file is refused, or spread by `--profile`, and then the zone is asked for.
- Spread, a record is of the days from that of its first reading to the one before its last; at what hour a meter was
  read makes no difference.
- Direction E is energy from the grid (import), I into the grid (export); each register is a part of its channel.
- The same days that are given again count by the update time, the later one; with the same time they have to be the
  same. Other days from the same first one contradict it, and are refused. A quantity of quality N is no reading.
- A quantity is the difference of its readings, or a whole multiple, the factor of a transformer, which is noted and has
  to be the same for all of a register; any other contradicts the readings, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain

import numpy as np

from data import clock
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim, Question
from data.intake.file import MeterFile
from data.intake.raw import Channel, Hints, IntakeLog, Labels, RawReadings, Stamps, numbers
from data.intake.steps import SPREAD
from data.readings import ESTIMATED, MISSING
from data.recipes.model import held_as_it_is

NMI, REGISTER, SUFFIX, SERIAL, DIRECTION, BEFORE, PREVIOUS, NOW, CURRENT, QUALITY, QUANTITY, UNIT, UPDATED = (
    1, 3, 4, 6, 7, 8, 9, 13, 14, 15, 18, 19, 21,
)  # fmt: skip
"""Cells of a 250 record that are read."""

DIRECTIONS = {"E": "import", "I": "export"}
UNITS = {"KWH": "kWh", "WH": "Wh", "MWH": "MWh"}
DAY_S, DAY_MINUTES = 86_400, 1440
ROUNDED = 1
"""Readings or a quantity may be rounded: they agree within so many units of the register."""

_HEADER = re.compile(rb'\s*(\xef\xbb\xbf)?"?100"?,"?NEM13\b', re.IGNORECASE)
_RECORD = re.compile(rb'\s*(\xef\xbb\xbf)?"?250"?,')


@dataclass(frozen=True, slots=True)
class _Record:
    """A 250 record: its line and its cells."""

    line: int
    cells: Sequence[str]

    def cell(self, place: int) -> str:
        return self.cells[place] if len(self.cells) > place else ""

    def day(self, place: int) -> int | None:
        """Day of a date since 1970; None where it is none."""
        try:
            return clock.local_seconds(datetime.strptime(self.cell(place)[:8], "%Y%m%d")) // DAY_S
        except ValueError:
            return None


def sniff(file: MeterFile) -> Claim:
    """Whether the first record is a NEM13 header, or an accumulated reading where the header is left out."""
    if _HEADER.match(file.head):
        return Claim(1.0, ("the header names NEM13",))
    if _RECORD.match(file.head) and file.head.split(b"\n", 1)[0].count(b",") >= UNIT:
        return Claim(0.95, ("no header, but a 250 record of an accumulated reading",))
    return NO_CLAIM


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Say why the file cannot be traded as it is; give its totals where a profile is to spread them."""
    records = list(_records(file))
    log.rows = len(records)
    if not records:
        log.add("error", "empty_file", "the file has a NEM13 header but no 250 records; export it again")
        return
    if hints.profile is None:
        log.add("error", "too_coarse", _why_not(records), line=records[0].line)
        return
    found: dict[tuple[Channel, int], list[_Record]] = {}
    for record in records:
        channel = _channel(record, hints, log)
        if channel is not None and _is_sound(record, log):
            updated = record.cell(UPDATED)
            revision = int(updated[:14]) if updated[:14].isdecimal() else 0
            found.setdefault((channel, revision), []).append(record)
    if not found and not log.has_errors:
        log.add("error", "no_register", "no record is of energy; ask for the registers of energy")
    for records in _by_register(found.values()).values():
        _report_other_days(records, log)
        _report_factors(records, log)
    if not log.has_errors:
        log.notes.append("readings of a meter count from the day on which it was read, at whatever hour")
        yield from (_chunk(channel, revision, own) for (channel, revision), own in found.items())


def _records(file: MeterFile) -> Iterator[_Record]:
    with file.open(file.name) as source:
        for line, raw in enumerate(iter(lambda: source.readline(1 << 20), b""), start=1):
            cells = [cell.strip(' "\r\n') for cell in raw.decode("utf-8", errors="replace").split(",")]
            if cells[0].lstrip('\ufeff"') == "250" and len(cells) > UNIT:
                yield _Record(line, cells)


def _why_not(records: Sequence[_Record]) -> str:
    registers = {(record.cell(NMI), record.cell(SUFFIX)) for record in records}
    days = [day for record in records for at in (PREVIOUS, CURRENT) if (day := record.day(at)) is not None]
    span = f" from {_date(min(days))} to {_date(max(days))}" if days else ""
    return (
        f"the file holds {len(records)} accumulated readings of {len(registers)} registers{span}, weeks or months"
        " apart; they do not say when the energy flowed: ask for interval data (NEM12), which smart meters have,"
        f" or {SPREAD}"
    )


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


def _channel(record: _Record, hints: Hints, log: IntakeLog) -> Channel | None:
    """What a register holds; None where it is left out, asked about or refused."""
    register, unit = record.cell(SUFFIX), record.cell(UNIT).upper()
    said = hints.channels.get(register) or DIRECTIONS.get(record.cell(DIRECTION).upper())
    if said == "ignore":
        return None
    if unit not in UNITS:
        note = f"records in {record.cell(UNIT)[:8]!r} are left out: no unit of energy"
        log.notes += [note] if note not in log.notes else []
        return None
    if said is None:
        asks = f"records of {register} do not say which way energy flows (direction E or I)"
        log.ask(Question(f"--channel {register}", asks, ("import", "export", "ignore")), line=record.line)
        return None
    held = held_as_it_is(said, register, log, record.line)
    if held is None:
        return None
    part = held.part or f"{register} {record.cell(REGISTER)}"
    return Channel(held.name, UNITS[unit], label=register, part=part)


def _is_sound(record: _Record, log: IntakeLog) -> bool:
    """Whether a record has two days, one after the other."""
    begin, end = record.day(PREVIOUS), record.day(CURRENT)
    if begin is not None and end is not None and begin < end:
        return True
    says = (
        f"from {record.cell(PREVIOUS)[:14]!r} to {record.cell(CURRENT)[:14]!r} are no days; correct the dates"
    )
    log.add("error", "bad_timestamp", says, line=record.line)
    return False


def _by_register(found: Iterable[Sequence[_Record]]) -> dict[tuple[str, ...], list[_Record]]:
    """Records of each register of each meter."""
    registers: dict[tuple[str, ...], list[_Record]] = {}
    for record in sorted(chain.from_iterable(found), key=lambda record: record.line):
        key = tuple(record.cell(at) for at in (NMI, REGISTER, SUFFIX, SERIAL, DIRECTION))
        registers.setdefault(key, []).append(record)
    return registers


def _report_other_days(records: Sequence[_Record], log: IntakeLog) -> None:
    """Report records that begin where another does and end elsewhere: which of both holds, no update time says."""
    first: dict[int | None, _Record] = {}
    for record in records:
        before = first.setdefault(record.day(PREVIOUS), record)
        if before.day(CURRENT) != record.day(CURRENT):
            says = (
                f"the record begins where that of line {before.line} does, and ends on another day; keep one"
            )
            log.add("error", "conflict", says, line=record.line)


def _report_factors(records: Sequence[_Record], log: IntakeLog) -> None:
    """Report quantities that are not the difference of their readings, nor a whole multiple of it."""
    factors: dict[int, _Record] = {}
    for record in records:
        values = [_number(record.cell(at)) for at in (BEFORE, NOW, QUANTITY)]
        before, now, quantity = values
        if before is None or now is None or quantity is None or record.cell(QUALITY)[:1].upper() == "N":
            continue
        rise = now - before
        if rise < 0:  # it rolled over
            rise += 10 ** len(record.cell(BEFORE).partition(".")[0])
        factor = max(int(quantity / rise + Decimal("0.5")), 1) if rise > 0 else 1
        if abs(quantity - factor * rise) > ROUNDED * factor:
            says = f"the readings {before} and {now} differ by {rise}, and the quantity is {quantity}"
            log.add("error", "conflict", f"{says}; correct the record, or leave it out", line=record.line)
        elif rise > ROUNDED:
            factors.setdefault(factor, record)
    if len(factors) > 1:
        line = max(record.line for record in factors.values())
        times = " and ".join(map(str, factors))
        says = f"quantities of one register are {times} times the difference of their readings; correct the records"
        log.add("error", "conflict", says, line=line)
    elif factors and 1 not in factors:
        (factor, record), *_ = factors.items()
        register = record.cell(SUFFIX)
        log.notes.append(
            f"quantities of {register} are {factor} times the difference of their readings, as of a transformer"
        )


def _number(text: str) -> Decimal | None:
    """A number as it is written; None for any other text."""
    return Decimal(text) if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", text) else None


def _chunk(channel: Channel, revision: int, records: Sequence[_Record]) -> RawReadings:
    homes = list(dict.fromkeys(record.cell(NMI) for record in records))
    days = np.array([(record.day(PREVIOUS), record.day(CURRENT)) for record in records], dtype=np.int64)
    missing = [record.cell(QUALITY)[:1].upper() == "N" for record in records]
    return RawReadings(
        line=np.array([record.line for record in records]),
        meter=Labels(np.array([homes.index(record.cell(NMI)) for record in records]), homes),
        stamp=Stamps(
            days[:, 0] * DAY_S,
            np.full(len(records), clock.LOCAL, dtype=np.int8),
            lambda row: _date(int(days[row, 0])),
        ),
        values={channel: numbers([record.cell(QUANTITY) for record in records])},
        quality=np.where(missing, MISSING, ESTIMATED).astype(np.uint8),
        revision=revision,
        minutes=(days[:, 1] - days[:, 0]) * DAY_MINUTES,
    )


FORMATS.register(
    Format(
        name="nem13",
        summary="Australian NEM13 (AEMO MDFF): accumulated readings months apart; refused, or spread by --profile",
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
