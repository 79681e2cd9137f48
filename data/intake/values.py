"""Cells of rows that cannot be energy: a finding for each, by line."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from data.intake.counters import look_like_counters, report_counters
from data.intake.raw import UNITS, Channel, FloatArray, Hints, IntakeLog, Numbers
from data.intake.rows import Rows
from market.units import BoolArray

LARGEST_KWH = 10_000
"""No interval of a home holds 10 MWh; below it, nine decimals are exact and int64 holds many years. [kWh]"""

LARGEST_COUNTER_KWH = 9_000_000
"""Nor does its counter ever show this: micro-Wh below it are exact. [kWh]"""

SIGNED = ("net",)
"""Channels whose values may be below 0."""

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_NEAR_A_NUMBER = re.compile(
    r"[^\w\s]{0,2}\s?[a-z]?\d{1,7}([., ']\d{3}){0,3}([.,]\d{1,6})?\s?([a-z]|[kmg]?wh?)?[^\w\s]{0,2}",
    re.IGNORECASE,
)
_NO_READING = re.compile(
    r"[^\w\s]{1,4}|[-+]?inf(inity)?|#?nan|#?n/?a|null|none|nil|missing|error|#[a-z0/]+[!?]"
    r"|formula without a stored value",
    re.I,
)


def shown(text: str) -> str:
    """A cell for a message: as it is where it is near a number or a word for none, else how long it is.

    Where columns are shifted, a cell of values holds the number of a meter, a name or an address, which no message may
    show; the line says where it is.
    """
    if _NEAR_A_NUMBER.fullmatch(text) or _NO_READING.fullmatch(text):
        return repr(text)
    return f"(a text of {len(text)} characters)"


def report(rows: Rows, log: IntakeLog, code: str, found: BoolArray, message: Callable[[int], str]) -> None:
    """Report an error for each row that was found."""
    log.add_rows("error", code, np.flatnonzero(found), rows.describe(message))


def check_values(rows: Rows, hints: Hints, log: IntakeLog) -> BoolArray:
    """Report cells that are not energy, and rows without a home; return the rows that are sound."""
    good = np.ones(rows.count, dtype=np.bool_)
    for channel, column in rows.values.items():
        good &= _check_column(rows, channel, column, hints, log)
    if "" not in rows.homes:
        return good
    nameless = np.array([name == "" for name in rows.homes])[rows.home]
    empty = "`household` is empty; name the home of each row"
    report(rows, log, "no_household", nameless, lambda _row: empty)
    return np.asarray(good & ~nameless, dtype=np.bool_)


def _check_column(rows: Rows, channel: Channel, column: Numbers, hints: Hints, log: IntakeLog) -> BoolArray:
    values, texts = column.values, column.bad
    unit = channel.unit
    largest = LARGEST_COUNTER_KWH if channel.kind == "counter" else LARGEST_KWH
    limit = largest * UNITS["kWh"][0] / UNITS[unit][0]
    least = -limit if channel.name in SIGNED else 0
    if rows.count and not texts and values.min() >= least and values.max() <= limit:  # nor is one NaN
        return np.ones(rows.count, dtype=np.bool_)
    comma = np.zeros(rows.count, dtype=np.bool_)
    comma[[row for row, text in texts.items() if _DECIMAL_COMMA.fullmatch(text)]] = True
    point = "has a decimal comma; write a point"
    report(rows, log, "decimal_comma", comma, lambda row: f"{channel} {shown(texts[row])} {point}")
    wrong = np.isnan(values) & ~column.empty & ~comma
    cure = "leave the cell empty where there is no reading"
    report(
        rows,
        log,
        "not_a_number",
        wrong,
        lambda row: f"{channel} {shown(texts.get(row, 'NaN'))} is not a number; {cure}",
    )
    negative = (values < 0) & (channel.name not in SIGNED)
    cure_of_import = (
        "put exported energy into export_kwh" if channel.name == "import" else "write it without a sign"
    )
    runs_back = f"a register never runs backwards; {cure_of_import}"
    report(rows, log, "negative", negative, lambda row: f"{channel} is {values[row]:g}; {runs_back}")
    huge = np.abs(values) > limit
    counted = _counted(rows, values, huge) if hints.kind is None and channel.kind != "counter" else []
    if counted:
        report_counters(channel, [rows.homes[h] for h in counted], log)
    where = "on the counter of a home" if channel.kind == "counter" else "in one interval"
    report(
        rows,
        log,
        "impossible_power",
        huge & ~negative & ~np.isin(rows.home, counted),
        lambda row: f"{channel} is {values[row]:g} {unit} {where}; check the unit",
    )
    return ~(comma | wrong | negative | huge)


def _counted(rows: Rows, values: FloatArray, huge: BoolArray) -> list[int]:
    """The homes with numbers beyond any energy that are readings of a counter."""
    return [
        h
        for h in np.unique(rows.home[huge]).tolist()
        if look_like_counters(values[(rows.home == h) & ~np.isnan(values)][:, np.newaxis])[0]
    ]
