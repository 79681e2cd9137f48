"""A log of P1 telegrams (DSMR 4 and 5, eMUCS of Fluvius, Luxembourg, Sweden), one after another as a meter sends them.

- The registers 1-0:1.8.x are import and 2.8.x export, counters in kWh; tariffs are parts, and the total 1.8.0 is read
  where there are none. Gas, water and power are never read.
- The time 0-0:1.0.0 is YYMMDDhhmmss with S (summer) or W (winter) and so is exact in the hour that comes twice.
  Telegrams of DSMR 2 and 3 have none and are refused.
- Telegrams come every 1 or 10 seconds, intervals begin every 5 minutes or more. The counter at the start of an interval
  is that of the telegram of this very second. Where there is none, it is interpolated between the last telegram before
  and the first one after, at most one and a half steps apart, and counts as estimated.
- Of the telegrams that give these readings, the checksum is compared; one that does not fit, or that is cut off, is
  left out with a warning. A log that is still encrypted, in Luxembourg and Austria, is refused.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from statistics import median_low
from typing import Any

import numpy as np

from data import clock
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import Channel, FloatArray, Hints, IntakeLog, Labels, Numbers, RawReadings, exact_stamps
from data.readings import ESTIMATED, MEASURED
from market.interval import ALLOWED_MINUTES

CHUNK_ROWS = 300_000
LONGEST_LINE, LONGEST_TELEGRAM = 1 << 14, 1000
HISTORY = 8
"""Telegrams that are kept, should the last one before an interval be damaged."""
LONGEST_BRIDGE = 1.5
"""Steps between two telegrams that a counter is interpolated over."""
ZONE = "Europe/Amsterdam"
HOUR_S = 3600

FLOWS = {"1": "import", "2": "export"}
EXTRA = "reading P1 telegrams needs dsmr-parser: pip install 'wattswap[meters]'"

_BEGIN = re.compile(rb"^/[A-Za-z]{3}[0-9A-Za-z].*$", re.MULTILINE)
_REGISTER = re.compile(rb"^\d-\d:[12]\.8\.\d\(", re.MULTILINE)
_TIME = re.compile(r"^0-0:1\.0\.0\((\d{12})([SW])\)", re.MULTILINE)
_METER = re.compile(r"^0-0:96\.1\.(?:1|0)\(([0-9A-Za-z]+)\)|^0-0:42\.0\.0\(([0-9A-Za-z]+)\)", re.MULTILINE)
_SUM = re.compile(r"!([0-9A-Fa-f]{1,4})\s*$")
_HEX = re.compile(rb"\s*(DB|db)([0-9A-Fa-f]{2}){31}")

Parse = Callable[[str, bool], Mapping[str, float] | str]


def sniff(file: MeterFile) -> Claim:
    """Whether a telegram begins with its identification and has registers of energy; or is encrypted."""
    head = file.head.removeprefix(BOM_UTF8)
    if head[:2] in (b"\xdb\x08", b"\xdb\x09") or _HEX.match(head):
        return Claim(0.9, ("an encrypted frame of a P1 port",))
    begin = _BEGIN.search(head)
    if begin and _REGISTER.search(head):
        first = not head[: begin.start()].strip()
        why = "a telegram with its identification and registers of energy"
        return Claim(1.0 if first else 0.9, (why,), {"zone": "S is UTC+2, W is UTC+1"})
    return NO_CLAIM


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Yield the counters at the starts of intervals, one chunk of each register."""
    log.zone = "S (summer) and W (winter) in the telegrams"
    try:
        registers_of = _registers_of()
    except ImportError:
        log.add("error", "missing_package", EXTRA)
        return
    step_s = _step_s(file.head, hints, log)
    if step_s is None:
        return
    reader = _Reader(hints, log, step_s, registers_of)
    with file.open(file.name) as source:
        for telegram in _telegrams(iter(lambda: source.readline(LONGEST_LINE), b""), log):
            reader.take(telegram)
            if reader.rows >= CHUNK_ROWS:
                yield from reader.chunks()
    reader.finish()
    yield from reader.chunks()


