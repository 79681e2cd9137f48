"""Price files, one layout a file, and loading one of any of them.

Prices are read from their text, exactly to a micro-currency (half to even below that). Negative prices are normal input
and are never clipped. A price holds for the whole interval that it is given for; a gap is an error, for a price that is
not known cannot be paid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from data import clock, series
from data.errors import InvalidPriceFile, MissingFile
from data.findings import errors_of
from data.intake.claims import Claim, claims_of, surest
from data.intake.file import MeterFile
from data.intake.raw import IntakeLog
from data.prices.rows import NOUN, PriceRows, on_grid
from market.registry import Registry
from market.units import IntArray, micro_from_price

LARGEST_PRICE = 1_000_000
"""Nobody asks this much for a kWh; it keeps a slipped decimal point out of int64. [currency/kWh]"""


@dataclass(frozen=True, slots=True)
class PriceFormat:
    """A layout of price files.

    Args:
        name: Unique, lower case.
        summary: One sentence for people: layout, unit, stamp, zone.
        sniff: How sure it is that a file has this layout, and why; reads `file.head` and `file.name`, and no more.
        parse: The rows of a file, `parse(file, column, log)`; None after errors. `column` says which of several prices
            or areas is wanted, and None that there should be one. What is wrong goes into the log.
        sample: First lines of such a file, for docs/reference/formats.md.
        source: Where the layout is documented or was found.
    """

    name: str
    summary: str
    sniff: Callable[[MeterFile], Claim]
    parse: Callable[[MeterFile, str | None, IntakeLog], PriceRows | None]
    sample: str = ""
    source: str = ""


PRICE_FORMATS: Registry[PriceFormat] = Registry(
    "price format", folders=("data.prices",), group="wattswap.price_formats", item=PriceFormat, contract=1
)


def claims_on(file: MeterFile) -> dict[str, Claim]:
    """What every layout makes of a file, by name."""
    return claims_of(PRICE_FORMATS, file)


def load_price_series(
    path: str | Path, column: str | None = None, *, zone: str | None = None
) -> tuple[int, int, IntArray]:
    """Load a price series of any known layout; one that is not known is read as the plain one, and says what it lacks.

    Args:
        path: The file.
        column: Which of several prices or areas of the file.
        zone: Time zone of stamps without an offset, where the layout does not fix it.

    Returns:
        Start of the first interval [s since 1970], interval [min], and prices, shape (T,).
        [micro-currency/kWh]

    Raises:
        InvalidPriceFile: Holds every error by line.
        MissingFile, UnknownZone: As their names say.
    """
    where, log = Path(path), IntakeLog()
    if not where.is_file():
        raise MissingFile(where)
    if zone is not None:
        clock.zone_named(zone)
    file = MeterFile(where)
    layout = surest(PRICE_FORMATS, file, "plain")
    with PRICE_FORMATS.held(layout):
        rows = layout.parse(file, column, log)
    if rows is None or log.has_errors:
        raise InvalidPriceFile(where, errors_of(log.findings()))
    micro = _micro(rows, log)
    if rows.citylearn:
        hours = series.on_citylearn_hours(where, len(micro), NOUN, zone, log)
        found = None if hours is None else (hours[0], 60, micro[hours[1]])
    else:
        found = on_grid(rows, micro, rows.zone or zone, log)
    if log.has_errors or found is None:
        raise InvalidPriceFile(where, errors_of(log.findings()))
    return found


def _micro(rows: PriceRows, log: IntakeLog) -> IntArray:
    micro = np.zeros(len(rows.texts), dtype=np.int64)
    for row, text in enumerate(rows.texts):
        try:
            price = Decimal(text) / rows.per_kwh
        except InvalidOperation:
            price = Decimal("NaN")
        if price.is_finite() and abs(price) < LARGEST_PRICE:
            micro[row] = micro_from_price(price)
            continue
        cure = "write a point, not a comma" if "," in text else "every interval needs a price"
        message = f"{rows.name} {text!r} is not a price; {cure}"
        log.add("error", "not_a_number", message, line=int(rows.line[row]))
    return micro
