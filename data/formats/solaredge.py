"""SolarEdge: JSON of the monitoring service, `energy`, `energyDetails`, `power` and `powerDetails`.

```
{"energy": {"timeUnit": "HOUR", "unit": "Wh", "values": [
  {"date": "2024-10-01 08:00:00 CEST+0200", "value": 99.0}, {"date": "2024-10-01 09:00:00 CEST+0200", "value": null}]}}
```

- `date` is the START of the interval, with the offset of the clock in it, or local without one: then the zone is asked.
- `energy` and `power` are the production. Of the meters of the details, Production is pv, Consumption the load,
  Purchased import and FeedIn export; SelfConsumption is a part of these and left out.
- `power` is the mean of the interval, in W.
- null, or no value, is MISSING: the inverter did not report, by night as well as after a fault.
- The service writes one 02:00 on the day of 25 hours; the hour that lacks is missing. On the day of 23 hours it may
  write an hour that does not exist, without values: it is left out.
- Totals of a day or more are refused, or spread by `--profile` over the days, weeks, months or years that they name;
  the first and the last may be of a part of theirs, which the file does not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from data import clock
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.json_file import load_json, text_of
from data.intake.raw import Channel, Hints, IntakeLog, Labels, RawReadings, Stamps, numbers
from data.intake.steps import SPREAD
from market.units import IntArray

ROOTS = ("energy", "energyDetails", "power", "powerDetails")
MINUTES = {"QUARTER_OF_AN_HOUR": 15, "HOUR": 60}
TOTALS = ("DAY", "WEEK", "MONTH", "YEAR")
DAY_MINUTES = 1440
METERS = {"production": "pv", "consumption": "load", "purchased": "import", "feedin": "export"}
PARTS = ("selfconsumption",)
UNITS = ("Wh", "kWh", "MWh", "W", "kW")

_HEAD = re.compile(rb'^(?:\xef\xbb\xbf)?\s*\{\s*"(energyDetails|powerDetails|energy|power)"\s*:\s*\{')
_DATE = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?)(?: ?[A-Za-z/_]*([+-]\d\d:?\d\d))?")


def sniff(file: MeterFile) -> Claim:
    """Whether its first key is one of the four, with the time unit beside it."""
    root = _HEAD.match(file.head)
    if root is None:
        return NO_CLAIM
    if b'"timeUnit"' not in file.head:
        return Claim(0.5, (f"JSON with {root[1].decode()!r} first, without timeUnit",))
    return Claim(1.0, (f"JSON with {root[1].decode()!r} first, and timeUnit",), {"stamp": "start"})


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read one answer of the service; see the module's docstring."""
    answer = load_json(file, log)
    if answer is None:
        return
    root = next(
        (name for name in ROOTS if isinstance(answer, dict) and isinstance(answer.get(name), dict)), None
    )
    if root is None:
        log.add("error", "unreadable", f"none of {', '.join(ROOTS)} is there; download the file again")
        return
    body = answer[root]
    unit, step = text_of(body.get("unit")), text_of(body.get("timeUnit"))
    if unit not in UNITS:
        log.add("error", "no_energy", f"the unit {unit[:20]!r} is none of {', '.join(UNITS)}")
    if step not in (MINUTES if hints.profile is None else (*MINUTES, *TOTALS)):
        says = f"these are totals (timeUnit {step[:20]!r}), not readings of intervals"
        log.add("error", "too_coarse", f"{says}; ask for QUARTER_OF_AN_HOUR or HOUR, or {SPREAD}")
    if step in ("WEEK", "MONTH", "YEAR"):
        log.notes.append(
            f"the first and the last {step} may be totals of a part of it; spread over all of it"
        )
    meters = body.get("meters", [{"type": "Production", "values": body.get("values")}])
    chunks = (
        [] if log.has_errors else [_rows(*meter, unit, step, hints, log) for meter in _meters(meters, log)]
    )
    if not log.has_errors and not any(len(chunk.line) for chunk in chunks):
        log.add("error", "empty_file", "the file has no values; ask for a time with readings")
    if not log.has_errors:
        yield from chunks