@dataclass(frozen=True, slots=True)
class _Telegram:
    """A telegram as it is in the log; `seconds` is UTC, None without a time."""

    line: int
    text: str
    meter: str
    local: str
    summer: bool

    def seconds(self, winter_s: int) -> int | None:
        """Its instant; `winter_s` is how far the standard time is ahead of UTC."""
        try:
            local_s = clock.local_seconds(datetime.strptime(self.local, "%y%m%d%H%M%S"))
        except ValueError:
            return None
        return local_s - winter_s - (HOUR_S if self.summer else 0)


def _telegrams(lines: Iterator[bytes], log: IntakeLog) -> Iterator[_Telegram]:
    """Cut a log into telegrams, from the line with / to the one with !; what is not whole is a warning."""
    kept: list[str] = []
    begun = 0

    def lost(told: str) -> None:
        log.add("warning", "cut_off", f"the telegram {told}; it is left out", line=begun)

    for line, raw in enumerate(lines, start=1):
        if _HEX.match(raw):
            log.add(
                "error", "encrypted", "the frame is encrypted; log the telegrams after decryption", line=line
            )
            return
        text = raw.removeprefix(BOM_UTF8).decode("latin-1").rstrip("\r\n")
        if text.startswith("/"):
            if kept:
                lost("has no end")
            kept, begun = [text], line
        elif kept and text.startswith("!"):
            yield _telegram(begun, "\r\n".join([*kept, text]) + "\r\n")
            kept = []
        elif kept:
            kept.append(text)
            if len(kept) > LONGEST_TELEGRAM:
                lost(f"has no end within {LONGEST_TELEGRAM} lines")
                kept = []
    if kept:
        lost("has no end: the log is cut off")


def _telegram(line: int, text: str) -> _Telegram:
    time, meter = _TIME.search(text.replace("\r", "")), _METER.search(text.replace("\r", ""))
    name = (meter[1] or meter[2]) if meter else text.split("\r\n", 1)[0][1:]
    return _Telegram(line, text, name, time[1] if time else "", bool(time and time[2] == "S"))


def _step_s(head: bytes, hints: Hints, log: IntakeLog) -> int | None:
    """The step of the readings: the shortest allowed one that has a telegram in each. [s]"""
    if hints.minutes in ALLOWED_MINUTES:
        return hints.minutes * 60
    quiet = IntakeLog()
    found = _telegrams(iter(head.splitlines()), quiet)
    seconds = [s for telegram in found if (s := telegram.seconds(0)) is not None]
    apart = [b - a for a, b in pairwise(seconds) if b > a]
    usual = median_low(apart) if apart else 0
    fits = [minutes for minutes in ALLOWED_MINUTES if 60 * minutes >= 0.9 * usual]
    if not fits:
        told = f"the telegrams are {usual / HOUR_S:.1f} hours apart, and do not say when the energy flowed"
        log.add("error", "interval_length", f"{told}; log one every hour or more often")
        return None
    return fits[0] * 60


def _registers_of() -> Parse:
    """Return what reads the registers of a telegram [kWh] by their code, or says why it cannot.

    Raises:
        ImportError: dsmr-parser is not there.
    """
    from dsmr_parser.exceptions import InvalidChecksumError, ParseError
    from dsmr_parser.objects import CosemObject
    from dsmr_parser.parsers import CosemParser, TelegramParser, ValueParser

    codes = [f"{flow}.8.{tariff}" for flow in FLOWS for tariff in range(5)]
    wanted: list[dict[str, Any]] = [
        {
            "obis_reference": rf"^\d-\d:{re.escape(code)}\(.+?\r\n",
            "value_parser": CosemParser(ValueParser(float)),
            "value_name": code,
        }
        for code in codes
    ]
    parser = TelegramParser({"checksum_support": False, "objects": wanted})

    def registers_of(text: str, check_sum: bool) -> Mapping[str, float] | str:
        try:
            if check_sum:
                head, _, check = text.rpartition("!")
                parser.validate_checksum(f"{head}!{check.upper()}")
            found = {}
            for item, (reference, regex) in zip(
                wanted, parser.telegram_specification_regexes.items(), strict=True
            ):
                for match in regex.findall(text):
                    value = item["value_parser"].parse(match)
                    assert isinstance(value, CosemObject), reference
                    if value.unit != "kWh":
                        return f"has {item['value_name']} in {value.unit}, not in kWh"
                    found[item["value_name"]] = float(value.value)
        except InvalidChecksumError:
            return "has a checksum that does not fit its text"
        except (ParseError, ValueError, TypeError, IndexError) as problem:
            return f"cannot be read ({type(problem).__name__})"
        return found or "has no register of energy"

    return registers_of


