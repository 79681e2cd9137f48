"""AEMO price and demand: five-minute (before October 2021 half-hourly) AUD/MWh of one region of the Australian market.

Stamps name the END of the interval, in market time: UTC+10 all year.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from data import clock, series
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import IntakeLog, exact_stamps
from data.prices import PRICE_FORMATS, PriceFormat
from data.prices.rows import NOUN, PriceRows, chosen

HEADER = ["REGION", "SETTLEMENTDATE", "TOTALDEMAND", "RRP", "PERIODTYPE"]
MARKET_TIME_S = 10 * 3_600


def sniff(file: MeterFile) -> Claim:
    """Whether the header is that of the file."""
    header = file.head.decode("utf-8-sig", "replace").split("\n", 1)[0].strip()
    if header.split(",") != HEADER:
        return NO_CLAIM
    return Claim(1.0, (f"the columns {', '.join(HEADER)}",), {"zone": "UTC+10", "stamp": "end"})


def parse(file: MeterFile, column: str | None, log: IntakeLog) -> PriceRows | None:
    """Read one region; forecasts are left out."""
    _, rows = series.read(file.path, NOUN, log)
    if log.has_errors:
        return None
    numbered = [(line, row) for line, row in enumerate(rows, start=2) if row[4] == "TRADE"]
    region = chosen(column, (row[0] for _, row in numbered), log)
    if region is None:
        return None
    kept = [(line, row) for line, row in numbered if row[0] == region]
    lines = np.array([line for line, _ in kept], dtype=np.int64)
    ends, kind = clock.parse_stamps([row[1].replace("/", "-") for _, row in kept])
    for at in np.flatnonzero(kind != clock.LOCAL).tolist():
        message = f"SETTLEMENTDATE {kept[at][1][1]!r} is not like 2025/01/01 00:05:00"
        log.add("error", "bad_timestamp", message, line=int(lines[at]))
    step = np.diff(ends)
    if log.has_errors or not len(step):
        return None
    length_s = int(np.bincount(np.clip(step, 0, 3_600)).argmax())
    return PriceRows(
        line=lines,
        stamp=exact_stamps(ends - MARKET_TIME_S - length_s),
        texts=[row[3] for _, row in kept],
        name=region,
        per_kwh=Decimal(1000),
        minutes=np.full(len(kept), length_s // 60, dtype=np.int64),
    )


PRICE_FORMATS.register(
    PriceFormat(
        name="aemo",
        summary="AEMO price and demand: AUD/MWh of a region, stamps end the interval, UTC+10 all year",
        sniff=sniff,
        parse=parse,
        sample="REGION,SETTLEMENTDATE,TOTALDEMAND,RRP,PERIODTYPE\nNSW1,2025/01/01 00:05:00,7251.07,138.03,TRADE\n",
        source="AEMO, aggregated price and demand data",
    )
)
