"""What a tariff charges beside energy prices and grid fees: levies, VAT, a standing charge and a charge for the peak.

Levies and VAT are part of the prices that homes act on and settle at. Standing and peak charges follow from the meters
and the calendar alone, are the same with and without a market, and are posted to no account.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from market.settlement.tariff import OutsidePrices
from market.units import PPM, IntArray

FIXED_COLUMNS = ("standing_nano", "peak_nano")
"""Columns of bills with the charges of a metering point, VAT included; only where the tariff has them."""
PART_COLUMNS = ("grid_fee_net_nano", "levy_nano", "vat_nano")
"""Columns of bills with parts of the other columns; only where the tariff has levies or VAT."""


@dataclass(frozen=True, slots=True)
class Surcharges:
    """What a tariff adds to the retailer's price and the grid fees.

    Args:
        levy_local_micro_per_kwh: Levies on energy from a neighbour, VAT not included. [micro/kWh]
        levy_remote_micro_per_kwh: Levies on energy from outside, VAT not included. [micro/kWh]
        standing_micro_per_day: Charge of a metering point, VAT not included. [micro-currency/day]
        peak_micro_per_kw_month: Charge for the highest import of a month, VAT not included. [micro/(kW month)]
        vat_ppm: VAT on the import price, grid fees, levies, standing and peak charge. [parts per million]
    """

    levy_local_micro_per_kwh: int = 0
    levy_remote_micro_per_kwh: int = 0
    standing_micro_per_day: int = 0
    peak_micro_per_kw_month: int = 0
    vat_ppm: int = 0

    @property
    def levied(self) -> bool:
        """Whether there is any levy."""
        return bool(self.levy_local_micro_per_kwh or self.levy_remote_micro_per_kwh)

    def with_vat(self, net_micro: int) -> int:
        """A price or rate with VAT, in whole micro-currency, half to even."""
        return int(half_even(net_micro * (PPM + self.vat_ppm), PPM))

    def gross(self, net: OutsidePrices) -> OutsidePrices:
        """What a home pays and saves per kWh: levies added to the grid fees, then VAT to all that a home buys."""
        local = net.grid_fee_local_micro_per_kwh + self.levy_local_micro_per_kwh
        remote = net.grid_fee_remote_micro_per_kwh + self.levy_remote_micro_per_kwh
        bought = half_even(net.import_micro_per_kwh * (PPM + self.vat_ppm), PPM)
        return OutsidePrices(bought, net.feed_in_micro_per_kwh, self.with_vat(local), self.with_vat(remote))


def half_even(numerator: Any, denominator: int) -> Any:
    """A quotient in whole units, half to even, for Python integers and arrays of integers of any size."""
    whole = numerator // denominator
    twice = 2 * (numerator - whole * denominator)
    return whole + ((twice > denominator) | ((twice == denominator) & (whole % 2 == 1)))


def fixed_nano(bills: Mapping[str, IntArray]) -> IntArray:
    """What a home is credited, with and without a market, for its metering point: at most 0. [nano-currency]"""
    found = [bills[name] for name in FIXED_COLUMNS if name in bills]
    return np.sum(found, axis=0, dtype=np.int64) if found else np.zeros_like(bills["baseline_nano"])


@dataclass(frozen=True, slots=True)
class LocalDay:
    """A day on the local clock, in intervals counted from the start of a run.

    Args:
        month: Year and month.
        first: The first interval that starts on the day; below 0 on a day that began before the run.
        end: The first one after the day.
    """

    month: tuple[int, int]
    first: int
    end: int

    def covered(self, term: range) -> range:
        """Those of its intervals that lie in a term, counted from its midnight."""
        first = max(self.first, term.start)
        return range(first - self.first, max(min(self.end, term.stop), first) - self.first)


def local_days(start_s: int, minutes: int, intervals: int, zone: str) -> list[LocalDay]:
    """The local days of a run; a day on which the clock changes has more or fewer intervals. [s, min]"""
    clock, step_s = ZoneInfo(zone), minutes * 60

    def first_of(day: date) -> int:
        midnight = datetime(day.year, day.month, day.day, tzinfo=clock)
        return -((start_s - int(midnight.timestamp())) // step_s)

    day = datetime.fromtimestamp(start_s, UTC).astimezone(clock).date()
    first, found = first_of(day), []
    while first < intervals:
        after = day + timedelta(days=1)
        end = first_of(after)
        found.append(LocalDay((day.year, day.month), first, end))
        day, first = after, end
    return found


def standing_nano(days: Sequence[LocalDay], term: range, micro_per_day: int) -> int:
    """The standing charge of some intervals of a run. [micro-currency/day -> nano-currency]

    Of a day of n intervals the first i cost floor(charge x i / n): parts of a day add up to the charge, wherever it is
    cut.
    """
    nano, total = micro_per_day * 1_000, 0
    for day in days:
        part, whole = day.covered(term), day.end - day.first
        if part:
            total += nano * part.stop // whole - nano * part.start // whole
    return total


def peak_nano(
    days: Sequence[LocalDay], term: range, minutes: int, peak_wh: IntArray, micro_per_kw_month: int
) -> IntArray:
    """The charge for each home's highest import of each month, half to even. [nano-currency]

    A month of which only a part lies in the term is charged by the share of its days.

    Args:
        days: Local days of the run.
        term: Intervals of the run that are charged for.
        minutes: Length of an interval. [min]
        peak_wh: Highest metered import in an interval, by month of `months_of(days)` and home, shape (M, H). [Wh]
        micro_per_kw_month: Charge. [micro-currency/(kW month)]
    """
    total = np.zeros(peak_wh.shape[1], dtype=np.int64)
    for (year, month), highest in zip(months_of(days), peak_wh, strict=True):
        share = Fraction(0)
        for day in days:
            if day.month == (year, month) and (part := day.covered(term)):
                share += Fraction(len(part), day.end - day.first)
        # 1 micro-currency per kW is 1 nano-currency per W, and W = Wh x 60 / minutes.
        rate = Fraction(micro_per_kw_month * 60, minutes) * share / monthrange(year, month)[1]
        charge = half_even(highest.astype(object) * rate.numerator, rate.denominator)
        total += charge.astype(np.int64)
    return total


def months_of(days: Sequence[LocalDay]) -> list[tuple[int, int]]:
    """The months of some days, each once."""
    return list(dict.fromkeys(day.month for day in days))
