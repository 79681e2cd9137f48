"""Price series: plain CSV `timestamp,price_per_kwh`, and the pricing.csv of a CityLearn folder.

Prices are read from their text, exactly to a micro-currency (half to even below that). Negative prices are
normal input and are never clipped. A price holds for the interval that its timestamp starts; a gap is an
error, for a price that is not known cannot be paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from data import series
from data.errors import InvalidPriceFile, MissingFile
from data.findings import FindingLog, errors_of
from market.errors import did_you_mean
from market.units import IntArray, micro_from_price

TIMESTAMP, PRICE, PER_MWH = "timestamp", "price_per_kwh", "price_per_mwh"
NOUN = "price"
KWH_PER_MWH = 1_000
CITYLEARN_PRICE = "electricity_pricing"

LARGEST_PRICE = 1_000_000
"""Nobody asks this much for a kWh; it keeps a slipped decimal point out of int64. [currency/kWh]"""


def load_price_series(
    path: str | Path, column: str | None = None, *, zone: str | None = None
) -> tuple[int, int, IntArray]:
    """Load a price series.

    Args:
        path: CSV with a column `timestamp` (ISO 8601, start of the interval), or the pricing.csv of a
            CityLearn folder, whose rows are the hours of its buildings.
        column: Column of the price [currency/kWh]; `price_per_kwh`, or `electricity_pricing` for CityLearn. One whose
            name ends in `mwh`, as `price_per_mwh`, is divided by 1000.
        zone: Time zone of stamps without an offset, and of CityLearn sets other than the 2022 challenge
            homes.

    Returns:
        Start of the first interval [s since 1970], interval [min], and prices, shape (T,).
        [micro-currency/kWh]

    Raises:
        InvalidPriceFile: Holds every error by line.
        MissingFile, UnknownZone: As their names say.
    """
    where = Path(path)
    if not where.is_file():
        raise MissingFile(where)
    log = FindingLog()
    header, rows = series.read(where, NOUN, log)
    stamped = TIMESTAMP in header
    beside_schema = not stamped and series.beside_citylearn(where)
    stated = PER_MWH if PER_MWH in header and PRICE not in header else PRICE
    name = column or (CITYLEARN_PRICE if beside_schema else stated)
    if not log.has_errors:
        _check_header(header, name, stamped or beside_schema, log)
    if log.has_errors:
        raise InvalidPriceFile(where, errors_of(log.findings()))
    micro = _prices([row[header.index(name)] for row in rows], name, log)
    if beside_schema:
        hours = series.on_citylearn_hours(where, len(micro), NOUN, zone, log)
        found = None if hours is None else (hours[0], 60, micro[hours[1]])
    else:
        times = series.on_stamps([row[header.index(TIMESTAMP)] for row in rows], NOUN, zone, log)
        found = None if times is None else (*times, micro)
    if log.has_errors or found is None:
        raise InvalidPriceFile(where, errors_of(log.findings()))
    return found


def _check_header(header: list[str], column: str, timed: bool, log: FindingLog) -> None:
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


def _prices(texts: Sequence[str], column: str, log: FindingLog) -> IntArray:
    micro = np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        try:
            price = Decimal(text) / (KWH_PER_MWH if column.lower().endswith("mwh") else 1)
        except InvalidOperation:
            price = Decimal("NaN")
        if price.is_finite() and abs(price) < LARGEST_PRICE:
            micro[row] = micro_from_price(price)
            continue
        cure = "write a point, not a comma" if "," in text else "every interval needs a price"
        log.add("error", "not_a_number", f"{column} {text!r} is not a price; {cure}", line=row + 2)
    return micro
