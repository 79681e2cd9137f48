"""Weather files, one layout a file, and laying one of any of them on the intervals of a run.

A row holds for the interval that its time starts. The hours of a typical year hold for the same hour of every year, and
those of 28 February for 29 February too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from data.clock import iso_utc
from data.errors import InvalidWeatherFile, MissingFile, UncoveredWeather
from data.findings import errors_of
from data.intake.claims import Claim, claims_of, surest
from data.intake.file import MeterFile
from data.intake.raw import FloatArray, IntakeLog
from data.weather.rows import RANGES, TYPICAL_HOURS, WeatherRows
from market.registry import Registry
from market.units import IntArray

__all__ = ["RANGES", "WEATHER_FORMATS", "WeatherFormat", "claims_on", "load_weather", "read_weather"]


@dataclass(frozen=True, slots=True)
class WeatherFormat:
    """A layout of weather files.

    Args:
        name: Unique, lower case.
        summary: One sentence for people: layout, stamp, zone.
        sniff: How sure it is that a file has this layout, and why; reads `file.head` and `file.name`, and no more.
        parse: The rows of a file, `parse(file, zone, log)`; None after errors. What is wrong goes into the log.
        sample: First lines of such a file, for docs/reference/formats.md.
        source: Where the layout is documented.
    """

    name: str
    summary: str
    sniff: Callable[[MeterFile], Claim]
    parse: Callable[[MeterFile, str | None, IntakeLog], WeatherRows | None]
    sample: str = ""
    source: str = ""


WEATHER_FORMATS: Registry[WeatherFormat] = Registry(
    "weather format",
    folders=("data.weather",),
    group="wattswap.weather_formats",
    item=WeatherFormat,
    contract=1,
)


def claims_on(file: MeterFile) -> dict[str, Claim]:
    """What every layout makes of a file, by name."""
    return claims_of(WEATHER_FORMATS, file)


def _rows(where: Path, zone: str | None, log: IntakeLog) -> WeatherRows | None:
    """The rows of a file of any known layout; one that is not known is read as the plain one."""
    if not where.is_file():
        raise MissingFile(where)
    file = MeterFile(where)
    layout = surest(WEATHER_FORMATS, file, "plain")
    with WEATHER_FORMATS.held(layout):
        rows = layout.parse(file, zone, log)
    if rows is not None:
        _check_values(rows, log)
    return rows


def read_weather(path: str | Path, *, zone: str | None = None) -> WeatherRows:
    """All rows of a weather file of any known layout.

    Raises:
        InvalidWeatherFile: Holds every error by line.
        MissingFile, MissingPackage, UnknownZone: As their names say.
    """
    where, log = Path(path), IntakeLog()
    rows = _rows(where, zone, log)
    if rows is None or log.has_errors:
        raise InvalidWeatherFile(where, errors_of(log.findings()))
    return rows


def load_weather(
    path: str | Path, start_s: int, minutes: int, rows: int, *, zone: str | None = None
) -> dict[str, FloatArray]:
    """Load weather on a grid of intervals: means of shorter intervals, longer ones repeated.

    Args:
        path: File of any known layout.
        start_s: Start of the first wanted interval. [s since 1970]
        minutes: Length of the wanted intervals. [min]
        rows: Number of them.
        zone: Time zone of times without an offset, where the layout does not fix it.

    Returns:
        Columns of `RANGES` that the file has, each of shape (rows,).

    Raises:
        InvalidWeatherFile: Holds every error by line, also where it does not cover the intervals.
        UncoveredWeather: It has no other error than that.
        MissingFile, MissingPackage, UnknownZone: As their names say.
    """
    where, log = Path(path), IntakeLog()
    found = _rows(where, zone, log)
    if found is not None and not found.typical and found.minutes:
        end_s = found.start_s + len(found.line) * found.minutes * 60
        if not found.start_s <= start_s < start_s + rows * minutes * 60 <= end_s:
            have, want = (
                f"{iso_utc(found.start_s)} to {iso_utc(end_s)}",
                iso_utc(start_s + rows * minutes * 60),
            )
            message = f"it covers {have}, and the run with its history is {iso_utc(start_s)} to {want}"
            log.add("error", "not_covered", f"{message}; give weather of these days, or run others")
    if found is None or log.has_errors:
        errors = errors_of(log.findings())
        if [error.code for error in errors] == ["not_covered"]:
            raise UncoveredWeather(where, errors[0])
        raise InvalidWeatherFile(where, errors)
    if found.typical:
        return {
            name: _of_typical_year(column, found.start_s, start_s, minutes, rows)
            for name, column in found.values.items()
        }
    return {
        name: _on_grid(column, found.start_s, found.minutes, start_s, minutes, rows)
        for name, column in found.values.items()
    }


def _check_values(rows: WeatherRows, log: IntakeLog) -> None:
    for name, column in rows.values.items():
        least, most = RANGES[name]
        for row in np.flatnonzero(~((column >= least) & (column <= most))).tolist():
            label, text = rows.labels[name], rows.text(name, row)
            message = f"{label} {text!r} is no value; every row needs one from {least:g} to {most:g}"
            log.add("error", "not_a_number", message, line=int(rows.line[row]))


def _steps(first_s: int, given_minutes: int, start_s: int, minutes: int, rows: int) -> tuple[IntArray, int]:
    """Instants in the middle of nothing shorter than both lengths need: start of each step, and its length. [s]"""
    apart = abs(start_s - first_s) // 60 or given_minutes
    step_s = 60 * int(np.gcd(np.gcd(given_minutes, minutes), apart))
    return start_s + step_s * np.arange(rows * minutes * 60 // step_s), step_s


def _on_grid(
    values: FloatArray, first_s: int, given_minutes: int, start_s: int, minutes: int, rows: int
) -> FloatArray:
    """Values of wanted intervals: the mean of what lies in one, in steps of the shorter of both lengths."""
    at, _ = _steps(first_s, given_minutes, start_s, minutes, rows)
    on_grid: FloatArray = values[(at - first_s) // (given_minutes * 60)].reshape(rows, -1).mean(axis=1)
    return on_grid


def _of_typical_year(
    values: FloatArray, new_year_s: int, start_s: int, minutes: int, rows: int
) -> FloatArray:
    """The same for a typical year, whose first hour begins so long after New Year in UTC. [s]"""
    at, _ = _steps(new_year_s, 60, start_s, minutes, rows)
    hours, inverse = np.unique((at - new_year_s) // 3_600, return_inverse=True)
    of_year = np.array([_hour_of_year(int(hour)) for hour in hours], dtype=np.int64)
    on_grid: FloatArray = values[of_year[inverse]].reshape(rows, -1).mean(axis=1)
    return on_grid


def _hour_of_year(hour: int) -> int:
    """Number of an hour since 1970 in a year of 365 days; 29 February is 28 February again."""
    moment = datetime.fromtimestamp(hour * 3_600, UTC)
    day = 28 if (moment.month, moment.day) == (2, 29) else moment.day
    days = (datetime(2001, moment.month, day) - datetime(2001, 1, 1)).days
    assert 0 <= days * 24 + moment.hour < TYPICAL_HOURS
    return days * 24 + moment.hour
