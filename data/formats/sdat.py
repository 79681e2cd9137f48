"""SDAT-CH: the load curves that Swiss grid operators send, message E66 (ValidatedMeteredData), ebIX XML.

```
<rsm:MeteringData>
  <rsm:Interval><rsm:StartDateTime>2026-05-21T22:00:00Z</rsm:StartDateTime>...</rsm:Interval>
  <rsm:Resolution><rsm:Resolution>15</rsm:Resolution><rsm:Unit>MIN</rsm:Unit></rsm:Resolution>
  <rsm:Observation><rsm:Position><rsm:Sequence>1</rsm:Sequence></rsm:Position>
    <rsm:Volume>0.25</rsm:Volume><rsm:Condition>21</rsm:Condition></rsm:Observation> ...
```

- Observations have a number, from 1, and no time: the first begins at the START of the interval, in UTC.
- A number that is not there is MISSING, also at the end. Condition 46 is missing too; 21 (provisional), 56 (estimated)
  and others that we do not know are estimated.
- A consumption metering point is import, a production metering point export. Each point has an id of its own, so
  both of one house are two homes until they are put together.
- Active energy (product 8716867000030) is read. The shares of a local community (2404050010123 and ..124) are parts
  of it, and are left out like reactive energy; sums over a community (message E31) are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from data import clock
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import Channel, Hints, IntakeLog, Labels, RawReadings, exact_stamps, numbers
from data.intake.xml import Seen, read_xml, root_of
from data.readings import ESTIMATED, MEASURED, MISSING

LEAVES = frozenset(
    "StartDateTime EndDateTime Resolution Unit VSENationalID ebIXCode VSENationalCode MeasureUnit"
    " Sequence Volume Condition".split()
)
ACTIVE_ENERGY, SHARES = ("8716867000030", ""), ("2404050010123", "2404050010124")
UNITS = {"WH": "Wh", "KWH": "kWh", "MWH": "MWh"}
MINUTES = {"MIN": 1, "HOUR": 60, "H": 60}
CONDITIONS, ESTIMATES = {"": MEASURED, "46": MISSING}, ("21", "56")
"""Conditions; all others are estimates."""
LONGEST_S = 4 * 366 * 86_400
"""No message covers more; a wrong year would fill the memory. [s]"""


@dataclass(slots=True, eq=False)
class _Curve:
    """One MeteringData as it is read.

    Args:
        point: Id of the metering point, which identifies people.
        channel: Import or export; "" for a point that is neither.
        minutes: Length of an interval; 0 where it is not one of minutes or hours. [min]
        rows: Line, number, volume and condition of the observations.
    """

    point: str = ""
    channel: str = ""
    start: str = ""
    end: str = ""
    minutes: int = 0
    unit: str = ""
    product: str = ""
    line: int = 0
    rows: list[tuple[int, str, str, str]] = field(default_factory=list)


def sniff(file: MeterFile) -> Claim:
    """Whether its root is an E66 message, or the E31 that looks like one."""
    root = root_of(file.head)
    for name in ("ValidatedMeteredData", "AggregatedMeteredData"):
        if root.startswith(name) and b"strom.ch" in file.head.replace(b"\0", b""):
            assumed = {"channel": "production points are export", "stamp": "start"}
            return Claim(1.0, (f"XML <{root}> in the namespace http://www.strom.ch",), assumed)
    return NO_CLAIM


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read a message; see the module's docstring."""
    if root_of(file.head).startswith("Aggregated"):
        says = "this is an E31 message, the sum of several metering points; ask for their E66 messages"
        log.add("error", "no_energy", says, line=1)
        return
    message = _Message()
    with file.path.open("rb") as source:
        if not message.read(source, log):
            return
    if not message.curves:
        log.add("error", "empty_file", "the message has no MeteringData; export it again")
    reasons = [(curve, _no_energy(curve)) for curve in message.curves]
    kept = [curve for curve, reason in reasons if not reason]
    for curve, reason in reasons:
        note = f"a metering point is left out: {reason}"
        if reason and not kept:
            log.add("error", "no_energy", f"the message cannot be read: {reason}", line=curve.line)
        elif reason and note not in log.notes:
            log.notes.append(note)
    chunks = [chunk for curve in kept if (chunk := _chunk(curve, log)) is not None]
    if not log.has_errors:
        yield from chunks


