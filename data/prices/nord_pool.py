"""Nord Pool day-ahead prices: the CSV of the data portal and the answer of its API, currency/MWh by area.

Stamps of the CSV are the local time of Central Europe, with both of its change days, though the header says CET; those
of the answer have an offset.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal

import numpy as np

from data import clock
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import IntakeLog, Stamps
from data.prices import PRICE_FORMATS, PriceFormat
from data.prices.rows import PriceRows, chosen, csv_rows

START, END = "Delivery Start (CET)", "Delivery End (CET)"
_PRICE = re.compile(r"(?P<area>.+) Price \((?P<currency>[A-Z]{3})\)")
ZONE = "Europe/Oslo"


def sniff(file: MeterFile) -> Claim:
    """Whether the header or the first keys are those of day-ahead prices."""
    text = file.head.decode("utf-8-sig", "replace")
    header = _header(text.split("\n", 1)[0])
    if header[:2] == [START, END] and any(map(_PRICE.fullmatch, header)):
        return Claim(1.0, (f"the columns {START}, {END} and prices by area",), {"zone": ZONE})
    if text.lstrip().startswith("{") and '"multiAreaEntries"' in text and '"entryPerArea"' in text:
        return Claim(1.0, ("entries by area with their start of delivery",))
    return NO_CLAIM


def parse(file: MeterFile, column: str | None, log: IntakeLog) -> PriceRows | None:
    """Read one area."""
    text = file.path.read_text(encoding="utf-8-sig", errors="replace")
    return (_of_api if text.lstrip().startswith("{") else _of_csv)(text, column, log)


def _of_csv(text: str, column: str | None, log: IntakeLog) -> PriceRows | None:
    separator = ";" if ";" in text.split("\n", 1)[0] else ","
    rows = csv_rows(text, separator, log)
    if rows is None:
        return None
    header = [name.strip() for name in rows[0]]
    areas = {match["area"]: at for at, name in enumerate(header) if (match := _PRICE.fullmatch(name))}
    area = chosen(column, areas, log)
    kept = [(line, row) for line, row in enumerate(rows[1:], start=2) if any(row)]
    for line, row in kept:
        if len(row) != len(header):
            log.add("error", "wrong_cells", f"the row does not have {len(header)} cells", line=line)
    if area is None or log.has_errors:
        return None
    stamps = [row[0].strip() for _, row in kept]
    return PriceRows(
        line=np.array([line for line, _ in kept], dtype=np.int64),
        stamp=Stamps(*clock.parse_stamps(stamps, "%d.%m.%Y %H:%M:%S"), lambda row: stamps[row]),
        texts=[_pointed(row[areas[area]], separator) for _, row in kept],
        name=area,
        per_kwh=Decimal(1000),
        zone=ZONE,
    )


def _of_api(text: str, column: str | None, log: IntakeLog) -> PriceRows | None:
    try:
        answer = json.loads(text, parse_float=str, parse_int=str)
        entries = [
            (str(one["deliveryStart"]), dict(one["entryPerArea"])) for one in answer["multiAreaEntries"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        log.add("error", "unreadable", f"the answer cannot be read ({problem}); download it again")
        return None
    area = chosen(column, (name for _, prices in entries for name in prices), log)
    if area is None:
        return None
    stamps = [start for start, _ in entries]
    return PriceRows(
        line=np.arange(1, len(entries) + 1),
        stamp=Stamps(*clock.parse_stamps(stamps), lambda row: stamps[row]),
        texts=[str(prices.get(area, "")) for _, prices in entries],
        name=area,
        per_kwh=Decimal(1000),
    )


def _header(line: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(";" if ";" in line else ",")]


def _pointed(text: str, separator: str) -> str:
    """A number with a decimal point; a comma is one where it does not separate columns."""
    return text.strip().replace(",", ".") if separator == ";" else text.strip()


PRICE_FORMATS.register(
    PriceFormat(
        name="nord_pool",
        summary="Nord Pool day-ahead, CSV of the data portal or answer of its API: currency/MWh by area",
        sniff=sniff,
        parse=parse,
        sample="Delivery Start (CET);Delivery End (CET);SE3 Price (EUR)\n"
        "01.01.2024 00:00:00;01.01.2024 01:00:00;29.56\n",
        source="public code that reads AuctionPrice_*_DayAhead_*.csv (columns, %d.%m.%Y %H:%M:%S) and multiAreaEntries",
    )
)
