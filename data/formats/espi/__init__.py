"""Green Button: ESPI XML as utilities of North America export it.

```
<IntervalBlock xmlns="http://naesb.org/espi">
  <IntervalReading><timePeriod><duration>3600</duration><start>1293868800</start></timePeriod><value>450</value>
  </IntervalReading> ...
```

- `start` is the START of the interval in seconds since 1970, UTC; `tzOffset` is for display only and never used.
- Value x 10^powerOfTenMultiplier in `uom`: 72 is Wh, 38 is W (mean power of the interval). Gas, water, heat, cost,
  apparent and reactive power are left out; a feed that holds nothing else is refused.
- `flowDirection` 1 is import, 19 export, 4 net. A net beside import and export of the same home is left out, because
  it is the same energy once more. Where the direction is not stated, it is asked for.
- Values with `accumulationBehaviour` 1 or 3 are a counter, read at the END of their period.
- Each UsagePoint is a home; entries come in any order and are joined by their links, by their order where these lack.
- Repeated blocks are counted once; of two that differ the one of the later `updated` counts, else it is an error.
- Daily and monthly totals are no readings of an interval: refused, or spread by `--profile`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from data import clock
from data.formats import FORMATS, Format
from data.formats.espi.feed import Feed
from data.formats.espi.join import Series, series_of
from data.formats.espi.meaning import Part, no_energy, part_of, without_doubles
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import FloatArray, Hints, IntakeLog, Labels, Numbers, RawReadings, Stamps
from data.intake.xml import root_of
from data.readings import MISSING
from market.units import IntArray

NAMESPACE = "http://naesb.org/espi"
ROWS_PER_CHUNK = 500_000


def sniff(file: MeterFile) -> Claim:
    """Whether it is XML in the namespace of ESPI, or has its names without one."""
    root = root_of(file.head)
    if not root:
        return NO_CLAIM
    if NAMESPACE.encode() in file.head.replace(b"\0", b""):
        return Claim(1.0, (f"XML <{root}> in the namespace {NAMESPACE}",), {"zone": "UTC", "stamp": "start"})
    if root in ("UsagePoint", "MeterReading", "IntervalBlock"):
        return Claim(0.9, (f"XML <{root}>, a name of ESPI",), {"zone": "UTC", "stamp": "start"})
    return Claim(0.0, (f"XML <{root}> without the namespace {NAMESPACE}",))


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read a feed; see the module's docstring."""
    if file.path.is_dir():
        log.add("error", "unreadable", "this is a folder; name the XML file in it")
        return
    feed = Feed()
    with file.path.open("rb") as source:
        if not feed.read(source, log):
            return
    series = [one for one in series_of(feed, log) if len(one.line)]
    parts = without_doubles([part for one in series if (part := part_of(one, hints, log))], log)
    if not parts:
        _refuse(series, hints, log)
    if log.has_errors:
        return
    log.rows = sum(len(part.wh) for part in parts)
    for part in parts:
        yield from _chunks(part)


def _refuse(series: Sequence[Series], hints: Hints, log: IntakeLog) -> None:
    """Say why nothing could be read, where it has not been said yet."""
    if not series and not log.has_errors:
        log.add(
            "error", "empty_file", "the feed has no readings of intervals; choose an export that holds them"
        )
    for code, words in dict.fromkeys(reason for one in series if (reason := no_energy(one, hints))):
        says = f"the feed cannot be read as energy: {words}"
        if code == "gas":
            log.add("error", "gas", says)
        elif code == "too_coarse":
            log.add("error", "too_coarse", says)
        else:
            log.add("error", "no_energy", says)


def _chunks(part: Part) -> Iterator[RawReadings]:
    """Rows in the order of time, in chunks of one issue each."""
    series = part.series
    lengths_known = not np.isnan(part.duration).any()
    ends = part.channel.kind == "counter"  # a counter is read at the end of its period
    time = series.start + np.where(np.isnan(part.duration), 0, part.duration) if ends else series.start
    order, issue = _sorted(time, series)
    for number in range(int(issue.max(initial=0)) + 1 if issue is not None else 1):
        rows = order if issue is None else order[issue == number]
        for first in range(0, len(rows), ROWS_PER_CHUNK):
            chosen = rows[first : first + ROWS_PER_CHUNK]
            duration = part.duration[chosen]
            yield RawReadings(
                line=series.line[chosen].astype(np.int64),
                meter=Labels(np.zeros(len(chosen), dtype=np.int64), [series.home]),
                stamp=_stamps(time[chosen]),
                values={part.channel: _numbers(part, chosen)},
                quality=series.quality[chosen],
                revision=number,
                minutes=np.rint(duration / 60).astype(np.int64) if lengths_known else None,
            )


def _sorted(time: FloatArray, series: Series) -> tuple[IntArray, IntArray | None]:
    """Rows in the order of time, and which issue of its time each is; None where no time comes twice."""
    if bool(np.all(time[1:] > time[:-1])):
        return np.arange(len(time)), None
    updated = series.updated_s()
    order = np.lexsort((updated, time))
    return order, _issues(time[order], updated[order])


def _issues(time: FloatArray, updated: FloatArray) -> IntArray:
    """Of sorted readings, which issue of its time each is, from 0; those of one `updated` are one issue."""
    again = np.zeros(len(time), dtype=np.int64)
    again[1:] = (np.diff(time) == 0) & (np.diff(updated) != 0)
    same = np.ones(len(time), dtype=np.bool_)
    same[1:] = np.diff(time) != 0
    total = np.cumsum(again)
    return total - np.maximum.accumulate(np.where(same, total, 0))


def _stamps(time: FloatArray) -> Stamps:
    whole = np.isfinite(time) & (time == np.rint(time)) & (np.abs(time) < 1e11)
    seconds = np.where(whole, time, 0).astype(np.int64)
    kind = np.where(whole, clock.WITH_OFFSET, clock.UNREADABLE).astype(np.int8)
    return Stamps(
        seconds, kind, lambda row: clock.iso_utc(int(seconds[row])) if whole[row] else str(time[row])
    )


def _numbers(part: Part, rows: IntArray) -> Numbers:
    values = part.wh[rows]
    values[part.series.quality[rows] == MISSING] = np.nan  # a forecast is no reading
    bad = {}
    if part.series.bad:
        place = {row: i for i, row in enumerate(rows.tolist())}
        bad = {place[row]: text for row, text in part.series.bad.items() if row in place}
    empty = np.isnan(values)
    empty[list(bad)] = False
    return Numbers(values, empty, bad)


FORMATS.register(
    Format(
        name="espi",
        summary="Green Button XML (ESPI): Wh or W by interval, UTC, import, export or net by flowDirection",
        unit="Wh of each interval, or what uom and powerOfTenMultiplier say",
        sniff=sniff,
        parse=parse,
        zone="UTC",
        meters="id",
        sample="""<ReadingType xmlns="http://naesb.org/espi">
  <accumulationBehaviour>4</accumulationBehaviour><commodity>1</commodity><flowDirection>1</flowDirection>
  <intervalLength>3600</intervalLength><powerOfTenMultiplier>0</powerOfTenMultiplier><uom>72</uom>
</ReadingType>
<IntervalBlock xmlns="http://naesb.org/espi">
  <IntervalReading>
    <timePeriod><duration>3600</duration><start>1293868800</start></timePeriod><value>450</value>
  </IntervalReading>
</IntervalBlock>
""",
        source="NAESB REQ.21 (ESPI), espi.xsd; github.com/vladistan/greenbutton_objects: tests/data @ 0724a4731c26",
    )
)
