"""Price series beside a scenario: a CSV of `timestamp,price_per_kwh`, one row a step, without a gap."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from market.units import MICRO_PER_UNIT, IntArray, is_exact, micro_from_price
from wattswap.errors import InvalidData, Problem

HEADER = ["timestamp", "price_per_kwh"]
MAX_PROBLEMS = 20
_MAX_PRICE = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, eq=False)
class PriceSeries:
    """Prices of equal length from `start_s` on. [micro-currency/kWh]"""

    start_s: int
    minutes: int
    values: IntArray


class _Row(ValueError):
    """What is wrong with one row, and the cure."""


def read_price_series(path: Path) -> PriceSeries:
    """Read a series of prices in currency per kWh, each from its timestamp on.

    Raises:
        InvalidData: Lists the first bad rows by line.
    """
    problems: list[Problem] = []
    seconds: list[int] = []
    values: list[int] = []

    def refuse(line: int, message: str, cure: str = "") -> None:
        problems.append(Problem(f"{path.name}:{line}", message, cure, line))

    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        try:
            if next(rows, []) != HEADER:
                refuse(1, "the first line is not timestamp,price_per_kwh", "write this header")
            for row in rows:
                if len(problems) >= MAX_PROBLEMS:
                    break
                if not row:
                    continue
                try:
                    second, value = _parse(row)
                except _Row as wrong:
                    refuse(rows.line_num, *wrong.args)
                    continue
                step = seconds[1] - seconds[0] if len(seconds) > 1 else None
                if step is not None and not problems and second != seconds[-1] + step:
                    expected = datetime.fromtimestamp(seconds[-1] + step, UTC).strftime("%Y-%m-%dT%H:%MZ")
                    refuse(
                        rows.line_num,
                        f"{row[0]} stands where {expected} is expected",
                        "rows are equally spaced",
                    )
                seconds.append(second)
                values.append(value)
        except (UnicodeDecodeError, csv.Error) as error:
            refuse(rows.line_num + 1, f"cannot be read: {error}", "save the file as CSV in UTF-8")
    if not problems and len(seconds) < 2:
        refuse(1, "holds fewer than two prices, so their length is unknown", "add rows")
    elif not problems and (seconds[1] <= seconds[0] or (seconds[1] - seconds[0]) % 60):
        refuse(3, "the rows do not go forward by whole minutes", "sort them by time")
    if problems:
        raise InvalidData(*problems)
    return PriceSeries(seconds[0], (seconds[1] - seconds[0]) // 60, np.array(values, dtype=np.int64))


def _parse(row: list[str]) -> tuple[int, int]:
    if len(row) != 2:
        raise _Row(f"has {len(row)} fields, not 2", "a decimal comma splits a field: write 0.25")
    try:
        moment = datetime.fromisoformat(row[0].strip())
    except ValueError:
        raise _Row(f"{row[0]!r} is no timestamp", "write 2016-06-06T00:00:00Z") from None
    if moment.tzinfo is None:
        raise _Row(f"{row[0]} names no time zone", "end it with Z or an offset such as +02:00")
    try:
        price = Decimal(row[1].strip())
    except InvalidOperation:
        raise _Row(f"{row[1]!r} is no price", "write a number such as 0.25") from None
    if not price.is_finite() or abs(price) > _MAX_PRICE:
        raise _Row(f"{row[1]} is no usable price", "prices are in currency per kWh")
    if len(price.as_tuple().digits) > 28 or not is_exact(price, MICRO_PER_UNIT):
        raise _Row(f"{row[1]} is finer than a millionth of a currency unit", "round it to six decimals")
    return int(moment.timestamp()), micro_from_price(price)
