"""PVGIS of the Joint Research Centre: a typical year, or hours of single years on a horizontal plane; UTC.

Hours of single years hold for the hour that their stamp (such as 20200101:0010) lies in. On any other plane the
irradiance is that of a roof, and is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data import series
from data.errors import MissingPackage
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import IntakeLog, exact_stamps
from data.weather import WEATHER_FORMATS, WeatherFormat
from data.weather.rows import PVLIB, WeatherRows, typical_year

TYPICAL = {"temp_c": "temp_air", "ghi": "ghi", "dni": "dni", "dhi": "dhi"}


def sniff(file: MeterFile) -> Claim:
    """Whether the file begins with a latitude in the words of PVGIS, or is its JSON."""
    text = file.head.decode("utf-8-sig", "replace")
    if text.startswith("Latitude (decimal degrees):") and ("time(UTC)," in text or "\ntime," in text):
        return Claim(1.0, ("a latitude, and a table by time in UTC",), {"zone": "UTC"})
    if (
        text.lstrip().startswith("{")
        and '"outputs"' in text
        and ('"tmy_hourly"' in text or '"hourly"' in text)
    ):
        return Claim(1.0, ("the outputs tmy_hourly or hourly",), {"zone": "UTC"})
    return NO_CLAIM


def parse(file: MeterFile, _zone: str | None, log: IntakeLog) -> WeatherRows | None:
    """Read a typical year or single years, CSV or JSON."""
    try:
        from pvlib.iotools import read_pvgis_hourly, read_pvgis_tmy
    except ImportError:
        raise MissingPackage(PVLIB) from None
    text = file.head.decode("utf-8-sig", "replace")
    layout = "json" if text.lstrip().startswith("{") else "csv"
    typical = "tmy_hourly" in text or "time(UTC)," in text
    try:
        read = read_pvgis_tmy if typical else read_pvgis_hourly
        frame, facts = read(file.path, pvgis_format=layout, map_variables=True)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as problem:
        log.add("error", "unreadable", f"the file cannot be read ({problem}); download it again")
        return None
    if typical:
        hours = [(moment.month, moment.day, moment.hour) for moment in frame.index]
        first_line = text.count("\n", 0, max(text.find("time(UTC)"), 0)) + 2
        return typical_year(frame, hours, 0, first_line, TYPICAL, log)
    return _of_years(frame, facts["inputs"], log)


def _of_years(frame: Any, inputs: Any, log: IntakeLog) -> WeatherRows | None:
    """Hours of single years, from their components on a horizontal plane."""
    needed = {"temp_air", "poa_direct", "poa_sky_diffuse", "solar_elevation"}
    if not needed <= set(frame.columns):
        message = (
            "the components of the irradiance are missing; download it with `components` and a slope of 0"
        )
        log.add("error", "wrong_header", message)
        return None
    if "poa_ground_diffuse" in frame and bool((frame["poa_ground_diffuse"] > 0).any()):
        message = f"the irradiance is that of a tilted plane ({inputs.get('Slope', 'slope above 0')})"
        log.add("error", "tilted_plane", f"{message}; download it with a slope of 0, or the typical year")
        return None
    seconds = np.array([int(moment.timestamp()) for moment in frame.index], dtype=np.int64)
    line = np.arange(1, len(frame) + 1)
    starts = seconds // 3_600 * 3_600
    times = series.regular(starts, exact_stamps(seconds), line, "row of weather", log, (60,))
    direct, diffuse = (frame[name].to_numpy(dtype=np.float64) for name in ("poa_direct", "poa_sky_diffuse"))
    sine = np.sin(np.radians(frame["solar_elevation"].to_numpy(dtype=np.float64)))
    values = {
        "temp_c": frame["temp_air"].to_numpy(dtype=np.float64),
        "ghi": direct + diffuse,
        # Near the horizon the quotient is noise: no more than the sun gives above the air.
        "dni": np.minimum(np.divide(direct, sine, out=np.zeros_like(direct), where=sine > 0), 1_361.0),
        "dhi": diffuse,
    }
    return WeatherRows(
        line,
        *(times or (0, 0)),
        values=values,
        labels={name: name for name in values},
        text=lambda name, row: f"{values[name][row]:g}",
    )


WEATHER_FORMATS.register(
    WeatherFormat(
        name="pvgis",
        summary="PVGIS, CSV or JSON: typical year, or hours of single years on a horizontal plane; UTC",
        sniff=sniff,
        parse=parse,
        sample="Latitude (decimal degrees): 45.000\n...\ntime(UTC),T2m,RH,G(h),Gb(n),Gd(h),...\n",
        source="PVGIS user manual, European Commission, Joint Research Centre",
    )
)
