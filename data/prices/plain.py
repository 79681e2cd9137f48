"""The plain price file `timestamp,price_per_kwh`, and the pricing.csv of a CityLearn folder."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from data import clock, series
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import IntakeLog, Stamps
from data.prices import PRICE_FORMATS, PriceFormat
from data.prices.rows import NOUN, PriceRows
from market.errors import did_you_mean

TIMESTAMP, PRICE, PER_MWH = "timestamp", "price_per_kwh", "price_per_mwh"
CITYLEARN_PRICE = "electricity_pricing"


def sniff(file: MeterFile) -> Claim:
    """Whether the header has a stamp and a price in the plain names, or those of a CityLearn set."""
    header = file.head.decode("utf-8-sig", "replace").split("\n", 1)[0]
    names = {name.strip().strip('"') for name in header.split(",")}
    if TIMESTAMP in names and names & {PRICE, PER_MWH}:
        return Claim(1.0, (f"the columns {TIMESTAMP} and {(names & {PRICE, PER_MWH}).pop()}",))
    if CITYLEARN_PRICE in names and series.beside_citylearn(file.path):
        return Claim(1.0, (f"the column {CITYLEARN_PRICE} beside the schema.json of a CityLearn set",))
    return NO_CLAIM


def parse(file: MeterFile, column: str | None, log: IntakeLog) -> PriceRows | None:
    """Read the rows; a column whose name ends in `mwh` is divided by 1000."""
    header, cells = series.read(file.path, NOUN, log)
    stamped = TIMESTAMP in header
    citylearn = not stamped and series.beside_citylearn(file.path)
    stated = PER_MWH if PER_MWH in header and PRICE not in header else PRICE
    name = column or (CITYLEARN_PRICE if citylearn else stated)
    if not log.has_errors:
        _check_header(header, name, stamped or citylearn, log)
    if log.has_errors:
        return None
    texts = [row[header.index(TIMESTAMP)] for row in cells] if stamped else []
    return PriceRows(
        line=np.arange(2, len(cells) + 2),
        stamp=Stamps(*clock.parse_stamps(texts), lambda row: texts[row]),
        texts=[row[header.index(name)] for row in cells],
        name=name,
        per_kwh=Decimal(1000 if name.lower().endswith("mwh") else 1),
        citylearn=citylearn,
    )


def _check_header(header: list[str], column: str, timed: bool, log: IntakeLog) -> None:
    if not timed:
        message = (
            "the column 'timestamp' is missing, and the file is not beside the schema.json of a CityLearn set"
        )
        log.add("error", "wrong_header", f"{message}.{did_you_mean(TIMESTAMP, header)}", line=1)
    if column not in header:
        message = (
            f"the column {column!r} is missing.{did_you_mean(column, header)} There: {', '.join(header)}"
        )
        log.add("error", "wrong_header", message, line=1)


PRICE_FORMATS.register(
    PriceFormat(
        name="plain",
        summary="CSV `timestamp,price_per_kwh` or `price_per_mwh`; stamps start the interval",
        sniff=sniff,
        parse=parse,
        sample="timestamp,price_per_kwh\n2026-06-13T00:00:00Z,0.2831\n",
        source="docs/reference/meter-files.md",
    )
)
