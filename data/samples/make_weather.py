"""Write the bundled temperatures of `street_grid`: a synthetic year of the climate normals of Germany, not measured.

Run it as `python -m data.samples.make_weather FILE`. The year 2016 in rows of three hours. The mean of each month is
that of Germany from 1991 to 2020 by the Deutscher Wetterdienst (area means of the country, rounded to 0.1 degrees);
months pass linearly into each other between their middles, so that a mean of the file is up to half a degree off. A
cosine over the day, warmest at 15 h local standard time, stands for day and night; its amplitude of 2 degrees in
January to 5 in July is an assumption. No weather passes: the coldest day is no colder than the normal one.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from math import cos, pi
from pathlib import Path
from typing import Final

NORMALS_C: Final = (0.9, 1.5, 4.7, 9.0, 13.1, 16.4, 18.3, 17.9, 13.8, 9.4, 4.8, 1.8)
"""Mean temperature of each month, January first. [degrees Celsius]"""
LEAST_SWING_C, MOST_SWING_C = 2.0, 5.0
"""Amplitude of the day in January and in July. [degrees Celsius]"""
WARMEST_H: Final = 15
FIRST: Final = datetime(2015, 12, 31, 21, tzinfo=UTC)
"""The row of three hours in which 2016 begins in Germany."""
DAYS, ROW_H = 366, 3


def temperature_c(local: datetime) -> float:
    """The normal temperature at a local standard time. [degrees Celsius]"""
    month = local.month - 1
    begin = datetime(local.year, local.month, 1)
    after = datetime(local.year + local.month // 12, local.month % 12 + 1, 1)
    share = (local - begin) / (after - begin) - 0.5
    other = NORMALS_C[(month + (1 if share > 0 else -1)) % 12]
    mean = NORMALS_C[month] + abs(share) * (other - NORMALS_C[month])
    in_summer = (1 - cos(2 * pi * (local.timetuple().tm_yday - 15) / DAYS)) / 2
    swing = LEAST_SWING_C + (MOST_SWING_C - LEAST_SWING_C) * in_summer
    hour = local.hour + local.minute / 60
    return mean + swing * cos(2 * pi * (hour - WARMEST_H) / 24)


def text() -> str:
    """The file: the temperature in the middle of each row."""
    rows = ["time,temp_c"]
    for i in range(DAYS * 24 // ROW_H + 1):
        start = FIRST + timedelta(hours=ROW_H * i)
        middle = (start + timedelta(hours=1 + ROW_H / 2)).replace(tzinfo=None)
        rows.append(f"{start:%Y-%m-%dT%H:%MZ},{temperature_c(middle):.1f}")
    return "\n".join(rows) + "\n"


def main(path: Path) -> None:
    """Write the file."""
    path.write_text(text(), encoding="utf-8")
    print(f"{path}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
