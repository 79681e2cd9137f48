"""Home Assistant: the CSV that the energy dashboard downloads.

```
entity_id,type,unit,2026-01-05T10:00:00.000Z,2026-01-05T11:00:00.000Z
sensor.grid_import,grid_consumption,kWh,1.5,0.5
sensor.roof,solar_production,kWh,0,2
,calculated_consumed_solar,kWh,0,1.2
```

- Each column after the third is an interval, named by its START in UTC; each row is one statistic, with its energy.
- grid_consumption is import, grid_return export, solar_production pv; several of one type are summed.
- device_consumption is a part of the load, calculated rows are sums of others, battery_in and battery_out are no
  register: all are left out, like gas, water and costs.
- A row that is there twice counts once; one that differs is an error. An empty cell is MISSING.
- The months and years of the dashboard hold totals of days or months: refused, or spread by `--profile`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np

from data import clock
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim, Question, quoted
from data.intake.file import MeterFile
from data.intake.raw import UNITS, Channel, Hints, IntakeLog, Labels, RawReadings, Stamps, numbers
from data.intake.steps import SPREAD
from data.recipes.model import held_as_it_is

HEADER = ("entity_id", "type", "unit")
CHANNELS = {"grid_consumption": "import", "grid_return": "export", "solar_production": "pv"}
LEFT_OUT = {
    "device_consumption": "devices are parts of the load",
    "battery_in": "a battery is no register of the home",
    "battery_out": "a battery is no register of the home",
    "gas_consumption": "gas",
    "water_consumption": "water",
    "device_consumption_water": "water",
}
SHORTEST_DAY_S = 23 * 3600
LARGEST_BYTES = 64 << 20


def sniff(file: MeterFile) -> Claim:
    """Whether the header begins with the three names and goes on with times."""
    start = file.head.decode("utf-8-sig", "replace").partition("\n")[0].strip().split(",")
    if tuple(start[:3]) != HEADER or len(start) < 4:
        return NO_CLAIM
    if clock.parse_stamps(start[3:4])[1][0] != clock.WITH_OFFSET:
        return Claim(0.5, ("the header entity_id,type,unit without times after it",))
    return Claim(1.0, ("the header entity_id,type,unit and times",), {"stamp": "start"})


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read a download; see the module's docstring."""
    table = _table(file, log)
    if not table:
        return
    if tuple(table[0][:3]) != HEADER:
        log.add(
            "error",
            "wrong_header",
            f"the header does not begin with {','.join(HEADER)}; download again",
            line=1,
        )
        return
    times = [text.strip() for text in table[0][3:]]
    seconds, kind = clock.parse_stamps(times)
    if hints.profile is None and len(times) > 1 and np.median(np.diff(seconds)) >= SHORTEST_DAY_S:
        says = "each column is the total of a day or more; before you download, choose a single day"
        log.add("error", "too_coarse", f"{says} or a range of days by the hour, or {SPREAD}", line=1)
    values, read = {}, dict[str, list[str]]()
    for line, row in enumerate(table[1:], start=2):
        if not row:
            continue
        if len(row) != len(table[0]):
            message = f"the row has {len(row)} cells, the header {len(table[0])}; download the file again"
            log.add("error", "wrong_cells", message, line=line)
            continue
        channel = _channel(row, line, hints, log)
        before = read.setdefault(row[0], row) if channel is not None else row
        if before != row:
            message = f"{row[0][:80]} has a row before, with other values; download the file again"
            log.add("error", "conflict", message, line=line)
        elif channel is not None and before is row:
            values[channel] = numbers(row[3:])
    if not values and not log.has_errors:
        log.add("error", "no_register", "no row is grid_consumption, grid_return or solar_production")
    if not log.has_errors:
        yield RawReadings(
            line=np.ones(len(times), dtype=np.int64),
            meter=Labels(np.zeros(len(times), dtype=np.int64), [""]),
            stamp=Stamps(seconds, kind, lambda row: times[row]),
            values=values,
        )


def _table(file: MeterFile, log: IntakeLog) -> list[list[str]]:
    if file.path.is_dir() or file.path.stat().st_size > LARGEST_BYTES:
        log.add(
            "error",
            "unreadable",
            f"this is a folder, or larger than {LARGEST_BYTES >> 20} MB; name the download",
        )
        return []
    try:
        return list(csv.reader(io.StringIO(file.path.read_text(encoding="utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as problem:
        log.add("error", "unreadable", f"the file is no CSV in UTF-8 ({problem}); download it again")
        return []


def _channel(row: list[str], line: int, hints: Hints, log: IntakeLog) -> Channel | None:
    """Where the energy of a row goes; None where it is left out, or where that has to be asked."""
    name, type_, unit = (cell.strip() for cell in row[:3])
    said = hints.channels.get(name) if name else None
    channel = said or CHANNELS.get(type_)
    if channel is None:
        why = "sums of other rows" if type_.startswith("calculated_") else LEFT_OUT.get(type_)
        why = why or ("costs" if type_.endswith(("_cost", "_compensation")) else None)
        if why is None:
            asks = f"the type {type_[:40]!r} of {name[:80]} is not known"
            choices = ("import", "export", "pv", "load", "ignore")
            log.ask(Question(f"--channel {quoted(name)}", asks, choices), line=line)
        elif (note := f"rows {type_} are left out: {why}") not in log.notes:
            log.notes.append(note)
        return None
    if channel == "ignore":
        return None
    if unit not in UNITS or UNITS[unit][1]:
        message = f"the unit {unit[:20]!r} is not Wh, kWh or MWh; download the file again"
        log.add("error", "no_energy", message, line=line)
        return None
    held = held_as_it_is(channel, name, log, line)
    return None if held is None else Channel(held.name, unit, label=name, part=held.part or str(line))


FORMATS.register(
    Format(
        name="home_assistant_csv",
        summary="CSV download of Home Assistant's energy dashboard: one row a statistic, one column an hour, UTC",
        unit="kWh of each interval, as `unit` says",
        sniff=sniff,
        parse=parse,
        zone="UTC",
        meters="none",
        sample="""entity_id,type,unit,2026-01-05T10:00:00.000Z,2026-01-05T11:00:00.000Z
sensor.grid_import,grid_consumption,kWh,1.5,0.5
sensor.roof,solar_production,kWh,0,2
,calculated_consumed_solar,kWh,0,1.2
""",
        source="github.com/home-assistant/frontend: src/panels/energy/ha-panel-energy.ts @ 00e2b18a160c",
    )
)
