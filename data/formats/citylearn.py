"""The CityLearn layout: a folder with schema.json, Building_N.csv and pricing.csv.

The files have no timestamps; what they mean was found by measurement on the ten Fontana homes and is applied
so:

- `hour` 1..24 is the END of the hour: hour 24 of 31 July is 23:00 to 24:00.
- The year is the latest of 2010..2019 in which month, hour and day_type of every row fit the calendar; a note
  says which others fit. (The Fontana year fits August 2016 only: in 2011/12 there was a 29 February.)
- The rows follow the LOCAL clock with daylight saving although every day has 24 rows and the flag column says
  0. So the hour that the clock skips in spring has a row that cannot be placed: it is dropped. Of the hour
  that comes twice in autumn there is one row: it represents both passes, and the second is marked ESTIMATED.
  The notes say how much energy this took away and added.
- The zone must be given, except for the 2022 challenge homes (8,760 rows from Sunday 31 July, hour 24):
  America/Los_Angeles.
- Production is `solar_generation` [W per kWp] times the nominal power of the building's PV; the load is
  `non_shiftable_load` [kWh]. import and export are what a meter would show of load - PV hour by hour.
- Loads below 1e-6 kWh are the publisher's floor for "no data": they are marked ESTIMATED, with a warning per
  home.
- The battery's `efficiency` is for the round trip (CityLearn takes its square root each way). Nothing
  operates it here.
"""

from __future__ import annotations

import calendar
import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from data import clock
from data.findings import FindingLog
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import (
    Channel,
    FloatArray,
    Hints,
    IntakeLog,
    Labels,
    Numbers,
    RawReadings,
    Stamps,
    exact_stamps,
)
from data.intake.values import shown
from data.readings import ESTIMATED, MEASURED, BatterySpec
from market.units import PPM, BoolArray, IntArray

SCHEMA = "schema.json"
CALENDAR = ("month", "hour", "day_type")
LOAD, SOLAR = "non_shiftable_load", "solar_generation"
THERMAL = ("dhw_demand", "cooling_demand", "heating_demand")

CHALLENGE_2022_ZONE = "America/Los_Angeles"
FLOOR_KWH = 1e-6
HOUR_S = 3600


@dataclass(frozen=True, slots=True, eq=False)
class HourMap:
    """Which row of the files each UTC hour takes.

    Args:
        start_s: Start of the first hour. [s since 1970]
        row: Row (0-based) for each hour.
        filled: Hours that repeat a row because the file lacks the second pass of the autumn hour.
        dropped: Rows that no hour takes.
        zone: The zone of the clock.
        asked: Whether the user named it; else it is the known zone of the 2022 challenge homes.
        years: Years of the first row that fit the calendar; the last is taken.
    """

    start_s: int
    row: IntArray
    filled: BoolArray
    dropped: IntArray
    zone: str
    asked: bool
    years: tuple[int, ...]


def sniff(file: MeterFile) -> Claim:
    """Whether a folder, or the schema.json in it, is a CityLearn data set."""
    if not file.path.is_dir() and file.name != SCHEMA:
        return NO_CLAIM
    return (
        Claim(1.0, ("a schema.json that names buildings",)) if _buildings(file.beside(SCHEMA)) else NO_CLAIM
    )


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read the included buildings of a CityLearn folder; see the module's docstring."""
    buildings = _included(_buildings(file.beside(SCHEMA))) if sniff(file) else {}
    if not buildings:
        message = f"{SCHEMA} is missing or names no buildings; give the folder of a CityLearn set"
        log.add("error", "unreadable", message)
        return
    file.open(SCHEMA).close()
    tables = {name: _table(file, name, building, log) for name, building in buildings.items()}
    read = {name: table for name, table in tables.items() if table is not None}
    if log.has_errors:
        return
    first = next(iter(read.values()))
    log.rows = len(first[LOAD])
    hours = hour_map(first, hints.zone, log)
    if hours is None:
        return
    log.rows *= len(read)
    log.zone = log.answers["zone"] = hours.zone
    log.batteries = {name: _battery(building) for name, building in buildings.items()}
    log.notes = _notes(hours, list(read.values()))
    stamp = exact_stamps(hours.start_s + HOUR_S * np.arange(len(hours.row)))
    for name, table in read.items():
        yield _readings(name, table, hours, stamp, buildings[name], log)


