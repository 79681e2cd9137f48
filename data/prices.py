"""Price series: plain CSV `timestamp,price_per_kwh`, and the pricing.csv of a CityLearn folder.

Prices are read from their text, exactly to a micro-currency (half to even below that). Negative prices are
normal input and are never clipped. A price holds for the interval that its timestamp starts; a gap is an
error, for a price that is not known cannot be paid.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from data import clock
from data.errors import InvalidPriceFile, MissingFile
from data.findings import FindingLog, errors_of
from data.formats import citylearn
from data.intake.file import MeterFile
from market.errors import did_you_mean
from market.interval import ALLOWED_MINUTES, begins_interval
from market.units import IntArray, micro_from_price

TIMESTAMP, PRICE, PER_MWH = "timestamp", "price_per_kwh", "price_per_mwh"
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
    header, rows = _read(where, log)
    stamped = TIMESTAMP in header
    beside_schema = not stamped and bool(citylearn.sniff(MeterFile(where.parent)))
    stated = PER_MWH if PER_MWH in header and PRICE not in header else PRICE
    name = column or (CITYLEARN_PRICE if beside_schema else stated)
    if not log.has_errors:
        _check_header(header, name, stamped or beside_schema, log)
    if log.has_errors:
        raise InvalidPriceFile(where, errors_of(log.findings()))
    micro = _prices([row[header.index(name)] for row in rows], name, log)
    if beside_schema:
        series = _on_citylearn_hours(where, micro, zone, log)
    else:
        series = _on_stamps([row[header.index(TIMESTAMP)] for row in rows], micro, zone, log)
    if log.has_errors or series is None:
        raise InvalidPriceFile(where, errors_of(log.findings()))
    return series


def _read(path: Path, log: FindingLog) -> tuple[list[str], list[list[str]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            lines = [[cell.strip() for cell in row] for row in csv.reader(file)]
        except (UnicodeDecodeError, csv.Error) as problem:
            log.add("error", "unreadable", f"the file cannot be read ({problem}); save it as UTF-8 CSV")
            return [], []
    while lines and not any(lines[-1]):
        lines.pop()
    if len(lines) < 2:
        log.add("error", "empty_file", "the file has no prices; export it again")
        return [], []
    for number, row in enumerate(lines[1:], start=2):
        if len(row) != len(lines[0]):
            message = (
                f"the row does not have {len(lines[0])} cells; a decimal comma? Write numbers with a point"
            )
            log.add("error", "wrong_cells", message, line=number)
    return lines[0], lines[1:]


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


def _on_stamps(
    texts: Sequence[str], micro: IntArray, zone: str | None, log: FindingLog
) -> tuple[int, int, IntArray] | None:
    seconds, kind = clock.parse_stamps(texts)
    for row in np.flatnonzero(kind == clock.UNREADABLE).tolist():
        log.add(
            "error", "bad_timestamp", f"timestamp {texts[row]!r} is not like 2026-06-13T00:00Z", line=row + 2
        )
    local = kind == clock.LOCAL
    if local.any() and (kind == clock.WITH_OFFSET).any():
        log.add(
            "error",
            "mixed_zones",
            "some timestamps have a UTC offset and some have none; write all in one way",
        )
    elif local.any() and zone is None:
        log.add(
            "error",
            "zone_needed",
            "timestamps have no UTC offset; name their time zone, e.g. 'Europe/Berlin'",
        )
    if log.has_errors:
        return None
    utc = seconds
    if zone is not None and local.any():
        info = clock.zone_named(zone)
        utc, _, exists = clock.utc_by_row_order(seconds, np.zeros(len(seconds), dtype=np.int64), info)
        for row in np.flatnonzero(~exists).tolist():
            log.add(
                "error",
                "impossible_time",
                f"{texts[row]} does not exist in {zone}; check the zone",
                line=row + 2,
            )
    minutes = _minutes(utc, log)
    if minutes is None:
        return None
    for row in (np.flatnonzero(np.diff(utc) != minutes * 60) + 1).tolist():
        away = (int(utc[row]) - int(utc[row - 1])) // 60
        message = f"{texts[row]} comes {away} minutes after the row before, not {minutes}"
        log.add(
            "error",
            "gap" if away > 0 else "wrong_order",
            f"{message}; every interval needs one price",
            line=row + 2,
        )
    return int(utc[0]), minutes, micro


def _minutes(utc: IntArray, log: FindingLog) -> int | None:
    step = np.diff(utc)
    step = step[step > 0]
    if not len(step):
        log.add(
            "error",
            "interval_length",
            "the file has fewer than two intervals; their length cannot be determined",
        )
        return None
    lengths, count = np.unique(step, return_counts=True)
    seconds = int(lengths[np.argmax(count)])
    if (
        seconds % 60
        or seconds // 60 not in ALLOWED_MINUTES
        or not begins_interval(int(utc[0]), seconds // 60)
    ):
        message = (
            f"prices come every {seconds / 60:g} minutes from {int(utc[0]) % 86_400} s after midnight UTC"
        )
        log.add(
            "error", "interval_length", f"{message}; give one of {ALLOWED_MINUTES} minutes, on its boundary"
        )
        return None
    return seconds // 60


def _on_citylearn_hours(
    path: Path, micro: IntArray, zone: str | None, log: FindingLog
) -> tuple[int, int, IntArray] | None:
    hours = citylearn.calendar_of(MeterFile(path.parent), zone, log)
    if hours is None:
        return None
    rows = len(hours.row) - int(hours.filled.sum()) + len(hours.dropped)
    if len(micro) != rows:
        log.add(
            "error",
            "wrong_length",
            f"{len(micro)} prices for {rows} hours of the buildings; use the set's file",
        )
        return None
    return hours.start_s, 60, micro[hours.row]