@dataclass(slots=True)
class _Meter:
    """What is known of a meter while its telegrams pass."""

    past: deque[tuple[int, _Telegram]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    done_s: int = -1


@dataclass(slots=True)
class _Columns:
    """Readings of one register, column by column."""

    line: list[int] = field(default_factory=list)
    meter: list[str] = field(default_factory=list)
    second: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)


class _Reader:
    """Takes telegrams one by one and keeps the readings that are not yet given out."""

    def __init__(self, hints: Hints, log: IntakeLog, step_s: int, registers_of: Parse) -> None:
        self._log, self._step_s, self._registers_of = log, step_s, registers_of
        zone = clock.zone_named(hints.zone or ZONE)
        offset = datetime(2026, 1, 1, tzinfo=zone).utcoffset()
        self._winter_s = int(offset.total_seconds()) if offset is not None else HOUR_S
        self._meters: dict[str, _Meter] = {}
        self._parsed: dict[int, Mapping[str, float] | None] = {}
        self._kept: dict[Channel, _Columns] = {}
        self._telegrams = self._readings = self._between = self._unchecked = 0
        self._timeless = 0
        self._has_sums = False
        self.rows = 0

    def take(self, telegram: _Telegram) -> None:
        """Take one telegram; only those around the start of an interval are read."""
        self._telegrams += 1
        now_s = telegram.seconds(self._winter_s)
        if now_s is None:
            self._timeless = self._timeless or telegram.line
            return
        meter = self._meters.setdefault(telegram.meter, _Meter())
        if meter.past and now_s < meter.past[-1][0]:
            if self._read(telegram) is None:
                return
            meter.past.clear()
            meter.done_s = -1
        start_s = now_s - now_s % self._step_s
        if now_s == meter.done_s:
            self._compare(meter, telegram)
        if start_s != meter.done_s and (now_s == start_s or meter.past):
            registers = self._read(telegram)
            if registers is None:
                return  # the next telegram after the start has to do
            meter.done_s = start_s
            if now_s == start_s:
                self._keep(telegram, start_s, registers, MEASURED)
            else:
                self._bridge(meter, telegram, now_s, start_s, registers)
        meter.past.append((now_s, telegram))

    def _compare(self, meter: _Meter, telegram: _Telegram) -> None:
        """A telegram of a second that gave a reading has to give the same."""
        before, again = self._read(meter.past[-1][1]), self._read(telegram)
        if before is not None and again is not None and before != again:
            told = f"the telegram has other registers than that of the same second in line {meter.past[-1][1].line}"
            self._log.add("error", "conflict", f"{told}; remove the wrong one", line=telegram.line)

    def _bridge(
        self, meter: _Meter, telegram: _Telegram, now_s: int, start_s: int, registers: Mapping[str, float]
    ) -> None:
        """Interpolate between this telegram and the last good one before the start of the interval."""
        for before_s, earlier in reversed(meter.past):
            if now_s - before_s > LONGEST_BRIDGE * self._step_s:
                return
            before = self._read(earlier) if before_s < start_s else None
            if before is None:
                continue
            share = (start_s - before_s) / (now_s - before_s)
            if before.keys() == registers.keys() and all(registers[k] >= before[k] for k in before):
                at = {k: before[k] + (registers[k] - before[k]) * share for k in before}
                self._keep(telegram, start_s, at, ESTIMATED)
                self._between += 1
            return

    def _read(self, telegram: _Telegram) -> Mapping[str, float] | None:
        """The registers of a telegram; None with a warning where it is damaged."""
        if telegram.line not in self._parsed:
            checked = _SUM.search(telegram.text.rstrip()) is not None
            self._has_sums = self._has_sums or checked
            lost = self._has_sums and not checked
            found = "has lost its checksum" if lost else self._registers_of(telegram.text, checked)
            if isinstance(found, str):
                message = f"the telegram {found}; it is left out"
                self._log.add("warning", "damaged", message, line=telegram.line)
            else:
                self._unchecked += not checked
            if len(self._parsed) > 10_000:
                self._parsed.clear()
            self._parsed[telegram.line] = None if isinstance(found, str) else found
        return self._parsed[telegram.line]

    def _keep(self, telegram: _Telegram, second: int, registers: Mapping[str, float], quality: int) -> None:
        self._readings += 1
        for code, value in registers.items():
            flow, tariff = code[0], code[-1]
            if tariff == "0" and any(k[0] == flow and k[-1] != "0" for k in registers):
                continue  # the total of tariffs that are read
            part = f"T{tariff}" if tariff != "0" else ""
            channel = Channel(FLOWS[flow], "kWh", "counter", f"1-0:{code}", part)
            columns = self._kept.setdefault(channel, _Columns())
            columns.line.append(telegram.line)
            columns.meter.append(telegram.meter)
            columns.second.append(second)
            columns.value.append(value)
            columns.quality.append(quality)
            self.rows += 1

    def finish(self) -> None:
        """Say why there are no readings, and how they were taken."""
        self._log.rows = self._telegrams
        if self._timeless:
            told = "the telegram has no time of its own, as before DSMR 4"
            self._log.add(
                "error",
                "no_time",
                f"{told}; log the registers with the time beside them",
                line=self._timeless,
            )
        elif self._telegrams < 2 and not self._log.has_errors:
            self._kept.clear()
            told = "one telegram holds one reading of each register, which gives no interval"
            self._log.add("error", "single_reading", f"{told}; give a log of many telegrams", line=1)
        elif self._readings < 2 and not self._log.has_errors:
            told = f"{self._telegrams} telegrams span no interval of {self._step_s // 60} minutes"
            self._log.add("error", "single_reading", f"{told}; give a longer log")
            self._kept.clear()
        if self._between:
            told = f"{self._between} of {self._readings} readings lie between two telegrams"
            self._log.notes.append(f"{told}: they are interpolated and count as estimated")
        if self._unchecked:
            self._log.notes.append("the telegrams have no checksum; damage in them cannot be seen")

    def chunks(self) -> Iterator[RawReadings]:
        """Give out the readings so far."""
        for channel, columns in self._kept.items():
            yield _chunk(channel, columns)
        self._kept, self.rows = {}, 0