def _buildings(schema: Path) -> dict[str, dict[str, Any]]:
    """Return the buildings that a schema names; none where it is not a schema."""
    try:
        content = json.loads(schema.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found = content.get("buildings") if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def _included(buildings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: building for name, building in buildings.items() if building.get("include", True)}


def _table(
    file: MeterFile, name: str, building: dict[str, Any], log: FindingLog
) -> dict[str, FloatArray] | None:
    """Read the used columns of one building and refuse what is not understood."""
    member = str(building.get("energy_simulation", ""))
    if not file.beside(member).is_file():
        message = f"{SCHEMA} names {file.beside(member).name!r}, which is not in the folder"
        log.add("error", "missing_file", message, household=name)
        return None
    table = _columns(file, member, (*CALENDAR, LOAD, SOLAR, *THERMAL), name, log)
    if table is None:
        return None
    warm = [column for column in THERMAL if table[column].any()]
    if warm:
        message = (
            f"{' and '.join(warm)} are modelled apart from the electric load in this set; only all-electric"
        )
        log.add("error", "thermal_demand", f"{message} sets (the 2022 challenge) can be read", household=name)
        return None
    for column in (LOAD, SOLAR):

        def describe(row: int, column: str = column) -> tuple[int, str, str]:
            return row + 2, name, f"{column} is negative; production and load are never below 0"

        log.add_rows("error", "negative", np.flatnonzero(table[column] < 0), describe)
    return table


def _columns(
    file: MeterFile, member: str, names: tuple[str, ...], household: str, log: FindingLog
) -> dict[str, FloatArray] | None:
    called = file.beside(member).name
    with io.TextIOWrapper(file.open(member), newline="", encoding="utf-8-sig") as text:
        reader = csv.DictReader(text)
        lacking = [name for name in names if name not in (reader.fieldnames or ()) and name not in THERMAL]
        if lacking:
            log.add(
                "error", "wrong_header", f"{called} lacks the columns {lacking}", line=1, household=household
            )
            return None
        values: dict[str, list[float]] = {name: [] for name in names}
        for line, row in enumerate(reader, start=2):
            for name in names:
                cell = row.get(name)
                try:
                    value = float(cell) if cell else 0.0 if name in THERMAL else math.nan
                except ValueError:
                    value = math.nan
                if not math.isfinite(value):
                    message = f"{name} {shown(str(cell))} in {called} is not a number"
                    log.add("error", "not_a_number", message, line=line, household=household)
                    value = 0.0
                values[name].append(value)
    if not values[LOAD if LOAD in values else names[0]]:
        log.add("error", "empty_file", f"{called} has no rows; download it again", household=household)
        return None
    return {name: np.array(column) for name, column in values.items()}


def hour_map(table: dict[str, FloatArray], zone: str | None, log: FindingLog) -> HourMap | None:
    """Find the calendar of a building file and map each UTC hour to its row.

    Args:
        table: Columns month, hour and day_type of any building.
        zone: What the user says; asked for where the set is not known.
        log: Errors go there, and then None is returned.
    """
    month, hour, weekday = (table[name].astype(np.int64) for name in CALENDAR)
    fitting = _first_hours(month, hour, weekday)
    if not fitting:
        message = "month, hour and day_type fit no year from 2010 to 2019; the rows are not consecutive hours"
        log.add("error", "wrong_order", message, line=2)
        return None
    known = (int(month[0]), int(hour[0]), int(weekday[0]), len(month)) == (7, 24, 7, 8760)
    if zone is None and not known:
        log.add("error", "zone_needed", "the set names no time zone; give one, e.g. zone='America/New_York'")
        return None
    zone_name = zone or CHALLENGE_2022_ZONE
    info = clock.zone_named(zone_name)
    local_first = clock.local_seconds(fitting[-1])
    bounds = np.array([local_first, local_first + (len(month) - 1) * HOUR_S])
    start, last = clock.local_clock(bounds, info).first_utc_s.tolist()
    utc = np.arange(start, last + HOUR_S, HOUR_S, dtype=np.int64)
    row = (clock.local_of_utc(utc, info) - local_first) // HOUR_S
    filled = np.zeros(len(row), dtype=np.bool_)
    filled[1:] = np.diff(row) <= 0
    dropped = np.setdiff1d(np.arange(len(month)), row)
    return HourMap(
        start,
        row,
        filled,
        dropped,
        zone_name,
        asked=zone is not None,
        years=tuple(first.year for first in fitting),
    )


def _first_hours(month: IntArray, hour: IntArray, weekday: IntArray) -> list[datetime]:
    """Return the local start of the first row for each year that fits every row."""
    fitting: list[datetime] = []
    change = np.flatnonzero(np.diff(month))
    rows = np.arange(len(month))
    for year in range(2010, 2020):
        if not len(change) or not 1 <= int(month[0]) <= 12:
            break
        days = calendar.monthrange(year, int(month[0]))[1]
        month_end = datetime(year, int(month[0]), days) + timedelta(days=1)
        first = month_end - timedelta(hours=int(change[0]) + 1)
        start = np.datetime64(first, "h") + rows.astype("timedelta64[h]")
        day = start.astype("datetime64[D]")
        fits = (
            ((start - day).astype(np.int64) + 1 == hour)
            & (start.astype("datetime64[M]").astype(np.int64) % 12 + 1 == month)
            & ((day.astype(np.int64) + 3) % 7 + 1 == weekday)  # 1 January 1970 was a Thursday
        )
        if fits.all():
            fitting.append(first)
    return fitting


def _readings(
    name: str,
    table: dict[str, FloatArray],
    hours: HourMap,
    stamp: Stamps,
    building: dict[str, Any],
    log: FindingLog,
) -> RawReadings:
    """Return the hours of one building and flag those that are filled or floored."""
    quality = np.full(len(hours.row), MEASURED, dtype=np.uint8)
    quality[hours.filled] = ESTIMATED
    floored = table[LOAD] < FLOOR_KWH
    quality[floored[hours.row]] = ESTIMATED
    if floored.any():
        count = int(floored.sum())
        message = f"the load of {count} hours is floored to about zero: no data; they are marked as estimated"
        log.add("warning", "floored_load", message, line=int(np.argmax(floored)) + 2, household=name)
    kwp = float(_attributes(building, "pv").get("nominal_power", 0.0))
    none = np.zeros(len(hours.row), dtype=np.bool_)
    return RawReadings(
        line=hours.row + 2,
        meter=Labels(np.zeros(len(hours.row), dtype=np.int64), [name]),
        stamp=stamp,
        values={
            Channel("load", "kWh"): Numbers(table[LOAD][hours.row], none),
            Channel("pv", "Wh"): Numbers(table[SOLAR][hours.row] * kwp, none),
        },
        quality=quality,
    )


def _notes(hours: HourMap, tables: list[dict[str, FloatArray]]) -> list[str]:
    notes = [
        "registers are hourly load - pv, computed from gross meters; the publisher filled gaps with models"
    ]
    if len(hours.years) > 1:
        others = ", ".join(str(year) for year in hours.years[:-1])
        notes.append(f"the rows start in {hours.years[-1]}; {others} would fit as well")
    if not hours.asked:
        notes.append(f"the zone is {hours.zone} because these are the 2022 challenge homes")
    if len(hours.dropped):
        dropped_kwh = sum(float(table[LOAD][hours.dropped].sum()) for table in tables)
        lines = ", ".join(str(row + 2) for row in hours.dropped.tolist())
        notes.append(
            f"line {lines} is the hour that the clock skips in spring: dropped, {dropped_kwh:.3f} kWh of load"
        )
    if hours.filled.any():
        added_kwh = sum(float(table[LOAD][hours.row[hours.filled]].sum()) for table in tables)
        lines = ", ".join(str(row + 2) for row in hours.row[hours.filled].tolist())
        notes.append(
            f"line {lines} is used for both passes of the autumn hour: {added_kwh:.3f} kWh of load added"
        )
    return notes


def _attributes(building: dict[str, Any], device: str) -> dict[str, Any]:
    found = (building.get(device) or {}).get("attributes") or {}
    return dict(found)


def _battery(building: dict[str, Any]) -> BatterySpec | None:
    attributes = _attributes(building, "electrical_storage")
    capacity, power = attributes.get("capacity"), attributes.get("nominal_power")
    if not capacity or not power:
        return None
    one_way_ppm = round(math.sqrt(float(attributes.get("efficiency", 1.0))) * PPM)
    power_w = round(float(power) * 1000)
    return BatterySpec(round(float(capacity) * 1000), power_w, power_w, one_way_ppm, one_way_ppm)


def calendar_of(file: MeterFile, zone: str | None, log: FindingLog) -> HourMap | None:
    """Return the hours of a set, from its first building; for series beside it, such as pricing.csv."""
    name, building = next(iter(_included(_buildings(file.beside(SCHEMA))).items()))
    table = _columns(file, str(building["energy_simulation"]), CALENDAR, name, log)
    return None if table is None else hour_map(table, zone, log)


FORMATS.register(
    Format(
        name="citylearn",
        summary="CityLearn folder (schema.json, Building_N.csv): hourly load and PV, no stamps",
        unit="kWh per hour (load), W per kWp (PV)",
        sniff=sniff,
        parse=parse,
    )
)
