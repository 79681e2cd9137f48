"""Home Assistant: the long-term statistics in the recorder's SQLite database, schema 23 and later.

- `statistics.sum` counts energy on, also over a reset of the meter: the energy of the hour from `start_ts` on is its
  `sum` less the one before. `state`, the register itself, is never used. The first row ends an hour whose begin is not
  known.
- `start_ts` is seconds since 1970; older schemas have `start` in words, UTC.
- Read are statistics with a sum in Wh, kWh or MWh. Names like `p1_meter_energy_import_tariff_1` state which
  of them is import or export; any other is asked for. Devices are parts of the load and left out.
- The database is only read. One that is in use is read as its other readers do; nothing is written beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

import numpy as np

from data import clock
from data.formats import FORMATS, Format
from data.formats.home_assistant.database import Statistic, opened, rows_of, statistics
from data.formats.home_assistant.names import channels_by_name, proposal
from data.intake.claims import NO_CLAIM, Claim, Question, quoted
from data.intake.file import MeterFile
from data.intake.raw import (
    UNITS,
    Channel,
    FloatArray,
    Hints,
    IntakeLog,
    Labels,
    Numbers,
    RawReadings,
    exact_stamps,
)
from data.recipes.model import held_as_it_is
from market.units import IntArray

CHOICES = ("import", "export", "pv", "load", "ignore")


def sniff(file: MeterFile) -> Claim:
    """Whether it is an SQLite database whose first pages name the statistics of the recorder."""
    if not file.head.startswith(b"SQLite format 3\0"):
        return NO_CLAIM
    if b"statistics_meta" in file.head:
        return Claim(1.0, ("SQLite with the table statistics_meta",), {"zone": "UTC"})
    if file.name.startswith("home-assistant"):
        return Claim(0.8, ("SQLite with the name of Home Assistant's database",), {"zone": "UTC"})
    return Claim(0.1, ("SQLite whose first pages do not name statistics_meta",))


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read the statistics; see the module's docstring."""
    if file.path.is_dir():
        log.add("error", "unreadable", "this is a folder; name the database in it")
        return
    try:
        with opened(file) as database:
            table = "statistics_short_term" if hints.minutes == 5 else "statistics"
            found = statistics(database, table, log)
            chosen = _chosen(found, hints, log)
            if log.has_errors:
                return
            series = {channel: rows_of(database, table, one) for one, channel in chosen}
    except sqlite3.Error as problem:
        says = (
            f"the database cannot be read ({problem}); copy it while Home Assistant is stopped, and try again"
        )
        log.add("error", "unreadable", says)
        return
    readings = _joined(series, 300 if table == "statistics_short_term" else 3600, log)
    if not log.has_errors:
        yield readings


def _chosen(found: list[Statistic], hints: Hints, log: IntakeLog) -> list[tuple[Statistic, Channel]]:
    """The statistics that count, with their channels; a question for each that may count."""
    energy = [one for one in found if one.unit in UNITS and not UNITS[one.unit][1]]
    if not energy and not log.has_errors:
        says = "no statistic with a sum in Wh, kWh or MWh is there; Home Assistant keeps one for each energy sensor"
        log.add("error", "no_energy", says)
    by_name = channels_by_name([one.name for one in energy])
    said = {one.name: hints.channels.get(one.name) or by_name.get(one.name) for one in energy}
    grid = "import" in {(channel or "").partition(".")[0] for channel in said.values()}
    chosen, left = [], []
    for number, one in enumerate(energy):
        channel = said[one.name]
        likely = proposal(one.name)
        if channel is None and grid and likely == "ignore":
            left.append(one.name)
        elif channel is None:
            asks = f"the statistic {one.name} counts energy, and its name does not say of what"
            option = f"--channel {quoted(one.name)}"
            log.ask(Question(option, asks, CHOICES, likely, 0.8 if likely != "ignore" else 0.5, "its name"))
        elif channel != "ignore":
            held = held_as_it_is(channel, one.name, log)
            if held is not None:
                part = held.part or str(number)
                chosen.append((one, Channel(held.name, one.unit, "counter", one.name, part)))
    if left:
        log.notes.append(f"{len(left)} statistics of devices are left out: they are parts of the load")
    if energy and not chosen and not log.has_errors:
        log.add("error", "no_register", "every statistic is ignored; choose import with --channel")
    return chosen


def _joined(
    series: Mapping[Channel, tuple[IntArray, FloatArray]], step_s: int, log: IntakeLog
) -> RawReadings:
    """One row for each time at which any statistic was counted; a sum is the count at the END of its hour."""
    times = np.unique(np.concatenate([time for time, _ in series.values()]))
    values = {}
    for channel, (time, count) in series.items():
        place = np.searchsorted(times, time)
        again = np.flatnonzero(np.diff(place) == 0)
        twice = again[count[again] != count[again + 1]]
        for row in twice.tolist():
            says = f"{channel} has two sums for the hour from {clock.iso_utc(int(time[row]))}"
            log.add("error", "conflict", f"{says}; repair it in Home Assistant, developer tools, statistics")
        column = np.full(len(times), np.nan)
        # Only differences count; a sum that was corrected below zero is still a count.
        column[place] = count - min(0.0, float(np.nanmin(count, initial=0.0)))
        values[channel] = Numbers(column, np.isnan(column))
    return RawReadings(
        line=np.arange(1, len(times) + 1),
        meter=Labels(np.zeros(len(times), dtype=np.int64), [""]),
        stamp=exact_stamps(times + step_s),
        values=values,
    )


FORMATS.register(
    Format(
        name="home_assistant",
        summary="SQLite database of Home Assistant's recorder: hourly statistics that count energy, UTC",
        unit="Wh, kWh or MWh: counters",
        sniff=sniff,
        parse=parse,
        zone="UTC",
        meters="none",
        sample="""statistics_meta: 1|sensor.p1_meter_energy_import_tariff_1|recorder|kWh|energy|0|1||0
statistics: metadata_id 1, start_ts 1661986800.0, state 8352.009, sum 1.03
""",
        source="github.com/home-assistant/core: homeassistant/components/recorder/db_schema.py, schema 53 (2026.2.3)",
    )
)
