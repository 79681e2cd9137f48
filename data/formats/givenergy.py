"""GivEnergy: JSON of the cloud service, the data points of a day and the energy flows.

```
{"data": [{"time": "2026-01-01T00:02:31Z", "total": {"solar": 812.4, "grid": {"import": 1501.2, "export": 377.9},
           "battery": {"charge": 501.1, "discharge": 455.6}, "consumption": 1794.0}}, ...]}
{"data": {"0": {"start_time": "2026-01-01 00:00", "end_time": "2026-01-01 00:30", "data": {"0": 0.1, "3": 0.25}}, ...}}
```

- Data points: `total` are counters in kWh, read at any second about every five minutes, UTC. Of each five minutes the
  reading that is nearest to their boundary counts, 150 s away at most, and as an estimate where it is not on it. Power
  at an instant and counters of the day are not read.
- Energy flows: kWh from START to end, local time, so the zone is asked. 0 is PV to home, 1 PV to battery, 2 PV to grid,
  3 grid to home, 4 grid to battery, 5 battery to home, 6 battery to grid. Import is 3 + 4, export 2 + 6, pv 0 + 1 + 2,
  the load 0 + 3 + 5: each needs all of its flows, else it is left out. Totals of a day or more are refused,
  or spread by `--profile`.
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
from data.intake.raw import (
    Channel,
    Hints,
    IntakeLog,
    Labels,
    Numbers,
    RawReadings,
    Stamps,
    numbers,
)
from data.intake.steps import SPREAD
from data.readings import ESTIMATED, MEASURED

COUNTERS = {
    "import": ("grid", "import"),
    "export": ("grid", "export"),
    "pv": ("solar",),
    "load": ("consumption",),
}
FLOWS = {"import": "34", "export": "26", "pv": "012", "load": "035"}
STEP_S, SHORTEST_DAY_S = 300, 23 * 3600

_HEAD = re.compile(rb'^(?:\xef\xbb\xbf)?\s*\{\s*"data"\s*:\s*[\[{]')


def sniff(file: MeterFile) -> Claim:
    """Whether it is JSON with `data` first, and in it the fields of a data point or of a flow."""
    if not _HEAD.match(file.head):
        return NO_CLAIM
    for what, fields in (
        ("data points", ("time", "total", "grid", "solar")),
        ("energy flows", ("start_time", "end_time")),
    ):
        if all(f'"{field}"'.encode() in file.head for field in fields):
            return Claim(1.0, (f"JSON of {what}: {', '.join(fields)}",), {"unit": "kWh"})
    return NO_CLAIM


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read one answer of the service; see the module's docstring."""
    answer = load_json(file, log)
    if answer is None:
        return
    data = answer.get("data") if isinstance(answer, dict) else None
    rows = list(data.values()) if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        log.add("error", "unreadable", "`data` holds no readings; download the file again")
    elif not rows:
        log.add("error", "empty_file", "`data` is empty; ask for a time with readings")
    else:
        chunk = _flows(rows, hints, log) if "start_time" in rows[0] else _points(rows, log)
        if chunk is not None and not log.has_errors:
            yield chunk


def _points(rows: list[dict[str, Any]], log: IntakeLog) -> RawReadings:
    texts = [re.sub(r"\.\d+", "", text_of(row.get("time"))) for row in rows]
    seconds, kind = clock.parse_stamps(texts)
    near = np.rint(seconds / STEP_S).astype(np.int64) * STEP_S
    away = np.abs(seconds - near)
    order = np.lexsort((away, near))
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = np.diff(near[order]) != 0
    kept = order[(first & (kind[order] == clock.WITH_OFFSET)) | (kind[order] != clock.WITH_OFFSET)]
    log.notes.append(
        "counters read between boundaries of five minutes count at the nearest one, as estimates"
    )
    return RawReadings(
        line=kept + 1,
        meter=Labels(np.zeros(len(kept), dtype=np.int64), [""]),
        stamp=Stamps(near[kept], kind[kept], lambda row: texts[kept[row]]),
        values={
            Channel(name, "kWh", "counter", label=f"total.{'.'.join(path)}"): numbers(
                [text_of(_at(rows[row].get("total"), path)) for row in kept.tolist()]
            )
            for name, path in COUNTERS.items()
        },
        quality=np.where(away[kept] > 0, ESTIMATED, MEASURED).astype(np.uint8),
    )


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _flows(rows: list[dict[str, Any]], hints: Hints, log: IntakeLog) -> RawReadings | None:
    starts = [text_of(row.get("start_time")) for row in rows]
    seconds, kind = clock.parse_stamps(starts)
    ends, _ = clock.parse_stamps([text_of(row.get("end_time")) for row in rows])
    if hints.profile is None and np.median(ends - seconds) >= SHORTEST_DAY_S:
        says = "these are totals of days or more (grouping); ask for half hours, grouping 0"
        log.add("error", "too_coarse", f"{says}, or {SPREAD}")
        return None
    flows = [row["data"] if isinstance(row.get("data"), Mapping) else {} for row in rows]
    there = set().union(*flows)
    values = {}
    for name, needed in FLOWS.items():
        lacking = sorted(set(needed) - there)
        if lacking:
            log.notes.append(f"{name} is left out: it also needs the flows {', '.join(lacking)} (types)")
            continue
        parts = [numbers([text_of(flow.get(number)) for flow in flows]) for number in needed]
        bad = {row: text for part in parts for row, text in part.bad.items()}
        empty = np.logical_or.reduce([part.empty for part in parts])
        values[Channel(name, "kWh")] = Numbers(np.sum([part.values for part in parts], axis=0), empty, bad)
    if not values:
        log.add("error", "no_register", "no register has all of its flows; ask for the types 0 to 6")
    return RawReadings(
        line=np.arange(1, len(rows) + 1),
        meter=Labels(np.zeros(len(rows), dtype=np.int64), [""]),
        stamp=Stamps(seconds, kind, lambda row: starts[row]),
        values=values,
        minutes=((ends - seconds) // 60).astype(np.int64),
    )


FORMATS.register(
    Format(
        name="givenergy",
        summary="JSON of the GivEnergy cloud: counters about every five minutes (UTC), or half-hourly flows (local)",
        unit="kWh: counters, or energy of each interval",
        sniff=sniff,
        parse=parse,
        meters="none",
        sample="""{"data": [{"time": "2026-01-01T00:02:31Z", "total": {"solar": 812.4,
  "grid": {"import": 1501.2, "export": 377.9}, "battery": {"charge": 501.1, "discharge": 455.6}, "consumption": 1794}}]}
""",
        source="github.com/roberttidey/GivEnergyScripts: python/GE-DaysFullDataPoints.py @ 016e05605a04",
    )
)
