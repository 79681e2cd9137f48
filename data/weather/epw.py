"""EPW, the weather files of EnergyPlus: hours 1 to 24 of local standard time, mostly of a typical year."""

from __future__ import annotations

from data.errors import MissingPackage
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import IntakeLog
from data.weather import WEATHER_FORMATS, WeatherFormat
from data.weather.rows import PVLIB, WeatherRows, typical_year

COLUMNS = {"temp_c": "temp_air", "ghi": "ghi", "dni": "dni", "dhi": "dhi"}
FIRST_LINE = 9


def sniff(file: MeterFile) -> Claim:
    """Whether the file begins with a location and has the header lines of the format."""
    head = file.head[:20_000]
    if head.startswith(b"LOCATION,") and b"\nDATA PERIODS," in head:
        return Claim(1.0, ("a LOCATION and DATA PERIODS",), {"stamp": "end"})
    return NO_CLAIM


def parse(file: MeterFile, _zone: str | None, log: IntakeLog) -> WeatherRows | None:
    """Read the 8,760 hours; the zone is in the first line."""
    try:
        from pvlib.iotools import read_epw
    except ImportError:
        raise MissingPackage(PVLIB) from None
    try:
        frame, facts = read_epw(file.path)
        hours = [(moment.month, moment.day, moment.hour) for moment in frame.index]
        offset_s = round(facts["TZ"] * 3_600)
    except (ValueError, KeyError, IndexError, TypeError) as problem:
        log.add("error", "unreadable", f"the file cannot be read ({problem}); download it again")
        return None
    return typical_year(frame, hours, offset_s, FIRST_LINE, COLUMNS, log)


WEATHER_FORMATS.register(
    WeatherFormat(
        name="epw",
        summary="EPW of EnergyPlus: hours of a typical year, local standard time",
        sniff=sniff,
        parse=parse,
        sample="LOCATION,City,State,DEU,Source,103840,52.47,13.40,1.0,49.0\n",
        source="EnergyPlus, Auxiliary Programs, Weather Data Format",
    )
)