def _chunk(channel: Channel, columns: _Columns) -> RawReadings:
    place: dict[str, int] = {}
    code = np.array([place.setdefault(meter, len(place)) for meter in columns.meter], dtype=np.int64)
    values: FloatArray = np.array(columns.value, dtype=np.float64)
    return RawReadings(
        line=np.array(columns.line, dtype=np.int64),
        meter=Labels(code, list(place)),
        stamp=exact_stamps(np.array(columns.second, dtype=np.int64)),
        values={channel: Numbers(values, np.zeros(len(values), dtype=np.bool_))},
        quality=np.array(columns.quality, dtype=np.uint8),
    )


FORMATS.register(
    Format(
        name="dsmr_p1",
        summary="log of P1 telegrams of Dutch, Belgian, Luxembourg and Swedish meters; S and W make times exact",
        unit="counters in kWh, by tariff",
        sniff=sniff,
        parse=parse,
        zone=ZONE,
        meters="id",
        sample="/ISk5\\2MT382-1000\n\n1-3:0.2.8(50)\n0-0:1.0.0(170102192000W)\n0-0:96.1.1(0000)\n"
        "1-0:1.8.1(000004.426*kWh)\n1-0:1.8.2(000002.399*kWh)\n1-0:2.8.1(000002.444*kWh)\n1-0:2.8.2(000000.000*kWh)\n"
        "!6EEE\n",
        source="Netbeheer Nederland, DSMR 5.0.2 P1 companion standard, clause 6; github.com/ndokter/dsmr_parser:"
        " test/example_telegrams.py @ fa20ee45a3103b8262b153e7b0037047abfaa6c7",
    ),
    contract=3,
)
