"""Temperatures of the hours of one day as one line, the day before them: day:first,second,.."""

import numpy as np

from data.clock import parse_stamps
from data.intake.claims import Claim
from data.weather import WEATHER_FORMATS, WeatherFormat
from data.weather.rows import WeatherRows


def sniff(file):
    """Tell whether the file begins with our word."""
    sure = file.head.startswith(b"thermometer ")
    return Claim(float(sure), ("the word thermometer",) if sure else ())


def parse(file, zone, log):
    """Read the whole file; what is no number is NaN, which is refused later."""
    day, _, texts = file.path.read_text(encoding="utf-8").removeprefix("thermometer ").partition(":")
    cells = texts.split(",")
    seconds, _ = parse_stamps([f"{day} 00:00Z"])
    values = {"temp_c": np.array([float(cell) for cell in cells])}
    labels = {"temp_c": "temperature"}
    return WeatherRows(
        np.ones(len(cells), dtype=int), int(seconds[0]), 60, values, labels, lambda _, row: cells[row]
    )


WEATHER_FORMATS.register(WeatherFormat("thermometer", "hours of a day, UTC", sniff, parse), contract=1)
