"""The output of a price layout: rows as in the file, by line; and rows onto a regular grid of intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from data import series
from data.intake.raw import IntakeLog, Stamps
from market.errors import did_you_mean
from market.interval import ALLOWED_MINUTES
from market.units import IntArray

NOUN = "price"

LEAST_ROWS = 20
"""So many rows of one length in a row are a change of the market's interval; fewer are a gap."""


@dataclass(frozen=True, slots=True, eq=False)
class PriceRows:
    """Rows of a price file.

    Args:
        line: Line of each row.
        stamp: Its start, on the local clock or in UTC.
        texts: Its price, with a decimal point.
        name: What the file calls the price, for messages.
        per_kwh: How many units of the file are one of currency per kWh: 1000 for currency per MWh, 100 for pence.
        minutes: Length of each row, where the file states it; else it is found from the stamps. [min]
        zone: Zone of local stamps, where the layout fixes it.
        citylearn: The rows are the hours of a CityLearn set, and have no stamps.
    """

    line: IntArray
    stamp: Stamps
    texts: Sequence[str]
    name: str
    per_kwh: Decimal = Decimal(1)
    minutes: IntArray | None = None
    zone: str | None = None
    citylearn: bool = False


def on_grid(
    rows: PriceRows, micro: IntArray, zone: str | None, log: IntakeLog
) -> tuple[int, int, IntArray] | None:
    """Lay prices on intervals of one length: a longer one holds for each part of it.

    Returns:
        Start of the first interval [s since 1970], interval [min], and prices; None after errors. [micro-currency/kWh]
    """
    utc = series.utc_of(rows.stamp, rows.line, zone, log)
    if utc is None or log.has_errors:
        return None
    stamp, line, minutes = rows.stamp, rows.line, rows.minutes
    if len(utc) > 1 and (np.diff(utc) < 0).all():  # the newest first
        last = len(utc) - 1
        of_row = stamp.text
        stamp = replace(stamp, text=lambda row: of_row(last - row))
        utc, line, micro = utc[::-1], line[::-1], micro[::-1]
        minutes = None if minutes is None else minutes[::-1]
    minutes = _lengths(utc) if minutes is None else minutes
    if minutes is not None and len(np.unique(minutes)) > 1:
        utc, stamp, line, micro = _in_parts(utc, stamp, line, micro, minutes)
    found = series.regular(utc, stamp, line, NOUN, log)
    return None if found is None else (*found, micro)


def _lengths(utc: IntArray) -> IntArray | None:
    """Length of each row where the interval changes in the file, each for long enough; None where it does not. [min]"""
    step = np.diff(utc)
    if len(step) < LEAST_ROWS:
        return None
    begins = np.flatnonzero(np.diff(step, prepend=step[0] - 1))
    runs = np.diff(np.append(begins, len(step)))
    allowed = np.isin(step[begins], 60 * np.array(ALLOWED_MINUTES))
    if len(begins) < 2 or not allowed.all() or int(runs.min()) < LEAST_ROWS:
        return None
    return np.append(step, step[-1]) // 60


def _in_parts(
    utc: IntArray, stamp: Stamps, line: IntArray, micro: IntArray, minutes: IntArray
) -> tuple[IntArray, Stamps, IntArray, IntArray]:
    """Each row as often as its interval holds the shortest one."""
    shortest = int(minutes.min())
    times = minutes // shortest
    row = np.repeat(np.arange(len(utc)), times)
    part = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    return (
        utc[row] + part * shortest * 60,
        Stamps(stamp.seconds[row], stamp.kind[row], lambda at: stamp.text(int(row[at]))),
        line[row],
        micro[row],
    )


def csv_rows(text: str, separator: str, log: IntakeLog) -> list[list[str]] | None:
    """The rows of a text, the header among them; None after an error."""
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as problem:  # a cell beyond the limit of the module
        log.add("error", "unreadable", f"the file cannot be read ({problem}); download it again")
        return None
    return rows or [[]]


def chosen(column: str | None, there: Iterable[str], log: IntakeLog) -> str | None:
    """The one price that a file holds, or the one that is asked for; None after an error that names them."""
    names = list(dict.fromkeys(there))
    if column in names or (column is None and len(names) == 1):
        return column or names[0]
    if column is None:
        message = f"the file holds {len(names)} prices; say which by --column: {', '.join(names)}"
        log.add("error", "which_price", message)
    else:
        message = f"no price {column!r}.{did_you_mean(column, names)} There: {', '.join(names)}"
        log.add("error", "wrong_header", message, line=1)
    return None
