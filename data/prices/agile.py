"""Octopus Agile: half-hourly pence/kWh with VAT, as the public dump without a header, or as the answer of the API."""

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

_DUMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ,\d\d:\d\d,[A-P],[A-Za-z_ &]+,-?\d+(\.\d+)?\s*$")
PENCE = Decimal(100)


def sniff(file: MeterFile) -> Claim:
    """Whether the first line is a row of the dump, or the file an answer with prices with and without VAT."""
    text = file.head.decode("utf-8-sig", "replace")
    if _DUMP.match(text.split("\n", 1)[0]):
        return Claim(
            1.0, ("rows of instant, local time, letter and name of a region, price",), {"unit": "p/kWh"}
        )
    if text.lstrip().startswith("{") and '"value_inc_vat"' in text and '"valid_from"' in text:
        return Claim(1.0, ("entries with valid_from and value_inc_vat",), {"unit": "p/kWh"})
    return NO_CLAIM


def parse(file: MeterFile, column: str | None, log: IntakeLog) -> PriceRows | None:
    """Read one region of the dump, or the answer of the API; prices include VAT."""
    text = file.path.read_text(encoding="utf-8-sig", errors="replace")
    return _of_api(text, log) if text.lstrip().startswith("{") else _of_dump(text, column, log)


def _of_dump(text: str, column: str | None, log: IntakeLog) -> PriceRows | None:
    given = csv_rows(text, ",", log)
    if given is None:
        return None
    rows = [(line, row) for line, row in enumerate(given, start=1) if any(row)]
    for line, row in rows:
        if len(row) != 5:
            log.add("error", "wrong_cells", "the row does not have 5 cells", line=line)
    if log.has_errors:
        return None
    region = chosen(column, (row[3] for _, row in rows), log)
    if region is None:
        return None
    rows = [(line, row) for line, row in rows if row[3] == region]
    stamps = [row[0] for _, row in rows]
    return PriceRows(
        line=np.array([line for line, _ in rows], dtype=np.int64),
        stamp=Stamps(*clock.parse_stamps(stamps), lambda row: stamps[row]),
        texts=[row[4].strip() for _, row in rows],
        name=region,
        per_kwh=PENCE,
    )


def _of_api(text: str, log: IntakeLog) -> PriceRows | None:
    try:
        entries = json.loads(text, parse_float=str, parse_int=str)["results"]
        stamps = [str(entry["valid_from"]) for entry in entries]
        texts = [str(entry["value_inc_vat"]) for entry in entries]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        log.add("error", "unreadable", f"the answer cannot be read ({problem}); download it again")
        return None
    return PriceRows(
        line=np.arange(1, len(texts) + 1),
        stamp=Stamps(*clock.parse_stamps(stamps), lambda row: stamps[row]),
        texts=texts,
        name="value_inc_vat",
        per_kwh=PENCE,
    )


PRICE_FORMATS.register(
    PriceFormat(
        name="octopus_agile",
        summary="Octopus Agile, public dump or answer of the API: pence/kWh with VAT, half hours in UTC",
        sniff=sniff,
        parse=parse,
        sample="2018-02-19T00:00:00Z,00:00,A,Eastern_England,9.2715\n",
        source="github.com/tom66/OctopusGoCheaper: agile dump @ 02f05cc; Octopus Energy REST API, standard-unit-rates",
    )
)