def _meters(meters: Any, log: IntakeLog) -> Iterator[tuple[str, list[Any]]]:
    """Channel and values of each meter that counts."""
    found: set[str] = set()
    for meter in meters if isinstance(meters, list) else []:
        name = text_of(meter.get("type") if isinstance(meter, dict) else None)
        values = meter.get("values") if isinstance(meter, dict) else None
        channel = METERS.get(name.lower())
        if name.lower() in PARTS or channel is None or not isinstance(values, list):
            why = (
                "a part of the other meters" if name.lower() in PARTS else "it is not known, or has no values"
            )
            log.notes.append(f"the meter {name[:30]!r} is left out: {why}")
        elif channel in found:
            log.add("error", "conflict", f"the meter {name} is there twice; ask for the sum of the site")
        else:
            found.add(channel)
            yield channel, values


def _rows(name: str, values: list[Any], unit: str, step: str, hints: Hints, log: IntakeLog) -> RawReadings:
    pairs = [value if isinstance(value, Mapping) else {} for value in values]
    texts = [text_of(pair.get("date")) for pair in pairs]
    cells = [text_of(pair.get("value")) for pair in pairs]
    parts = [_DATE.fullmatch(text.strip()) for text in texts]
    seconds, kind = clock.parse_stamps([f"{part[1]}{part[2] or ''}" if part else "" for part in parts])
    kept = np.arange(len(texts))
    if hints.zone is not None and (kind == clock.LOCAL).any():
        exists = clock.local_clock(seconds, clock.zone_named(hints.zone)).exists | (kind != clock.LOCAL)
        kept = np.flatnonzero(exists | np.array([cell != "" for cell in cells]))
        if len(kept) < len(texts):
            log.notes.append("times that the clock jumps over in spring have no values, and are left out")
    return RawReadings(
        line=kept + 1,
        meter=Labels(np.zeros(len(kept), dtype=np.int64), [""]),
        stamp=Stamps(seconds[kept], kind[kept], lambda row: texts[kept[row]]),
        values={Channel(name, unit): numbers([cells[row] for row in kept.tolist()])},
        minutes=_minutes([text[:10] for text in texts], step)[kept],
    )


def _minutes(dates: list[str], step: str) -> IntArray:
    """Lengths of intervals, or of totals in days of 24 hours, that begin on dates as in 2024-10-01. [min]"""
    if step in MINUTES:
        return np.full(len(dates), MINUTES[step], dtype=np.int64)
    if step in ("DAY", "WEEK"):
        return np.full(len(dates), DAY_MINUTES * (7 if step == "WEEK" else 1), dtype=np.int64)
    known = [text if _DATE.match(f"{text} 00:00") else "1970-01-01" for text in dates]
    begin = np.array(known, dtype="datetime64[M]")
    end = begin + (12 if step == "YEAR" else 1)
    days = end.astype("datetime64[D]") - begin.astype("datetime64[D]")
    return np.asarray(days.astype(np.int64) * DAY_MINUTES, dtype=np.int64)


FORMATS.register(
    Format(
        name="solaredge",
        summary="JSON of SolarEdge monitoring: energy or mean power by meter, local time with its offset, or without",
        unit="Wh of each interval, or mean W, as `unit` says",
        sniff=sniff,
        parse=parse,
        meters="none",
        sample="""{"energy": {"timeUnit": "HOUR", "unit": "Wh", "values": [
  {"date": "2024-10-01 00:00:00 CEST+0200", "value": null},
  {"date": "2024-10-01 08:00:00 CEST+0200", "value": 99.0}]}}
""",
        source="github.com/patrickvorgers/Home-Assistant-Import-Energy-Data: Datasources/SolarEdge @ 3d2ee1837114",
    )
)
