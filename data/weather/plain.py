"""The plain weather file `time,temp_c,ghi,dni,dhi` or `time,temp_c`, and the weather.csv of a CityLearn folder.

Only what was measured is read: the columns of a CityLearn file that are called predictions are copies of the same
values at other hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Final

import numpy as np

from data import series
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import FloatArray, IntakeLog
from data.weather import WEATHER_FORMATS, WeatherFormat
from data.weather.rows import RANGES, WeatherRows
from market.errors import did_you_mean
from market.interval import ALLOWED_MINUTES

TIME: Final = "time"
CITYLEARN: Final = {
    "outdoor_dry_bulb_temperature": "temp_c",
    "direct_solar_irradiance": "dni",
    "diffuse_solar_irradiance": "dhi",
}
NOUN: Final = "row of weather"
LENGTHS: Final = (*ALLOWED_MINUTES, 180)
"""Lengths of a row: those of meters, and the three hours of synoptic weather stations. [min]"""


def sniff(file: MeterFile) -> Claim:
    """Whether the header has a time and a temperature in the plain names, or those of a CityLearn set."""
    header = file.head.decode("utf-8-sig", "replace").split("\n", 1)[0]
    names = {name.strip().strip('"') for name in header.split(",")}
    if {TIME, "temp_c"} <= names:
        return Claim(1.0, (f"the columns {TIME} and temp_c",))
    if names >= set(CITYLEARN) and series.beside_citylearn(file.path):
        return Claim(1.0, ("the columns of a CityLearn set beside its schema.json",))
    return NO_CLAIM


def parse(file: MeterFile, zone: str | None, log: IntakeLog) -> WeatherRows | None:
    """Read the rows; irradiance may be left out altogether."""
    header, lines = series.read(file.path, NOUN, log)
    of_citylearn = TIME not in header and series.beside_citylearn(file.path)
    names = CITYLEARN if of_citylearn else {name: name for name in _columns(header)}
    if not log.has_errors:
        for name in [*([] if of_citylearn else [TIME]), *names]:
            if name not in header:
                near = did_you_mean(name, header)
                log.add("error", "wrong_header", f"the column {name!r} is missing.{near}", line=1)
    if log.has_errors:
        return None
    texts = {ours: [line[header.index(column)] for line in lines] for column, ours in names.items()}
    values = {name: _numbers(column) for name, column in texts.items()}
    line = np.arange(2, len(lines) + 2)
    if of_citylearn:
        hours = series.on_citylearn_hours(file.path, len(lines), NOUN, zone, log)
        if hours is None:
            return None
        times: tuple[int, int] | None = (hours[0], 60)
        line = line[hours[1]]
        values = {name: column[hours[1]] for name, column in values.items()}
    else:
        times = series.on_stamps([row[header.index(TIME)] for row in lines], NOUN, zone, log, LENGTHS)
    return WeatherRows(
        line,
        *(times or (0, 0)),  # the values are checked all the same
        values=values,
        labels={ours: column for column, ours in names.items()},
        text=lambda name, row: texts[name][int(line[row]) - 2],
    )


def _columns(header: Sequence[str]) -> Sequence[str]:
    """Columns that a file must have: the temperature alone where no other one could be meant for irradiance."""
    others = set(header) - {TIME, "temp_c"}
    return list(RANGES) if others else ["temp_c"]


def _numbers(texts: Sequence[str]) -> FloatArray:
    values = np.full(len(texts), nan)
    for row, text in enumerate(texts):
        try:
            values[row] = float(text)
        except ValueError:
            continue
    return values


WEATHER_FORMATS.register(
    WeatherFormat(
        name="plain",
        summary="CSV `time,temp_c[,ghi,dni,dhi]`; stamps start the row, which is 5 to 60 minutes or 3 hours long",
        sniff=sniff,
        parse=parse,
        sample="time,temp_c,ghi,dni,dhi\n2026-06-13T00:00Z,14.2,0,0,0\n",
        source="docs/reference/scenario.md",
    )
)