class _Message:
    """Collects the load curves of a message while it is read."""

    def __init__(self) -> None:
        self.curves: list[_Curve] = []

    def read(self, source: BinaryIO, log: IntakeLog) -> bool:
        """Read a document; False after an error that ends it."""
        opened = {
            "MeteringData": self._begin,
            "Unit": self._length,
            "Product": self._forget_codes,
            "ConsumptionMeteringPoint": lambda _attributes, _seen: self._point("import"),
            "ProductionMeteringPoint": lambda _attributes, _seen: self._point("export"),
        }
        closed = {
            "Interval": self._interval,
            "Product": self._product,
            "Observation": self._observation,
            "MeteringData": self._end,
        }
        return read_xml(source, LEAVES, opened, closed, log)

    @property
    def _curve(self) -> _Curve:
        return self.curves[-1] if self.curves else _Curve()

    def _begin(self, _attributes: Mapping[str, str], seen: Seen) -> None:
        seen.clear()
        self.curves.append(_Curve())

    def _length(self, _attributes: Mapping[str, str], seen: Seen) -> None:
        """Take the number before its unit: the element around both is called Resolution too."""
        self._curve.minutes = _whole(seen.get("Resolution", ""))

    def _forget_codes(self, _attributes: Mapping[str, str], seen: Seen) -> None:
        seen.pop("ebIXCode", None)
        seen.pop("VSENationalCode", None)

    def _point(self, channel: str) -> None:
        self._curve.channel = channel

    def _interval(self, seen: Seen, _line: int) -> None:
        self._curve.start, self._curve.end = seen.get("StartDateTime", ""), seen.get("EndDateTime", "")

    def _product(self, seen: Seen, _line: int) -> None:
        self._curve.product = (seen.get("ebIXCode") or seen.get("VSENationalCode") or "").strip()
        self._curve.unit = seen.get("MeasureUnit", "").strip().upper()

    def _observation(self, seen: Seen, line: int) -> None:
        number, volume, condition = (seen.pop(n, "").strip() for n in ("Sequence", "Volume", "Condition"))
        self._curve.rows.append((line, number, volume, condition))

    def _end(self, seen: Seen, line: int) -> None:
        curve = self._curve
        curve.point, curve.line = seen.get("VSENationalID", "").strip() or "metering point", line
        curve.minutes *= MINUTES.get(seen.get("Unit", "").strip().upper(), 0)


def _no_energy(curve: _Curve) -> str:
    """Why a curve holds no energy of a home, in words; "" where it does."""
    if not curve.channel:
        return "it is neither a consumption nor a production metering point"
    if curve.product in SHARES:
        return "it is the share of a local community, a part of the energy that another message holds whole"
    if curve.product not in ACTIVE_ENERGY or curve.unit not in UNITS:
        return f"product {curve.product} in {curve.unit or 'no unit'} is not active energy"
    if not curve.minutes:
        return "its values are no readings of minutes or hours"
    return ""


def _chunk(curve: _Curve, log: IntakeLog) -> RawReadings | None:
    """The rows of a curve, with one for each number that lacks: it was not read."""
    (start, end), kind = clock.parse_stamps([curve.start.strip(), curve.end.strip()])
    step_s = curve.minutes * 60
    if (kind != clock.WITH_OFFSET).any() or not start < end <= start + LONGEST_S or (end - start) % step_s:
        times = f"{curve.start[:40]!r} to {curve.end[:40]!r}"
        says = f"the interval from {times} is not whole intervals of up to four years, with UTC offsets"
        log.add("error", "wrong_position", f"{says}; export the message again", line=curve.line)
        return None
    count = int(end - start) // step_s
    sequence = np.array([_whole(number) for _, number, _, _ in curve.rows], dtype=np.int64)
    line = np.array([line for line, *_ in curve.rows], dtype=np.int64)

    def describe(row: int) -> tuple[int, None, str]:
        number = curve.rows[row][1][:20]
        return (
            int(line[row]),
            None,
            f"the number {number!r} is not one of 1 to {count}, as the interval has them",
        )

    wrong = (sequence < 1) | (sequence > count)
    log.add_rows("error", "wrong_position", np.flatnonzero(wrong), describe)
    if wrong.any():
        return None
    lacking = np.setdiff1d(np.arange(1, count + 1), sequence)
    conditions = [condition for *_, condition in curve.rows]
    unknown = sorted(set(conditions) - {*CONDITIONS, *ESTIMATES})
    if unknown:
        log.notes.append(
            f"conditions that are not known count as estimated: {', '.join(c[:10] for c in unknown)}"
        )
    quality = [CONDITIONS.get(condition, ESTIMATED) for condition in conditions] + [MISSING] * len(lacking)
    sequence = np.concatenate([sequence, lacking])
    volume = ["" if CONDITIONS.get(condition) == MISSING else volume for *_, volume, condition in curve.rows]
    volume += [""] * len(lacking)
    order = np.argsort(sequence, kind="stable")
    return RawReadings(
        line=np.concatenate([line, np.full(len(lacking), curve.line)])[order],
        meter=Labels(np.zeros(len(order), dtype=np.int64), [curve.point]),
        stamp=exact_stamps(start + (sequence[order] - 1) * step_s),
        values={Channel(curve.channel, UNITS[curve.unit]): numbers([volume[row] for row in order.tolist()])},
        quality=np.array(quality, dtype=np.uint8)[order],
        minutes=np.full(len(order), curve.minutes),
    )


def _whole(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


FORMATS.register(
    Format(
        name="sdat",
        summary="SDAT-CH E66 (ValidatedMeteredData): kWh by numbered interval of a Swiss metering point, UTC",
        unit="Wh, kWh or MWh of each interval, as MeasureUnit says",
        sniff=sniff,
        parse=parse,
        zone="UTC",
        meters="id",
        sample="""<rsm:ValidatedMeteredData_16 xmlns:rsm="http://www.strom.ch">
  <rsm:MeteringData>
    <rsm:Interval>
      <rsm:StartDateTime>2026-05-21T22:00:00Z</rsm:StartDateTime>
      <rsm:EndDateTime>2026-05-22T22:00:00Z</rsm:EndDateTime>
    </rsm:Interval>
    <rsm:Resolution><rsm:Resolution>15</rsm:Resolution><rsm:Unit>MIN</rsm:Unit></rsm:Resolution>
""",
        source="VSE SDAT-CH, E66; github.com/gpitteloud/cel-enessert: scripts/sdat_xml.py @ dab88ad02076",
    )
)
