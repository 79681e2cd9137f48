"""Price and weather files as people check and convert them: what one holds, and the plain file with the same values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from data import prices, weather
from data.clock import iso_utc
from data.errors import AmbiguousFile, InvalidWeatherFile, MissingFile
from data.findings import Finding
from data.intake.claims import RECOGNISED, Claim
from data.intake.file import MeterFile
from data.intake.raw import FloatArray

Holds = Literal["price", "weather"]
PRICE = "price_per_kwh"


@dataclass(frozen=True, slots=True, eq=False)
class OutsideSeries:
    """The series of a file.

    Args:
        holds: Prices or weather.
        format: Name of the layout.
        start_s: Start of the first interval; of a typical year how long after New Year in UTC. [s since 1970; s]
        minutes: Interval length. [min]
        values: By the name of the column in the plain file; prices in currency per kWh.
        typical: Whether it is the 8,760 hours of a typical year.
    """

    holds: Holds
    format: str
    start_s: int
    minutes: int
    values: Mapping[str, FloatArray]
    typical: bool = False

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return len(next(iter(self.values.values())))

    @property
    def end_s(self) -> int:
        """The first second after the last interval. [s since 1970]"""
        return self.start_s + self.intervals * self.minutes * 60


def recognised(file: MeterFile) -> tuple[Holds, str, Claim] | None:
    """What a price or weather file holds, its layout and why; None for any other file.

    Raises:
        AmbiguousFile: Two layouts are sure of it.
    """
    if not file.path.is_file():
        return None
    both: Sequence[tuple[Holds, dict[str, Claim]]] = (
        ("price", prices.claims_on(file)),
        ("weather", weather.claims_on(file)),
    )
    sure = [
        (holds, name, claim)
        for holds, claims in both
        for name, claim in claims.items()
        if claim.confidence >= RECOGNISED
    ]
    if len(sure) > 1:
        raise AmbiguousFile(file.path, [f"{holds} {name}" for holds, name, _ in sure])
    return sure[0] if sure else None


def read(path: Path, column: str | None = None, zone: str | None = None) -> OutsideSeries:
    """Read a price or weather file.

    Args:
        path: A file that `recognised` knows.
        column: Which of several prices.
        zone: Time zone of stamps without an offset, where the layout does not fix it.

    Raises:
        InvalidPriceFile, InvalidWeatherFile: Hold every error by line.
        MissingFile, MissingPackage, UnknownZone: As their names say.
    """
    found = recognised(MeterFile(path))
    if found is None:
        raise MissingFile(path)
    holds, name, _ = found
    if holds == "price":
        start_s, minutes, micro = prices.load_price_series(path, column, zone=zone)
        return OutsideSeries(holds, name, start_s, minutes, {PRICE: micro / 1_000_000})
    rows = weather.read_weather(path, zone=zone)
    return OutsideSeries(holds, name, rows.start_s, rows.minutes, rows.values, rows.typical)


def plain_text(series: OutsideSeries, source: Path) -> str:
    """A series as the plain file; a price keeps every micro-currency.

    Args:
        series: What to write.
        source: Where it was read from, for the error.

    Raises:
        InvalidWeatherFile: A typical year, which is of no date.
    """
    if series.typical:
        message = "a typical year has no dates to write; name the file in data.weather as it is"
        raise InvalidWeatherFile(source, (Finding("error", "typical_year", None, None, message),))
    stamp = "timestamp" if series.holds == "price" else "time"
    starts = series.start_s + series.minutes * 60 * np.arange(series.intervals)
    columns = [[iso_utc(start) for start in starts.tolist()]]
    for column in series.values.values():
        columns.append([f"{value:.6f}".rstrip("0").rstrip(".") for value in column.tolist()])
    rows = [[stamp, *series.values], *map(list, zip(*columns, strict=True))]
    return "".join(",".join(row) + "\n" for row in rows)


def summary(series: OutsideSeries) -> dict[str, dict[str, float]]:
    """Least, mean and largest value of each column."""
    return {
        name: {
            "least": float(np.min(column)),
            "mean": float(np.mean(column)),
            "largest": float(np.max(column)),
        }
        for name, column in series.values.items()
    }
