"""Weather: plain CSV `time,temp_c,ghi,dni,dhi` or `time,temp_c`, and the weather.csv of a CityLearn folder.

A row holds for the interval that its time starts. Only what was measured is read: the columns of a CityLearn file that
are called predictions are copies of the same values at other hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from data import series
from data.clock import iso_utc
from data.errors import InvalidWeatherFile, MissingFile, UncoveredWeather
from data.findings import FindingLog, errors_of
from market.errors import did_you_mean
from market.interval import ALLOWED_MINUTES

FloatArray = npt.NDArray[np.float64]
TIME: Final = "time"
RANGES: Final = {"temp_c": (-90.0, 60.0), "ghi": (0.0, 1_600.0), "dni": (0.0, 1_600.0), "dhi": (0.0, 1_600.0)}
"""Columns with their least and largest values: air temperature [°C]; global horizontal, direct normal and diffuse
horizontal irradiance [W/m²]."""
CITYLEARN: Final = {
    "outdoor_dry_bulb_temperature": "temp_c",
    "direct_solar_irradiance": "dni",
    "diffuse_solar_irradiance": "dhi",
}
NOUN: Final = "row of weather"
LENGTHS: Final = (*ALLOWED_MINUTES, 180)
"""Lengths of a row: those of meters, and the three hours of synoptic weather stations. [min]"""


def load_weather(
    path: str | Path, start_s: int, minutes: int, rows: int, *, zone: str | None = None
) -> dict[str, FloatArray]:
    """Load weather on a grid of intervals: means of shorter intervals, longer ones repeated.

    Args:
        path: CSV with a column `time` (ISO 8601, start of the interval) and those of RANGES, of which irradiance may be
            left out altogether, or the weather.csv of a CityLearn folder, which has no `ghi`.
        start_s: Start of the first wanted interval. [s since 1970]
        minutes: Length of the wanted intervals. [min]
        rows: Number of them.
        zone: Time zone of times without an offset, and of CityLearn sets other than the 2022 challenge homes.

    Raises:
        InvalidWeatherFile: Holds every error by line, also where it does not cover the intervals.
        UncoveredWeather: It has no other error than that.
        MissingFile, UnknownZone: As their names say.
    """
    where, log = Path(path), FindingLog()
    if not where.is_file():
        raise MissingFile(where)
    header, lines = series.read(where, NOUN, log)
    of_citylearn = TIME not in header and series.beside_citylearn(where)
    names = CITYLEARN if of_citylearn else {name: name for name in _columns(header)}
    if not log.has_errors:
        for name in [*([] if of_citylearn else [TIME]), *names]:
            if name not in header:
                near = did_you_mean(name, header)
                log.add("error", "wrong_header", f"the column {name!r} is missing.{near}", line=1)
    if log.has_errors:
        raise InvalidWeatherFile(where, errors_of(log.findings()))
    if of_citylearn:
        hours = series.on_citylearn_hours(where, len(lines), NOUN, zone, log)
        times, of_hours = (None, None) if hours is None else ((hours[0], 60), hours[1])
    else:
        times, of_hours = (
            series.on_stamps([line[header.index(TIME)] for line in lines], NOUN, zone, log, LENGTHS),
            None,
        )
    values = {
        name: _numbers([line[header.index(column)] for line in lines], column, RANGES[name], log)
        for column, name in names.items()
    }
    if of_hours is not None:
        values = {name: column[of_hours] for name, column in values.items()}
    if times is not None:
        end_s = times[0] + len(values["temp_c"]) * times[1] * 60
        if not times[0] <= start_s < start_s + rows * minutes * 60 <= end_s:
            have, want = f"{iso_utc(times[0])} to {iso_utc(end_s)}", iso_utc(start_s + rows * minutes * 60)
            message = f"it covers {have}, and the run with its history is {iso_utc(start_s)} to {want}"
            log.add("error", "not_covered", f"{message}; give weather of these days, or run others")
    if log.has_errors or times is None:
        errors = errors_of(log.findings())
        if [error.code for error in errors] == ["not_covered"]:
            raise UncoveredWeather(where, errors[0])
        raise InvalidWeatherFile(where, errors)
    return {name: _on_grid(column, *times, start_s, minutes, rows) for name, column in values.items()}


def _columns(header: Sequence[str]) -> Sequence[str]:
    """Columns that a file must have: the temperature alone where no other one could be meant for irradiance."""
    others = set(header) - {TIME, "temp_c"}
    return list(RANGES) if others else ["temp_c"]


def _numbers(texts: Sequence[str], column: str, between: tuple[float, float], log: FindingLog) -> FloatArray:
    values = np.zeros(len(texts))
    for row, text in enumerate(texts):
        try:
            value = float(text)
        except ValueError:
            value = nan
        if isfinite(value) and between[0] <= value <= between[1]:
            values[row] = value
            continue
        cure = f"every row needs one from {between[0]:g} to {between[1]:g}"
        log.add("error", "not_a_number", f"{column} {text!r} is no value; {cure}", line=row + 2)
    return values


def _on_grid(
    values: FloatArray, first_s: int, given_minutes: int, start_s: int, minutes: int, rows: int
) -> FloatArray:
    """Values of wanted intervals: the mean of what lies in one, in steps of the shorter of both lengths."""
    step_s = 60 * int(np.gcd(np.gcd(given_minutes, minutes), abs(start_s - first_s) // 60 or given_minutes))
    at = start_s - first_s + step_s * np.arange(rows * minutes * 60 // step_s)
    on_grid: FloatArray = values[at // (given_minutes * 60)].reshape(rows, -1).mean(axis=1)
    return on_grid
