"""TMY3, the typical years of the National Solar Radiation Data Base, in local standard time.

Stamps of 01:00 to 24:00 name the END of the hour.
"""

from __future__ import annotations

import re

from data.errors import MissingPackage
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import IntakeLog
from data.weather import WEATHER_FORMATS, WeatherFormat
from data.weather.rows import PVLIB, WeatherRows, typical_year

HEADER = "Date (MM/DD/YYYY),Time (HH:MM),"
_STATION = re.compile(r'\d+,"?[^,"]+"?,[A-Z]{2},-?\d+(\.\d+)?,')
COLUMNS = {"temp_c": "temp_air", "ghi": "ghi", "dni": "dni", "dhi": "dhi"}


def sniff(file: MeterFile) -> Claim:
    """Whether the first line is a station with its zone, and the second the header."""
    lines = file.head.decode("ascii", "replace").splitlines()[:2]
    if len(lines) == 2 and _STATION.match(lines[0]) and lines[1].startswith(HEADER):
        return Claim(1.0, ("a line of the station, and Date and Time of a typical year",), {"stamp": "end"})
    return NO_CLAIM


def parse(file: MeterFile, _zone: str | None, log: IntakeLog) -> WeatherRows | None:
    """Read the 8,760 hours; the zone is in the first line."""
    try:
        from pvlib.iotools import read_tmy3
    except ImportError:
        raise MissingPackage(PVLIB) from None
    try:
        frame, facts = read_tmy3(file.path, coerce_year=None, map_variables=True)
        days = [text.split("/") for text in frame["Date (MM/DD/YYYY)"]]
        ends = [int(text.split(":")[0]) for text in frame["Time (HH:MM)"]]
        hours = [(int(day[0]), int(day[1]), end - 1) for day, end in zip(days, ends, strict=True)]
        offset_s = round(facts["TZ"] * 3_600)
    except (ValueError, KeyError, IndexError, TypeError) as problem:
        log.add("error", "unreadable", f"the file cannot be read ({problem}); download it again")
        return None
    return typical_year(frame, hours, offset_s, 3, COLUMNS, log)


WEATHER_FORMATS.register(
    WeatherFormat(
        name="tmy3",
        summary="TMY3 of NREL: typical year in hours that end at their stamp, local standard time",
        sniff=sniff,
        parse=parse,
        sample='723170,"GREENSBORO PIEDMONT TRIAD INT",NC,-5.0,36.100,-79.950,273\n'
        "Date (MM/DD/YYYY),Time (HH:MM),ETR (W/m^2),...\n",
        source="Wilcox and Marion, Users Manual for TMY3 Data Sets, NREL/TP-581-43156",
    )
)
