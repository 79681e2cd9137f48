"""SMARD, the market data of the German regulator: one column of day-ahead prices for each bidding zone.

Two layouts: day, begin and end in three columns (until about 2021), and "Datum von;Datum bis". Local time of Germany,
decimal comma, EUR/MWh, `-` where there is no price. Quarter hours since October 2025; a file across that day has both.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from data import clock
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import IntakeLog, Stamps
from data.prices import PRICE_FORMATS, PriceFormat
from data.prices.rows import PriceRows, chosen, csv_rows

OLD, NEW = ("Datum", "Anfang", "Ende"), ("Datum von", "Datum bis")
UNIT = "[€/MWh]"


def sniff(file: MeterFile) -> Claim:
    """Whether the header begins as in one of both layouts and names prices."""
    header = _cells(file.head.decode("utf-8-sig", "replace").split("\n", 1)[0])
    for begin in (OLD, NEW):
        if tuple(header[: len(begin)]) == begin and any(UNIT in name for name in header):
            return Claim(
                1.0, (f"the columns {', '.join(begin)} and prices in {UNIT}",), {"zone": "Europe/Berlin"}
            )
    return NO_CLAIM


def parse(file: MeterFile, column: str | None, log: IntakeLog) -> PriceRows | None:
    """Read one bidding zone; its name is that of the column up to the unit."""
    text = file.path.read_text(encoding="utf-8-sig", errors="replace")
    rows = csv_rows(text, ";", log)
    if rows is None:
        return None
    header = [name.strip() for name in rows[0]]
    begin = OLD if tuple(header[: len(OLD)]) == OLD else NEW
    areas = {name.split("[")[0].strip(): at for at, name in enumerate(header) if UNIT in name}
    area = chosen(column, areas, log)
    if area is None:
        return None
    kept = [(line, row) for line, row in enumerate(rows[1:], start=2) if any(row)]
    for line, row in kept:
        if len(row) < len(header):
            log.add("error", "wrong_cells", f"the row does not have {len(header)} cells", line=line)
    if log.has_errors:
        return None
    stamps = [f"{row[0]} {row[1]}" if begin is OLD else row[0] for _, row in kept]
    return PriceRows(
        line=np.array([line for line, _ in kept], dtype=np.int64),
        stamp=Stamps(*clock.parse_stamps(stamps, "%d.%m.%Y %H:%M"), lambda row: stamps[row]),
        texts=[row[areas[area]].strip().replace(".", "").replace(",", ".") for _, row in kept],
        name=area,
        per_kwh=Decimal(1000),
        zone="Europe/Berlin",
    )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split(";")]


PRICE_FORMATS.register(
    PriceFormat(
        name="smard",
        summary="Day-ahead prices of SMARD, both layouts: EUR/MWh by bidding zone, local time of Germany",
        sniff=sniff,
        parse=parse,
        sample="Datum;Anfang;Ende;Deutschland/Luxemburg [€/MWh] Originalauflösungen\n01.01.2019;00:00;01:00;28,32\n",
        source="SMARD.de, download of wholesale prices (Bundesnetzagentur, CC BY 4.0)",
    )
)
