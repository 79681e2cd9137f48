"""The output of a weather layout: values by row, of measured intervals or of the hours of a typical year."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

from data.intake.raw import FloatArray, IntakeLog
from market.units import IntArray

if TYPE_CHECKING:
    import pandas as pd

RANGES: Final = {"temp_c": (-90.0, 60.0), "ghi": (0.0, 1_600.0), "dni": (0.0, 1_600.0), "dhi": (0.0, 1_600.0)}
"""Columns with their least and largest values: air temperature [°C]; global horizontal, direct normal and diffuse
horizontal irradiance [W/m²]."""

TYPICAL_HOURS: Final = 8_760
PVLIB: Final = "this weather file needs the package pvlib: pip install 'wattswap[solar]'"


@dataclass(frozen=True, slots=True, eq=False)
class WeatherRows:
    """Rows of a weather file, regular in time.

    Args:
        line: Line of each row.
        start_s: Start of the first row, UTC; for a typical year how long after New Year in UTC its first hour begins.
            [s since 1970; s]
        minutes: Length of each row; 0 where errors hide it. [min]
        values: Columns of `RANGES`; NaN where there is no number.
        labels: What the file calls them.
        text: Text of a cell by column and row, for messages.
        typical: Whether the rows are the 8,760 hours of a typical year.
    """

    line: IntArray
    start_s: int
    minutes: int
    values: Mapping[str, FloatArray]
    labels: Mapping[str, str]
    text: Callable[[str, int], str]
    typical: bool = False


def typical_year(
    frame: pd.DataFrame,
    hours: Sequence[tuple[int, int, int]],
    offset_s: int,
    first_line: int,
    names: Mapping[str, str],
    log: IntakeLog,
) -> WeatherRows | None:
    """The hours of a typical year out of a table of pvlib, whose months may be of different years.

    Args:
        frame: The table.
        hours: Month, day and hour (0 to 23) that each row begins, in local standard time.
        offset_s: Of this time from UTC. [s]
        first_line: Line of the first row in the file.
        names: Columns of the table by those of `RANGES`.
        log: Where errors go.
    """
    hour_of = {}
    for row, (month, day, hour) in enumerate(hours):
        if (month, day) != (2, 29):
            hour_of[row] = ((date(2001, month, day) - date(2001, 1, 1)).days) * 24 + hour
    if sorted(hour_of.values()) != list(range(TYPICAL_HOURS)):
        message = f"{len(set(hour_of.values()))} hours of a year in {len(hour_of)} rows"
        log.add("error", "wrong_length", f"{message}; a typical year has {TYPICAL_HOURS}; download it again")
        return None
    rows = np.array(sorted(hour_of, key=lambda row: hour_of[row]), dtype=np.int64)
    try:
        values = {name: frame[column].to_numpy(dtype=np.float64)[rows] for name, column in names.items()}
    except KeyError as problem:
        log.add("error", "wrong_header", f"there is no column for {problem}; download it again")
        return None
    except (ValueError, TypeError) as problem:
        log.add("error", "not_a_number", f"a cell is no number ({problem}); download it again")
        return None
    return WeatherRows(
        line=first_line + rows,
        start_s=-offset_s,
        minutes=60,
        values=values,
        labels=names,
        text=lambda name, row: f"{values[name][row]:g}",
        typical=True,
    )
